//! The sensor of an emulated host: it reads the provider's files, never the machine that emulates.
//!
//! Ten emulated hosts on one laptop have ten loads of their own; the laptop's load would say the same of all and
//! be true of none. What is read here is synthetic, and the provider labels it so in its offers.

use crate::sensor::{BoxFuture, Sample, Sensor, SensorError};
use std::error::Error;
use std::time::Duration;

/// How often the files are looked at: the series have a resolution of seconds.
const EVERY: Duration = Duration::from_secs(1);

type Read = Box<dyn FnMut() -> Result<Vec<Sample>, Box<dyn Error + Send + Sync>> + Send>;

/// Reads the attributes of an emulated host from wherever its provider keeps them.
pub struct EmulatedHost {
    read: Read,
}

impl EmulatedHost {
    /// A sensor over a function that reads all attributes in force; it may do short file operations.
    pub fn new(
        read: impl FnMut() -> Result<Vec<Sample>, Box<dyn Error + Send + Sync>> + Send + 'static,
    ) -> Self {
        Self { read: Box::new(read) }
    }
}

impl Sensor for EmulatedHost {
    fn name(&self) -> &str {
        "emulated host"
    }

    fn every(&self) -> Duration {
        EVERY
    }

    fn sample(&mut self) -> BoxFuture<'_, Result<Vec<Sample>, SensorError>> {
        let reading =
            (self.read)().map_err(|source| SensorError::Read { sensor: self.name().to_owned(), source });
        Box::pin(async { reading })
    }
}
