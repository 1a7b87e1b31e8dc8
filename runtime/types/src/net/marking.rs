//! The marking of one instance's net: which places and transitions hold tokens, and which behaviours are queued.
//!
//! Every method is a step that the net ([`Net`]) allows. The caller decides when to take one: it knows the ports,
//! runs the actions and watches the time.

use super::{BehaviourIx, ImportUse, Net, PlaceIx, TransitionIx};
use std::collections::{BTreeSet, VecDeque};

/// The tokens of one instance and its queued behaviours.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Marking {
    /// Places that hold a token.
    pub places: BTreeSet<PlaceIx>,
    /// Transitions that have fired; their actions have not begun.
    pub fired: BTreeSet<TransitionIx>,
    /// Transitions whose action runs.
    pub running: BTreeSet<TransitionIx>,
    /// Transitions whose action is done; their dock set is not complete, so the place is not entered yet.
    pub arrived: BTreeSet<TransitionIx>,
    /// The behaviour in execution.
    pub active: Option<BehaviourIx>,
    /// Places that the behaviour in execution has left; it leaves none twice.
    left: BTreeSet<PlaceIx>,
    /// Behaviours to execute next, in order, each with the number that its caller gave it.
    pub queue: VecDeque<(BehaviourIx, u64)>,
    /// The number of the behaviour in execution, or of the last one if none is.
    pub number: u64,
}

impl Marking {
    /// A marking with one token in this place and no behaviour.
    #[must_use]
    pub fn at(place: PlaceIx) -> Self {
        Self {
            places: BTreeSet::from([place]),
            fired: BTreeSet::new(),
            running: BTreeSet::new(),
            arrived: BTreeSet::new(),
            active: None,
            left: BTreeSet::new(),
            queue: VecDeque::new(),
            number: 0,
        }
    }

    /// Queues a behaviour.
    pub fn push(&mut self, behaviour: BehaviourIx, number: u64) {
        self.queue.push_back((behaviour, number));
    }

    /// Whether no transition holds a token.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.fired.is_empty() && self.running.is_empty() && self.arrived.is_empty()
    }

    /// Whether no behaviour is in execution or queued.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.active.is_none() && self.queue.is_empty()
    }

    /// The places that the active behaviour leaves next.
    #[must_use]
    pub fn exits(&self, net: &Net) -> Vec<PlaceIx> {
        let Some(active) = self.active else { return Vec::new() };
        let exits = &net.inner(active).exits;
        let open = self.places.iter().filter(|place| exits.contains_key(place) && !self.left.contains(place));
        open.copied().collect()
    }

    /// The places that can be entered now, each with its complete dock set.
    #[must_use]
    pub fn entries(&self, net: &Net) -> Vec<(PlaceIx, Vec<TransitionIx>)> {
        let Some(active) = self.active else { return Vec::new() };
        let mut entries = Vec::new();
        let mut seen = BTreeSet::new();
        for transition in &self.arrived {
            let place = net.transition(*transition).to;
            if !seen.insert(place) {
                continue;
            }
            let sets = net.inner(active).docks.get(&place).into_iter().flatten();
            let mut complete = sets.filter(|set| set.iter().all(|member| self.arrived.contains(member)));
            if let Some(set) = complete.next() {
                entries.push((place, set.clone()));
            }
        }
        entries
    }

    /// Moves the token of a place to all transitions of the active behaviour that leave it: they fire together.
    pub fn leave(&mut self, net: &Net, place: PlaceIx) {
        let Some(active) = self.active else { return };
        if self.places.remove(&place) {
            self.left.insert(place);
            self.fired.extend(net.inner(active).exits.get(&place).into_iter().flatten());
        }
    }

    /// Begins the action of a fired transition.
    pub fn begin(&mut self, transition: TransitionIx) {
        if self.fired.remove(&transition) {
            self.running.insert(transition);
        }
    }

    /// Records that the action of a transition is done.
    pub fn end(&mut self, transition: TransitionIx) {
        if self.running.remove(&transition) {
            self.arrived.insert(transition);
        }
    }

    /// Enters a place through one of its dock sets.
    pub fn enter(&mut self, place: PlaceIx, docks: &[TransitionIx]) {
        for transition in docks {
            self.arrived.remove(transition);
        }
        self.places.insert(place);
    }

    /// Whether the active behaviour has nothing left to do. A behaviour that leaves no place is done at once.
    #[must_use]
    pub fn is_behaviour_done(&self, net: &Net) -> bool {
        self.is_at_rest() && self.exits(net).is_empty()
    }

    /// Begins the next behaviour if the active one is done. Returns whether one is active afterwards.
    pub fn next_behaviour(&mut self, net: &Net) -> bool {
        if self.active.is_some() && !self.is_behaviour_done(net) {
            return true;
        }
        self.active = None;
        self.left.clear();
        if let Some((behaviour, number)) = self.queue.pop_front() {
            self.active = Some(behaviour);
            self.number = number;
        }
        self.active.is_some()
    }

    /// Drops the queue, and returns a token to its place where all transitions that it moved to have fired and none has
    /// begun. Actions that run continue, and the active behaviour with them.
    pub fn cancel_unbegun(&mut self, net: &Net) {
        self.queue.clear();
        if let Some(active) = self.active {
            for (place, exits) in &net.inner(active).exits {
                if exits.iter().all(|transition| self.fired.contains(transition)) {
                    exits.iter().for_each(|transition| {
                        self.fired.remove(transition);
                    });
                    self.places.insert(*place);
                }
            }
        }
    }

    /// Cancels like [`Self::cancel_unbegun`], and ends the active behaviour: actions that run enter no place
    /// afterwards.
    pub fn abort_behaviour(&mut self, net: &Net) {
        self.cancel_unbegun(net);
        self.active = None;
        self.left.clear();
    }

    /// Whether an import is in use: a token is in one of its places, or one of its transitions runs or has arrived.
    #[must_use]
    pub fn is_using(&self, used: &ImportUse) -> bool {
        !self.places.is_disjoint(&used.places)
            || !self.running.is_disjoint(&used.transitions)
            || !self.arrived.is_disjoint(&used.transitions)
    }

    /// Whether a token is in this group of places: in one of them, or on a transition between two of them.
    #[must_use]
    pub fn is_in(&self, net: &Net, group: &BTreeSet<PlaceIx>) -> bool {
        self.is_in_without(net, group, None)
    }

    /// Whether a token would be in the group if this place were left now.
    #[must_use]
    pub fn is_in_without(&self, net: &Net, group: &BTreeSet<PlaceIx>, left: Option<PlaceIx>) -> bool {
        let inner = |transition: &TransitionIx| {
            let way = net.transition(*transition);
            group.contains(&way.from) && group.contains(&way.to)
        };
        let exits = left.zip(self.active).and_then(|(place, active)| net.inner(active).exits.get(&place));
        self.places.iter().any(|place| group.contains(place) && Some(*place) != left)
            || self.fired.iter().chain(&self.running).chain(&self.arrived).any(inner)
            || exits.into_iter().flatten().any(inner)
    }
}
