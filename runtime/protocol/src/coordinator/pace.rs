//! How long the next order of a host waits after orders that gave no working host.
//!
//! An order fails here when its host never joined, or when this machine could not make the call. Neither is the fault
//! of one offer, so the waits grow over all offers together, and no offer cools down for it. [`super::hosts`] makes the
//! calls; the refusals of providers are handled there.

use super::View;
use rhizo_types::Time;
use rhizo_types::id::NodeId;

/// The wait after the first order that failed. It is short beside the boot of a machine.
const WAIT_MS: u64 = 5_000;
/// The wait grows to 2^4 times the first: a fault that is mended is noticed within 80 s.
const DOUBLINGS_MAX: u32 = 4;

/// The orders that failed since a host joined last.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct OrderPace {
    /// Orders in a row that gave no host. Orders that fail during a wait belong to the same batch and count once.
    failures: u32,
    /// No new order is made before this time.
    until: Time,
    /// The newest member at the last look. Node ids grow, so a newer one has joined.
    newest: Option<NodeId>,
}

impl Default for OrderPace {
    fn default() -> Self {
        Self { failures: 0, until: Time::ZERO, newest: None }
    }
}

impl OrderPace {
    /// Ends the wait when a host has joined.
    pub(super) fn follow(&mut self, view: View<'_>) {
        let newest = view.ledger.members.keys().max().copied();
        if newest > self.newest {
            (self.failures, self.until, self.newest) = (0, Time::ZERO, newest);
        }
    }

    /// Counts an order that gave no host.
    pub(super) fn failed(&mut self, now: Time) {
        if now >= self.until {
            self.failures = self.failures.saturating_add(1);
            self.until = now.after_ms(WAIT_MS << (self.failures - 1).min(DOUBLINGS_MAX));
        }
    }

    /// The time before which no new order is made; none while orders may be made.
    pub(super) fn waits_until(&self, now: Time) -> Option<Time> {
        Some(self.until).filter(|until| *until > now)
    }

    /// A sentence for the operator while orders wait.
    pub(super) fn problem(&self, now: Time) -> Option<String> {
        let left_ms = self.waits_until(now)?.ms_since(now);
        let (count, left_s) = (self.failures, left_ms.div_ceil(1_000));
        Some(format!("{count} orders in a row gave no host that joined; the next one follows in {left_s} s"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_with_the_failed_orders_and_a_batch_counts_once() {
        let mut pace = OrderPace::default();
        assert_eq!(pace.waits_until(Time(1)), None);
        let mut now = Time(0);
        let mut waits = Vec::new();
        for _ in 0..7 {
            pace.failed(now);
            // The other orders of the batch.
            pace.failed(now.after_ms(1));
            let until = pace.waits_until(now).expect("orders wait");
            waits.push(until.ms_since(now));
            assert!(pace.problem(now).is_some_and(|text| text.contains("in a row")), "it is told");
            now = until;
            assert_eq!(pace.waits_until(now), None, "an order may be made when the wait is over");
        }
        assert_eq!(waits, [5_000, 10_000, 20_000, 40_000, 80_000, 80_000, 80_000]);
    }
}
