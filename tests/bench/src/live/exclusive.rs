//! A component that may have one copy at a time, and the proof that it never had two: each copy writes to a file while
//! it lives.
//!
//! A copy takes a lock of the system for as long as one of its processes lives, and appends a line with its process and
//! the time (nanoseconds since 1970) every 50 ms. Two copies at once show twice: the second one finds the lock taken,
//! and the times of both overlap.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use super::application::Application;

/// The name of the component.
const NAME: &str = "writer";

/// Takes the lock, or reports `overlap`; then appends its process and the time.
const SCRIPT: &str = "\
exec 9>>\"$1.lock\"
flock -n 9 || echo \"overlap $$\" >> \"$1\"
while :; do echo \"$$ $(date +%s%N)\" >> \"$1\"; sleep 0.05; done
";

/// Adds the component to the application's config.
pub(super) fn add(application: &Application) -> Result<(), String> {
    application.write("writer.sh", SCRIPT)?;
    let (script, file) = (application.dir().join("writer.sh"), file(application));
    let part = format!(
        "\n[components.{NAME}]\nexec = [\"sh\", \"{}\", \"{}\"]\nexclusive = true\n",
        script.display(),
        file.display()
    );
    let config = application.read("rhizo.toml")? + &part;
    application.write("rhizo.toml", &config)
}

fn file(application: &Application) -> PathBuf {
    application.dir().join("writes")
}

/// The node of the copy, by a status.
pub(super) fn node(status: &Value) -> Option<&str> {
    let instances = status["components"].as_array()?;
    instances.iter().find(|instance| instance["name"] == NAME)?["node"].as_str()
}

/// Checks that no two copies lived at the same time. Returns how many there were.
pub(super) fn lives(application: &Application) -> Result<usize, String> {
    let text = application.read("writes")?;
    count(&text)
}

fn count(text: &str) -> Result<usize, String> {
    let mut lives: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for line in text.lines() {
        let (process, time) = line.split_once(' ').ok_or_else(|| format!("read the line {line:?}"))?;
        if process == "overlap" {
            return Err(format!("see one writer at a time: process {time} found the lock taken"));
        }
        let time = time.parse().map_err(|error| format!("read the time of {line:?}: {error}"))?;
        let life = lives.entry(process).or_insert((time, time));
        life.1 = life.1.max(time);
    }
    let mut ordered: Vec<(u64, u64)> = lives.into_values().collect();
    ordered.sort_unstable();
    for pair in ordered.windows(2) {
        if pair[1].0 <= pair[0].1 {
            let ms = (pair[0].1 - pair[1].0) / 1_000_000;
            return Err(format!("see one writer at a time: two lived together for {ms} ms"));
        }
    }
    Ok(ordered.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_lives_that_overlap_are_seen() {
        assert_eq!(count("7 100\n7 200\n9 300\n9 400\n"), Ok(2));
        assert!(count("7 100\n9 150\n7 200\n").is_err());
        assert!(count("7 100\noverlap 9\n").is_err());
        assert_eq!(count(""), Ok(0));
    }
}
