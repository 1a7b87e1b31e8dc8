//! Sensors: the quantities that a node reads of its host, its copies and its application, with the period of each.
//!
//! A [`Sensor`] reads; a [`Sampler`] runs sensors and turns their readings into statements about a node or a
//! copy. This crate
//! keeps only the last reading and draws no conclusion: the knowledge base decides which statement is believed.
//! Round trips are measured by the overlay and offers come from providers; the runtime turns both into facts.
//!
//! | sensor | period | reads |
//! |---|---|---|
//! | [`HostSensor`] | 5 s | processor, load, memory and disk of a real machine |
//! | [`EmulatedHost`] | 1 s | the attributes that a provider's data file gives an emulated host |
//! | [`ProcessSensor`] | 10 s | processor, memory and open files of the processes of one copy |
//! | [`AppSensor`] | chosen by the caller | one number from the application's own code |
//!
//! Read next: [`sensor`] for the contract, then [`sampler`].

#![forbid(unsafe_code)]

pub mod app;
mod blocking;
pub mod emulated;
pub mod host;
pub mod process;
pub mod sampler;
pub mod sensor;
mod standing;

pub use app::AppSensor;
pub use emulated::EmulatedHost;
pub use host::HostSensor;
pub use process::{CopyProcesses, ProcessSensor};
pub use sampler::{Sampler, Sampling};
pub use sensor::{BoxFuture, Sample, Sensor, SensorError};
