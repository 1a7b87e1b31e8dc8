//! The contract of a sensor: a name, a kind, a period, a time-out, and a reading of some quantities of one subject.
//!
//! Read next: [`crate::sampler`], which runs sensors.

use rhizo_types::fact::{SensorKind, Value};
use rhizo_types::{AttributeName, Number};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

/// A future that a trait object can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One reading of one quantity of a node or a copy.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Sample {
    /// The quantity, as expressions spell it after `node.` or `copy.`.
    pub attribute: AttributeName,
    /// Its value, in the base unit of the quantity: milliseconds, bytes, cores.
    pub value: Value,
}

impl Sample {
    /// A reading of a number; `None` when the number is not finite.
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
    /// The operating system refused a call that the reading needs.
    #[error("{step}")]
    System {
        /// The failed step, as a verb phrase.
        step: &'static str,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The source that the sensor reads from answered with an error.
    #[error("read `{sensor}`")]
    Read {
        /// The sensor.
        sensor: String,
        /// The source's error.
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
        /// Time that the sampler waited, in milliseconds.
        limit_ms: u128,
    },
}

/// Reads quantities of this node, or of one of its copies.
pub trait Sensor: Send {
    /// Its name, for messages.
    fn name(&self) -> &str;

    /// Its kind, which is stated with every value.
    fn kind(&self) -> SensorKind;

    /// The period: the time between the beginnings of two readings.
    fn every(&self) -> Duration;

    /// The time after which a reading without an answer has failed; by default the period, and at least one second: a
    /// busy machine is slow at times.
    fn timeout(&self) -> Duration {
        self.every().max(Duration::from_secs(1))
    }

    /// Reads all quantities of this sensor. A quantity that cannot be read now is left out: absent is not zero.
    ///
    /// The sampler drops the future before it is ready when the reading takes too long. The next call starts a new
    /// reading.
    ///
    /// # Errors
    /// When nothing could be read. The sampler tolerates a few failures in a row and then withdraws the statements
    /// that follow from earlier readings.
    fn sample(&mut self) -> BoxFuture<'_, Result<Vec<Sample>, SensorError>>;
}
