//! `rhizo-bench teardown`: `down` after config changes and kills, at providers that lag, throttle or do not answer.
//!
//! Each round draws a life: when `up` is interrupted, a change of the config, the processes that are killed, and the
//! faults of each provider. Then `down` runs until it ends with 0; some rounds let the faults last for the first runs.
//! Whether anything is left is seen from the processes themselves. The bench fails when a process is left although
//! `down` ended with 0, when a home is gone although `down` ended with 8, and when `down` never ends with 0.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};

use super::application::{Application, median_and_max};
use super::options::Options;
use super::processes;

/// The longest time from the first command to the kills, in milliseconds: about twice the time that `up` needs on two
/// cores.
const LIFE_MS: u64 = 4_000;

/// The longest lag of a list and the longest delay of an order, in milliseconds.
const LAG_MS_MAX: u64 = 2_500;

/// Time of one `down`, in seconds. It is longer than the window in which a host may be missing from the lists.
const DOWN_S: u64 = 8;

/// Number of runs of `down` in one round. The faults end after the third at the latest.
const DOWNS_MAX: u32 = 8;

/// The exit code of a command that was done, and of one that was done in part.
const DONE: i32 = 0;
const PARTLY_DONE: i32 = 8;

/// Runs the bench and returns its figures.
pub(super) fn run(options: &Options) -> Result<Value, String> {
    let rounds = options.number("rounds", 50)?;
    let seed = options.number("seed", rand::random::<u32>().into())?;
    let mut random = StdRng::seed_from_u64(seed);
    let (mut seconds, mut partly_done, mut with_faults) = (Vec::new(), 0, 0);
    for number in 1..=rounds {
        let application = options.application()?;
        let life = Life::draw(&mut random);
        let context = |error| format!("pass round {number} of seed {seed}, {life:?}: {error}");
        let round = one_round(&application, &life).map_err(context)?;
        eprintln!(
            "round {number} of {rounds}: down in {:.3} s after {} runs in part; {life:?}",
            round.seconds, round.partly_done
        );
        seconds.push(round.seconds);
        partly_done += round.partly_done;
        with_faults += u32::from(life.faults != json!({}));
    }
    let (median, max) = median_and_max(&seconds);
    Ok(json!({
        "rounds": rounds, "seed": seed, "rounds_with_faults": with_faults, "ended_in_part": partly_done,
        "ended_with_0": rounds, "left_after_0": 0, "median": median, "max": max,
    }))
}

/// A change of the config while hosts exist.
#[derive(Clone, Copy, PartialEq, Debug)]
enum ConfigChange {
    Nothing,
    RemoveProvider,
    RenameProvider,
    AddProvider,
}

/// The processes that are killed before `down`.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Victims {
    Nothing,
    Founder,
    FounderAndNodes,
    Everything,
}

/// The choices of one round.
#[derive(Debug)]
struct Life {
    /// The faults are there from the beginning, not only before `down`.
    is_faulty_from_the_start: bool,
    faults: Value,
    /// Number of runs of `down` before the faults end.
    faulty_downs: u32,
    change: ConfigChange,
    victims: Victims,
    /// The kills happen this long after the first command.
    moment_ms: u64,
    /// The data files of the providers are removed before `down`.
    loses_files: bool,
}

impl Life {
    fn draw(random: &mut StdRng) -> Self {
        let changes = [
            ConfigChange::Nothing,
            ConfigChange::RemoveProvider,
            ConfigChange::RenameProvider,
            ConfigChange::AddProvider,
        ];
        let victims = [Victims::Nothing, Victims::Founder, Victims::FounderAndNodes, Victims::Everything];
        let mut faults = json!({});
        for provider in ["lab", "spare"] {
            let lag_ms = random.random_range(1..=LAG_MS_MAX);
            match random.random_range(0..6) {
                0 => faults[provider] = json!({ "list_lag_ms": lag_ms }),
                1 => faults[provider] = json!({ "every_offer": { "late_success_ms": lag_ms } }),
                2 => faults[provider] = json!({ "throttle_ms": random.random_range(100..3_000) }),
                3 => faults[provider] = json!({ "api_down": true }),
                4 => faults[provider] = json!({ "release_lost": true }),
                _ => {}
            }
        }
        Self {
            is_faulty_from_the_start: random.random_bool(0.4),
            faulty_downs: random.random_range(0..=3),
            change: changes[random.random_range(0..changes.len())],
            victims: victims[random.random_range(0..victims.len())],
            moment_ms: random.random_range(300..LIFE_MS),
            loses_files: random.random_bool(0.3),
            faults,
        }
    }
}

struct Round {
    /// Duration of the `down` that ended with 0.
    seconds: f64,
    /// Number of runs of `down` that ended with 8 before.
    partly_done: u32,
}

fn one_round(application: &Application, life: &Life) -> Result<Round, String> {
    let mut ups = live(application, life)?;
    kill(application, life.victims)?;
    set_faults(application, &life.faults)?;
    if life.loses_files {
        for name in ["lab.csv", "spare.csv"] {
            std::fs::remove_file(application.dir().join(name))
                .map_err(|error| format!("remove {name}: {error}"))?;
        }
    }
    let outcome = take_down(application, life);
    for up in &mut ups {
        if outcome.is_err() {
            drop(up.kill());
        }
        up.wait().map_err(|error| format!("await up: {error}"))?;
    }
    let round = outcome?;
    let left = processes::of(application.dir());
    if left.is_empty() { Ok(round) } else { Err(format!("find nothing after `down`: {left:?}")) }
}

/// Lets the application live until the moment. Returns the commands that still run.
fn live(application: &Application, life: &Life) -> Result<Vec<Child>, String> {
    let begun = Instant::now();
    let moment = Duration::from_millis(life.moment_ms);
    set_faults(application, if life.is_faulty_from_the_start { &life.faults } else { &Value::Null })?;
    for name in ["lab", "spare", "works"] {
        application.write(&format!("{name}.csv"), &offers(name))?;
    }
    let mut ups = vec![up(application, &["lab", "spare"])?];
    if life.change != ConfigChange::Nothing {
        while begun.elapsed() < moment && ups[0].try_wait().is_ok_and(|ended| ended.is_none()) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let providers = match life.change {
            ConfigChange::RenameProvider => &["lab", "works"][..],
            ConfigChange::AddProvider => &["lab", "spare", "works"],
            ConfigChange::RemoveProvider | ConfigChange::Nothing => &["lab"],
        };
        ups.push(up(application, providers)?);
    }
    std::thread::sleep(moment.saturating_sub(begun.elapsed()).max(Duration::from_millis(50)));
    Ok(ups)
}

fn up(application: &Application, providers: &[&str]) -> Result<Child, String> {
    application.write("rhizo.toml", &config(providers))?;
    let mut command = application.command(&["up", "rhizo.toml", "--yes", "--wait", "--timeout-s", "30"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    child.map_err(|error| format!("run up: {error}"))
}

/// A worker on hosts of each provider.
fn config(providers: &[&str]) -> String {
    let head = "rhizo = 1\n[app]\nname = \"gone\"\n[optimise]\nsettle = \"1s\"\n".to_owned();
    let part = |at: &&str| {
        format!(
            "[components.worker-{at}]\nexec = \"sleep 100000\"\nreplicas = 2\nneeds = {{ cpu = 1 }}\n\
             [[require]]\nname = \"at-{at}\"\neach = \"worker-{at}\"\nexpr = \"node.provider == '{at}'\"\n\
             [providers.{at}]\nkind = \"process\"\noffers = \"{at}.csv\"\nfaults = \"faults.json\"\n"
        )
    };
    head + &providers.iter().map(part).collect::<String>()
}

fn offers(name: &str) -> String {
    format!("name,region,price_per_hour,available,cap.cpu,cap.memory\nsmall,{name},0.1,8,1,4GiB\n")
}

/// Replaces the faults of the providers in one step.
fn set_faults(application: &Application, faults: &Value) -> Result<(), String> {
    let providers = if faults.is_null() { &json!({}) } else { faults };
    application.write("faults.new", &json!({ "providers": providers }).to_string())?;
    let (new, faults) = (application.dir().join("faults.new"), application.dir().join("faults.json"));
    std::fs::rename(new, faults).map_err(|error| format!("set the faults: {error}"))
}

fn kill(application: &Application, victims: Victims) -> Result<(), String> {
    let dir = application.dir();
    if victims == Victims::Everything {
        return processes::kill_all(dir);
    }
    let mut pids: Vec<u32> = Vec::new();
    if victims != Victims::Nothing {
        pids.extend(recorded_pid(&dir.join(".rhizo/founder.json"), &["pid"]));
    }
    if victims == Victims::FounderAndNodes {
        let hosts = processes::host_directories(dir);
        pids.extend(
            hosts.iter().filter_map(|host| recorded_pid(&host.join("node.json"), &["identity", "pid"])),
        );
    }
    processes::signal(&pids, "KILL")
}

/// The process id in a record; none when there is no such record.
fn recorded_pid(path: &Path, keys: &[&str]) -> Option<u32> {
    let record: Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    let pid = keys.iter().try_fold(&record, |value, key| value.get(key))?;
    u32::try_from(pid.as_u64()?).ok()
}

/// Runs `down` until it ends with 0, and checks each time what it says.
fn take_down(application: &Application, life: &Life) -> Result<Round, String> {
    for partly_done in 0..DOWNS_MAX {
        if partly_done >= life.faulty_downs {
            set_faults(application, &Value::Null)?;
        }
        let begun = Instant::now();
        let (status, out, err) =
            application.end_of(&["down", "--yes", "--timeout-s", &DOWN_S.to_string()])?;
        let seconds = begun.elapsed().as_secs_f64();
        match status.code() {
            Some(DONE) => {
                let left = processes::of_hosts(application.dir());
                let all_gone = Round { seconds, partly_done };
                let message =
                    format!("find no process after `down` ended with 0: {left:?}; it said {out}{err}");
                return if left.is_empty() { Ok(all_gone) } else { Err(message) };
            }
            Some(PARTLY_DONE) if application.dir().join(".rhizo/deployment.json").exists() => {}
            Some(PARTLY_DONE) => return Err(format!("find the home after `down` ended with 8: {err}")),
            _ => return Err(format!("see `down` end with 0 or 8: {status}; it said {out}{err}")),
        }
    }
    Err(format!("see `down` end with 0 within {DOWNS_MAX} runs"))
}
