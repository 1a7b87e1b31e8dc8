//! Options of the benches of the solver: `--name value`, `-n value`, and `--json`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

/// Options as given, without the leading dashes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    given: BTreeMap<String, String>,
    /// Whether figures are printed as JSON.
    pub(crate) json: bool,
}

impl Arguments {
    /// Reads pairs; refuses names that are not in `known`.
    pub(crate) fn parse(arguments: &[String], known: &[&str]) -> Result<Self, String> {
        let mut parsed = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let name = argument.trim_start_matches('-');
            if name == "json" {
                parsed.json = true;
                continue;
            }
            if !argument.starts_with('-') || !known.contains(&name) {
                return Err(format!("understand {argument}: the options are {known:?} and --json"));
            }
            let value = rest.next().ok_or_else(|| format!("understand {argument}: it needs a value"))?;
            parsed.given.insert(name.to_owned(), value.clone());
        }
        Ok(parsed)
    }

    /// A value, or the default.
    pub(crate) fn value<T: FromStr>(&self, name: &str, default: T) -> Result<T, String>
    where
        T::Err: std::fmt::Display,
    {
        let Some(text) = self.given.get(name) else { return Ok(default) };
        text.parse().map_err(|error| format!("understand {name} {text}: {error}"))
    }

    /// A text, if it was given.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(String::as_str)
    }

    /// A path that has to be given.
    pub(crate) fn path(&self, name: &str) -> Result<PathBuf, String> {
        self.given.get(name).map(PathBuf::from).ok_or_else(|| format!("go on without {name} FILE"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Arguments::parse(&words, &["seed", "latency", "t"])
    }

    #[test]
    fn pairs_and_the_json_flag_are_read() {
        let parsed = parse("--seed 7 --json -t 3").unwrap();
        assert!(parsed.json);
        assert_eq!((parsed.value("seed", 0u64), parsed.value("t", 0u64)), (Ok(7), Ok(3)));
        assert_eq!(parsed.value("latency", 5u64), Ok(5));
    }

    #[test]
    fn what_is_unknown_or_lacks_a_value_is_refused() {
        assert!(parse("--speed 7").is_err());
        assert!(parse("--seed").is_err());
        assert!(parse("seed 7").is_err());
        assert!(parse("--seed x").is_ok_and(|parsed| parsed.value("seed", 0u64).is_err()));
    }
}
