//! What a node reads of its host and of its application, and how often.
//!
//! A sensor reads; a [`Sampler`] runs sensors and turns their readings into statements about the node. Nothing
//! here is remembered beyond the last reading, and nothing is concluded: which statement is believed is decided
//! by the knowledge base. Round trips come from the overlay and offers from providers, both in the runtime.
//!
//! Read next: [`sensor`] for the contract, then [`sampler`].

#![forbid(unsafe_code)]

pub mod app;
pub mod emulated;
pub mod host;
mod said;
pub mod sampler;
pub mod sensor;

pub use app::AppSensor;
pub use emulated::EmulatedHost;
pub use host::HostSensor;
pub use sampler::{Sampler, Sampling};
pub use sensor::{BoxFuture, Sample, Sensor, SensorError};
