//! `forward`: a local port of the operator's machine that leads to an export of the application.
//!
//! Each connection goes to a copy that is started when it arrives, over a stream of its own to the copy's node, with the
//! operator's credential. Copies take turns. Read next: `rhizo_traffic::forward`.

use super::client::{Client, ClientError};
use super::exit::{Exit, Failure};
use super::{Session, members_of};
use crate::admin::{InstanceStatus, Status};
use rhizo_traffic::{Copy, Member};
use rhizo_types::{InstanceId, PortName};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// The status is asked again for a connection that arrives later than this after the last answer.
const STATUS_MAX_AGE: Duration = Duration::from_secs(1);
/// The most connections at once. Further ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 256;

pub(super) async fn forward(session: &Session, export: &str, port: Option<u16>) -> Result<Exit, Failure> {
    let target = Target::read(export)?;
    tokio::select! {
        ended = accept(session, &target, port) => ended,
        _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
    }
}

async fn accept(session: &Session, target: &Target, port: Option<u16>) -> Result<Exit, Failure> {
    let mut client = session.client().await?;
    let mut copies = target.copies(&client.status().await?)?;
    let mut asked = Instant::now();
    let wanted = port.unwrap_or(0);
    let failed = |error| Failure::new(Exit::Failed, format!("listen on 127.0.0.1:{wanted}: {error}"));
    let listener = TcpListener::bind(("127.0.0.1", wanted)).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let text = format!("{address} leads to {}.{}; Ctrl-C ends it\n", target.name, target.export);
    session.print(&serde_json::json!({ "address": address }), || text.clone());
    let (dialer, credential) = client.streams();
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return Ok(Exit::Done) };
        let (socket, _) = listener.accept().await.map_err(failed)?;
        if asked.elapsed() > STATUS_MAX_AGE {
            copies = current(&mut client, target).await.unwrap_or(copies);
            asked = Instant::now();
        }
        if !copies.is_empty() {
            copies.rotate_left(1);
        }
        let (dialer, credential) = (dialer.clone(), credential.clone());
        let (copies, export) = (copies.clone(), target.export.clone());
        tokio::spawn(async move {
            let ended = rhizo_traffic::forward(socket, &dialer, &credential, &copies, &export).await;
            if let Err(error) = ended {
                tracing::warn!(error = %crate::error::chain(&error), "connection not forwarded");
            }
            drop(permit);
        });
    }
}

/// The copies that are started now; none when no node answers, or when the export is gone.
async fn current(client: &mut Client, target: &Target) -> Option<Vec<Copy>> {
    let status: Result<Status, ClientError> = client.status().await;
    target.copies(&status.ok()?).ok()
}

/// The export that the operator names.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    /// A component or a copy of it.
    name: String,
    export: PortName,
}

impl Target {
    /// Reads `web.http` or `web.0.http`.
    fn read(text: &str) -> Result<Self, Failure> {
        let parts = text.rsplit_once('.').filter(|(name, export)| !name.is_empty() && !export.is_empty());
        let (name, export) = parts.ok_or_else(|| {
            Failure::new(Exit::BadConfig, format!("find an export in `{text}`")).hint(
                "write COMPONENT.EXPORT, such as web.http, or an instance and its export, such as web.0.http",
            )
        })?;
        Ok(Self { name: name.to_owned(), export: PortName::from(export) })
    }

    fn names(&self, instance: &InstanceStatus) -> bool {
        instance.name == self.name || instance.instance == self.name
    }

    /// Returns the copies that serve the export.
    ///
    /// # Errors
    /// The application has no such component or copy.
    fn copies(&self, status: &Status) -> Result<Vec<Copy>, Failure> {
        if !status.components.iter().any(|instance| self.names(instance)) {
            let message = format!("find `{}`: there is no such component or instance", self.name);
            return Err(Failure::new(Exit::Failed, message).hint("`status` lists them"));
        }
        let members = members_of(status);
        let named = status.components.iter().filter(|instance| self.names(instance));
        let serving = named
            .filter(|instance| instance.exports.iter().any(|export| export.export == self.export.as_str()));
        let copy = |instance: &InstanceStatus| {
            let member = members.iter().find(|member| member.node.to_string() == instance.node)?;
            let key = member.peer_key()?;
            let member = Member { key, addresses: member.addresses.clone() };
            let (component, ordinal) = instance.instance.rsplit_once('.')?;
            let instance = InstanceId { component: component.into(), ordinal: ordinal.parse().ok()? };
            Some(Copy { instance, member })
        };
        Ok(serving.filter_map(copy).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_or_a_copy_is_named_with_its_export() {
        let read = |text| Target::read(text).map(|target| (target.name, target.export.to_string())).ok();
        assert_eq!(read("web.http"), Some(("web".to_owned(), "http".to_owned())));
        assert_eq!(read("web.0.http"), Some(("web.0".to_owned(), "http".to_owned())));
        for text in ["web", ".http", "web.", ""] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
