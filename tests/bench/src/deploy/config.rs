//! The application that an assembly becomes: one component for each of its own, with its life-cycle.
//!
//! Ports carry a value and no address, since nothing listens. The way back, which the assembly does not have, takes no
//! time.

use std::fmt::Write as _;

use super::assembly::{Assembly, Component, PortKind};

/// The text of the config.
pub(super) fn toml(assembly: &Assembly) -> String {
    let mut text = "rhizo = 1\n[app]\nname = \"assembly\"\nversion = \"1\"\n".to_owned();
    for (name, component) in &assembly.components {
        // Writing to a string cannot fail.
        let _infallible = one(&mut text, name, component, assembly);
    }
    text
}

fn one(text: &mut String, name: &str, component: &Component, assembly: &Assembly) -> std::fmt::Result {
    writeln!(text, "[components.{name}]\nattributes = {{ up = \"yes\" }}")?;
    let ports = |kind: PortKind| component.ports.iter().filter(move |port| port.kind == kind);
    for port in ports(PortKind::Provide) {
        writeln!(text, "exports.{} = {{ data = true, values = [\"up\"] }}", port.name)?;
    }
    let connected = |port: &str| {
        let mut connections = assembly.connections.iter();
        connections.find(|each| each.user == name && each.use_port == port)
    };
    for port in ports(PortKind::Use) {
        if let Some(from) = connected(&port.name) {
            writeln!(
                text,
                "imports.{} = {{ from = \"{}.{}\" }}",
                port.name, from.provider, from.provide_port
            )?;
        }
    }
    // A life-cycle begins in the place that is listed first.
    let mut places: Vec<&String> = component.places.iter().collect();
    places.sort_by_key(|place| **place != component.initial);
    let is_last = |place: &&&String| component.transitions.iter().all(|way| way.from != ***place);
    let last: Vec<&String> = places.iter().filter(is_last).copied().collect();
    writeln!(text, "[components.{name}.lifecycle]\nplaces = {places:?}\nstarted = {last:?}")?;
    for port in ports(PortKind::Provide) {
        writeln!(text, "exports.{} = {:?}", port.name, port.bound_to)?;
    }
    for port in ports(PortKind::Use).filter(|port| connected(&port.name).is_some()) {
        let is_way = |to: &&String| component.transitions.iter().any(|way| way.name == **to);
        let (ways, rest): (Vec<&String>, Vec<&String>) = port.bound_to.iter().partition(is_way);
        writeln!(text, "imports.{} = {{ transitions = {ways:?}, places = {rest:?} }}", port.name)?;
    }
    let ways: Vec<&String> = component.transitions.iter().map(|way| &way.name).collect();
    writeln!(text, "behaviours = {{ deploy = {ways:?}, retire = [\"back\"] }}")?;
    writeln!(text, "[components.{name}.lifecycle.transitions]")?;
    for way in &component.transitions {
        writeln!(
            text,
            "{} = {{ from = {:?}, to = {:?}, call = {:?} }}",
            way.name, way.from, way.to, way.name
        )?;
    }
    let from = last.first().map_or("", |place| place.as_str());
    writeln!(text, "back = {{ from = {from:?}, to = {:?} }}", component.initial)
}
