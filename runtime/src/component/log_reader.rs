//! Reads the log of an instance: its last lines, or the lines after a position.
//!
//! All bounds hold for the text that is returned, which can be longer than the bytes in the file: a byte that is no
//! UTF-8 becomes a character of three bytes. Read next: [`super::instance_log`] for the files.

use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Bytes after which a file of a log is set aside: a node with 50 instances keeps at most 100 MiB of logs.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 20;

/// Bytes of a line that are shown; a program that writes longer lines writes data, of which the beginning tells enough.
const LINE_BYTES_MAX: usize = 8 * 1_024;

/// Bytes that a line costs in an answer beside its text: its fields in JSON.
const LINE_OVERHEAD_BYTES: usize = 128;

/// A position in a log: after this many of the lines with this time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub(crate) struct LogPosition {
    /// Time of the last line that was read, in milliseconds of Unix time.
    pub(crate) at_unix_ms: u64,
    /// Number of lines with this time that were read.
    pub(crate) lines: u32,
}

/// A line of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Line {
    /// The time at which its first byte was written, in milliseconds of Unix time; zero if that part is overwritten.
    pub(crate) at_unix_ms: u64,
    /// Number of this line among those of the log with its time, from one.
    pub(crate) nth: u32,
    /// The text without the line end. A line that is longer than 8 KiB, or than the bound, is cut and marked.
    pub(crate) text: String,
    /// Whether the program has not ended the line yet.
    pub(crate) is_open: bool,
}

/// Returns the last lines of the log below `dir`, at most `bytes_max` bytes of them.
///
/// # Errors
/// When the log exists and cannot be read. A log that does not exist yet is empty.
pub(crate) fn last_lines(dir: &Path, bytes_max: usize) -> io::Result<Vec<Line>> {
    Ok(newest(&read(dir)?, bytes_max))
}

/// Returns the complete lines after a position, at most `bytes_max` bytes of them, the oldest first. The first line is
/// returned even if it alone exceeds the bound, so that a reader always gets on.
///
/// # Errors
/// When the log exists and cannot be read.
pub(crate) fn lines_after(dir: &Path, position: LogPosition, bytes_max: usize) -> io::Result<Vec<Line>> {
    Ok(following(&read(dir)?, position, bytes_max))
}

/// Returns the latest time of a line in the log below `dir`, in milliseconds of Unix time; zero if there is none.
///
/// # Errors
/// When the log exists and cannot be read.
pub(super) fn last_unix_ms(dir: &Path) -> io::Result<u64> {
    Ok(stored(&read(dir)?).map(|line| line.position.at_unix_ms).max().unwrap_or(0))
}

fn read(dir: &Path) -> io::Result<Vec<u8>> {
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
    Ok(bytes)
}

/// A line as it is in the file, with its place in the log.
struct Stored<'a> {
    position: LogPosition,
    /// The bytes behind the time, without the line end.
    bytes: &'a [u8],
    is_open: bool,
}

impl Stored<'_> {
    /// The line with at most `bytes_max` bytes of text.
    fn shown(&self, bytes_max: usize) -> Line {
        Line {
            at_unix_ms: self.position.at_unix_ms,
            nth: self.position.lines,
            text: shown(self.bytes, bytes_max),
            is_open: self.is_open,
        }
    }
}

/// Returns all lines of a log from its beginning. Both kinds of answers number the lines here, so that a reader may
/// continue after a line of either.
fn stored(bytes: &[u8]) -> impl Iterator<Item = Stored<'_>> {
    let mut last = LogPosition::default();
    bytes.split_inclusive(|byte| *byte == b'\n').map(move |line| {
        let ended = line.strip_suffix(b"\n");
        let (at_unix_ms, bytes) = parse(ended.unwrap_or(line));
        let lines = if at_unix_ms == last.at_unix_ms { last.lines.saturating_add(1) } else { 1 };
        last = LogPosition { at_unix_ms, lines };
        Stored { position: last, bytes, is_open: ended.is_none() }
    })
}

fn newest(bytes: &[u8], bytes_max: usize) -> Vec<Line> {
    let mut kept: Vec<Line> = Vec::new();
    let mut room = bytes_max;
    let all: Vec<Stored> = stored(bytes).collect();
    for stored in all.iter().rev() {
        // The newest line is shown in part when it alone exceeds the bound.
        let shown_max =
            if kept.is_empty() { room.saturating_sub(1).min(LINE_BYTES_MAX) } else { LINE_BYTES_MAX };
        let line = stored.shown(shown_max);
        let cost = cost(&line);
        if cost > room && !kept.is_empty() || line.text.len() >= room {
            break;
        }
        room = room.saturating_sub(cost);
        kept.push(line);
    }
    kept.reverse();
    kept
}

fn following(bytes: &[u8], position: LogPosition, bytes_max: usize) -> Vec<Line> {
    let mut kept = Vec::new();
    let mut room = bytes_max;
    // The line that has not ended yet comes with a later question. A line without a time is older than all others.
    let new = |line: &Stored| line.position > position && line.position.at_unix_ms > 0 && !line.is_open;
    for stored in stored(bytes).filter(new) {
        let line = stored.shown(LINE_BYTES_MAX);
        let cost = cost(&line);
        if cost > room && !kept.is_empty() {
            break;
        }
        room = room.saturating_sub(cost);
        kept.push(line);
    }
    kept
}

/// Bytes that a line takes in an answer: a control character becomes six bytes in JSON.
fn cost(line: &Line) -> usize {
    let controls = line.text.bytes().filter(|byte| *byte < b' ' || matches!(byte, b'"' | b'\\')).count();
    line.text.len() + 5 * controls + LINE_OVERHEAD_BYTES
}

/// Splits the time off a line. A line whose beginning was overwritten has none, which is zero.
fn parse(line: &[u8]) -> (u64, &[u8]) {
    let stamp = line
        .split_at_checked(13)
        .filter(|(stamp, rest)| stamp.iter().all(u8::is_ascii_digit) && rest.first() == Some(&b' '));
    let at = stamp.and_then(|(stamp, _)| std::str::from_utf8(stamp).ok()?.parse().ok());
    at.map_or((0, line), |at| (at, &line[14..]))
}

/// A line as text of at most `bytes_max` bytes; the end of a longer one is replaced by a mark.
fn shown(line: &[u8], bytes_max: usize) -> String {
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
    use super::super::instance_log::LogWriter;
    use super::*;

    fn after(line: &Line) -> LogPosition {
        LogPosition { at_unix_ms: line.at_unix_ms, lines: line.nth }
    }

    fn texts(lines: &[Line]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    /// The bytes of a log with these lines, each a millisecond after the one before.
    fn log(lines: &[&[u8]]) -> Vec<u8> {
        let stamped = lines
            .iter()
            .zip(1_u64..)
            .map(|(line, at)| [format!("{at:013} ").as_bytes(), line, b"\n"].concat());
        stamped.collect::<Vec<_>>().concat()
    }

    #[test]
    fn a_log_is_bounded_and_its_last_lines_are_whole() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let mut writer = LogWriter::open(dir.path())?;
        let line = [b'x'; 1_000];
        for at in 1..3 * FILE_BYTES_MAX / 1_000 {
            writer.write(&line, at)?;
            writer.write(b"\n", at)?;
        }
        let files = std::fs::read_dir(dir.path())?.flatten();
        let kept: u64 = files.filter_map(|entry| entry.metadata().ok()).map(|found| found.len()).sum();
        assert!(kept <= 2 * FILE_BYTES_MAX + 4_096, "kept {kept} bytes");
        let lines = last_lines(dir.path(), 3_000)?;
        assert!(lines.len() == 2 && texts(&lines).iter().all(|text| text.len() == 1_000));
        assert!(lines[0].at_unix_ms < lines[1].at_unix_ms, "{} {}", lines[0].at_unix_ms, lines[1].at_unix_ms);
        Ok(())
    }

    #[test]
    fn a_line_that_a_run_left_open_is_ended_by_the_next_and_times_never_decrease() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let mut first = LogWriter::open(dir.path())?;
        first.write(b"one\ntw", 9)?;
        first.write(b"o", 5)?;
        first.write(b"\nopen", 4)?;
        LogWriter::open(dir.path())?.write(b"new\n", 11)?;
        // The clock was set back before this run.
        LogWriter::open(dir.path())?.write(b"newer", 3)?;
        let lines = last_lines(dir.path(), 65_536)?;
        assert_eq!(texts(&lines), ["one", "two", "open", "new", "newer"]);
        assert_eq!(lines.iter().map(|line| line.at_unix_ms).collect::<Vec<_>>(), [9, 9, 9, 11, 11]);
        Ok(())
    }

    #[test]
    fn the_lines_of_one_time_are_overwritten_together() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let mut writer = LogWriter::open(dir.path())?;
        let mut position = LogPosition::default();
        // Three files are written while the clock is set back. A reader looks after each line.
        for number in 0..30 {
            writer.write(&[b'x'; FILE_BYTES_MAX as usize / 10], 7)?;
            writer.write(format!("{number}\n").as_bytes(), 7)?;
            let new = lines_after(dir.path(), position, 65_536)?;
            assert_eq!(new.len(), 1, "line {number}");
            position = after(&new[0]);
        }
        Ok(())
    }

    #[test]
    fn a_reader_continues_after_its_position_within_a_millisecond_too() {
        let bytes = b"0000000000001 a\n0000000000002 b\n0000000000002 c\n0000000000003 d\n0000000000003 op";
        let mut position = LogPosition::default();
        let mut seen = Vec::new();
        for _ in 0..5 {
            // Each question has room for one line.
            for line in following(bytes, position, 1) {
                position = after(&line);
                seen.push(line.text);
            }
        }
        assert_eq!(seen, ["a", "b", "c", "d"]);
    }

    #[test]
    fn a_reader_of_the_last_lines_of_a_burst_continues_behind_them() {
        let burst: String = (0..9).map(|number| format!("0000000000007 {number}\n")).collect();
        // There is room for two of the nine lines of this millisecond.
        let last = newest(burst.as_bytes(), 2 * LINE_OVERHEAD_BYTES + 2);
        assert_eq!(texts(&last), ["7", "8"]);
        let more = burst.clone() + "0000000000007 9\n0000000000008 10\n";
        let next = following(more.as_bytes(), after(&last[1]), 65_536);
        assert_eq!(texts(&next), ["9", "10"]);
        assert_eq!(next.iter().map(|line| line.nth).collect::<Vec<_>>(), [10, 1]);
    }

    #[test]
    fn the_bound_holds_for_bytes_that_are_no_text() {
        let noise: Vec<u8> = (0..4_096_u32).map(|at| 0x80 | at as u8 & 0x3f).collect();
        let lines = newest(&log(&[&noise]), 4_096);
        assert!(lines[0].text.len() < 4_096 && lines[0].text.ends_with("… (4096 bytes in all)"));
        assert!(newest(&log(&[&noise]), 10).iter().all(|line| line.text.len() < 10));
        let controls: &[u8] = &[7; 1_000];
        let lines = newest(&log(&[controls; 100]), 20_000);
        let json: usize = lines.iter().map(|line| serde_json::to_string(&line.text).unwrap().len()).sum();
        assert!(lines.len() > 1 && json <= 20_000, "{} lines, {json} bytes", lines.len());
    }

    #[test]
    fn a_very_long_line_is_cut_and_marked_and_its_neighbours_are_shown() {
        let long = [b"begins", [b'x'; 1 << 20].as_slice()].concat();
        let lines = newest(&log(&[b"before", &long, b"after"]), 65_536);
        let texts = texts(&lines);
        assert!(texts[0] == "before" && texts[2] == "after" && texts.len() == 3);
        assert!(texts[1].starts_with("beginsx") && texts[1].ends_with("… (1048582 bytes in all)"));
        assert!(texts[1].len() <= LINE_BYTES_MAX);
    }

    #[test]
    fn the_last_lines_keep_blank_ones_and_those_without_a_time() {
        let lines = newest(&[b"rest of a line\n".as_slice(), &log(&[b"a", b"", b"b"])].concat(), 65_536);
        assert_eq!(texts(&lines), ["rest of a line", "a", "", "b"]);
        assert_eq!(lines[0].at_unix_ms, 0);
        assert_eq!(newest(b"", 100), []);
    }
}
