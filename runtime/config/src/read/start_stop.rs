//! The `start` and `stop` tables of a component.
//!
//! The agent and the node that runs the component act on time-outs and signals.

use crate::document;
use crate::read::Session;
use crate::read::policy::DURATION_MS_MAX;
use crate::reader::Node;
use crate::suggest;
use rhizo_types::lifecycle::{Action, Verb};
use rhizo_types::spec::{Component, Stop};

/// Signals that can end a process and that every Linux has.
const SIGNALS: &[&str] = &["TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "KILL"];

impl Session<'_> {
    /// The time-out of a start, which becomes that of the life-cycle's transition.
    pub(crate) fn start(&mut self, node: &Node<'_>, component: &mut Component) {
        let Some(mut table) = self.reader.table(node) else { return };
        let timeout = table.take("timeout");
        self.reader.finish::<document::Start>(table);
        let Some(ms) = timeout.and_then(|node| self.reader.duration_ms(&node, 1, DURATION_MS_MAX)) else {
            return;
        };
        if component.lifecycle.is_some() {
            let message = "a component with a `lifecycle` has no `start`";
            self.reader.findings.error(node.key.clone(), message).hint("set `timeout` in its transitions");
            return;
        }
        let mut lifecycle = component.lifecycle().into_owned();
        let starts =
            |action: &Action| matches!(action, Action::Start | Action::Script(Verb::Init | Verb::Run));
        for transition in lifecycle.transitions.values_mut().filter(|way| starts(&way.step.action)) {
            transition.step.timeout_ms = Some(ms);
        }
        component.lifecycle = Some(Box::new(lifecycle));
    }

    pub(crate) fn stop(&mut self, node: &Node<'_>, stop: &mut Stop) {
        let form = "stop = { signal = \"TERM\", grace = \"10s\" }";
        let Some(mut table) = self.reader.table_like(node, form) else { return };
        let signal = table.take("signal").and_then(|node| {
            if self.reader.literal(&node).is_some() {
                let hint = "write the name of the signal: \"TERM\"".to_owned();
                self.reader.mismatch_with(&node, "a text", Some(hint));
                return None;
            }
            self.reader.text(&node)
        });
        if let Some(signal) = signal {
            let name = signal.text.strip_prefix("SIG").unwrap_or(signal.text);
            if SIGNALS.contains(&name) {
                stop.signal = name.to_owned();
            } else {
                let hint = suggest::hint(name, SIGNALS.iter().copied(), "signals");
                let message = format!("unknown signal `{}`", signal.text.escape_debug());
                self.reader.findings.error(signal.span, message).maybe_hint(hint);
            }
        }
        if let Some(ms) = table.take("grace").and_then(|node| self.reader.duration_ms(&node, 0, 86_400_000)) {
            stop.grace_ms = ms;
        }
        self.reader.finish::<document::Stop>(table);
    }
}
