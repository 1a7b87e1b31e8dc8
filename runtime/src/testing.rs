//! A test kit: the user's application on emulated hosts, inside `cargo test`.
//!
//! It runs the application's real binary, whose `main` ends in [`Rhizo::run`](crate::Rhizo::run). Each host is a
//! directory, a loopback address and processes of this machine, so the life of the application is the real one: its
//! hosts join, elect a coordinator, and can be killed. Only Linux has what the hosts need.
//!
//! ```no_run
//! # // A test of a package with the binary `shop`: `env!("CARGO_BIN_EXE_shop")` is its path.
//! # macro_rules! env { ($name:literal) => { $name } }
//! use rhizo::testing::Deployment;
//! use std::time::Duration;
//!
//! #[tokio::test]
//! async fn a_dead_host_is_replaced() -> Result<(), rhizo::Error> {
//!     let shop = Deployment::up(env!("CARGO_BIN_EXE_shop"), "rhizo.toml").await?;
//!     let web = shop.instance_of("web").await?;
//!     shop.kill(&web.node).await?;
//!     let replaced = |status: &rhizo::Status| {
//!         status.state == "stable" && status.nodes.iter().all(|node| node.id != web.node)
//!     };
//!     shop.until(Duration::from_secs(60), "the dead host is replaced", replaced).await?;
//!     shop.down().await
//! }
//! ```

use crate::admin::{InstanceStatus, Status};
use crate::handle::{Error, Handle};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long a command of the binary may take. A command ends by itself long before; this keeps a test from waiting
/// without end.
const COMMAND_MAX: Duration = Duration::from_secs(300);

/// Time between two looks at the status.
const LOOK: Duration = Duration::from_millis(100);

/// A running application of a test. Dropping it takes the application down.
pub struct Deployment {
    binary: PathBuf,
    /// The directory in which the application lives; removed at the end.
    directory: PathBuf,
    handle: Handle,
    is_down: bool,
}

impl Deployment {
    /// Runs `BINARY up CONFIG --yes --wait` in a directory of its own, and returns when the application is stable.
    ///
    /// A relative path of the config begins at the working directory, which cargo sets to the package's.
    ///
    /// # Errors
    /// When the command fails, with what it printed.
    pub async fn up(binary: impl AsRef<Path>, config: impl AsRef<Path>) -> Result<Self, Error> {
        let config = absolute(config.as_ref())?;
        let binary = absolute(binary.as_ref())?;
        let name = format!("rhizo-test-{}-{:08x}", std::process::id(), rand::random::<u32>());
        let directory = std::env::temp_dir().join(name);
        rhizo_private_files::create_dirs(&directory)
            .map_err(|error| Error::new(format!("make `{}`: {error}", directory.display())))?;
        let arguments = [OsStr::new("up"), config.as_os_str(), OsStr::new("--yes"), OsStr::new("--wait")];
        let started = async {
            run(&binary, &directory, &arguments).await?;
            Ok(Handle::of_directory(&directory).await?)
        };
        match started.await {
            Ok(handle) => Ok(Self { binary, directory, handle, is_down: false }),
            Err(error) => {
                take_down(&binary, &directory);
                Err(error)
            }
        }
    }

    /// The handle of the application.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The directory in which the application lives; commands of the binary are run there.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The state of the application.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn status(&self) -> Result<Status, Error> {
        self.handle.status().await
    }

    /// A placed instance of a component. The replacement of an instance has another name: `web.1` may follow `web.0`.
    ///
    /// # Errors
    /// When none is placed, or no node answers.
    pub async fn instance_of(&self, component: &str) -> Result<InstanceStatus, Error> {
        let placed = self.status().await?.components.into_iter().find(|each| each.name == component);
        placed.ok_or_else(|| Error::new(format!("find an instance of `{component}`: none is placed")))
    }

    /// Runs a command of the binary, such as `["why", "web.0"]`, and returns what it printed.
    ///
    /// # Errors
    /// When it fails, with what it printed.
    pub async fn command(&self, arguments: &[&str]) -> Result<String, Error> {
        let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        run(&self.binary, &self.directory, &arguments).await
    }

    /// Waits until the status satisfies a condition. `what` names it in the error.
    ///
    /// # Errors
    /// When it does not hold in time, with the last status.
    pub async fn until(
        &self,
        within: Duration,
        what: &str,
        condition: impl Fn(&Status) -> bool,
    ) -> Result<Status, Error> {
        let deadline = Instant::now() + within;
        loop {
            let last = self.status().await;
            match last {
                Ok(status) if condition(&status) => return Ok(status),
                last if Instant::now() >= deadline => {
                    let last = last.map_or_else(
                        |error| error.to_string(),
                        |status| serde_json::to_string(&status).unwrap_or_default(),
                    );
                    let seconds = within.as_secs_f64();
                    return Err(Error::new(format!(
                        "see that {what} within {seconds} s; last status: {last}"
                    )));
                }
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Kills the node of a host at once, as a power cut of that host would. All programs on the host end.
    ///
    /// # Errors
    /// When there is no such node.
    pub async fn kill(&self, node: &str) -> Result<(), Error> {
        self.signal(node, Signal::SIGKILL).await
    }

    /// Stops the node of a host without ending it, as a machine that hangs would. [`Deployment::thaw`] lets it go on.
    ///
    /// # Errors
    /// When there is no such node.
    pub async fn freeze(&self, node: &str) -> Result<(), Error> {
        self.signal(node, Signal::SIGSTOP).await
    }

    /// Lets a frozen node go on.
    ///
    /// # Errors
    /// When there is no such node any more: a frozen node is declared dead after some seconds.
    pub async fn thaw(&self, node: &str) -> Result<(), Error> {
        self.signal(node, Signal::SIGCONT).await
    }

    async fn signal(&self, node: &str, signal: Signal) -> Result<(), Error> {
        let status = self.status().await?;
        let pid = status.nodes.iter().find(|each| each.id == node).and_then(|each| each.pid);
        let failed = |reason: &dyn std::fmt::Display| {
            Error::new(format!("send {signal} to the node {node}: {reason}"))
        };
        let pid = pid.and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.ok_or_else(|| failed(&"the status has no process of such a node"))?;
        kill(Pid::from_raw(pid), signal).map_err(|error| failed(&error))
    }

    /// Takes the application down and returns when nothing of it is left.
    ///
    /// # Errors
    /// When a host could not be released, with what `down` printed.
    pub async fn down(mut self) -> Result<(), Error> {
        self.is_down = true;
        let down = [OsStr::new("down"), OsStr::new("--yes")];
        run(&self.binary, &self.directory, &down).await?;
        std::fs::remove_dir_all(&self.directory)
            .map_err(|error| Error::new(format!("remove `{}`: {error}", self.directory.display())))
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        if !self.is_down {
            take_down(&self.binary, &self.directory);
        }
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(|error| Error::new(format!("find `{}`: {error}", path.display())))
}

/// Takes an application down after a failed test, whose failure matters more than that of this command.
fn take_down(binary: &Path, directory: &Path) {
    let mut command = Command::new(binary);
    command.args(["down", "--yes"]).current_dir(directory).stdin(Stdio::null());
    if command.output().is_ok_and(|ended| ended.status.success()) {
        let _left_for_the_system = std::fs::remove_dir_all(directory);
    }
}

async fn run(binary: &Path, directory: &Path, arguments: &[&OsStr]) -> Result<String, Error> {
    let shown = || {
        let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
        format!("{} {}", binary.display(), words.join(" "))
    };
    let mut command = tokio::process::Command::new(binary);
    command.args(arguments).current_dir(directory).stdin(Stdio::null()).kill_on_drop(true);
    let ended: Output = match tokio::time::timeout(COMMAND_MAX, command.output()).await {
        Ok(Ok(ended)) => ended,
        Ok(Err(error)) => return Err(Error::new(format!("run `{}`: {error}", shown()))),
        Err(_) => {
            let seconds = COMMAND_MAX.as_secs();
            return Err(Error::new(format!("run `{}`: it did not end within {seconds} s", shown())));
        }
    };
    let printed = String::from_utf8_lossy(&ended.stdout).into_owned();
    if ended.status.success() {
        return Ok(printed);
    }
    let noted = String::from_utf8_lossy(&ended.stderr);
    Err(Error::new(format!("run `{}`: it ended with {}\n{noted}{printed}", shown(), ended.status)))
}
