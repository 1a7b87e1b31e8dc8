//! `check`: reads a config and everything that it names, and says whether `up` can carry it out.
//!
//! Beside the text these are the programs, templates, data files, providers, and the attributes and hosts that the
//! providers sell. Nothing is started. Read next: [`crate::config`] for the text and the files.

use super::Session;
use super::exit::{Exit, Failure, Flaws};
use super::offline::{self, Offline};
use rhizo_config::{Finding, Severity};
use rhizo_planning::{Decision, Record};
use std::path::Path;

/// `config show`: prints a config as it is understood.
pub(super) fn show(session: &Session, named: Option<&Path>) -> Result<Exit, Failure> {
    let config = session.config(named)?;
    session.print_warnings(&config);
    let parsed = &config.parsed;
    let files: Vec<&str> = parsed.sources.files().map(|(name, _)| name).collect();
    session.print(&serde_json::json!({ "files": files, "text": parsed.shown }), || parsed.shown.clone());
    Ok(Exit::Done)
}

pub(super) async fn check(session: &Session, named: Option<&Path>) -> Result<Exit, Failure> {
    let config = session.config(named)?;
    session.print_warnings(&config);
    let spec = &config.parsed.spec;
    super::packing::find(&config)?;
    // A kind that this binary does not have, or a data file with a mistake, would stop `plan` and `up`.
    let known = Offline::of(session, spec).await?;
    let unsupplied = offline::unsupplied(session, &config, &known);
    if let Some(failure) = unplanned(&config.text.file, known.answer(spec)) {
        if unsupplied.is_empty() || failure.exit == Exit::Failed {
            session.note_findings(&unsupplied, &config.parsed.sources);
            return Err(failure);
        }
        // An attribute that is not supplied is the cause, and has a place.
        let errors = unsupplied.into_iter().map(|finding| Finding { severity: Severity::Error, ..finding });
        let flaws = Flaws { findings: errors.collect(), sources: config.parsed.sources.clone() };
        return Err(Failure::flawed(&config.text.file, vec![flaws]));
    }
    session.note_findings(&unsupplied, &config.parsed.sources);
    let count = spec.components.len();
    let noun = if count == 1 { "component" } else { "components" };
    let text = format!("{} is good: {count} {noun}\n", config.text.file);
    let findings: Vec<&Finding> = config.parsed.warnings.iter().chain(&unsupplied).collect();
    session.print(&serde_json::json!({ "findings": findings }), || text);
    Ok(Exit::Done)
}

/// The failure of a config that `up` cannot begin an application with; none when there is a plan.
fn unplanned(file: &str, record: Option<Record>) -> Option<Failure> {
    let Some(record) = record else {
        let message = format!("use `{file}`: an application cannot begin with it");
        return Some(Failure::new(Exit::BadConfig, message));
    };
    let message = match record.verdict {
        Decision::Planned | Decision::Kept => return None,
        Decision::Infeasible => format!("use `{file}`: {}", record.text),
        // This does not show that the config is wrong.
        Decision::Failed => format!("make a plan for `{file}`: {}", record.text),
    };
    let exit = if record.verdict == Decision::Infeasible { Exit::BadConfig } else { Exit::Failed };
    let failure = Failure::new(exit, message);
    Some(if record.warnings.is_empty() { failure } else { failure.hint(record.warnings.join("; ")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_config_with_a_plan_is_good() {
        let record = |verdict: &str| -> Record {
            serde_json::from_value(serde_json::json!({
                "at_unix_ms": 0, "spec": 1, "plan": 0, "cause": "plan", "forced": true, "verdict": verdict,
                "text": "the reason", "actions": [], "current": [], "proposed": [], "gain": null,
                "cost_per_hour": null, "currency": "EUR", "is_informed": true, "warnings": ["the cause"],
            }))
            .expect("a record")
        };
        let exit = |record| unplanned("rhizo.toml", record).map(|failure| failure.exit);
        assert_eq!(exit(Some(record("planned"))), None);
        assert_eq!(exit(Some(record("infeasible"))), Some(Exit::BadConfig));
        assert_eq!(exit(Some(record("failed"))), Some(Exit::Failed));
        assert_eq!(exit(None), Some(Exit::BadConfig));
        let failure = unplanned("rhizo.toml", Some(record("failed"))).expect("a failure");
        assert_eq!(failure.message, "make a plan for `rhizo.toml`: the reason");
        assert_eq!(failure.hint.as_deref(), Some("the cause"));
    }
}
