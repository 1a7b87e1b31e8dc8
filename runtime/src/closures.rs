//! The closures of a config's components, found on the operator's machine.
//!
//! `plan` and `up` find and hash the files, so a changed file is a changed component, and a plan shows it before
//! anything is stored. After the consent `up` stores the files at node 0, or offers them to a member, before the spec
//! that names them is committed. Read next: `rhizo_artifacts::closure` for the search, `component::artifacts` for the nodes.

use rhizo_artifacts::closure::{self, ClosureError, Wanted};
use rhizo_artifacts::store::{Lease, Store};
use rhizo_config::Parsed;
use rhizo_types::ComponentName;
use rhizo_types::lifecycle::{Action, Content};
use rhizo_types::spec::{Closure, Component, Probe, Run, Spec};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The closures of the components that have one.
pub(crate) type Closures = BTreeMap<ComponentName, Closure>;

/// The closure of a component was not found.
#[derive(Debug, thiserror::Error)]
#[error("pack the files of component `{component}`")]
pub(crate) struct PackError {
    component: ComponentName,
    source: ClosureError,
}

/// Finds and hashes the files of all components; with `complete`, also programs of the system. With a store, stores and leases them too. Blocks on the disk.
///
/// # Errors
/// A pattern matches no file, or a file or library cannot be read.
pub(crate) fn find(
    parsed: &Parsed,
    folder: &str,
    complete: bool,
    into: Option<(&Store, &Lease)>,
) -> Result<Closures, PackError> {
    let mut closures = Closures::new();
    for (name, component) in &parsed.spec.components {
        let packing = parsed.packing.get(name).cloned().unwrap_or_default();
        let wanted = Wanted {
            folder: PathBuf::from(folder),
            programs: programs(component),
            files: templates(component),
            patterns: packing.patterns,
            complete: complete || packing.complete,
        };
        let found = closure::find(&wanted, into);
        let found = found.map_err(|source| PackError { component: name.clone(), source })?;
        if let Some(found) = found {
            let (tree, bytes) = (found.tree, found.manifest.bytes());
            closures.insert(name.clone(), Closure { tree, bytes, folder: folder.to_owned() });
        }
    }
    Ok(closures)
}

/// Puts the closures into the components of a spec. A component without one has only files of the system.
pub(crate) fn fill(spec: &mut Spec, closures: &Closures) {
    for (name, component) in &mut spec.components {
        if let Some(closure) = closures.get(name) {
            Arc::make_mut(component).closure = Some(closure.clone());
        }
    }
}

/// The programs that a component names and that exist. A missing one has a warning of its own, and fails when it is
/// run.
fn programs(component: &Component) -> Vec<String> {
    let actions: Vec<&Action> = actions(component).collect();
    let of_run = match &component.run {
        Run::Exec { argv } | Run::Script { argv } => argv.first(),
        Run::Embedded | Run::Nothing => None,
    };
    let of_probe = |probe: &'_ Probe| match probe {
        Probe::Exec { argv } => argv.first().cloned(),
        Probe::Http { .. } | Probe::Tcp { .. } => None,
    };
    let of_actions = actions.iter().filter_map(|action| match action {
        Action::Command { argv, .. } => argv.first().cloned(),
        Action::Wait { probe, .. } => of_probe(probe),
        _ => None,
    });
    let of_health = component.health.iter().filter_map(|health| of_probe(&health.probe));
    let all = of_run.cloned().into_iter().chain(of_actions).chain(of_health);
    // A path with a placeholder is known at run time only.
    let all = all.filter_map(|program| rhizo_config::fill(&program, &|_| None).ok());
    all.filter(|program| !program.contains('/') || Path::new(program).is_file()).collect()
}

fn templates(component: &Component) -> Vec<PathBuf> {
    let written = actions(component).filter_map(|action| match action {
        Action::Write { content: Content::Template(path), .. } => Some(PathBuf::from(path)),
        _ => None,
    });
    written.collect()
}

/// The actions of a component's declared life-cycle; none when it declares no life-cycle.
pub(crate) fn actions(component: &Component) -> impl Iterator<Item = &Action> {
    let cycle = component.lifecycle.iter();
    cycle.flat_map(|cycle| {
        let ways = cycle.transitions.values().map(|way| &way.step);
        ways.chain(&cycle.reset).chain(&cycle.notify).map(|step| &step.action)
    })
}
