//! The races: what is drawn for a round, and how its commands are brought together.

use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::super::application::Application;
use super::command::{self, Outcome};

/// The names of the kinds of races.
pub(super) const KINDS: [&str; 4] = ["up-up", "up-down", "interrupted", "consent"];

/// The longest distance between two commands, in milliseconds: somewhat more than an `up` needs from its first step
/// until its copies run, on two busy cores.
const DISTANCE_MS: u64 = 3_000;

/// The longest time from `up --detach` to a `down`, in milliseconds: node 0 leaves when the application has been stable
/// for the failure window of six seconds.
const HAND_OVER_MS: u64 = 10_000;

/// The components of each config.
pub(super) const CONFIGS: [(&str, &[&str]); 3] =
    [("one.toml", &["a"]), ("two.toml", &["a", "b"]), ("three.toml", &["a", "c"])];

/// Two or three commands that meet in one home.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Race {
    /// Two `up`, the second one `after_ms` after the first.
    UpUp { is_running: bool, same_config: bool, after_ms: u64 },
    /// An `up` and a `down`, which may meet while node 0 leaves.
    UpDown { is_running: bool, detaches: bool, down_after_ms: u64 },
    /// An `up` in the foreground that is interrupted, and another `up` in the same home.
    Interrupted { joins_after_ms: u64, interrupted_after_ms: u64 },
    /// A command that waits at its question while another terminal changes the application.
    Consent { asks: Asks, meanwhile: Meanwhile, answer: Answer },
}

/// The command that waits at its question.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Asks {
    Up,
    Down,
}

/// The commands of another terminal while a question waits.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Meanwhile {
    /// It founds an application where there was none.
    Found,
    /// It puts another config in force.
    Change,
    /// It takes the application down.
    Down,
    /// It takes the application down and founds another one.
    Replace,
}

/// When the question is answered by `y`, and how further questions are.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Answer {
    /// The distance to the start of the other terminal's commands; none: after they have ended.
    pub(super) after_ms: Option<u64>,
    /// Whether further questions are answered by `y` too.
    pub(super) insists: bool,
}

impl Race {
    pub(super) fn draw(random: &mut StdRng) -> Self {
        // Half of the distances are short: the same instant is the most probable race of two terminals.
        let mut distance_ms = || {
            if random.random_bool(0.5) {
                random.random_range(0..40)
            } else {
                random.random_range(0..DISTANCE_MS)
            }
        };
        let (first, second) = (distance_ms(), distance_ms());
        match random.random_range(0..6) {
            0 => Self::UpUp {
                is_running: random.random_bool(0.5),
                same_config: random.random_bool(0.5),
                after_ms: first,
            },
            1 if random.random_bool(0.4) => {
                let down_after_ms = random.random_range(0..HAND_OVER_MS);
                Self::UpDown { is_running: false, detaches: true, down_after_ms }
            }
            1 => Self::UpDown { is_running: random.random_bool(0.5), detaches: false, down_after_ms: first },
            2 => Self::Interrupted { joins_after_ms: first, interrupted_after_ms: second },
            _ => {
                let all = [Meanwhile::Found, Meanwhile::Change, Meanwhile::Down, Meanwhile::Replace];
                let asks = if random.random_bool(0.6) { Asks::Up } else { Asks::Down };
                // `down` asks nothing where there is no application.
                let least = usize::from(asks == Asks::Down);
                let meanwhile = all[random.random_range(least..all.len())];
                let after_ms = random.random_bool(0.5).then_some(first);
                Self::Consent {
                    asks,
                    meanwhile,
                    answer: Answer { after_ms, insists: random.random_bool(0.5) },
                }
            }
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::UpUp { .. } => KINDS[0],
            Self::UpDown { .. } => KINDS[1],
            Self::Interrupted { .. } => KINDS[2],
            Self::Consent { .. } => KINDS[3],
        }
    }

    /// Whether a command of the race takes an application down.
    pub(super) fn takes_down(&self) -> bool {
        match self {
            Self::UpUp { .. } => false,
            Self::UpDown { .. } | Self::Interrupted { .. } => true,
            Self::Consent { asks, meanwhile, .. } => {
                *asks == Asks::Down || matches!(meanwhile, Meanwhile::Down | Meanwhile::Replace)
            }
        }
    }
}

/// Writes the configs that the commands of all races use.
pub(super) fn write_configs(application: &Application) -> Result<(), String> {
    for (file, components) in CONFIGS {
        let head = "rhizo = 1\n[app]\nname = \"race\"\n[optimise]\nsettle = \"1s\"\n".to_owned();
        let parts = components.iter().map(|name| format!("[components.{name}]\nexec = \"sleep 100000\"\n"));
        application.write(file, &(head + &parts.collect::<String>()))?;
    }
    Ok(())
}

fn up(config: &'static str) -> [&'static str; 6] {
    ["up", config, "--yes", "--wait", "--timeout-s", "60"]
}

/// Founds the application that a race begins with. It need not be stable: a race may meet a deployment that goes on.
fn found(application: &Application) -> Result<(), String> {
    let (status, out, err) =
        application.end_of(&["up", "one.toml", "--yes", "--wait", "--timeout-s", "2"])?;
    // 5: not stable in time; it goes on by itself.
    match status.code() {
        Some(0 | 5) => Ok(()),
        _ => Err(format!("found an application: {status}; it said {out}{err}")),
    }
}

fn sleep(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// Brings the commands together and returns how they ended, in the order in which they were started.
pub(super) fn run(application: &Application, race: &Race) -> Result<Vec<Outcome>, String> {
    match *race {
        Race::UpUp { is_running, same_config, after_ms } => {
            if is_running {
                found(application)?;
            }
            let first = command::start(application, "first", &up("two.toml"))?;
            sleep(after_ms);
            let other = if same_config { "two.toml" } else { "three.toml" };
            let second = command::start(application, "second", &up(other))?;
            Ok(vec![first.end()?, second.end()?])
        }
        Race::UpDown { is_running, detaches, down_after_ms } => {
            if is_running {
                found(application)?;
            }
            let mut arguments = up("two.toml");
            if detaches {
                arguments[3] = "--detach";
            }
            let up = command::start(application, "up", &arguments)?;
            sleep(down_after_ms);
            let down = command::start(application, "down", &["down", "--yes"])?;
            Ok(vec![up.end()?, down.end()?])
        }
        Race::Interrupted { joins_after_ms, interrupted_after_ms } => {
            let foreground = command::start(application, "foreground", &["up", "one.toml", "--yes"])?;
            sleep(joins_after_ms);
            let joining = command::start(application, "joining", &up("two.toml"))?;
            sleep(interrupted_after_ms);
            foreground.interrupt()?;
            let joined = joining.end()?;
            // The other `up` may have won; then the foreground one ends when it has applied its config.
            Ok(vec![foreground.end()?, joined])
        }
        Race::Consent { asks, meanwhile, answer } => consent(application, asks, meanwhile, answer),
    }
}

fn consent(
    application: &Application,
    asks: Asks,
    meanwhile: Meanwhile,
    answer: Answer,
) -> Result<Vec<Outcome>, String> {
    if meanwhile != Meanwhile::Found {
        found(application)?;
    }
    let arguments: &[&str] = match asks {
        Asks::Up => &["up", "two.toml", "--wait", "--timeout-s", "60"],
        Asks::Down => &["down"],
    };
    let mut asking = command::start_on_terminal(application, "asking", arguments)?;
    if !asking.until_asked()? {
        return Err(format!("be asked: {:?}", asking.end()?));
    }
    let others: &[&[&str]] = match meanwhile {
        Meanwhile::Found | Meanwhile::Change => {
            &[&["up", "three.toml", "--yes", "--wait", "--timeout-s", "60"]]
        }
        Meanwhile::Down => &[&["down", "--yes"]],
        Meanwhile::Replace => {
            &[&["down", "--yes"], &["up", "three.toml", "--yes", "--wait", "--timeout-s", "60"]]
        }
    };
    let again = if answer.insists { "y" } else { "n" };
    let in_order = || -> Result<Vec<Outcome>, String> {
        let run = |(number, arguments): (usize, &&[&str])| {
            command::start(application, &format!("other-{number}"), arguments)?.end()
        };
        others.iter().enumerate().map(run).collect()
    };
    let Some(after_ms) = answer.after_ms else {
        let ended = in_order()?;
        asking.answer("y")?;
        let asked = asking.answer_to_the_end(again)?;
        return Ok(std::iter::once(asked).chain(ended).collect());
    };
    std::thread::scope(|scope| {
        let others = scope.spawn(in_order);
        sleep(after_ms);
        asking.answer("y")?;
        let asked = asking.answer_to_the_end(again)?;
        let ended = others.join().map_err(|_| "run the commands of the other terminal".to_owned())??;
        Ok(std::iter::once(asked).chain(ended).collect())
    })
}
