//! Environment variables of a component: texts with placeholders, and secrets, which name their source.
//!
//! No source is read here. The command line reads them when it deploys the config.

use crate::document;
use crate::named_file::FileKind;
use crate::path;
use crate::read::{Session, TEXT_LENGTH_MAX};
use crate::reader::Node;
use crate::resolved::Replacement;
use crate::secret_names::is_name_of_secret;
use rhizo_types::secret::{Secret, SecretSource};
use rhizo_types::spec::Component;
use std::collections::BTreeMap;

const FORM: &str = "{ env = \"NAME\" }`, `{ file = \"path\" }` or `{ command = \"program argument\" }";

/// The texts and the secrets among a component's environment variables.
pub(crate) type Variables = (BTreeMap<String, String>, BTreeMap<String, Secret>);

impl Session<'_> {
    /// The environment variables of a component.
    pub(crate) fn env(&mut self, node: Option<Node<'_>>, component: &Component) -> Variables {
        let form = "env = { NAME = \"value\" }";
        let named = node.and_then(|node| self.reader.named_like(&node, form)).unwrap_or_default();
        let (mut texts, mut secrets) = Variables::default();
        for (name, node) in self.limited(named, "environment variables") {
            let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            if !begins || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') || name.len() > 256 {
                self.reader
                    .findings
                    .error(node.key.clone(), "not a name of an environment variable")
                    .hint("names consist of letters, digits and `_` and do not begin with a digit");
            }
            if self.reader.is_table(&node) {
                let source = self.secret_source(&node);
                secrets.extend(source.map(|source| (name.to_owned(), Secret::Source(source))));
                continue;
            }
            let Some(value) = self.reader.text(&node) else { continue };
            if self.check_text(&value, TEXT_LENGTH_MAX) {
                self.check_placeholders(&value, component);
                self.warn_of_plain_secret(name, value.text, &node);
                texts.insert(name.to_owned(), value.text.to_owned());
            }
        }
        (texts, secrets)
    }

    /// The environment variables of an action, which have no secrets of their own.
    pub(crate) fn env_of_action(
        &mut self,
        node: Option<Node<'_>>,
        component: &Component,
    ) -> BTreeMap<String, String> {
        let place = node.as_ref().map(|node| node.key.clone());
        let (texts, secrets) = self.env(node, component);
        if let (Some(place), Some(name)) = (place, secrets.keys().next()) {
            self.reader
                .findings
                .error(place, format!("the secret `{name}` cannot belong to one action"))
                .hint("write it in the `env` of the component: its actions get it as well");
        }
        texts
    }

    fn secret_source(&mut self, node: &Node<'_>) -> Option<SecretSource> {
        let mut table = self.reader.table(node)?;
        let [env, file, command] = ["env", "file", "command"].map(|name| table.take(name));
        let errors = self.reader.findings.errors();
        self.reader.finish::<document::Secret>(table);
        if self.reader.findings.errors() > errors {
            // An unknown field stands in the place of the source: that is one mistake.
            return None;
        }
        let given = [&env, &file, &command].into_iter().flatten().count();
        if given != 1 {
            let draft = self.reader.findings.error(node.key.clone(), "a secret has one source");
            draft.hint(format!("write `{FORM}`"));
            return None;
        }
        if let Some(node) = command {
            let mut argv = self.command_words(&node)?;
            if let Some(program) = argv.first().filter(|program| program.contains('/')) {
                let path = path::join(self.base_of(&node), program);
                self.files.push((FileKind::SecretProgram, path, node.span.clone()));
            }
            // Sources begin at the folder of the config that is deployed, so those of other files are resolved here.
            if let Some(program) = argv.first_mut().filter(|program| program.contains('/'))
                && !self.reader.sources.is_first(node.key.start)
            {
                *program = path::join(self.base_of(&node), program);
                self.resolved.insert(node.span.start, Replacement::Words(argv.clone()));
            }
            return Some(SecretSource::Command(argv));
        }
        let node = env.as_ref().or(file.as_ref())?;
        let text = self.reader.text(node)?;
        if text.text.is_empty() {
            self.reader
                .findings
                .error(text.span, "the source of a secret is empty")
                .hint(format!("write `{FORM}`"));
            return None;
        }
        let span = text.span;
        let mut text = text.text.to_owned();
        self.files.push(match env {
            Some(_) => (FileKind::SecretVariable, text.clone(), span),
            None => (FileKind::SecretFile, path::join(self.base_of(node), &text), span),
        });
        if env.is_none() && !self.reader.sources.is_first(node.key.start) {
            text = path::join(self.base_of(node), &text);
            self.resolved.insert(node.span.start, Replacement::Text(text.clone()));
        }
        Some(if env.is_some() { SecretSource::Env(text) } else { SecretSource::File(text) })
    }

    /// The words of a command on the operator's machine, where nothing is filled in.
    fn command_words(&mut self, node: &Node<'_>) -> Option<Vec<String>> {
        let words = if self.reader.is_array(node) {
            self.reader.texts(node)?.into_iter().map(|word| word.text.to_owned()).collect()
        } else {
            let line = self.reader.text(node)?;
            shlex::split(line.text).unwrap_or_default()
        };
        if words.is_empty() {
            self.reader
                .findings
                .error(node.span.clone(), "not a command")
                .hint("write `command = \"program argument\"`; a quote that is opened must be closed");
            return None;
        }
        Some(words)
    }

    fn warn_of_plain_secret(&mut self, name: &str, value: &str, node: &Node<'_>) {
        // A placeholder gets its value from another component, and a path is not the secret itself.
        if is_name_of_secret(name) && !value.is_empty() && !value.contains(['{', '/']) {
            self.reader
                .findings
                .warning(node.span.clone(), format!("the value of `{name}` is stored as plain text"))
                .hint(format!("if it is a secret, name its source: `{FORM}`; it is then sealed"));
        }
    }
}
