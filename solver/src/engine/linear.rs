//! Linear programs: good_lp and its back end, in one place.
//!
//! The back end is good_lp's pure Rust one, or HiGHS with the feature `highs`. Engines solve
//! relaxations with it and branch themselves, so that a search can be stopped and repeated. The caller judges the
//! values.

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

/// The least violation of all rows together, relative to their limits, that counts as one.
///
/// Programs are posed in numbers of about 1 to 10,000, and back ends round at about 1e-9.
const VIOLATION_MIN: f64 = 1e-6;

/// Minimises a sum of costs over variables in their ranges, under the rows.
///
/// `ranges` has the lower and upper end of each variable, in the order of `costs`. A back end that calls a program
/// infeasible is not believed at once: simplex codes do so for feasible programs with nearly singular bases. The answer
/// is confirmed by a second program, which is always feasible.
///
/// # Errors
/// [`Unsolved::Infeasible`] when that is confirmed, else [`Unsolved::Failed`].
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
    let ranges: Vec<(f64, f64)> = ranges.collect();
    let answer = answer(costs, &ranges, &rows);
    if answer == Err(Unsolved::Infeasible) && !is_violated(&ranges, &rows) {
        return Err(Unsolved::Failed);
    }
    answer
}

/// Whether every choice of values violates the rows by more than rounding.
///
/// Each row may be violated at a cost, so that the program is feasible, and the least cost is the least violation.
fn is_violated(ranges: &[(f64, f64)], rows: &[&Row]) -> bool {
    let mut elastic: Vec<Row> = Vec::new();
    let (mut costs, mut ranges) = (vec![0.0; ranges.len()], ranges.to_vec());
    for row in rows {
        for (low, high, limit, sign) in
            [(row.low, f64::INFINITY, row.low, 1.0), (f64::NEG_INFINITY, row.high, row.high, -1.0)]
        {
            if limit.is_finite() {
                let mut terms = row.terms.clone();
                terms.push((costs.len(), sign));
                costs.push(1.0 / limit.abs().max(1.0));
                ranges.push((0.0, f64::INFINITY));
                elastic.push(Row { terms, low, high });
            }
        }
    }
    let elastic: Vec<&Row> = elastic.iter().collect();
    let least = answer(costs.iter().copied(), &ranges, &elastic);
    least.is_ok_and(|values| costs.iter().zip(&values).map(|(c, v)| c * v).sum::<f64>() > VIOLATION_MIN)
}

/// The answer of the back end, as it is.
fn answer(
    costs: impl Iterator<Item = f64>,
    ranges: &[(f64, f64)],
    rows: &[&Row],
) -> Result<Vec<f64>, Unsolved> {
    let mut variables = ProblemVariables::new();
    let all: Vec<good_lp::Variable> =
        ranges.iter().map(|(low, high)| variables.add(variable().min(*low).max(*high))).collect();
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
pub(super) mod tests {
    use super::*;
    use rand::rngs::Xoshiro256PlusPlus;
    use rand::{RngExt, SeedableRng};

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

    /// A power-flow program with a known solution: `flow = b (angle_i - angle_j)` on every edge of a graph, and flows
    /// that balance at every vertex. The angles are free and the rows depend on each other, so that a basis can be
    /// singular in exact arithmetic. The solution satisfies the rows up to the rounding of a few sums.
    pub(in crate::engine) fn power_flow(
        rng: &mut Xoshiro256PlusPlus,
    ) -> (Vec<f64>, Vec<(f64, f64)>, Vec<Row>) {
        let vertices = rng.random_range(3..12);
        let mut edges: Vec<(usize, usize)> = (1..vertices).map(|v| (rng.random_range(0..v), v)).collect();
        edges.extend((0..vertices).map(|v| (v, (v + rng.random_range(1..vertices)) % vertices)));
        let mut point: Vec<f64> = (0..vertices).map(|_| f64::from(rng.random_range(-4..=4))).collect();
        let mut ranges = vec![(f64::NEG_INFINITY, f64::INFINITY); vertices];
        let (mut costs, mut rows) = (vec![0.0; vertices], Vec::new());
        let mut balance: Vec<Vec<(usize, f64)>> = vec![Vec::new(); vertices];
        for (from, to) in edges {
            let (flow, b) = (costs.len(), [0.01, 1.0, 3.0, 1e4][rng.random_range(0..4)]);
            let amount: f64 = b * (point[from] - point[to]);
            point.push(amount);
            costs.push(f64::from(rng.random_range(-2..=2)));
            ranges.push((amount.min(0.0), amount.max(1.0)));
            rows.push(row(&[(flow, 1.0), (from, -b), (to, b)], 0.0, 0.0));
            balance[from].push((flow, 1.0));
            balance[to].push((flow, -1.0));
        }
        let sum = |terms: &[(usize, f64)]| terms.iter().map(|(at, weight)| weight * point[*at]).sum::<f64>();
        rows.extend(balance.iter().map(|terms| row(terms, sum(terms), sum(terms))));
        let holds = |row: &Row| (sum(&row.terms) - row.low).abs() <= 1e-7 && row.low == row.high;
        assert!(rows.iter().all(holds), "feasible by construction");
        (costs, ranges, rows)
    }

    #[test]
    fn a_feasible_program_is_never_called_infeasible() {
        let (mut solved, mut failed, mut doubted) = (0, 0, 0);
        for seed in 0..3_000 {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
            let (costs, ranges, rows) = power_flow(&mut rng);
            let all: Vec<&Row> = rows.iter().collect();
            doubted += u32::from(answer(costs.iter().copied(), &ranges, &all) == Err(Unsolved::Infeasible));
            match minimum(costs.iter().copied(), ranges.iter().copied(), rows.iter()) {
                Ok(_) => solved += 1,
                // Says nothing about the program, and proves nothing: see `branch.rs`.
                Err(Unsolved::Failed) => failed += 1,
                Err(Unsolved::Infeasible) => panic!("seed {seed}: {costs:?} {ranges:?} {rows:?}"),
            }
        }
        println!("{solved} solved, {failed} failed, of which the back end called {doubted} infeasible");
        assert!(solved > 10 * failed, "{failed} of {solved}");
    }
}
