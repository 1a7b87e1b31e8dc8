//! How many requests are of use at one peer: as many as answers fit on the path.
//!
//! With too few, a long path is idle while requests travel. With too many, pieces are promised to one client long
//! before the server sends them, and clients that share the server get the same ones. The number follows from two
//! measurements of the conversation, as in Little's law: the shortest time from a request to its answer, divided by
//! the time between two answers, and one more so that a faster path is noticed.

use std::time::Duration;
use tokio::time::Instant;

/// Fewest requests: the next one waits at the server while the current one is sent.
const REQUESTS_MIN: usize = 2;
/// Most requests. With 256 KiB each, 4 MiB are in flight: 20 MB/s with a round-trip time of 200 ms.
const REQUESTS_MAX: usize = 16;

/// The measurements of one conversation.
#[derive(Debug, Default)]
pub(super) struct Depth {
    latency_min: Option<Duration>,
    /// The mean time between two answers; newer ones have more weight.
    interval: Option<Duration>,
    last: Option<Instant>,
}

impl Depth {
    /// Takes the times of a request and of the end of its answer.
    pub(super) fn note(&mut self, asked: Instant, answered: Instant) {
        let latency = answered - asked;
        self.latency_min = Some(self.latency_min.map_or(latency, |least| least.min(latency)));
        if let Some(last) = self.last.replace(answered) {
            // An answer that came without a wait for its request only.
            let interval = answered - last.max(asked);
            self.interval = Some(self.interval.map_or(interval, |mean| (mean * 3 + interval) / 4));
        }
    }

    /// The number of requests that are of use at a time.
    pub(super) fn requests(&self) -> usize {
        let (Some(latency), Some(interval)) = (self.latency_min, self.interval) else { return REQUESTS_MIN };
        let fitting = latency.as_secs_f64() / interval.as_secs_f64().max(1e-6);
        (fitting.ceil().min(REQUESTS_MAX as f64) as usize + 1).clamp(REQUESTS_MIN, REQUESTS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(begin: Instant, ms: u64) -> Instant {
        begin + Duration::from_millis(ms)
    }

    #[test]
    fn a_long_path_gets_more_requests_and_a_busy_server_does_not() {
        let begin = Instant::now();
        // 200 ms there and back; the link sends an answer in 20 ms once requests wait for it.
        let mut long = Depth::default();
        let mut answers = vec![0_u64];
        for number in 1..40_u64 {
            // As many requests as were of use were open, so this one was sent with an earlier answer.
            let asked = answers[answers.len().saturating_sub(long.requests())];
            let answered = (asked + 200).max(answers.last().unwrap() + 20);
            long.note(after(begin, asked), after(begin, answered));
            answers.push(answered);
            assert!(number > 12 || long.requests() <= 12);
        }
        assert!((10..=12).contains(&long.requests()), "{}", long.requests());
        // A server that sends to ten clients in turn answers each every 260 ms, the first time soon.
        let mut busy = Depth::default();
        busy.note(begin, after(begin, 30));
        for number in 0..10 {
            let asked = (260 * number_before(number)).saturating_sub(490);
            busy.note(after(begin, asked), after(begin, 260 * number_before(number)));
        }
        assert_eq!(busy.requests(), 2);
    }

    fn number_before(number: u64) -> u64 {
        number + 1
    }
}
