//! Waiting until an instance, or what it imports, works.
//!
//! It waits for ever: the patience is the time-out of the action's step, which `rhizo-protocol` keeps.

use super::super::probe;
use super::super::template::Scope;
use rhizo_types::lifecycle::Values;
use rhizo_types::spec::Probe;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// Looks again and again until the probe succeeds.
pub(super) async fn until_healthy(scope: &Scope, probe: &Probe, every_ms: u64) -> Result<Values, String> {
    let filled = scope.fill_probe(probe)?;
    let mut ticks = interval(Duration::from_millis(every_ms.max(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(reason) = probe::look(&filled, &scope.exports).await {
            tracing::debug!(instance = %scope.instance, reason, "not healthy yet");
            continue;
        }
        return Ok(Values::new());
    }
}
