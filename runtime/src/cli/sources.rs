//! The providers and owners whose hosts `down` releases, collected from every record of what was created.
//!
//! The records are the home's own, and those that the providers of this machine keep below the home. A damaged record
//! costs only its own content. No config file and no catalogue is read: a provider made here lists and releases, and
//! its data files may be gone. Read next: [`super::teardown`], which releases the hosts.

use super::Session;
use super::beginning::Beginning;
use super::exit::{Exit, Failure};
use crate::app_dir::{Deployment, KnownProvider};
use crate::error::AppDirError;
use rhizo_actuators::process::{Program, traces_below};
use rhizo_actuators::{Kinds, Owner, Provider, Surroundings, Table};
use rhizo_types::ProviderName;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One table of one provider.
pub(super) struct Source {
    pub(super) name: ProviderName,
    /// The provider, or the reason why none can be made of the table.
    pub(super) provider: Result<Arc<dyn Provider>, String>,
}

/// The providers that may have hosts of a home's application, and the owners that these hosts may have.
pub(super) struct Sources {
    pub(super) sources: Vec<Source>,
    pub(super) owners: BTreeSet<Owner>,
    /// Why the record of all providers cannot be used. A provider that was removed from the config may be missing here.
    pub(super) unknown_providers: Option<String>,
    /// For each other record that cannot be used, a message that completes "failed to …".
    pub(super) damaged: Vec<String>,
}

impl Sources {
    /// Reads the records of a home. `deployment` is its application, if that record can be used.
    pub(super) fn of(session: &Session, deployment: Option<&Deployment>) -> Result<Self, Failure> {
        let home = &session.home;
        let program = Program::current()
            .map_err(|error| Failure::new(Exit::Failed, format!("find the executable: {error}")))?;
        let mut damaged = Vec::new();
        let recorded = home.providers().map_err(|error| crate::error::chain(&error));
        let unknown_providers = recorded.as_ref().err().cloned();
        let mut known = recorded.unwrap_or_default();
        let beginning: Option<Beginning> = noted(&mut damaged, home.beginning()).flatten();
        // The record of an earlier version of this program lacks the tables.
        let spec = beginning.as_ref().and_then(|beginning| crate::config::parse(&beginning.config).ok());
        known.extend(spec.iter().flat_map(KnownProvider::all_of));
        let deployments = deployment.into_iter().chain(beginning.as_ref().map(|each| &each.deployment));
        let mut owners: BTreeSet<Owner> = deployments.flat_map(Deployment::owners).collect();
        match traces_below(home.path()) {
            Ok(found) => {
                for (name, traces) in found {
                    owners.extend(traces.owners);
                    damaged.extend(traces.unreadable);
                    if !known.iter().any(|each| each.name == name && each.kind == "process") {
                        known.push(without_table(name));
                    }
                }
            }
            Err(error) => {
                damaged.push(format!("read the hosts below `{}`: {error}", home.path().display()));
            }
        }
        let mut sources: Vec<KnownProvider> = Vec::new();
        for table in known {
            if !sources.iter().any(|each| each.is_table_of(&table)) {
                sources.push(table);
            }
        }
        let made = |known: KnownProvider| Source {
            provider: releaser(&known, home.path(), &program, session.embedding.registry.kinds()),
            name: known.name,
        };
        Ok(Self { sources: sources.into_iter().map(made).collect(), owners, unknown_providers, damaged })
    }

    /// Whether any record or process tells of an application.
    pub(super) fn has_traces(&self) -> bool {
        !self.owners.is_empty() || !self.damaged.is_empty()
    }

    /// The providers that can be called, with their names.
    pub(super) fn callable(&self) -> impl Iterator<Item = (&ProviderName, &Arc<dyn Provider>)> {
        self.sources.iter().filter_map(|source| Some((&source.name, source.provider.as_ref().ok()?)))
    }
}

/// A provider of this machine whose table is lost. Its hosts are found in its own directory.
fn without_table(name: ProviderName) -> KnownProvider {
    let (kind, settings) = ("process".to_owned(), "{}".to_owned());
    KnownProvider { name, kind, settings, unnamed_since_unix_ms: None }
}

/// The value of a record. A record that cannot be read is added to `damaged`.
fn noted<T>(damaged: &mut Vec<String>, read: Result<T, AppDirError>) -> Option<T> {
    read.map_err(|error| damaged.push(crate::error::chain(&error))).ok()
}

/// Makes a provider that lists and releases; on failure the reason, which completes "failed to …".
pub(super) fn releaser(
    known: &KnownProvider,
    state: &Path,
    program: &Program,
    kinds: &Kinds,
) -> Result<Arc<dyn Provider>, String> {
    // The config's reader has made every path of the settings absolute.
    let surroundings =
        Surroundings { base_dir: PathBuf::from("/"), state_dir: state.to_owned(), program: program.clone() };
    let settings = serde_json::from_str(&known.settings).unwrap_or(serde_json::Value::Null);
    let table = Table { name: &known.name, settings: &settings, surroundings: &surroundings };
    let made = kinds.releaser(&known.kind, table);
    made.map(Arc::from).map_err(|error| crate::error::chain(&error))
}
