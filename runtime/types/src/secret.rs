//! Secrets of a component: where the operator's machine finds them, and the sealed form in which they are committed.
//!
//! Only data. `rhizo-config` reads the sources, and the runtime seals and opens the values. A value that is not sealed
//! is in none of these types.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The value of a secret environment variable.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Secret {
    /// The config names its source, and nothing has read the source yet. A spec in force has no such secret.
    Source(SecretSource),
    /// The sealed value.
    Sealed(Sealed),
}

/// The place where the operator's machine finds the value of a secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum SecretSource {
    /// A variable of the environment of the command line.
    Env(String),
    /// A file; a relative path starts at the folder of the config.
    File(String),
    /// A program whose standard output is the value, and its arguments.
    Command(Vec<String>),
}

/// An encrypted value, which only the members of the application can open.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sealed(pub Vec<u8>);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// The key that seals the secrets of one application. It never appears in debug output, and is never in the log.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SealingKey(pub [u8; 32]);

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey(..)")
    }
}
