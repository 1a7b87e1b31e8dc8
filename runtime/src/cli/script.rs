//! `run SCRIPT`: submits a reconfiguration script to the application and follows its execution.
//!
//! The whole script is committed before its first statement is executed, and the coordinator executes it, so this
//! command may end at any time. `rhizo_config::parse_script` defines the language, and the ledger its meaning.

use super::args;
use super::exit::{Exit, Failure, Flaws};
use super::{Session, refused};
use crate::admin::{Answer, Ask, ConfigText, ScriptStatus};
use crate::config;
use rhizo_config::Sources;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// Time between two requests for the script's progress.
const LOOK_MS: u64 = 150;

pub(super) async fn run(session: &Session, run: args::Run) -> Result<Exit, Failure> {
    let Some(path) = run.script.filter(|_| !run.end) else {
        return match session.ask(Ask::EndScript).await? {
            Answer::Done { .. } => Ok(Exit::Done),
            other => Err(refused(other)),
        };
    };
    let script = read(&path)?;
    match session.ask(Ask::RunScript { script: script.clone() }).await? {
        Answer::Done { .. } => {}
        Answer::Findings(findings) => {
            let sources = Sources::one(&script.file, &script.text);
            return Err(Failure::flawed(path.display(), vec![Flaws { findings, sources }]));
        }
        other => return Err(refused(other)),
    }
    if run.no_wait {
        return Ok(Exit::Done);
    }
    let patience = Duration::from_secs(run.timeout_s);
    tokio::select! {
        followed = tokio::time::timeout(patience, follow(session, &script.text)) => followed.unwrap_or_else(|_| {
            Err(Failure::new(Exit::NotStable, format!("see the end of the script within {} s", run.timeout_s))
                .hint("it goes on: `status` shows where it is, `run --end` ends it there"))
        }),
        _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
    }
}

fn read(path: &Path) -> Result<ConfigText, Failure> {
    let text = config::read_text(path).map_err(|error| {
        Failure::new(Exit::BadConfig, format!("read the script `{}`: {error}", path.display()))
    })?;
    Ok(ConfigText {
        text,
        file: path.display().to_string(),
        base: String::new(),
        secrets: Default::default(),
        closures: Default::default(),
    })
}

/// Shows each line that is executed until the script has ended. `text` is the script's.
async fn follow(session: &Session, text: &str) -> Result<Exit, Failure> {
    let mut client = session.client().await?;
    let begin = Instant::now();
    let mut number = None;
    let mut shown = 0;
    loop {
        // The member that answered last may have died. Every member knows the script's progress.
        if let Ok(status) = client.status().await
            && let Some(script) = status.script
        {
            // The script was committed before this request, so the status names it or a later one.
            let current = *number.get_or_insert(script.number) == script.number;
            let reached = match (current, script.state.as_str()) {
                (false, _) => None,
                // In JSON, the record of the end is shown by `ended`.
                (true, "done") => (!session.console.json()).then_some(u32::MAX),
                (true, _) => script.line,
            };
            if let Some(reached) = reached.filter(|line| *line > shown) {
                show(session, &script, text, shown, reached);
                shown = reached;
            }
            if !current || script.state != "running" {
                client.close().await;
                return ended(session, current, &script, begin);
            }
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
}

/// Shows the statements after line `shown` up to line `reached`. A statement that takes less than the time between two
/// requests is shown as well, after it was executed.
fn show(session: &Session, script: &ScriptStatus, text: &str, shown: u32, reached: u32) {
    session.print(script, || {
        let lines = (1..).zip(text.lines()).filter(|(number, _)| (shown + 1..=reached).contains(number));
        let code = lines.map(|(number, line)| (number, line.split('#').next().unwrap_or_default().trim()));
        let statements = code.filter(|(_, code)| !code.is_empty());
        statements.map(|(number, code)| format!("at line {number}: {code}\n")).collect()
    });
}

fn ended(session: &Session, current: bool, script: &ScriptStatus, begin: Instant) -> Result<Exit, Failure> {
    let seconds = begin.elapsed().as_secs_f64();
    match (current, script.state.as_str()) {
        // Another script begins only after this one has ended.
        (false, _) => Ok(Exit::Done),
        (true, "done") => {
            session.print(script, || format!("script {} is carried out, {seconds:.1} s\n", script.number));
            Ok(Exit::Done)
        }
        (true, "failed") => {
            let line = script.line.map_or_else(String::new, |line| format!("line {line} of "));
            let reason = script.reason.as_deref().unwrap_or("no reason is known");
            Err(Failure::new(Exit::PartlyDone, format!("carry out {line}the script: {reason}"))
                .hint("what was done before that line stays; `events` tells it"))
        }
        (true, state) => {
            Err(Failure::new(Exit::PartlyDone, format!("carry the whole script out: it is {state}")))
        }
    }
}
