//! One application under test: its directory, its commands and its processes, none of which may be left at the end.
//!
//! Processes are recognised by their directory (in their arguments, working directory or environment), so that
//! no test can end a process of another one. This file asserts nothing about the application; the tests do.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Time after which a wait has failed; far longer than two busy cores need.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(180);
/// Pause between two checks of a changing state.
const PAUSE: Duration = Duration::from_millis(100);

/// Output and exit status of a command.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    /// The standard output as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }
}

/// An application in a directory of its own.
pub(crate) struct Deployment {
    dir: PathBuf,
    program: PathBuf,
    /// Number of commands run so far, which numbers the files of their output.
    commands: AtomicU32,
}

impl Deployment {
    /// A fresh directory for the test `name`, run with the binary `program` of this workspace.
    pub(crate) fn new(name: &str, program: &str) -> Self {
        let dir =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("it").join(format!("{name}-{}", std::process::id()));
        let _absent = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("said")).expect("the target directory is writable");
        let stock = Path::new(env!("CARGO_BIN_EXE_rhizo"));
        let program = stock.parent().expect("a program lies in a folder").join(program);
        assert!(
            program.exists(),
            "{} is missing: cargo build --bins in this profile first",
            program.display()
        );
        Self { dir, program, commands: AtomicU32::new(0) }
    }

    /// A fresh directory with a copy of an example's configuration and data.
    pub(crate) fn of_example(name: &str, example: &str) -> Self {
        Self::of_program(name, example, example)
    }

    /// As [`Deployment::of_example`], for an example whose program has another name than its folder.
    pub(crate) fn of_program(name: &str, example: &str, program: &str) -> Self {
        let deployment = Self::new(name, program);
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example);
        fs::copy(source.join("rhizo.toml"), deployment.file("rhizo.toml"))
            .expect("an example has a rhizo.toml");
        if source.join("data").is_dir() {
            copy_folder(&source.join("data"), &deployment.file("data"));
        }
        deployment
    }

    /// A path inside the directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes a file of the application.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.file(name);
        fs::create_dir_all(path.parent().expect("below the directory")).expect("writable");
        fs::write(path, text).expect("writable");
    }

    /// A command of the application that the test starts itself, without standard input.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(&self.dir).stdin(Stdio::null());
        command
    }

    /// A command that the hang-up of its terminal reaches, also when the tests themselves run under `nohup`.
    pub(crate) fn command_of_terminal(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("env");
        command.arg("--default-signal=HUP").arg(&self.program).args(arguments);
        command.current_dir(&self.dir).stdin(Stdio::null());
        command
    }

    /// Starts a command without waiting for it.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running<'_> {
        let number = self.commands.fetch_add(1, Ordering::Relaxed);
        let stem = format!("said/{number:03}-{}", arguments.first().copied().unwrap_or("none"));
        let (out, err) = (self.file(&format!("{stem}.out")), self.file(&format!("{stem}.err")));
        // Files, not pipes: background processes would keep pipes open after the command has ended.
        let child = self
            .command(arguments)
            .stdout(File::create(&out).expect("writable"))
            .stderr(File::create(&err).expect("writable"))
            .spawn()
            .unwrap_or_else(|error| panic!("failed to start {}: {error}", self.program.display()));
        Running { deployment: self, child, out, err }
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        self.start(arguments).wait()
    }

    /// Runs a command that must succeed.
    pub(crate) fn ok(&self, arguments: &[&str]) -> Said {
        let said = self.run(arguments);
        assert!(said.status.success(), "{arguments:?} failed: {said:#?}");
        said
    }

    /// `up --yes --wait`, which must end stable.
    pub(crate) fn up(&self) -> Value {
        self.ok(&["up", "rhizo.toml", "--yes", "--wait"]);
        let status = self.status();
        assert_eq!(status["state"], "stable", "{status:#}");
        // Facts about members (their process, their instances) reach the answering node by gossip.
        self.until("told by every member", is_told)
    }

    /// The status as JSON; none while no node answers. (Without a quorum the command fails, but answers.)
    pub(crate) fn try_status(&self) -> Option<Value> {
        let said = self.run(&["status", "--json"]);
        serde_json::from_str(&said.stdout).ok()
    }

    /// The status as JSON.
    pub(crate) fn status(&self) -> Value {
        let said = self.run(&["status", "--json"]);
        serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("no status ({error}): {said:#?}"))
    }

    /// Waits until the status satisfies `predicate`, and returns that status.
    pub(crate) fn until(&self, wish: &str, predicate: impl Fn(&Value) -> bool) -> Value {
        let mut last = None;
        let start = Instant::now();
        while start.elapsed() < WATCHDOG {
            if let Some(status) = self.try_status() {
                if predicate(&status) {
                    return status;
                }
                last = Some(status);
            }
            std::thread::sleep(PAUSE);
        }
        panic!("never {wish}; last status: {:#}", last.unwrap_or_default());
    }

    /// Waits until the application is stable without any of the nodes `lost`.
    pub(crate) fn until_stable_without(&self, lost: &[String]) -> Value {
        self.until(&format!("stable without {lost:?}"), |status| {
            is_told(status) && nodes(status).iter().all(|node| !lost.contains(&id(node)))
        })
    }

    /// Every process that names the application's directory, except this test.
    pub(crate) fn processes(&self) -> BTreeSet<u32> {
        let entries = fs::read_dir("/proc").expect("Linux has /proc").flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(|pid| *pid != std::process::id() && self.owns(*pid)).collect()
    }

    fn owns(&self, pid: u32) -> bool {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        // A zombie has ended, and its parent has not reaped it yet.
        let zombie = fs::read_to_string(proc.join("stat"))
            .is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')));
        let name = self.dir.as_os_str().as_encoded_bytes();
        let names = |bytes: &[u8]| bytes.windows(name.len()).any(|window| window == name);
        let in_text = |file: &str| fs::read(proc.join(file)).is_ok_and(|bytes| names(&bytes));
        let in_cwd = fs::read_link(proc.join("cwd")).is_ok_and(|cwd| cwd.starts_with(&self.dir));
        !zombie && (in_cwd || in_text("cmdline") || in_text("environ"))
    }

    /// Waits until no process of the application is left.
    pub(crate) fn until_no_process(&self, wish: &str) {
        let start = Instant::now();
        while !self.processes().is_empty() {
            let left = self.processes();
            assert!(
                start.elapsed() < WATCHDOG,
                "{wish}: still running: {:?}",
                left.iter().map(describe).collect::<Vec<_>>()
            );
            std::thread::sleep(PAUSE);
        }
    }

    /// The directories of hosts that exist, of all providers.
    pub(crate) fn host_dirs(&self) -> Vec<PathBuf> {
        let providers = fs::read_dir(self.file(".rhizo/providers")).into_iter().flatten().flatten();
        let hosts =
            providers.flat_map(|provider| fs::read_dir(provider.path().join("hosts")).into_iter().flatten());
        let mut dirs: Vec<PathBuf> =
            hosts.flatten().map(|host| host.path()).filter(|path| path.is_dir()).collect();
        dirs.sort();
        dirs
    }

    /// `down`, after which neither process, host directory nor open intent may be left.
    pub(crate) fn down(&self) {
        self.ok(&["down", "--yes"]);
        self.until_no_process("after down");
        assert_eq!(self.host_dirs(), Vec::<PathBuf>::new(), "after down");
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kept for a look: {}", self.dir.display());
        }
        for _ in 0..50 {
            let left = self.processes();
            if left.is_empty() {
                break;
            }
            left.into_iter().for_each(kill);
            std::thread::sleep(PAUSE);
        }
        if !std::thread::panicking() {
            let _best_effort = fs::remove_dir_all(&self.dir);
        }
    }
}

/// A command that still runs.
pub(crate) struct Running<'a> {
    deployment: &'a Deployment,
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Running<'_> {
    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("our own child").is_some()
    }

    /// Waits for its end. A command that still runs after the watchdog's time is a failure.
    pub(crate) fn wait(mut self) -> Said {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("our own child") {
                let read =
                    |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
                return Said { status, stdout: read(&self.out), stderr: read(&self.err) };
            }
            if start.elapsed() > WATCHDOG {
                let said = fs::read_to_string(&self.err).unwrap_or_default();
                panic!("a command in {} did not end; it said: {said}", self.deployment.dir.display());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Sends a signal by the name the shell knows.
pub(crate) fn signal(pid: u32, name: &str) {
    // A process that has already ended needs no signal.
    let _gone = Command::new("sh")
        .args(["-c", &format!("kill -{name} {pid}")])
        .stderr(Stdio::null())
        .status()
        .expect("a shell");
}

/// `kill -9`.
pub(crate) fn kill(pid: u32) {
    signal(pid, "KILL");
}

fn describe(pid: &u32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    format!("{pid}: {}", String::from_utf8_lossy(&words).replace('\0', " "))
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("writable");
    for entry in fs::read_dir(from).expect("readable").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("writable");
        }
    }
}

/// Returns true if an application is stable and the process id of every member is known.
pub(crate) fn is_told(status: &Value) -> bool {
    status["state"] == "stable" && nodes(status).iter().all(|node| node["pid"].is_u64())
}

/// The members of a status.
pub(crate) fn nodes(status: &Value) -> Vec<Value> {
    status["nodes"].as_array().cloned().unwrap_or_default()
}

/// The instances of a status.
pub(crate) fn instances(status: &Value) -> Vec<Value> {
    status["components"].as_array().cloned().unwrap_or_default()
}

/// The id of a node.
pub(crate) fn id(node: &Value) -> String {
    node["id"].as_str().unwrap_or_default().to_owned()
}

/// The process of a node.
pub(crate) fn pid(node: &Value) -> u32 {
    let pid = node["pid"].as_u64().unwrap_or_else(|| panic!("no pid in {node}"));
    u32::try_from(pid).expect("a pid")
}

/// The node that coordinates.
pub(crate) fn coordinator(status: &Value) -> Value {
    let name = status["coordinator"].as_str().unwrap_or_else(|| panic!("no coordinator in {status:#}"));
    nodes(status).into_iter().find(|node| id(node) == name).unwrap_or_else(|| panic!("{name} is no member"))
}
