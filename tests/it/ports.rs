//! The ports of copies: another process on a copy's port, and the port of a copy that starts again.
//!
//! The choice of ports and the owner of a listener have unit tests in `component/ports.rs` and
//! `component/listeners.rs`; here they hold for a whole application.

use std::fs;
use std::net::TcpListener;

use crate::deployment::{Deployment, kill};

/// Writes its port to a file, and listens there only when the file `serve` exists.
const PROGRAM: &str = "#!/bin/sh\n\
    echo $2 > DIR/port.new && mv DIR/port.new DIR/port\n\
    if [ -e DIR/serve ]; then exec python3 -m http.server --bind $1 $2; fi\n\
    exec sleep 100000\n";

fn port(deployment: &Deployment) -> Option<u16> {
    fs::read_to_string(deployment.file("port")).ok()?.trim().parse().ok()
}

/// The processes of the program that listens. Some installations of Python replace the first argument.
fn servers(deployment: &Deployment) -> Vec<u32> {
    let serves = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains("\0http.server\0")
    };
    deployment.processes().into_iter().filter(serves).collect()
}

#[test]
fn a_copy_whose_port_a_stranger_holds_says_so_and_gets_another_port_which_it_keeps() {
    let deployment = Deployment::new("ports", "rhizo");
    let dir = deployment.file("").display().to_string();
    deployment.write("serve.sh", &PROGRAM.replace("DIR/", &dir));
    let program = deployment.file("serve.sh");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&program, mode).expect("the program is ours");
    deployment.write(
        "rhizo.toml",
        "rhizo = 1\napp.name = \"x\"\n[components.w]\nexports.http = {}\n\
         exec = \"./serve.sh {export.http.host} {export.http.port}\"\n",
    );
    let up = deployment.start(&["up", "rhizo.toml", "--yes", "--wait"]);
    deployment.until("the program has a port", |_| port(&deployment).is_some());
    let first = port(&deployment).expect("it was there");
    let stranger = TcpListener::bind(("0.0.0.0", first)).expect("the program does not listen");
    deployment.write("serve", "");
    assert!(up.wait().status.success(), "the next start has another port");
    let events = deployment.ok(&["events"]).stdout;
    let reason = format!("port {first} is held by another process (pid {}, ", std::process::id());
    assert!(events.contains(&reason), "{events}");
    let second = port(&deployment).expect("it was there");
    assert_ne!(first, second);
    drop(stranger);
    let [server] = servers(&deployment)[..] else { panic!("{:?}", servers(&deployment)) };
    kill(server);
    deployment.until("started again", |status| {
        let now = servers(&deployment);
        status["state"] == "stable" && now.len() == 1 && now != [server]
    });
    assert_eq!(port(&deployment), Some(second), "a copy that starts again keeps its port");
    deployment.down();
}
