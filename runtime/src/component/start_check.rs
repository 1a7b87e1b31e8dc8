//! The start check of one run: its last answer, written by the task of the service and read by the node's event loop.
//!
//! The check itself is made by [`super::exec`] for programs and by [`super::embedded`] for closures. This file only
//! keeps the answer for `status`, and knows how long a start may take.

use rhizo_types::lifecycle::Action;
use rhizo_types::spec::Component;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The start time-out of a component that sets none. Long enough for a program that warms up its caches, short enough
/// for an operator who waits.
pub(super) const START_MS_MAX: u64 = 60_000;

/// Returns the time after which a start has failed; none when the life-cycle sets one, which `rhizo-protocol`
/// enforces.
pub(super) fn start_ms_max(component: &Component) -> Option<u64> {
    declared_start_ms_max(component).is_none().then_some(START_MS_MAX)
}

/// Returns the longest time-out that the life-cycle sets for a start.
pub(super) fn declared_start_ms_max(component: &Component) -> Option<u64> {
    let lifecycle = component.lifecycle();
    let starts = lifecycle.transitions.values().map(|transition| &transition.step);
    starts.filter(|step| step.action == Action::Start).filter_map(|step| step.timeout_ms).max()
}

/// The last answer of a start check; empty before the first answer and after the check has passed.
#[derive(Default)]
pub(super) struct StartCheck(Mutex<Option<Answers>>);

struct Answers {
    begun: Instant,
    /// The time that the start may take, in milliseconds.
    limit_ms: u64,
    /// Number of probes so far; zero if the check is not made by probes.
    tries: u32,
    last: String,
}

impl StartCheck {
    /// Begins a check of a start that may take this long.
    pub(super) fn begin(&self, limit_ms: u64) {
        self.set(Some(Answers { begun: Instant::now(), limit_ms, tries: 0, last: String::new() }));
    }

    /// Stores the answer of a probe that did not succeed.
    pub(super) fn failed(&self, answer: &str) {
        self.change(|answers| {
            answers.tries += 1;
            answer.clone_into(&mut answers.last);
        });
    }

    /// Stores what is missing, as the service itself states it.
    pub(super) fn lacks(&self, missing: String) {
        self.change(|answers| answers.last = missing);
    }

    /// Ends the check.
    pub(super) fn end(&self) {
        self.set(None);
    }

    /// Returns the last answer of a check that has not passed, with the number of tries and the remaining time. `None`
    /// when the check began less than `min_ms` ago.
    pub(super) fn answer(&self, min_ms: u64) -> Option<String> {
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Answers { begun, limit_ms, tries, last } =
            answers.as_ref().filter(|answers| !answers.last.is_empty())?;
        let passed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        if passed_ms < min_ms {
            return None;
        }
        let left_s = limit_ms.saturating_sub(passed_ms).div_ceil(1_000);
        let tries = match tries {
            0 => String::new(),
            1 => "1 try, ".to_owned(),
            tries => format!("{tries} tries, "),
        };
        Some(format!("{tries}gives up in {left_s} s: {last}"))
    }

    fn change(&self, change: impl FnOnce(&mut Answers)) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(change);
    }

    fn set(&self, answers: Option<Answers>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = answers;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_answer_is_told_with_its_tries_until_the_check_has_passed() {
        let check = StartCheck::default();
        check.failed("too early");
        assert_eq!(check.answer(0), None, "no check has begun");
        check.begin(60_000);
        assert_eq!(check.answer(0), None);
        check.failed("refused");
        check.failed("404");
        assert!(
            check
                .answer(0)
                .is_some_and(|said| said.starts_with("2 tries, gives up in ") && said.ends_with(" s: 404"))
        );
        check.begin(60_000);
        check.lacks("it has not called `ready()`".to_owned());
        assert!(check.answer(0).is_some_and(|said| said.starts_with("gives up in ")));
        assert_eq!(check.answer(60_000), None, "it began just now");
        check.end();
        assert_eq!(check.answer(0), None);
    }
}
