//! Bounds of the duration of a deployment from intervals of its actions' durations, and the critical path.
//!
//! Every step of every instance is taken as early as possible. In a deployment without failures no step becomes earlier
//! because another action takes longer, so all least durations together give the least total, and all greatest the
//! greatest. The time for messages and for the runtime itself is not included.

use crate::property::startable::need_to_start;
use rhizo_protocol::Ledger;
use rhizo_types::id::{ComponentName, InstanceId, PortName, TransitionName};
use rhizo_types::lifecycle::Action;
use rhizo_types::net::{Marking, Net, PlaceIx, TransitionIx};
use rhizo_types::spec::Component;
use std::collections::{BTreeMap, BTreeSet};

/// The least and the greatest duration of an action, in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interval {
    /// The least duration.
    pub ms_min: u64,
    /// The greatest duration.
    pub ms_max: u64,
}

/// Durations by component and transition. An action that is missing takes no time.
pub type Durations = BTreeMap<(ComponentName, TransitionName), Interval>;

/// One action of a deployment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bar {
    /// The instance.
    pub instance: InstanceId,
    /// The transition.
    pub transition: TransitionName,
    /// Time of its beginning in milliseconds, with the least and with the greatest durations.
    pub begin_ms: (u64, u64),
    /// Time of its end in milliseconds, with the least and with the greatest durations.
    pub end_ms: (u64, u64),
    /// Whether it is on the critical path of the greatest durations.
    pub is_critical: bool,
}

/// The schedule of a deployment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Schedule {
    /// Its actions, ordered by their begin with the greatest durations.
    pub bars: Vec<Bar>,
    /// The total duration.
    pub total_ms: (u64, u64),
    /// Positions in `bars` of the longest chain of actions that wait for each other.
    pub critical: Vec<usize>,
}

/// One action of one simulated deployment.
struct Played {
    instance: InstanceId,
    way: TransitionIx,
    name: TransitionName,
    begin: u64,
    end: u64,
    /// The last action to end among those that it waited for.
    cause: Option<usize>,
}

struct Player<'a> {
    component: &'a Component,
    net: Net,
    marking: Marking,
    /// For each place, the action that led to it.
    causes: BTreeMap<PlaceIx, Option<usize>>,
}

struct Play<'a> {
    ledger: &'a Ledger,
    durations: &'a Durations,
    latest: bool,
    played: Vec<Played>,
    /// Running actions by their end.
    running: BTreeSet<(u64, usize)>,
    /// Exports that are or were active, with the action that activated them.
    served: BTreeMap<(InstanceId, PortName), Option<usize>>,
}

/// Computes when every action of the deployment of a ledger's target begins and ends.
#[must_use]
pub fn schedule(ledger: &Ledger, durations: &Durations) -> Schedule {
    let (fast, slow) = (play(ledger, durations, false), play(ledger, durations, true));
    let key = |played: &Played| (played.instance.clone(), played.way);
    let early: BTreeMap<(InstanceId, TransitionIx), (u64, u64)> =
        fast.iter().map(|played| (key(played), (played.begin, played.end))).collect();
    let mut critical = Vec::new();
    let mut at = (0..slow.len()).max_by_key(|at| (slow[*at].end, std::cmp::Reverse(*at)));
    while let Some(position) = at {
        critical.push(position);
        at = slow[position].cause;
    }
    critical.reverse();
    let total_max = slow.iter().map(|played| played.end).max().unwrap_or(0);
    let total_min = fast.iter().map(|played| played.end).max().unwrap_or(0);
    let bars = slow.iter().enumerate().map(|(at, played)| {
        let (begin, end) = early.get(&key(played)).copied().unwrap_or((played.begin, played.end));
        Bar {
            instance: played.instance.clone(),
            transition: played.name.clone(),
            begin_ms: (begin, played.begin),
            end_ms: (end, played.end),
            is_critical: critical.contains(&at),
        }
    });
    Schedule { bars: bars.collect(), total_ms: (total_min, total_max), critical }
}

fn play(ledger: &Ledger, durations: &Durations, latest: bool) -> Vec<Played> {
    let mut players: BTreeMap<&InstanceId, Player<'_>> = BTreeMap::new();
    for (instance, placed) in &ledger.target.instances {
        let Some(component) = ledger.component_of(instance, placed.version) else { continue };
        let Ok(net) = Net::of(component) else { continue };
        let mut marking = Marking::at(net.initial);
        net.deploy.iter().for_each(|behaviour| marking.push(*behaviour, 0));
        players.insert(instance, Player { component, net, marking, causes: BTreeMap::new() });
    }
    let (played, running, served) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
    let mut play = Play { ledger, durations, latest, played, running, served };
    let mut now = 0;
    loop {
        let mut moved = true;
        while moved {
            moved = false;
            for (instance, player) in &mut players {
                moved |= play.climb(instance, player, now);
            }
        }
        let Some((end, position)) = play.running.pop_first() else { return play.played };
        now = end;
        let (instance, way) = (play.played[position].instance.clone(), play.played[position].way);
        if let Some(player) = players.get_mut(&instance) {
            player.marking.end(way);
        }
    }
}

impl Play<'_> {
    /// Takes all steps that an instance can take at a time; returns whether any was taken.
    fn climb(&mut self, instance: &InstanceId, player: &mut Player<'_>, now: u64) -> bool {
        let mut moved = false;
        for (export, group) in &player.net.exports {
            let key = (instance.clone(), export.clone());
            if player.marking.is_in(&player.net, group) && !self.served.contains_key(&key) {
                let cause = group.iter().find_map(|place| *player.causes.get(place)?);
                self.served.insert(key, cause);
                moved = true;
            }
        }
        if !player.marking.next_behaviour(&player.net) {
            return moved;
        }
        for place in player.marking.exits(&player.net) {
            player.marking.leave(&player.net, place);
            moved = true;
        }
        for way in player.marking.fired.clone() {
            let used = |port: &PortName| player.net.imports[port].transitions.contains(&way);
            let Some(cause) = self.awaited(instance, player, used) else { continue };
            let from = player.net.transition(way).from;
            let cause = self.later(player.causes.get(&from).copied().flatten(), cause);
            self.begin(instance, player, way, now, cause);
            moved = true;
        }
        for (place, docks) in player.marking.entries(&player.net) {
            let used = |port: &PortName| player.net.imports[port].places.contains(&place);
            let Some(mut cause) = self.awaited(instance, player, used) else { continue };
            for (at, played) in self.played.iter().enumerate() {
                if played.instance == *instance && docks.contains(&played.way) {
                    cause = self.later(cause, Some(at));
                }
            }
            player.marking.enter(place, &docks);
            player.causes.insert(place, cause);
            moved = true;
        }
        moved || player.marking.is_behaviour_done(&player.net)
    }

    fn begin(
        &mut self,
        instance: &InstanceId,
        player: &mut Player<'_>,
        way: TransitionIx,
        now: u64,
        cause: Option<usize>,
    ) {
        let declared = player.net.transition(way);
        let key = (instance.component.clone(), declared.name.clone());
        let interval = self.durations.get(&key).copied();
        let taken =
            interval.map_or(0, |interval| if self.latest { interval.ms_max } else { interval.ms_min });
        let name = declared.name.clone();
        let nothing = declared.step.action == Action::Nothing && taken == 0;
        player.marking.begin(way);
        let end = now.saturating_add(taken);
        let position = self.played.len();
        self.played.push(Played { instance: instance.clone(), way, name, begin: now, end, cause });
        if nothing {
            player.marking.end(way);
        } else {
            self.running.insert((end, position));
        }
    }

    fn later(&self, one: Option<usize>, other: Option<usize>) -> Option<usize> {
        [one, other].into_iter().flatten().max_by_key(|at| self.played[*at].end)
    }

    /// Returns the action that the used imports waited for last; none while one of them is not served.
    fn awaited(
        &self,
        instance: &InstanceId,
        player: &Player<'_>,
        is_used: impl Fn(&PortName) -> bool,
    ) -> Option<Option<usize>> {
        let mut last = None;
        for (port, import) in player.component.imports.iter().filter(|(port, _)| is_used(port)) {
            let exporters = self.ledger.target.bindings.get(instance).and_then(|imports| imports.get(port));
            let need = need_to_start(import, exporters.map_or(0, BTreeSet::len));
            let served = exporters
                .into_iter()
                .flatten()
                .filter_map(|exporter| self.served.get(&(exporter.clone(), import.export.clone())));
            let mut causes: Vec<Option<usize>> = served.copied().collect();
            if causes.len() < need {
                return None;
            }
            causes.sort_by_key(|cause| cause.map(|at| self.played[at].end));
            for cause in causes.into_iter().take(need) {
                last = self.later(last, cause);
            }
        }
        Some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::truth::deployed;
    use crate::scenario::{Faults, Scenario, component, spec, wish};
    use rhizo_types::spec::Pick;

    fn chain() -> Ledger {
        let scenario = Scenario {
            name: String::new(),
            specs: vec![spec(&[
                ("web", component(&[("db", false, Pick::One), ("cache", true, Pick::One)])),
                ("db", component(&[])),
                ("cache", component(&[])),
            ])],
            hosts: 1,
            wishes: vec![wish(&[("web", &[0]), ("db", &[0]), ("cache", &[0])])],
            faults: Faults::default(),
        };
        deployed(&scenario).unwrap()
    }

    fn durations(list: &[(&str, u64, u64)]) -> Durations {
        let entry = |(name, ms_min, ms_max): &(&str, u64, u64)| {
            let key = (ComponentName::from(*name), TransitionName::from("start"));
            (key, Interval { ms_min: *ms_min, ms_max: *ms_max })
        };
        list.iter().map(entry).collect()
    }

    #[test]
    fn what_waits_adds_up_and_what_does_not_runs_beside_it() {
        let schedule = schedule(&chain(), &durations(&[("web", 10, 20), ("db", 5, 30), ("cache", 1, 7)]));
        assert_eq!(schedule.total_ms, (15, 50));
        let names: Vec<String> =
            schedule.critical.iter().map(|at| schedule.bars[*at].instance.to_string()).collect();
        assert_eq!(names, ["db.0", "web.0"], "the optional cache is not waited for");
    }

    #[test]
    fn the_critical_path_is_that_of_the_greatest_durations() {
        let schedule = schedule(&chain(), &durations(&[("web", 1, 1), ("db", 9, 9), ("cache", 5, 40)]));
        assert_eq!(schedule.total_ms, (10, 40));
        let critical: Vec<&Bar> = schedule.bars.iter().filter(|bar| bar.is_critical).collect();
        assert_eq!(critical.len(), 1);
        assert_eq!(critical[0].instance.to_string(), "cache.0");
    }
}
