//! The identity of a process: pid, start time and boot, so that another process with a reused pid is never confused
//! with it.
//!
//! A signal is sent through a pidfd. The identity is checked after the pidfd was opened, so the pid cannot pass to
//! another process between the check and the signal.

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;

/// One life of one process on one boot of the machine.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Its process id.
    pub pid: i32,
    /// Its start, in clock ticks since the machine booted (field 22 of `/proc/<pid>/stat`).
    pub start_ticks: u64,
    /// The kernel's identifier of that boot.
    pub boot_id: String,
}

/// The fields of `/proc/<pid>/stat` that are used here.
pub(crate) struct Stat {
    pub(crate) parent: i32,
    pub(crate) start_ticks: u64,
    /// False for a zombie: it holds its pid, but runs no code.
    pub(crate) runs: bool,
}

/// Reads `/proc/<pid>/stat`; `None` when there is no such process.
pub(crate) fn stat(pid: i32) -> io::Result<Option<Stat>> {
    let text = match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => text,
        // ESRCH: the process ended between open and read.
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                || error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "malformed process status");
    // The name in the second field may hold spaces and parentheses, so the fields are counted after the last
    // parenthesis.
    let (_, fields) = text.rsplit_once(") ").ok_or_else(malformed)?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field).and_then(|text| text.parse::<u64>().ok());
    Ok(Some(Stat {
        runs: !matches!(fields.first(), Some(&("Z" | "X" | "x"))),
        parent: number(1).and_then(|pid| i32::try_from(pid).ok()).ok_or_else(malformed)?,
        // Field 22 of the file is the twentieth after the name.
        start_ticks: number(19).ok_or_else(malformed)?,
    }))
}

fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

impl ProcessIdentity {
    /// The identity of a process that runs now; `None` when there is none.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn of(pid: i32) -> io::Result<Option<Self>> {
        match stat(pid)? {
            Some(Stat { start_ticks, runs: true, .. }) => {
                Ok(Some(Self { pid, start_ticks, boot_id: boot_id()? }))
            }
            _ => Ok(None),
        }
    }

    /// Whether this very process still runs; a zombie does not.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn is_alive(&self) -> io::Result<bool> {
        Ok(Self::of(self.pid)?.as_ref() == Some(self))
    }

    /// Signals this very process; `false` when it does not run any more.
    ///
    /// # Errors
    /// When `/proc` cannot be read, or the system refuses the signal.
    pub fn signal(&self, signal: Signal) -> io::Result<bool> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(false) };
        let process = match pidfd_open(pid, PidfdFlags::empty()) {
            Err(Errno::SRCH) => return Ok(false),
            opened => opened?,
        };
        if !self.is_alive()? {
            return Ok(false);
        }
        match pidfd_send_signal(&process, signal) {
            Err(Errno::SRCH) => Ok(false),
            sent => Ok(sent.map(|()| true)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    use std::process::Command;

    #[test]
    fn a_process_is_known_by_more_than_its_pid() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let identity = ProcessIdentity::of(pid).unwrap().unwrap();
        assert!(identity.is_alive().unwrap());
        let recycled = ProcessIdentity { start_ticks: identity.start_ticks + 1, ..identity.clone() };
        let rebooted = ProcessIdentity { boot_id: "another".into(), ..identity.clone() };
        for stranger in [recycled, rebooted] {
            assert!(!stranger.is_alive().unwrap());
            assert!(!stranger.signal(Signal::KILL).unwrap(), "a stranger is never signalled");
        }
        assert!(child.try_wait().unwrap().is_none(), "the process survived the signals to strangers");
        assert!(identity.signal(Signal::KILL).unwrap());
        // The child is a zombie until it is waited for; `wait` would make the pid disappear.
        let id = WaitId::Pid(Pid::from_raw(pid).unwrap());
        waitid(id, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap().unwrap();
        assert!(!identity.is_alive().unwrap(), "a zombie does not run");
        child.wait().unwrap();
        assert!(!identity.is_alive().unwrap());
        assert!(!identity.signal(Signal::KILL).unwrap());
    }
}
