//! Ends the process of node 0, which acquires hosts while it lives.
//!
//! The process is the recorded one. When the record is damaged or missing, it is the process that writes files in node
//! 0's directory. Read next: [`super::down`].

use super::exit::{Exit, Failure};
use super::home_of::HomeOf;
use crate::app_dir::{AppDir, FounderProcess};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Time to end after SIGTERM, in milliseconds. Node 0 hosts no instance; it closes its log and its links.
const TERM_MS_MAX: u64 = 10_000;

/// Time to end after SIGKILL, in milliseconds.
const KILL_MS_MAX: u64 = 1_000;

/// Time between two checks whether the process has ended.
const LOOK: Duration = Duration::from_millis(50);

/// Ends every process of node 0 of an application, except the calling one. Returns false, and ends none, when the
/// application does not live in its home any more.
///
/// A process that is not recorded first has time to end by itself: a foreground `up` removes its record when its node
/// has ended, and then releases hosts as this command does.
///
/// # Errors
/// When such a process still runs after SIGKILL, and those of [`HomeOf::claim`].
pub(super) async fn end(home: HomeOf<'_>) -> Result<bool, Failure> {
    let Some(founders) = found(home).await? else { return Ok(false) };
    for founder in founders {
        let pid = Pid::from_raw(founder.pid);
        for (signal, ms_max) in [(Signal::SIGTERM, TERM_MS_MAX), (Signal::SIGKILL, KILL_MS_MAX)] {
            if founder.is_alive() {
                // ESRCH: it ended meanwhile.
                let _gone = kill(pid, signal);
            }
            let deadline = Instant::now() + Duration::from_millis(ms_max);
            while founder.is_alive() && Instant::now() < deadline {
                tokio::time::sleep(LOOK).await;
            }
        }
        if founder.is_alive() {
            let message = format!("end node 0: process {} still runs after SIGKILL", founder.pid);
            return Err(Failure::new(Exit::PartlyDone, message)
                .hint("it may acquire hosts; end it, then run `down` again"));
        }
    }
    Ok(true)
}

/// Returns the processes of node 0 when none but the recorded one is left, or when the others have had their time.
/// Returns `None` when the application does not live in its home any more.
async fn found(home: HomeOf<'_>) -> Result<Option<Vec<FounderProcess>>, Failure> {
    let deadline = Instant::now() + Duration::from_millis(TERM_MS_MAX);
    loop {
        // The lock keeps another application from being founded between the two readings.
        let Some(claim) = home.claim()? else { return Ok(None) };
        let (recorded, founders) = (home.dir().founder().ok().flatten(), all(home.dir()));
        drop(claim);
        let is_recorded = |founder: &FounderProcess| Some(founder) == recorded.as_ref();
        if founders.iter().all(is_recorded) || Instant::now() >= deadline {
            return Ok(Some(founders));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The live processes of node 0, except the calling one.
pub(super) fn all(home: &AppDir) -> Vec<FounderProcess> {
    let own = FounderProcess::current();
    let recorded = home.founder().ok().flatten().into_iter();
    let mut found: Vec<FounderProcess> = recorded.filter(FounderProcess::is_alive).collect();
    for founder in writers_below(&home.founder_dir()) {
        if !found.contains(&founder) {
            found.push(founder);
        }
    }
    found.retain(|founder| *founder != own);
    found
}

/// The processes that have opened a file below a directory for writing. A process of another user is not seen.
fn writers_below(directory: &Path) -> Vec<FounderProcess> {
    let Ok(directory) = fs::canonicalize(directory) else { return Vec::new() };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| writes_below(*pid, &directory)).map(FounderProcess::of).collect()
}

fn writes_below(pid: u32, directory: &Path) -> bool {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    descriptors.into_iter().any(|descriptor| {
        let is_below = fs::read_link(descriptor.path()).is_ok_and(|path| path.starts_with(directory));
        is_below && may_write(&process.join("fdinfo").join(descriptor.file_name()))
    })
}

/// Whether a descriptor was opened for writing, from the octal flags in its `fdinfo`. An operator who reads a log file
/// of node 0 has it open for reading.
fn may_write(info: &Path) -> bool {
    let text = fs::read_to_string(info).unwrap_or_default();
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok()).is_some_and(|flags| flags & 0o3 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app_dir::Deployment;
    use rhizo_types::Lineage;
    use std::process::{Command, Stdio};

    #[tokio::test]
    async fn the_writer_of_a_file_is_ended_and_its_reader_is_spared() {
        let dir = tempfile::tempdir().unwrap();
        let home = AppDir::below(dir.path()).unwrap();
        drop(home.make().unwrap());
        fs::create_dir(home.founder_dir()).unwrap();
        let log = home.founder_dir().join("node.log");
        let start = |stdin: Stdio, stdout: Stdio| {
            Command::new("sleep").arg("600").stdin(stdin).stdout(stdout).spawn().unwrap()
        };
        let mut writer = start(Stdio::null(), fs::File::create(&log).unwrap().into());
        let mut reader = start(fs::File::open(&log).unwrap().into(), Stdio::null());
        // No record names the process.
        assert_eq!(all(&home), [FounderProcess::of(writer.id())]);
        // Of an application that has ended, no process is left here: this one belongs to the next application.
        let former = Deployment { version: 1, app: "former".into(), lineage: Lineage(1), others: Vec::new() };
        assert!(!end(HomeOf::new(&home, Some(&former))).await.unwrap());
        assert!(writer.try_wait().unwrap().is_none());
        let waiting = std::thread::spawn(move || writer.wait());
        assert!(end(HomeOf::new(&home, None)).await.unwrap());
        assert!(!waiting.join().unwrap().unwrap().success());
        assert!(all(&home).is_empty());
        assert!(reader.try_wait().unwrap().is_none());
        reader.kill().unwrap();
        reader.wait().unwrap();
    }
}
