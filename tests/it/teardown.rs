//! `down` gives back all hosts that were created, also without the config, the data files, the records and the nodes.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::deployment::{Deployment, Said, instances, kill, nodes, pid, signal};

const OFFERS: &str = "name,region,price_per_hour,available,cap.cpu,cap.memory\n";

/// A provider with one offer in a region of its own name, whose faults are in `faults.json`.
fn provider(deployment: &Deployment, name: &str) -> String {
    deployment.write(&format!("{name}.csv"), &format!("{OFFERS}small-{name},{name},0.1,8,2,4GiB\n"));
    format!("[providers.{name}]\nkind = \"process\"\noffers = \"{name}.csv\"\nfaults = \"faults.json\"\n")
}

/// A component that sleeps, on hosts of this provider.
fn sleeper(name: &str, at: &str) -> String {
    format!(
        "[components.{name}]\nexec = \"sleep 100000\"\nneeds = {{ cpu = 1 }}\n\
         [[require]]\nname = \"{name}-at-{at}\"\neach = \"{name}\"\nexpr = \"node.provider == '{at}'\"\n"
    )
}

fn write_config(deployment: &Deployment, parts: &[String]) {
    let head = "rhizo = 1\n[app]\nname = \"gone\"\n[optimise]\nsettle = \"1s\"\n";
    deployment.write("rhizo.toml", &(head.to_owned() + &parts.concat()));
}

/// Switches faults of providers on; the others behave.
fn set_faults(deployment: &Deployment, faults: &Value) {
    deployment.write("faults.new", &json!({ "providers": faults }).to_string());
    fs::rename(deployment.file("faults.new"), deployment.file("faults.json")).expect("writable");
}

fn founder(deployment: &Deployment) -> Option<u32> {
    let record = fs::read(deployment.file(".rhizo/founder.json")).ok()?;
    let record: Value = serde_json::from_slice(&record).ok()?;
    u32::try_from(record["pid"].as_u64()?).ok()
}

fn node_at(status: &Value, provider: &str) -> Value {
    let found = nodes(status).into_iter().find(|node| node["provider"] == provider);
    found.unwrap_or_else(|| panic!("no node at {provider}: {status:#}"))
}

/// The processes of the hosts of a provider: supervisors, nodes and programs.
fn processes_of(deployment: &Deployment, provider: &str) -> Vec<u32> {
    let mark =
        format!("RHIZO_HOST={}/", deployment.file(&format!(".rhizo/providers/{provider}/hosts")).display());
    let all = deployment.processes().into_iter();
    let has_mark = |environment: Vec<u8>| {
        environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(mark.as_bytes()))
    };
    all.filter(|pid| fs::read(format!("/proc/{pid}/environ")).is_ok_and(has_mark)).collect()
}

fn text(said: &Said) -> String {
    format!("{}{}", said.stdout, said.stderr)
}

#[test]
fn hosts_of_a_provider_that_the_config_lost_are_given_back() {
    let deployment = Deployment::new("lost-provider", "rhizo");
    let (lab, spare) = (provider(&deployment, "lab"), provider(&deployment, "spare"));
    let worker = |at| sleeper("worker", at);
    write_config(&deployment, &[sleeper("web", "lab"), worker("spare"), lab.clone(), spare]);
    let status = deployment.up();
    // The host at the spare provider hangs, and the provider does not answer, so that the host cannot be ended.
    set_faults(&deployment, &json!({ "spare": { "api_down": true } }));
    let hung = processes_of(&deployment, "spare");
    assert!(hung.len() >= 3, "supervisor, node and program: {hung:?}");
    hung.iter().for_each(|pid| signal(*pid, "STOP"));
    write_config(&deployment, &[sleeper("web", "lab"), worker("lab"), lab]);
    deployment.ok(&["up", "rhizo.toml", "--yes"]);
    let moved = deployment.until("moved to the provider that is left", |status| {
        let all = instances(status);
        let at = |name: &str| nodes(status).into_iter().find(|node| node["id"] == name);
        all.len() == 2
            && all.iter().all(|instance| {
                let node = instance["node"].as_str().and_then(at);
                instance["state"] == "started" && node.is_some_and(|node| node["provider"] == "lab")
            })
    });
    kill(founder(&deployment).expect("node 0 runs"));
    nodes(&moved).iter().filter(|node| node["provider"] == "lab").for_each(|node| kill(pid(node)));
    hung.iter().for_each(|pid| signal(*pid, "CONT"));
    assert!(!processes_of(&deployment, "spare").is_empty(), "{status:#}");

    let said = deployment.run(&["down", "--yes", "--timeout-s", "3"]);
    assert_eq!(said.status.code(), Some(8), "the provider cannot be asked: {said:#?}");
    assert!(said.stderr.contains("`spare` could not be asked"), "{said:#?}");
    assert!(!processes_of(&deployment, "spare").is_empty(), "{said:#?}");
    assert!(processes_of(&deployment, "lab").is_empty(), "the other provider was asked: {said:#?}");
    assert!(deployment.file(".rhizo/providers.json").exists(), "the home is kept");
    set_faults(&deployment, &json!({}));
    deployment.down();
}

#[test]
fn hosts_that_no_list_shows_yet_are_given_back() {
    for (name, faults) in [
        ("lag", json!({ "lab": { "list_lag_ms": 2_500 } })),
        ("late", json!({ "lab": { "every_offer": { "late_success_ms": 2_500 } } })),
    ] {
        let deployment = Deployment::new(&format!("unlisted-{name}"), "rhizo");
        let lab = provider(&deployment, "lab");
        write_config(&deployment, &[sleeper("web", "lab"), sleeper("worker", "lab"), lab]);
        set_faults(&deployment, &faults);
        let up = deployment.start(&["up", "rhizo.toml", "--yes", "--wait"]);
        let begun = std::time::Instant::now();
        while processes_of(&deployment, "lab").is_empty() {
            assert!(begun.elapsed() < crate::deployment::WATCHDOG, "no host was ordered");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        kill(founder(&deployment).expect("node 0 runs"));
        deployment.down();
        assert!(!up.wait().status.success());
    }
}

#[test]
fn neither_data_files_nor_a_config_are_needed() {
    let deployment = Deployment::new("no-files", "rhizo");
    let lab = provider(&deployment, "lab") + "attributes = \"series.csv\"\n";
    deployment.write("series.csv", "at_s,region,price_per_hour\n0,lab,0.2\n");
    write_config(&deployment, &[sleeper("web", "lab"), lab]);
    // The home is a link to another directory.
    let kept = deployment.file("kept");
    fs::create_dir(&kept).expect("writable");
    std::os::unix::fs::symlink(&kept, deployment.file(".rhizo")).expect("writable");
    let status = deployment.up();
    kill(founder(&deployment).expect("node 0 runs"));
    kill(pid(&node_at(&status, "lab")));
    fs::remove_file(deployment.file("lab.csv")).expect("it is there");
    deployment.write("series.csv", "at_s\nbroken");
    fs::remove_file(deployment.file("rhizo.toml")).expect("it is there");
    deployment.down();
    assert!(!kept.exists() && !deployment.file(".rhizo").is_symlink(), "the keys lay behind the link");
}

#[test]
fn damaged_records_cost_only_what_they_said() {
    for damaged in
        [&["deployment.json"][..], &["operator.key"], &["members.json", "deployment.json", "founder.json"]]
    {
        let deployment = Deployment::new(&format!("damaged-{}", damaged.join("-")), "rhizo");
        let lab = provider(&deployment, "lab");
        write_config(&deployment, &[sleeper("web", "lab"), lab]);
        deployment.up();
        for (name, content) in damaged.iter().zip(["", "{", "[]"]) {
            fs::write(deployment.file(".rhizo").join(name), content).expect("writable");
        }
        let status = deployment.run(&["status"]);
        assert!(status.stderr.contains("`down` gives back"), "the way out is told: {status:#?}");
        let said = deployment.run(&["down", "--yes"]);
        assert!(said.status.success(), "{said:#?}");
        assert!(said.stderr.contains(damaged[0]), "the damage is told: {said:#?}");
        deployment.until_no_process("after down");
        assert!(!deployment.file(".rhizo").exists(), "{said:#?}");
        let again = deployment.ok(&["down", "--yes"]);
        assert!(again.stdout.contains("Nothing is deployed"), "{again:#?}");
    }
}

#[test]
fn a_renamed_provider_is_drained_and_given_back() {
    let deployment = Deployment::new("renamed-provider", "rhizo");
    let web = "[components.web]\nexec = \"sleep 100000\"\nneeds = { cpu = 1 }\n".to_owned();
    write_config(&deployment, &[web.clone(), provider(&deployment, "lab")]);
    deployment.up();
    let old: Vec<PathBuf> = deployment.host_dirs();
    write_config(&deployment, &[web, provider(&deployment, "works")]);
    // The table's data file went with the table.
    fs::remove_file(deployment.file("lab.csv")).expect("it is there");
    let plan = deployment.ok(&["plan", "rhizo.toml"]);
    let told = text(&plan).matches("its provider `lab` is no longer in the config").count();
    assert_eq!(told, 2, "the move and the release: {plan:#?}");
    let after = deployment.up();
    assert_eq!(instances(&after).len(), 1, "{after:#}");
    assert_eq!(instances(&after)[0]["node"], node_at(&after, "works")["id"], "{after:#}");
    let after = deployment.until("without a host at the old provider", |status| {
        nodes(status).iter().all(|node| node["provider"] != "lab")
            && old.iter().all(|host| !host.exists() || host.join("terminated.json").exists())
    });
    assert_eq!(after["state"], "stable", "{after:#}");
    deployment.down();
}

#[test]
fn a_provider_and_the_rule_that_needs_it_come_in_one_step() {
    let deployment = Deployment::new("added-provider", "rhizo");
    let lab = provider(&deployment, "lab");
    write_config(&deployment, &[sleeper("web", "lab"), lab.clone()]);
    deployment.up();
    let far = provider(&deployment, "far");
    write_config(&deployment, &[sleeper("web", "far"), lab, far]);
    let plan = deployment.ok(&["plan", "rhizo.toml"]);
    assert!(text(&plan).contains("far/small-far"), "{plan:#?}");
    let after = deployment.up();
    assert_eq!(instances(&after)[0]["node"], node_at(&after, "far")["id"], "{after:#}");
    deployment.down();
}
