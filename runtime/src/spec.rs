//! The spec of an application as an embedding program names it: a file, a text, or parts that Rust code puts together.
//!
//! All three are read by the same parser, so they have the same language, the same checks and the same messages; a spec
//! from Rust code is written as TOML first. Read next: `docs/config.md` for the language, [`crate::Rhizo`] for its use.

use crate::config::{self, Config, ConfigError};
use rhizo_actuators::Kinds;
use rhizo_config::ConfigFile;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// The wanted application: its components, rules, utilities and providers.
///
/// ```
/// use rhizo::{Component, Spec};
/// use serde_json::json;
///
/// let spec = Spec::new("shop")
///     .component("db", Component::embedded().export("sql"))
///     .component(
///         "web",
///         Component::exec("./web --listen {export.http.addr}")
///             .replicas(2, 6)
///             .needs("cpu", 0.5)
///             .needs("memory", "256MiB")
///             .export_at("http", 8080)
///             .import("db", "db.sql")
///             .env("DATABASE", "sql://{import.db.addr}"),
///     )
///     .require("regions", json!({ "group": "web", "spread": { "by": "node.region", "max": 1 } }))
///     .utility("price", json!({ "group": "web", "of": "cost_per_hour(placement)", "best": 0, "worst": 1 }))
///     .provider("lab", "process", json!({ "offers": "data/offers.csv" }));
/// assert!(spec.to_toml()?.contains("[components.web]"));
/// # Ok::<(), rhizo::SpecError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a spec does nothing until an application is built with it"]
pub struct Spec(Source);

#[derive(Clone, Debug)]
enum Source {
    File(PathBuf),
    Text { text: String, base: PathBuf },
    Parts { parts: Map<String, Value>, base: PathBuf },
}

/// The text of a spec could not be had. Completes "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The file could not be read.
    #[error("read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A part has no form in TOML, such as an array with an absent value.
    #[error("write the spec as TOML: {reason}")]
    Write {
        /// The reason in words.
        reason: String,
    },
}

/// The name under which messages show a spec that is no file.
const IN_PROGRAM: &str = "the program's spec";

impl Spec {
    /// The spec in a file, which is read when it is needed.
    pub fn from_file(path: impl AsRef<Path>) -> Self {
        Self(Source::File(path.as_ref().to_owned()))
    }

    /// A spec as TOML text. Relative paths in it begin at the working directory, or at [`Spec::base`].
    pub fn from_toml(text: impl Into<String>) -> Self {
        Self(Source::Text { text: text.into(), base: PathBuf::from(".") })
    }

    /// A spec of an application without components.
    pub fn new(app: &str) -> Self {
        let mut parts = Map::new();
        parts.insert("rhizo".to_owned(), json!(1));
        parts.insert("app".to_owned(), json!({ "name": app }));
        Self(Source::Parts { parts, base: PathBuf::from(".") })
    }

    /// Sets the directory at which relative paths begin. A file's own directory cannot be changed.
    pub fn base(mut self, directory: impl AsRef<Path>) -> Self {
        match &mut self.0 {
            Source::File(_) => {}
            Source::Text { base, .. } | Source::Parts { base, .. } => *base = directory.as_ref().to_owned(),
        }
        self
    }

    /// Adds a component, or replaces the one of that name.
    pub fn component(self, name: &str, component: Component) -> Self {
        self.set(&format!("components.{name}"), component.0)
    }

    /// Adds a rule; the table has the fields of `[[require]]` without its name.
    pub fn require(self, name: &str, rule: impl Serialize) -> Self {
        self.push("require", name, rule)
    }

    /// Adds a utility; the table has the fields of `[[utility]]` without its name.
    pub fn utility(self, name: &str, utility: impl Serialize) -> Self {
        self.push("utility", name, utility)
    }

    /// Adds a provider of hosts; the table has the fields of `[providers.NAME]` without `kind`.
    pub fn provider(self, name: &str, kind: &str, settings: impl Serialize) -> Self {
        let mut table = object(settings);
        table.insert("kind".to_owned(), json!(kind));
        self.set(&format!("providers.{name}"), table)
    }

    /// Sets any value of the config, for example `set("optimise.every", "5s")`. Missing tables on the path are made.
    ///
    /// A spec that is a file or a text is not changed: it is written already.
    pub fn set(mut self, path: &str, value: impl Serialize) -> Self {
        if let Source::Parts { parts, .. } = &mut self.0 {
            let value = serde_json::to_value(value).unwrap_or(Value::Null);
            put(parts, path, value);
        }
        self
    }

    fn push(mut self, array: &str, name: &str, table: impl Serialize) -> Self {
        if let Source::Parts { parts, .. } = &mut self.0 {
            let mut table = object(table);
            table.insert("name".to_owned(), json!(name));
            let entries = parts.entry(array).or_insert_with(|| json!([]));
            if let Value::Array(entries) = entries {
                entries.push(Value::Object(table));
            }
        }
        self
    }

    /// The spec as TOML text. A file is read.
    ///
    /// # Errors
    /// When the file cannot be read, or a part has no form in TOML.
    pub fn to_toml(&self) -> Result<String, SpecError> {
        Ok(self.text()?.0)
    }

    /// The text, and the directory at which its relative paths begin.
    fn text(&self) -> Result<(String, PathBuf), SpecError> {
        match &self.0 {
            Source::File(path) => {
                let text = config::read_text(path)
                    .map_err(|source| SpecError::Read { path: path.clone(), source })?;
                Ok((text, path.parent().map(Path::to_owned).unwrap_or_default()))
            }
            Source::Text { text, base } => Ok((text.clone(), base.clone())),
            Source::Parts { parts, base } => {
                let text = rhizo_config::to_toml(parts).map_err(|reason| SpecError::Write { reason })?;
                Ok((text, base.clone()))
            }
        }
    }

    /// Reads and checks it.
    pub(crate) fn load(&self, kinds: &Kinds) -> Result<Config, ConfigError> {
        if let Source::File(path) = &self.0 {
            return config::load(path, kinds);
        }
        let unreadable = |error: SpecError| ConfigError::Unreadable(crate::error::chain(&error));
        let (text, base) = self.text().map_err(unreadable)?;
        let base = std::path::absolute(&base)
            .and_then(|base| base.canonicalize())
            .map_err(|error| ConfigError::Unreadable(format!("find `{}`: {error}", base.display())))?;
        let identity = base.join(IN_PROGRAM);
        config::check(IN_PROGRAM.to_owned(), ConfigFile { text, folder: base, identity }, kinds)
    }

    /// The name in messages.
    pub(crate) fn name(&self) -> String {
        match &self.0 {
            Source::File(path) => path.display().to_string(),
            Source::Text { .. } | Source::Parts { .. } => IN_PROGRAM.to_owned(),
        }
    }
}

/// A component of a [`Spec`] that Rust code puts together.
#[derive(Clone, Debug)]
#[must_use = "a component does nothing until it is added to a spec"]
pub struct Component(Map<String, Value>);

impl Component {
    /// A component that a closure of this program runs; see [`crate::Rhizo::component`].
    pub fn embedded() -> Self {
        Self(Map::new())
    }

    /// A component that a program runs. The command is split into words as a shell does, but no shell runs.
    pub fn exec(command: &str) -> Self {
        Self::embedded().set("exec", command)
    }

    /// Sets the allowed numbers of copies; the optimiser decides within the range.
    pub fn replicas(self, min: u32, max: u32) -> Self {
        self.set("replicas", json!({ "min": min, "max": max }))
    }

    /// Sets the amount of a resource that one copy needs: a number, or a text such as `256MiB`.
    pub fn needs(self, resource: &str, amount: impl Serialize) -> Self {
        self.set(&format!("needs.{resource}"), amount)
    }

    /// Adds an export at any free port.
    pub fn export(self, name: &str) -> Self {
        self.set(&format!("exports.{name}"), json!({}))
    }

    /// Adds an export at a fixed port.
    pub fn export_at(self, name: &str, port: u16) -> Self {
        self.set(&format!("exports.{name}"), json!({ "port": port }))
    }

    /// Adds an import of another component's export, written as `component.export`.
    pub fn import(self, name: &str, from: &str) -> Self {
        self.set(&format!("imports.{name}"), json!({ "from": from }))
    }

    /// Sets an environment variable of the program; the value may contain placeholders.
    pub fn env(self, name: &str, value: &str) -> Self {
        self.set(&format!("env.{name}"), value)
    }

    /// Sets the address of the health check, for example `http:/healthz` for a path at the export `http`.
    pub fn health_http(self, address: &str) -> Self {
        self.set("health.http", address)
    }

    /// Sets any field of `[components.NAME]`, for example `set("stop.grace", "30s")`. Missing tables on the path are
    /// made.
    pub fn set(mut self, path: &str, value: impl Serialize) -> Self {
        put(&mut self.0, path, serde_json::to_value(value).unwrap_or(Value::Null));
        self
    }
}

/// The table of a serializable value. Any other value becomes a table without fields, which the config's checks refuse.
fn object(value: impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(table)) => table,
        _ => Map::new(),
    }
}

/// Sets the value at a path of names with dots. A value on the path that is no table is replaced by one.
fn put(table: &mut Map<String, Value>, path: &str, value: Value) {
    let Some((first, rest)) = path.split_once('.') else {
        table.insert(path.to_owned(), value);
        return;
    };
    let inner = table.entry(first).or_insert_with(|| json!({}));
    if !inner.is_object() {
        *inner = json!({});
    }
    if let Value::Object(inner) = inner {
        put(inner, rest, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_of_rust_code_has_the_language_and_the_checks_of_a_file() {
        let web = Component::exec("sleep 1").replicas(1, 2).needs("cpu", 0.5).set("stop.grace", "3s");
        let Ok(config) = Spec::new("shop").component("web", web).load(&Kinds::default()) else {
            panic!("it is refused")
        };
        let component = &config.parsed.spec.components[&"web".into()];
        assert_eq!((component.replicas.max, component.stop.grace_ms), (2, 3_000));
        let wrong = Spec::new("shop").component("web", Component::exec("sleep 1").set("replicsa", 2));
        let Err(ConfigError::Findings(flawed)) = wrong.load(&Kinds::default()) else {
            panic!("it is accepted")
        };
        let finding = &flawed[0].findings[0];
        assert!(finding.message.contains("replicsa"), "{finding:?}");
        assert_eq!(finding.file, IN_PROGRAM);
    }

    #[test]
    fn rules_and_utilities_keep_their_order_and_names() {
        let table = json!({ "each": "web", "expr": "node.cpu > 0" });
        let spec = Spec::new("shop").require("second", &table).require("first", table);
        let text = spec.to_toml().unwrap();
        let place = |name: &str| text.find(&format!("name = \"{name}\"")).unwrap();
        assert!(place("second") < place("first"), "{text}");
    }
}
