//! Collects the effects of one event from all parts of the core.
//!
//! Effects keep the order in which they were added. When the event has a durable record, every effect waits for it:
//! an effect that did not wait could overtake a start that does.

use crate::notice::Notice;
use crate::turn::{Effect, Turn};
use rhizo_types::id::NodeId;
use rhizo_types::message::{Control, Message};
use rhizo_types::wire::Record;

/// The effects of the event that is being handled.
#[derive(Default)]
pub(crate) struct Out {
    durable: Vec<Record>,
    effects: Vec<Effect>,
    /// The index of the committed entry from which notices follow at present.
    entry: Option<u64>,
}

impl Out {
    pub(crate) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(crate) fn durable(&mut self, record: Record) {
        self.durable.push(record);
    }

    pub(crate) fn notice(&mut self, notice: Notice) {
        self.effects.push(Effect::Notice { notice, entry: self.entry });
    }

    /// Sets the index of the committed entry from which the next notices follow; `None` when they follow from none.
    pub(crate) fn notices_follow_from(&mut self, entry: Option<u64>) {
        self.entry = entry;
    }

    pub(crate) fn control(&mut self, to: NodeId, message: Control) {
        self.effects.push(Effect::Send { to, message: Message::Control(message) });
    }

    pub(crate) fn into_turn(self) -> Turn {
        if self.durable.is_empty() {
            Turn { durable: Vec::new(), after_durable: Vec::new(), now: self.effects }
        } else {
            Turn { durable: self.durable, after_durable: self.effects, now: Vec::new() }
        }
    }
}

/// The earlier of two deadlines.
pub(crate) fn earlier(
    one: Option<rhizo_types::Time>,
    other: Option<rhizo_types::Time>,
) -> Option<rhizo_types::Time> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
