//! The faults of a store, classified by whether a later attempt can succeed.

use rhizo_types::{Lineage, NodeId};
use std::io;

/// A fault of a database.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreFault {
    /// The system refused to read or write the file; a later attempt may succeed.
    #[error("{0}")]
    Io(#[source] io::Error),
    /// Another process, or another member of this process, has the file open.
    #[error("another process has it open")]
    InUse,
    /// The file's contents are wrong; no later attempt can succeed.
    #[error("{0}")]
    Damaged(String),
    /// The file was made for another node or another lineage.
    #[error("it belongs to node {node} of lineage {lineage}")]
    Foreign { node: NodeId, lineage: Lineage },
}

impl From<redb::Error> for StoreFault {
    fn from(error: redb::Error) -> Self {
        match error {
            // The file does not begin as a database does, or it is too short.
            redb::Error::Io(error)
                if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
            {
                Self::Damaged(error.to_string())
            }
            redb::Error::Io(error) => Self::Io(error),
            redb::Error::PreviousIo => Self::Io(io::Error::other("an earlier access failed")),
            redb::Error::DatabaseAlreadyOpen => Self::InUse,
            other => Self::Damaged(other.to_string()),
        }
    }
}

macro_rules! from_each_error_of_the_library {
    ($($error:ty),*) => {$(
        impl From<$error> for StoreFault {
            fn from(error: $error) -> Self {
                redb::Error::from(error).into()
            }
        }
    )*};
}

from_each_error_of_the_library!(
    redb::DatabaseError,
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError
);
