//! The inventory equals the ledger, sampled during other work: every host has an intent, and every member has a host.
//!
//! A sample reads the provider's host directories and then the status. The two are not read at the same moment, so only
//! a difference that lasts over many samples in a row counts. The checker reads only public state and does not depend
//! on how rhizo reclaims hosts.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::deployment::{Deployment, nodes};

/// Pause between two samples.
const PAUSE: Duration = Duration::from_millis(250);
/// Consecutive samples (at least 25 s) that must show a difference before the test fails: longer than it takes to
/// detect a failure and to confirm that a host is gone.
const STREAK_MAX: u32 = 100;

/// Runs `work` while samples are taken, and fails when inventory and ledger disagreed for long.
pub(crate) fn sampled<T>(deployment: &Deployment, work: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    let samples = AtomicU32::new(0);
    let result = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut streak = 0;
            while !done.load(Ordering::Relaxed) {
                if let Some(status) = deployment.try_status() {
                    samples.fetch_add(1, Ordering::Relaxed);
                    let wrong = disagreement(&status, &live_hosts(deployment));
                    streak = if wrong.is_some() { streak + 1 } else { 0 };
                    assert!(streak < STREAK_MAX, "{}: {status:#}", wrong.unwrap_or_default());
                }
                std::thread::sleep(PAUSE);
            }
        });
        // The flag is set even when the work panics, so that the scope ends.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, Ordering::Relaxed);
        let verdict = sampler.join();
        match (result, verdict) {
            (Ok(result), Ok(())) => result,
            (Err(panic), _) | (_, Err(panic)) => std::panic::resume_unwind(panic),
        }
    });
    assert!(samples.load(Ordering::Relaxed) > 0, "no sample was taken");
    result
}

/// The hosts at the providers that have a process.
pub(crate) fn live_hosts(deployment: &Deployment) -> BTreeSet<String> {
    let commands: Vec<String> = deployment
        .processes()
        .into_iter()
        .filter_map(|pid| std::fs::read(format!("/proc/{pid}/cmdline")).ok())
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .collect();
    let live = deployment.host_dirs().into_iter().filter(|dir| {
        let dir = dir.to_string_lossy();
        commands.iter().any(|command| command.contains(dir.as_ref()))
    });
    live.filter_map(|dir| Some(dir.file_name()?.to_string_lossy().into_owned())).collect()
}

/// The difference between one status and the live hosts, as a sentence.
fn disagreement(status: &Value, live: &BTreeSet<String>) -> Option<String> {
    let members: BTreeSet<String> =
        nodes(status).iter().filter_map(|node| node["host"].as_str().map(str::to_owned)).collect();
    let unexplained: Vec<&String> = live.difference(&members).collect();
    let open = usize::try_from(status["intents"]["open"].as_u64().unwrap_or(0)).unwrap_or(usize::MAX);
    let gone: Vec<&String> = members.difference(live).collect();
    if unexplained.len() > open {
        return Some(format!("hosts nothing explains: {unexplained:?} with {open} open intents"));
    }
    (!gone.is_empty()).then(|| format!("members whose hosts do not live: {gone:?}"))
}

/// Asserts that ledger and inventory name the same hosts once the application is stable.
pub(crate) fn assert_equal(deployment: &Deployment, status: &Value) {
    assert_eq!(status["intents"]["open"], 0, "{status:#}");
    assert_eq!(status["intents"]["unknown"], 0, "{status:#}");
    assert_eq!(disagreement(status, &live_hosts(deployment)), None, "{status:#}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(hosts: &[&str]) -> BTreeSet<String> {
        hosts.iter().map(|host| (*host).to_owned()).collect()
    }

    #[test]
    fn the_checker_sees_a_leaked_and_a_vanished_host() {
        let status =
            serde_json::json!({"nodes": [{"id": "n1", "host": "h1"}], "intents": {"open": 0, "unknown": 0}});
        assert_eq!(disagreement(&status, &set(&["h1"])), None);
        assert!(disagreement(&status, &set(&["h1", "h2"])).is_some());
        assert!(disagreement(&status, &set(&[])).is_some());
        let acquiring =
            serde_json::json!({"nodes": [{"id": "n1", "host": "h1"}], "intents": {"open": 1, "unknown": 0}});
        assert_eq!(disagreement(&acquiring, &set(&["h1", "h2"])), None);
    }
}
