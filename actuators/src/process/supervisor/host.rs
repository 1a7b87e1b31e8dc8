//! A host and its supervisor: how the supervisor claims the host, and how it ends it.

use crate::process::identity::ProcessIdentity;
use crate::process::layout::{HostFiles, Layout, Lock};
use crate::process::records::{self, Cause, Confinement, OrderRecord, SupervisorRecord};
use crate::process::{cgroup, ending};
use nix::sys::signal::SigSet;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Time for which a supervisor waits for the lock of its host. A process that lists hosts holds it only for a moment.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// A host that this process supervises.
pub(crate) struct Supervised {
    pub(crate) layout: Layout,
    pub(crate) files: HostFiles,
    pub(crate) order: OrderRecord,
    pub(crate) cgroup: Option<PathBuf>,
    pub(crate) signals: SigSet,
    _lock: Lock,
}

impl Supervised {
    /// Claims the host. Returns `None` when it has, or had, another supervisor: a host has only one.
    pub(super) fn claim(directory: PathBuf, signals: SigSet) -> io::Result<Option<Self>> {
        let files = HostFiles { directory };
        let Some(lock) = patient_lock(&files)? else { return Ok(None) };
        let Some(order) = files.order()? else { return Ok(None) };
        if files.terminated()?.is_some() || files.supervisor()?.is_some() {
            return Ok(None);
        }
        let absent =
            || io::Error::new(io::ErrorKind::NotFound, "the directory is not inside a state directory");
        let provider = files.directory.ancestors().nth(2).ok_or_else(absent)?.to_owned();
        let state = files.directory.ancestors().nth(4).ok_or_else(absent)?.to_owned();
        let layout = Layout { state, provider };
        let cgroup = own_cgroup(&files.directory, order.launch.confinement);
        let identity = ProcessIdentity::of(std::process::id().cast_signed())?.ok_or_else(absent)?;
        let record = SupervisorRecord { identity, cgroup: cgroup.clone() };
        records::write_first(&files.path("supervisor.json"), &record)?;
        Ok(Some(Self { layout, files, order, cgroup, signals, _lock: lock }))
    }

    /// Ends the host. Repeats the attempt until it succeeds, because a host that is not dead must never be reported
    /// dead.
    pub(super) fn end(&self, cause: &Cause) {
        let own = std::process::id().cast_signed();
        loop {
            let ended = ending::end(
                &self.layout,
                &self.files,
                &self.order,
                self.cgroup.as_deref(),
                Some(own),
                cause.clone(),
            );
            match ended {
                Ok(true) => return,
                Ok(false) => eprintln!("something of the host cannot be killed yet"),
                Err(error) => eprintln!("failed to end the host: {error}"),
            }
            // A second between attempts: the cause of the delay is a disk or a stuck system call.
            thread::sleep(Duration::from_secs(1));
        }
    }
}

fn patient_lock(files: &HostFiles) -> io::Result<Option<Lock>> {
    let until = Instant::now() + LOCK_PATIENCE;
    loop {
        match files.try_supervisor_lock() {
            Ok(Some(lock)) => return Ok(Some(lock)),
            Ok(None) if Instant::now() < until => thread::sleep(Duration::from_millis(2)),
            Ok(None) => return Ok(None),
            Err(error) if records::is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

/// Leaves the cgroup of the host from which this supervisor was started, and makes one for its own host.
///
/// Leaving matters even without an own group: otherwise the end of the other host would kill this supervisor.
fn own_cgroup(directory: &Path, confinement: Confinement) -> Option<PathBuf> {
    let base = cgroup::base()?;
    if let Err(error) = cgroup::enter(&base) {
        eprintln!("failed to leave the caller's cgroup: {error}");
        return None;
    }
    match confinement {
        Confinement::ProcessTree => None,
        Confinement::Auto => cgroup::create(&base, directory).ok(),
    }
}
