//! What a life-cycle means: compiled to small numbers, and checked.
//!
//! [`Marking`] is the token game. Only places, transitions and behaviours are known here. Whether a transition may begin (its imports) or a
//! place may be left (its exports' users) is decided by whoever plays: `rhizo-protocol::agent` for real,
//! [`Net::rest_after`] for the static check. Semantics after Madeus and Concerto (Coullon et al.): docks, dock
//! sets, groups, behaviours.

pub use crate::flaw::Flaw;
pub use crate::marking::Marking;

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

/// More places, transitions or behaviours than this are a mistake: OpenStack's largest component has seven places.
pub const NODES_MAX: usize = 1_024;

/// A compiled life-cycle.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Net {
    shape: Arc<Shape>,
    /// Where a token begins.
    pub initial: PlaceIx,
    /// Behaviours that deploy an instance, in order.
    pub deploy: Vec<BehaviourIx>,
    /// Behaviours that pause it, in order.
    pub pause: Vec<BehaviourIx>,
    /// Behaviours that retire it, in order.
    pub retire: Vec<BehaviourIx>,
    /// What leads back to `initial` from anywhere.
    pub reset: Vec<Step>,
    /// What tells of changed imports.
    pub notify: Option<Step>,
    /// The places that count as started.
    pub started: BTreeSet<PlaceIx>,
    /// The group of places of every export.
    pub exports: LiteMap<PortName, BTreeSet<PlaceIx>>,
    /// When every import is used.
    pub imports: LiteMap<PortName, Reach>,
}

/// What thousands of components have in common, if their life-cycles differ in ports only.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Shape {
    places: Vec<PlaceName>,
    transitions: Vec<Way>,
    behaviours: Vec<Behaviour>,
}

/// A compiled transition.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Way {
    /// Its name.
    pub name: TransitionName,
    /// Where it begins.
    pub from: PlaceIx,
    /// Where it leads.
    pub to: PlaceIx,
    dock: u32,
    /// What is done on the way.
    pub step: Step,
}

/// When an import is used.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Reach {
    /// While a token is in one of these.
    pub places: BTreeSet<PlaceIx>,
    /// While one of these runs.
    pub transitions: BTreeSet<TransitionIx>,
}

/// A compiled behaviour.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Behaviour {
    name: BehaviourName,
    /// What leaves every place.
    pub(crate) exits: LiteMap<PlaceIx, Vec<TransitionIx>>,
    /// The dock sets of every place.
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
    /// The first thing that is wrong with it.
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
            transitions.push(Way { name: name.clone(), from, to, dock: transition.dock, step });
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

    /// Keeps what it has in common with another net only once.
    #[must_use]
    pub fn sharing_with(self, other: &Self) -> Self {
        if self.shape == other.shape { Self { shape: other.shape.clone(), ..self } } else { self }
    }

    /// The lists lead where they have to, if every action is done and every port served.
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

    /// Where the tokens rest after these behaviours when nothing stands in the way.
    ///
    /// # Errors
    /// A dock set is never complete.
    pub fn rest_after(&self, from: &Marking, list: &[BehaviourIx], name: &str) -> Result<Marking, Flaw> {
        let mut marking = from.clone();
        for behaviour in list {
            marking.push(*behaviour, 0);
        }
        let stuck = |marking: Box<Marking>| {
            let waiting = marking.arrived.iter().map(|t| self.way(*t).name.clone()).collect();
            Flaw::Stuck { list: name.to_owned(), waiting }
        };
        self.play_out(marking, |_| false).map_err(stuck)
    }

    /// Whether an import that is used stops being used by what is queued, at any time, when nothing stands in the way.
    #[must_use]
    pub fn lets_go(&self, from: &Marking, used: &Reach) -> bool {
        let mut lets_go = false;
        // What is stuck half way uses what it uses there.
        let _ = self.play_out(from.clone(), |marking| {
            lets_go = !marking.is_using(used);
            lets_go
        });
        lets_go
    }

    /// Whether an import is used by what is queued and not used any more some time after that, when nothing stands in the way.
    #[must_use]
    pub fn comes_back_to(&self, from: &Marking, used: &Reach) -> bool {
        let (mut uses, mut lets_go) = (false, false);
        let _ = self.play_out(from.clone(), |marking| {
            let using = marking.is_using(used);
            lets_go = uses && !using;
            uses |= using;
            lets_go
        });
        lets_go
    }

    /// Whether an import is used on the way from the beginning to where an instance counts as started, or there.
    #[must_use]
    pub fn needs_to_start(&self, import: &PortName) -> bool {
        let Some(used) = self.imports.get(import) else { return false };
        let mut marking = Marking::at(self.initial);
        for behaviour in &self.deploy {
            marking.push(*behaviour, 0);
        }
        let mut uses = false;
        // What is stuck half way uses what it uses there.
        let _ = self.play_out(marking, |marking| {
            uses = marking.is_using(used);
            uses
        });
        uses
    }

    /// Plays until every behaviour is done, or the observer of what comes after each round of moves has seen enough.
    /// An error is a marking with a dock set that is never complete.
    fn play_out(
        &self,
        mut marking: Marking,
        mut has_seen: impl FnMut(&Marking) -> bool,
    ) -> Result<Marking, Box<Marking>> {
        while marking.next_behaviour(self) {
            loop {
                let exits = marking.exits(self);
                exits.iter().for_each(|place| marking.leave(self, *place));
                let on_the_way = std::mem::take(&mut marking.fired)
                    .into_iter()
                    .chain(std::mem::take(&mut marking.running));
                marking.arrived.extend(on_the_way);
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
    pub fn way(&self, transition: TransitionIx) -> &Way {
        &self.shape.transitions[usize::from(transition.0)]
    }

    /// How many transitions there are.
    #[must_use]
    pub fn ways(&self) -> usize {
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

/// The group of every export of the component.
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

/// When every import of the component is used.
fn imports(
    cycle: &Lifecycle,
    component: &Component,
    index: &Index<'_>,
) -> Result<LiteMap<PortName, Reach>, Flaw> {
    if let Some(port) = cycle.imports.keys().find(|port| !component.imports.contains_key(*port)) {
        return Err(Flaw::UnknownPort { port: port.clone(), kind: "import" });
    }
    let usual = Span {
        places: cycle.started.clone(),
        transitions: {
            // Also on the way back: what is being stopped may need it to the last.
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
        Ok((port.clone(), Reach { places: index.places(&span.places, &by)?, transitions }))
    };
    exactly(component.imports.len(), component.imports.keys().map(reach))
}

/// A map without room for more: there are as many of them as instances.
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
    fn of(name: BehaviourName, members: &[TransitionIx], ways: &[Way]) -> Self {
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
#[path = "net_tests.rs"]
mod tests;
