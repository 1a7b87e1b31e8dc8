//! The options that the benches of whole applications share: the program, its configuration, and the number of runs.
//!
//! `--app PROGRAM --config FILE` measures an application of your own. Without them: five idle workers on undelayed
//! loopback, run by the stock `rhizo` that lies beside this program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::application::Application;

/// Five workers are five hosts, enough for five voters beside the founder.
const CREW: &str = "\
rhizo = 1
[app]
name = \"crew\"
version = \"1\"
[components.worker]
exec = \"sleep 100000\"
replicas = 5
[optimise]
settle = \"1s\"
";

/// Options as given.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    given: BTreeMap<String, String>,
}

impl Options {
    /// Reads `--name value` pairs; `--json` has no value and is accepted because the output always is JSON.
    pub(crate) fn parse(arguments: &[String], known: &[&str]) -> Result<Self, String> {
        let mut given = BTreeMap::new();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let name = argument.strip_prefix("--").unwrap_or_default();
            if name == "json" {
                continue;
            }
            if !known.contains(&name) {
                return Err(format!("understand {argument}: the options are {known:?} and --json"));
            }
            let value = rest.next().ok_or_else(|| format!("understand {argument}: it needs a value"))?;
            given.insert(name.to_owned(), value.clone());
        }
        Ok(Self { given })
    }

    /// A text, if it was given.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(String::as_str)
    }

    /// A whole number, or the default.
    pub(crate) fn number(&self, name: &str, default: u64) -> Result<u64, String> {
        let Some(text) = self.given.get(name) else { return Ok(default) };
        text.parse().map_err(|error| format!("understand --{name} {text}: {error}"))
    }

    /// A fresh directory with the application of the options.
    pub(crate) fn application(&self) -> Result<Application, String> {
        let program = self.given.get("app").map(PathBuf::from).map_or_else(|| beside("rhizo"), Ok)?;
        let application = Application::prepare(&program)?;
        match self.given.get("config") {
            Some(config) => application.with_config(Path::new(config)),
            None => application.write("rhizo.toml", CREW).map(|()| application),
        }
    }
}

/// A program that was built together with this one.
fn beside(name: &str) -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| format!("find this program: {error}"))?;
    Ok(own.with_file_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::parse(&words, &["kills", "app"])
    }

    #[test]
    fn options_are_read_and_unknown_ones_refused() {
        assert_eq!(parse("--json --kills 7").unwrap().number("kills", 50), Ok(7));
        assert_eq!(parse("").unwrap().number("kills", 50), Ok(50));
        assert!(parse("--kils 7").is_err());
        assert!(parse("--kills").is_err());
        assert!(parse("--kills x").unwrap().number("kills", 50).is_err());
    }
}
