//! Ordering of changes, against a plain search over whole configurations on small problems.

use crate::common::*;
use rhizo_solver::*;
use std::collections::BTreeMap;

/// A change between two feasible or infeasible configurations of a few instances on three hosts.
fn change(seed: u64) -> (Problem, Assignment, Assignment) {
    let mut dice = Dice::new(seed);
    let mut problem = world(&mut dice, 3);
    for m in &mut problem.machines {
        m.stock = if dice.chance(85) { Stock::Kept } else { Stock::Offer { count_max: 1 } };
        m.capacity = vec![2.0 + dice.number(3), 4.0];
    }
    for name in ["a", "b"] {
        let count = 1 + dice.below(2) as u32;
        let mut component = Component::new(name, dice.below(2) as u32, count);
        component.per_host_max = dice.below(3) as u32;
        component.needs_each = (0..count).map(|_| vec![1.0 + dice.number(1), dice.number(1)]).collect();
        problem.components.push(component);
    }
    let rules = dice.below(3);
    for r in 0..rules {
        let scope = Scope::Component(dice.below(2));
        let rule = match dice.below(7) {
            0 => Constraint::Apart(rule::Apart { scope: Scope::All, partition: None }),
            1 => Constraint::Gather(rule::Gather { scope, partition: Some(0) }),
            2 => Constraint::Spread(rule::Spread {
                scope: Scope::All,
                partition: 0,
                max_in_class: Some(Limit::Constant(2.0)),
                min_distinct: Some(Limit::Constant(dice.number(2))),
            }),
            3 => Constraint::Preserve(rule::Preserve { scope, resource: 1, amount: dice.number(1) }),
            4 => Constraint::MaxOnline(rule::MaxOnline { machines: vec![true; 3], max: 2 }),
            5 => Constraint::Lonely(rule::Lonely { scope }),
            _ => Constraint::Neighbour(rule::Neighbour {
                user: Scope::Component(0),
                provider: Scope::Component(1),
                partition: 0,
            }),
        };
        problem.constraints.push(Named::new(format!("r{r}"), rule));
    }
    let place = |dice: &mut Dice| dice.chance(85).then(|| Place::on(dice.below(3)));
    let fill = |dice: &mut Dice, problem: &Problem| Assignment {
        places: problem
            .components
            .iter()
            .map(|c| (0..c.replicas_max).map(|_| place(dice)).collect())
            .collect(),
    };
    // Ends that keep the rules test more than random ones; after a few tries any end is used.
    let end = |dice: &mut Dice| {
        let mut tries = (0..40).map(|_| fill(dice, &problem)).collect::<Vec<_>>();
        let good = tries.iter().position(|a| check(&problem, a).is_empty()).unwrap_or(0);
        tries.swap_remove(good)
    };
    let (from, to) = (end(&mut dice), end(&mut dice));
    for (component, places) in problem.components.iter_mut().zip(&from.places) {
        component.current = places.iter().map(|p| p.map(|p| p.machine)).collect();
    }
    (problem, from, to)
}

/// The fewest extras, and with them the fewest waves, over all paths of safe waves.
fn least(problem: &Problem, from: &Assignment, to: &Assignment) -> Option<(usize, usize)> {
    let slots: Vec<(usize, usize)> =
        (0..problem.components.len()).flat_map(|c| (0..from.places[c].len()).map(move |o| (c, o))).collect();
    let mut all = vec![Assignment { places: from.places.iter().map(|p| vec![None; p.len()]).collect() }];
    for (c, o) in &slots {
        let (was, is) = (from.places[*c][*o], to.places[*c][*o]);
        all = all
            .into_iter()
            .flat_map(|a| {
                let places = (0..problem.machines.len()).map(|m| Some(Place::on(m)));
                // An instance that runs at both ends is not stopped in between; one that runs at neither is not
                // started.
                let absent = (was.is_none() || is.is_none()).then_some(None);
                let places: Vec<Option<Place>> = places.chain(absent).collect();
                places
                    .into_iter()
                    .filter(|p| p.is_none() || was.is_some() || is.is_some())
                    .map(|p| {
                        let mut next = a.clone();
                        next.places[*c][*o] = p;
                        next
                    })
                    .collect::<Vec<_>>()
            })
            .collect();
    }
    // Bought hosts count with the path, so the state remembers whether the one offer was used for a stopover.
    let mut best: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    let start = all.iter().position(|a| a == from)?;
    let goal = all.iter().position(|a| a == to)?;
    best.insert(start, (0, 0));
    let safe: Vec<Vec<Option<usize>>> = all
        .iter()
        .map(|a| all.iter().map(|b| (a != b).then(|| extras(problem, (from, to), a, b)).flatten()).collect())
        .collect();
    // Bellman-Ford: the graph has a few hundred nodes at most.
    loop {
        let mut changed = false;
        for (a, row) in safe.iter().enumerate() {
            let Some((e, w)) = best.get(&a).copied() else { continue };
            for (b, more) in row.iter().enumerate() {
                let Some(more) = more else { continue };
                let cost = (e + more, w + 1);
                if best.get(&b).is_none_or(|known| cost < *known) {
                    best.insert(b, cost);
                    changed = true;
                }
            }
        }
        if !changed {
            return best.get(&goal).copied();
        }
    }
}

/// The number of stopovers of a wave; none when it is not safe.
fn extras(
    problem: &Problem,
    ends: (&Assignment, &Assignment),
    a: &Assignment,
    b: &Assignment,
) -> Option<usize> {
    let steps: Vec<Step> = a
        .places
        .iter()
        .enumerate()
        .flat_map(|(component, places)| (0..places.len()).map(move |ordinal| Instance { component, ordinal }))
        .map(|instance| Step { instance, from: a.place(instance), to: b.place(instance) })
        .filter(|step| step.from != step.to)
        .collect();
    // An instance starts and ends at most once.
    let odd = |s: &Step| s.to.is_none() && ends.1.place(s.instance).is_some();
    let late = |s: &Step| s.from.is_none() && ends.0.place(s.instance).is_some();
    if steps.iter().any(|s| odd(s) || late(s)) {
        return None;
    }
    let wave = Wave { steps: steps.clone(), target: b.clone() };
    let found = replay_wave(problem, ends, a, &wave);
    let strange =
        |s: &&Step| s.to.is_some() && s.to != ends.0.place(s.instance) && s.to != ends.1.place(s.instance);
    found.then(|| steps.iter().filter(strange).count())
}

/// The safety of one wave, implemented a second time from its definition.
fn replay_wave(problem: &Problem, ends: (&Assignment, &Assignment), a: &Assignment, wave: &Wave) -> bool {
    let fault = |assignment: &Assignment| -> BTreeMap<String, f64> {
        let mut faults = BTreeMap::new();
        for v in check(problem, assignment).into_iter().filter(|v| v.rule != "[capacity]") {
            *faults.entry(v.rule).or_insert(0.0) += v.amount;
        }
        faults
    };
    let (x, y) = (fault(ends.0), fault(ends.1));
    let most = |rule: &String| x.get(rule).copied().unwrap_or(0.0).max(y.get(rule).copied().unwrap_or(0.0));
    for subset in 0..1u32 << wave.steps.len() {
        let mut then = a.clone();
        for (bit, step) in wave.steps.iter().enumerate() {
            if subset >> bit & 1 == 1 {
                then.places[step.instance.component][step.instance.ordinal] = step.to;
            }
        }
        if fault(&then).iter().any(|(rule, amount)| *amount > most(rule) + 1e-9) {
            return false;
        }
    }
    (0..problem.machines.len()).all(|m| {
        (0..problem.resources.len()).all(|r| {
            let need = |i: Instance| {
                let own = problem.components[i.component].need(i.ordinal, r);
                problem.constraints.iter().fold(own, |need, named| match &named.item {
                    Constraint::Preserve(rule::Preserve { scope: Scope::Component(c), resource, amount })
                        if *c == i.component && *resource == r =>
                    {
                        need.max(*amount)
                    }
                    _ => need,
                })
            };
            let here: f64 = a.iter().filter(|(_, p)| p.machine == m).map(|(i, _)| need(i)).sum();
            let coming = wave.steps.iter().filter(|s| s.to == Some(Place::on(m))).map(|s| need(s.instance));
            let coming: f64 = coming.sum();
            coming == 0.0 || here + coming <= problem.machines[m].capacity[r] + 1e-9
        })
    })
}

#[test]
fn small_changes_are_ordered_with_the_fewest_extras_and_waves() {
    let (mut possible, mut stopovers, mut long) = (0, 0, 0);
    for seed in 0..1_500 {
        let (problem, from, to) = change(seed);
        if problem.machines.iter().any(Machine::is_offer) {
            // An instance that runs on an offer has bought it already; the plain search does not count bought hosts.
            continue;
        }
        match (order(&problem, &from, &to, &mut || false), least(&problem, &from, &to)) {
            (Ok(found), Some((extras, waves))) => {
                possible += 1;
                let wrong = replay(&problem, &from, &to, &found.waves);
                assert!(wrong.is_empty(), "seed {seed}: {wrong:?}");
                let got = (found.extras(), found.waves.len());
                assert!(got >= (extras, waves), "seed {seed}: {got:?} beats ({extras}, {waves})");
                let bound = (found.extras_min, if found.extras_min == extras { found.waves_min } else { 0 });
                assert!(bound <= (extras, waves), "seed {seed}: bound {bound:?} over ({extras}, {waves})");
                if found.is_shortest() || extras <= 1 {
                    assert_eq!(got, (extras, waves), "seed {seed}");
                }
                stopovers += usize::from(extras > 0);
                long += usize::from(waves > 1);
            }
            (Err(OrderError::Stuck { .. }), None) => {}
            (Err(OrderError::Stuck { .. }), Some((extras, _))) => {
                assert!(extras > 1, "seed {seed}: stuck, but {extras} extras are enough");
            }
            (found, least) => panic!("seed {seed}: {found:?}, plain search {least:?}"),
        }
    }
    println!("{possible} possible, {stopovers} with stopovers, {long} of several waves");
    assert!(possible > 600 && stopovers > 20 && long > 100, "{possible} {stopovers} {long}");
}

#[test]
fn replay_sees_what_is_wrong() {
    let mut problem =
        Problem { resources: vec![Resource { name: "cpu".into(), transient: false }], ..Problem::default() };
    for m in 0..3 {
        problem.machines.push(host(format!("m{m}"), 1.0));
    }
    let mut component = Component::new("a", 2, 2);
    component.needs_each = vec![vec![1.0]; 2];
    component.current = vec![Some(0), Some(1)];
    problem.components.push(component);
    let at = |a: usize, b: usize| Assignment { places: vec![vec![Some(Place::on(a)), Some(Place::on(b))]] };
    let (from, to) = (at(0, 1), at(1, 0));
    let found = order(&problem, &from, &to, &mut || false).expect("a third host is free");
    assert_eq!((found.waves.len(), found.stopovers, found.is_shortest()), (3, 1, true), "{found:?}");
    assert!(replay(&problem, &from, &to, &found.waves).is_empty());
    // At once, both hosts would have to hold two.
    let steps = [(0, 0, 1), (1, 1, 0)].map(|(ordinal, f, t)| Step {
        instance: Instance { component: 0, ordinal },
        from: Some(Place::on(f)),
        to: Some(Place::on(t)),
    });
    let at_once = Wave { steps: steps.to_vec(), target: to.clone() };
    let rules = |waves: &[Wave]| -> Vec<String> {
        replay(&problem, &from, &to, waves).into_iter().map(|v| v.rule).collect()
    };
    assert!(rules(std::slice::from_ref(&at_once)).contains(&"[capacity]".to_owned()));
    assert!(rules(&found.waves[..2]).contains(&"[target]".to_owned()));
    let mut lying = found.waves.clone();
    lying[0].steps[0].to = Some(Place::on(1));
    assert!(rules(&lying).contains(&"[steps]".to_owned()));
}

#[test]
fn large_changes_are_ordered_safely() {
    for seed in 0..40 {
        let mut dice = Dice::new(seed);
        let machines = 20;
        let mut problem = world(&mut dice, machines);
        problem.machines.iter_mut().for_each(|m| m.stock = Stock::Kept);
        problem.machines.iter_mut().for_each(|m| m.capacity = vec![14.0, 14.0]);
        for c in 0..15 {
            let mut component = Component::new(format!("c{c}"), 10, 10);
            component.needs_each = (0..10).map(|_| vec![dice.number(2), dice.number(2)]).collect();
            let first = dice.below(machines);
            component.current = (0..10).map(|o| Some((first + o) % machines)).collect();
            problem.components.push(component);
        }
        let from = Assignment::current(&problem);
        let mut to = from.clone();
        for places in &mut to.places {
            let by = dice.below(3);
            places.iter_mut().for_each(|p| *p = p.map(|p| Place::on((p.machine + by) % machines)));
        }
        let roomy = |a: &Assignment| check(&problem, a).iter().all(|v| v.rule != "[capacity]");
        match order(&problem, &from, &to, &mut || false) {
            Ok(found) => {
                let wrong = replay(&problem, &from, &to, &found.waves);
                assert!(wrong.is_empty(), "seed {seed}: {:?}", wrong.first());
                assert!(found.extras_min <= found.extras() && found.waves_min <= found.waves.len());
            }
            Err(error) => assert!(!roomy(&from) || !roomy(&to), "seed {seed}: {error}"),
        }
    }
}
