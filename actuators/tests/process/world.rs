//! One test's machine: a state directory, a provider over it, and the proof that nothing is left at the end.

use rhizo_actuators::process::faults::{Faults, ProviderFaults};
use rhizo_actuators::process::{Executable, ProcessProvider, Program};
use rhizo_actuators::{Host, HostState, Order, Owner, Provider, ProviderError, Surroundings, Tags, Token};
use rhizo_types::{HostId, IntentId, Lineage};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// No outcome takes seconds, but a loaded machine may take many. No duration is asserted.
const WATCHDOG: Duration = Duration::from_secs(60);

pub(crate) struct World {
    directory: tempfile::TempDir,
    pub(crate) table: serde_json::Value,
    pub(crate) provider: ProcessProvider,
    pub(crate) owner: Owner,
}

/// The program that hosts run: the package's test host.
pub(crate) fn program() -> Program {
    Program {
        executable: Executable::File(PathBuf::from(env!("CARGO_BIN_EXE_rhizo-actuators-test-host"))),
        supervise_arguments: vec!["__supervise".into()],
        node_arguments: vec!["__node".into()],
    }
}

pub(crate) fn lineage(lineage: u64) -> Owner {
    Owner { app: "test".into(), lineage: Lineage(lineage) }
}

impl World {
    pub(crate) fn new(table: serde_json::Value) -> Self {
        Self::with_files(table, &[])
    }

    /// A world whose configuration directory holds these files.
    pub(crate) fn with_files(table: serde_json::Value, files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("state")).unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        let provider = ProcessProvider::new("lab".into(), &table, &surroundings(directory.path())).unwrap();
        Self { directory, table, provider, owner: lineage(1) }
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.directory.path().canonicalize().unwrap().join("state")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Another provider object over the same state, as another node would have.
    pub(crate) fn another(&self, name: &str, change: impl FnOnce(&mut Surroundings)) -> ProcessProvider {
        let mut surroundings = surroundings(self.directory.path());
        change(&mut surroundings);
        ProcessProvider::new(name.into(), &self.table, &surroundings).unwrap()
    }

    pub(crate) fn order(&self, token: &str, boot: &str) -> Order {
        Order {
            token: Token(token.into()),
            offer: "local-a".into(),
            tags: Tags { app: self.owner.app.clone(), lineage: self.owner.lineage, intent: IntentId(7) },
            boot: boot.as_bytes().to_vec(),
            join_within_ms: 600_000,
        }
    }

    pub(crate) async fn acquire(&self, token: &str, boot: &str) -> Host {
        self.provider.acquire(&self.order(token, boot)).await.unwrap()
    }

    pub(crate) fn set_faults(&self, faults: ProviderFaults) {
        let faults = Faults { providers: [("lab".into(), faults)].into() };
        faults.write(&self.state().join("faults.json")).unwrap();
    }

    pub(crate) async fn find(&self, id: &HostId) -> Option<Host> {
        let hosts = self.provider.list(&self.owner).await.unwrap();
        hosts.into_iter().find(|host| host.id == *id)
    }

    pub(crate) async fn await_state(&self, id: &HostId, state: HostState) -> Host {
        let until = Instant::now() + WATCHDOG;
        loop {
            let host = self.find(id).await;
            match host {
                Some(host) if host.state == state => return host,
                other => assert!(Instant::now() < until, "never {state:?}: {other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn host_directory(&self, id: &HostId) -> PathBuf {
        self.state().join("providers/lab/hosts").join(id.as_str())
    }

    pub(crate) async fn supervisor_pid(&self, id: &HostId) -> i32 {
        await_pid(&self.host_directory(id).join("supervisor.json")).await
    }

    pub(crate) async fn node_pid(&self, id: &HostId) -> i32 {
        await_pid(&self.host_directory(id).join("node.json")).await
    }

    /// The pid of the orphan that a node with the boot command `orphan` has left behind.
    pub(crate) async fn orphan_pid(&self, id: &HostId) -> i32 {
        let path = self.host_directory(id).join("node/orphan.pid");
        eventually("the orphan's pid", async || fs::read_to_string(&path).ok()?.trim().parse().ok()).await
    }

    /// Releases everything, purges, and proves that neither process nor directory is left.
    pub(crate) async fn close(self) {
        if self.state().join("faults.json").exists() {
            fs::remove_file(self.state().join("faults.json")).unwrap();
        }
        let hosts = self.provider.list(&self.owner).await.unwrap();
        for host in &hosts {
            self.provider.release(&host.id).await.unwrap();
        }
        for host in &hosts {
            self.await_state(&host.id, HostState::Terminated).await;
        }
        assert_eq!(self.provider.purge(&self.owner).await.unwrap(), hosts.len());
        self.assert_nothing_left().await;
    }

    pub(crate) async fn assert_nothing_left(&self) {
        let state = self.state();
        // A supervisor records the end of its host and then ends itself: it has a moment to do so.
        eventually("the end of all processes", async || processes_of(&state).is_empty().then_some(())).await;
        let left: Vec<_> = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "left in the state directory: {left:?}");
        assert_eq!(cgroups_of(&state), Vec::<PathBuf>::new());
    }
}

fn surroundings(directory: &Path) -> Surroundings {
    let directory = directory.canonicalize().unwrap();
    Surroundings { state_dir: directory.join("state"), base_dir: directory, program: program() }
}

/// Waits until `look` finds something.
pub(crate) async fn eventually<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let until = Instant::now() + WATCHDOG;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < until, "never saw {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn await_pid(record: &Path) -> i32 {
    eventually("a process record", async || {
        let record: serde_json::Value = serde_json::from_slice(&fs::read(record).ok()?).ok()?;
        i32::try_from(record["identity"]["pid"].as_i64()?).ok()
    })
    .await
}

/// Kills one process, as an operator's `kill -9` or the kernel would.
pub(crate) fn kill_9(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("the process runs");
}

pub(crate) fn is_alive(pid: i32) -> bool {
    rhizo_actuators::process::ProcessIdentity::of(pid).unwrap().is_some()
}

/// Live processes that carry the mark of a host of this state directory.
pub(crate) fn processes_of(state: &Path) -> Vec<i32> {
    marked_processes().into_iter().filter(|(_, host)| host.starts_with(state)).map(|(pid, _)| pid).collect()
}

/// Live processes that carry a mark, with the host directory that it names.
pub(crate) fn marked_processes() -> Vec<(i32, PathBuf)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let Ok(pid) = entry.unwrap().file_name().to_string_lossy().parse::<i32>() else { continue };
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let mark =
            environment.split(|byte| *byte == 0).find_map(|variable| variable.strip_prefix(b"RHIZO_HOST="));
        if let Some(host) = mark
            && is_alive(pid)
        {
            found.push((pid, PathBuf::from(OsStr::from_bytes(host))));
        }
    }
    found
}

/// Control groups recorded by hosts of this state directory are named after them; none may be left.
fn cgroups_of(state: &Path) -> Vec<PathBuf> {
    // The names are digests, so a group is ours if it is empty and was made by this test's hosts: those are
    // recorded in supervisor.json, which is gone by now. What can be checked is that no group has our processes.
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let Some(mount) = mounts.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        (fields[2] == "cgroup2").then(|| PathBuf::from(fields[1]))
    }) else {
        return Vec::new();
    };
    let ours = processes_of(state);
    fs::read_dir(mount)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|group| {
            let members = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            members.lines().any(|pid| pid.parse().is_ok_and(|pid: i32| ours.contains(&pid)))
        })
        .collect()
}

pub(crate) fn text(error: &ProviderError) -> String {
    error.to_string()
}
