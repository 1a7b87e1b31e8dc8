//! Declared life-cycles, service scripts and values, carried out by real processes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;

use serde_json::Value;

use crate::deployment::{Deployment, instances};
use crate::journal::{self, assert_order, count, until_noted};

fn state(status: &Value, instance: &str) -> String {
    let found = instances(status).into_iter().find(|found| found["instance"] == instance);
    found.map(|found| found["state"].as_str().unwrap_or_default().to_owned()).unwrap_or_default()
}

/// A database that is a service script, and a user of its password.
fn shop(colour: &str) -> String {
    format!(
        "rhizo = 1\n[app]\nname = \"shop\"\n\
         [components.db]\nscript = \"./journal.sh\"\nattributes = {{ colour = \"{colour}\" }}\n\
         exports.sql = {{ data = true, values = [\"password\"] }}\n\
         [components.web]\nexec = [\"./journal.sh\", \"serve\", \"{{import.db.password}}\"]\n\
         imports.db = {{ from = \"db.sql\" }}\n"
    )
}

#[test]
fn a_service_script_is_called_with_its_verbs_and_its_value_reaches_the_user() {
    let deployment = Deployment::new("verbs", "rhizo");
    journal::install(&deployment);
    deployment.write("rhizo.toml", &shop("blue"));
    let before = deployment.up();
    assert_order(&deployment, &["db.0 init", "db.0 run", "web.0 serve s3cret-of-db.0"]);

    // A change of attributes alone runs the script's `notify` and restarts nothing.
    deployment.write("rhizo.toml", &shop("red"));
    deployment.ok(&["up", "rhizo.toml", "--yes", "--wait"]);
    until_noted(&deployment, "db.0 notify");
    let after = deployment.until("stable", |status| status["state"] == "stable");
    assert_eq!(before["components"], after["components"], "an attribute restarted something");
    assert_eq!((count(&deployment, "db.0 run"), count(&deployment, "db.0 interrupt")), (1, 0));

    deployment.down();
    assert_order(&deployment, &["db.0 run", "db.0 notify", "db.0 interrupt", "db.0 cleanup"]);
}

/// Serves one request with 204 and returns the request.
fn listen_once(listener: TcpListener) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a request");
        let mut reader = BufReader::new(stream);
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let begin = head.len();
            assert!(reader.read_line(&mut head).expect("a line") > 0, "the request broke off: {head}");
            let line = head[begin..].to_ascii_lowercase();
            if let Some(text) = line.strip_prefix("content-length:") {
                length = text.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        reader.get_mut().write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("an answer");
        head + &String::from_utf8_lossy(&body)
    })
}

#[test]
fn a_declared_life_cycle_runs_its_actions_side_by_side_again_and_in_order() {
    let deployment = Deployment::new("actions", "rhizo");
    journal::install(&deployment);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = listen_once(listener);
    deployment.write(
        "rhizo.toml",
        &format!(
            "rhizo = 1\n[app]\nname = \"site\"\n\
             [components.site]\nexec = [\"./journal.sh\", \"serve\", \"{{value.token}}\"]\n\
             [components.site.lifecycle]\n\
             places = [\"absent\", \"fetched\", \"ready\", \"told\", \"seen\", \"up\"]\nstarted = [\"up\"]\n\
             deploy = [\"install\", \"start\"]\nretire = [\"stop\"]\n\
             [components.site.lifecycle.behaviours]\n\
             install = [\"left\", \"right\", \"fetch\", \"tell\", \"look\"]\nstart = [\"start\"]\nstop = [\"stop\", \"remove\"]\n\
             [components.site.lifecycle.transitions]\n\
             left = {{ from = \"absent\", to = \"fetched\", command = \"./journal.sh meet left right\" }}\n\
             right = {{ from = \"absent\", to = \"fetched\", command = \"./journal.sh meet right left\" }}\n\
             fetch = {{ from = \"fetched\", to = \"ready\", command = \"./journal.sh fail-until 3\", \
               retry = {{ times = 2, wait = \"20ms\" }} }}\n\
             tell = {{ from = \"ready\", to = \"told\", http = \"PUT {url}/told?by={{instance}}\", body = \"{{value.token}}\" }}\n\
             look = {{ from = \"told\", to = \"seen\", wait = {{ exec = \"./journal.sh fail-until 5\", every = \"20ms\" }} }}\n\
             start = {{ from = \"seen\", to = \"up\", start = true }}\n\
             stop = {{ from = \"up\", to = \"seen\", stop = true }}\n\
             remove = {{ from = \"seen\", to = \"absent\", command = \"./journal.sh remove\" }}\n"
        ),
    );
    deployment.up();
    let fail = "site.0 fail-until 3";
    assert_order(&deployment, &["site.0 meet left right", fail, fail, fail, "site.0 serve t0ken"]);
    assert_eq!(count(&deployment, fail), 3);
    let asked = asked.join().expect("a request");
    assert!(asked.starts_with("PUT /told?by=site.0 HTTP/1.1\r\n") && asked.ends_with("t0ken"), "{asked}");
    deployment.down();
    assert_order(&deployment, &["site.0 serve t0ken", "site.0 remove"]);
}

#[test]
fn a_template_is_written_with_what_is_imported_and_again_when_an_attribute_changes() {
    let deployment = Deployment::new("written", "rhizo");
    journal::install(&deployment);
    let config = |colour: &str| {
        format!(
            "rhizo = 1\n[app]\nname = \"written\"\n\
             [components.db]\nscript = \"./journal.sh\"\nexports.sql = {{ data = true, values = [\"password\"] }}\n\
             [components.web]\nexec = [\"./journal.sh\", \"serve\"]\nattributes = {{ colour = \"{colour}\" }}\n\
             imports.db = {{ from = \"db.sql\" }}\n\
             [components.web.lifecycle]\nplaces = [\"absent\", \"ready\", \"up\"]\nstarted = [\"up\"]\n\
             behaviours = {{ deploy = [\"configure\", \"start\"], retire = [\"stop\", \"forget\"] }}\n\
             notify = {{ write = \"conf/web.conf\", template = \"./web.conf.in\" }}\n\
             imports.db = {{ places = [\"ready\", \"up\"], transitions = [\"configure\"] }}\n\
             [components.web.lifecycle.transitions]\n\
             configure = {{ from = \"absent\", to = \"ready\", write = \"conf/web.conf\", template = \"./web.conf.in\" }}\n\
             start = {{ from = \"ready\", to = \"up\", start = true }}\n\
             stop = {{ from = \"up\", to = \"ready\", stop = true }}\n\
             forget = {{ from = \"ready\", to = \"absent\" }}\n"
        )
    };
    deployment.write("rhizo.toml", &config("blue"));
    let path = deployment.file("web.conf.in");
    let said = deployment.run(&["check", "rhizo.toml"]);
    assert_eq!(said.status.code(), Some(2), "{said:#?}");
    let places: Vec<&str> =
        said.stderr.lines().filter_map(|line| line.strip_suffix(" (os error 2)")).collect();
    let missing = format!("error: `{}` cannot be read: No such file or directory", path.display());
    // Both actions that name it, in the order of the file.
    let expected = ["15:48", "18:82"].map(|place| format!("rhizo.toml:{place}: {missing}"));
    assert_eq!(places, expected, "{said:#?}");
    // Templates are checked before anything starts; an unknown placeholder is reported with its place.
    deployment.write("web.conf.in", "key = {{ import.db.password }}\ncolour = {{ attribute.color }}\n");
    let said = deployment.run(&["check", "rhizo.toml"]);
    assert_eq!(said.status.code(), Some(2), "{said:#?}");
    assert!(said.stderr.contains("web.conf.in:2:13: error: there is no attribute `color`"), "{said:#?}");

    let web = "[web]\nkey = {{ import.db.password }}\ncolour = {{ attribute.colour }}\nmap = {\"a\": {}}\n";
    deployment.write("web.conf.in", web);
    deployment.up();
    let written = || {
        let dirs = deployment.host_dirs().into_iter().filter_map(|dir| find(&dir, "web.conf"));
        dirs.map(|path| std::fs::read_to_string(path).expect("a file")).collect::<Vec<_>>()
    };
    let expected = |colour: &str| {
        vec![format!("[web]\nkey = s3cret-of-db.0\ncolour = {colour}\nmap = {{\"a\": {{}}}}\n")]
    };
    assert_eq!(written(), expected("blue"));

    deployment.write("rhizo.toml", &config("red"));
    deployment.ok(&["up", "rhizo.toml", "--yes", "--wait"]);
    deployment.until("written again", |_| written() == expected("red"));
    assert_eq!(count(&deployment, "web.0 serve"), 1, "an attribute restarted the service");
    deployment.down();
}

/// A file of that name below a directory.
fn find(dir: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).ok()?.filter_map(Result::ok);
    entries.into_iter().find_map(|entry| {
        let path = entry.path();
        if path.is_dir() { find(&path, name) } else { path.ends_with(name).then_some(path) }
    })
}

#[test]
fn a_failing_action_is_a_failure_that_explains_itself_and_holds_back_its_users() {
    let deployment = Deployment::new("refusal", "rhizo");
    journal::install(&deployment);
    let config = |action: &str| {
        format!(
            "rhizo = 1\n[app]\nname = \"refusal\"\n\
             [components.db]\nattributes = {{ schema = \"1\" }}\n\
             exports.sql = {{ data = true, values = [\"schema\"] }}\n\
             [components.db.lifecycle]\nplaces = [\"down\", \"up\"]\nstarted = [\"up\"]\n\
             behaviours = {{ deploy = [\"begin\"], retire = [\"end\"] }}\n\
             [components.db.lifecycle.transitions]\n\
             begin = {{ from = \"down\", to = \"up\", command = \"./journal.sh {action}\", timeout = \"300ms\" }}\n\
             end = {{ from = \"up\", to = \"down\" }}\n\
             [components.web]\nexec = [\"./journal.sh\", \"serve\"]\nimports.db = {{ from = \"db.sql\" }}\n"
        )
    };
    deployment.write("rhizo.toml", &config("refuse"));
    let said = deployment.run(&["up", "rhizo.toml", "--yes", "--wait", "--timeout-s", "2"]);
    assert_eq!(said.status.code(), Some(5), "{said:#?}");
    let name = |status: &Value| {
        let db = instances(status).into_iter().find(|instance| instance["name"] == "db");
        db.and_then(|db| db["instance"].as_str().map(str::to_owned)).unwrap_or_default()
    };
    let status = deployment
        .until("told of the failure", |status| status["problems"].to_string().contains("no such table"));
    assert_ne!(state(&status, &name(&status)), "started", "{status:#}");
    assert!(instances(&status).iter().all(|instance| instance["state"] != "started"), "{status:#}");
    assert!(!journal::lines(&deployment).iter().any(|line| line.contains("serve")), "a user was started");
    let why = deployment.ok(&["why", &name(&deployment.status())]);
    assert!(why.stdout.contains("ended with exit status: 3: no such table"), "{why:#?}");
    // `why` also contains the agent's own events, which the coordinator does not have.
    let agent = |text: &str| {
        let told = text.lines().find(|line| line.contains("begin failed (")).map(str::to_owned);
        told.unwrap_or_default()
    };
    let told = agent(&deployment.ok(&["events"]).stdout);
    let coordinator = deployment.status()["coordinator"].as_str().map(str::to_owned);
    assert!(!told.is_empty() && !told.contains(&format!("  {} ", coordinator.unwrap_or_default())), "{told}");
    assert!(!agent(&why.stdout).is_empty(), "{why:#?}");

    // The next spec hangs instead: the time-out cancels it, and its program may clean up.
    deployment.write("rhizo.toml", &config("hang"));
    deployment.run(&["up", "rhizo.toml", "--yes", "--wait", "--timeout-s", "2"]);
    deployment.until("told of the time-out", |status| {
        status["problems"].to_string().contains("not done within 300 ms")
    });
    assert!(journal::lines(&deployment).iter().any(|line| line.ends_with("cancelled")));

    // And the one after that works.
    deployment.write("rhizo.toml", &config("begin"));
    deployment.ok(&["up", "rhizo.toml", "--yes", "--wait"]);
    let status = deployment.until("stable", |status| status["state"] == "stable");
    assert!(instances(&status).iter().all(|instance| instance["state"] == "started"), "{status:#}");
    deployment.down();
}

#[test]
fn a_new_version_that_keeps_failing_goes_back_to_the_one_before() {
    let deployment = Deployment::new("unwind", "rhizo");
    journal::install(&deployment);
    let config = |words: &str| {
        format!(
            "rhizo = 1\n[app]\nname = \"unwind\"\n\
             [components.web]\nexec = [\"./journal.sh\", {words}]\nreplicas = 2\n\
             health = {{ exec = [\"test\", \"-e\", \"{{dir}}/serving\"], every = \"100ms\" }}\n\
             upgrade = {{ on_failure = \"unwind\" }}\n"
        )
    };
    deployment.write("rhizo.toml", &config("\"serve\", \"one\""));
    deployment.up();
    deployment.write("rhizo.toml", &config("\"refuse\""));
    deployment.run(&["up", "rhizo.toml", "--yes", "--wait", "--timeout-s", "2"]);
    let status = deployment.until("unwound", |status| {
        let all = instances(status);
        status["problems"].to_string().contains("went back to its last working version")
            && all.len() == 2
            && all.iter().all(|instance| instance["state"] == "started")
    });
    // The rollout replaces one copy at a time, so one of the two never tried the broken version.
    let tried = ["web.0 refuse", "web.1 refuse"].map(|line| count(&deployment, line));
    assert!(tried.contains(&0) && tried != [0, 0], "{:#?} {status:#}", journal::lines(&deployment));
    deployment.down();
}
