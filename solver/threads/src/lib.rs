//! Runs the solver against the clock; large problems on two threads that exchange their best assignments.
//!
//! The solver itself uses neither clock nor threads, so that it can be replayed; this crate adds both. It makes no
//! placement decision. With two threads the result depends on their relative speed: a run is repeatable only with
//! [`Time::threads`] = 1 and without [`Time::use_all`]. Read next: `rhizo_solver::Watch`.

#![forbid(unsafe_code)]

use rhizo_solver::{
    Assignment, Improvement, MEMORY_MAX_BYTES, Options, Plan, Problem, SolveError, Watch, solve_watched,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Problems with fewer instances are solved before a second thread has warmed up, and a second thread does not help
/// proofs.
const INSTANCES_FOR_TWO: u64 = 200;
/// Turns one seed into an unrelated one: the golden ratio in 64 bits, as splitmix64 steps.
const OTHER_SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// The time and threads of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Time {
    /// The search ends after this time.
    pub limit: Duration,
    /// Whether the search uses all of the time; otherwise it ends earlier when it no longer finds improvements.
    pub use_all: bool,
    /// The most threads; at most two are used. They share the memory limit of the search.
    pub threads: usize,
}

/// Solves within a time. With two threads, returns the better of their plans.
///
/// # Errors
/// Those of the solver; when both threads fail, the error of the first.
pub fn solve_within(problem: &Problem, options: &Options, time: Time) -> Result<Plan, SolveError> {
    let board =
        Board { start: Instant::now(), time, is_over: AtomicBool::new(false), best: Mutex::new(None) };
    let instances: u64 = problem.components.iter().map(|c| u64::from(c.replicas_max)).sum();
    if time.threads < 2 || instances < INSTANCES_FOR_TWO {
        return board.search(problem, options);
    }
    let other = Options { seed: options.seed ^ OTHER_SEED, ..*options };
    let (first, second) = std::thread::scope(|scope| {
        let second = scope.spawn(|| board.search(problem, &other));
        let first = board.search(problem, options);
        (first, second.join())
    });
    match (first, second) {
        (Ok(first), Ok(Ok(second))) => Ok(better(first, second)),
        (Err(_), Ok(Ok(second))) => Ok(second),
        (first, Ok(Err(_))) => first,
        (_, Err(panic)) => std::panic::resume_unwind(panic),
    }
}

/// The plan that is worth more; of equal ones the proven one, else the first.
fn better(first: Plan, second: Plan) -> Plan {
    let is_first = match first.after.net.total_cmp(&second.after.net) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => first.proven || !second.proven,
        std::cmp::Ordering::Greater => true,
    };
    if is_first { first } else { second }
}

/// The state that the threads share.
struct Board {
    start: Instant,
    time: Time,
    /// Whether one thread has a proven answer, so that the other can stop.
    is_over: AtomicBool,
    best: Mutex<Option<(f64, Assignment)>>,
}

impl Board {
    fn search(&self, problem: &Problem, options: &Options) -> Result<Plan, SolveError> {
        let answer = solve_watched(problem, options, &mut Looker { board: self });
        if matches!(&answer, Ok(Plan { proven: true, .. }) | Err(SolveError::Infeasible { .. })) {
            self.is_over.store(true, Ordering::Relaxed);
        }
        answer
    }

    /// The board is consistent at any moment, even after a thread panicked while holding the lock.
    fn best(&self) -> MutexGuard<'_, Option<(f64, Assignment)>> {
        self.best.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The watch of one thread, with its view of the board.
struct Looker<'a> {
    board: &'a Board,
}

impl Watch for Looker<'_> {
    fn stop(&mut self) -> bool {
        self.board.is_over.load(Ordering::Relaxed) || self.board.start.elapsed() >= self.board.time.limit
    }

    fn elapsed_share(&mut self) -> Option<f64> {
        let Time { limit, use_all, .. } = self.board.time;
        use_all.then(|| self.board.start.elapsed().as_secs_f64() / limit.as_secs_f64().max(1e-9))
    }

    fn memory_max_bytes(&self) -> u64 {
        MEMORY_MAX_BYTES / self.board.time.threads.clamp(1, 2) as u64
    }

    fn improved(&mut self, improvement: &Improvement) {
        let mut best = self.board.best();
        if best.as_ref().is_none_or(|(net, _)| improvement.net > *net) {
            *best = Some((improvement.net, improvement.assignment.clone()));
        }
    }

    fn exchange(&mut self, net: f64) -> Option<Assignment> {
        self.board.best().as_ref().filter(|(best, _)| *best > net).map(|(_, assignment)| assignment.clone())
    }
}

#[cfg(test)]
mod tests;
