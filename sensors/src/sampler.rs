//! Runs sensors, each with its own period, and sends their statements about one subject.
//!
//! Every sensor has a task of its own, so that a slow sensor delays no other. A reading that takes longer than the
//! sensor's time-out counts as failed. `standing.rs` decides about the earlier statements of a failed
//! sensor.

use crate::sensor::{Sensor, SensorError};
use crate::standing::{Health, Standing};
use rhizo_types::fact::{Statement, Subject};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Shortest period; a shorter one is raised to it. Facts are gossiped at most once a second anyway.
const EVERY_MIN: Duration = Duration::from_millis(100);

/// The sensors of one node, or of one copy.
#[derive(Default)]
pub struct Sampler {
    sensors: Vec<Box<dyn Sensor>>,
}

/// Running sensors; dropping it stops them.
#[must_use = "dropping it stops the sensors"]
pub struct Sampling {
    _tasks: JoinSet<()>,
}

impl Sampler {
    /// A sampler without sensors.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a sensor. Of two that read the same attribute, the one that reads last is believed.
    #[must_use]
    pub fn with(mut self, sensor: Box<dyn Sensor>) -> Self {
        self.sensors.push(sensor);
        self
    }

    /// Starts all sensors on the current runtime; their statements about `subject` go to `out`.
    ///
    /// A full queue makes the sensors wait; a closed one ends them.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start<T: From<Vec<Statement>> + Send + 'static>(
        self,
        subject: &Subject,
        out: &mpsc::Sender<T>,
    ) -> Sampling {
        let mut tasks = JoinSet::new();
        for sensor in self.sensors {
            let standing = Standing::new(subject.clone(), sensor.kind());
            tasks.spawn(watch(sensor, standing, out.clone()));
        }
        Sampling { _tasks: tasks }
    }
}

async fn watch<T: From<Vec<Statement>> + Send>(
    mut sensor: Box<dyn Sensor>,
    mut standing: Standing,
    out: mpsc::Sender<T>,
) {
    let every = sensor.every().max(EVERY_MIN);
    let limit = sensor.timeout();
    let mut ticks = interval(every);
    // Readings missed during a pause are not made up for, because the next reading replaces them.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let reading = match timeout(limit, sensor.sample()).await {
            Ok(reading) => reading,
            Err(_) => {
                Err(SensorError::Silent { sensor: sensor.name().to_owned(), limit_ms: limit.as_millis() })
            }
        };
        let (statements, health) = standing.take(&reading);
        log_health(sensor.name(), health, reading.err().as_ref());
        if !statements.is_empty() && out.send(statements.into()).await.is_err() {
            return;
        }
    }
}

fn log_health(sensor: &str, health: Health, error: Option<&SensorError>) {
    match (health, error) {
        (Health::Answers, _) => {}
        (Health::Recovered, _) => tracing::info!(sensor, "sensor answers again"),
        (Health::Failed, Some(error)) => {
            let cause = std::error::Error::source(error);
            tracing::warn!(sensor, %error, cause = cause.map(tracing::field::display), "sensor failed");
        }
        (Health::Failed | Health::StillFails, _) => tracing::debug!(sensor, "sensor still fails"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sensor::{BoxFuture, Sample};
    use rhizo_types::NodeId;
    use rhizo_types::fact::{SensorKind, Value};
    use std::future::pending;

    /// Answers with the number of its reading. Never answers the readings that the test lists in `missed`.
    struct Scripted {
        reading: u32,
        missed: std::ops::Range<u32>,
    }

    impl Sensor for Scripted {
        fn name(&self) -> &str {
            "scripted"
        }

        fn kind(&self) -> SensorKind {
            SensorKind::Application
        }

        fn every(&self) -> Duration {
            Duration::from_secs(5)
        }

        fn sample(&mut self) -> BoxFuture<'_, Result<Vec<Sample>, SensorError>> {
            let reading = self.reading;
            self.reading += 1;
            Box::pin(async move {
                if self.missed.contains(&reading) {
                    pending::<()>().await;
                }
                Ok(Sample::number("reading", f64::from(reading)).into_iter().collect())
            })
        }
    }

    async fn values(count: usize, missed: std::ops::Range<u32>) -> Vec<Option<String>> {
        let (out, mut statements) = mpsc::channel::<Vec<Statement>>(1);
        let sensor = Box::new(Scripted { reading: 0, missed });
        let _sampling = Sampler::new().with(sensor).start(&Subject::Node(NodeId(3)), &out);
        let mut values = Vec::new();
        while values.len() < count {
            let said = statements.recv().await.unwrap();
            values.extend(said.into_iter().map(|said| said.value.as_ref().map(Value::to_string)));
        }
        values
    }

    #[tokio::test(start_paused = true)]
    async fn a_hanging_sensor_is_given_up_withdrawn_and_heard_again() {
        let heard = values(4, 2..6).await;
        let text = |number: &str| Some(number.to_owned());
        assert_eq!(heard, [text("0"), text("1"), None, text("6")]);
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_the_sampling_ends_the_sensors() {
        let (out, mut statements) = mpsc::channel::<Vec<Statement>>(1);
        let sampling = Sampler::new()
            .with(Box::new(Scripted { reading: 0, missed: 0..0 }))
            .start(&Subject::Node(NodeId(3)), &out);
        drop(out);
        statements.recv().await.unwrap();
        drop(sampling);
        while statements.recv().await.is_some() {}
    }
}
