//! Launches the programs of a run: their environment, directory and mark.
//!
//! Services, actions and probes are all launched here, so that none of them inherits the environment of the
//! operator's shell. Launched programs are not followed here. Read next: [`super::processes`], [`super::exec`],
//! [`super::program`].

use super::listeners::Owner;
use super::packed::{Packed, Start};
use super::processes::{MARK, Mark};
use super::template::Scope;
use nix::sys::signal::Signal;
use rhizo_private_files::DIRECTORY_MODE;
use rhizo_types::spec::{Component, Run, Stop};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// The variables that a program inherits from its node. All others come from the scope and from the config.
///
/// `RHIZO_HOST` is the mark by which a host's supervisor finds the processes of its host.
const INHERITED: &[&str] = &["PATH", "HOME", "LANG", "TZ", "RHIZO_HOST"];

/// The search path of a program whose node has none: that of a login shell on Debian and Fedora.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The environment, working directory and mark of the programs of one task.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    env: BTreeMap<OsString, OsString>,
    dir: PathBuf,
    mark: Mark,
    owner: Owner,
    /// The files of the component; none if they all belong to the system.
    packed: Option<Packed>,
}

impl Launch {
    /// The launch of a task's programs; `task` is its name within the run.
    ///
    /// # Errors
    /// The reason in words, when a variable of the component has a placeholder without a value.
    pub(super) fn new(component: &Component, scope: &Scope, task: &str) -> Result<Self, String> {
        let mut env = BTreeMap::from([("PATH".into(), PATH.into()), ("LANG".into(), "C.UTF-8".into())]);
        env.extend(INHERITED.iter().filter_map(|name| Some(((*name).into(), std::env::var_os(name)?))));
        let facts = scope.environment();
        env.extend(facts.into_iter().map(|(name, value)| (name.into(), value.into())));
        let of_run = Mark::of_run(&scope.dir, scope.attempt, scope.host_group.as_deref());
        let mark = of_run.part(task);
        let owner = match component.run {
            Run::Embedded => Owner::ThisProcess,
            _ => Owner::Run { mark: of_run, leader: None },
        };
        let packed = scope.packed.clone();
        let mut launch = Self { env, dir: scope.dir.clone(), mark, owner, packed };
        for (name, template) in &component.env {
            launch.set(name, scope.fill(template)?);
        }
        for (name, value) in scope.secrets.iter() {
            launch.set(name, value);
        }
        Ok(launch)
    }

    /// The launch of programs that are a part of this task.
    pub(super) fn part(&self, name: &str) -> Self {
        Self { mark: self.mark.part(name), ..self.clone() }
    }

    /// Sets one variable.
    pub(super) fn set(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) {
        self.env.insert(name.as_ref().to_owned(), value.as_ref().to_owned());
    }

    /// The working directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Sets the leader of the process group of the run's service, which was launched.
    pub(super) fn set_leader(&mut self, pid: i32) {
        if let Owner::Run { leader, .. } = &mut self.owner {
            *leader = Some(pid);
        }
    }

    /// The processes that answer for the run.
    pub(super) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// The mark of all processes that are launched.
    pub(super) fn mark(&self) -> &Mark {
        &self.mark
    }

    /// Makes the working directory, which only the node's user may enter.
    ///
    /// # Errors
    /// The reason in words.
    pub(super) async fn make_dir(&self) -> Result<(), String> {
        let made = tokio::fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(&self.dir).await;
        made.map_err(|error| format!("its directory could not be made: {error}"))
    }

    /// A command in a process group of its own, without standard streams.
    ///
    /// # Errors
    /// When there is no program to run.
    pub(super) fn command(&self, argv: &[String]) -> Result<Command, String> {
        let [program, arguments @ ..] = argv else { return Err("its command is empty".to_owned()) };
        let start = match &self.packed {
            Some(packed) => packed.start(program),
            None => Start { program: program.into(), before: Vec::new() },
        };
        let mut command = Command::new(start.program);
        command.args(start.before).args(arguments).env_clear().envs(&self.env).env(MARK, self.mark.value());
        command.current_dir(&self.dir);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.process_group(0).kill_on_drop(true);
        Ok(command)
    }
}

/// The signal that asks a component's programs to end.
pub(super) fn stop_signal(stop: &Stop) -> Signal {
    // `rhizo-config` accepts only names that every Linux has.
    format!("SIG{}", stop.signal).parse().unwrap_or(Signal::SIGTERM)
}
