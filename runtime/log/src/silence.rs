//! How long a member has heard no sign of life, counted only while it ran itself.
//!
//! A process on a busy machine may wait for a processor for longer than the lease. Meanwhile the messages of its leader
//! wait in its sockets, and by the clock the leader has been silent. A member therefore looks at its silence in several
//! steps. A step counts with its planned length: when the member wakes up later than planned, it could not have heard
//! anything in the rest of that time. (Lifeguard, arXiv 1707.00788: a late wake-up is evidence against the observer.)
//! Read next: `succession.rs`, which acts on the silence.

use std::time::Duration;
use tokio::time::Instant;

/// A wake-up that is late by at most this much counts in full. Timers of an idle machine are late by a few
/// milliseconds, those of a machine with some work by ten or twenty.
const ON_TIME: Duration = Duration::from_millis(20);
/// Shortest step. Messages that arrived while the member waited for a processor are read within it.
const STEP_MIN: Duration = Duration::from_millis(15);

/// The silence of one peer, or of a quorum of peers.
pub(crate) struct Silence {
    /// The latest sign of life.
    heard: Instant,
    /// The silence from there to `looked`.
    counted: Duration,
    looked: Instant,
    /// The time planned for the next look.
    planned: Instant,
}

impl Silence {
    pub(crate) fn new(now: Instant) -> Self {
        Self { heard: now, counted: Duration::ZERO, looked: now, planned: now }
    }

    /// Returns the silence counted up to `now`. `heard` is the latest sign of life, if there was one.
    pub(crate) fn look(&mut self, heard: Option<Instant>, now: Instant) -> Duration {
        if let Some(heard) = heard.filter(|heard| *heard > self.heard) {
            self.heard = heard;
            self.counted = Duration::ZERO;
            self.looked = heard;
        }
        let until = if now <= self.planned + ON_TIME { now } else { self.planned };
        self.counted += until.saturating_duration_since(self.looked);
        self.looked = now;
        // The rest of the step, which a look before its time leaves, still counts.
        self.planned = self.planned.max(now);
        self.counted
    }

    /// Plans and returns the time of the next look, while the silence is shorter than `wanted`.
    ///
    /// Half of the remaining time, so that a delay at any point of the silence is noticed in one of the later steps,
    /// and a member that hears its leader looks a few times a second only.
    pub(crate) fn next_look(&mut self, wanted: Duration, now: Instant) -> Instant {
        self.planned = now + (wanted.saturating_sub(self.counted) / 2).max(STEP_MIN);
        self.planned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(500);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_member_that_is_woken_in_time_counts_all_of_its_silence_in_a_few_steps() {
        let start = Instant::now();
        let (mut silence, mut now, mut looks) = (Silence::new(start), start, 0);
        while silence.look(None, now) < LIMIT {
            now = silence.next_look(LIMIT, now) + ms(5);
            looks += 1;
        }
        assert!(now - start <= LIMIT + STEP_MIN + ms(5), "{:?}", now - start);
        assert!(looks <= 8, "{looks} looks");
    }

    #[test]
    fn time_in_which_the_member_did_not_run_is_no_silence() {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        let planned = silence.next_look(LIMIT, start);
        assert_eq!(silence.look(None, planned + ms(3_000)), planned - start);
        let again = planned + ms(3_000);
        assert!(
            silence.next_look(LIMIT, again) > again,
            "the time that it was woken late is not made up for"
        );
    }

    #[test]
    fn a_sign_of_life_begins_the_silence_anew() {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        let planned = silence.next_look(LIMIT, start);
        assert_eq!(silence.look(Some(start + ms(200)), planned), planned - start - ms(200));
        // It was read late, long after the planned time.
        let late = silence.next_look(LIMIT, planned) + ms(900);
        assert_eq!(silence.look(Some(late), late), Duration::ZERO);
    }

    #[test]
    fn a_look_between_two_planned_ones_neither_loses_nor_adds_time() {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        let planned = silence.next_look(LIMIT, start);
        assert_eq!(silence.look(None, start + ms(100)), ms(100));
        assert_eq!(silence.look(None, planned), planned - start);
    }
}
