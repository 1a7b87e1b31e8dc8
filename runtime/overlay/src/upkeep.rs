//! The links that are wanted, and the time of the next dial of each missing one. Pure: clock and jitter are
//! arguments.
//!
//! A lost link is dialled again at once, because a refused dial is the fastest proof that a process has ended. Repeated
//! failures back off. [`crate::service`] does the dialling.

use rhizo_types::PeerKey;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A link to keep alive: the key of the other end and its addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkTarget {
    /// The key that must answer.
    pub key: PeerKey,
    /// The addresses to dial; only the first few are used.
    pub addresses: Vec<SocketAddr>,
}

/// Addresses tried for one peer.
pub(crate) const ADDRESSES_MAX: usize = 4;

/// Pause after the first failure; doubled by each further one.
const PAUSE_MIN: Duration = Duration::from_millis(60);
/// Longest pause: a peer that comes back is dialled within this time.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Head start of the smaller key, so that both ends seldom dial at the same moment.
const HEAD_START: Duration = Duration::from_millis(30);
/// Pause after the other end refused in favour of its own dial. That dial has usually made the link by then.
const CROSSED_PAUSE: Duration = Duration::from_millis(400);

/// A link that lasted less counts as a failed dial, so that a link which cannot last is not dialled without pause.
const STEADY: Duration = Duration::from_secs(1);

/// All wanted links.
#[derive(Clone, Debug)]
pub(crate) struct Upkeep {
    local: PeerKey,
    wanted: BTreeMap<PeerKey, Wanted>,
}

#[derive(Clone, Debug)]
struct Wanted {
    addresses: Vec<SocketAddr>,
    /// When to dial; `None` while linked or dialling.
    dial_at: Option<Instant>,
    failures: u32,
}

impl Upkeep {
    pub(crate) fn new(local: PeerKey) -> Self {
        Self { local, wanted: BTreeMap::new() }
    }

    /// Replaces the wanted links and returns the peers that are no longer wanted.
    ///
    /// `busy` tells whether a link to a peer is established or being dialled.
    pub(crate) fn replace(
        &mut self,
        targets: Vec<LinkTarget>,
        links_max: usize,
        busy: impl Fn(&PeerKey) -> bool,
        now: Instant,
        jitter: impl Fn() -> f64,
    ) -> Vec<PeerKey> {
        let mut before = std::mem::take(&mut self.wanted);
        for LinkTarget { key, mut addresses } in targets {
            if key == self.local || self.wanted.len() >= links_max {
                continue;
            }
            addresses.truncate(ADDRESSES_MAX);
            let wanted = match before.remove(&key) {
                Some(known) if known.addresses == addresses => known,
                known => Wanted {
                    addresses,
                    dial_at: (!busy(&key)).then(|| now + self.first_pause(&key, jitter())),
                    failures: known.map_or(0, |known| known.failures),
                },
            };
            self.wanted.insert(key, wanted);
        }
        before.into_keys().collect()
    }

    fn first_pause(&self, peer: &PeerKey, jitter: f64) -> Duration {
        if self.local < *peer { Duration::ZERO } else { HEAD_START.mul_f64(1.0 + jitter) }
    }

    /// Returns the peers to dial now, with their addresses. A peer is returned once for each dial that is due.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<(PeerKey, Vec<SocketAddr>)> {
        let due = self.wanted.iter_mut().filter(|(_, wanted)| wanted.dial_at.is_some_and(|at| at <= now));
        due.map(|(key, wanted)| {
            wanted.dial_at = None;
            (*key, wanted.addresses.clone())
        })
        .collect()
    }

    /// The next moment at which [`Upkeep::take_due`] returns a peer.
    pub(crate) fn next_dial(&self) -> Option<Instant> {
        self.wanted.values().filter_map(|wanted| wanted.dial_at).min()
    }

    pub(crate) fn is_wanted(&self, peer: &PeerKey) -> bool {
        self.wanted.contains_key(peer)
    }

    pub(crate) fn link_up(&mut self, peer: &PeerKey) {
        if let Some(wanted) = self.wanted.get_mut(peer) {
            wanted.dial_at = None;
        }
    }

    /// Notes a lost link of that age.
    pub(crate) fn link_down(&mut self, peer: &PeerKey, age: Duration, now: Instant, jitter: f64) {
        if age < STEADY {
            self.dial_failed(peer, now, jitter);
            return;
        }
        let pause = self.first_pause(peer, jitter);
        if let Some(wanted) = self.wanted.get_mut(peer) {
            wanted.failures = 0;
            wanted.dial_at = Some(now + pause);
        }
    }

    /// Dials every wanted link again now, as if none had failed yet: the lineage has changed, and all links are closed.
    pub(crate) fn begin_anew(&mut self, now: Instant, jitter: impl Fn() -> f64) {
        let local = self.local;
        for (peer, wanted) in &mut self.wanted {
            let pause = if local < *peer { Duration::ZERO } else { HEAD_START.mul_f64(1.0 + jitter()) };
            (wanted.failures, wanted.dial_at) = (0, Some(now + pause));
        }
    }

    /// Notes a failed dial. Returns how many dials have failed since the link was last up; `None` if it is not wanted.
    pub(crate) fn dial_failed(&mut self, peer: &PeerKey, now: Instant, jitter: f64) -> Option<u32> {
        let wanted = self.wanted.get_mut(peer)?;
        wanted.failures = wanted.failures.saturating_add(1);
        // Beyond 2⁶ × 60 ms the cap holds anyway.
        let doublings = (wanted.failures - 1).min(6);
        let pause = (PAUSE_MIN * 2_u32.pow(doublings)).min(PAUSE_MAX);
        wanted.dial_at = Some(now + pause.mul_f64(0.75 + 0.5 * jitter));
        Some(wanted.failures)
    }

    /// Notes that the other end refused in favour of its own dial: no failure, but the dial is repeated later.
    pub(crate) fn dial_crossed(&mut self, peer: &PeerKey, now: Instant, jitter: f64) {
        if let Some(wanted) = self.wanted.get_mut(peer) {
            wanted.dial_at = Some(now + CROSSED_PAUSE.mul_f64(0.75 + 0.5 * jitter));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: PeerKey = PeerKey([5; 32]);
    const SMALLER: PeerKey = PeerKey([1; 32]);
    const LARGER: PeerKey = PeerKey([9; 32]);

    fn target(key: PeerKey, port: u16) -> LinkTarget {
        LinkTarget { key, addresses: vec![SocketAddr::from(([127, 0, 0, 1], port))] }
    }

    fn upkeep(now: Instant) -> Upkeep {
        let mut upkeep = Upkeep::new(LOCAL);
        let targets = vec![target(SMALLER, 1), target(LARGER, 2), target(LOCAL, 3)];
        assert_eq!(upkeep.replace(targets, 10, |_| false, now, || 0.0), vec![]);
        upkeep
    }

    fn due(upkeep: &mut Upkeep, now: Instant) -> Vec<PeerKey> {
        upkeep.take_due(now).into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn the_smaller_key_dials_first_and_nobody_dials_itself() {
        let now = Instant::now();
        let mut upkeep = upkeep(now);
        assert_eq!(due(&mut upkeep, now), vec![LARGER]);
        assert_eq!(due(&mut upkeep, now), vec![]);
        assert_eq!(due(&mut upkeep, now + 2 * HEAD_START), vec![SMALLER]);
        assert_eq!(upkeep.next_dial(), None);
    }

    #[test]
    fn failures_back_off_up_to_the_cap_and_a_link_that_lasts_resets_them() {
        let mut now = Instant::now();
        let mut upkeep = upkeep(now);
        upkeep.take_due(now + HEAD_START);
        let mut pauses = Vec::new();
        for failure in 1..=10 {
            assert_eq!(upkeep.dial_failed(&LARGER, now, 0.5), Some(failure));
            let at = upkeep.next_dial().unwrap();
            pauses.push(at - now);
            now = at;
            assert_eq!(due(&mut upkeep, now), vec![LARGER]);
        }
        assert_eq!(pauses[0], PAUSE_MIN);
        assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!(*pauses.last().unwrap(), PAUSE_MAX);
        upkeep.link_up(&LARGER);
        upkeep.link_down(&LARGER, STEADY / 2, now, 0.5);
        assert_eq!(upkeep.next_dial(), Some(now + PAUSE_MAX), "a link that did not last resets nothing");
        upkeep.link_up(&LARGER);
        upkeep.link_down(&LARGER, STEADY, now, 0.5);
        assert_eq!(due(&mut upkeep, now), vec![LARGER]);
        assert_eq!(upkeep.dial_failed(&LARGER, now, 0.5), Some(1));
    }

    #[test]
    fn replacing_the_targets_keeps_the_known_ones_and_names_the_dropped_ones() {
        let now = Instant::now();
        let mut upkeep = upkeep(now);
        upkeep.take_due(now + HEAD_START);
        upkeep.dial_failed(&LARGER, now, 0.5);
        let at = upkeep.next_dial();
        let dropped = upkeep.replace(vec![target(LARGER, 2)], 10, |_| false, now, || 0.0);
        assert_eq!(dropped, vec![SMALLER]);
        assert_eq!(upkeep.next_dial(), at, "an unchanged target keeps its pause");
        upkeep.replace(vec![target(LARGER, 7)], 10, |_| false, now, || 0.0);
        assert_eq!(due(&mut upkeep, now), vec![LARGER], "a new address is tried at once");
        assert_eq!(upkeep.dial_failed(&SMALLER, now, 0.5), None);
    }

    #[test]
    fn more_targets_than_links_allowed_are_not_wanted() {
        let now = Instant::now();
        let mut upkeep = Upkeep::new(LOCAL);
        upkeep.replace(vec![target(SMALLER, 1), target(LARGER, 2)], 1, |_| false, now, || 0.0);
        let later = now + 2 * HEAD_START;
        assert_eq!(due(&mut upkeep, later), vec![SMALLER]);
    }
}
