//! Reads published assemblies: the OpenStack deployment of the Madeus authors (A), its multi-site successor of the
//! Concerto-D authors (B), and files in our own form, of which `tests/bench/data/galera.json` is one.
//!
//! A and B are in one file that the user names and that is not part of the project. Their durations are the authors'.

use super::assembly::{Assembly, Component, Connection, DEPLOY, Instance, PortKind, Step};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct File {
    #[serde(rename = "A_madeus_openstack_deploy")]
    single: Option<Single>,
    #[serde(rename = "B_concertod_multisite")]
    multi: Option<Multi>,
    assembly: Option<Own>,
}

#[derive(Deserialize)]
struct Single {
    components: BTreeMap<String, Component>,
    connections: Vec<Connection>,
    durations_median_s: BTreeMap<String, BTreeMap<String, f64>>,
}

#[derive(Deserialize)]
struct Multi {
    component_types: BTreeMap<String, Component>,
    durations_s: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct Own {
    types: BTreeMap<String, Component>,
    instances: Vec<Instance>,
    connections: Vec<Connection>,
    durations_s: BTreeMap<String, BTreeMap<String, f64>>,
    change: Vec<Vec<Step>>,
}

/// Reads the assembly that the options name: B when a number of sites is given.
pub(super) fn read(file: &str, variant: Option<&str>, sites: Option<usize>) -> Result<Assembly, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("read {file}: {error}"))?;
    let read: File = serde_json::from_str(&text).map_err(|error| format!("understand {file}: {error}"))?;
    match (read, sites) {
        (File { multi: Some(multi), .. }, Some(sites)) => multi_site(multi, sites),
        (File { single: Some(single), .. }, None) => {
            let variant = variant.unwrap_or("ecotype/cached/dag_nt4");
            let durations = pick(single.durations_median_s, variant)?;
            Ok(one_of_each(single.components, single.connections, durations))
        }
        (File { assembly: Some(own), .. }, None) => {
            let durations = pick(own.durations_s, variant.unwrap_or("example"))?;
            let Own { types, instances, connections, change, .. } = own;
            Ok(Assembly { kinds: types, instances, connections, durations, change })
        }
        _ => {
            Err(format!("find what is to be deployed in {file}: --sites belongs to the multi-site assembly"))
        }
    }
}

fn pick(
    mut variants: BTreeMap<String, BTreeMap<String, f64>>,
    variant: &str,
) -> Result<BTreeMap<String, f64>, String> {
    let found = variants.remove(variant);
    found.ok_or_else(|| {
        format!("find the variant {variant}: there are {:?}", variants.keys().collect::<Vec<_>>())
    })
}

fn one_of_each(
    kinds: BTreeMap<String, Component>,
    connections: Vec<Connection>,
    durations: BTreeMap<String, f64>,
) -> Assembly {
    let instance = |name: &String| Instance {
        name: name.clone(),
        kind: name.clone(),
        host: "all".to_owned(),
        later: false,
    };
    let instances = kinds.keys().map(instance).collect();
    Assembly { kinds, instances, connections, durations, change: Vec::new() }
}

/// The instances of one site that the authors' runs had, and the process each is in.
const SITE: [(&str, &str); 5] = [
    ("mariadb_worker", "first"),
    ("keystone", "first"),
    ("glance", "first"),
    ("nova", "nova"),
    ("neutron", "neutron"),
];

/// Connections within a site: provider, user, use port.
const SITE_CONNECTIONS: [(&str, &str, &str); 7] = [
    ("mariadb_worker", "keystone", "mariadb_service"),
    ("mariadb_worker", "glance", "mariadb_service"),
    ("mariadb_worker", "nova", "mariadb_service"),
    ("mariadb_worker", "neutron", "mariadb_service"),
    ("keystone", "glance", "keystone_service"),
    ("keystone", "nova", "keystone_service"),
    ("keystone", "neutron", "keystone_service"),
];

/// Transitions whose measured durations have another name in the authors' file.
const RENAMED: [(&str, &str, &str); 2] =
    [("mariadb_master", "update", "unconfigure"), ("mariadb_worker", "update", "unconfigure")];

const MASTER: &str = "mariadb_master";

/// One master, and `sites` sites of five instances in three processes each.
fn multi_site(multi: Multi, sites: usize) -> Result<Assembly, String> {
    let mut assembly = Assembly::default();
    let mut add = |name: String, kind: &str, host: String| {
        assembly.instances.push(Instance { name, kind: kind.to_owned(), host, later: false });
    };
    add(MASTER.to_owned(), MASTER, "master".to_owned());
    for site in 0..sites {
        for (kind, host) in SITE {
            add(format!("{kind}-{site}"), kind, format!("s{site}-{host}"));
        }
    }
    for site in 0..sites {
        let mut connect = |provider: String, user: &str, port: &str| {
            assembly.connections.push(Connection {
                provider,
                provide_port: "service".to_owned(),
                user: format!("{user}-{site}"),
                use_port: port.to_owned(),
            });
        };
        connect(MASTER.to_owned(), "mariadb_worker", "master_service");
        for (provider, user, port) in SITE_CONNECTIONS {
            connect(format!("{provider}-{site}"), user, port);
        }
    }
    for (name, mut kind) in multi.component_types {
        if name != MASTER && SITE.iter().all(|(used, _)| *used != name) {
            continue;
        }
        let renamed = |way: &str| {
            let other = RENAMED.iter().find(|(kind, from, _)| *kind == name && *from == way);
            other.map_or(way, |(_, _, to)| *to).to_owned()
        };
        // The authors' runs never executed a transition without a measured duration.
        kind.transitions.retain(|way| {
            let measured = format!("{}.{}", name.replace('_', ""), renamed(&way.name));
            let seconds = multi.durations_s.get(&measured).copied();
            assembly.durations.extend(seconds.map(|seconds| (format!("{name}.{}", way.name), seconds)));
            seconds.is_some()
        });
        release_before_interrupted(&name, &mut kind);
        assembly.kinds.insert(name, kind);
    }
    assembly.change = update(sites);
    Ok(assembly)
}

/// A change of ours against a deadlock: in the published types an interrupted nova uses keystone until the database is
/// back, but the database waits until keystone has left, which waits for nova. Here an interrupted nova releases
/// keystone.
fn release_before_interrupted(name: &str, kind: &mut Component) {
    let mut ports = kind.ports.iter_mut().filter(|port| port.kind == PortKind::Use);
    if let Some(port) = ports.find(|port| name == "nova" && port.name == "keystone_service") {
        port.bound_to.retain(|place| place != "interrupted");
    }
}

/// The update: every database is configured again, then everything runs again. The authors have six local programs
/// that wait for each other's behaviours. Here it is one script, whose waits cover all sites.
fn update(sites: usize) -> Vec<Vec<Step>> {
    let push = |name: String, behaviour: &str| Step::Push(name, behaviour.to_owned());
    let each = |steps: &[(&str, &str)]| -> Vec<Step> {
        let at = |site: usize| steps.iter().map(move |(kind, does)| push(format!("{kind}-{site}"), does));
        (0..sites).flat_map(at).collect()
    };
    let all_up = [
        ("mariadb_worker", DEPLOY),
        ("keystone", DEPLOY),
        ("glance", DEPLOY),
        ("neutron", DEPLOY),
        ("nova", "update"),
        ("nova", DEPLOY),
    ];
    let mut up = vec![push(MASTER.to_owned(), DEPLOY)];
    up.extend(each(&all_up));
    vec![
        each(&[("nova", "interrupt"), ("neutron", "uninstall"), ("glance", "uninstall")]),
        each(&[("keystone", "uninstall")]),
        each(&[("mariadb_worker", "interrupt"), ("mariadb_worker", "update")]),
        vec![push(MASTER.to_owned(), "interrupt"), push(MASTER.to_owned(), "update")],
        up,
    ]
}
