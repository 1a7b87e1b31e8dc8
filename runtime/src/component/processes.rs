//! All processes of one task of a run, in any session, process group or parent process, and their end.
//!
//! A process belongs to a task when it is in the task's control group, carries the task's mark in its environment, is
//! in the process group of the program that was launched, descends from such a process, or did so at an earlier look.
//! That finds children that made a session of their own, daemons whose parents ended, and programs that overwrite their
//! environment. Where the host has no control group, a process escapes if it drops the environment and outlives all its
//! ancestors between two looks. The end of the host finds that process.
//!
//! The end of the host, which needs no mark of a task, is in `rhizo-actuators`. Read next: [`super::launch`].

use super::control_group;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// The environment variable that carries a task's mark. Children inherit it.
pub(super) const MARK: &str = "RHIZO_TASK";

/// Time between the first two searches for remaining processes. Most programs end within it.
const LOOK_MS_MIN: u64 = 5;

/// Longest time between two searches. A search reads a few files of every process of the machine, so more frequent
/// searches during a long grace would cost more than the time they save.
const LOOK_MS_MAX: u64 = 100;

/// Number of consecutive searches without a member after which the task counts as ended although processes of the
/// machine ended meanwhile. A process can escape one search: it starts another one after the list was made and ends
/// before it is read itself.
const QUIET_LOOKS: u32 = 5;

/// A process that exchanges its program shows no environment for a moment. An empty environment is therefore read
/// again for this many milliseconds before it is believed.
const EXCHANGE_MS_MAX: u32 = 20;

/// The identity of a task: a run's directory and number, then the names of the task and of its subtasks.
///
/// A mark covers itself and every mark that was derived from it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Mark {
    value: String,
    /// The control group of the processes; none where the host has no group.
    group: Option<PathBuf>,
}

impl Mark {
    /// Returns the mark for everything that is launched for one run: the `attempt` of the generation whose directory
    /// this is.
    ///
    /// Runs of one generation share their directory, and the processes of an earlier one may still be ending when the
    /// next one starts. Directories are unique on a machine, and their names in the host's control group `host_group`.
    pub(super) fn of_run(dir: &Path, attempt: u32, host_group: Option<&Path>) -> Self {
        let name = format!("{}-run{attempt}", dir.file_name().unwrap_or_default().to_string_lossy());
        let group = host_group.map(|group| group.join(name));
        Self { value: format!("{}:run{attempt}", dir.to_string_lossy()), group }
    }

    /// Returns the mark for a part of the launches that this mark covers.
    pub(super) fn part(&self, name: &str) -> Self {
        let group = self.group.as_ref().map(|group| group.join(name));
        Self { value: format!("{}:{name}", self.value), group }
    }

    /// The value of the environment variable [`MARK`].
    pub(super) fn value(&self) -> &str {
        &self.value
    }

    /// Moves a process that was just launched into the control group.
    fn enter(&self, pid: i32) {
        // The process may have started another one before this; the mark and the descent find that.
        if let Some(group) = &self.group
            && let Err(error) = control_group::enter(group, pid)
        {
            tracing::debug!(%error, group = %group.display(), "process not moved into its control group");
        }
    }

    /// The control group of the processes; none where the host has no group.
    pub(super) fn group(&self) -> Option<&Path> {
        self.group.as_deref()
    }

    fn covers(&self, value: &[u8]) -> bool {
        let rest = value.strip_prefix(self.value.as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b":"))
    }
}

/// The processes of one task.
pub(super) struct Processes {
    mark: Mark,
    /// The process group of the launched program, until the group is seen to be empty: its number may be used again.
    group: Option<i32>,
    /// The processes found by earlier looks, with their start times: ids are used again, pairs of both are not.
    found: BTreeSet<(i32, u64)>,
    /// Whether every process that the last look listed could still be read.
    is_whole: bool,
}

impl Processes {
    /// The processes below a mark, without a launched program.
    pub(super) fn below(mark: Mark) -> Self {
        Self { mark, group: None, found: BTreeSet::new(), is_whole: false }
    }

    /// The processes of a program that was launched as the leader of a process group of its own.
    pub(super) fn of_leader(mark: Mark, leader: i32) -> Self {
        mark.enter(leader);
        Self { mark, group: Some(leader), found: BTreeSet::new(), is_whole: false }
    }

    /// Ends all of them: the signal to all, then up to `grace` for all to end, then SIGKILL until none is left.
    ///
    /// `leader` resolves when the launched program has ended. Until then a process is left, so no search is needed.
    /// The time of grace does not depend on which process ends first. Returns only when nothing is left; a process
    /// that the kernel cannot kill yet is waited for. Dropping the future stops the procedure where it is.
    pub(super) async fn end(self, signal: Signal, grace: Duration, leader: impl Future<Output = ()>) {
        let deadline = Instant::now() + grace;
        let (mut this, mut left) = self.send(signal).await;
        let _late = timeout_at(deadline, leader).await;
        let mut pause_ms = LOOK_MS_MIN;
        while left && Instant::now() < deadline {
            let next = Instant::now() + Duration::from_millis(pause_ms);
            tokio::time::sleep_until(next.min(deadline)).await;
            pause_ms = (2 * pause_ms).min(LOOK_MS_MAX);
            (this, left) = this.look().await;
        }
        this.kill().await;
    }

    /// Sends SIGKILL until no process is left.
    pub(super) async fn kill(self) {
        let mut this = self;
        let (mut pause_ms, mut quiet_looks) = (LOOK_MS_MIN, 0);
        while quiet_looks < QUIET_LOOKS {
            let left;
            (this, left) = this.send(Signal::SIGKILL).await;
            if left {
                quiet_looks = 0;
                sleep(Duration::from_millis(pause_ms)).await;
                pause_ms = (2 * pause_ms).min(LOOK_MS_MAX);
            } else if this.is_whole {
                break;
            } else {
                quiet_looks += 1;
            }
        }
        if let Some(group) = &this.mark.group {
            control_group::remove(group);
        }
    }

    /// Sends a signal to all processes that one look finds; returns whether there were any.
    async fn send(self, signal: Signal) -> (Self, bool) {
        self.blocking(move |this, found| {
            // The group first and in one call, so that no member of it can fork unsignalled.
            if let Some(group) = this.group {
                let _ended_meanwhile = killpg(Pid::from_raw(group), signal);
            }
            for (&pid, process) in found.iter().filter(|(_, process)| Some(process.group) != this.group) {
                // The id is used again only when the process has ended since the look, microseconds ago.
                debug_assert!(process.runs);
                let _ended_meanwhile = kill(Pid::from_raw(pid), signal);
            }
        })
        .await
    }

    /// Returns whether any process is left.
    async fn look(self) -> (Self, bool) {
        self.blocking(|_, _| {}).await
    }

    /// Looks, and does something with what was found, on a thread that may block.
    async fn blocking(
        mut self,
        with: impl FnOnce(&Self, &BTreeMap<i32, Process>) + Send + 'static,
    ) -> (Self, bool) {
        let looked = tokio::task::spawn_blocking(move || {
            let (table, is_whole) = process_table();
            let found = self.find(&table);
            self.is_whole = is_whole;
            with(&self, &found);
            (self, !found.is_empty())
        });
        match looked.await {
            Ok(looked) => looked,
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime shuts down, and the node with it: the supervisor ends what is left.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// The processes of the table that run and belong to the task.
    fn find(&mut self, table: &BTreeMap<i32, Process>) -> BTreeMap<i32, Process> {
        let own = i32::try_from(std::process::id()).unwrap_or_default();
        let grouped = self.mark.group.as_deref().map(control_group::members).unwrap_or_default();
        let belongs = |pid: i32, process: &Process| {
            Some(process.group) == self.group
                || grouped.contains(&pid)
                || self.found.contains(&(pid, process.start))
                || process.mark.as_deref().is_some_and(|mark| self.mark.covers(mark))
        };
        let mut members: BTreeSet<i32> =
            table.iter().filter(|(pid, process)| belongs(**pid, process)).map(|(pid, _)| *pid).collect();
        loop {
            let descends = |process: &Process| members.contains(&process.parent);
            let more: Vec<i32> = table
                .iter()
                .filter(|(pid, process)| !members.contains(pid) && descends(process))
                .map(|(pid, _)| *pid)
                .collect();
            if more.is_empty() {
                break;
            }
            members.extend(more);
        }
        members.remove(&own);
        let running = |pid: &i32| table.get(pid).filter(|process| process.runs).cloned();
        let found: BTreeMap<i32, Process> =
            members.iter().filter_map(|pid| Some((*pid, running(pid)?))).collect();
        self.found.extend(found.iter().map(|(pid, process)| (*pid, process.start)));
        if !table.values().any(|process| Some(process.group) == self.group) {
            self.group = None;
        }
        found
    }
}

/// Returns the processes below a mark, and those in the process group of a launched leader, that one look finds.
/// Blocks.
pub(super) fn members(mark: &Mark, leader: Option<i32>) -> BTreeSet<i32> {
    let mut processes = Processes { group: leader, ..Processes::below(mark.clone()) };
    processes.find(&process_table().0).into_keys().collect()
}

/// Returns the running processes that descend from another one and carry the mark of no task. Blocks.
pub(super) fn unmarked_below(ancestor: i32) -> BTreeSet<i32> {
    let (table, _) = process_table();
    let descends = |mut pid: i32| {
        // The depth is bounded, because the table was not read at one moment and may show a circle.
        for _ in 0..table.len() {
            match table.get(&pid) {
                Some(process) if process.parent == ancestor => return true,
                Some(process) => pid = process.parent,
                None => return false,
            }
        }
        false
    };
    let unmarked = table.iter().filter(|(_, process)| process.runs && process.mark.is_none());
    unmarked.map(|(pid, _)| *pid).filter(|pid| descends(*pid)).collect()
}

/// One process of the kernel's table.
#[derive(Clone, Debug)]
struct Process {
    parent: i32,
    group: i32,
    /// Clock ticks since boot at which it started.
    start: u64,
    /// False for one that has ended and was not reaped yet.
    runs: bool,
    /// The value of [`MARK`] in its environment.
    mark: Option<Vec<u8>>,
}

/// All processes, and whether none of them ended between the listing and the look at it.
fn process_table() -> (BTreeMap<i32, Process>, bool) {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids: Vec<i32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let table: BTreeMap<i32, Process> = pids.iter().filter_map(|pid| Some((*pid, process(*pid)?))).collect();
    let is_whole = table.len() == pids.len() && !pids.is_empty();
    (table, is_whole)
}

fn process(pid: i32) -> Option<Process> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses, which may contain anything; the state follows it.
    let after = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let text = std::str::from_utf8(&stat[after..]).ok()?;
    let fields: Vec<&str> = text.split_whitespace().collect();
    let runs = !matches!(*fields.first()?, "Z" | "X" | "x");
    Some(Process {
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        start: fields.get(19)?.parse().ok()?,
        runs,
        mark: if runs { mark(pid) } else { None },
    })
}

/// The mark that a process carries; none when it has none, or belongs to another user.
fn mark(pid: i32) -> Option<Vec<u8>> {
    let mut environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    for _ in 0..EXCHANGE_MS_MAX {
        let is_exchanging = environment.is_empty()
            && fs::read_link(format!("/proc/{pid}/exe")).is_ok()
            && fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.is_empty());
        if !is_exchanging {
            break;
        }
        thread::sleep(Duration::from_millis(1));
        environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    }
    let variables = environment.split(|byte| *byte == 0);
    variables
        .filter_map(|variable| variable.strip_prefix(MARK.as_bytes())?.strip_prefix(b"="))
        .map(<[u8]>::to_vec)
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(parent: i32, group: i32, mark: Option<&str>) -> Process {
        Process { parent, group, start: 7, runs: true, mark: mark.map(|mark| mark.as_bytes().to_vec()) }
    }

    fn found(processes: &mut Processes, table: &[(i32, Process)]) -> Vec<i32> {
        processes.find(&table.iter().cloned().collect()).into_keys().collect()
    }

    fn run_mark() -> Mark {
        Mark::of_run(Path::new("/run/web.1-g1"), 1, None)
    }

    #[test]
    fn a_mark_covers_its_parts_and_no_other_run() {
        let (run, service) = (run_mark(), run_mark().part("service"));
        assert!(run.covers(service.value().as_bytes()) && service.covers(service.value().as_bytes()));
        assert!(service.covers(service.part("probe").value().as_bytes()));
        assert!(!service.covers(run.value().as_bytes()));
        for other in ["/run/web.1-g10:run1:service", "/run/web.1-g1:run1:service2", "/run"] {
            assert!(!service.covers(other.as_bytes()), "{other}");
        }
        assert!(!run.covers(b"/run/web.1-g10:run1"));
    }

    #[test]
    fn the_end_of_a_run_spares_the_next_run_of_the_same_generation() {
        let next = Mark::of_run(Path::new("/run/web.1-g1"), 2, None).part("service");
        assert!(!run_mark().covers(next.value().as_bytes()));
        assert!(!run_mark().covers(b"/run/web.1-g1:run10:service"));
        let groups = [1, 2].map(|attempt| {
            Mark::of_run(Path::new("/run/web.1-g1"), attempt, Some(Path::new("/group"))).group
        });
        assert_ne!(groups[0], groups[1]);
    }

    #[test]
    fn group_mark_and_descent_each_make_a_member() {
        let mark = run_mark().part("service");
        let table = [
            (10, process(1, 10, Some("/run/web.1-g1:run1:service"))),
            (11, process(10, 10, None)),
            (12, process(1, 10, None)),
            (13, process(1, 13, Some("/run/web.1-g1:run1:service:probe"))),
            (14, process(13, 14, None)),
            (20, process(1, 20, Some("/run/web.1-g2:run1:service"))),
            (21, process(20, 20, None)),
        ];
        assert_eq!(found(&mut Processes::of_leader(mark, 10), &table), [10, 11, 12, 13, 14]);
    }

    #[test]
    fn a_process_in_the_control_group_is_a_member_whatever_it_carries() {
        let host = tempfile::tempdir().expect("a directory");
        let mark = Mark::of_run(Path::new("/run/web.1-g1"), 1, Some(host.path()));
        let group = host.path().join("web.1-g1-run1/service");
        fs::create_dir_all(&group).expect("a directory");
        fs::write(group.join("cgroup.procs"), "11\n").expect("a file");
        let table = [(11, process(1, 11, None)), (12, process(1, 12, None))];
        assert_eq!(found(&mut Processes::below(mark.part("service")), &table), [11]);
        assert_eq!(found(&mut Processes::below(mark.part("action-1")), &table), [0; 0]);
        assert_eq!(found(&mut Processes::below(mark), &table), [11]);
    }

    #[test]
    fn a_member_that_was_seen_stays_one_and_its_id_used_again_does_not() {
        let mut processes = Processes::of_leader(run_mark(), 10);
        assert_eq!(
            found(&mut processes, &[(10, process(1, 10, None)), (11, process(10, 11, None))]),
            [10, 11]
        );
        // The leader has ended, and its child has another parent and a group of its own.
        assert_eq!(found(&mut processes, &[(11, process(1, 11, None))]), [11]);
        let stranger = Process { start: 8, ..process(1, 10, None) };
        let again = Process { start: 8, ..process(1, 11, None) };
        assert_eq!(found(&mut processes, &[(10, stranger), (11, again)]), [0; 0], "both ids are used again");
    }

    #[test]
    fn what_has_ended_is_not_found_but_still_leads_to_its_children() {
        let ended = Process { runs: false, ..process(1, 10, None) };
        let mut processes = Processes::of_leader(run_mark(), 10);
        assert_eq!(found(&mut processes, &[(10, ended), (11, process(10, 11, None))]), [11]);
    }
}
