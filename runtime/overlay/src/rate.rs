//! A token bucket: bounds a burst of events and their long-run rate per second. The clock is an argument.

use std::time::Instant;

/// A token bucket.
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    per_second: f64,
    burst: f64,
    tokens: f64,
    filled_at: Instant,
}

impl Rate {
    /// A full bucket.
    pub(crate) fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        let burst = f64::from(burst);
        Self { per_second: f64::from(per_second), burst, tokens: burst, filled_at: now }
    }

    /// Takes one token, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.filled_at = now;
        self.tokens = (self.tokens + elapsed * self.per_second).min(self.burst);
        let granted = self.tokens >= 1.0;
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_bucket_gives_its_burst_then_its_rate() {
        let start = Instant::now();
        let mut rate = Rate::new(10, 3, start);
        assert_eq!((0..5).filter(|_| rate.take(start)).count(), 3);
        let later = start + Duration::from_millis(200);
        assert_eq!((0..5).filter(|_| rate.take(later)).count(), 2);
        let much_later = start + Duration::from_secs(3600);
        assert_eq!((0..9).filter(|_| rate.take(much_later)).count(), 3);
    }
}
