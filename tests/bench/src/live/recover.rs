//! `rhizo-bench recover`: a majority of the voters is lost for good; how long from `recover --new-lineage` until
//! stable.
//!
//! The moment and the victims are random: the application grows from four to five copies meanwhile, so hosts may be on
//! order. In half of the rounds node 0, if it is a victim, hangs instead of being killed, and comes back afterwards; it
//! has to end. After the recovery the hosts on the disk are compared with the ledger, and after `down` nothing may be
//! left. The bench fails otherwise.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};

use super::application::{Application, Member, median_and_max, members};
use super::options::Options;
use super::power_cut::{config, inventory};
use super::processes;

/// The longest time from the begin of the growth to the loss, in milliseconds: somewhat more than the growth needs.
const GROWTH_MS: u64 = 1_500;

/// The copies of the first config and of the second one. With node 0 both make five voters.
const COPIES: [u32; 2] = [4, 5];

/// Runs the bench and returns its figures.
pub(super) fn run(options: &Options) -> Result<Value, String> {
    let rounds = options.number("rounds", 10)?;
    let seed = options.number("seed", rand::random::<u32>().into())?;
    let mut random = StdRng::seed_from_u64(seed);
    let (mut seconds, mut returned) = (Vec::new(), 0);
    for number in 1..=rounds {
        let application = options.application()?;
        let dir = application.dir().to_owned();
        let context = |error| format!("pass round {number} of seed {seed}: {error}");
        let round = one_round(&application, &mut random).map_err(context)?;
        application.run(&["down", "--yes"]).map_err(context)?;
        let (left, hosts) = (processes::of(&dir), processes::host_directories(&dir));
        if !left.is_empty() || !hosts.is_empty() {
            return Err(context(format!("leave nothing: there are processes {left:?} and hosts {hosts:?}")));
        }
        eprintln!(
            "round {number} of {rounds}: {} of {} members lost, stable after {:.3} s{}",
            round.lost,
            round.members,
            round.seconds,
            if round.returned { ", node 0 came back and ended" } else { "" }
        );
        seconds.push(round.seconds);
        returned += u32::from(round.returned);
    }
    let (median, max) = median_and_max(&seconds);
    Ok(json!({
        "rounds": rounds, "seed": seed, "median": median, "max": max, "rounds_with_a_returning_member": returned,
    }))
}

struct Round {
    seconds: f64,
    lost: usize,
    members: usize,
    /// Whether a member of the former lineage came back and ended.
    returned: bool,
}

fn one_round(application: &Application, random: &mut StdRng) -> Result<Round, String> {
    application.write("rhizo.toml", &config(COPIES[0]))?;
    application.run(&["up", "rhizo.toml", "--yes", "--wait"])?;
    let status = application.until("every member is known", super::application::is_at_rest)?;
    application.write("rhizo.toml", &config(COPIES[1]))?;
    let mut growing = application
        .command(&["up", "rhizo.toml", "--yes", "--wait", "--timeout-s", "20"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("run up: {error}"))?;
    std::thread::sleep(Duration::from_millis(random.random_range(0..GROWTH_MS)));
    let mut voters = voters(&status);
    voters.shuffle(random);
    let victims = &voters[..voters.len() / 2 + 1];
    let hangs = random.random_range(0..2) == 0;
    let hanging = victims.iter().find(|victim| hangs && victim.host.is_none());
    for victim in victims {
        processes::signal(&[victim.pid], if Some(victim) == hanging { "STOP" } else { "KILL" })?;
    }
    application.until("the quorum is lost", |status| status["state"] == "no-quorum")?;
    // The config is in force or not; the command cannot be carried out any more.
    growing.kill().and_then(|()| growing.wait()).map_err(|error| format!("end up: {error}"))?;
    let start = Instant::now();
    let mut command = vec!["recover", "--new-lineage", "--yes"];
    // Node 0 has files in this directory, so it could come back as far as the command can see.
    if let Some(founder) = victims.iter().find(|victim| victim.host.is_none()) {
        command.extend(["--lost", founder.id.as_str()]);
    }
    application.run(&command)?;
    application.until("it is stable again", |status| status["state"] == "stable")?;
    let seconds = start.elapsed().as_secs_f64();
    if let Some(hanging) = hanging {
        processes::signal(&[hanging.pid], "CONT")?;
        application
            .until_some("the returned member ends", || (!processes::lives(hanging.pid)).then_some(()))?;
    }
    // A host that only the lost members had ordered is reclaimed when it is a minute old.
    application.until_some("the hosts are those of the ledger", || {
        let status = application.status()?;
        inventory(application, &status).ok()
    })?;
    Ok(Round { seconds, lost: victims.len(), members: members(&status).len(), returned: hanging.is_some() })
}

/// The members that vote.
fn voters(status: &Value) -> Vec<Member> {
    let votes = |member: &Member| {
        let nodes = status["nodes"].as_array().into_iter().flatten();
        nodes.into_iter().any(|node| node["id"] == member.id.as_str() && node["voter"] == true)
    };
    members(status).into_iter().filter(votes).collect()
}
