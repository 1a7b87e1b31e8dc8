//! The effects of a lost import on its user, and the exclusion of two running copies of an exclusive component.

use serde_json::Value;

use crate::deployment::{Deployment, id, instances, kill, nodes, pid};
use crate::journal::{self, count, until_noted};

/// A provider with these regions, whose hosts have room for one instance each.
fn provider(deployment: &Deployment, regions: &[&str]) -> String {
    let offers = regions.iter().map(|region| format!("small-{region},{region},0.1,8,1,4GiB\n"));
    let head = "name,region,price_per_hour,available,cap.cpu,cap.memory\n";
    deployment.write("offers.csv", &(head.to_owned() + &offers.collect::<String>()));
    "[providers.lab]\nkind = \"process\"\noffers = \"offers.csv\"\n[optimise]\nsettle = \"1s\"\n".to_owned()
}

fn instance(status: &Value, name: &str) -> Value {
    let found = instances(status).into_iter().find(|found| found["instance"] == name);
    found.unwrap_or_else(|| panic!("no {name}: {status:#}"))
}

/// Kills the node of an instance and returns the node's id.
fn kill_node_of(status: &Value, name: &str) -> String {
    let at = instance(status, name)["node"].clone();
    let node = nodes(status).into_iter().find(|node| node["id"] == at).expect("an instance is on a member");
    kill(pid(&node));
    id(&node)
}

/// The exporter that `web.0` is bound to.
fn bound(status: &Value) -> String {
    let bindings = instance(status, "web.0")["bindings"].clone();
    let names = ["db.0", "db.1", "db.2", "db.3"];
    let found = names.into_iter().filter(|name| bindings.to_string().contains(name));
    found.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_lost_import_stops_its_user_or_leaves_it_running_as_it_says() {
    for (on_loss, starts) in [("stop", 2), ("rebind", 1), ("suspend", 1)] {
        let deployment = Deployment::new(&format!("loss-{on_loss}"), "rhizo");
        journal::install(&deployment);
        let config = format!(
            "rhizo = 1\n[app]\nname = \"loss\"\n\
             [components.db]\nscript = \"./journal.sh\"\nreplicas = 2\nneeds = {{ cpu = 1 }}\n\
             exports.sql = {{ data = true, values = [\"password\"] }}\n\
             [components.web]\nexec = [\"./journal.sh\", \"serve\"]\nneeds = {{ cpu = 1 }}\n\
             imports.db = {{ from = \"db.sql\", pick = \"one\", on_loss = \"{on_loss}\" }}\n{}",
            provider(&deployment, &["west"])
        );
        deployment.write("rhizo.toml", &config);
        let before = deployment.up();
        let lost = bound(&before);
        let node = kill_node_of(&before, &lost);
        let after = deployment.until_stable_without(&[node]);
        assert_ne!(bound(&after), lost, "{after:#}");
        assert_eq!(instance(&after, "web.0")["state"], "started", "{after:#}");
        assert_eq!(
            count(&deployment, "web.0 serve"),
            starts,
            "{on_loss}: {:#?}",
            journal::lines(&deployment)
        );
        deployment.down();
    }
}

#[test]
fn copies_overlap_when_they_move_unless_they_are_exclusive() {
    for exclusive in [false, true] {
        let deployment = Deployment::new(&format!("exclusive-{exclusive}"), "rhizo");
        journal::install(&deployment);
        let provider = provider(&deployment, &["west", "east"]);
        let config = |region: &str| {
            format!(
                "rhizo = 1\n[app]\nname = \"only\"\n\
                 [components.db]\nexec = [\"./journal.sh\", \"only\"]\nneeds = {{ cpu = 1 }}\nexclusive = {exclusive}\n\
                 [[require]]\nname = \"there\"\neach = \"db\"\nexpr = \"node.region == '{region}'\"\n{provider}"
            )
        };
        deployment.write("rhizo.toml", &config("west"));
        let before = deployment.up();
        let old = instances(&before)[0]["instance"].clone();
        deployment.write("rhizo.toml", &config("east"));
        deployment.ok(&["up", "rhizo.toml", "--yes", "--wait"]);
        let moved = deployment.until("moved", |status| {
            let there = instances(status);
            status["state"] == "stable"
                && there.len() == 1
                && there[0]["instance"] != old
                && crate::deployment::is_told(status)
        });
        let overlaps = count(&deployment, "overlap");
        assert_eq!(overlaps == 0, exclusive, "{:#?}", journal::lines(&deployment));

        // Its host dies without a message. The next copy waits until the provider confirms that nothing runs there.
        let name = instances(&moved)[0]["instance"].as_str().expect("a name").to_owned();
        let node = kill_node_of(&moved, &name);
        let after = deployment.until_stable_without(&[node]);
        let next = instances(&after)[0]["instance"].as_str().expect("a name").to_owned();
        until_noted(&deployment, &format!("{next} only"));
        if exclusive {
            assert_eq!(count(&deployment, "overlap"), 0, "{:#?}", journal::lines(&deployment));
        }
        deployment.down();
    }
}
