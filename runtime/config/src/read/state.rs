//! The state of a component: `state` and `on_loss`.
//!
//! The core decides with it where a copy may be placed. Read next: `rhizo_types::state`.

use crate::read::Session;
use crate::reader::Table;
use rhizo_types::spec::Component;
use rhizo_types::state::{OnDataLoss, State};

impl Session<'_> {
    /// Reads the state. It is read before the commands, because `{data}` is a placeholder only with state.
    pub(crate) fn state(&mut self, table: &mut Table<'_>, component: &mut Component) {
        let kinds = [("none", false), ("pinned", true)];
        let is_pinned = table.take("state").and_then(|node| self.choice(&node, &kinds)).unwrap_or(false);
        let reactions = [("wait", OnDataLoss::Wait), ("empty", OnDataLoss::Empty)];
        let node = table.take("on_loss");
        let on_loss = node.as_ref().and_then(|node| self.choice(node, &reactions));
        if is_pinned {
            component.state = State::Pinned { on_loss: on_loss.unwrap_or(OnDataLoss::Wait) };
        } else if let (Some(node), Some(_)) = (node, on_loss) {
            self.reader
                .findings
                .error(node.key, "`on_loss` of a component is about its data, and it has none")
                .hint("add `state = \"pinned\"`; for the loss of an import write it inside `imports.NAME`");
        }
    }
}
