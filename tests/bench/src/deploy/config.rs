//! Makes the config of the application for an assembly: one component for each instance, with its life-cycle.
//!
//! Ports carry a value and no address, since nothing listens. Assemblies have no transitions back from every place, so
//! the config adds some without actions. With a process for each host, every host is an offer that exists once, in a
//! region of its own. An idle component on each host keeps it, so that all hosts exist before the deployment begins.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::assembly::{Assembly, Component, Instance, PortKind, Step};

/// Returns the config of the whole application; with `processes`, each host is a process.
pub(super) fn whole(assembly: &Assembly, processes: bool) -> Result<String, String> {
    let mut text = head(assembly, processes);
    for instance in &assembly.instances {
        let kind = assembly.kind(instance)?;
        one(&mut text, instance, kind, assembly).map_err(|_| format!("write down {}", instance.name))?;
        if processes {
            pin(&mut text, &instance.name, &instance.host);
        }
    }
    Ok(text)
}

/// Returns the config of the idle components that keep the hosts.
pub(super) fn hosts_alone(assembly: &Assembly) -> String {
    head(assembly, true)
}

/// The offers that the config names.
pub(super) fn offers(assembly: &Assembly) -> String {
    let mut text = "name,region,price_per_hour,available\n".to_owned();
    for host in assembly.hosts() {
        // Writing to a string cannot fail, here and below.
        let _infallible = writeln!(text, "{host},{host},0.01,1");
    }
    text
}

/// Returns the change as a script. Each stretch waits for its own instances only, because other instances may rest
/// without their imports.
pub(super) fn script(assembly: &Assembly) -> String {
    let mut text = String::new();
    for stretch in &assembly.change {
        let mut names = BTreeSet::new();
        for step in stretch {
            let (Step::Add(name) | Step::Push(name, _)) = step;
            names.insert(name);
            let _infallible = match step {
                Step::Add(name) => writeln!(text, "add {name}.0"),
                Step::Push(name, behaviour) => writeln!(text, "push {name}.0 {behaviour}"),
            };
        }
        text.push_str("wait");
        for name in names {
            let _infallible = write!(text, " {name}.0");
        }
        text.push('\n');
    }
    text
}

fn head(assembly: &Assembly, processes: bool) -> String {
    // No voluntary solver run happens during the measurement.
    let mut text =
        "rhizo = 1\n[app]\nname = \"assembly\"\nversion = \"1\"\n[optimise]\nevery = \"1h\"\n".to_owned();
    if processes {
        text.push_str("[providers.lab]\nkind = \"process\"\noffers = \"data/offers.csv\"\n");
        for host in assembly.hosts() {
            let _infallible = write!(
                text,
                "[components.host-{host}.lifecycle]\nplaces = [\"off\", \"on\"]\nstarted = [\"on\"]\n\
                 behaviours = {{ deploy = [\"begin\"], retire = [\"end\"] }}\n\
                 transitions.begin = {{ from = \"off\", to = \"on\" }}\n\
                 transitions.end = {{ from = \"on\", to = \"off\" }}\n"
            );
            pin(&mut text, &format!("host-{host}"), host);
        }
    }
    text
}

/// A component is placed on one host only.
fn pin(text: &mut String, component: &str, host: &str) {
    let _infallible = write!(
        text,
        "[[require]]\nname = \"place-of-{component}\"\neach = \"{component}\"\nexpr = \"node.region == '{host}'\"\n"
    );
}

fn one(text: &mut String, instance: &Instance, kind: &Component, assembly: &Assembly) -> std::fmt::Result {
    let name = &instance.name;
    writeln!(text, "[components.{name}]\nattributes = {{ up = \"yes\" }}")?;
    if instance.later {
        writeln!(text, "replicas = {{ min = 0, max = 1 }}")?;
    }
    for port in kind.ports(PortKind::Provide) {
        writeln!(text, "exports.{} = {{ data = true, values = [\"up\"] }}", port.name)?;
    }
    let connected = || {
        let ports = kind.ports(PortKind::Use);
        ports.filter_map(|port| Some((port, assembly.provider(name, &port.name)?)))
    };
    for (port, from) in connected() {
        writeln!(text, "imports.{} = {{ from = \"{}.{}\" }}", port.name, from.provider, from.provide_port)?;
    }
    // A life-cycle begins in the place that is listed first.
    let touched = |place: &&String| {
        **place == kind.initial || kind.transitions.iter().any(|way| way.from == **place || way.to == **place)
    };
    let mut places: Vec<&String> = kind.places.iter().filter(touched).collect();
    places.sort_by_key(|place| **place != kind.initial);
    writeln!(text, "[components.{name}.lifecycle]\nplaces = {places:?}\nstarted = [{:?}]", kind.started())?;
    for port in kind.ports(PortKind::Provide) {
        writeln!(text, "exports.{} = {:?}", port.name, port.bound_to)?;
    }
    for (port, _) in connected() {
        let (used, ways) = kind.span(port);
        let used: Vec<&str> = used.into_iter().filter(|place| places.iter().any(|p| p == place)).collect();
        let ways: Vec<&str> = ways.into_iter().collect();
        writeln!(text, "imports.{} = {{ transitions = {ways:?}, places = {used:?} }}", port.name)?;
    }
    let mut behaviours: Vec<&String> = kind.transitions.iter().map(|way| &way.behaviour).collect();
    behaviours.sort();
    behaviours.dedup();
    for behaviour in behaviours {
        let ways = kind.transitions.iter().filter(|way| way.behaviour == *behaviour);
        let ways: Vec<&String> = ways.map(|way| &way.name).collect();
        writeln!(text, "behaviours.{behaviour} = {ways:?}")?;
    }
    writeln!(text, "behaviours.retire = [\"back\"]\n[components.{name}.lifecycle.transitions]")?;
    for way in &kind.transitions {
        write!(text, "{} = {{ from = {:?}, to = {:?}", way.name, way.from, way.to)?;
        if assembly.seconds(instance, way).is_some() {
            write!(text, ", call = {:?}", way.name)?;
        }
        writeln!(text, " }}")?;
    }
    writeln!(text, "back = {{ from = {:?}, to = {:?} }}", kind.started(), kind.initial)
}
