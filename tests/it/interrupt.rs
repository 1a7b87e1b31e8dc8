//! Ctrl-C at any time during `up` leaves no process and no host.

use std::time::Duration;

use crate::deployment::{Deployment, signal};
use crate::repair::crew;

#[test]
fn an_interrupted_up_leaves_nothing() {
    // Moments from before the first node starts until long after the application is stable.
    for (number, moment) in [30, 150, 400, 900, 1800, 4000].into_iter().enumerate() {
        let deployment = Deployment::new(&format!("interrupted-{number}"), "rhizo");
        crew(&deployment, 3);
        let up = deployment.start(&["up", "rhizo.toml", "--yes"]);
        std::thread::sleep(Duration::from_millis(moment));
        signal(up.pid(), "INT");
        let said = up.wait();
        assert!(!said.stderr.contains("panicked"), "{said:#?}");
        deployment.until_no_process(&format!("interrupted after {moment} ms"));
    }
}
