//! Branch and bound for a small integer program, over the linear relaxations of good_lp's pure Rust back end.
//!
//! The back end solves linear programs only; branching, bounds and the integrality of every incumbent are judged
//! here, so that a search can be stopped, is repeatable, and is not at the mercy of a back end's own search.

use good_lp::solvers::microlp::microlp;
use good_lp::{Expression, ProblemVariables, ResolutionError, Solution, SolverModel, variable};

/// A value this near to a whole number counts as one; incumbents are re-checked with the whole number.
const WHOLE: f64 = 1e-6;
/// How far a row may be missed by rounding, relative to its size.
const ROW_TOLERANCE: f64 = 1e-7;

/// A whole-numbered variable from 0 to `max`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variable {
    pub(super) cost: f64,
    pub(super) max: f64,
}

/// `low <= sum <= high`; either may be infinite.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) terms: Vec<(usize, f64)>,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// Minimise the cost.
#[derive(Clone, Debug, Default)]
pub(super) struct Program {
    pub(super) variables: Vec<Variable>,
    pub(super) rows: Vec<Row>,
}

/// What a search found.
pub(super) struct Outcome {
    /// The best whole-numbered solution.
    pub(super) best: Option<Vec<u32>>,
    /// No solution costs less; none when nothing is known.
    pub(super) bound: Option<f64>,
    /// The search was complete.
    pub(super) complete: bool,
    pub(super) visited: u64,
}

/// Ranges of the variables in one part of the search space.
#[derive(Clone)]
struct Node {
    low: Vec<f64>,
    high: Vec<f64>,
    /// No solution in it costs less.
    bound: f64,
}

/// Minimises until proven or stopped.
pub(super) fn solve(program: &Program, stop: &mut dyn FnMut() -> bool) -> Outcome {
    let step = cost_step(program);
    let root = Node {
        low: vec![0.0; program.variables.len()],
        high: program.variables.iter().map(|v| v.max).collect(),
        bound: f64::NEG_INFINITY,
    };
    let mut open = vec![root];
    let mut best: Option<(f64, Vec<u32>)> = None;
    let mut visited = 0;
    let mut trusted = true;
    while let Some(node) = open.pop() {
        let cut = |bound: f64, best: &Option<(f64, Vec<u32>)>| match best {
            Some((cost, _)) => next_cost(bound, step) >= cost - ROW_TOLERANCE * cost.abs().max(1.0) * 1e-3,
            None => false,
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
            Err(ResolutionError::Infeasible) => continue,
            Err(_) => {
                // What the back end cannot solve is not proven to hold nothing.
                trusted = false;
                continue;
            }
        };
        let bound = cost_of(program, &values).max(node.bound);
        if cut(bound, &best) {
            continue;
        }
        keep_better(program, &values, &mut best);
        let Some(split) = most_fractional(&values) else { continue };
        let (mut below, mut above) = (node.clone(), node);
        (below.bound, above.bound) = (bound, bound);
        below.high[split] = values[split].floor();
        above.low[split] = values[split].ceil();
        // The stack takes the upper part first: it finds whole solutions sooner.
        open.push(below);
        open.push(above);
    }
    let left = open.iter().map(|n| n.bound).fold(f64::INFINITY, f64::min);
    let cost = best.as_ref().map_or(f64::INFINITY, |(cost, _)| *cost);
    let bound = next_cost(left, step).min(cost);
    Outcome {
        best: best.map(|(_, counts)| counts),
        bound: (trusted && bound.is_finite()).then_some(bound),
        complete: trusted && open.is_empty(),
        visited,
    }
}

/// Rounds a relaxed solution and keeps it if it holds and is the best.
fn keep_better(program: &Program, values: &[f64], best: &mut Option<(f64, Vec<u32>)>) {
    for whole in [rounded(values, f64::round), rounded(values, f64::ceil)] {
        let cost = cost_of(program, &whole);
        if holds(program, &whole) && best.as_ref().is_none_or(|(b, _)| cost < *b) {
            *best = Some((cost, whole.iter().map(|v| to_count(*v)).collect()));
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded, and saturating casts")]
fn to_count(value: f64) -> u32 {
    value as u32
}

/// When all costs are whole numbers, so is every total: bounds may be rounded up.
fn cost_step(program: &Program) -> Option<f64> {
    // Beyond 2^50 sums of whole numbers are no longer surely exact.
    let whole = |v: &Variable| v.cost.fract() == 0.0 && v.cost.abs() < 1e15;
    program.variables.iter().all(whole).then_some(1.0)
}

fn next_cost(bound: f64, step: Option<f64>) -> f64 {
    match step {
        Some(step) if bound.is_finite() => ((bound - WHOLE) / step).ceil() * step,
        _ => bound,
    }
}

fn relax(program: &Program, node: &Node) -> Result<Vec<f64>, ResolutionError> {
    let mut variables = ProblemVariables::new();
    let ranges = node.low.iter().zip(&node.high);
    let all: Vec<good_lp::Variable> =
        ranges.map(|(l, h)| variables.add(variable().min(*l).max(*h))).collect();
    let cost: Expression = program.variables.iter().zip(&all).map(|(v, x)| v.cost * *x).sum();
    let mut model = variables.minimise(cost).using(microlp);
    for row in &program.rows {
        let sum = || -> Expression { row.terms.iter().map(|(at, weight)| *weight * all[*at]).sum() };
        if row.low == row.high {
            model.add_constraint(sum().eq(row.low));
            continue;
        }
        if row.low.is_finite() {
            model.add_constraint(sum().geq(row.low));
        }
        if row.high.is_finite() {
            model.add_constraint(sum().leq(row.high));
        }
    }
    let solution = model.solve()?;
    Ok(all.iter().map(|x| solution.value(*x)).collect())
}

fn cost_of(program: &Program, values: &[f64]) -> f64 {
    program.variables.iter().zip(values).map(|(v, x)| v.cost * x).sum()
}

fn rounded(values: &[f64], how: fn(f64) -> f64) -> Vec<f64> {
    values.iter().map(|v| if (v - v.round()).abs() < WHOLE { v.round() } else { how(*v) }).collect()
}

fn most_fractional(values: &[f64]) -> Option<usize> {
    let distance = |v: f64| (v - v.round()).abs();
    let split = (0..values.len()).max_by(|a, b| distance(values[*a]).total_cmp(&distance(values[*b])))?;
    (distance(values[split]) > WHOLE).then_some(split)
}

fn holds(program: &Program, values: &[f64]) -> bool {
    let in_range = program.variables.iter().zip(values).all(|(v, x)| (0.0..=v.max).contains(x));
    in_range
        && program.rows.iter().all(|row| {
            let sum: f64 = row.terms.iter().map(|(at, weight)| weight * values[*at]).sum();
            let slack =
                |limit: f64| if limit.is_finite() { ROW_TOLERANCE * limit.abs().max(1.0) } else { 0.0 };
            sum >= row.low - slack(row.low) && sum <= row.high + slack(row.high)
        })
}
