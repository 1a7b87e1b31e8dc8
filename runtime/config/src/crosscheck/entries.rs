//! The ports of public exports: every node listens at each of them, so no other export of the application can have one.

use super::Places;
use crate::finding::Findings;
use rhizo_types::spec::Spec;

pub(super) fn check(spec: &Spec, places: &Places, findings: &mut Findings) {
    let port = |(component, export)| spec.components.get(component)?.exports.get(export);
    let all = || {
        places
            .ports
            .iter()
            .filter_map(|((component, export), span)| Some((component, span, port((component, export))?)))
    };
    for (component, span, export) in all() {
        let Some(entry) = export.entry_port() else { continue };
        // Two exports of one component with the same port were reported where they were read.
        let other = all().find(|(other, _, export)| *other != component && export.port == Some(entry));
        let Some((other, elsewhere, also)) = other else { continue };
        // A pair of public exports is reported once.
        if also.public && other < component {
            continue;
        }
        findings
            .error(span.clone(), format!("port {entry} is that of a public export and of another one"))
            .label(elsewhere.clone(), format!("the port of `{other}`"))
            .hint("write another number: every node listens at the port of a public export");
    }
}
