//! Connections of an operator's machine to an export of a copy: `rhizo forward`.
//!
//! The operator's machine opens a stream to the copy's node with the operator's credential. It is no node and serves
//! nothing. Read next: [`crate::inbound`], the other end.

use crate::outbound::{break_off, send_at_once};
use crate::peers::{self, Member, OpenError};
use crate::relay::relay;
use rhizo_overlay::{Credential, StreamDialer};
use rhizo_types::{InstanceId, PortName};
use tokio::net::TcpStream;

/// A copy, and the member that it runs on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Copy {
    /// The copy.
    pub instance: InstanceId,
    /// Its node.
    pub member: Member,
}

/// A connection was not forwarded.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// No copy was reached; the text says why the last one was not.
    #[error("reach a copy: {0}")]
    Open(String),
    /// The connection broke at one end.
    #[error("carry the connection")]
    Broken(#[source] std::io::Error),
}

/// Relays one connection to an export of the first of these copies that can be reached; returns when it has ended.
///
/// # Errors
/// No copy was reached, or the connection broke. The socket is reset then.
pub async fn forward(
    mut socket: TcpStream,
    dialer: &StreamDialer,
    credential: &Credential,
    copies: &[Copy],
    export: &PortName,
) -> Result<(), ForwardError> {
    send_at_once(&socket);
    let mut outcome = Err(ForwardError::Open("none is started".to_owned()));
    for copy in copies {
        let opened = async {
            let stream = peers::dial(dialer, &copy.member, credential).await?;
            peers::ask(stream, &peers::opening(&copy.instance, export, true)).await
        };
        match opened.await {
            Ok(mut stream) => {
                outcome = relay(&mut socket, &mut stream).await.map_err(ForwardError::Broken);
                break;
            }
            Err(error) => outcome = Err(ForwardError::Open(in_words(&error))),
        }
    }
    if outcome.is_err() {
        break_off(&socket);
    }
    outcome
}

/// The error with its causes.
fn in_words(error: &OpenError) -> String {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}
