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
use rhizo_types::{InstanceId, NodeId};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;
use tokio::task::JoinSet;

/// Time in which a member has to answer, in milliseconds; it reads two files of at most a megabyte for each copy.
const ANSWER_MS_MAX: u64 = 1_500;
/// The most members that one question goes to.
const MEMBERS_MAX: usize = 256;
/// The longest answer in bytes: it has to fit into one frame.
const BYTES_MAX: u64 = 512 * 1_024;

/// The logs that an asker wants.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) subject: String,
    pub(super) bytes_max: u64,
    pub(super) after: BTreeMap<String, LogPosition>,
}

impl Wanted {
    fn is_of(&self, instance: &InstanceId) -> bool {
        instance.component.as_str() == self.subject || instance.to_string() == self.subject
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

impl Shell {
    /// Answers with the lines of this node and, if wanted, of the other members that have such logs.
    pub(super) fn answer_logs(&self, wanted: Wanted, everyone: bool, asker: Asker) {
        let wanted = Wanted { bytes_max: wanted.bytes_max.min(BYTES_MAX), ..wanted };
        let instances = self.core.ledger().target.instances.iter();
        let mut nodes: BTreeSet<NodeId> =
            instances.filter(|(instance, _)| wanted.is_of(instance)).map(|(_, placed)| placed.node).collect();
        let read = wanted.after.keys().filter_map(|log| Some(NodeId(log.rsplit_once("@n")?.1.parse().ok()?)));
        nodes.extend(read.filter(|node| self.core.ledger().members.contains_key(node)));
        if nodes.is_empty() {
            // The instance is not placed. A node that it was placed on may still have its log.
            nodes.extend(self.links.linked().take(MEMBERS_MAX));
        }
        if !everyone {
            return asker.answer(&Answer::Logs(Logs { lines: self.own_lines(&wanted), missing: Vec::new() }));
        }
        let share = wanted.bytes_max / u64::try_from(nodes.len().max(1)).unwrap_or(1);
        let wanted = Wanted { bytes_max: share, ..wanted };
        let lines = self.own_lines(&wanted);
        let is_placed = self.core.ledger().target.instances.keys().any(|instance| wanted.is_of(instance));
        let subject = wanted.subject.clone();
        let is_following = !wanted.after.is_empty();
        let Ok(body) = serde_json::to_vec(&AskRecord::V1 { ask: wanted.ask(), passed_on: true }) else {
            return asker.answer(&refused("pass the question on"));
        };
        nodes.remove(&self.core.me());
        let mut asked = JoinSet::new();
        for node in nodes.into_iter().take(MEMBERS_MAX) {
            let answer = self.links.request(node, body.clone(), Duration::from_millis(ANSWER_MS_MAX));
            asked.spawn(async move {
                (node, answer.await.and_then(|body| serde_json::from_slice::<Answer>(&body).ok()))
            });
        }
        tokio::spawn(async move {
            let mut logs = Logs { lines, missing: Vec::new() };
            for (node, answer) in asked.join_all().await {
                match answer {
                    Some(Answer::Logs(theirs)) => logs.lines.extend(theirs.lines),
                    _ => logs.missing.push(node.to_string()),
                }
            }
            if logs.lines.is_empty() && !is_placed && !is_following {
                let reason = format!("find the logs of `{subject}`: there is no such instance or component");
                return asker
                    .answer(&Answer::Refused { reason, hint: Some("`status` lists them".to_owned()) });
            }
            // The lines of one log are in order already. Between logs the order is that of the nodes' clocks.
            logs.lines.sort_by_key(|line| line.at_unix_ms);
            logs.missing.sort();
            asker.answer(&Answer::Logs(logs));
        });
    }

    /// The answer of this node alone, after another one did not answer.
    pub(super) fn own_logs(&self, wanted: &Wanted, missing: NodeId) -> Answer {
        Answer::Logs(Logs { lines: self.own_lines(wanted), missing: vec![missing.to_string()] })
    }

    /// The lines of the logs on this node.
    fn own_lines(&self, wanted: &Wanted) -> Vec<LogLine> {
        let me = self.core.me();
        let directories = self.directories(wanted);
        let share = usize::try_from(wanted.bytes_max).unwrap_or(usize::MAX) / directories.len().max(1);
        let mut lines = Vec::new();
        for directory in directories {
            let (path, log) = (self.admin.instances.join(&directory), name_of(&directory, me));
            match lines_of(&path, wanted.after.get(&log), share) {
                Ok(found) => lines.extend(found.into_iter().map(|line| LogLine {
                    instance: instance_of(&directory).to_owned(),
                    log: log.clone(),
                    at_unix_ms: line.at_unix_ms,
                    text: line.text,
                    is_open: line.is_open,
                })),
                Err(error) => tracing::warn!(%error, log, "instance log could not be read"),
            }
        }
        lines
    }

    /// The directories of the wanted logs on this node: of the instances that are placed here, and of those that the
    /// asker has read before. If the instance is placed nowhere: those of the newest generation on the disk.
    fn directories(&self, wanted: &Wanted) -> BTreeSet<String> {
        let (me, target) = (self.core.me(), &self.core.ledger().target);
        let placed = target.instances.iter().filter(|(instance, _)| wanted.is_of(instance));
        let mut is_placed = false;
        let mut directories = BTreeSet::new();
        for (instance, placed) in placed {
            is_placed = true;
            if placed.node == me {
                directories.insert(format!("{instance}-g{}", placed.generation));
            }
        }
        let here = format!("@{me}");
        let names = on_disk(&self.admin.instances);
        let read = wanted.after.keys().filter_map(|log| log.strip_suffix(&here));
        directories.extend(read.filter(|name| names.contains(*name)).map(str::to_owned));
        if !is_placed && wanted.after.is_empty() {
            directories.extend(newest_generations(&names, &wanted.subject));
        }
        directories
    }
}

fn lines_of(
    directory: &Path,
    after: Option<&LogPosition>,
    bytes_max: usize,
) -> std::io::Result<Vec<log_reader::Line>> {
    match after {
        Some(position) => log_reader::lines_after(directory, *position, bytes_max),
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

    #[test]
    fn the_newest_generation_of_each_copy_is_found_on_the_disk() {
        let names = ["web.0-g1", "web.0-g2", "web.0-g10", "web.1-g3", "a-web.0-g1", "web.0", "other"];
        let names = names.map(str::to_owned).into();
        assert_eq!(newest_generations(&names, "web"), ["web.0-g10", "web.1-g3"]);
        assert_eq!(newest_generations(&names, "web.1"), ["web.1-g3"]);
        assert!(newest_generations(&names, "db").is_empty());
    }
}
