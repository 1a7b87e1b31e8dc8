//! What the placeholders in a program's command and environment stand for: `{export.NAME.addr}` and the like.
//!
//! Which names there are is checked by `rhizo-config` before anything is started; here they get their values.

use super::{ExportTable, ImportTable, NodeView};
use rhizo_types::{InstanceId, PortName};
use std::net::SocketAddr;

/// What templates can speak of.
pub(super) struct Scope<'a> {
    pub(super) app: &'a str,
    pub(super) instance: &'a InstanceId,
    pub(super) node: &'a NodeView,
    pub(super) dir: &'a str,
    pub(super) exports: &'a ExportTable,
    pub(super) imports: &'a ImportTable,
}

/// Replaces every placeholder.
pub(super) fn fill(template: &str, scope: &Scope<'_>) -> Result<String, String> {
    rhizo_config::fill(template, &|name| value(name, scope))
        .map_err(|name| format!("`{{{name}}}` in `{template}` stands for nothing here"))
}

fn value(name: &str, scope: &Scope<'_>) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    match parts.as_slice() {
        ["app"] => Some(scope.app.to_owned()),
        ["component"] => Some(scope.instance.component.to_string()),
        ["instance"] => Some(scope.instance.to_string()),
        ["ordinal"] => Some(scope.instance.ordinal.to_string()),
        ["node"] => Some(scope.node.id.to_string()),
        ["dir"] => Some(scope.dir.to_owned()),
        ["export", port, part] => {
            scope.exports.get(&PortName::from(*port)).and_then(|address| address_part(Some(address), part))
        }
        ["import", port, "addrs"] => scope.imports.get(&PortName::from(*port)).map(|all| joined(all)),
        ["import", port, part] => {
            scope.imports.get(&PortName::from(*port)).and_then(|all| address_part(all.first(), part))
        }
        _ => None,
    }
}

/// An optional import that is not bound yet is the empty text, so that a program can test for it.
fn address_part(address: Option<&SocketAddr>, part: &str) -> Option<String> {
    let Some(address) = address else {
        return matches!(part, "addr" | "host" | "port").then(String::new);
    };
    match part {
        "addr" => Some(address.to_string()),
        "host" => Some(address.ip().to_string()),
        "port" => Some(address.port().to_string()),
        _ => None,
    }
}

fn joined(addresses: &[SocketAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    texts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_types::NodeId;
    use std::net::{IpAddr, Ipv4Addr};

    fn check(template: &str, expected: Option<&str>) {
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let scope = Scope {
            app: "shop",
            instance: &InstanceId { component: "web".into(), ordinal: 2 },
            node: &NodeView {
                id: NodeId(7),
                provider: "lab".into(),
                region: "west".into(),
                address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            },
            dir: "/run",
            exports: &ExportTable::from([("http".into(), address(80))]),
            imports: &ImportTable::from([
                ("db".into(), vec![address(1), address(2)]),
                ("cache".into(), vec![]),
            ]),
        };
        assert_eq!(fill(template, &scope).ok().as_deref(), expected, "{template}");
    }

    #[test]
    fn templates_are_filled_in_or_refused() {
        check("plain", Some("plain"));
        check("--listen {export.http.addr}", Some("--listen 127.0.0.1:80"));
        check("{import.db.port} {import.db.addrs}", Some("1 127.0.0.1:1,127.0.0.1:2"));
        check("[{import.cache.addr}]", Some("[]"));
        check("{app}/{instance}@{node}", Some("shop/web.2@n7"));
        check("{import.nobody.addr}", None);
        check("{export.http.colour}", None);
    }
}
