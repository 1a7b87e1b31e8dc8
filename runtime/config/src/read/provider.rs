//! The `[providers]` table: rhizo's own fields, and settings that only the provider understands.

use crate::finding::Span;
use crate::named_file::FileKind;
use crate::path;
use crate::read::Session;
use crate::reader::{Node, Text};
use crate::resolved::Replacement;
use rhizo_types::ProviderName;
use rhizo_types::spec::ProviderSpec;
use std::collections::{BTreeMap, BTreeSet};

/// Settings that are paths, or whose name ends in `_` and one of these: resolved against the config file.
const PATH_SETTINGS: &[&str] =
    &["offers", "attributes", "rtt", "faults", "file", "path", "dir", "identity_file", "image_file"];

/// Most providers of one config: each is listed every 30 s.
const PROVIDERS_MAX: usize = 64;

impl Session<'_> {
    pub(crate) fn providers(&mut self, node: Option<Node<'_>>) -> BTreeMap<ProviderName, ProviderSpec> {
        let mut providers = BTreeMap::new();
        let Some(node) = node else {
            // Without `[providers]` an application runs on this machine.
            let local = ProviderSpec {
                kind: "process".to_owned(),
                settings: "{}".to_owned(),
                regions: BTreeSet::new(),
            };
            providers.insert(ProviderName("local".to_owned()), local);
            return providers;
        };
        let place = node.key.clone();
        let Some(named) = self.reader.named(&node) else { return providers };
        if named.is_empty() {
            self.reader.findings.error(place, "no provider is configured").hint(
                "remove `providers` for one `process` provider on this machine, or add `[providers.NAME]`",
            );
        }
        if named.len() > PROVIDERS_MAX {
            let span = named[PROVIDERS_MAX].1.key.clone();
            self.reader
                .findings
                .error(span, format!("more than {PROVIDERS_MAX} providers"))
                .hint("use one provider with several regions");
        }
        for (name, node) in named.into_iter().take(PROVIDERS_MAX) {
            self.check_name(name, &node.key, "provider");
            if name == "founder" {
                self.reader
                    .findings
                    .error(node.key.clone(), "the provider name `founder` is taken")
                    .hint("it stands for the machine that `up` runs on; choose another");
            }
            if let Some(provider) = self.provider(&node) {
                providers.insert(ProviderName(name.to_owned()), provider);
            }
        }
        providers
    }

    fn provider(&mut self, node: &Node<'_>) -> Option<ProviderSpec> {
        let mut table = self.reader.table(node)?;
        let kind = self.reader.required(&mut table, "kind", "\"process\"");
        let kind = kind.and_then(|node| self.reader.text(&node));
        if let Some(kind) = &kind {
            self.provider_kind(kind.text, &kind.span);
        }
        let mut regions = BTreeSet::new();
        if let Some(node) = table.take("regions") {
            for text in self.reader.texts(&node).unwrap_or_default() {
                if let Some(region) = self.region(&text)
                    && !regions.insert(region)
                {
                    let message = format!("the region `{}` is listed twice", text.text);
                    self.reader.findings.error(text.span, message).hint("remove one of them");
                }
            }
        }
        let base = self.base_of(node);
        let mut settings = serde_json::Map::new();
        for (name, node) in table.take_all() {
            if let Some(text) = self.reader.as_text(&node).filter(|text| is_data_file(name, text.text)) {
                self.files.push((FileKind::Data, path::join(base, text.text), text.span));
            }
            let resolved = &mut self.resolved;
            let mut resolve = |path: &[String], text: &Text<'_>| {
                let is_path = path.last().is_some_and(|name| is_path_setting(name));
                // A URL is not a path and stays unchanged.
                if !is_path || text.text.is_empty() || text.text.contains("://") {
                    return text.text.to_owned();
                }
                let path = path::join(base, text.text);
                resolved.insert(text.span.start, Replacement::Text(path.clone()));
                path
            };
            let value = self.reader.json(&node, &mut vec![name.to_owned()], &mut resolve);
            settings.insert(name.to_owned(), value);
        }
        let settings = serde_json::Value::Object(settings).to_string();
        Some(ProviderSpec { kind: kind?.text.to_owned(), settings, regions })
    }

    /// The program that runs the config knows the kinds, so the name is only noted here.
    fn provider_kind(&mut self, kind: &str, span: &Span) {
        if self.check_name(kind, span, "provider kind") {
            self.kinds.push((kind.to_owned(), span.clone()));
        }
    }
}

/// Whether a setting names a file that the provider needs on this machine. A file of `faults` may be written later.
fn is_data_file(name: &str, text: &str) -> bool {
    matches!(name, "offers" | "attributes" | "rtt") && !text.is_empty() && !text.contains("://")
}

fn is_path_setting(name: &str) -> bool {
    PATH_SETTINGS.iter().any(|setting| {
        name == *setting || name.strip_suffix(setting).is_some_and(|before| before.ends_with('_'))
    })
}
