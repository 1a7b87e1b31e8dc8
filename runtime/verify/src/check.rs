//! The check of one scenario: explores it, checks every state and step, then liveness, and makes a failure's trace.
//!
//! It does not choose scenarios. Read next: [`crate::explore`], [`crate::property`].

use crate::explore::{Breach, Watch, explore, follow, replay};
use crate::graph::Counterexample;
use crate::model::{Cluster, State, Taken};
use crate::property::state::Seen;
use crate::property::step::Shown;
use crate::property::{liveness, state, step};
use crate::rule::{Rule, Rules};
use crate::scenario::Scenario;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The result of checking a scenario.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// Number of states visited.
    pub states: u32,
    /// Number of steps checked.
    pub transitions: u32,
    /// The properties whose condition was met at least once, so that the check says something about them.
    pub occurred: Rules,
    /// The first property that does not hold.
    pub violation: Option<Violation>,
    /// The answers to the questions beside the properties.
    pub observed: Observed,
    /// Whether every reachable state was visited. If not, the liveness properties are not checked.
    pub is_complete: bool,
}

/// Questions in addition to the properties.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Questions {
    /// Pairs of actions, `component.transition`, that must never run at the same time.
    pub apart: Vec<(String, String)>,
}

/// Answers to [`Questions`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Observed {
    /// The largest set of actions, `instance.transition`, that run at the same time; the first one of that size.
    pub parallel: BTreeSet<String>,
}

/// A property that does not hold, with the shortest trace to the violation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The property's name.
    pub property: &'static str,
    /// The violation in words.
    pub detail: String,
    /// The steps, as sentences.
    pub trace: Vec<String>,
    /// The position in `trace` of the first step of the cycle that repeats without end; none for a trace that ends.
    pub repeats_from: Option<usize>,
    /// For each step, its position among the possible steps; the input of [`retrace`].
    pub positions: Vec<u16>,
}

impl Violation {
    /// The trace as numbered lines.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{} does not hold: {}\n", self.property, self.detail);
        for (number, line) in self.trace.iter().enumerate() {
            if self.repeats_from == Some(number) {
                text.push_str("      (from here on for ever)\n");
            }
            // Writing to a string does not fail.
            let _infallible = writeln!(text, "{:4}  {line}", number + 1);
        }
        text
    }
}

/// Explores a scenario, at most `states_max` states of it, and checks every property.
#[must_use]
pub fn check(scenario: &Scenario, states_max: u32) -> Verdict {
    check_rules(scenario, states_max, None, &Questions::default())
}

/// Checks a scenario as [`check`] does, and also answers questions.
#[must_use]
pub fn check_asking(scenario: &Scenario, states_max: u32, questions: &Questions) -> Verdict {
    check_rules(scenario, states_max, None, questions)
}

/// Checks one property as [`check`] does. Violations of other properties do not end the exploration.
#[must_use]
pub fn check_only(scenario: &Scenario, states_max: u32, rule: Rule) -> Verdict {
    check_rules(scenario, states_max, Some(rule), &Questions::default())
}

fn check_rules(scenario: &Scenario, states_max: u32, only: Option<Rule>, questions: &Questions) -> Verdict {
    let mut cluster = Cluster::new(scenario.clone());
    let mut watcher = Watcher { occurred: Rules::default(), only, questions, observed: Observed::default() };
    let found = explore(&mut cluster, &mut watcher, states_max);
    let mut verdict = Verdict {
        states: found.graph.len(),
        transitions: found.graph.transitions(),
        occurred: watcher.occurred,
        observed: watcher.observed,
        violation: None,
        is_complete: found.is_complete,
    };
    if let Some((breach, at, last)) = found.breach {
        let steps = replay(&mut cluster, &found.graph, at, last);
        let mut positions = found.graph.path(at);
        positions.extend(last);
        verdict.violation = Some(violation(breach, &steps, None, positions));
    } else if found.is_complete
        && let Some((rule, counterexample)) = liveness::check(&found.graph, only)
    {
        let Counterexample { from, path, cycle } = counterexample;
        let mut positions = found.graph.path(from);
        positions.extend(path);
        let repeats_from = (!cycle.is_empty()).then_some(positions.len());
        positions.extend(cycle);
        let detail = if repeats_from.is_some() { "it goes round for ever" } else { "nothing more happens" };
        let breach = Breach { property: rule.name(), detail: detail.to_owned() };
        let steps = follow(&mut cluster, &positions);
        verdict.violation = Some(violation(breach, &steps, repeats_from, positions));
    }
    verdict
}

/// Takes steps by their positions and returns the trace, which differs from the earlier one when the code has changed.
#[must_use]
pub fn retrace(scenario: &Scenario, positions: &[u16]) -> Vec<String> {
    let mut cluster = Cluster::new(scenario.clone());
    follow(&mut cluster, positions).iter().map(|(taken, _)| taken.to_string()).collect()
}

fn violation(
    breach: Breach,
    steps: &[(Taken, State)],
    repeats_from: Option<usize>,
    positions: Vec<u16>,
) -> Violation {
    let trace = steps.iter().map(|(taken, _)| taken.to_string()).collect();
    Violation { property: breach.property, detail: breach.detail, trace, repeats_from, positions }
}

/// Checks the properties while a scenario is explored.
struct Watcher<'a> {
    occurred: Rules,
    only: Option<Rule>,
    questions: &'a Questions,
    observed: Observed,
}

impl Watcher<'_> {
    /// Checks which actions run at the same time.
    fn observe(&mut self, state: &State) -> Result<(), Breach> {
        let mut running: BTreeSet<String> = BTreeSet::new();
        let mut kinds: BTreeSet<String> = BTreeSet::new();
        for (_, host) in state.working() {
            for view in host.agent.instances() {
                for way in &view.marking().running {
                    let name = &view.net().transition(*way).name;
                    running.insert(format!("{}.{name}", view.instance));
                    kinds.insert(format!("{}.{name}", view.instance.component));
                }
            }
        }
        if running.len() > self.observed.parallel.len() {
            self.observed.parallel = running;
        }
        let mut apart = self.questions.apart.iter();
        match apart.find(|(one, other)| kinds.contains(one) && kinds.contains(other)) {
            Some((one, other)) => {
                let detail = format!("`{one}` and `{other}` run at the same time");
                Err(Breach { property: APART, detail })
            }
            None => Ok(()),
        }
    }
}

/// The property of actions that must not run at the same time.
const APART: &str = "actions-are-apart";

impl Watch<Cluster> for Watcher<'_> {
    fn state(&mut self, cluster: &mut Cluster, state: &State) -> Result<u64, Breach> {
        self.observe(state)?;
        let mut seen = Seen::new(cluster, state, self.only);
        state::check(&mut seen);
        let marks = liveness::marks(cluster, &mut seen);
        self.occurred.extend(seen.occurred);
        seen.breach.map_or(Ok(marks), Err)
    }

    fn step(&mut self, _: &mut Cluster, from: &State, taken: &Taken, to: &State) -> Result<(), Breach> {
        let mut shown = Shown { only: self.only, ..Shown::default() };
        step::check(from, taken, to, &mut shown);
        self.occurred.extend(shown.occurred);
        shown.breach.map_or(Ok(()), Err)
    }
}

/// Returns the properties whose condition was never met.
#[must_use]
pub fn unmet(occurred: Rules) -> Vec<Rule> {
    Rule::ALL.iter().copied().filter(|rule| !occurred.contains(*rule)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Faults, component, spec, wish};
    use rhizo_types::id::{BehaviourName, PlaceName, TransitionName};
    use rhizo_types::lifecycle::{Action, Lifecycle, Transition};
    use rhizo_types::spec::{Component, Pick, Run};

    const STATES_MAX: u32 = 20_000;

    /// `off ─prepare─► ready ─start─► on`, and back by `halt` and `remove`.
    fn living(imports: &[(&str, bool, Pick)]) -> Component {
        let act = |name: &str| Action::Function(name.to_owned());
        let ways = [
            ("prepare", "off", "ready"),
            ("start", "ready", "on"),
            ("halt", "on", "ready"),
            ("remove", "ready", "off"),
        ];
        let names = |list: &[&str]| list.iter().map(|name| TransitionName::from(*name)).collect();
        let (up, down) = (BehaviourName::from("up"), BehaviourName::from("down"));
        let lifecycle = Lifecycle {
            places: ["off", "ready", "on"].map(PlaceName::from).into(),
            initial: PlaceName::from("off"),
            transitions: ways
                .map(|(name, from, to)| (TransitionName::from(name), Transition::plain(from, to, act(name))))
                .into(),
            behaviours: [
                (up.clone(), names(&["prepare", "start"])),
                (down.clone(), names(&["halt", "remove"])),
            ]
            .into(),
            deploy: vec![up],
            pause: vec![down.clone()],
            retire: vec![down],
            reset: Vec::new(),
            notify: None,
            started: [PlaceName::from("on")].into(),
            exports: [].into(),
            imports: [].into(),
        };
        Component {
            run: Run::Exec { argv: vec!["run".to_owned()] },
            lifecycle: Some(Box::new(lifecycle)),
            ..component(imports)
        }
    }

    fn removal() -> Scenario {
        Scenario {
            name: String::new(),
            specs: vec![spec(&[("web", living(&[("db", false, Pick::One)])), ("db", living(&[]))])],
            hosts: 1,
            wishes: vec![wish(&[("web", &[0]), ("db", &[0])]), wish(&[])],
            faults: Faults::default(),
        }
    }

    fn apart(one: &str, other: &str) -> Questions {
        Questions { apart: vec![(one.to_owned(), other.to_owned())] }
    }

    #[test]
    fn what_a_lower_place_does_not_need_is_let_go_at_once() {
        let verdict = check_asking(&removal(), STATES_MAX, &apart("web.remove", "db.halt"));
        let violation = verdict.violation.expect("the exporter goes down beside the last step of its user");
        assert_eq!(violation.property, "actions-are-apart");
    }

    #[test]
    fn what_is_used_stays_until_its_user_has_let_go() {
        let verdict = check_asking(&removal(), STATES_MAX, &apart("web.halt", "db.halt"));
        assert_eq!(verdict.violation, None);
        assert!(verdict.is_complete && verdict.observed.parallel.len() == 2, "{:?}", verdict.observed);
    }

    #[test]
    fn a_trace_is_replayed_by_its_positions() {
        let scenario = removal();
        let verdict = check_asking(&scenario, STATES_MAX, &apart("web.prepare", "db.prepare"));
        let violation = verdict.violation.expect("both prepare side by side");
        assert_eq!(retrace(&scenario, &violation.positions), violation.trace);
        assert!(violation.text().contains("run at the same time"));
    }
}
