//! Finds hosts without the records of the application: owners in the providers' own records, and marked processes.
//!
//! An operator whose records of the application are damaged has only these to tell which hosts to release. No host that
//! has a record is created, changed or ended here. Read next: `census.rs`, which lists and releases the hosts of an
//! owner.

use super::descendants;
use super::layout::Layout;
use super::records;
use crate::provider::Owner;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rhizo_types::ProviderName;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The hosts of one provider below a state directory.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Traces {
    /// The owners that the orders of its hosts name.
    pub owners: BTreeSet<Owner>,
    /// For each host whose order cannot be read, a message that completes "failed to …".
    pub unreadable: Vec<String>,
}

/// Reads the orders of all hosts below a state directory, by provider. Ended hosts count until they are purged.
///
/// # Errors
/// When a directory exists and cannot be read.
pub fn traces_below(state: &Path) -> io::Result<BTreeMap<ProviderName, Traces>> {
    let mut found = BTreeMap::new();
    let entries = match fs::read_dir(state.join("providers")) {
        Ok(entries) => entries,
        Err(error) if records::is_absent(&error) => return Ok(found),
        Err(error) => return Err(error),
    };
    for entry in entries {
        // A name that is no text is not a provider's: `Settings` allows ASCII letters, digits, `-` and `_`.
        let Ok(name) = entry?.file_name().into_string() else { continue };
        let name = ProviderName(name);
        let mut traces = Traces::default();
        for files in Layout::new(state.to_owned(), &name).all_hosts()? {
            match files.order() {
                Ok(order) => traces.owners.extend(order.map(|order| order.tags.owner())),
                Err(error) => {
                    let directory = files.directory.display();
                    traces.unreadable.push(format!("read the order in `{directory}`: {error}"));
                }
            }
        }
        if traces != Traces::default() {
            found.insert(name, traces);
        }
    }
    Ok(found)
}

/// Returns the live processes of all hosts below a state directory, and kills those whose host has no directory.
///
/// A host whose directory was removed can neither be listed nor released. Its processes still carry its mark.
///
/// # Errors
/// When the processes of the machine cannot be listed.
pub fn live_below(state: &Path) -> io::Result<Vec<i32>> {
    // A mark has the path by which the provider was made, or the one behind links.
    let mut roots: Vec<PathBuf> = vec![state.join("providers")];
    roots.extend(fs::canonicalize(state).map(|state| state.join("providers")));
    roots.dedup();
    let mut live = Vec::new();
    for root in &roots {
        for (pid, host) in descendants::marked_below(root)? {
            if fs::symlink_metadata(&host).is_err_and(|error| records::is_absent(&error)) {
                // ESRCH: it ended meanwhile.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            live.push(pid);
        }
    }
    Ok(live)
}
