//! The records in an application's directory, as the files have them.
//!
//! Plain data and its conversions. [`super::AppDir`] reads and writes the files.

use rhizo_actuators::Owner;
use rhizo_overlay::LinkTarget;
use rhizo_protocol::ledger::Recovery;
use rhizo_types::spec::Spec;
use rhizo_types::{AppName, Lineage, NodeId, PeerKey, ProviderName};
use serde::{Deserialize, Serialize};
use std::fs;
use std::net::SocketAddr;

/// The application that a directory belongs to; `deployment.json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deployment {
    /// Version of this record's form.
    pub(crate) version: u32,
    /// The application.
    pub(crate) app: AppName,
    /// Its lineage.
    pub(crate) lineage: Lineage,
    /// Other lineages whose hosts may exist: former ones, and the next one while a recovery is not finished.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) others: Vec<Lineage>,
}

impl Deployment {
    /// The owners of all hosts that the application may have at its providers.
    pub(crate) fn owners(&self) -> Vec<Owner> {
        let lineages = [self.lineage].into_iter().chain(self.others.iter().copied());
        lineages.map(|lineage| Owner { app: self.app.clone(), lineage }).collect()
    }

    /// Returns this record with one more lineage whose hosts may exist.
    pub(crate) fn with_other(&self, lineage: Lineage) -> Self {
        let mut deployment = self.clone();
        if !deployment.others.contains(&lineage) {
            deployment.others.push(lineage);
        }
        deployment
    }

    /// Returns this record without a lineage in `others`.
    pub(crate) fn without_other(mut self, lineage: Lineage) -> Self {
        self.others.retain(|other| *other != lineage);
        self
    }
}

/// An order to begin a new lineage that may not be carried out yet; `recovery.json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PendingRecovery {
    /// Version of this record's form.
    pub(crate) version: u32,
    /// The order.
    pub(crate) order: Recovery,
    /// The survivor's public key in hexadecimal digits.
    pub(crate) survivor_key: String,
    /// The addresses at which the survivor accepts links.
    pub(crate) survivor_addresses: Vec<SocketAddr>,
}

impl PendingRecovery {
    /// The survivor's address; `None` when the key is damaged.
    pub(crate) fn survivor_target(&self) -> Option<LinkTarget> {
        let key = from_hex(&self.survivor_key).map(PeerKey)?;
        Some(LinkTarget { key, addresses: self.survivor_addresses.clone() })
    }
}

/// A member that the command line can dial; one entry of `members.json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KnownMember {
    /// The member's id.
    pub(crate) node: NodeId,
    /// The member's public key in hexadecimal digits.
    pub(crate) key: String,
    /// The addresses at which the member accepts links.
    pub(crate) addresses: Vec<SocketAddr>,
}

/// The process of node 0; `founder.json`.
///
/// The start time is part of its identity, because the kernel reuses process ids.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FounderProcess {
    /// The process id.
    pub(crate) pid: i32,
    /// When the process started, in clock ticks since boot, from `/proc/PID/stat`; absent when that was not readable.
    pub(crate) start_ticks: Option<u64>,
}

impl FounderProcess {
    /// The calling process.
    #[must_use]
    pub(crate) fn current() -> Self {
        Self::of(std::process::id())
    }

    /// The process with this id.
    #[must_use]
    pub(crate) fn of(pid: u32) -> Self {
        Self { pid: i32::try_from(pid).unwrap_or(0), start_ticks: start_ticks(pid) }
    }

    /// Whether the process still runs: a process with this id exists, is no zombie and started at the same tick.
    #[must_use]
    pub(crate) fn is_alive(&self) -> bool {
        let now = u32::try_from(self.pid).ok().and_then(start_ticks);
        now.is_some() && now == self.start_ticks
    }
}

/// The start time of a process in clock ticks since boot; `None` for a zombie or when there is no such process.
fn start_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses, which may contain anything; the state follows it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    if fields.first() == Some(&"Z") {
        return None;
    }
    fields.get(19)?.parse().ok()
}

/// The form of `providers.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "version")]
pub(crate) enum KnownProviders {
    /// First form.
    #[serde(rename = "1")]
    V1 {
        /// The tables.
        providers: Vec<KnownProvider>,
    },
}

/// A provider that may have hosts of the application, with the table by which some config described it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KnownProvider {
    /// Its name in the config.
    pub(crate) name: ProviderName,
    /// Its kind.
    pub(crate) kind: String,
    /// The rest of its table as JSON, with absolute paths.
    pub(crate) settings: String,
    /// When a config without this table was put in force, in milliseconds since the Unix epoch; absent while a config
    /// names it.
    pub(crate) unnamed_since_unix_ms: Option<u64>,
}

impl KnownProvider {
    /// The tables of a config.
    pub(crate) fn all_of(spec: &Spec) -> impl Iterator<Item = Self> {
        spec.providers.iter().map(|(name, configured)| Self {
            name: name.clone(),
            kind: configured.kind.clone(),
            settings: configured.settings.clone(),
            unnamed_since_unix_ms: None,
        })
    }

    /// Whether both are the same table of the same provider.
    #[must_use]
    pub(crate) fn is_table_of(&self, other: &Self) -> bool {
        (&self.name, &self.kind, &self.settings) == (&other.name, &other.kind, &other.settings)
    }
}

/// 32 bytes as 64 lower-case hexadecimal digits.
#[must_use]
pub(crate) fn to_hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 32 bytes from 64 hexadecimal digits with optional white space around; `None` for anything else.
#[must_use]
pub(crate) fn from_hex(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (position, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * position..2 * position + 2], 16).ok()?;
    }
    Some(bytes)
}

impl KnownMember {
    /// The member's key as bytes; `None` when the recorded text is not a key.
    #[must_use]
    pub(crate) fn peer_key(&self) -> Option<PeerKey> {
        from_hex(&self.key).map(PeerKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_after_writing_and_parsing() {
        let bytes: [u8; 32] = std::array::from_fn(|position| u8::try_from(position * 7 % 256).unwrap_or(0));
        assert_eq!(from_hex(&to_hex(&bytes)), Some(bytes));
        assert_eq!(from_hex("zz"), None);
        assert_eq!(from_hex(&"é".repeat(32)), None);
    }

    #[test]
    fn the_record_of_providers_keeps_its_form_on_disk() {
        let provider = |unnamed_since_unix_ms| KnownProvider {
            name: "lab".into(),
            kind: "process".to_owned(),
            settings: "{}".to_owned(),
            unnamed_since_unix_ms,
        };
        let record = KnownProviders::V1 { providers: vec![provider(None), provider(Some(7))] };
        let golden = concat!(
            r#"{"version":"1","providers":[{"name":"lab","kind":"process","settings":"{}","unnamed_since_unix_ms":null},"#,
            r#"{"name":"lab","kind":"process","settings":"{}","unnamed_since_unix_ms":7}]}"#
        );
        assert_eq!(serde_json::to_string(&record).unwrap(), golden);
        let KnownProviders::V1 { providers } = serde_json::from_str(golden).unwrap();
        assert_eq!(providers, [provider(None), provider(Some(7))]);
    }
}
