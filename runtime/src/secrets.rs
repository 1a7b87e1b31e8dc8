//! Secrets: read on the operator's machine, sealed for the log, opened by the node that launches a program.
//!
//! A value is sealed with XChaCha20-Poly1305 under a key of the application, and bound to its component and variable.
//! The nonce is a keyed hash of the value and its place, so that the same value gives the same bytes: otherwise every
//! `up` would restart each component that has a secret. The key is derived from the operator's key. A member gets it
//! in the answer to its join. See docs/decisions/0707 for what this protects and what it does not.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rhizo_types::ComponentName;
use rhizo_types::secret::{Sealed, SealingKey, Secret, SecretSource};
use rhizo_types::spec::Spec;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// The longest value in bytes. A certificate chain with its key is shorter, and a larger one does not belong into an
/// environment.
const VALUE_BYTES_MAX: usize = 32 * 1_024;

/// Bytes of the nonce before the ciphertext.
const NONCE_BYTES: usize = 24;

/// The contexts of the derived keys, which keep them apart from all other uses of the same secret.
const KEY_CONTEXT: &str = "rhizo 2026-11 sealing key of an application";
const NONCE_CONTEXT: &str = "rhizo 2026-11 nonce of a sealed secret";

/// Values shorter than this are not replaced in texts: that would garble every text and hide nothing.
const REDACTED_BYTES_MIN: usize = 4;

/// The values of secrets by component and variable.
pub(crate) type ByVariable<V> = BTreeMap<ComponentName, BTreeMap<String, V>>;

/// Why a secret cannot be used. Completes "failed to …".
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    /// The source of a secret could not be read.
    #[error("read the secret `{variable}` of component `{component}` from {origin}: {reason}")]
    Unreadable {
        /// The component.
        component: ComponentName,
        /// The environment variable.
        variable: String,
        /// The source in words.
        origin: String,
        /// The reason in words.
        reason: String,
    },
    /// The bytes were not sealed with this key for this variable.
    #[error("open the secret `{variable}`: it was sealed with another key or is damaged")]
    Damaged {
        /// The environment variable.
        variable: String,
    },
    /// This node has no key.
    #[error("open the secret `{variable}`: this node has no key of the application")]
    NoKey {
        /// The environment variable.
        variable: String,
    },
}

/// Returns the key that seals the secrets of the application of an operator.
pub(crate) fn key_of(operator: &[u8; 32]) -> SealingKey {
    SealingKey(blake3::derive_key(KEY_CONTEXT, operator))
}

/// The values of an application's secrets, as the operator's machine has read them.
#[derive(Clone, Default)]
pub(crate) struct Plain(ByVariable<String>);

impl Plain {
    /// Reads the sources of all secrets of a spec; relative paths and commands start at `base`.
    ///
    /// # Errors
    /// When a source cannot be read, or its value is no text that fits an environment.
    pub(crate) fn read(spec: &Spec, base: &Path) -> Result<Self, SecretError> {
        let mut values = ByVariable::new();
        for (component, definition) in &spec.components {
            for (variable, secret) in &definition.secrets {
                let Secret::Source(source) = secret else { continue };
                let value = read(source, base).map_err(|reason| SecretError::Unreadable {
                    component: component.clone(),
                    variable: variable.clone(),
                    origin: in_words(source),
                    reason,
                })?;
                values.entry(component.clone()).or_default().insert(variable.clone(), value);
            }
        }
        Ok(Self(values))
    }

    /// Seals all values.
    pub(crate) fn seal(&self, key: &SealingKey) -> ByVariable<Sealed> {
        let of_component = |(component, values): (&ComponentName, &BTreeMap<String, String>)| {
            let sealed = values.iter().map(|(variable, value)| {
                (variable.clone(), seal(key, component, variable, value.as_bytes()))
            });
            (component.clone(), sealed.collect())
        };
        self.0.iter().map(of_component).collect()
    }
}

/// Puts the sealed values in the place of the sources.
///
/// # Errors
/// The component and variable of a secret without a value, as text that completes "failed to …".
pub(crate) fn fill(spec: &mut Spec, sealed: &ByVariable<Sealed>) -> Result<(), String> {
    for (component, definition) in &mut spec.components {
        if definition.secrets.is_empty() {
            continue;
        }
        for (variable, secret) in &mut Arc::make_mut(definition).secrets {
            let value = sealed.get(component).and_then(|values| values.get(variable));
            let value = value.ok_or_else(|| {
                format!("find the value of secret `{variable}` of component `{component}`: it was not sent")
            })?;
            *secret = Secret::Sealed(value.clone());
        }
    }
    Ok(())
}

/// The opened secrets of one component. They never appear in debug output.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Opened(Arc<BTreeMap<String, String>>);

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Opened {
    /// Opens the secrets of a component.
    ///
    /// # Errors
    /// When there is no key, or a value was not sealed with it for this component and variable.
    pub(crate) fn open(
        secrets: &BTreeMap<String, Secret>,
        component: &ComponentName,
        key: Option<&SealingKey>,
    ) -> Result<Self, SecretError> {
        let mut opened = BTreeMap::new();
        for (variable, secret) in secrets {
            let key = key.ok_or_else(|| SecretError::NoKey { variable: variable.clone() })?;
            let damaged = || SecretError::Damaged { variable: variable.clone() };
            let Secret::Sealed(sealed) = secret else { return Err(damaged()) };
            let value = open(key, component, variable, sealed).ok_or_else(damaged)?;
            opened.insert(variable.clone(), String::from_utf8(value).map_err(|_| damaged())?);
        }
        Ok(Self(Arc::new(opened)))
    }

    /// These variables with their values.
    #[cfg(test)]
    pub(crate) fn of<const N: usize>(values: [(&str, &str); N]) -> Self {
        Self(Arc::new(values.map(|(variable, value)| (variable.to_owned(), value.to_owned())).into()))
    }

    /// The variables with their values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter()
    }

    /// The value of one variable.
    pub(crate) fn get(&self, variable: &str) -> Option<&str> {
        self.0.get(variable).map(String::as_str)
    }

    /// Replaces the secrets in a text by the names of their variables: each line of a value, also where the beginning
    /// or the end of the text cuts it. Of secrets that overlap in the text, no part is left.
    pub(crate) fn redact(&self, text: String) -> String {
        let mut found = self.found_in(&text);
        if found.is_empty() {
            return text;
        }
        // Of two secrets with the same beginning, the longer one is named.
        found.sort_by_key(|(range, _)| (range.start, Reverse(range.end)));
        let mut redacted = String::with_capacity(text.len());
        let mut end = 0;
        for (range, variable) in found {
            if range.start >= end {
                redacted.push_str(&text[end..range.start]);
                redacted.push_str(&format!("[secret {variable}]"));
            }
            end = end.max(range.end);
        }
        redacted + &text[end..]
    }

    /// The places of the secrets in a text, with their variables. Places may overlap.
    fn found_in(&self, text: &str) -> Vec<(Range<usize>, &str)> {
        let mut found = Vec::new();
        for (variable, value) in self.iter() {
            for line in value.lines().map(str::trim).filter(|line| line.len() >= REDACTED_BYTES_MIN) {
                let mut from = 0;
                while let Some(at) = text[from..].find(line) {
                    let begin = from + at;
                    found.push((begin..begin + line.len(), variable.as_str()));
                    // The next one may begin within this one.
                    from = begin + line.chars().next().map_or(1, char::len_utf8);
                }
                let mut beginnings = (REDACTED_BYTES_MIN..line.len()).rev().filter_map(|end| line.get(..end));
                if let Some(beginning) = beginnings.find(|beginning| text.ends_with(beginning)) {
                    found.push((text.len() - beginning.len()..text.len(), variable));
                }
                let mut ends = (1..=line.len() - REDACTED_BYTES_MIN).filter_map(|begin| line.get(begin..));
                if let Some(end) = ends.find(|end| text.starts_with(end)) {
                    found.push((0..end.len(), variable));
                }
            }
        }
        found
    }
}

/// The data that a sealed value is bound to, so that it cannot be moved to another variable.
fn place(component: &ComponentName, variable: &str) -> Vec<u8> {
    // Neither name has a zero byte.
    [component.as_str().as_bytes(), b"\0", variable.as_bytes()].concat()
}

fn seal(key: &SealingKey, component: &ComponentName, variable: &str, value: &[u8]) -> Sealed {
    let place = place(component, variable);
    let mut hash = blake3::Hasher::new_keyed(&blake3::derive_key(NONCE_CONTEXT, &key.0));
    hash.update(&(place.len() as u64).to_le_bytes()).update(&place).update(value);
    let mut bytes = hash.finalize().as_bytes()[..NONCE_BYTES].to_vec();
    let cipher = XChaCha20Poly1305::new(&key.0.into());
    let payload = Payload { msg: value, aad: &place };
    let sealed = cipher.encrypt(XNonce::from_slice(&bytes), payload);
    bytes.extend(sealed.expect("a value of some kilobytes is far below the cipher's limit of 256 GiB"));
    Sealed(bytes)
}

fn open(key: &SealingKey, component: &ComponentName, variable: &str, sealed: &Sealed) -> Option<Vec<u8>> {
    let (nonce, ciphertext) = sealed.0.split_at_checked(NONCE_BYTES)?;
    let place = place(component, variable);
    let payload = Payload { msg: ciphertext, aad: &place };
    XChaCha20Poly1305::new(&key.0.into()).decrypt(XNonce::from_slice(nonce), payload).ok()
}

fn in_words(source: &SecretSource) -> String {
    match source {
        SecretSource::Env(name) => format!("the environment variable `{name}`"),
        SecretSource::File(path) => format!("the file `{path}`"),
        SecretSource::Command(argv) => format!("the command `{}`", argv.join(" ")),
    }
}

/// Reads a source. One line end at its end does not belong to the value.
fn read(source: &SecretSource, base: &Path) -> Result<String, String> {
    let bytes = match source {
        SecretSource::Env(name) => match std::env::var_os(name) {
            Some(value) => value.into_encoded_bytes(),
            None => return Err("it is not set".to_owned()),
        },
        SecretSource::File(path) => {
            let file = std::fs::File::open(base.join(path)).map_err(|error| error.to_string())?;
            bounded(file)?
        }
        SecretSource::Command(argv) => output(argv, base)?,
    };
    if bytes.len() > VALUE_BYTES_MAX {
        return Err(format!("it has more than {VALUE_BYTES_MAX} bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    if text.contains('\0') {
        return Err("it has a zero byte".to_owned());
    }
    let line_end = if text.ends_with("\r\n") { 2 } else { usize::from(text.ends_with('\n')) };
    let value = &text[..text.len() - line_end];
    if value.is_empty() { Err("it is empty".to_owned()) } else { Ok(value.to_owned()) }
}

/// Runs a program on this machine, with the environment and the terminal of the operator, and returns its output.
fn output(argv: &[String], base: &Path) -> Result<Vec<u8>, String> {
    let [program, arguments @ ..] = argv else { return Err("it is empty".to_owned()) };
    let program = if program.contains('/') { base.join(program) } else { program.into() };
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(base)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let read = child.stdout.take().map_or(Ok(Vec::new()), bounded);
    if read.as_ref().is_ok_and(|bytes| bytes.len() > VALUE_BYTES_MAX) {
        // A program that writes without end would never end by itself.
        let _ended = child.kill();
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    let bytes = read?;
    if status.success() || bytes.len() > VALUE_BYTES_MAX {
        Ok(bytes)
    } else {
        Err(format!("it ended with {status}"))
    }
}

/// At most one byte more than a value may have.
fn bounded(from: impl std::io::Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = from.take(VALUE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes);
    read.map(|_| bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: SealingKey = SealingKey([7; 32]);

    fn sealed(component: &str, variable: &str, value: &str) -> Sealed {
        seal(&KEY, &component.into(), variable, value.as_bytes())
    }

    #[test]
    fn a_sealed_value_opens_only_with_its_key_in_its_place() {
        let secret = sealed("web", "PASSWORD", "hunter2");
        assert!(!secret.0.windows(7).any(|bytes| bytes == b"hunter2"));
        let open = |key: &SealingKey, component: &str, variable: &str| {
            open(key, &component.into(), variable, &secret)
        };
        assert_eq!(open(&KEY, "web", "PASSWORD").as_deref(), Some(b"hunter2".as_slice()));
        assert_eq!(open(&SealingKey([8; 32]), "web", "PASSWORD"), None);
        assert_eq!(open(&KEY, "db", "PASSWORD"), None);
        assert_eq!(open(&KEY, "web", "TOKEN"), None);
        let mut damaged = secret.clone();
        *damaged.0.last_mut().unwrap() ^= 1;
        assert_eq!(super::open(&KEY, &"web".into(), "PASSWORD", &damaged), None);
        assert_eq!(super::open(&KEY, &"web".into(), "PASSWORD", &Sealed(vec![1, 2])), None);
    }

    #[test]
    fn equal_values_are_sealed_alike_in_one_place_and_differently_in_two() {
        assert_eq!(sealed("web", "PASSWORD", "hunter2"), sealed("web", "PASSWORD", "hunter2"));
        assert_ne!(sealed("web", "PASSWORD", "hunter2"), sealed("db", "PASSWORD", "hunter2"));
        assert_ne!(sealed("web", "PASSWORD", "hunter2"), sealed("web", "PASSWORD", "hunter3"));
    }

    #[test]
    fn values_are_redacted_and_never_debugged() {
        let opened = Opened::of([("PASSWORD", "hunter2")]);
        let text = opened.redact("login with hunter2 refused: hunter2".to_owned());
        assert_eq!(text, "login with [secret PASSWORD] refused: [secret PASSWORD]");
        assert_eq!(opened.redact("cut: hunte".to_owned()), "cut: [secret PASSWORD]");
        assert_eq!(
            opened.redact("a hunter".to_owned()),
            "a [secret PASSWORD]",
            "better too much than too little"
        );
        assert_eq!(format!("{opened:?} {KEY:?}"), "{\"PASSWORD\"} SealingKey(..)");
    }

    #[test]
    fn no_part_of_a_secret_is_left_where_secrets_contain_or_overlap_each_other_or_are_cut() {
        let secrets =
            Opened::of([("A", "hunter"), ("B", "hunter2-and-more"), ("C", "more-of-it"), ("D", "xyxyx")]);
        let redact = |text: &str| secrets.redact(text.to_owned());
        assert_eq!(redact("the longer hunter2-and-more!"), "the longer [secret B]!");
        assert_eq!(redact("both hunter2-and-more-of-it!"), "both [secret B]!");
        assert_eq!(redact("with itself xyxyxyx!"), "with itself [secret D]!");
        assert_eq!(redact("side by side hunterhunter"), "side by side [secret A][secret A]");
        assert_eq!(redact("and-more: its end"), "[secret B]: its end");
        assert_eq!(redact("2-and-more-of-it"), "[secret B]");
    }

    #[test]
    fn sources_are_read_from_the_folder_of_the_config_and_refused_with_a_reason() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("password"), "hunter2\n").unwrap();
        let command = |line: &str| SecretSource::Command(["sh", "-c", line].map(str::to_owned).into());
        let read = |source| read(&source, dir.path());
        assert_eq!(read(SecretSource::File("password".to_owned())).as_deref(), Ok("hunter2"));
        assert_eq!(read(command("cat password")).as_deref(), Ok("hunter2"));
        assert!(read(command("exit 3")).unwrap_err().contains("exit status: 3"));
        assert!(read(command("yes")).unwrap_err().contains("more than"));
        assert_eq!(read(command("true")), Err("it is empty".to_owned()));
        assert_eq!(read(SecretSource::Env("RHIZO_NO_SUCH".to_owned())), Err("it is not set".to_owned()));
        assert!(read(SecretSource::File("nosuch".to_owned())).is_err());
    }
}
