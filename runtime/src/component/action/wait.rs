//! An action that waits until a probe of the instance, or of one of its imports, succeeds.
//!
//! It never gives up by itself: the time-out of the action's step, which `rhizo-protocol` keeps, cancels it.

use super::super::launch::Launch;
use super::super::probe::Prober;
use super::super::template::Scope;
use rhizo_types::lifecycle::Values;
use rhizo_types::spec::Probe;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// Repeats the probe until it succeeds.
pub(super) async fn until_healthy(
    scope: &Scope,
    launch: &Launch,
    probe: &Probe,
    every_ms: u64,
) -> Result<Values, String> {
    let mut prober = Prober::new(&scope.fill_probe(probe)?, &scope.exports, launch);
    let mut ticks = interval(Duration::from_millis(every_ms.max(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(reason) = prober.look().await {
            tracing::debug!(instance = %scope.instance, reason, "not healthy yet");
            continue;
        }
        return Ok(Values::new());
    }
}
