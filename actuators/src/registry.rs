//! The kinds of providers, and the construction of one from its table in the configuration.
//!
//! The kinds of this crate are built in. A program that embeds rhizo may add its own, each with a factory. Read next:
//! [`crate::provider`] for the contract of a provider.

use crate::error::{FactoryError, ProviderConfigError};
use crate::process::ProcessProvider;
use crate::provider::Provider;
use crate::surroundings::Surroundings;
use rhizo_types::ProviderName;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The input of a factory: one table of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    /// The provider's name in the configuration.
    pub name: &'a ProviderName,
    /// Its settings as JSON, without `kind` and `regions`. Paths are absolute already.
    pub settings: &'a serde_json::Value,
    /// The parts of the machine that it may use.
    pub surroundings: &'a Surroundings,
}

type Factory = Arc<dyn Fn(Table<'_>) -> Result<Box<dyn Provider>, FactoryError> + Send + Sync>;

/// The kinds of providers that a program knows. Clones share the factories.
#[derive(Clone, Default)]
pub struct Kinds {
    added: BTreeMap<String, Factory>,
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// The kind that runs hosts as processes of this machine.
const PROCESS: &str = "process";

impl Kinds {
    /// Adds a kind. A second factory of the same kind replaces the first; a built-in kind cannot be replaced.
    pub fn add(
        &mut self,
        kind: &str,
        factory: impl Fn(Table<'_>) -> Result<Box<dyn Provider>, FactoryError> + Send + Sync + 'static,
    ) {
        self.added.insert(kind.to_owned(), Arc::new(factory));
    }

    /// The names of all kinds, built-in ones first.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        [PROCESS].into_iter().chain(self.added.keys().map(String::as_str))
    }

    /// Makes a provider from its table. Nothing is created or started by this; the data files are checked.
    ///
    /// # Errors
    /// When the kind is not known, or the table or a file named in it cannot be used.
    pub fn provider(&self, kind: &str, table: Table<'_>) -> Result<Box<dyn Provider>, ProviderConfigError> {
        let Table { name, settings, surroundings } = table;
        match kind {
            PROCESS => Ok(Box::new(ProcessProvider::new(name.clone(), settings, surroundings)?)),
            _ => self.added(kind, table),
        }
    }

    /// Makes a provider that can list and release hosts although its table or its data files cannot be used any more.
    ///
    /// No file is read before a call needs it, and the calls that list, release and purge need none. A provider whose
    /// table cannot be used refuses orders and has no offers. The factory of an added kind is the one that
    /// [`Kinds::provider`] calls, so it should fail only for a table without the settings that a release needs.
    ///
    /// # Errors
    /// When the kind is not known, or no provider can have this name.
    pub fn releaser(&self, kind: &str, table: Table<'_>) -> Result<Box<dyn Provider>, ProviderConfigError> {
        let Table { name, settings, surroundings } = table;
        match kind {
            PROCESS => Ok(Box::new(ProcessProvider::for_release(name.clone(), settings, surroundings)?)),
            _ => self.added(kind, table),
        }
    }

    fn added(&self, kind: &str, table: Table<'_>) -> Result<Box<dyn Provider>, ProviderConfigError> {
        let provider = table.name.clone();
        let Some(factory) = self.added.get(kind) else {
            let kinds = self.names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            return Err(ProviderConfigError::Kind { provider, kind: kind.to_owned(), kinds });
        };
        factory(table).map_err(|source| ProviderConfigError::Factory {
            provider,
            kind: kind.to_owned(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_added_kind_is_made_by_its_factory_and_a_built_in_one_is_not_replaced() {
        let mut kinds = Kinds::default();
        for kind in ["lab", PROCESS] {
            kinds.add(kind, |table| Err(format!("{} has no {}", table.name, table.settings["url"]).into()));
        }
        let surroundings = Surroundings {
            base_dir: "/".into(),
            state_dir: "/none".into(),
            program: crate::surroundings::Program::current().unwrap(),
        };
        let (name, settings) = ("x".into(), serde_json::json!({ "url": 5 }));
        let table = Table { name: &name, settings: &settings, surroundings: &surroundings };
        let refused = |kind: &str| {
            let error = kinds.provider(kind, table).err().unwrap();
            let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            format!("{error}: {source}")
        };
        assert!(refused("lab").ends_with("x has no 5"), "{}", refused("lab"));
        assert!(refused(PROCESS).contains("url"), "its own table is checked: {}", refused(PROCESS));
        assert!(refused("lba").contains("kinds are `process`, `lab`"), "{}", refused("lba"));
    }
}
