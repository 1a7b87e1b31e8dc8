//! The sensor of a real host: processor, load, memory and disk of the machine, as its kernel reports them.
//!
//! | attribute | unit | source |
//! |---|---|---|
//! | `cpu` | logical processors | `/proc/cpuinfo` |
//! | `cpu_free` | share of idle time between two readings, 0 to 1 | `/proc/stat` |
//! | `cpu_ghz` | gigahertz, the fastest processor; absent where a virtual machine hides it | `/proc/cpuinfo` |
//! | `load1`, `load5`, `load15` | mean number of runnable tasks | `/proc/loadavg` |
//! | `memory`, `memory_free` | bytes; free is what can be had without swapping | `/proc/meminfo` |
//! | `disk`, `disk_free` | bytes of one file system; free is what this user may take | `statvfs` |
//! | `arch` | word, for example `x86_64` | the build |
//!
//! The runtime runs it on real hosts only. An emulated host has [`crate::emulated`] in its place.

use crate::blocking::Blocking;
use crate::sensor::{BoxFuture, Sample, Sensor, SensorError};
use nix::sys::statvfs::statvfs;
use rhizo_types::fact::SensorKind;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// Period: load averages move by at most a few percent in five seconds.
const EVERY: Duration = Duration::from_secs(5);

/// Reads the machine under this process.
pub struct HostSensor {
    disk: PathBuf,
    machine: Blocking<Machine>,
}

/// Counters that are compared between two readings.
#[derive(Default)]
struct Machine {
    /// Made with the first reading; a machine that cannot be read is an error of that reading.
    system: Option<System>,
    /// The share of idle time is known between two readings, so the first one leaves it out.
    has_read_before: bool,
}

impl HostSensor {
    /// A sensor of this machine; `disk` lies on the file system whose space is read.
    #[must_use]
    pub fn new(disk: PathBuf) -> Self {
        Self { disk, machine: Blocking::new(Machine::default()) }
    }
}

impl Machine {
    fn read(&mut self, disk: &Path) -> Result<Vec<Sample>, SensorError> {
        let system = match &mut self.system {
            Some(system) => system,
            none => none.insert(System::new().map_err(refused("read the machine"))?),
        };
        system.refresh_specifics(
            RefreshKind::nothing()
                .with_cpu(CpuRefreshKind::nothing().with_usage().with_frequency())
                .with_memory(MemoryRefreshKind::nothing().with_ram()),
        );
        let load = System::load_average().map_err(refused("read the load average"))?;
        let cpus = system.cpus();
        let cores = u32::try_from(cpus.len()).unwrap_or(u32::MAX);
        let mut samples = vec![
            Sample::number("cpu", f64::from(cores)),
            Sample::number("load1", load.one),
            Sample::number("load5", load.five),
            Sample::number("load15", load.fifteen),
            Sample::number("memory", number(system.total_memory())),
            Sample::number("memory_free", number(system.available_memory())),
            Some(Sample::text("arch", std::env::consts::ARCH)),
        ];
        // Virtual machines often hide the clock rate and report zero.
        let megahertz = cpus.iter().map(sysinfo::Cpu::frequency).max().unwrap_or_default();
        if megahertz > 0 {
            samples.push(Sample::number("cpu_ghz", number(megahertz) / 1e3));
        }
        if self.has_read_before {
            let idle = 1.0 - f64::from(system.global_cpu_usage()) / 100.0;
            samples.push(Sample::number("cpu_free", idle.clamp(0.0, 1.0)));
        }
        self.has_read_before = true;
        let space = statvfs(disk).map_err(|source| SensorError::System {
            step: "read the disk's space",
            source: io::Error::from(source),
        })?;
        let fragment = number(space.fragment_size());
        samples.push(Sample::number("disk", number(space.blocks()) * fragment));
        samples.push(Sample::number("disk_free", number(space.blocks_available()) * fragment));
        Ok(samples.into_iter().flatten().collect())
    }
}

/// Names the failed step; for `map_err`.
fn refused(step: &'static str) -> impl FnOnce(sysinfo::Error) -> SensorError {
    move |error| {
        let source = match error {
            sysinfo::Error::Io(source) => source,
            other => io::Error::other(other),
        };
        SensorError::System { step, source }
    }
}

/// A count as a number of the expression language.
#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, which is nine petabytes")]
fn number(count: u64) -> f64 {
    count as f64
}

impl Sensor for HostSensor {
    fn name(&self) -> &str {
        "host"
    }

    fn kind(&self) -> SensorKind {
        SensorKind::Host
    }

    fn every(&self) -> Duration {
        EVERY
    }

    fn sample(&mut self) -> BoxFuture<'_, Result<Vec<Sample>, SensorError>> {
        let disk = self.disk.clone();
        Box::pin(self.machine.read("host", move |machine| machine.read(&disk)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_types::fact::Value;
    use std::collections::BTreeMap;
    use std::fs;

    fn numbers(samples: Vec<Sample>) -> BTreeMap<String, f64> {
        samples
            .into_iter()
            .filter_map(|sample| match sample.value {
                Value::Number(number) => Some((sample.attribute.0, number.get())),
                Value::Text(_) => None,
            })
            .collect()
    }

    #[tokio::test]
    async fn a_real_host_tells_what_its_kernel_tells() {
        let mut sensor = HostSensor::new("/".into());
        let first = numbers(sensor.sample().await.unwrap());
        assert!(!first.contains_key("cpu_free"), "one reading cannot tell a share of time");
        // The library does not measure intervals shorter than this.
        tokio::time::sleep(sysinfo::MINIMUM_CPU_UPDATE_INTERVAL).await;
        let second = numbers(sensor.sample().await.unwrap());
        assert!((0.0..=1.0).contains(&second["cpu_free"]));
        let cores = std::thread::available_parallelism().unwrap().get();
        assert!(second["cpu"] >= f64::from(u32::try_from(cores).unwrap()));
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap();
        let kib: f64 = meminfo.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
        assert_eq!(second["memory"], kib * 1024.0);
        assert!(second["memory_free"] > 0.0 && second["memory_free"] < second["memory"]);
        assert!(second["disk_free"] > 0.0 && second["disk_free"] <= second["disk"]);
        assert!(["load1", "load5", "load15"].iter().all(|name| second[*name] >= 0.0));
    }

    #[tokio::test]
    async fn a_missing_disk_is_an_error_with_the_systems_answer() {
        let error = HostSensor::new("/nowhere".into()).sample().await.unwrap_err();
        assert!(std::error::Error::source(&error).is_some(), "{error}");
    }
}
