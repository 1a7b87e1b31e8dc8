//! The sensor of the processes of one copy: processor time, memory and open files.
//!
//! | attribute | unit | with a control group | without one |
//! |---|---|---|---|
//! | `cpu` | cores in use, mean since the reading before | `cpu.stat` | `/proc/PID/stat` |
//! | `memory` | bytes | `memory.current`, else as without a group | resident pages, `/proc/PID/stat` |
//! | `fds` | open file descriptors | `/proc/PID/fd` | `/proc/PID/fd` |
//!
//! Pages that several processes share are counted for each of them, except in a control group with a memory controller.
//! A quantity that cannot be read is absent. A copy without a process of its own (a Rust closure) has none of them.
//!
//! The files are read here and not by `sysinfo`: that keeps a file open for every process that it has read, and three
//! short reads per process are all that is needed. Which processes belong to a copy is decided by the caller.

use crate::blocking::Blocking;
use crate::sensor::{BoxFuture, Sample, Sensor, SensorError};
use nix::unistd::{SysconfVar, sysconf};
use rhizo_types::fact::SensorKind;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Period. Placements change over minutes; with 10 s, a node with ten copies reads a few dozen small files a second at
/// most.
const EVERY: Duration = Duration::from_secs(10);

/// Most processes that are read of one copy, so that a program that forks without end costs its node a bounded time.
const PROCESSES_MAX: usize = 256;

/// Clock ticks a second in `/proc/PID/stat`: the kernel converts to `USER_HZ`, which is 100 on every platform that Rust
/// supports.
const TICKS_PER_SECOND: f64 = 100.0;

/// Steps to which the use of the processor is rounded, in cores. Below a hundredth of a core it is noise, and every
/// change is gossiped.
const CPU_STEP: f64 = 0.01;

/// Steps to which memory is rounded, in bytes.
const MEMORY_STEP: f64 = 1_048_576.0;

/// The processes of a copy, as far as the caller knows them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CopyProcesses {
    /// The members of this control group and of the groups below it.
    Group {
        /// The directory of the group.
        directory: PathBuf,
        /// The processes in it.
        members: BTreeSet<i32>,
    },
    /// This process and those that descend from it.
    Below(i32),
    /// These processes.
    Listed(BTreeSet<i32>),
}

type Find = dyn Fn() -> CopyProcesses + Send + Sync;

/// Reads the processes of one copy.
pub struct ProcessSensor {
    find: std::sync::Arc<Find>,
    usage: Blocking<Usage>,
}

impl ProcessSensor {
    /// A sensor of the processes that `find` returns at each reading; `find` may block.
    pub fn new(find: impl Fn() -> CopyProcesses + Send + Sync + 'static) -> Self {
        Self { find: std::sync::Arc::new(find), usage: Blocking::new(Usage::default()) }
    }
}

impl Sensor for ProcessSensor {
    fn name(&self) -> &str {
        "process"
    }

    fn kind(&self) -> SensorKind {
        SensorKind::Process
    }

    fn every(&self) -> Duration {
        EVERY
    }

    fn sample(&mut self) -> BoxFuture<'_, Result<Vec<Sample>, SensorError>> {
        let find = std::sync::Arc::clone(&self.find);
        Box::pin(self.usage.read("process", move |usage| Ok(usage.read(&find(), Instant::now()))))
    }
}

/// The last reading of the processor time.
#[derive(Default)]
struct Usage {
    last: Option<Spent>,
}

/// The processor time that the processes of a copy have spent so far.
#[derive(Clone, Copy)]
struct Spent {
    at: Instant,
    seconds: f64,
    /// Whether the control group counted it, with the processes that have ended.
    by_group: bool,
}

impl Usage {
    fn read(&mut self, processes: &CopyProcesses, now: Instant) -> Vec<Sample> {
        let (group, pids) = match processes {
            CopyProcesses::Group { directory, members } => (Some(directory.as_path()), members.clone()),
            CopyProcesses::Below(leader) => (None, descendants(*leader)),
            CopyProcesses::Listed(pids) => (None, pids.clone()),
        };
        let read: Vec<Process> =
            pids.iter().take(PROCESSES_MAX).filter_map(|pid| Process::read(*pid)).collect();
        if read.is_empty() {
            // The copy has ended, or its processes are not known: absent, not zero.
            self.last = None;
            return Vec::new();
        }
        let of_group = group.and_then(group_seconds);
        let seconds = of_group.unwrap_or_else(|| read.iter().map(|each| each.seconds).sum());
        let spent = Spent { at: now, seconds, by_group: of_group.is_some() };
        let cores = self.last.replace(spent).and_then(|before| spent.cores_since(before));
        let memory = group.and_then(|group| number_in(&group.join("memory.current")));
        let memory = memory.unwrap_or_else(|| read.iter().map(|each| each.resident_bytes).sum());
        let fds = read.iter().map(|each| each.fds).sum::<Option<u32>>();
        [
            cores.and_then(|cores| Sample::number("cpu", rounded(cores, CPU_STEP))),
            Sample::number("memory", rounded(memory, MEMORY_STEP)),
            fds.and_then(|fds| Sample::number("fds", f64::from(fds))),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl Spent {
    /// The mean number of cores in use since an earlier reading; none if the two cannot be compared.
    ///
    /// Without a group, the time of a process that has ended is in the total of the parent that waited for it. If
    /// another process waited for it, the total shrinks, and the use counts as zero once.
    fn cores_since(self, before: Self) -> Option<f64> {
        let passed = self.at.saturating_duration_since(before.at).as_secs_f64();
        let comparable = passed > 0.0 && self.by_group == before.by_group;
        comparable.then(|| (self.seconds - before.seconds).max(0.0) / passed)
    }
}

fn rounded(value: f64, step: f64) -> f64 {
    // Dividing by the reciprocal keeps hundredths exact: 7 * 0.01 is not 0.07.
    if step < 1.0 { (value / step).round() / (1.0 / step).round() } else { (value / step).round() * step }
}

/// The processor time of a control group in seconds.
fn group_seconds(group: &Path) -> Option<f64> {
    let text = fs::read_to_string(group.join("cpu.stat")).ok()?;
    let micros = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
    Some(micros.trim().parse::<f64>().ok()? / 1e6)
}

fn number_in(file: &Path) -> Option<f64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// One process.
struct Process {
    /// Processor time, its own and that of its children that have ended and were waited for, in seconds.
    seconds: f64,
    resident_bytes: f64,
    /// None if it belongs to another user.
    fds: Option<u32>,
}

impl Process {
    /// Reads a process; none if it has ended.
    fn read(pid: i32) -> Option<Self> {
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the name in parentheses, which may contain anything. The state follows it: field 3.
        let after = stat.iter().rposition(|byte| *byte == b')')? + 1;
        let fields: Vec<&str> = std::str::from_utf8(&stat[after..]).ok()?.split_ascii_whitespace().collect();
        if matches!(*fields.first()?, "Z" | "X" | "x") {
            return None;
        }
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        // Fields 14 to 17: time in user and kernel mode, its own and that of its children.
        let ticks: f64 = (14..=17).map(field).sum::<Option<f64>>()?;
        let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(4_096);
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).ok().map(Iterator::count);
        Some(Self {
            seconds: ticks / TICKS_PER_SECOND,
            resident_bytes: field(24)? * f64::from(u32::try_from(page).unwrap_or(4_096)),
            fds: fds.and_then(|count| u32::try_from(count).ok()),
        })
    }
}

/// A process and those that descend from it, at most [`PROCESSES_MAX`]. Without the kernel's lists of children it is the
/// process alone.
fn descendants(leader: i32) -> BTreeSet<i32> {
    let mut found = BTreeSet::from([leader]);
    let mut open = vec![leader];
    while let Some(pid) = open.pop() {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        for task in tasks.take(PROCESSES_MAX) {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            for child in children.split_ascii_whitespace().filter_map(|child| child.parse().ok()) {
                if found.len() < PROCESSES_MAX && found.insert(child) {
                    open.push(child);
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_types::fact::Value;
    use std::collections::BTreeMap;
    use std::process::{Child, Command, Stdio};

    fn numbers(samples: Vec<Sample>) -> BTreeMap<String, f64> {
        let number = |sample: Sample| Some((sample.attribute.0, sample.value.number()?.get()));
        samples.into_iter().filter_map(number).collect()
    }

    /// A shell that has started a child and waits; ended by its input's end.
    struct Shell(Child);

    impl Shell {
        fn start() -> (Self, i32) {
            use std::io::{BufRead as _, BufReader};
            // A shell gives a program in the background no input unless the input is named. The child prints its id
            // when it runs its own program, so that its open files do not change any more.
            let mut shell = Command::new("/bin/sh")
                .args(["-c", "exec 3<&0; sh -c 'echo $$; read line' <&3 & wait"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut line = String::new();
            BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
            (Self(shell), line.trim().parse().unwrap())
        }

        fn pid(&self) -> i32 {
            i32::try_from(self.0.id()).unwrap()
        }
    }

    impl Drop for Shell {
        fn drop(&mut self) {
            let _ended = self.0.kill();
            let _reaped = self.0.wait();
        }
    }

    #[tokio::test]
    async fn a_program_and_its_children_are_read_together() {
        let (shell, child) = Shell::start();
        let leader = shell.pid();
        assert_eq!(descendants(leader), BTreeSet::from([leader, child]));
        let mut sensor = ProcessSensor::new(move || CopyProcesses::Below(leader));
        let first = numbers(sensor.sample().await.unwrap());
        assert!(!first.contains_key("cpu"), "one reading cannot tell a mean over time");
        let own = |pid| f64::from(Process::read(pid).unwrap().fds.unwrap());
        assert_eq!(first["fds"], own(leader) + own(child));
        assert!(first["memory"] > 0.0 && first["memory"] < 1e9);
        // A mean needs time between two readings.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let second = numbers(sensor.sample().await.unwrap());
        assert!((0.0..=2.0).contains(&second["cpu"]), "{second:?}");
        drop(shell);
        assert!(has_ended(child));
        assert_eq!(sensor.sample().await.unwrap(), [], "an ended copy has no values, not zero");
    }

    /// Waits until the orphaned child has ended: its input was closed with its parent's.
    fn has_ended(pid: i32) -> bool {
        for _ in 0..1_000 {
            if Process::read(pid).is_none() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    #[test]
    fn the_use_of_the_processor_is_time_spent_over_time_passed() {
        let mut usage = Usage::default();
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let group = CopyProcesses::Group { directory: dir.path().to_owned(), members: BTreeSet::from([own]) };
        let begun = Instant::now();
        write("cpu.stat", "usage_usec 1000000\nuser_usec 1\n");
        write("memory.current", "104857600\n");
        let first = numbers(usage.read(&group, begun));
        assert_eq!((first.get("cpu"), first["memory"]), (None, 104_857_600.0));
        write("cpu.stat", "usage_usec 6000000\nuser_usec 1\n");
        let second = numbers(usage.read(&group, begun + Duration::from_secs(10)));
        assert_eq!(second["cpu"], 0.5);
    }

    #[test]
    fn a_child_that_ended_elsewhere_never_makes_the_use_negative() {
        let begun = Instant::now();
        let spent = |after_s, seconds, by_group| Spent {
            at: begun + Duration::from_secs(after_s),
            seconds,
            by_group,
        };
        assert_eq!(spent(10, 5.0, false).cores_since(spent(0, 3.0, false)), Some(0.2));
        assert_eq!(spent(10, 1.0, false).cores_since(spent(0, 3.0, false)), Some(0.0));
        assert_eq!(spent(10, 5.0, true).cores_since(spent(0, 3.0, false)), None, "counted in another way");
    }

    #[test]
    fn values_are_rounded_to_steps_below_which_they_are_noise() {
        assert_eq!((rounded(0.0749, CPU_STEP), rounded(0.001, CPU_STEP)), (0.07, 0.0));
        assert_eq!(rounded(1_500_000.0, MEMORY_STEP), 1_048_576.0);
        assert!(matches!(Sample::number("cpu", rounded(2.0, CPU_STEP)).unwrap().value, Value::Number(_)));
    }
}
