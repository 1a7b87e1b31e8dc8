//! The journal: this node's own durable records, in an append-only file with a length and a checksum before each.
//!
//! A last record that a crash left incomplete is cut off when the file is opened. A wrong checksum before the last
//! record is an error. The core defines the meaning of the records. The replicated log has a store of its own.

use rhizo_protocol::codec;
use rhizo_types::wire::Record;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// The longest record in bytes. A record holds an instance name and two numbers.
const RECORD_BYTES_MAX: usize = 64 * 1024;

/// Bytes before each record: its length and its checksum.
const HEADER_BYTES: usize = 4 + 8;

/// The reason why the journal could not be used. Completes "failed to …".
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    /// The file could not be opened, read or written.
    #[error("use the journal `{}`", path.display())]
    File { path: PathBuf, source: io::Error },
    /// A record before the last one is damaged.
    #[error("read the journal `{}`: the record at byte {offset} is damaged", path.display())]
    Damaged { path: PathBuf, offset: usize },
    /// The file could not be written for too long.
    #[error("write the journal `{}` before too many actions wait for it", path.display())]
    GivenUp { path: PathBuf },
}

/// An open journal, at whose end records are appended.
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    /// Bytes of whole, synced records. A failed append may have left a part of a record after them.
    length: u64,
    /// Whether the last append failed.
    is_torn: bool,
}

impl Journal {
    /// Opens the journal, or makes an empty one. Returns it with its records, oldest first.
    ///
    /// # Errors
    /// When the file cannot be opened, read or cut, or a record before the last one is damaged.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<Record>), JournalError> {
        let fault = |source| JournalError::File { path: path.to_owned(), source };
        let mut file = rhizo_private_files::append(path).map_err(fault)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(fault)?;
        let (records, good) = read(path, &bytes)?;
        if good < bytes.len() {
            file.set_len(good as u64).map_err(fault)?;
            file.sync_all().map_err(fault)?;
        }
        Ok((Self { path: path.to_owned(), file, length: good as u64, is_torn: false }, records))
    }

    /// Appends records and syncs the file: when this returns, the records survive a power cut.
    ///
    /// After an error nothing of the records counts, and the call may be repeated with them.
    ///
    /// # Errors
    /// When the file cannot be written or synced.
    pub(crate) fn append(&mut self, records: &[Record]) -> Result<(), JournalError> {
        let mut bytes = Vec::new();
        for record in records {
            let body = codec::encode_record(record);
            let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
            bytes.extend(length.to_le_bytes());
            bytes.extend(checksum(&body));
            bytes.extend(body);
        }
        let added = bytes.len() as u64;
        match self.write(&bytes) {
            Ok(()) => {
                (self.length, self.is_torn) = (self.length + added, false);
                Ok(())
            }
            Err(source) => {
                self.is_torn = true;
                Err(JournalError::File { path: self.path.clone(), source })
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.file.set_len(self.length)?;
        }
        self.file.write_all(bytes)?;
        self.file.sync_data()
    }

    /// The error of a caller that repeats an append no longer.
    pub(crate) fn given_up(&self) -> JournalError {
        JournalError::GivenUp { path: self.path.clone() }
    }

    /// From now on no write succeeds.
    #[cfg(test)]
    pub(super) fn break_file(&mut self) {
        self.file = File::open(&self.path).unwrap();
    }

    /// Writes succeed again; a part of a record is left from the failed ones.
    #[cfg(test)]
    pub(super) fn mend_file(&mut self) {
        self.file = File::options().append(true).open(&self.path).unwrap();
        self.file.write_all(&[7; 5]).unwrap();
    }
}

fn checksum(body: &[u8]) -> [u8; 8] {
    let mut short = [0; 8];
    short.copy_from_slice(&blake3::hash(body).as_bytes()[..8]);
    short
}

fn read(path: &Path, bytes: &[u8]) -> Result<(Vec<Record>, usize), JournalError> {
    let mut records = Vec::new();
    let mut offset = 0;
    while let Some(header) = bytes.get(offset..offset + HEADER_BYTES) {
        let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let start = offset + HEADER_BYTES;
        let Some(body) = bytes.get(start..start + length.min(RECORD_BYTES_MAX)) else { break };
        let damaged = JournalError::Damaged { path: path.to_owned(), offset };
        if length > RECORD_BYTES_MAX || checksum(body) != header[4..] {
            // A crash leaves only the last append incomplete; a readable record after it means damage.
            return if start + length >= bytes.len() { Ok((records, offset)) } else { Err(damaged) };
        }
        records.push(codec::decode_record(body).map_err(|_| damaged)?);
        offset = start + length;
    }
    Ok((records, offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_types::{Generation, InstanceId};

    fn record(generation: u64) -> Record {
        let instance = InstanceId { component: "web".into(), ordinal: 0 };
        Record::Fence { instance, generation: Generation(generation) }
    }

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("rhizo-journal-{name}-{}", std::process::id()));
            let _absent = std::fs::remove_file(&path);
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _absent = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn records_survive_a_reopen_and_a_torn_tail() {
        let scratch = Scratch::new("torn");
        let (mut journal, records) = Journal::open(&scratch.0).unwrap();
        assert!(records.is_empty());
        journal.append(&[record(1), record(2)]).unwrap();
        journal.append(&[record(3)]).unwrap();
        let whole = std::fs::metadata(&scratch.0).unwrap().len();
        for cut in 1..20 {
            File::options().write(true).open(&scratch.0).unwrap().set_len(whole - cut).unwrap();
            let (mut journal, records) = Journal::open(&scratch.0).unwrap();
            assert_eq!(records, [record(1), record(2)]);
            journal.append(&[record(3)]).unwrap();
        }
    }

    #[test]
    fn damage_before_the_tail_is_an_error() {
        let scratch = Scratch::new("damaged");
        let (mut journal, _) = Journal::open(&scratch.0).unwrap();
        journal.append(&[record(1)]).unwrap();
        journal.append(&[record(2)]).unwrap();
        let mut bytes = std::fs::read(&scratch.0).unwrap();
        bytes[HEADER_BYTES] ^= 1;
        std::fs::write(&scratch.0, bytes).unwrap();
        assert!(matches!(Journal::open(&scratch.0), Err(JournalError::Damaged { offset: 0, .. })));
    }
}
