//! The codec of records that cross a wire or reach a disk: postcard inside versioned enums.
//!
//! Decoding never panics and never allocates by a length that it has not checked. A record of an unknown version is an
//! error. The record types are in `rhizo_types::wire`.

use crate::ledger::Ledger;
use rhizo_types::ledger::Command;
use rhizo_types::message::{CommittedEntry, LogEntry, Message};
use rhizo_types::secret::SealingKey;
use rhizo_types::wire::{
    Boot, BootRecord, CommandRecord, JoinAnswer, JoinAnswerRecord, JoinAskRecord, MessageRecord, NodeRecord,
    Record,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;

/// A record could not be read. Completes "failed to …".
#[derive(Debug, Error)]
#[error("decode a {what} record of {bytes} bytes")]
pub struct DecodeError {
    what: &'static str,
    bytes: usize,
    #[source]
    source: postcard::Error,
}

/// The ledger as a snapshot stores and sends it.
#[derive(Serialize, Deserialize)]
enum LedgerRecord {
    V1(Ledger),
}

fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    // Writing to a growing vector fails only for types whose length is not known in advance; ours have none.
    postcard::to_stdvec(record).expect("records are plain data of known length")
}

fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, DecodeError> {
    postcard::from_bytes(bytes).map_err(|source| DecodeError { what, bytes: bytes.len(), source })
}

/// A command as the payload of a Raft entry.
#[must_use]
pub fn encode_command(command: &Command) -> Vec<u8> {
    encode(&CommandRecord::V1(command.clone()))
}

/// Decodes the payload of a Raft entry. Bytes that cannot be read are an entry too, which changes nothing on any node.
#[must_use]
pub fn decode_entry(bytes: &[u8]) -> LogEntry {
    match decode::<CommandRecord>("command", bytes) {
        Ok(CommandRecord::V1(command)) => LogEntry::Command(command),
        Err(_) => LogEntry::Unreadable,
    }
}

/// How many bytes an entry takes on the wire.
pub(crate) fn entry_bytes(entry: &CommittedEntry) -> usize {
    encode(entry).len()
}

/// A message between two cores.
#[must_use]
pub fn encode_message(message: &Message) -> Vec<u8> {
    encode(&MessageRecord::V1(message.clone()))
}

/// A message between two cores.
///
/// # Errors
/// The bytes are not such a record.
pub fn decode_message(bytes: &[u8]) -> Result<Message, DecodeError> {
    decode("message", bytes).map(|MessageRecord::V1(message)| message)
}

/// A node's own durable record.
#[must_use]
pub fn encode_record(record: &Record) -> Vec<u8> {
    encode(&NodeRecord::V1(record.clone()))
}

/// A node's own durable record.
///
/// # Errors
/// The bytes are not such a record.
pub fn decode_record(bytes: &[u8]) -> Result<Record, DecodeError> {
    decode("node", bytes).map(|NodeRecord::V1(record)| record)
}

/// A whole ledger.
#[must_use]
pub fn encode_ledger(ledger: &Ledger) -> Vec<u8> {
    encode(&LedgerRecord::V1(ledger.clone()))
}

/// A whole ledger.
///
/// # Errors
/// The bytes are not such a record.
pub fn decode_ledger(bytes: &[u8]) -> Result<Ledger, DecodeError> {
    decode("ledger", bytes).map(|LedgerRecord::V1(ledger)| ledger)
}

/// A host's boot document.
#[must_use]
pub fn encode_boot(boot: &Boot) -> Vec<u8> {
    encode(&BootRecord::V1(boot.clone()))
}

/// A host's boot document.
///
/// # Errors
/// The bytes are not such a record.
pub fn decode_boot(bytes: &[u8]) -> Result<Boot, DecodeError> {
    decode("boot", bytes).map(|BootRecord::V1(boot)| boot)
}

/// A request to join.
#[must_use]
pub fn encode_join(join: &rhizo_types::ledger::Join) -> Vec<u8> {
    encode(&JoinAskRecord::V1(join.clone()))
}

/// A request to join.
///
/// # Errors
/// The bytes are not such a record.
pub fn decode_join(bytes: &[u8]) -> Result<rhizo_types::ledger::Join, DecodeError> {
    decode("join", bytes).map(|JoinAskRecord::V1(join)| join)
}

/// An answer to a request to join. A node that is accepted gets the key that opens the application's secrets, if there
/// is one.
#[must_use]
pub fn encode_join_answer(answer: &JoinAnswer, key: Option<&SealingKey>) -> Vec<u8> {
    let key = key.filter(|_| matches!(answer, JoinAnswer::Accepted { .. })).cloned();
    encode(&JoinAnswerRecord::V1 { answer: answer.clone(), key })
}

/// An answer to a request to join.
///
/// # Errors
/// The bytes are not such a record.
pub fn decode_join_answer(bytes: &[u8]) -> Result<(JoinAnswer, Option<SealingKey>), DecodeError> {
    decode("join answer", bytes).map(|JoinAnswerRecord::V1 { answer, key }| (answer, key))
}
