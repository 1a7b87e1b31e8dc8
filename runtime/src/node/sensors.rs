//! The running sensors of this node: of its host, of its process and of the application.
//!
//! Each reading becomes statements about this node, which [`super::own_statements`] keeps and gossips.

use super::facts::PROCESS_ID;
use super::input::Input;
use rhizo_actuators::process::HostDirectory;
use rhizo_sensors::{AppSensor, EmulatedHost, HostSensor, Sample, Sampler, Sampling};
use rhizo_types::NodeId;
use rhizo_types::fact::{SensorKind, Statement, Subject, Value};
use std::path::Path;
use tokio::sync::mpsc;

impl From<Vec<Statement>> for Input {
    fn from(statements: Vec<Statement>) -> Self {
        Self::Sampled(statements)
    }
}

/// The tasks that read the sensors; dropping this stops them.
pub(super) struct Sensors {
    _sampling: Sampling,
}

impl Sensors {
    /// The sensors of a real machine, which is that of node 0: processor, load, memory, and the disk that `dir` is on.
    pub(super) fn of_real_host(node: NodeId, dir: &Path, out: mpsc::Sender<Input>) -> Self {
        let host = HostSensor::new(dir.to_owned());
        let sampler = Sampler::new().with(Box::new(process())).with(Box::new(host));
        Self { _sampling: sampler.start(&Subject::Node(node), &out) }
    }

    /// The sensors of an emulated host. The attributes of its offer are read from the provider's data file, never from
    /// the machine that all emulated hosts share.
    pub(super) fn of_host(
        node: NodeId,
        home: HostDirectory,
        app: Vec<AppSensor>,
        out: mpsc::Sender<Input>,
    ) -> Self {
        let host = EmulatedHost::new(move || {
            let offer = home.emulated()?;
            let attributes = offer.iter().flat_map(|offer| &offer.attributes);
            let samples = attributes.filter_map(|(name, value)| match value {
                Value::Number(number) => Sample::number(name.as_str(), number.get()),
                Value::Text(text) => Some(Sample::text(name.as_str(), text)),
            });
            Ok(samples.collect())
        });
        let mut sampler = Sampler::new().with(Box::new(process())).with(Box::new(host));
        for sensor in app {
            sampler = sampler.with(Box::new(sensor));
        }
        Self { _sampling: sampler.start(&Subject::Node(node), &out) }
    }
}

/// A sensor of the process id, which `status` shows to the operator.
fn process() -> impl rhizo_sensors::Sensor {
    struct Process;
    impl rhizo_sensors::Sensor for Process {
        fn name(&self) -> &str {
            "process"
        }

        fn kind(&self) -> SensorKind {
            SensorKind::Node
        }

        fn every(&self) -> std::time::Duration {
            // The id never changes, and gossip repeats the statement by itself.
            std::time::Duration::from_secs(3_600)
        }

        fn sample(
            &mut self,
        ) -> rhizo_sensors::BoxFuture<'_, Result<Vec<Sample>, rhizo_sensors::SensorError>> {
            Box::pin(async {
                Ok(Sample::number(PROCESS_ID, f64::from(std::process::id())).into_iter().collect())
            })
        }
    }
    Process
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::time::Duration;

    #[tokio::test]
    async fn node_0_states_the_readings_of_its_machine() {
        let (out, mut statements) = mpsc::channel(16);
        let _sensors = Sensors::of_real_host(NodeId(1), Path::new("/"), out);
        let mut stated = BTreeSet::new();
        let read = async {
            while !["memory", "load1", "disk_free", PROCESS_ID].iter().all(|name| stated.contains(*name)) {
                let Some(Input::Sampled(batch)) = statements.recv().await else {
                    panic!("the sensors ended")
                };
                stated.extend(batch.into_iter().map(|statement| statement.attribute.to_string()));
            }
        };
        tokio::time::timeout(Duration::from_secs(60), read).await.expect("the machine can be read");
    }
}
