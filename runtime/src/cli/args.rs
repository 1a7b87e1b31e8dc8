//! The syntax of the command line, which is the same in the stock binary and in every embedding binary.
//!
//! The commands are executed in the modules beside this one; see [`super`].

use clap::{Args, Parser, Subcommand};
use rhizo_types::NodeId;
use std::path::PathBuf;

/// Deploys an application and lets it manage itself.
#[derive(Parser, Debug)]
#[command(version, about, disable_help_subcommand = true, arg_required_else_help = true, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    /// Print answers as JSON: one document, also for failures and usage errors. `events`, `logs -f`, `run` and `up` in
    /// the foreground print one document a line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 bad config or usage (nothing was started), 3 no node answers, \
4 no quorum, 5 not stable in time, 6 declined, 7 a new version failed and was rolled back, 8 partly done, \
130 interrupted.";

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Deploy the application, or put a changed config in force. Without --wait or --detach this process is
    /// node 0, in the foreground; Ctrl-C takes the application down.
    Up(Up),
    /// Show the changes that `up` would make, their gain and their cost.
    Plan(ConfigFile),
    /// Show the state of the application.
    Status,
    /// Explain the last decisions, or the state of an instance or node.
    Why {
        /// An instance (`web.0`) or a node (`n5`).
        subject: Option<String>,
    },
    /// Show the facts that rules read, each with its unit, sensor, source and age.
    Facts {
        /// A node (`n5`) with its copies and links, a copy (`web.0`), a component, an offer, a provider or a region.
        subject: Option<String>,
    },
    /// Show the recent events.
    Events {
        /// Continue with new events as they occur.
        #[arg(short, long)]
        follow: bool,
    },
    /// Show the last output of an instance, or of all copies of a component.
    Logs(Logs),
    /// Execute a reconfiguration script (`add del connect disconnect push wait`), and follow it to its end.
    Run(Run),
    /// Make an export reachable at a local port of this machine, until Ctrl-C. Each connection goes to a started copy.
    Forward {
        /// The export of a component or of one copy: `web.http` or `web.0.http`.
        #[arg(value_name = "COMPONENT.EXPORT")]
        export: String,
        /// The local port; a free one when absent.
        port: Option<u16>,
    },
    /// Look after the data of copies with state.
    #[command(subcommand)]
    Snapshot(Snapshot),
    /// Stop everything and release all hosts.
    Down {
        /// Do not ask for consent.
        #[arg(long)]
        yes: bool,
        /// The most seconds to wait, beyond the times that the components have to stop. If hosts are left then, or a
        /// provider cannot be asked, the command ends with exit code 8 and can be run again.
        #[arg(long, default_value_t = super::down::TIMEOUT_S)]
        timeout_s: u64,
    },
    /// Begin a new lineage with one surviving member, after the quorum was lost for good. Members that answer stay,
    /// lost ones are given up. Refused while a quorum exists or may still exist.
    Recover(Recover),
    /// Check a config; start nothing.
    Check(RequiredConfig),
    /// Write one executable with this program, a config, and all files that its components need, also the programs of
    /// this system. `./FILE up` deploys it on a Linux without any program.
    Bundle {
        #[command(flatten)]
        file: ConfigFile,
        /// The file to write.
        #[arg(short, long)]
        output: PathBuf,
        /// The program to bundle; this one when absent.
        #[arg(long)]
        runtime: Option<PathBuf>,
    },
    /// Write a config to begin with.
    Init {
        /// The file to write; an existing one is never replaced.
        #[arg(default_value = "rhizo.toml")]
        config: PathBuf,
    },
    /// Look at a config as it is understood.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Check a deployment, or a script that changes it, against every order of events, with the code that deploys.
    /// Start nothing.
    Verify(Verify),
    /// Print the JSON Schema of configs, for editors.
    Schema,
    /// Solve a placement problem in a file; starts nothing.
    Solve(super::solve::Solve),
    /// Write a placement problem for another solver.
    Export(super::solve::Export),
    /// A host's supervisor (started by the process provider).
    #[command(name = "__supervise", hide = true)]
    Supervise {
        /// The host's directory.
        host: PathBuf,
    },
    /// The node of a host (started by its supervisor).
    #[command(name = "__node", hide = true)]
    Node {
        /// The host's directory.
        host: PathBuf,
    },
    /// Node 0 in the background (started by `up --wait`).
    #[command(name = "__founder", hide = true)]
    Founder {
        /// The directory above `.rhizo`.
        directory: PathBuf,
    },
}

#[derive(Subcommand, Debug)]
pub(crate) enum ConfigCommand {
    /// Print the config with all files that it includes as one, with the paths that it means and the origin of each
    /// line. Texts that look like secrets are not shown, and the sources of secrets are not read.
    Show(RequiredConfig),
}

#[derive(Args, Debug)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    /// Do not ask for consent before acquiring hosts.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Return when the application is stable; node 0 continues in the background.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Return when the application is stable and node 0 has transferred its leadership and left.
    #[arg(long)]
    pub(crate) detach: bool,
    /// With --wait or --detach: the most seconds to wait.
    #[arg(long, default_value_t = 300)]
    pub(crate) timeout_s: u64,
}

#[derive(Args, Debug)]
pub(crate) struct Recover {
    /// Confirm that the history of the application may continue from one member.
    #[arg(long, required = true)]
    pub(crate) new_lineage: bool,
    /// A member that is lost for good (`n4`), although its host may still run. Repeat the option for each of them.
    #[arg(long, value_name = "NODE", value_parser = node_id)]
    pub(crate) lost: Vec<NodeId>,
    /// Do not ask for consent.
    #[arg(long)]
    pub(crate) yes: bool,
    /// The most seconds to wait for the survivor.
    #[arg(long, default_value_t = 60)]
    pub(crate) timeout_s: u64,
}

/// Reads the name of a node.
fn node_id(text: &str) -> Result<NodeId, String> {
    let number = text.strip_prefix('n').and_then(|number| number.parse().ok());
    number.map(NodeId).ok_or_else(|| "nodes are named as in `status`, for example n4".to_owned())
}

#[derive(Args, Debug)]
pub(crate) struct Logs {
    /// An instance (`web.0`), or a component (`web`): then each line begins with its copy.
    pub(crate) subject: String,
    /// Continue with new lines as they are printed, also after a copy has moved.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Begin each line with its time in UTC, by the clock of its node.
    #[arg(short, long)]
    pub(crate) timestamps: bool,
    /// The most bytes to show; with --follow, the most bytes of the lines that were printed before.
    #[arg(long, default_value_t = 65_536)]
    pub(crate) bytes: u64,
}

#[derive(Args, Debug)]
pub(crate) struct Run {
    /// The script.
    #[arg(required_unless_present = "end", conflicts_with = "end")]
    pub(crate) script: Option<PathBuf>,
    /// End the running script at its current line.
    #[arg(long)]
    pub(crate) end: bool,
    /// Return as soon as the script is committed; the coordinator continues it.
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// The most seconds to follow the script. It continues afterwards.
    #[arg(long, default_value_t = 300)]
    pub(crate) timeout_s: u64,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Snapshot {
    /// Start a copy again that waits for its data, because the host of the data is lost.
    Restore {
        /// The copy, for example `db.0`.
        instance: String,
        /// Give up the data and start with an empty directory. The lost host is released.
        #[arg(long, required = true)]
        empty: bool,
        /// Do not ask for consent.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) file: RequiredConfig,
    /// A script that changes the deployed application.
    pub(crate) script: Option<PathBuf>,
    /// Number of imaginary hosts on which the copies are placed.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=3))]
    pub(crate) hosts: u8,
    /// The most copies of each component to explore.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=5))]
    pub(crate) copies: u32,
    /// The most hosts that may crash, at any point.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(crate) crashes: u8,
    /// The most states to visit for each question.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1..=4_000_000))]
    pub(crate) states: u32,
    /// Two actions that must never run at the same time, for example `db.start,web.start`.
    #[arg(long, value_name = "ACTION,ACTION")]
    pub(crate) apart: Vec<String>,
    /// Durations of actions: `{"component": {"transition": [least, greatest]}}`, in seconds.
    #[arg(long, value_name = "JSON")]
    pub(crate) durations: Option<PathBuf>,
    /// Draw the assembly and its deployment in time into this file.
    #[arg(long)]
    pub(crate) svg: Option<PathBuf>,
    /// Print the steps of a violation again, with the crashes it was found with.
    #[arg(long, value_name = "STEPS")]
    pub(crate) replay: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ConfigFile {
    /// The config; when absent, the binary's own, or `rhizo.toml` in the working directory.
    pub(crate) config: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct RequiredConfig {
    /// The config; when absent, the binary's own, or `rhizo.toml` in the working directory.
    pub(crate) config: Option<PathBuf>,
}
