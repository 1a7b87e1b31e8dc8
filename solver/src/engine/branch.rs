//! Branch and bound for small integer programs, over linear relaxations.
//!
//! The back end (`linear.rs`) solves only linear programs. Branching, bounds and the integrality of every incumbent are
//! decided here, so that a search can be stopped and repeated and does not depend on the integer search of a back end.

use crate::engine::linear::{Row, Unsolved, minimum};

/// A value this near to an integer counts as that integer; incumbents are checked again with the integer.
const WHOLE: f64 = 1e-6;
/// The largest violation of a row that counts as rounding, relative to its limit.
const ROW_TOLERANCE: f64 = 1e-7;

/// A variable from 0 to `max`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Variable {
    pub(crate) cost: f64,
    pub(crate) max: f64,
    /// The variable takes only integer values.
    pub(crate) whole: bool,
}

/// An integer program: minimise the cost under the rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    pub(crate) variables: Vec<Variable>,
    pub(crate) rows: Vec<Row>,
}

/// The result of a search.
pub(crate) struct Outcome {
    /// The best solution that costs less than the limit; none when there is none or none was found.
    pub(crate) best: Option<Vec<f64>>,
    /// No solution costs less; none when nothing is known.
    pub(crate) bound: Option<f64>,
    /// The search was complete: `best` is optimal, or no solution costs less than the limit.
    pub(crate) complete: bool,
    pub(crate) visited: u64,
}

/// Ranges of the variables in one part of the search space.
#[derive(Clone)]
struct Node {
    low: Vec<f64>,
    high: Vec<f64>,
    /// No solution in it costs less.
    bound: f64,
}

/// Minimises until the optimum is proven or `stop` says so. Solutions that cost `limit` or more are discarded.
pub(crate) fn solve(program: &Program, limit: f64, stop: &mut dyn FnMut() -> bool) -> Outcome {
    let step = cost_step(program);
    let mut open = vec![whole_space(program)];
    let mut best: Option<(f64, Vec<f64>)> = None;
    let mut visited = 0;
    let mut trusted = true;
    while let Some(node) = open.pop() {
        let cut = |bound: f64, best: &Option<(f64, Vec<f64>)>| {
            let cost = best.as_ref().map_or(limit, |(cost, _)| *cost);
            next_cost(bound, step) >= cost - ROW_TOLERANCE * cost.abs().max(1.0) * 1e-3
        };
        if cut(node.bound, &best) {
            continue;
        }
        if stop() {
            open.push(node);
            break;
        }
        visited += 1;
        let values = match relax(program, &node) {
            Ok(values) => values,
            Err(Unsolved::Infeasible) => continue,
            Err(Unsolved::Failed) => {
                // A numerical failure, such as a singular basis, proves nothing about this part of the search space.
                trusted = false;
                continue;
            }
        };
        let bound = cost_of(program, &values).max(node.bound);
        if cut(bound, &best) {
            continue;
        }
        keep_better(program, &values, limit, &mut best);
        let Some(split) = most_fractional(program, &values) else {
            // An answer of the back end that breaks a row beyond rounding says nothing about the node either.
            trusted &= holds(program, &rounded(program, &values, f64::round));
            continue;
        };
        let (mut below, mut above) = (node.clone(), node);
        (below.bound, above.bound) = (bound, bound);
        below.high[split] = values[split].floor();
        above.low[split] = values[split].ceil();
        // The stack takes the upper part first: it finds whole solutions sooner.
        open.push(below);
        open.push(above);
    }
    let left = open.iter().map(|n| n.bound).fold(f64::INFINITY, f64::min);
    let cost = best.as_ref().map_or(limit, |(cost, _)| *cost);
    let bound = next_cost(left, step).min(cost);
    Outcome {
        best: best.map(|(_, values)| values),
        bound: (trusted && bound.is_finite()).then_some(bound),
        complete: trusted && open.is_empty(),
        visited,
    }
}

/// The root of the search: every variable in its whole range.
fn whole_space(program: &Program) -> Node {
    Node {
        low: vec![0.0; program.variables.len()],
        high: program.variables.iter().map(|v| v.max).collect(),
        bound: f64::NEG_INFINITY,
    }
}

/// Rounds a relaxed solution and keeps it when it satisfies every row and is the best so far.
fn keep_better(program: &Program, values: &[f64], limit: f64, best: &mut Option<(f64, Vec<f64>)>) {
    for whole in [rounded(program, values, f64::round), rounded(program, values, f64::ceil)] {
        let cost = cost_of(program, &whole);
        if cost < best.as_ref().map_or(limit, |(cost, _)| *cost) && holds(program, &whole) {
            *best = Some((cost, whole));
        }
    }
}

/// The step between two possible totals: 1 when all costs are integers, so that bounds may be rounded up.
fn cost_step(program: &Program) -> Option<f64> {
    // Beyond 2^50 sums of integers may no longer be exact.
    let whole = |v: &Variable| v.whole && v.cost.fract() == 0.0 && v.cost.abs() < 1e15;
    program.variables.iter().all(whole).then_some(1.0)
}

fn next_cost(bound: f64, step: Option<f64>) -> f64 {
    match step {
        Some(step) if bound.is_finite() => ((bound - WHOLE) / step).ceil() * step,
        _ => bound,
    }
}

fn relax(program: &Program, node: &Node) -> Result<Vec<f64>, Unsolved> {
    let ranges = node.low.iter().copied().zip(node.high.iter().copied());
    minimum(program.variables.iter().map(|v| v.cost), ranges, program.rows.iter())
}

fn cost_of(program: &Program, values: &[f64]) -> f64 {
    program.variables.iter().zip(values).map(|(v, x)| v.cost * x).sum()
}

fn rounded(program: &Program, values: &[f64], how: fn(f64) -> f64) -> Vec<f64> {
    let round = |(variable, value): (&Variable, &f64)| {
        if !variable.whole {
            *value
        } else if (value - value.round()).abs() < WHOLE {
            value.round()
        } else {
            how(*value)
        }
    };
    program.variables.iter().zip(values).map(round).collect()
}

fn most_fractional(program: &Program, values: &[f64]) -> Option<usize> {
    let distance = |at: &usize| (values[*at] - values[*at].round()).abs();
    let whole = (0..values.len()).filter(|at| program.variables[*at].whole);
    let split = whole.max_by(|a, b| distance(a).total_cmp(&distance(b)))?;
    (distance(&split) > WHOLE).then_some(split)
}

fn holds(program: &Program, values: &[f64]) -> bool {
    let in_range = |(v, x): (&Variable, &f64)| (-WHOLE..=v.max + WHOLE).contains(x);
    let in_range = program.variables.iter().zip(values).all(in_range);
    in_range
        && program.rows.iter().all(|row| {
            let sum: f64 = row.terms.iter().map(|(at, weight)| weight * values[*at]).sum();
            let slack =
                |limit: f64| if limit.is_finite() { ROW_TOLERANCE * limit.abs().max(1.0) } else { 0.0 };
            sum >= row.low - slack(row.low) && sum <= row.high + slack(row.high)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::linear::tests::power_flow;
    use rand::rngs::Xoshiro256PlusPlus;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn whole_numbers_and_others_are_mixed() {
        // Minimise 2s - 3x - 2y with x + 2y <= 4, 2x + y <= 5 + s: whole x and y, any s of 0.25 at most.
        let variable = |cost: f64, max: f64, whole: bool| Variable { cost, max, whole };
        let row =
            |terms: &[(usize, f64)], high: f64| Row { terms: terms.to_vec(), low: f64::NEG_INFINITY, high };
        let program = Program {
            variables: vec![variable(-3.0, 5.0, true), variable(-2.0, 5.0, true), variable(2.0, 0.25, false)],
            rows: vec![row(&[(0, 1.0), (1, 2.0)], 4.0), row(&[(0, 2.0), (1, 1.0), (2, -1.0)], 5.25)],
        };
        let outcome = solve(&program, f64::INFINITY, &mut || false);
        // By trying all: (2, 1) costs -8 without s; the relaxation is at (2.17, 0.92).
        assert_eq!((outcome.best, outcome.complete), (Some(vec![2.0, 1.0, 0.0]), true));
        assert!(outcome.bound.is_some_and(|bound| (bound + 8.0).abs() < 1e-6), "{:?}", outcome.bound);
        assert_eq!(solve(&program, -8.0, &mut || false).best, None, "nothing is below the limit");
        let other = solve(&program, -7.5, &mut || false);
        assert_eq!(other.best, Some(vec![2.0, 1.0, 0.0]));
    }

    #[test]
    fn what_is_proven_to_have_no_solution_has_none() {
        let (mut infeasible, mut unproven) = (0, 0);
        for seed in 0..2_000 {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
            let program = dependent(&mut rng);
            let outcome = solve(&program, f64::INFINITY, &mut || false);
            let least = enumerated(&program);
            unproven += u32::from(!outcome.complete);
            if outcome.complete {
                let found = outcome.best.as_ref().map(|values| cost_of(&program, values));
                assert_eq!(found.is_some(), least.is_some(), "seed {seed}: {program:?}");
                let near = found.zip(least).is_none_or(|(a, b)| (a - b).abs() < 1e-6);
                assert!(near, "seed {seed}: {found:?} {least:?} {program:?}");
                infeasible += u32::from(found.is_none());
            }
        }
        println!("{infeasible} infeasible, {unproven} unproven");
        assert!(infeasible > 100 && unproven < 100, "{infeasible} {unproven}");
    }

    /// Numerical failures and false reports of the back end occur among these programs; none may become a proof.
    #[test]
    fn a_program_with_a_solution_is_never_proven_to_have_none() {
        let mut unproven = 0;
        for seed in 0..3_000 {
            let (costs, ranges, rows) = power_flow(&mut Xoshiro256PlusPlus::seed_from_u64(seed));
            // Variables here start at 0, and angles are within 4 of 0.
            let bounded = |(low, high): &(f64, f64)| {
                if low.is_finite() { (*low, *high) } else { (-8.0, 8.0) }
            };
            let ranges: Vec<(f64, f64)> = ranges.iter().map(bounded).collect();
            let variable = |(cost, (low, high)): (&f64, &(f64, f64))| Variable {
                cost: *cost,
                max: high - low,
                whole: false,
            };
            let shifted = |row: &Row| {
                let shift: f64 = row.terms.iter().map(|(at, weight)| weight * ranges[*at].0).sum();
                Row { terms: row.terms.clone(), low: row.low - shift, high: row.high - shift }
            };
            let program = Program {
                variables: costs.iter().zip(&ranges).map(variable).collect(),
                rows: rows.iter().map(shifted).collect(),
            };
            let outcome = solve(&program, f64::INFINITY, &mut || false);
            unproven += u32::from(!outcome.complete);
            assert!(outcome.best.is_some() || !outcome.complete, "seed {seed}: {program:?}");
        }
        println!("{unproven} unproven");
    }

    /// A program over a few whole numbers with equations, some of which are sums of others, so that a basis can be
    /// singular; half of them have a solution by construction.
    fn dependent(rng: &mut Xoshiro256PlusPlus) -> Program {
        let count = rng.random_range(2..=5);
        let variable = |rng: &mut Xoshiro256PlusPlus| Variable {
            cost: f64::from(rng.random_range(-3..=3)),
            max: 3.0,
            whole: true,
        };
        let variables: Vec<Variable> = (0..count).map(|_| variable(rng)).collect();
        let point: Vec<f64> = (0..count).map(|_| f64::from(rng.random_range(0..=3))).collect();
        let shift = if rng.random_range(0..2) == 0 { 0.0 } else { f64::from(rng.random_range(0..=1)) };
        let mut rows: Vec<Row> = Vec::new();
        for _ in 0..rng.random_range(1..=3) {
            let weight = |rng: &mut Xoshiro256PlusPlus| f64::from(rng.random_range(-2..=2));
            let terms: Vec<(usize, f64)> = (0..count).map(|at| (at, weight(rng))).collect();
            let value: f64 = terms.iter().map(|(at, weight)| weight * point[*at]).sum::<f64>() + shift;
            rows.push(Row { terms, low: value, high: value });
        }
        let (first, last) = (rows[0].clone(), rows[rows.len() - 1].clone());
        let terms = first.terms.iter().zip(&last.terms).map(|((at, a), (_, b))| (*at, a + b)).collect();
        let sum = first.low + last.low + shift * f64::from(rng.random_range(0..=1));
        rows.push(Row { terms, low: sum, high: sum });
        Program { variables, rows }
    }

    /// The least cost of a solution, by trying every point.
    fn enumerated(program: &Program) -> Option<f64> {
        let count = u32::try_from(program.variables.len()).expect("a few");
        let point = |code: u32| (0..count).map(|at| f64::from(code / 4u32.pow(at) % 4)).collect::<Vec<f64>>();
        let solutions = (0..4u32.pow(count)).map(point).filter(|values| holds(program, values));
        solutions.map(|values| cost_of(program, &values)).min_by(f64::total_cmp)
    }
}
