//! The answer to `logs`: lines of the logs on this node, and of the members that have logs of the same instance or
//! component, in the order of time.
//!
//! A log belongs to one generation of an instance on one node, and stays there. An asker that follows an instance names
//! the logs that it has read, so that it gets their last lines after the instance has moved. Read next:
//! `component::log_reader`.

use super::asked::Asker;
use super::refused;
use crate::admin::{Answer, Ask, AskRecord, LogLine, Logs};
use crate::component::log_reader::{self, LogPosition};
use crate::node::shell::Shell;
use rhizo_overlay::Class;
use rhizo_types::{InstanceId, NodeId};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::task::JoinSet;

/// Time in which a member has to answer, in milliseconds; it reads two files of at most a megabyte for each copy.
const ANSWER_MS_MAX: u64 = 1_500;
/// The most members that one question goes to.
const MEMBERS_MAX: usize = 256;
/// The most bytes of text that an asker may want: half of a frame, because the fields of each line come on top.
const BYTES_MAX: u64 = 512 * 1_024;
/// The most bytes that the lines of an answer take in JSON. An answer has to fit into one frame, in which the rest is
/// for the list of the members that did not answer.
const LINES_BYTES_MAX: usize = Class::Admin.body_bytes_max() / 4 * 3;

/// The logs that an asker wants.
#[derive(Clone)]
pub(super) struct Wanted {
    subject: String,
    bytes_max: u64,
    /// None if the asker has had no answer yet.
    after: Option<BTreeMap<String, LogPosition>>,
}

impl Wanted {
    /// The logs of an instance or component; see [`Ask::Logs`]. An asker gets no more than [`BYTES_MAX`].
    pub(super) fn new(subject: String, bytes_max: u64, after: Option<BTreeMap<String, LogPosition>>) -> Self {
        Self { subject, bytes_max: bytes_max.min(BYTES_MAX), after }
    }

    fn is_of(&self, instance: &InstanceId) -> bool {
        instance.component.as_str() == self.subject || instance.to_string() == self.subject
    }

    /// The names of the logs that the asker has read.
    fn read(&self) -> impl Iterator<Item = &String> {
        self.after.iter().flat_map(BTreeMap::keys)
    }

    fn ask(self) -> Ask {
        let Self { subject, bytes_max, after } = self;
        Ask::Logs { subject, bytes_max, after, everyone: false }
    }
}

/// The name of a log, which is also that of its directory until the `@`.
fn name_of(directory: &str, node: NodeId) -> String {
    format!("{directory}@{node}")
}

/// An instance of the target that an asker wants the logs of.
struct Placed {
    node: NodeId,
    /// The name of its directory on that node.
    directory: String,
}

impl Shell {
    /// The wanted instances of the target.
    fn placed(&self, wanted: &Wanted) -> Vec<Placed> {
        let instances = self.core.ledger().target.instances.iter();
        let instances = instances.filter(|(instance, _)| wanted.is_of(instance));
        let placed = |(instance, placed): (&InstanceId, &rhizo_types::target::Placed)| Placed {
            node: placed.node,
            directory: format!("{instance}-g{}", placed.generation),
        };
        instances.map(placed).collect()
    }

    /// Answers with the lines of this node and, if wanted, of the other members that have such logs.
    pub(super) fn answer_logs(&self, mut wanted: Wanted, everyone: bool, asker: Asker) {
        let placed = self.placed(&wanted);
        if !everyone {
            let local = self.local(wanted, &placed);
            tokio::spawn(async move {
                asker.answer(&Answer::Logs(Logs { lines: local.lines().await, missing: Vec::new() }));
            });
            return;
        }
        let mut nodes = self.nodes_with(&wanted, &placed);
        wanted.bytes_max = share(wanted.bytes_max, nodes.len());
        let local = self.local(wanted.clone(), &placed);
        let record = AskRecord::V1 { ask: wanted.ask(), passed_on: true };
        let Ok(body) = serde_json::to_vec(&record) else {
            return asker.answer(&refused("pass the question on"));
        };
        nodes.remove(&self.core.me());
        let mut nodes = nodes.into_iter();
        let mut asked = JoinSet::new();
        for node in nodes.by_ref().take(MEMBERS_MAX) {
            let answer = self.links.request(node, body.clone(), Duration::from_millis(ANSWER_MS_MAX));
            asked.spawn(async move {
                (node, answer.await.and_then(|body| serde_json::from_slice::<Answer>(&body).ok()))
            });
        }
        let unasked: Vec<NodeId> = nodes.collect();
        tokio::spawn(async move { asker.answer(&collect(local, asked, unasked).await) });
    }

    /// The members that have wanted logs, as far as this node can know.
    fn nodes_with(&self, wanted: &Wanted, placed: &[Placed]) -> BTreeSet<NodeId> {
        let mut nodes: BTreeSet<NodeId> = placed.iter().map(|placed| placed.node).collect();
        let read = wanted.read().filter_map(|log| Some(NodeId(log.rsplit_once("@n")?.1.parse().ok()?)));
        nodes.extend(read.filter(|node| self.core.ledger().members.contains_key(node)));
        if nodes.is_empty() {
            // The instance is not placed. A node that it was placed on may still have its log.
            nodes.extend(self.links.linked());
        }
        nodes
    }

    /// The wanted logs on this node.
    pub(super) fn own_logs(&self, wanted: Wanted) -> Local {
        let placed = self.placed(&wanted);
        self.local(wanted, &placed)
    }

    fn local(&self, wanted: Wanted, placed: &[Placed]) -> Local {
        let me = self.core.me();
        let here = placed.iter().filter(|placed| placed.node == me);
        Local {
            me,
            instances: self.admin.instances.clone(),
            placed: here.map(|placed| placed.directory.clone()).collect(),
            is_placed: !placed.is_empty(),
            wanted,
        }
    }
}

/// Returns the answer of this node and of the members that were asked, when all have answered or have had their time.
async fn collect(local: Local, mut asked: JoinSet<(NodeId, Option<Answer>)>, unasked: Vec<NodeId>) -> Answer {
    let (is_placed, is_following) = (local.is_placed, local.wanted.after.is_some());
    let subject = local.wanted.subject.clone();
    let mut missing = unasked;
    let mut lines = local.lines().await;
    while let Some(answered) = asked.join_next().await {
        match answered {
            Ok((_, Some(Answer::Logs(theirs)))) => lines.extend(theirs.lines),
            Ok((node, _)) => missing.push(node),
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }
    if lines.is_empty() && !is_placed && !is_following {
        let reason = format!("find the logs of `{subject}`: there is no such instance or component");
        return Answer::Refused { reason, hint: Some("`status` lists them".to_owned()) };
    }
    // The lines of one log are in order already. Between logs the order is that of the nodes' clocks.
    lines.sort_by_key(|line| line.at_unix_ms);
    missing.sort();
    Answer::Logs(Logs {
        lines: fitting(lines, is_following, LINES_BYTES_MAX),
        missing: missing.iter().map(NodeId::to_string).collect(),
    })
}

/// The wanted logs on this node, which are read outside the node's event loop.
pub(super) struct Local {
    me: NodeId,
    /// The directory of the instances.
    instances: PathBuf,
    /// The directories of the wanted instances that are placed here.
    placed: BTreeSet<String>,
    /// Whether wanted instances are placed anywhere.
    is_placed: bool,
    wanted: Wanted,
}

impl Local {
    /// Returns the lines of the logs on this node, on a thread for blocking calls.
    pub(super) async fn lines(self) -> Vec<LogLine> {
        match tokio::task::spawn_blocking(move || self.read()).await {
            Ok(lines) => lines,
            Err(error) => {
                tracing::error!(%error, "reader of instance logs ended early");
                Vec::new()
            }
        }
    }

    fn read(&self) -> Vec<LogLine> {
        let directories = self.directories();
        let share = share(self.wanted.bytes_max, directories.len());
        let share = usize::try_from(share).unwrap_or(usize::MAX);
        let mut lines = Vec::new();
        for directory in directories {
            let (path, log) = (self.instances.join(&directory), name_of(&directory, self.me));
            match lines_of(&path, &log, self.wanted.after.as_ref(), share) {
                Ok(found) => lines.extend(found.into_iter().map(|line| LogLine {
                    instance: instance_of(&directory).to_owned(),
                    log: log.clone(),
                    at_unix_ms: line.at_unix_ms,
                    nth: line.nth,
                    text: line.text,
                    is_open: line.is_open,
                })),
                Err(error) => tracing::warn!(%error, log, "instance log could not be read"),
            }
        }
        lines.sort_by_key(|line| line.at_unix_ms);
        fitting(lines, self.wanted.after.is_some(), LINES_BYTES_MAX)
    }

    /// The directories of the wanted logs on this node: of the instances that are placed here, and of those that the
    /// asker has read before. If the instance is placed nowhere: those of the newest generation on the disk.
    fn directories(&self) -> BTreeSet<String> {
        let mut directories = self.placed.clone();
        let here = format!("@{}", self.me);
        let names = on_disk(&self.instances);
        let read = self.wanted.read().filter_map(|log| log.strip_suffix(&here));
        directories.extend(read.filter(|name| names.contains(*name)).map(str::to_owned));
        if !self.is_placed && self.wanted.after.is_none() {
            directories.extend(newest_generations(&names, &self.wanted.subject));
        }
        directories
    }
}

/// Returns the share of one of this many logs or nodes. It is never zero, so that each log has a line in the first
/// answer, after which its reader continues.
fn share(bytes_max: u64, count: usize) -> u64 {
    (bytes_max / u64::try_from(count.max(1)).unwrap_or(u64::MAX)).max(1)
}

/// Returns the lines that fit into this many bytes of JSON, of lines in the order of time. Of more lines, a follower
/// gets the oldest, because it asks again and continues after the last line of each log; any other asker gets the
/// newest.
fn fitting(mut lines: Vec<LogLine>, is_following: bool, bytes_max: usize) -> Vec<LogLine> {
    if !is_following {
        lines.reverse();
    }
    let mut room = bytes_max;
    // A line of text and short names can always be encoded, and takes a small part of an answer.
    let bytes = |line: &LogLine| serde_json::to_vec(line).map_or(usize::MAX, |json| json.len() + ",".len());
    let fit = lines.iter().take_while(|line| match room.checked_sub(bytes(line)) {
        Some(left) => {
            room = left;
            true
        }
        None => false,
    });
    let count = fit.count();
    lines.truncate(count);
    if !is_following {
        lines.reverse();
    }
    lines
}

/// Reads one log: after the asker's position, or its last lines for an asker that has had no answer yet.
fn lines_of(
    directory: &Path,
    log: &str,
    after: Option<&BTreeMap<String, LogPosition>>,
    bytes_max: usize,
) -> std::io::Result<Vec<log_reader::Line>> {
    match after {
        // A log without a position began after the last answer.
        Some(read) => {
            log_reader::lines_after(directory, read.get(log).copied().unwrap_or_default(), bytes_max)
        }
        None => log_reader::last_lines(directory, bytes_max),
    }
}

/// The instance of a log's directory.
fn instance_of(directory: &str) -> &str {
    directory.rsplit_once("-g").map_or(directory, |(instance, _)| instance)
}

/// The names of the instances' directories.
fn on_disk(instances: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(instances).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// The directory of the highest generation of each instance of the subject.
fn newest_generations(names: &BTreeSet<String>, subject: &str) -> Vec<String> {
    let mut newest: BTreeMap<&str, (u64, &String)> = BTreeMap::new();
    for name in names {
        let Some((instance, generation)) = name.rsplit_once("-g") else { continue };
        let Some((component, _)) = instance.rsplit_once('.') else { continue };
        let Ok(generation) = generation.parse() else { continue };
        if instance == subject || component == subject {
            let last = newest.entry(instance).or_insert((generation, name));
            *last = (*last).max((generation, name));
        }
    }
    newest.into_values().map(|(_, name)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The logs of `web` on node 2, of which these directories are placed there.
    fn local(
        instances: &Path,
        placed: &[&str],
        bytes_max: u64,
        after: Option<&[(&str, LogPosition)]>,
    ) -> Local {
        let after = after.map(|read| read.iter().map(|(log, at)| ((*log).to_owned(), *at)).collect());
        Local {
            me: NodeId(2),
            instances: instances.to_owned(),
            placed: placed.iter().map(|directory| (*directory).to_owned()).collect(),
            is_placed: !placed.is_empty(),
            wanted: Wanted::new("web".to_owned(), bytes_max, after),
        }
    }

    /// Writes a log whose lines begin one millisecond after another.
    fn write(instances: &Path, directory: &str, lines: &[&str]) {
        let stamped = lines.iter().zip(1_u64..).map(|(line, at)| format!("{at:013} {line}\n"));
        std::fs::create_dir_all(instances.join(directory)).unwrap();
        std::fs::write(instances.join(directory).join("log"), stamped.collect::<String>()).unwrap();
    }

    fn texts(lines: &[LogLine]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn a_follower_reads_a_new_log_from_its_beginning_and_a_new_asker_its_end() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "web.0-g1", &["old", "older"]);
        write(dir.path(), "web.0-g2", &["a", "b", "c"]);
        // There is room for one line of each log.
        let (placed, bytes_max) = (["web.0-g1", "web.0-g2"], 300);
        let first = local(dir.path(), &placed, bytes_max, None).read();
        assert_eq!(texts(&first), ["older", "c"]);
        let read = [("web.0-g1@n2", LogPosition { at_unix_ms: 2, lines: 1 })];
        let next = local(dir.path(), &placed, bytes_max, Some(&read)).read();
        assert_eq!(texts(&next), ["a"]);
        // Nothing was printed before the first answer.
        assert_eq!(texts(&local(dir.path(), &placed[1..], bytes_max / 2, Some(&[])).read()), ["a"]);
    }

    #[test]
    fn lines_of_many_logs_fit_into_a_frame_and_their_readers_get_on() {
        let dir = tempfile::tempdir().unwrap();
        // Each copy has two lines of 8,000 control characters, which take 48,000 bytes in JSON.
        let long = "\u{1}".repeat(8_000);
        let names: Vec<String> = (0..40).map(|copy| format!("web.{copy}-g1")).collect();
        names.iter().for_each(|name| write(dir.path(), name, &[&long, &long]));
        let placed: Vec<&str> = names.iter().map(String::as_str).collect();
        let fits = |lines: &[LogLine]| {
            let answer = Answer::Logs(Logs { lines: lines.to_vec(), missing: Vec::new() });
            serde_json::to_vec(&answer).unwrap().len() <= Class::Admin.body_bytes_max()
        };
        assert!(fits(&local(dir.path(), &placed, u64::MAX, None).read()));
        let mut read: BTreeMap<String, LogPosition> = BTreeMap::new();
        let mut count = 0;
        loop {
            let after: Vec<(&str, LogPosition)> = read.iter().map(|(log, at)| (log.as_str(), *at)).collect();
            let lines = local(dir.path(), &placed, u64::MAX, Some(&after)).read();
            assert!(fits(&lines));
            if lines.is_empty() {
                break;
            }
            for line in lines {
                let position = LogPosition { at_unix_ms: line.at_unix_ms, lines: line.nth };
                assert!(read.insert(line.log, position).is_none_or(|last| last < position));
                count += 1;
            }
        }
        assert_eq!(count, 2 * names.len());
    }

    #[tokio::test]
    async fn members_that_are_too_many_to_be_asked_are_missing() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "web.0-g1", &["a"]);
        let local = local(dir.path(), &["web.0-g1"], 1_000, None);
        let Answer::Logs(logs) = collect(local, JoinSet::new(), vec![NodeId(300), NodeId(299)]).await else {
            panic!("no logs")
        };
        assert_eq!(
            (texts(&logs.lines), logs.missing),
            (vec!["a"], vec!["n299".to_owned(), "n300".to_owned()])
        );
    }

    #[test]
    fn the_newest_generation_of_each_copy_is_found_on_the_disk() {
        let names = ["web.0-g1", "web.0-g2", "web.0-g10", "web.1-g3", "a-web.0-g1", "web.0", "other"];
        let names = names.map(str::to_owned).into();
        assert_eq!(newest_generations(&names, "web"), ["web.0-g10", "web.1-g3"]);
        assert_eq!(newest_generations(&names, "web.1"), ["web.1-g3"]);
        assert!(newest_generations(&names, "db").is_empty());
    }
}
