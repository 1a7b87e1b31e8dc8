//! The bounded log of one instance's output: two files, the older of which is overwritten.
//!
//! Bytes are kept as the programs wrote them. Nothing is sent anywhere: `logs` fetches the end of it on demand.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Bytes after which the file is set aside: a node with 50 instances keeps at most 100 MiB of logs.
const FILE_BYTES_MAX: u64 = 1 << 20;

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
            Some(open) => open.write(bytes),
            None => LogWriter::open(dir).and_then(|open| writer.insert(open).write(bytes)),
        };
        if let Err(error) = written {
            tracing::warn!(%error, "instance output could not be kept");
        }
    }
}

/// Writes one instance's output.
struct LogWriter {
    path: PathBuf,
    file: File,
    written: u64,
}

impl LogWriter {
    /// Opens `log` below `dir`, appending.
    fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let path = dir.join("log");
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let written = file.metadata()?.len();
        Ok(Self { path, file, written })
    }

    /// Appends bytes, setting the file aside when it has grown too long.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.written >= FILE_BYTES_MAX {
            fs::rename(&self.path, self.path.with_extension("1"))?;
            self.file = OpenOptions::new().create(true).append(true).open(&self.path)?;
            self.written = 0;
        }
        self.file.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

/// The last `bytes_max` bytes of the log below `dir`, cut at a line's start, as text.
///
/// # Errors
/// When the log exists and cannot be read. A log that does not exist yet is empty.
pub(crate) fn tail(dir: &Path, bytes_max: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    for name in ["log.1", "log"] {
        match File::open(dir.join(name)) {
            Ok(mut file) => {
                let skip = file.metadata()?.len().saturating_sub(bytes_max);
                file.seek(SeekFrom::Start(skip))?;
                file.take(bytes_max).read_to_end(&mut bytes)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let surplus = bytes.len().saturating_sub(usize::try_from(bytes_max).unwrap_or(usize::MAX));
    let mut kept = &bytes[surplus..];
    if surplus > 0 {
        let line = kept.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        kept = &kept[line..];
    }
    Ok(String::from_utf8_lossy(kept).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_bounded_and_its_tail_starts_at_a_line() -> io::Result<()> {
        let dir = std::env::temp_dir().join(format!("rhizo-logs-{}", std::process::id()));
        let mut writer = LogWriter::open(&dir)?;
        let line = [b'x'; 1023];
        for _ in 0..3 * FILE_BYTES_MAX / 1024 {
            writer.write(&line)?;
            writer.write(b"\n")?;
        }
        let kept: u64 =
            fs::read_dir(&dir)?.flatten().filter_map(|entry| entry.metadata().ok()).map(|m| m.len()).sum();
        let text = tail(&dir, 1500)?;
        fs::remove_dir_all(&dir)?;
        assert!(kept <= 2 * FILE_BYTES_MAX + 2048, "kept {kept} bytes");
        assert_eq!(text.len(), 1024);
        Ok(())
    }
}
