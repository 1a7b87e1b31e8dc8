//! The words of the JSON contract for the states of instances, members and scripts.
//!
//! They are here, beside the states, so that a new state cannot be forgotten: every match is exhaustive. The shell and
//! the command line print these words and compare nothing else. The word for the whole application is
//! [`OverlayState::word`](crate::status::OverlayState::word).

use crate::ledger::{Member, ScriptRun, ScriptState};
use rhizo_types::message::{InstancePhase, InstanceReport};

/// The state of an instance by its last report; `unknown` when there is none.
#[must_use]
pub fn instance(report: Option<&InstanceReport>) -> &'static str {
    let Some(report) = report else { return "unknown" };
    match report.phase {
        InstancePhase::Waiting if report.failure.is_some() => "failed",
        InstancePhase::Waiting => "waiting",
        InstancePhase::Starting => "starting",
        InstancePhase::Started => "started",
        InstancePhase::Draining => "draining",
        InstancePhase::Stopping => "stopping",
        InstancePhase::Suspended => "suspended",
        InstancePhase::Resting => "resting",
    }
}

/// The state of an instance that is on no node, because its data is on a lost host.
pub const WAITING_FOR_DATA: &str = "waiting for its data";

/// The state of a member: `draining` while it is being emptied, else `member`.
#[must_use]
pub fn member(member: &Member) -> &'static str {
    if member.draining { "draining" } else { "member" }
}

/// The state of a host whose node has not joined yet.
pub const ARRIVING: &str = "joining";

/// The state of a script in words.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ScriptWords {
    /// `running`, `done`, `ended` or `failed`.
    pub state: &'static str,
    /// The line of the next statement, or of the one that failed; `None` when all were carried out.
    pub line: Option<u32>,
    /// That statement as text.
    pub statement: Option<String>,
    /// The reason of a failure.
    pub reason: Option<String>,
}

/// The state of a script, with the statement that it is at.
#[must_use]
pub fn script(run: &ScriptRun) -> ScriptWords {
    let (state, failed, reason) = match &run.state {
        ScriptState::Running => ("running", None, None),
        ScriptState::Done => ("done", None, None),
        ScriptState::Ended => ("ended", None, None),
        ScriptState::Failed { line, reason } => ("failed", Some(*line), Some(reason.clone())),
    };
    let statement = match failed {
        Some(line) => run.script.statements.iter().find(|statement| statement.line == line),
        None => run.statement(),
    };
    ScriptWords {
        state,
        line: failed.or_else(|| statement.map(|statement| statement.line)),
        statement: statement.map(|statement| statement.order.to_string()),
        reason,
    }
}
