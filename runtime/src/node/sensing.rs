//! The sensors of this node, running: its host, its process, the application's own.
//!
//! What they read becomes statements about this node; what is believed is `rhizo-knowledge`'s matter.

use super::admin::PID;
use super::input::Input;
use rhizo_actuators::Value;
use rhizo_actuators::process::HostHome;
use rhizo_sensors::{AppSensor, EmulatedHost, Sample, Sampler, Sampling};
use rhizo_types::NodeId;
use rhizo_types::fact::Statement;
use tokio::sync::mpsc;

impl From<Vec<Statement>> for Input {
    fn from(statements: Vec<Statement>) -> Self {
        Self::Sampled(statements)
    }
}

/// Running sensors; dropping them stops them.
pub(super) struct Sensors {
    _sampling: Sampling,
}

impl Sensors {
    /// Of node 0, which lends its machine to nobody: only its process is told.
    pub(super) fn of_process(node: NodeId, out: mpsc::Sender<Input>) -> Self {
        let sampler = Sampler::new().with(Box::new(process()));
        Self { _sampling: sampler.start(node, &out) }
    }

    /// Of an emulated host: the attributes of its offer as the provider's files have them now.
    pub(super) fn of_host(
        node: NodeId,
        home: HostHome,
        app: Vec<AppSensor>,
        out: mpsc::Sender<Input>,
    ) -> Self {
        let host = EmulatedHost::new(move || {
            let offer = home.emulated()?;
            let attributes = offer.iter().flat_map(|offer| &offer.attributes);
            let samples = attributes.filter_map(|(name, value)| match value {
                Value::Number(number) => Sample::number(name.as_str(), *number),
                Value::Text(text) => Some(Sample::text(name.as_str(), text)),
            });
            Ok(samples.collect())
        });
        let mut sampler = Sampler::new().with(Box::new(process())).with(Box::new(host));
        for sensor in app {
            sampler = sampler.with(Box::new(sensor));
        }
        Self { _sampling: sampler.start(node, &out) }
    }
}

/// Tells the process id, for the operator.
fn process() -> impl rhizo_sensors::Sensor {
    struct Process;
    impl rhizo_sensors::Sensor for Process {
        fn name(&self) -> &str {
            "process"
        }

        fn every(&self) -> std::time::Duration {
            // It never changes; a statement is repeated by the gossip itself.
            std::time::Duration::from_secs(3_600)
        }

        fn sample(
            &mut self,
        ) -> rhizo_sensors::BoxFuture<'_, Result<Vec<Sample>, rhizo_sensors::SensorError>> {
            Box::pin(async { Ok(Sample::number(PID, f64::from(std::process::id())).into_iter().collect()) })
        }
    }
    Process
}
