//! Which process is meant: pid, start time and boot, so that a recycled pid is never mistaken for it.
//!
//! A signal goes through a pidfd that was checked after it was opened, so there is no moment in which the pid
//! could pass to another process between the check and the signal.

use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

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

/// What `/proc/<pid>/stat` tells that matters here.
pub(crate) struct Stat {
    pub(crate) parent: i32,
    pub(crate) start_ticks: u64,
    /// False for a zombie: it holds its pid, but nothing of it runs.
    pub(crate) runs: bool,
}

/// Reads `/proc/<pid>/stat`; `None` when there is no such process.
pub(crate) fn stat(pid: i32) -> io::Result<Option<Stat>> {
    let text = match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => text,
        // ESRCH: the process ended between open and read.
        Err(error)
            if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "malformed process status");
    // The name in the second field may hold spaces and parentheses: what follows the last one counts.
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
    pub fn signal(&self, signal: nix::sys::signal::Signal) -> io::Result<bool> {
        // SAFETY: pidfd_open takes two integers and returns a new descriptor or -1.
        let opened = unsafe { libc::syscall(libc::SYS_pidfd_open, self.pid, 0) };
        if opened < 0 {
            let error = io::Error::last_os_error();
            return if error.raw_os_error() == Some(libc::ESRCH) { Ok(false) } else { Err(error) };
        }
        let descriptor = i32::try_from(opened).map_err(io::Error::other)?;
        // SAFETY: the descriptor is new, open, and owned by nobody else.
        let process = unsafe { OwnedFd::from_raw_fd(descriptor) };
        if !self.is_alive()? {
            return Ok(false);
        }
        let no_details: *const libc::siginfo_t = std::ptr::null();
        // SAFETY: the descriptor is open for the whole call; a null siginfo means the default one.
        let sent = unsafe {
            libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal as i32, no_details, 0)
        };
        if sent == 0 {
            return Ok(true);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() == Some(libc::ESRCH) { Ok(false) } else { Err(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::Signal;
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
            assert!(!stranger.signal(Signal::SIGKILL).unwrap(), "a stranger is never signalled");
        }
        assert!(child.try_wait().unwrap().is_none(), "the process survived the signals to strangers");
        assert!(identity.signal(Signal::SIGKILL).unwrap());
        // The child is a zombie until it is waited for; `wait` would make the pid disappear.
        // SAFETY: an all-zero siginfo_t is a valid value of that plain C structure.
        let mut state: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: `state` outlives the call; WNOWAIT leaves the zombie in place.
        let waited =
            unsafe { libc::waitid(libc::P_PID, child.id(), &raw mut state, libc::WEXITED | libc::WNOWAIT) };
        assert_eq!(waited, 0);
        assert!(!identity.is_alive().unwrap(), "a zombie does not run");
        child.wait().unwrap();
        assert!(!identity.is_alive().unwrap());
        assert!(!identity.signal(Signal::SIGKILL).unwrap());
    }
}
