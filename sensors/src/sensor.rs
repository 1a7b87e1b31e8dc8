//! The contract of a sensor: a name, a cadence, a reading.

use rhizo_types::fact::Value;
use rhizo_types::{AttributeName, Number};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

/// A future that a trait object can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One reading of one quantity of this node.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Sample {
    /// Which quantity, as rules spell it after `node.`.
    pub attribute: AttributeName,
    /// Its value, in the base unit of the quantity: milliseconds, bytes, cores.
    pub value: Value,
}

impl Sample {
    /// A reading of a number; `None` when it is not finite, as there is nothing to say then.
    #[must_use]
    pub fn number(attribute: &str, number: f64) -> Option<Self> {
        let value = Value::Number(Number::try_from(number).ok()?);
        Some(Self { attribute: attribute.into(), value })
    }

    /// A reading of a word.
    #[must_use]
    pub fn text(attribute: &str, text: &str) -> Self {
        Self { attribute: attribute.into(), value: Value::Text(text.to_owned()) }
    }
}

/// A reading that failed. Completes "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum SensorError {
    /// The system did not tell.
    #[error("{step}")]
    System {
        /// What was attempted, as a verb phrase.
        step: &'static str,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// What the sensor reads from answered with an error.
    #[error("read `{sensor}`")]
    Read {
        /// The sensor.
        sensor: String,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The reading is not a number.
    #[error("read `{sensor}`: the value is not finite")]
    NotFinite {
        /// The sensor.
        sensor: String,
    },
    /// The application's code panicked.
    #[error("read `{sensor}`: its code panicked")]
    Panicked {
        /// The sensor.
        sensor: String,
    },
    /// The reading took longer than it may.
    #[error("read `{sensor}`: no answer within {limit_ms} ms")]
    Silent {
        /// The sensor.
        sensor: String,
        /// How long it was waited for.
        limit_ms: u128,
    },
}

/// Reads quantities of this node.
pub trait Sensor: Send {
    /// Its name, for messages.
    fn name(&self) -> &str;

    /// How often it wants to be read.
    fn every(&self) -> Duration;

    /// Reads everything it reads. What it cannot read now it leaves out: absent is not zero.
    ///
    /// # Errors
    /// When nothing could be read. The sampler tolerates a few failures in a row, then withdraws what the sensor
    /// has said before.
    fn sample(&mut self) -> BoxFuture<'_, Result<Vec<Sample>, SensorError>>;
}
