//! The reason for which an instance does not serve, as a sentence for `status` and `why`.
//!
//! It is derived from the ledger and from the reports of the agents. The coordinator has the reports of all agents. On
//! another node the reasons of foreign instances are not known. Read next: [`words`] for the states.

use crate::ledger::Ledger;
use crate::words;
use rhizo_types::NodeId;
use rhizo_types::id::{InstanceId, PortName};
use rhizo_types::message::{InstancePhase, InstanceReport};
use rhizo_types::spec::Import;
use std::collections::BTreeMap;

/// The last report about each instance, with the node that sent it.
pub type Reports = BTreeMap<InstanceId, (NodeId, InstanceReport)>;

/// Returns why an instance does not serve; `None` when it does, or when its agent has not reported a reason.
///
/// A failure takes precedence over the start check, and the start check over an import that is not served.
#[must_use]
pub fn of_instance(instance: &InstanceId, ledger: &Ledger, reports: &Reports) -> Option<String> {
    let (_, report) = reports.get(instance)?;
    match (report.phase, &report.failure, &report.not_ready) {
        (InstancePhase::Waiting, Some(failure), _) => {
            Some(format!("failed {}: {failure}", times(report.failures)))
        }
        (InstancePhase::Starting, _, Some(answer)) => Some(answer.clone()),
        (InstancePhase::Waiting | InstancePhase::Starting | InstancePhase::Suspended, ..) => {
            let waits = missing_imports(instance, report, ledger, reports);
            (!waits.is_empty()).then(|| format!("waits for {}", waits.join("; ")))
        }
        _ => None,
    }
}

fn times(failures: u32) -> String {
    if failures == 1 { "once".to_owned() } else { format!("{failures} times in a row") }
}

/// A phrase for each mandatory import that has no started exporter.
fn missing_imports(
    instance: &InstanceId,
    report: &InstanceReport,
    ledger: &Ledger,
    reports: &Reports,
) -> Vec<String> {
    let Some(component) = ledger.component_of(instance, report.version) else { return Vec::new() };
    let bound = ledger.target.bindings.get(instance);
    let phrase = |(port, import): (&PortName, &Import)| {
        let exporters = bound.and_then(|imports| imports.get(port)).into_iter().flatten();
        let states: Vec<(&InstanceId, &str)> =
            exporters.map(|exporter| (exporter, state(exporter, reports))).collect();
        let started = states.iter().filter(|(_, state)| *state == "started").count();
        if import.optional || started > 0 && started >= import.pick.needed(states.len()) {
            return None;
        }
        Some(match states.iter().find(|(_, state)| *state != "started") {
            Some((exporter, state)) => format!("import `{port}`: {exporter} is {state}"),
            None => format!("import `{port}`: no copy of {} is assigned to it", import.component),
        })
    };
    component.imports.iter().filter_map(phrase).collect()
}

fn state(instance: &InstanceId, reports: &Reports) -> &'static str {
    words::instance(reports.get(instance).map(|(_, report)| report))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_types::ledger::SetSpec;
    use rhizo_types::spec::{Component, Run, Spec};
    use rhizo_types::target::Configuration;
    use rhizo_types::{Generation, Revision};
    use std::collections::BTreeSet;
    use std::sync::Arc;

    fn instance(component: &str) -> InstanceId {
        InstanceId { component: component.into(), ordinal: 0 }
    }

    fn report(phase: InstancePhase) -> (NodeId, InstanceReport) {
        let report = InstanceReport::idle(Generation(1), Revision(1), phase);
        (NodeId(1), report)
    }

    /// A ledger in which `web.0` imports `db` from `db.0`, or from nothing.
    fn ledger(bound: bool) -> Ledger {
        let mut web = Component::new(Run::Nothing);
        web.imports.insert("db".into(), Import::of("db".into(), "sql".into()));
        let spec = Spec::new("x", BTreeMap::from([("web".into(), web)]));
        let set = SetSpec { revision: Revision(1), spec, source: String::new() };
        let exporters = if bound { BTreeSet::from([instance("db")]) } else { BTreeSet::new() };
        let imports = [("db".into(), exporters)].into_iter().collect();
        let bindings = BTreeMap::from([(instance("web"), imports)]);
        Ledger {
            specs: BTreeMap::from([(Revision(1), set)]),
            target: Arc::new(Configuration { bindings, ..Configuration::default() }),
            ..Ledger::default()
        }
    }

    #[test]
    fn a_waiting_instance_names_its_import_and_the_exporter_that_is_not_started() {
        let mut reports = Reports::from([(instance("web"), report(InstancePhase::Waiting))]);
        let reason = |reports: &Reports| of_instance(&instance("web"), &ledger(true), reports);
        assert_eq!(reason(&reports).as_deref(), Some("waits for import `db`: db.0 is unknown"));
        reports.insert(instance("db"), report(InstancePhase::Starting));
        assert_eq!(reason(&reports).as_deref(), Some("waits for import `db`: db.0 is starting"));
        reports.insert(instance("db"), report(InstancePhase::Started));
        assert_eq!(reason(&reports), None);
        let unassigned = of_instance(&instance("web"), &ledger(false), &reports);
        assert_eq!(unassigned.as_deref(), Some("waits for import `db`: no copy of db is assigned to it"));
    }

    #[test]
    fn a_failure_leads_and_a_started_instance_has_no_reason() {
        let mut reports = Reports::from([(instance("web"), report(InstancePhase::Waiting))]);
        let mut set = |change: &dyn Fn(&mut InstanceReport)| {
            change(&mut reports.get_mut(&instance("web")).unwrap().1);
            of_instance(&instance("web"), &ledger(true), &reports)
        };
        let failed = set(&|report| (report.failures, report.failure) = (2, Some("exit 3".to_owned())));
        assert_eq!(failed.as_deref(), Some("failed 2 times in a row: exit 3"));
        let starting = set(&|report| {
            (report.phase, report.not_ready) = (InstancePhase::Starting, Some("3 tries: 404".to_owned()));
        });
        assert_eq!(starting.as_deref(), Some("3 tries: 404"));
        assert_eq!(set(&|report| report.phase = InstancePhase::Started), None);
    }
}
