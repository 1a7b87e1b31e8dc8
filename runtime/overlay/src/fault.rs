//! Classifies libp2p's nested errors: how a dial failed, or why a connection was refused.

use crate::event::UnreachableReason;
use crate::gate::ExchangeError;
use crate::refusal::Refusal;
use crate::transport::SetUpError;
use libp2p::TransportError;
use libp2p::swarm::{DialError, ListenError};
use rhizo_types::PeerKey;
use std::error::Error;
use std::io;

/// How a dial failed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Fault {
    Unreachable(UnreachableReason),
    Refused(Refusal),
}

impl From<Fault> for crate::error::DialError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unreachable(reason) => Self::Unreachable(reason),
            Fault::Refused(refusal) => Self::Refused(refusal),
        }
    }
}

/// Classifies a failed dial. Of several addresses, the attempt that came furthest decides.
pub(crate) fn of_dial(error: &DialError) -> Fault {
    match error {
        DialError::WrongPeerId { .. } | DialError::LocalPeerId { .. } => {
            Fault::Unreachable(UnreachableReason::WrongKey)
        }
        DialError::Transport(errors) => errors
            .iter()
            .map(|(_, error)| set_up_error(error).map_or(failed(), of_set_up))
            .max()
            .unwrap_or(failed()),
        _ => failed(),
    }
}

/// The peer that was refused and the reason, as far as they are known.
pub(crate) fn of_listen(error: &ListenError) -> (Option<PeerKey>, Option<Refusal>) {
    let ListenError::Transport(error) = error else { return (None, None) };
    let Some(SetUpError::Exchange { peer, source }) = set_up_error(error) else { return (None, None) };
    let refusal = match source {
        ExchangeError::DialerRefused(refusal) => Some(*refusal),
        ExchangeError::Malformed(_) => Some(Refusal::Malformed),
        ExchangeError::Broken(_) | ExchangeError::RefusedByListener(_) => None,
    };
    (Some(*peer), refusal)
}

/// Whether an inbound connection became no link because it carries a stream.
pub(crate) fn is_stream(error: &ListenError) -> bool {
    let ListenError::Transport(error) = error else { return false };
    matches!(set_up_error(error), Some(SetUpError::Stream))
}

fn failed() -> Fault {
    Fault::Unreachable(UnreachableReason::Failed)
}

fn of_set_up(error: &SetUpError) -> Fault {
    match error {
        SetUpError::Connect { source, .. } => Fault::Unreachable(match source.kind() {
            io::ErrorKind::ConnectionRefused => UnreachableReason::ConnectionRefused,
            io::ErrorKind::TimedOut => UnreachableReason::TimedOut,
            _ => UnreachableReason::Failed,
        }),
        SetUpError::TimedOut => Fault::Unreachable(UnreachableReason::TimedOut),
        SetUpError::WrongKey { .. } => Fault::Unreachable(UnreachableReason::WrongKey),
        SetUpError::Exchange { source: ExchangeError::RefusedByListener(refusal), .. } => {
            Fault::Refused(*refusal)
        }
        _ => failed(),
    }
}

/// Finds our error under the boxes libp2p put around it.
fn set_up_error(error: &TransportError<io::Error>) -> Option<&SetUpError> {
    let TransportError::Other(error) = error else { return None };
    let mut cause: Option<&(dyn Error + 'static)> = error.get_ref().map(|inner| inner as _);
    while let Some(error) = cause {
        if let Some(ours) = error.downcast_ref() {
            return Some(ours);
        }
        // An `io::Error` does not name what it wraps as its source, but that source's source.
        cause = match error.downcast_ref::<io::Error>() {
            Some(wrapper) => wrapper.get_ref().map(|inner| inner as _),
            None => error.source(),
        };
    }
    None
}
