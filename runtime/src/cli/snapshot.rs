//! `snapshot restore`: starts a copy again whose data is on a lost host.
//!
//! The coordinator keeps such a copy waiting, because only an operator can decide that data is given up. Read next:
//! `rhizo_protocol`'s `ledger::homes`.

use super::args::Snapshot;
use super::exit::{Exit, Failure};
use super::{Session, refused};
use crate::admin::{Answer, Ask};

pub(super) async fn run(session: &Session, command: Snapshot) -> Result<Exit, Failure> {
    // The syntax requires `--empty`.
    let Snapshot::Restore { instance, empty: _, yes } = command;
    if !yes {
        session.console.confirm(&format!("Give up the data of {instance} and start it empty?"))?;
    }
    match session.ask(Ask::GiveUpData { instance: instance.clone() }).await? {
        Answer::Done { spec } => {
            session.print(&serde_json::json!({ "instance": instance, "spec": spec }), || {
                format!("The data of {instance} is given up. It starts empty when its lost host is gone.\n")
            });
            Ok(Exit::Done)
        }
        other => Err(refused(other)),
    }
}
