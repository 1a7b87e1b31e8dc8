//! The values of placeholders in templates, and the variables with the same facts for programs.
//!
//! `rhizo-config` has checked the names of placeholders before anything is started. The whole environment of a program
//! is made in [`super::launch`].

use super::artifacts::Artifacts;
use super::data_directory::DataDirectory;
use super::imports::{SeenImport, SeenImports};
use super::packed::Packed;
use super::{ExportTable, NodeView};
use crate::secrets::Opened;
use rhizo_artifacts::store::Lease;
use rhizo_config::{TemplateExporter, TemplateImport, TemplateInputs};
use rhizo_types::lifecycle::Values;
use rhizo_types::spec::{Closure, Health, Probe};
use rhizo_types::{AppName, InstanceId, PortName, ValueName};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The facts that templates can name, as they are when a program or an action of the run begins.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    pub(super) app: AppName,
    pub(super) instance: InstanceId,
    /// The number of the run within its generation, from one.
    pub(super) attempt: u32,
    pub(super) node: NodeView,
    pub(super) dir: PathBuf,
    /// The directory of the data; none for an instance without state.
    pub(super) data: Option<DataDirectory>,
    /// The control group of the host; none where it has none.
    pub(super) host_group: Option<PathBuf>,
    pub(super) exports: ExportTable,
    pub(super) imports: SeenImports,
    pub(super) attributes: Values,
    /// The values that earlier actions of the run have published.
    pub(super) values: Values,
    /// The secrets of the component.
    pub(super) secrets: Opened,
    /// The closure of the component; none if all its files belong to the system.
    pub(super) leased: Option<(Arc<Lease>, Closure)>,
    /// The closure in place, once it is installed.
    pub(super) packed: Option<Packed>,
}

/// Waits until the files of the component of a scope are in place.
///
/// # Errors
/// The reason in words: that of the scope, or that for which the files are not there.
pub(super) async fn installed(scope: Result<Scope, String>, artifacts: &Artifacts) -> Result<Scope, String> {
    let mut scope = scope?;
    if let Some((lease, closure)) = &scope.leased {
        scope.packed = Some(artifacts.install(closure, lease.clone()).await?);
    }
    Ok(scope)
}

/// Makes the directory of the data, if the instance has state, before anything of it runs.
///
/// # Errors
/// The reason in words, also that of a scope that could not be made.
pub(super) async fn prepared(scope: Result<Scope, String>) -> Result<Scope, String> {
    let scope = scope?;
    if let Some(data) = &scope.data {
        data.prepare().await?;
    }
    Ok(scope)
}

impl Scope {
    /// The file that a path of the config stands for on this host.
    pub(super) fn located(&self, path: &Path) -> PathBuf {
        self.packed.as_ref().map_or_else(|| path.to_owned(), |packed| packed.located(path))
    }

    /// Replaces every placeholder.
    pub(super) fn fill(&self, template: &str) -> Result<String, String> {
        rhizo_config::fill(template, &|name| self.value(name))
            .map_err(|name| format!("`{{{name}}}` in `{template}` stands for nothing here"))
    }

    /// The values that a template file can name.
    pub(super) fn template_inputs(&self) -> TemplateInputs {
        let names = ["app", "component", "instance", "ordinal", "node", "dir", "data", "files"];
        let texts = |values: &Values| {
            values.iter().map(|(name, value)| (name.to_string(), value.clone())).collect::<BTreeMap<_, _>>()
        };
        let imported = |seen: &SeenImport| TemplateImport {
            address: seen.address,
            exporters: seen
                .exporters
                .iter()
                .map(|(instance, served)| TemplateExporter {
                    instance: instance.to_string(),
                    address: served.address,
                    values: texts(&served.values),
                })
                .collect(),
        };
        TemplateInputs {
            names: names.into_iter().filter_map(|name| Some((name.to_owned(), self.value(name)?))).collect(),
            exports: self.exports.iter().map(|(name, address)| (name.to_string(), *address)).collect(),
            imports: self.imports.iter().map(|(name, seen)| (name.to_string(), imported(seen))).collect(),
            attributes: texts(&self.attributes),
            values: Some(texts(&self.values)),
            secrets: self.secrets.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        }
    }

    /// Replaces every placeholder of every text.
    pub(super) fn fill_all(&self, templates: &[String]) -> Result<Vec<String>, String> {
        templates.iter().map(|template| self.fill(template)).collect()
    }

    /// Replaces every placeholder of a probe.
    pub(super) fn fill_probe(&self, probe: &Probe) -> Result<Probe, String> {
        Ok(match probe {
            Probe::Exec { argv } => Probe::Exec { argv: self.fill_all(argv)? },
            Probe::Http { export, path } => Probe::Http { export: export.clone(), path: self.fill(path)? },
            Probe::Tcp { .. } => probe.clone(),
        })
    }

    /// Returns the health check of a service that listens at these exports.
    pub(super) fn fill_health(
        &self,
        health: Option<&Health>,
        exports: &ExportTable,
    ) -> Result<Option<Health>, String> {
        let Some(health) = health else { return Ok(None) };
        let scope = Self { exports: exports.clone(), ..self.clone() };
        Ok(Some(Health { probe: scope.fill_probe(&health.probe)?, ..health.clone() }))
    }

    fn value(&self, name: &str) -> Option<String> {
        let parts: Vec<&str> = name.split('.').collect();
        match parts.as_slice() {
            ["app"] => Some(self.app.to_string()),
            ["component"] => Some(self.instance.component.to_string()),
            ["instance"] => Some(self.instance.to_string()),
            ["ordinal"] => Some(self.instance.ordinal.to_string()),
            ["node"] => Some(self.node.id.to_string()),
            ["files"] => Some(self.packed.as_ref()?.files().to_string_lossy().into_owned()),
            ["dir"] => Some(self.dir.to_string_lossy().into_owned()),
            ["data"] => self.data.as_ref().map(|data| data.path().to_string_lossy().into_owned()),
            ["attribute", name] => self.attributes.get(&ValueName::from(*name)).cloned(),
            ["value", name] => self.values.get(&ValueName::from(*name)).cloned(),
            ["export", port, part] => {
                let address = self.exports.get(&PortName::from(*port));
                address.and_then(|address| address_part(Some(address), part))
            }
            ["import", port, part] => imported(self.imports.get(&PortName::from(*port))?, part),
            _ => None,
        }
    }

    /// Returns the facts of this scope as environment variables, for programs without a template, for example scripts.
    pub(super) fn environment(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::from([
            ("RHIZO_APP".to_owned(), self.app.to_string()),
            ("RHIZO_INSTANCE".to_owned(), self.instance.to_string()),
            ("RHIZO_NODE".to_owned(), self.node.id.to_string()),
            ("RHIZO_DIR".to_owned(), self.dir.to_string_lossy().into_owned()),
        ]);
        if let Some(data) = &self.data {
            all.insert("RHIZO_DATA".to_owned(), data.path().to_string_lossy().into_owned());
        }
        for (port, address) in &self.exports {
            all.insert(variable(&["EXPORT", port.as_str()]), address.to_string());
        }
        for (port, told) in &self.imports {
            all.insert(variable(&["IMPORT", port.as_str()]), joined(told));
            for (name, value) in
                told.exporters.values().next().map(|served| &served.values).into_iter().flatten()
            {
                all.insert(variable(&["IMPORT", port.as_str(), name.as_str()]), value.clone());
            }
        }
        for (kind, values) in [("ATTRIBUTE", &self.attributes), ("VALUE", &self.values)] {
            for (name, value) in values {
                all.insert(variable(&[kind, name.as_str()]), value.clone());
            }
        }
        if let Some(packed) = &self.packed {
            all.insert("RHIZO_FILES".to_owned(), packed.files().to_string_lossy().into_owned());
        }
        // A value with a zero byte cannot be in an environment, and a part of it would be of no use.
        all.retain(|_, value| !value.contains('\0'));
        all
    }
}

/// `RHIZO_IMPORT_DB_PASSWORD`.
fn variable(parts: &[&str]) -> String {
    let mut name = "RHIZO".to_owned();
    for part in parts {
        name.push('_');
        name.extend(
            part.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }),
        );
    }
    name
}

/// Returns a property of an import: its address, for `addrs` the addresses of all exporters, or a value of the first one.
///
/// The properties of an unbound import are empty texts, so that a program can test for them.
fn imported(seen: &SeenImport, part: &str) -> Option<String> {
    if part == "addrs" {
        return Some(joined(seen));
    }
    let Some(first) = seen.exporters.values().next() else { return Some(String::new()) };
    address_part(seen.address.as_ref(), part).or_else(|| first.values.get(&ValueName::from(part)).cloned())
}

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

fn joined(seen: &SeenImport) -> String {
    let texts: Vec<String> = seen.addresses().iter().map(ToString::to_string).collect();
    texts.join(",")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use rhizo_protocol::Bound;
    use rhizo_types::NodeId;
    use rhizo_types::message::Served;
    use std::net::{IpAddr, Ipv4Addr};

    /// A scope with something of everything, in this directory.
    pub(crate) fn scope(dir: PathBuf) -> Scope {
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let exporter = |ordinal| InstanceId { component: "db".into(), ordinal };
        let served = |port, password: &str| Served {
            address: Some(address(port)),
            values: Values::from([("password".into(), password.to_owned())]),
        };
        let db = Bound::from_iter([(exporter(0), served(1, "s3cret")), (exporter(1), served(2, "other"))]);
        Scope {
            app: "shop".into(),
            instance: InstanceId { component: "web".into(), ordinal: 2 },
            attempt: 1,
            node: NodeView {
                id: NodeId(7),
                provider: "lab".into(),
                region: "west".into(),
                address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            },
            dir,
            data: None,
            host_group: None,
            exports: ExportTable::from([("http".into(), address(80))]),
            imports: SeenImports::from_iter([
                ("db".into(), SeenImport::direct(db)),
                ("cache".into(), SeenImport::default()),
            ]),
            attributes: Values::from([("colour".into(), "blue".to_owned())]),
            values: Values::from([("schema".into(), "4".to_owned())]),
            secrets: Opened::default(),
            leased: None,
            packed: None,
        }
    }

    fn check(template: &str, expected: Option<&str>) {
        assert_eq!(scope("/run".into()).fill(template).ok().as_deref(), expected, "{template}");
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

    #[test]
    fn templates_know_values_of_imports_attributes_and_earlier_actions() {
        check("{import.db.password}", Some("s3cret"));
        check("[{import.cache.password}]", Some("[]"));
        check("{attribute.colour} {value.schema}", Some("blue 4"));
        check("{import.db.user}", None);
        check("{attribute.shape}", None);
        check("{value.password}", None);
    }

    #[test]
    fn a_health_check_knows_where_the_service_listens() {
        let probe =
            Probe::Exec { argv: ["check", "{export.http.addr}", "{dir}/x"].map(str::to_owned).into() };
        let health = Health { probe, every_ms: 1, fail_after: 2 };
        let exports = ExportTable::from([("http".into(), SocketAddr::from((Ipv4Addr::LOCALHOST, 99)))]);
        let filled = scope("/run".into()).fill_health(Some(&health), &exports);
        let argv = ["check", "127.0.0.1:99", "/run/x"].map(str::to_owned).into();
        assert_eq!(filled, Ok(Some(Health { probe: Probe::Exec { argv }, ..health })));
    }

    #[test]
    fn the_environment_has_the_same_facts() {
        let all = scope("/run".into()).environment();
        assert_eq!(all["RHIZO_EXPORT_HTTP"], "127.0.0.1:80");
        assert_eq!(all["RHIZO_IMPORT_DB"], "127.0.0.1:1,127.0.0.1:2");
        assert_eq!(all["RHIZO_IMPORT_DB_PASSWORD"], "s3cret");
        assert_eq!(all["RHIZO_IMPORT_CACHE"], "");
        assert_eq!(all["RHIZO_ATTRIBUTE_COLOUR"], "blue");
        assert_eq!(all["RHIZO_VALUE_SCHEMA"], "4");
    }
}
