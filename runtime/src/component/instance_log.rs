//! The bounded log of one instance's output: two files, the older of which is overwritten.
//!
//! Bytes are kept as the programs wrote them. Nothing is sent anywhere: `logs` fetches the end of the log on demand.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
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
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let path = dir.join("log");
        let file = append(&path)?;
        let written = file.metadata()?.len();
        Ok(Self { path, file, written })
    }

    /// Appends bytes, setting the file aside when it has grown too long.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.written >= FILE_BYTES_MAX {
            fs::rename(&self.path, self.path.with_extension("1"))?;
            self.file = append(&self.path)?;
            self.written = 0;
        }
        self.file.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

/// Opens a file to append to, which only the node's user may read, because programs may print secrets.
fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Bytes of a line that are shown; a program that writes longer lines writes data, of which the beginning tells enough.
const LINE_BYTES_MAX: usize = 8 * 1_024;

/// Returns the last lines of the log below `dir` as text, at most `bytes_max` bytes of it.
///
/// A line that is longer than 8 KiB, or than `bytes_max`, is cut and marked.
///
/// # Errors
/// When the log exists and cannot be read. A log that does not exist yet is empty.
pub(crate) fn tail(dir: &Path, bytes_max: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    for name in ["log.1", "log"] {
        match File::open(dir.join(name)) {
            // The writer may be setting the file aside just now: no more is read than the two files may hold.
            Ok(file) => {
                file.take(2 * FILE_BYTES_MAX).read_to_end(&mut bytes)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(last_lines(&bytes, usize::try_from(bytes_max).unwrap_or(usize::MAX)))
}

/// The last lines that fit the bound, which holds for the text and not only for the bytes it is made from.
fn last_lines(bytes: &[u8], bytes_max: usize) -> String {
    let mut kept = Vec::new();
    let mut room = bytes_max;
    let lines = bytes.strip_suffix(b"\n").unwrap_or(bytes).rsplit(|byte| *byte == b'\n');
    for line in lines.filter(|_| !bytes.is_empty()) {
        let is_last = kept.is_empty();
        let line =
            shown(line, if is_last { room.saturating_sub(1).min(LINE_BYTES_MAX) } else { LINE_BYTES_MAX });
        if line.len() >= room {
            break;
        }
        room -= line.len() + 1;
        kept.push(line);
    }
    kept.into_iter().rev().map(|line| line + "\n").collect()
}

/// A line as text of at most `bytes_max` bytes; the end of a longer one is replaced by a mark.
fn shown(line: &[u8], bytes_max: usize) -> String {
    // Each byte that is no UTF-8 becomes a character of three bytes, so the text can be longer than the line.
    let text = String::from_utf8_lossy(&line[..line.len().min(bytes_max.saturating_add(1))]);
    if text.len() <= bytes_max {
        return text.into_owned();
    }
    let mark = format!("… ({} bytes in all)", line.len());
    let mut end = bytes_max.saturating_sub(mark.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    if mark.len() > bytes_max { String::new() } else { text[..end].to_owned() + &mark }
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

    #[test]
    fn the_bound_holds_for_bytes_that_are_no_text() {
        let noise: Vec<u8> = (0..4_096_u32).map(|at| 0x80 | at as u8 & 0x3f).collect();
        let text = last_lines(&noise, 4_096);
        assert!(text.len() <= 4_096 && text.ends_with("… (4096 bytes in all)\n"), "{} bytes", text.len());
        assert!(last_lines(&noise, 10).len() <= 10);
    }

    #[test]
    fn a_very_long_line_is_cut_and_marked_and_its_neighbours_are_shown() {
        let long = [b"begins", [b'x'; 1 << 20].as_slice()].concat();
        let log = [b"before\n".as_slice(), &long, b"\nafter\n"].concat();
        let text = last_lines(&log, 65_536);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0] == "before" && lines[2] == "after" && lines.len() == 3);
        assert!(lines[1].starts_with("beginsx") && lines[1].ends_with("… (1048582 bytes in all)"));
        assert!(lines[1].len() <= LINE_BYTES_MAX);
    }

    #[test]
    fn whole_lines_are_shown_from_the_end() {
        assert_eq!(last_lines(b"one\ntwo\nthree\n", 10), "two\nthree\n");
        assert_eq!(last_lines(b"one\ntwo\nthree", 9), "three\n");
        assert_eq!(last_lines(b"a\n\nb\n", 100), "a\n\nb\n");
        assert_eq!(last_lines(b"", 100), "");
    }
}
