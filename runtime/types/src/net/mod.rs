//! A life-cycle compiled to a net: names become small numbers, and the net is checked.
//!
//! [`Marking`] holds the tokens. Both know places, transitions and behaviours only. Whether a transition may begin
//! (its imports are bound) or a place may be left (no user holds its exports) is the caller's decision: the agent in
//! `rhizo-protocol` for a running instance, [`Net::rest_after`] for the static check. The semantics are those of
//! Madeus and Concerto (Coullon et al.): docks, dock sets, groups, behaviours.

mod flaw;
mod marking;

pub use flaw::Flaw;
pub use marking::Marking;

use crate::id::{BehaviourName, PlaceName, PortName, TransitionName};
use crate::lifecycle::{Lifecycle, Span, Step};
use crate::spec::Component;
use litemap::LiteMap;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Number of a place in its net.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct PlaceIx(pub u16);

/// Number of a transition in its net.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct TransitionIx(pub u16);

/// Number of a behaviour in its net.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct BehaviourIx(pub u16);

/// Most places, transitions or behaviours of one life-cycle. OpenStack's largest component has seven places, so a
/// larger number is taken for a mistake.
pub const NODES_MAX: usize = 1_024;

/// A compiled life-cycle.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Net {
    shape: Arc<Shape>,
    /// The place of a new instance.
    pub initial: PlaceIx,
    /// The behaviours that deploy an instance, in order.
    pub deploy: Vec<BehaviourIx>,
    /// The behaviours that pause it, in order.
    pub pause: Vec<BehaviourIx>,
    /// The behaviours that retire it, in order.
    pub retire: Vec<BehaviourIx>,
    /// The steps that bring a failed instance back to `initial` from any place.
    pub reset: Vec<Step>,
    /// The step that runs after a change of imports with `notify`.
    pub notify: Option<Step>,
    /// The places that count as started.
    pub started: BTreeSet<PlaceIx>,
    /// Export → the group of places in which it is active.
    pub exports: LiteMap<PortName, BTreeSet<PlaceIx>>,
    /// Import → when it is in use.
    pub imports: LiteMap<PortName, ImportUse>,
}

/// The part of a net that components share if their life-cycles differ in ports only: thousands may.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Shape {
    places: Vec<PlaceName>,
    transitions: Vec<CompiledTransition>,
    behaviours: Vec<Behaviour>,
}

/// A compiled transition.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CompiledTransition {
    /// Its name.
    pub name: TransitionName,
    /// The place that it leaves.
    pub from: PlaceIx,
    /// The place that it enters.
    pub to: PlaceIx,
    dock: u32,
    /// The action between the two.
    pub step: Step,
}

/// The places and transitions of a net that use an import.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct ImportUse {
    /// The import is in use while a token is in one of these.
    pub places: BTreeSet<PlaceIx>,
    /// The import is in use from the begin of one of these until its place is entered.
    pub transitions: BTreeSet<TransitionIx>,
}

/// A compiled behaviour.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Behaviour {
    name: BehaviourName,
    /// Place → the transitions that leave it.
    pub(crate) exits: LiteMap<PlaceIx, Vec<TransitionIx>>,
    /// Place → its dock sets.
    pub(crate) docks: LiteMap<PlaceIx, Vec<Vec<TransitionIx>>>,
}

/// Numbers for the names of a life-cycle.
struct Index<'a> {
    places: BTreeMap<&'a PlaceName, PlaceIx>,
    transitions: BTreeMap<&'a TransitionName, TransitionIx>,
    behaviours: BTreeMap<&'a BehaviourName, BehaviourIx>,
}

fn small(position: usize) -> u16 {
    u16::try_from(position).unwrap_or(u16::MAX)
}

impl<'a> Index<'a> {
    fn of(cycle: &'a Lifecycle) -> Result<Self, Flaw> {
        let most = cycle.places.len().max(cycle.transitions.len()).max(cycle.behaviours.len());
        if most > NODES_MAX {
            return Err(Flaw::TooLarge);
        }
        let places = cycle.places.iter().enumerate();
        let transitions = cycle.transitions.keys().enumerate();
        let behaviours = cycle.behaviours.keys().enumerate();
        Ok(Self {
            places: places.map(|(i, name)| (name, PlaceIx(small(i)))).collect(),
            transitions: transitions.map(|(i, name)| (name, TransitionIx(small(i)))).collect(),
            behaviours: behaviours.map(|(i, name)| (name, BehaviourIx(small(i)))).collect(),
        })
    }

    fn place(&self, name: &PlaceName, by: impl FnOnce() -> String) -> Result<PlaceIx, Flaw> {
        let found = self.places.get(name).copied();
        found.ok_or_else(|| Flaw::UnknownPlace { place: name.clone(), by: by() })
    }

    fn places(&self, names: &BTreeSet<PlaceName>, by: &str) -> Result<BTreeSet<PlaceIx>, Flaw> {
        names.iter().map(|name| self.place(name, || by.to_owned())).collect()
    }

    fn transition(&self, name: &TransitionName, by: impl FnOnce() -> String) -> Result<TransitionIx, Flaw> {
        let found = self.transitions.get(name).copied();
        found.ok_or_else(|| Flaw::UnknownTransition { transition: name.clone(), by: by() })
    }

    fn list(&self, names: &[BehaviourName], by: &'static str) -> Result<Vec<BehaviourIx>, Flaw> {
        let find = |name: &BehaviourName| {
            let found = self.behaviours.get(name).copied();
            found.ok_or_else(|| Flaw::UnknownBehaviour { behaviour: name.clone(), by })
        };
        names.iter().map(find).collect()
    }
}

impl Net {
    /// Compiles the life-cycle of a component and checks it.
    ///
    /// # Errors
    /// The first error in it.
    pub fn of(component: &Component) -> Result<Self, Flaw> {
        let cycle = component.lifecycle();
        let index = Index::of(&cycle)?;
        let mut transitions = Vec::with_capacity(cycle.transitions.len());
        for (name, transition) in &cycle.transitions {
            let by = || format!("the transition `{name}`");
            let (from, to) = (index.place(&transition.from, by)?, index.place(&transition.to, by)?);
            if from == to {
                return Err(Flaw::Loop(name.clone()));
            }
            let step = transition.step.clone();
            transitions.push(CompiledTransition {
                name: name.clone(),
                from,
                to,
                dock: transition.dock,
                step,
            });
        }
        let mut behaviours = Vec::with_capacity(cycle.behaviours.len());
        for (name, members) in &cycle.behaviours {
            let find = |member| index.transition(member, || format!("the behaviour `{name}`"));
            let members = members.iter().map(find).collect::<Result<Vec<_>, _>>()?;
            behaviours.push(Behaviour::of(name.clone(), &members, &transitions));
        }
        let net = Self {
            shape: Arc::new(Shape {
                places: cycle.places.iter().cloned().collect(),
                transitions,
                behaviours,
            }),
            initial: index.place(&cycle.initial, || "`initial`".to_owned())?,
            deploy: index.list(&cycle.deploy, "deploy")?,
            pause: index.list(&cycle.pause, "pause")?,
            retire: index.list(&cycle.retire, "retire")?,
            reset: cycle.reset.clone(),
            notify: cycle.notify.clone(),
            started: index.places(&cycle.started, "`started`")?,
            exports: exports(&cycle, component, &index)?,
            imports: imports(&cycle, component, &index)?,
        };
        net.check()?;
        Ok(net)
    }

    /// Shares the memory of the common part with another net, if the two are equal in it.
    #[must_use]
    pub fn sharing_with(self, other: &Self) -> Self {
        if self.shape == other.shape { Self { shape: other.shape.clone(), ..self } } else { self }
    }

    /// Checks that `deploy`, `pause` and `retire` end where they must, given that every action succeeds and every port
    /// is served.
    fn check(&self) -> Result<(), Flaw> {
        let names =
            |marking: &Marking| marking.places.iter().map(|place| self.place(*place).clone()).collect();
        let deployed = self.rest_after(&Marking::at(self.initial), &self.deploy, "deploy")?;
        if !deployed.places.is_subset(&self.started) {
            return Err(Flaw::NotStarted(names(&deployed)));
        }
        let paused = self.rest_after(&deployed, &self.pause, "pause")?;
        let resumed = self.rest_after(&paused, &self.deploy, "deploy")?;
        if resumed.places != deployed.places {
            return Err(Flaw::NotResumed(names(&resumed)));
        }
        for from in [&deployed, &paused] {
            let retired = self.rest_after(from, &self.retire, "retire")?;
            if retired.places != BTreeSet::from([self.initial]) {
                return Err(Flaw::NotRetired(names(&retired)));
            }
        }
        Ok(())
    }

    /// The marking after these behaviours, given that every action succeeds and every port is served.
    ///
    /// # Errors
    /// [`Flaw::Stuck`] if a dock set is never complete.
    pub fn rest_after(&self, from: &Marking, list: &[BehaviourIx], name: &str) -> Result<Marking, Flaw> {
        let mut marking = from.clone();
        for behaviour in list {
            marking.push(*behaviour, 0);
        }
        let stuck = |marking: Box<Marking>| {
            let waiting = marking.arrived.iter().map(|t| self.transition(*t).name.clone()).collect();
            Flaw::Stuck { list: name.to_owned(), waiting }
        };
        self.play_out(marking, |_| false).map_err(stuck)
    }

    /// Whether the queued behaviours release an import, at any time, given that every action succeeds.
    #[must_use]
    pub fn releases(&self, from: &Marking, used: &ImportUse) -> bool {
        let mut released = false;
        // The error is a marking that is stuck; the imports that it uses were seen by the closure.
        let _ = self.play_out(from.clone(), |marking| {
            released = !marking.is_using(used);
            released
        });
        released
    }

    /// Whether the queued behaviours use an import and release it afterwards, given that every action succeeds.
    #[must_use]
    pub fn uses_then_releases(&self, from: &Marking, used: &ImportUse) -> bool {
        let (mut uses, mut released) = (false, false);
        let _ = self.play_out(from.clone(), |marking| {
            let using = marking.is_using(used);
            released = uses && !using;
            uses |= using;
            released
        });
        released
    }

    /// Whether `deploy` uses an import: in a transition or place before the started ones, or in those.
    #[must_use]
    pub fn needs_to_start(&self, import: &PortName) -> bool {
        let Some(used) = self.imports.get(import) else { return false };
        let mut marking = Marking::at(self.initial);
        for behaviour in &self.deploy {
            marking.push(*behaviour, 0);
        }
        let mut uses = false;
        // The error is a marking that is stuck; the imports that it uses were seen by the closure.
        let _ = self.play_out(marking, |marking| {
            uses = marking.is_using(used);
            uses
        });
        uses
    }

    /// Executes behaviours until all are done, or until `has_seen` returns true; it sees the marking after each round
    /// of moves. The error is a marking with a dock set that is never complete.
    fn play_out(
        &self,
        mut marking: Marking,
        mut has_seen: impl FnMut(&Marking) -> bool,
    ) -> Result<Marking, Box<Marking>> {
        while marking.next_behaviour(self) {
            loop {
                let exits = marking.exits(self);
                exits.iter().for_each(|place| marking.leave(self, *place));
                let in_transit = std::mem::take(&mut marking.fired)
                    .into_iter()
                    .chain(std::mem::take(&mut marking.running));
                marking.arrived.extend(in_transit);
                let entries = marking.entries(self);
                entries.iter().for_each(|(place, docks)| marking.enter(*place, docks));
                if has_seen(&marking) {
                    return Ok(marking);
                }
                if exits.is_empty() && entries.is_empty() {
                    break;
                }
            }
            if !marking.arrived.is_empty() {
                return Err(Box::new(marking));
            }
        }
        Ok(marking)
    }

    /// A place's name.
    #[must_use]
    pub fn place(&self, place: PlaceIx) -> &PlaceName {
        &self.shape.places[usize::from(place.0)]
    }

    /// A transition.
    #[must_use]
    pub fn transition(&self, transition: TransitionIx) -> &CompiledTransition {
        &self.shape.transitions[usize::from(transition.0)]
    }

    /// The number of transitions.
    #[must_use]
    pub fn transition_count(&self) -> usize {
        self.shape.transitions.len()
    }

    /// The behaviour of that name.
    #[must_use]
    pub fn behaviour(&self, name: &BehaviourName) -> Option<BehaviourIx> {
        let found = self.shape.behaviours.iter().position(|behaviour| behaviour.name == *name)?;
        Some(BehaviourIx(small(found)))
    }

    /// A behaviour's name.
    #[must_use]
    pub fn behaviour_name(&self, behaviour: BehaviourIx) -> &BehaviourName {
        &self.shape.behaviours[usize::from(behaviour.0)].name
    }

    /// The dock sets of a place in a behaviour.
    #[must_use]
    pub fn dock_sets(&self, behaviour: BehaviourIx, place: PlaceIx) -> &[Vec<TransitionIx>] {
        self.inner(behaviour).docks.get(&place).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn inner(&self, behaviour: BehaviourIx) -> &Behaviour {
        &self.shape.behaviours[usize::from(behaviour.0)]
    }
}

/// Export of the component → the group of places in which it is active.
fn exports(
    cycle: &Lifecycle,
    component: &Component,
    index: &Index<'_>,
) -> Result<LiteMap<PortName, BTreeSet<PlaceIx>>, Flaw> {
    if let Some(port) = cycle.exports.keys().find(|port| !component.exports.contains_key(*port)) {
        return Err(Flaw::UnknownPort { port: port.clone(), kind: "export" });
    }
    let group = |port: &PortName| {
        let places = cycle.exports.get(port).unwrap_or(&cycle.started);
        Ok((port.clone(), index.places(places, &format!("the export `{port}`"))?))
    };
    exactly(component.exports.len(), component.exports.keys().map(group))
}

/// Import of the component → when it is in use.
fn imports(
    cycle: &Lifecycle,
    component: &Component,
    index: &Index<'_>,
) -> Result<LiteMap<PortName, ImportUse>, Flaw> {
    if let Some(port) = cycle.imports.keys().find(|port| !component.imports.contains_key(*port)) {
        return Err(Flaw::UnknownPort { port: port.clone(), kind: "import" });
    }
    let usual = Span {
        places: cycle.started.clone(),
        transitions: {
            // Transitions out of `started` count too: a program may need the import until it has stopped.
            let leads = cycle
                .transitions
                .iter()
                .filter(|(_, way)| cycle.started.contains(&way.to) != cycle.started.contains(&way.from));
            leads.map(|(name, _)| name.clone()).collect()
        },
    };
    let reach = |port: &PortName| {
        let span = cycle.imports.get(port).unwrap_or(&usual);
        let by = format!("the import `{port}`");
        let find = |name| index.transition(name, || by.clone());
        let transitions = span.transitions.iter().map(find).collect::<Result<_, _>>()?;
        Ok((port.clone(), ImportUse { places: index.places(&span.places, &by)?, transitions }))
    };
    exactly(component.imports.len(), component.imports.keys().map(reach))
}

/// A map without spare capacity: there are as many such maps as instances.
fn exactly<V>(
    count: usize,
    entries: impl Iterator<Item = Result<(PortName, V), Flaw>>,
) -> Result<LiteMap<PortName, V>, Flaw> {
    let mut map = LiteMap::with_capacity(count);
    for entry in entries {
        let (port, value) = entry?;
        map.insert(port, value);
    }
    Ok(map)
}

impl Behaviour {
    fn of(name: BehaviourName, members: &[TransitionIx], ways: &[CompiledTransition]) -> Self {
        let mut exits: LiteMap<PlaceIx, Vec<TransitionIx>> = LiteMap::new_vec();
        let mut sets: BTreeMap<(PlaceIx, u32), Vec<TransitionIx>> = BTreeMap::new();
        for member in members {
            let way = &ways[usize::from(member.0)];
            exits.entry(way.from).or_default().push(*member);
            sets.entry((way.to, way.dock)).or_default().push(*member);
        }
        let mut docks: LiteMap<PlaceIx, Vec<Vec<TransitionIx>>> = LiteMap::new_vec();
        for ((place, _), set) in sets {
            docks.entry(place).or_default().push(set);
        }
        Self { name, exits, docks }
    }
}

#[cfg(test)]
mod tests;
