//! `check`: reads a config and everything that it names, and says whether `up` can carry it out.
//!
//! Beside the text these are the programs, templates, data files, providers, and the attributes and hosts that the
//! providers sell. Nothing is started. Read next: [`crate::config`] for the text and the files.

use super::Session;
use super::exit::{Exit, Failure, Flaws};
use super::offline::{self, Offline};
use rhizo_config::{Finding, Severity};
use rhizo_planning::Decision;
use std::path::Path;

pub(super) async fn check(session: &Session, named: Option<&Path>) -> Result<Exit, Failure> {
    let config = session.config(named)?;
    session.print_warnings(&config);
    let spec = &config.parsed.spec;
    // A kind that this binary does not have, or a data file with a mistake, would stop `plan` and `up`.
    let known = Offline::of(session, spec).await?;
    let unsupplied = offline::unsupplied(session, &config, &known);
    let record = known.answer(spec).filter(|record| record.verdict == Decision::Infeasible);
    match record {
        // An attribute that is not supplied is the cause, and has a place.
        Some(_) if !unsupplied.is_empty() => {
            let errors =
                unsupplied.into_iter().map(|finding| Finding { severity: Severity::Error, ..finding });
            let flaws = Flaws { findings: errors.collect(), text: config.text.text.clone() };
            return Err(Failure::flawed(&config.text.file, vec![flaws]));
        }
        Some(record) => {
            let message = format!("use `{}`: {}", config.text.file, record.text);
            let failure = Failure::new(Exit::BadConfig, message);
            let causes = record.warnings.join("; ");
            return Err(if causes.is_empty() { failure } else { failure.hint(causes) });
        }
        None => session.note_findings(&unsupplied, &config.text.text),
    }
    let text = format!("{} is good: {} components\n", config.text.file, spec.components.len());
    let findings: Vec<&Finding> = config.parsed.warnings.iter().chain(&unsupplied).collect();
    session.print(&serde_json::json!({ "findings": findings }), || text);
    Ok(Exit::Done)
}
