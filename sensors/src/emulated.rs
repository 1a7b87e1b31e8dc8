//! The sensor of an emulated host: it reads the provider's data file, never the machine that emulates the host.
//!
//! Ten emulated hosts on one laptop each have a load of their own. The laptop's load would give all of them the same
//! value, and it would be right for none. The values read here are synthetic; the provider's offers are labelled so.

use crate::sensor::{BoxFuture, Sample, Sensor, SensorError};
use rhizo_types::fact::SensorKind;
use std::error::Error;
use std::time::Duration;

/// Period: the series in the data files have a resolution of seconds.
const EVERY: Duration = Duration::from_secs(1);

type Read = Box<dyn FnMut() -> Result<Vec<Sample>, Box<dyn Error + Send + Sync>> + Send>;

/// Reads the attributes of an emulated host by calling a function that its provider supplies.
pub struct EmulatedHost {
    read: Read,
}

impl EmulatedHost {
    /// A sensor that calls `read` for all attributes in force; `read` may do short file operations.
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

    fn kind(&self) -> SensorKind {
        SensorKind::Emulated
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
