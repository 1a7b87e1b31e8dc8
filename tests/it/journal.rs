//! A service script that logs its calls to a file, which the tests of life-cycles read.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use crate::deployment::{Deployment, WATCHDOG};

/// `HERE` stands for the folder of the config, since a copy runs a packed script. Called as `journal.sh WORD…`: logs its arguments and executes the branch of the first one.
const SCRIPT: &str = r#"#!/bin/sh
here=HERE
echo "$RHIZO_INSTANCE $*" >> "$here/journal"
case "$1" in
init) echo "PASSWORD=s3cret-of-$RHIZO_INSTANCE" ;;
run) sleep 100000 & echo $! > pid ;;
interrupt) kill "$(cat pid)" ;;
serve) touch serving; exec sleep 100000 ;;
# Each of two that meet waits for the other: both have to run at the same time.
meet)
    touch "$here/met-$2"
    until [ -e "$here/met-$3" ]; do sleep 0.02; done ;;
# Fails until it has been called that often.
fail-until)
    [ "$(grep -c "^$RHIZO_INSTANCE fail-until" "$here/journal")" -ge "$2" ] || { echo "not yet" >&2; exit 3; }
    echo "TOKEN=t0ken" ;;
# Says so when another copy that said it still runs; a dead process that nobody has waited for is dead.
only)
    state=$(sed -n 's/^State:[^A-Z]*\([A-Z]\).*/\1/p' "/proc/$(cat "$here/only" 2>/dev/null)/status" 2>/dev/null)
    case "$state" in "" | Z | X) ;; *) echo "overlap" >> "$here/journal" ;; esac
    echo $$ > "$here/only"; exec sleep 100000 ;;
refuse) echo "no such table" >&2; exit 3 ;;
# Hangs, and says so when it is cancelled.
hang)
    trap 'echo "$RHIZO_INSTANCE cancelled" >> "$here/journal"; exit 1' TERM
    sleep 100000 & wait ;;
esac
"#;

/// Puts the script into the directory of an application.
pub(crate) fn install(deployment: &Deployment) {
    let here = deployment.file("").display().to_string();
    deployment.write("journal.sh", &SCRIPT.replace("HERE", here.trim_end_matches('/')));
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(deployment.file("journal.sh"), executable).expect("our own file");
}

/// The lines logged so far.
pub(crate) fn lines(deployment: &Deployment) -> Vec<String> {
    let text = fs::read_to_string(deployment.file("journal")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Number of times that exactly this line was logged.
pub(crate) fn count(deployment: &Deployment, line: &str) -> usize {
    lines(deployment).iter().filter(|noted| *noted == line).count()
}

/// Waits until exactly this line is logged.
pub(crate) fn until_noted(deployment: &Deployment, line: &str) {
    let start = Instant::now();
    while count(deployment, line) == 0 {
        assert!(start.elapsed() < WATCHDOG, "never noted `{line}`: {:#?}", lines(deployment));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Asserts that these lines were logged in this order; other lines may lie between them.
pub(crate) fn assert_order(deployment: &Deployment, wanted: &[&str]) {
    let noted = lines(deployment);
    let mut rest = noted.iter();
    for line in wanted {
        assert!(rest.any(|noted| noted == line), "`{line}` is not where it belongs in {noted:#?}");
    }
}
