//! Template files that a config names: what is wrong with one that cannot be read, and inside one that can.
//!
//! The crate reads no file: the caller does, and says what it found. Placeholders of imported values are only looked at
//! as far as the component itself tells. Read next: `template`, for what a placeholder is.

use crate::finding::{Finding, Findings, Span};
use crate::read::command::check_template;
use rhizo_types::ComponentName;
use rhizo_types::spec::Spec;

/// A file that an action of a component writes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TemplateFile {
    /// Where it is; a relative path was joined to the config's folder.
    pub path: String,
    /// Whose action it is.
    pub component: ComponentName,
    /// An error where the config names it, without a reason.
    unreadable: Finding,
}

impl TemplateFile {
    pub(crate) fn new(
        component: ComponentName,
        path: String,
        span: Span,
        (source, file_name): (&str, &str),
    ) -> Self {
        let mut findings = Findings::default();
        findings.error(span, format!("`{path}` cannot be read")).hint(
            "the path of a template is found from the folder of the config; the file has to be UTF-8 text",
        );
        let unreadable = findings.finish(source, file_name).swap_remove(0);
        Self { path, component, unreadable }
    }

    /// The finding that says that it cannot be read and why, with its place in the config.
    #[must_use]
    pub fn unreadable(&self, reason: &str) -> Finding {
        let message = format!("{}: {reason}", self.unreadable.message);
        Finding { message, ..self.unreadable.clone() }
    }

    /// What is wrong in it, with places in `text`, which is what the file says.
    #[must_use]
    pub fn check(&self, text: &str, spec: &Spec) -> Vec<Finding> {
        let component = spec.components.get(&self.component);
        component.map(|component| check_template(text, &self.path, component)).unwrap_or_default()
    }
}
