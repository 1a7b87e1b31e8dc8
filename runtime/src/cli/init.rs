//! `init`: writes a config to begin with.
//!
//! The starter config has one component that runs everywhere, and the other tables as comments. It checks and deploys
//! without a change. Nothing else is written, and no file is replaced.

use super::Session;
use super::exit::{Exit, Failure};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

/// The starter config; `NAME` stands for the name of the application.
const STARTER: &str = include_str!("starter.toml");

/// Longest name of an application that is taken from a folder.
const NAME_LENGTH_MAX: usize = 32;

pub(super) fn init(session: &Session, config: &Path) -> Result<Exit, Failure> {
    let shown = config.display();
    let failed = |error: std::io::Error| {
        let failure = Failure::new(Exit::BadConfig, format!("write `{shown}`: {error}"));
        match error.kind() {
            ErrorKind::AlreadyExists => failure.hint("name another file, or remove this one"),
            ErrorKind::NotFound => failure.hint("make the folder first"),
            _ => failure,
        }
    };
    let text = starter(config);
    let mut file = OpenOptions::new().write(true).create_new(true).open(config).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    session.print(&serde_json::json!({ "config": config }), || {
        format!("{shown} is written; next: `check {shown}`, `plan {shown}`, `up {shown}`\n")
    });
    Ok(Exit::Done)
}

/// The starter config for an application that is named after the folder of its file.
fn starter(config: &Path) -> String {
    let absolute = std::path::absolute(config).unwrap_or_default();
    let folder = absolute.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    STARTER.replace("\"NAME\"", &format!("\"{}\"", name_of(&folder)))
}

/// The name of an application after a folder: its letters, digits and hyphens, from the first letter on.
fn name_of(folder: &str) -> String {
    let lower = folder.to_ascii_lowercase();
    let kept = lower.chars().map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' });
    let kept: String = kept.skip_while(|c| !c.is_ascii_lowercase()).take(NAME_LENGTH_MAX).collect();
    let name = kept.trim_end_matches('-');
    if name.is_empty() { "app".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_starter_config_has_no_finding_whatever_its_folder_is_called() {
        for folder in ["shop", "My Shop!", "2 shops", "é", "", &"x".repeat(99), "a\"b"] {
            let path = Path::new("/tmp").join(folder).join("rhizo.toml");
            let text = starter(&path);
            let parsed = rhizo_config::parse(&text, "rhizo.toml", Path::new("/base"));
            assert_eq!(parsed.expect("a good config").warnings, [], "{folder}");
        }
        assert_eq!(name_of("2 My Shop!"), "my-shop");
    }

    #[test]
    fn every_commented_table_of_the_starter_config_can_be_switched_on() {
        // A comment has a blank after its sign, a setting has none.
        let on = |line: &str| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') => setting.to_owned(),
            _ => line.to_owned(),
        };
        let text: Vec<String> = STARTER.replace("\"NAME\"", "\"x\"").lines().map(on).collect();
        let text = text.join("\n");
        let parsed = rhizo_config::parse(&text, "rhizo.toml", Path::new("/base"));
        let parsed = parsed.unwrap_or_else(|found| panic!("{}", rhizo_config::render(&found, &text, false)));
        assert_eq!((parsed.spec.components.len(), parsed.spec.requires.len()), (2, 1));
    }
}
