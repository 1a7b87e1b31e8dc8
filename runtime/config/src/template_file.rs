//! The template files that a config names: a finding for one that cannot be read, and the errors inside one.
//!
//! The crate reads no file; the caller does, and passes its text. Placeholders of imports are checked only as far as
//! the component itself allows. Read next: `template`, for what a placeholder is.

use crate::finding::{Finding, Findings, Span};
use crate::read::command::check_template;
use crate::sources::Sources;
use rhizo_types::ComponentName;
use rhizo_types::spec::Spec;

/// A file whose text an action of a component writes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TemplateFile {
    /// Its path; a relative one is already joined to the config's folder.
    pub path: String,
    /// The component of the action.
    pub component: ComponentName,
    /// A finding at the place where the config names it; its reason is still to be added.
    unreadable: Finding,
}

impl TemplateFile {
    pub(crate) fn new(component: ComponentName, path: String, span: Span, sources: &Sources) -> Self {
        let mut findings = Findings::default();
        findings.error(span, format!("`{path}` cannot be read")).hint(
            "the path of a template is found from the folder of the config; the file has to be UTF-8 text",
        );
        let unreadable = findings.finish(sources).swap_remove(0);
        Self { path, component, unreadable }
    }

    /// The finding that the file cannot be read, with the reason and the place in the config.
    #[must_use]
    pub fn unreadable(&self, reason: &str) -> Finding {
        let message = format!("{}: {reason}", self.unreadable.message);
        Finding { message, ..self.unreadable.clone() }
    }

    /// The findings inside the file, with places in `text`, its content.
    #[must_use]
    pub fn check(&self, text: &str, spec: &Spec) -> Vec<Finding> {
        let component = spec.components.get(&self.component);
        component.map(|component| check_template(text, &self.path, component)).unwrap_or_default()
    }
}
