//! `rhizo-bench repair`: the time for which an application is incomplete after the death of the host with most of it.
//!
//! Each run ends the node of one instance (`--victim COMPONENT`; its host dies with it) by `kill -9`, waits until the
//! application is stable again, and reads from the members' own logs when they lost the node (`lost`), when its death
//! was committed (`dead`), and when the last instance had started or gone on. All times are from one clock in
//! microseconds and do not depend on how often the bench polls. They include actions and the acquisition of a host.

use std::time::Duration;

use serde_json::{Value, json};

use super::application::{Application, Member, is_at_rest, median_and_max, members, timed};
use super::failover::kill;
use super::options::Options;

/// Seconds of a day: logs have the time of day.
const DAY_S: f64 = 86_400.0;

/// Durations of one repair, in seconds.
struct Repair {
    /// From the first member that lost the node to the last instance.
    lost: f64,
    /// From the committed death to the last instance.
    dead: f64,
    /// Instances that started or were resumed.
    instances: usize,
}

/// Runs the bench and returns its figures.
pub(super) fn run(options: &Options) -> Result<Value, String> {
    let kills = options.number("kills", 20)?;
    let component = options.text("victim").ok_or("understand the options: --victim COMPONENT is missing")?;
    let application = options.application()?;
    application.run(&["up", "rhizo.toml", "--yes", "--wait"])?;
    let (mut lost, mut dead) = (Vec::new(), Vec::new());
    for number in 1..=kills {
        let before = application.until("stable", is_at_rest)?;
        let victim = host_of(&before, component)?;
        kill(victim.pid)?;
        let after = application.until("stable again", |status| {
            is_at_rest(status) && members(status).iter().all(|member| member.id != victim.id)
        })?;
        let repair = read(&application, &members(&after), &victim)?;
        eprintln!(
            "kill {number} of {kills}: {} instances, {:.3} s after the death was committed, {:.3} s after it was seen",
            repair.instances, repair.dead, repair.lost
        );
        lost.push(repair.lost);
        dead.push(repair.dead);
    }
    let ((dead_median, dead_max), (lost_median, lost_max)) = (median_and_max(&dead), median_and_max(&lost));
    Ok(json!({
        "kills": kills, "median": dead_median, "max": dead_max, "seconds": dead,
        "from_loss_median": lost_median, "from_loss_max": lost_max, "from_loss_seconds": lost,
    }))
}

/// The member that has an instance of the component.
fn host_of(status: &Value, component: &str) -> Result<Member, String> {
    let instances = status["components"].as_array().cloned().unwrap_or_default();
    let node = instances.iter().find(|instance| instance["name"] == component).map(|found| &found["node"]);
    let member = node.and_then(|node| members(status).into_iter().find(|member| node == member.id.as_str()));
    member.ok_or_else(|| format!("find the host of an instance of `{component}`"))
}

/// Reads the repair of the victim's death from the logs of the living members.
fn read(application: &Application, members: &[Member], victim: &Member) -> Result<Repair, String> {
    // The last lines may not be in the files yet.
    std::thread::sleep(Duration::from_millis(100));
    let lines: Vec<(f64, String)> =
        members.iter().flat_map(|member| application.log(member)).filter_map(|line| timed(&line)).collect();
    let first = |words: &str| {
        let told = lines.iter().filter(|(_, text)| text.contains(words)).map(|(at, _)| *at);
        told.min_by(f64::total_cmp).ok_or_else(|| format!("find `{words}` in a log"))
    };
    let dead = first(&format!(": dead: {} node=", victim.id))?;
    let lost = first(&format!(": lost {} node=", victim.id)).unwrap_or(dead);
    let since = |at: f64| (at - dead + DAY_S) % DAY_S;
    // Times of day wrap at midnight. Less than an hour later means later, more means the day before.
    let whole: Vec<f64> = lines
        .iter()
        .filter(|(_, text)| text.contains(" started node=") || text.contains(" goes on node="))
        .map(|(at, _)| since(*at))
        .filter(|after| *after < 3_600.0)
        .collect();
    let last = whole.iter().copied().max_by(f64::total_cmp).ok_or("find an instance that started")?;
    Ok(Repair { lost: last + (dead - lost + DAY_S) % DAY_S, dead: last, instances: whole.len() })
}
