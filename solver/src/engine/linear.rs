//! Linear programs: good_lp and its back end, in one place.
//!
//! The back end is good_lp's pure Rust one, or HiGHS with the feature `highs`. Engines solve
//! relaxations with it and branch themselves, so that a search can be stopped and repeated. The caller judges the values.

use good_lp::{Expression, ProblemVariables, ResolutionError, Solution, SolverModel, variable};

/// `low <= sum <= high`; either may be infinite.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) terms: Vec<(usize, f64)>,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// Why a program has no values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unsolved {
    /// No values satisfy the rows.
    Infeasible,
    /// The back end failed, for example on a singular basis. This says nothing about the program.
    Failed,
}

/// Minimises a sum of costs over variables in their ranges, under the rows.
///
/// `ranges` has the lower and upper end of each variable, in the order of `costs`.
///
/// # Errors
/// See [`Unsolved`].
pub(crate) fn minimum<'a>(
    costs: impl Iterator<Item = f64>,
    ranges: impl Iterator<Item = (f64, f64)>,
    rows: impl Iterator<Item = &'a Row>,
) -> Result<Vec<f64>, Unsolved> {
    // Back ends handle empty programs and rows in different ways.
    let (rows, empty): (Vec<&Row>, Vec<&Row>) = rows.partition(|row| !row.terms.is_empty());
    if empty.iter().any(|row| row.low > 0.0 || row.high < 0.0) {
        return Err(Unsolved::Infeasible);
    }
    let mut variables = ProblemVariables::new();
    let all: Vec<good_lp::Variable> =
        ranges.map(|(low, high)| variables.add(variable().min(low).max(high))).collect();
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let cost: Expression = costs.zip(&all).map(|(cost, x)| cost * *x).sum();
    let mut model = backend(variables.minimise(cost));
    for row in rows {
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
    match model.solve() {
        Ok(solution) => Ok(all.iter().map(|x| solution.value(*x)).collect()),
        Err(ResolutionError::Infeasible) => Err(Unsolved::Infeasible),
        Err(_) => Err(Unsolved::Failed),
    }
}

#[cfg(not(feature = "highs"))]
fn backend(program: good_lp::variable::UnsolvedProblem) -> impl SolverModel<Error = ResolutionError> {
    program.using(good_lp::solvers::microlp::microlp)
}

/// On the caller's thread alone: more threads would make runs depend on the machine.
#[cfg(feature = "highs")]
fn backend(program: good_lp::variable::UnsolvedProblem) -> impl SolverModel<Error = ResolutionError> {
    use good_lp::solvers::highs::{HighsParallelType, highs};
    program.using(highs).set_parallel(HighsParallelType::Off).set_threads(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(terms: &[(usize, f64)], low: f64, high: f64) -> Row {
        Row { terms: terms.to_vec(), low, high }
    }

    #[test]
    fn corners_are_found_and_contradictions_told() {
        // The classic: 3x + 2y at most, under x + y <= 4 and x + 3y <= 6.
        let rows = [
            row(&[(0, 1.0), (1, 1.0)], f64::NEG_INFINITY, 4.0),
            row(&[(0, 1.0), (1, 3.0)], f64::NEG_INFINITY, 6.0),
        ];
        let solve = |x_max: f64, rows: &[Row]| {
            let ranges = [(0.0, x_max), (0.0, 10.0)];
            minimum([-3.0, -2.0].into_iter(), ranges.into_iter(), rows.iter())
        };
        let near = |values: Vec<f64>, wanted: [f64; 2]| {
            assert!(values.iter().zip(wanted).all(|(v, w)| (v - w).abs() < 1e-6), "{values:?} {wanted:?}");
        };
        near(solve(10.0, &rows).expect("feasible"), [4.0, 0.0]);
        near(solve(3.0, &rows).expect("feasible"), [3.0, 1.0]);
        let mut exact = rows.to_vec();
        exact.push(row(&[(1, 2.0)], 1.0, 1.0));
        near(solve(10.0, &exact).expect("feasible"), [3.5, 0.5]);
        exact.push(row(&[(1, 1.0)], 3.0, f64::INFINITY));
        assert_eq!(solve(10.0, &exact), Err(Unsolved::Infeasible));
        assert_eq!(solve(10.0, &[row(&[], 1.0, 2.0)]), Err(Unsolved::Infeasible));
        near(solve(3.0, &[row(&[], -1.0, 0.0)]).expect("an empty row holds"), [3.0, 10.0]);
        let nothing = minimum([].into_iter(), [].into_iter(), [row(&[], 0.0, 0.0)].iter());
        assert_eq!(nothing, Ok(Vec::new()));
    }
}
