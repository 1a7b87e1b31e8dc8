//! Checks that every component can start if every action succeeds: executes the life-cycle of one copy of each.
//!
//! The check is optimistic: an export that was active once counts as active, and one exporter is enough. A component
//! that is refused here can therefore never start. The model checker checks the rest.

use super::Places;
use crate::finding::Findings;
use rhizo_types::net::{Marking, Net, TransitionIx};
use rhizo_types::spec::{Component, Spec};
use rhizo_types::{ComponentName, PortName};
use std::collections::{BTreeMap, BTreeSet};

/// Adds a finding for each component that can never start.
pub(super) fn check(spec: &Spec, places: &Places, findings: &mut Findings) {
    let (stuck, active) = play(spec);
    if stuck.is_empty() || check_cycles(spec, &stuck, places, findings) {
        return;
    }
    // Without a cycle, a component waits for an export that no life-cycle activates.
    for name in stuck {
        for (port, import) in &spec.components[name].imports {
            let served = active.contains(&(&import.component, &import.export));
            let Some(span) = places.imports.get(&(name.clone(), port.clone())) else { continue };
            if !import.optional && !served && spec.components.contains_key(&import.component) {
                let (component, export) = (&import.component, &import.export);
                let message = format!(
                    "`{name}` does not start by itself: deploying `{component}` leaves `{export}` inactive"
                );
                // It is a warning, since a script may push a behaviour that activates it.
                findings
                    .warning(span.clone(), message)
                    .hint(format!("let `lifecycle.exports.{export}` name a place on the way up"));
            }
        }
    }
}

/// One copy of a component during the check.
struct Player<'s> {
    component: &'s Component,
    net: Net,
    marking: Marking,
}

/// Exports that were active at some moment.
type Active<'s> = BTreeSet<(&'s ComponentName, &'s PortName)>;

/// Deploys one copy of each component; returns those that cannot start.
fn play(spec: &Spec) -> (BTreeSet<&ComponentName>, Active<'_>) {
    let mut players: BTreeMap<&ComponentName, Player<'_>> = BTreeMap::new();
    let mut active = Active::new();
    for (name, component) in &spec.components {
        // A life-cycle with an error has been reported already.
        let Ok(net) = Net::of(component) else {
            active.extend(component.exports.keys().map(|port| (name, port)));
            continue;
        };
        let mut marking = Marking::at(net.initial);
        net.deploy.iter().for_each(|behaviour| marking.push(*behaviour, 0));
        players.insert(name, Player { component, net, marking });
    }
    let mut users: BTreeMap<&ComponentName, Vec<&ComponentName>> = BTreeMap::new();
    for (name, player) in &players {
        for import in player.component.imports.values() {
            users.entry(&import.component).or_default().push(name);
        }
    }
    let mut ready: BTreeSet<&ComponentName> = players.keys().copied().collect();
    while let Some(name) = ready.pop_first() {
        let Some(player) = players.get_mut(name) else { continue };
        let before = active.len();
        player.advance(spec, name, &mut active);
        if active.len() > before {
            ready.extend(users.get(name).into_iter().flatten().copied());
        }
    }
    let waits = |player: &Player<'_>| !(player.marking.is_idle() && player.marking.is_at_rest());
    let stuck = players.iter().filter(|(_, player)| waits(player)).map(|(name, _)| *name).collect();
    (stuck, active)
}

impl<'s> Player<'s> {
    /// Advances as far as the active exports allow.
    fn advance(&mut self, spec: &Spec, name: &'s ComponentName, active: &mut Active<'s>) {
        loop {
            let carries = |(port, group): &(&PortName, &BTreeSet<_>)| {
                !active.contains(&(name, port)) && self.marking.is_in(&self.net, group)
            };
            let now: Vec<PortName> =
                self.net.exports.iter().filter(carries).map(|(port, _)| port.clone()).collect();
            let named = self.component.exports.keys().filter(|port| now.contains(port));
            active.extend(named.map(|port| (name, port)));
            if !self.step(spec, active) && now.is_empty() {
                return;
            }
        }
    }

    /// Returns whether a token moved.
    fn step(&mut self, spec: &Spec, active: &Active<'_>) -> bool {
        if !self.marking.next_behaviour(&self.net) {
            return false;
        }
        let exits = self.marking.exits(&self.net);
        exits.iter().for_each(|place| self.marking.leave(&self.net, *place));
        let begun: Vec<TransitionIx> = self.marking.fired.iter().copied().collect();
        let begun: Vec<TransitionIx> = begun
            .into_iter()
            .filter(|way| {
                let used = self.net.imports.iter().filter(|(_, reach)| reach.transitions.contains(way));
                used.map(|(port, _)| port).all(|port| self.is_served(spec, port, active))
            })
            .collect();
        for way in &begun {
            self.marking.begin(*way);
            self.marking.end(*way);
        }
        let entries = self.marking.entries(&self.net);
        let entries: Vec<_> = entries
            .into_iter()
            .filter(|(place, _)| {
                let used = self.net.imports.iter().filter(|(_, reach)| reach.places.contains(place));
                used.map(|(port, _)| port).all(|port| self.is_served(spec, port, active))
            })
            .collect();
        for (place, docks) in &entries {
            self.marking.enter(*place, docks);
        }
        !(exits.is_empty() && begun.is_empty() && entries.is_empty())
    }

    fn is_served(&self, spec: &Spec, port: &PortName, active: &Active<'_>) -> bool {
        let Some(import) = self.component.imports.get(port) else { return true };
        // A missing exporter has been reported already.
        let exporter = spec.components.get(&import.component);
        let exists = exporter.is_some_and(|exporter| exporter.exports.contains_key(&import.export));
        import.optional || !exists || active.contains(&(&import.component, &import.export))
    }
}

/// Adds an error for each cycle of mandatory imports in which no component can start first.
fn check_cycles(
    spec: &Spec,
    stuck: &BTreeSet<&ComponentName>,
    places: &Places,
    findings: &mut Findings,
) -> bool {
    let mut any = false;
    let mut done: BTreeSet<&ComponentName> = BTreeSet::new();
    for start in stuck.iter().copied() {
        if done.contains(start) {
            continue;
        }
        if let Some(cycle) = cycle_from(spec, stuck, start, &mut done) {
            report_cycle(&cycle, places, findings);
            any = true;
        }
    }
    any
}

/// One step of a cycle: this component needs the next through this import.
type Step<'s> = (&'s ComponentName, &'s PortName);

/// Depth-first search without recursion, since a chain of components may be long.
fn cycle_from<'s>(
    spec: &'s Spec,
    stuck: &BTreeSet<&ComponentName>,
    start: &'s ComponentName,
    done: &mut BTreeSet<&'s ComponentName>,
) -> Option<Vec<Step<'s>>> {
    let needs = |name: &ComponentName| -> Vec<(&'s PortName, &'s ComponentName)> {
        let component = spec.components.get(name);
        let imports = component.into_iter().flat_map(|component| &component.imports);
        imports
            .filter(|(_, import)| !import.optional && stuck.contains(&import.component))
            .filter_map(|(port, import)| Some((port, spec.components.get_key_value(&import.component)?.0)))
            .collect()
    };
    let mut trail: Vec<(&ComponentName, Vec<(&PortName, &ComponentName)>)> = vec![(start, needs(start))];
    let mut steps: Vec<Step<'_>> = Vec::new();
    let mut found = None;
    while let Some((name, left)) = trail.last_mut() {
        let name = *name;
        let Some((port, next)) = left.pop() else {
            done.insert(name);
            trail.pop();
            steps.pop();
            continue;
        };
        if let Some(at) = trail.iter().position(|(on_trail, _)| *on_trail == next) {
            if found.is_none() {
                let mut cycle = steps[at..].to_vec();
                cycle.push((name, port));
                found = Some(cycle);
            }
        } else if !done.contains(next) {
            steps.push((name, port));
            trail.push((next, needs(next)));
        }
    }
    found
}

fn report_cycle(cycle: &[Step<'_>], places: &Places, findings: &mut Findings) {
    let place = |(component, port): &Step<'_>| {
        places.imports.get(&((*component).clone(), (*port).clone())).cloned().unwrap_or_default()
    };
    // The cycle begins with the step that is first in the file, so that the message does not depend on names.
    let first =
        cycle.iter().enumerate().min_by_key(|(_, step)| place(step).start).map_or(0, |(index, _)| index);
    let ordered: Vec<Step<'_>> = cycle[first..].iter().chain(&cycle[..first]).copied().collect();
    let mut names: Vec<&str> = ordered.iter().map(|(component, _)| component.as_str()).collect();
    names.extend(names.first().copied());
    let Some(lead) = ordered.first() else { return };
    let draft = findings
        .error(place(lead), format!("these mandatory imports can never start: {}", names.join(" -> ")));
    for step in &ordered[1..] {
        draft.label(place(step), format!("`{}` needs this", step.0));
    }
    draft.hint("each waits for the next; make one of them `optional = true`");
}
