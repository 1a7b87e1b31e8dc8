//! The number of requests per second that this process serves: counted by the service, read by the sensor.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// A counter of requests that can tell its rate.
pub(crate) struct Load {
    requests: AtomicU64,
    /// The moment of the last reading, and the count at that moment.
    last: Mutex<(Instant, u64)>,
}

impl Load {
    pub(crate) fn new() -> Self {
        Self { requests: AtomicU64::new(0), last: Mutex::new((Instant::now(), 0)) }
    }

    /// Counts one request.
    pub(crate) fn count(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests per second since the last reading; zero if no time has passed.
    pub(crate) fn per_second(&self) -> f64 {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, count) = (Instant::now(), self.requests.load(Ordering::Relaxed));
        let seconds = now.duration_since(last.0).as_secs_f64();
        let served = count.saturating_sub(last.1);
        *last = (now, count);
        // A count of requests is far below 2^53, where every whole f64 is exact.
        if seconds > 0.0 { served as f64 / seconds } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_covers_the_requests_since_the_last_one() {
        let load = Load::new();
        load.count();
        load.count();
        assert!(load.per_second() > 0.0);
        assert_eq!(load.per_second(), 0.0);
    }
}
