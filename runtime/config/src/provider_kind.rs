//! The kinds of the providers that a config names.
//!
//! The program that runs a config knows the kinds: some are built in, and it may add its own. It compares each with the
//! kinds that it knows; the finding then has its place in the config. Read next: `read::provider`.

use crate::finding::{Finding, Findings, Span};
use crate::sources::Sources;
use crate::suggest;

/// The kind of one provider.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProviderKind {
    /// The kind, such as `process`.
    pub kind: String,
    /// The finding that there is no such kind, at its place; its remedy is still to be added.
    unknown: Finding,
}

impl ProviderKind {
    pub(crate) fn new(kind: String, span: Span, sources: &Sources) -> Self {
        let mut findings = Findings::default();
        findings.error(span, format!("there is no provider of kind `{kind}`"));
        let unknown = findings.finish(sources).swap_remove(0);
        Self { kind, unknown }
    }

    /// The finding that the kind is none of the known ones; none if it is.
    #[must_use]
    pub fn unless_known<'k>(&self, known: impl Iterator<Item = &'k str> + Clone) -> Option<Finding> {
        if known.clone().any(|name| name == self.kind) {
            return None;
        }
        let hint = match suggest::nearest(&self.kind, known.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => match known.map(|name| format!("`{name}`")).collect::<Vec<_>>().as_slice() {
                [_] => "write `kind = \"process\"`, hosts on this machine: the only kind of this program"
                    .to_owned(),
                names => format!("this program has the kinds {}", names.join(", ")),
            },
        };
        Some(Finding { hint: Some(hint), ..self.unknown.clone() })
    }
}
