//! The token game of one instance: which places and transitions hold its tokens, which behaviours follow.
//!
//! It allows every step that the net allows. Ports, actions and time are the player's. The net is
//! [`crate::net::Net`].

use crate::net::{BehaviourIx, Net, PlaceIx, Reach, TransitionIx};
use std::collections::{BTreeSet, VecDeque};

/// Where the tokens of one instance are.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Marking {
    /// Places that hold a token.
    pub places: BTreeSet<PlaceIx>,
    /// Transitions that fired and have not begun their action.
    pub fired: BTreeSet<TransitionIx>,
    /// Transitions whose action is under way.
    pub running: BTreeSet<TransitionIx>,
    /// Transitions whose action is done, and whose place is not entered yet.
    pub arrived: BTreeSet<TransitionIx>,
    /// The behaviour being executed.
    pub active: Option<BehaviourIx>,
    /// Places left in it.
    left: BTreeSet<PlaceIx>,
    /// What follows, each with a number that its pusher chose.
    pub queue: VecDeque<(BehaviourIx, u64)>,
    /// The number of the behaviour being executed, or executed last.
    pub number: u64,
}

impl Marking {
    /// One token in one place, nothing to do.
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

    /// Whether no token is on its way.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.fired.is_empty() && self.running.is_empty() && self.arrived.is_empty()
    }

    /// Whether every behaviour is done.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.active.is_none() && self.queue.is_empty()
    }

    /// Places that the active behaviour wants to leave.
    #[must_use]
    pub fn exits(&self, net: &Net) -> Vec<PlaceIx> {
        let Some(active) = self.active else { return Vec::new() };
        let exits = &net.inner(active).exits;
        let open = self.places.iter().filter(|place| exits.contains_key(place) && !self.left.contains(place));
        open.copied().collect()
    }

    /// Places that can be entered, each with the dock set that is complete.
    #[must_use]
    pub fn entries(&self, net: &Net) -> Vec<(PlaceIx, Vec<TransitionIx>)> {
        let Some(active) = self.active else { return Vec::new() };
        let mut entries = Vec::new();
        let mut seen = BTreeSet::new();
        for transition in &self.arrived {
            let place = net.way(*transition).to;
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

    /// Moves the token of a place to the transitions that leave it; they fire together.
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

    /// The action of a transition is done.
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

    /// Whether nothing is left to do of the active behaviour; one that leaves no place is spent from the beginning.
    #[must_use]
    pub fn is_spent(&self, net: &Net) -> bool {
        self.is_at_rest() && self.exits(net).is_empty()
    }

    /// Begins the next behaviour if the active one is done; whether one is active then.
    pub fn next_behaviour(&mut self, net: &Net) -> bool {
        if self.active.is_some() && !self.is_spent(net) {
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

    /// Takes back tokens whose transitions all fired and did not begin, and drops what is queued. The active behaviour
    /// goes on with what runs.
    pub fn take_back(&mut self, net: &Net) {
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

    /// The same, and ends the active behaviour: what runs has no place to arrive at any more.
    pub fn unfire(&mut self, net: &Net) {
        self.take_back(net);
        self.active = None;
        self.left.clear();
    }

    /// Whether an import is used: by a token in its places, or by one of its transitions until it has entered a place.
    #[must_use]
    pub fn is_using(&self, used: &Reach) -> bool {
        !self.places.is_disjoint(&used.places)
            || !self.running.is_disjoint(&used.transitions)
            || !self.arrived.is_disjoint(&used.transitions)
    }

    /// Whether a token is in the group: in one of its places, or on a transition between two of them.
    #[must_use]
    pub fn is_in(&self, net: &Net, group: &BTreeSet<PlaceIx>) -> bool {
        self.is_in_without(net, group, None)
    }

    /// The same if that place were left now.
    #[must_use]
    pub fn is_in_without(&self, net: &Net, group: &BTreeSet<PlaceIx>, left: Option<PlaceIx>) -> bool {
        let inner = |transition: &TransitionIx| {
            let way = net.way(*transition);
            group.contains(&way.from) && group.contains(&way.to)
        };
        let exits = left.zip(self.active).and_then(|(place, active)| net.inner(active).exits.get(&place));
        self.places.iter().any(|place| group.contains(place) && Some(*place) != left)
            || self.fired.iter().chain(&self.running).chain(&self.arrived).any(inner)
            || exits.into_iter().flatten().any(inner)
    }
}
