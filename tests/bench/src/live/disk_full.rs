//! `rhizo-bench disk-full`: the disk of one node is full, or fails, while the application is changed.
//!
//! Every node lies on a small filesystem of its own, which the bench mounts: the application is founded, its power is
//! cut, the directories are moved, and `up` starts it again. The rounds go through a voter, the coordinator and a
//! member that does not vote. In each, the victim's disk is filled and two changes are committed: a large config, and
//! new variables for one component. The status has to name the disk. Then there is room again, and everything has to
//! heal. No program and no node may have ended, and the application must have the config that was committed last,
//! also after another power cut. The bench fails otherwise.
//!
//! `--fault failing` lets the device of a voter fail for good (EIO): another member has to vote in its place. Read
//! next: [`disk`].

mod disk;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::application::{Application, is_at_rest, median_and_max, members};
use super::options::Options;
use super::processes;
use disk::{Disk, Fault};

/// Six hosts and node 0 are five voters and two members that do not vote.
const HOSTS: usize = 6;
const VOTERS: usize = 5;

/// The disk stays full for this time after the status has named it: several attempts to write, and longer than a silent
/// node is taken for dead.
const HOLD: Duration = Duration::from_secs(8);

/// Bytes of a comment in each config, so that each one needs new room in the log: more than the free pages of its file.
const COMMENT_BYTES: usize = 40_000;

/// The part of the victim in its group.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Part {
    Voter,
    Coordinator,
    NonVoter,
}

/// Runs the bench and returns its figures.
pub(super) fn run(options: &Options) -> Result<Value, String> {
    let rounds = options.number("rounds", 10)?;
    let fault = match options.text("fault").unwrap_or("full") {
        "full" => Fault::Full,
        "failing" => Fault::Failing,
        other => return Err(format!("understand --fault {other}: it is full or failing")),
    };
    let application = options.application()?;
    let mut bench = Bench::begin(application, fault)?;
    // A device that fails does not heal, so that there is one round.
    let rounds = if fault == Fault::Failing { 1 } else { rounds };
    let (mut named, mut healed) = (Vec::new(), Vec::new());
    let outcome = (1..=rounds).try_for_each(|number| {
        let parts = [Part::Voter, Part::Coordinator, Part::NonVoter];
        let part = if fault == Fault::Failing {
            Part::Voter
        } else {
            parts[usize::try_from(number).unwrap_or_default() % parts.len()]
        };
        let round =
            bench.round(number, part).map_err(|error| format!("pass round {number}, {part:?}: {error}"))?;
        eprintln!(
            "round {number} of {rounds}: {part:?} {}, named after {:.3} s, {} after {:.3} s",
            round.victim,
            round.named_s,
            if fault == Fault::Failing { "replaced" } else { "healed" },
            round.healed_s
        );
        named.push(round.named_s);
        healed.push(round.healed_s);
        Ok(())
    });
    let ended = bench.end(outcome.is_ok());
    outcome.and(ended)?;
    let ((named_median, named_max), (healed_median, healed_max)) =
        (median_and_max(&named), median_and_max(&healed));
    Ok(json!({
        "rounds": rounds, "fault": format!("{fault:?}"), "processes_ended": 0, "changes_lost": 0,
        "named_median": named_median, "named_max": named_max,
        "healed_median": healed_median, "healed_max": healed_max,
    }))
}

struct Round {
    victim: String,
    /// From the fault until the status named the disk.
    named_s: f64,
    /// From the end of the fault until everything was as before; or until another member voted in the victim's place.
    healed_s: f64,
}

/// The application with its disks.
struct Bench {
    application: Application,
    fault: Fault,
    /// The disk of each host, and of node 0.
    disks: BTreeMap<Option<String>, Disk>,
    /// The revision that was committed last, and the number in its config.
    committed: (u64, u64),
}

impl Bench {
    fn begin(application: Application, fault: Fault) -> Result<Self, String> {
        let mut bench = Self { application, fault, disks: BTreeMap::new(), committed: (0, 0) };
        bench.application.write("rhizo.toml", &config(0, 0))?;
        bench.application.run(&["up", "rhizo.toml", "--yes", "--wait"])?;
        processes::kill_all(bench.application.dir())?;
        let founder = bench.application.dir().join(".rhizo/founder");
        bench.disks.insert(None, Disk::under(&founder, fault)?);
        for host in processes::host_directories(bench.application.dir()) {
            let name = host.file_name().unwrap_or_default().to_string_lossy().into_owned();
            bench.disks.insert(Some(name), Disk::under(&host, fault)?);
        }
        bench.application.run(&["up", "rhizo.toml", "--yes", "--wait"])?;
        Ok(bench)
    }

    fn round(&mut self, number: u64, part: Part) -> Result<Round, String> {
        let before = self.application.until("at rest, with all voters", |status| {
            is_at_rest(status) && voters(status).len() == VOTERS
        })?;
        let victim = victim(&before, part)?;
        let disk = self.disks.get(&victim.1).ok_or("find the disk of the victim")?;
        let lasting = self.lasting();
        disk.fail()?;
        let start = Instant::now();
        // The first change needs room in the log of voters, the second one in the journal of every node.
        self.commit(2 * number - 1, 0)?;
        self.commit(2 * number, number)?;
        let error = self.fault.error();
        self.application.until("the status names the disk", |status| {
            let mut problems = status["problems"].as_array().into_iter().flatten().filter_map(Value::as_str);
            problems.any(|text| text.contains(&format!("disk of {} ", victim.0)) && text.contains(error))
        })?;
        let named_s = start.elapsed().as_secs_f64();
        let healed_s = match self.fault {
            Fault::Failing => {
                let other = self.application.until("another member votes", |status| {
                    let voters = voters(status);
                    voters.len() == VOTERS && !voters.contains(&victim.0)
                })?;
                if !members(&other).iter().any(|member| member.id == victim.0) {
                    return Err(format!("keep {} a member", victim.0));
                }
                start.elapsed().as_secs_f64()
            }
            Fault::Full => {
                std::thread::sleep(HOLD);
                self.healed(&victim.1, number)?
            }
        };
        let now = self.lasting();
        let ended: Vec<String> = lasting.difference(&now).map(|(pid, _)| pid.to_string()).collect();
        if !ended.is_empty() {
            return Err(format!("keep every node and program running: {ended:?} ended"));
        }
        Ok(Round { victim: victim.0, named_s, healed_s })
    }

    /// Ends the fault, and waits until the application is as it should be. Returns the seconds until then.
    fn healed(&self, victim: &Option<String>, number: u64) -> Result<f64, String> {
        self.disks.get(victim).ok_or("find the disk of the victim")?.heal()?;
        let start = Instant::now();
        let (revision, _) = self.committed;
        self.application.until("everything has healed", |status| {
            let problems = status["problems"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let is_named = problems.into_iter().any(|text| text.contains("cannot be written"));
            is_at_rest(status) && !is_named && status["spec"] == revision && self.sides(number) == HOSTS
        })?;
        Ok(start.elapsed().as_secs_f64())
    }

    /// Puts a config in force. With another `variable`, the copies of one component restart.
    fn commit(&mut self, number: u64, variable: u64) -> Result<(), String> {
        let variable = if variable == 0 { (number - 1) / 2 } else { variable };
        self.application.write("rhizo.toml", &config(number, variable))?;
        let out = self.application.run(&["up", "rhizo.toml", "--yes", "--json"])?;
        let done: Value = serde_json::from_str(&out).map_err(|error| format!("read {out}: {error}"))?;
        self.committed = (done["spec"].as_u64().ok_or("find the revision")?, variable);
        Ok(())
    }

    /// The processes that must not end, with their start times: nodes, supervisors, and programs that do not change.
    fn lasting(&self) -> BTreeSet<(u32, u64)> {
        let all = processes::of(self.application.dir());
        let lasting = all.into_iter().filter(|pid| {
            let command = processes::command(*pid);
            let is_node = ["__node", "__supervise", "__founder"].iter().any(|word| command.contains(word));
            is_node || command.contains(WORKER)
        });
        lasting.filter_map(|pid| Some((pid, processes::started(pid)?))).collect()
    }

    /// Number of copies of the changing component that have the variable.
    fn sides(&self, variable: u64) -> usize {
        let wanted = format!("ROUND={variable}");
        let has = |pid: &u32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|each| each == wanted.as_bytes())
        };
        processes::of(self.application.dir())
            .into_iter()
            .filter(|pid| processes::command(*pid).contains(SIDE))
            .filter(has)
            .count()
    }

    /// Cuts the power, moves the directories back, and checks that the last config is in force after the next `up`.
    fn end(self, passed: bool) -> Result<(), String> {
        processes::kill_all(self.application.dir())?;
        let failing = self.fault == Fault::Failing;
        let back = self.disks.into_values().try_for_each(Disk::take_back);
        if !passed || failing {
            // The files of a failed device are lost with it.
            return Ok(());
        }
        back?;
        self.application.run(&["up", "rhizo.toml", "--yes", "--wait"])?;
        let status = self.application.status().ok_or("see the status: no node answers")?;
        let (revision, _) = self.committed;
        if status["spec"] != revision {
            return Err(format!("find revision {revision} after a power cut: {}", status["spec"]));
        }
        Ok(())
    }
}

/// The id and the host of a member with this part; the host is none for node 0.
fn victim(status: &Value, part: Part) -> Result<(String, Option<String>), String> {
    let coordinator = status["coordinator"].as_str().unwrap_or_default();
    let voters = voters(status);
    let has_part = |id: &str| match part {
        Part::Coordinator => id == coordinator,
        Part::Voter => id != coordinator && voters.contains(id),
        Part::NonVoter => !voters.contains(id),
    };
    let found = members(status).into_iter().rev().find(|member| has_part(&member.id));
    found.map(|member| (member.id, member.host)).ok_or_else(|| "find a victim".to_owned())
}

/// The ids of the members that vote.
fn voters(status: &Value) -> BTreeSet<String> {
    let nodes = status["nodes"].as_array().into_iter().flatten();
    nodes
        .filter(|node| node["voter"] == true)
        .filter_map(|node| Some(node["id"].as_str()?.to_owned()))
        .collect()
}

/// The arguments that distinguish the programs of the two components.
const WORKER: &str = "100017";
const SIDE: &str = "100019";

fn config(number: u64, variable: u64) -> String {
    let comment = format!("# {number} {}\n", "x".repeat(COMMENT_BYTES));
    format!(
        "rhizo = 1\n[app]\nname = \"crew\"\n[components.worker]\nexec = \"sleep {WORKER}\"\nreplicas = {HOSTS}\n\
         [components.side]\nexec = \"sleep {SIDE}\"\nreplicas = {HOSTS}\nenv = {{ ROUND = \"{variable}\" }}\n\
         [optimise]\nsettle = \"1s\"\n{comment}"
    )
}
