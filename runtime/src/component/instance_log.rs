//! The bounded log of one instance's output: two files, the older of which is overwritten.
//!
//! Each line begins with the time at which its first byte was written: milliseconds of Unix time and a blank. The bytes
//! of a line are kept as the programs wrote them. Nothing is sent anywhere. Read next: [`super::log_reader`].

use super::log_reader::{self, FILE_BYTES_MAX};
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The log of one instance, shared by its service and its actions. The first write opens the file.
pub(super) struct InstanceLog {
    /// The directory of the files; none drops every byte.
    dir: Option<PathBuf>,
    writer: Mutex<Option<LogWriter>>,
}

impl InstanceLog {
    /// The log below `dir`.
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir: Some(dir), writer: Mutex::new(None) }
    }

    /// A log that drops every byte.
    #[cfg(test)]
    pub(super) fn nowhere() -> Self {
        Self { dir: None, writer: Mutex::new(None) }
    }

    /// Appends bytes. Bytes that cannot be written are dropped, because a full disk must not stop the program.
    pub(super) fn write(&self, bytes: &[u8]) {
        let Some(dir) = &self.dir else { return };
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let written = match &mut *writer {
            Some(open) => open.write(bytes, unix_ms()),
            None => LogWriter::open(dir).and_then(|open| writer.insert(open).write(bytes, unix_ms())),
        };
        if let Err(error) = written {
            tracing::warn!(%error, "instance log could not be written, output is lost");
        }
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Writes one instance's output.
pub(super) struct LogWriter {
    path: PathBuf,
    file: File,
    written: u64,
    /// Whether the next byte begins a line.
    at_line_start: bool,
    /// The time of the last line. Times never decrease, also when the clock is set back, because a reader continues
    /// after the last time that it has seen. For the same reason each file begins with a new time: the lines of one
    /// time, which a reader counts, are then kept and overwritten together.
    last_unix_ms: u64,
}

impl LogWriter {
    /// Opens `log` below `dir`, appending. A line that an earlier run left open is ended. Times continue with the
    /// last one of the earlier runs.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        rhizo_private_files::create_dirs(dir)?;
        let path = dir.join("log");
        let mut file = rhizo_private_files::append(&path)?;
        let mut written = file.metadata()?.len();
        if written > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
                written += 1;
            }
        }
        let last_unix_ms = log_reader::last_unix_ms(dir)?;
        Ok(Self { path, file, written, at_line_start: true, last_unix_ms })
    }

    /// Appends bytes, setting the file aside when it has grown too long.
    pub(super) fn write(&mut self, bytes: &[u8], now_unix_ms: u64) -> io::Result<()> {
        if self.written >= FILE_BYTES_MAX {
            fs::rename(&self.path, self.path.with_extension("1"))?;
            self.file = rhizo_private_files::append(&self.path)?;
            self.written = 0;
            self.last_unix_ms += 1;
        }
        self.last_unix_ms = self.last_unix_ms.max(now_unix_ms);
        let mut stamped = Vec::with_capacity(bytes.len() + 16);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.at_line_start {
                stamped.extend(format!("{:013} ", self.last_unix_ms).into_bytes());
            }
            stamped.extend(piece);
            self.at_line_start = piece.ends_with(b"\n");
        }
        self.file.write_all(&stamped)?;
        self.written += stamped.len() as u64;
        Ok(())
    }
}
