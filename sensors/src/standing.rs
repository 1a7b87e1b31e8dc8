//! The statements of one sensor that are in force, so that they can be withdrawn when the sensor stops answering.
//!
//! Pure: readings go in, statements come out. [`crate::sampler`] runs the sensor and sends the statements.

use crate::sensor::{Sample, SensorError};
use rhizo_types::AttributeName;
use rhizo_types::fact::{SensorKind, Statement, Subject};
use std::collections::BTreeSet;

/// Failures in a row after which the statements of a sensor are withdrawn.
///
/// One failed reading must not move an application. After three in a row the last values are no longer evidence.
pub(crate) const FAILURES_MAX: u32 = 3;

/// Most samples taken from one reading; the rest is dropped. A batch of facts holds 512 for all sensors of a node.
pub(crate) const SAMPLES_MAX: usize = 64;

/// The statements of one sensor that are in force.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Standing {
    subject: Subject,
    sensor: SensorKind,
    attributes: BTreeSet<AttributeName>,
    failures: u32,
}

/// How the sensor's health changed with one reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Health {
    /// It answered, as it did before.
    Answers,
    /// It answered after one or more failures.
    Recovered,
    /// It failed after an answer.
    Failed,
    /// It failed after a failure.
    StillFails,
}

impl Standing {
    pub(crate) fn new(subject: Subject, sensor: SensorKind) -> Self {
        Self { subject, sensor, attributes: BTreeSet::new(), failures: 0 }
    }

    /// Takes one reading; returns the statements to send and how the sensor's health changed.
    pub(crate) fn take(&mut self, reading: &Result<Vec<Sample>, SensorError>) -> (Vec<Statement>, Health) {
        match reading {
            Ok(samples) => {
                let health = if self.failures == 0 { Health::Answers } else { Health::Recovered };
                self.failures = 0;
                (self.state(&samples[..samples.len().min(SAMPLES_MAX)]), health)
            }
            Err(_) => {
                let health = if self.failures == 0 { Health::Failed } else { Health::StillFails };
                self.failures = self.failures.saturating_add(1);
                let statements = if self.failures >= FAILURES_MAX { self.state(&[]) } else { Vec::new() };
                (statements, health)
            }
        }
    }

    /// Returns statements that set these samples and withdraw every other attribute in force.
    fn state(&mut self, samples: &[Sample]) -> Vec<Statement> {
        let now: BTreeSet<AttributeName> = samples.iter().map(|sample| sample.attribute.clone()).collect();
        let stated = samples.iter().map(|sample| (sample.attribute.clone(), Some(sample.value.clone())));
        let withdrawn = self.attributes.difference(&now).map(|attribute| (attribute.clone(), None));
        let statements = stated
            .chain(withdrawn)
            .map(|(attribute, value)| {
                let (subject, sensor) = (self.subject.clone(), self.sensor);
                Statement { subject, attribute, value, sensor }
            })
            .collect();
        self.attributes = now;
        statements
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_types::NodeId;
    use rhizo_types::fact::Value;

    fn standing() -> Standing {
        Standing::new(Subject::Node(NodeId(1)), SensorKind::Host)
    }

    fn reading(samples: &[(&str, f64)]) -> Result<Vec<Sample>, SensorError> {
        Ok(samples.iter().filter_map(|(name, number)| Sample::number(name, *number)).collect())
    }

    fn failure() -> Result<Vec<Sample>, SensorError> {
        Err(SensorError::NotFinite { sensor: "s".into() })
    }

    fn shown(statements: &[Statement]) -> Vec<String> {
        statements
            .iter()
            .map(|statement| match &statement.value {
                Some(Value::Number(number)) => format!("{}={number}", statement.attribute),
                other => format!("{}={other:?}", statement.attribute),
            })
            .collect()
    }

    #[test]
    fn a_quantity_that_is_no_longer_read_is_withdrawn() {
        let mut standing = standing();
        assert_eq!(shown(&standing.take(&reading(&[("a", 1.0), ("b", 2.0)])).0), ["a=1", "b=2"]);
        assert_eq!(shown(&standing.take(&reading(&[("b", 0.0)])).0), ["b=0", "a=None"]);
        assert_eq!(shown(&standing.take(&reading(&[("b", 0.0)])).0), ["b=0"], "withdrawn once");
    }

    #[test]
    fn a_dead_sensor_yields_absent_and_not_zero_after_three_failures() {
        let mut standing = standing();
        standing.take(&reading(&[("a", 1.0)]));
        assert_eq!(standing.take(&failure()), (vec![], Health::Failed));
        assert_eq!(standing.take(&failure()), (vec![], Health::StillFails));
        let (statements, health) = standing.take(&failure());
        assert_eq!((shown(&statements), health), (vec!["a=None".to_owned()], Health::StillFails));
        assert_eq!(standing.take(&failure()).0, vec![], "withdrawn once");
        let (statements, health) = standing.take(&reading(&[("a", 5.0)]));
        assert_eq!((shown(&statements), health), (vec!["a=5".to_owned()], Health::Recovered));
    }

    #[test]
    fn a_recovery_in_time_withdraws_nothing() {
        let mut standing = standing();
        standing.take(&reading(&[("a", 1.0)]));
        for _ in 0..2 {
            standing.take(&failure());
        }
        standing.take(&reading(&[("a", 1.0)]));
        assert_eq!(standing.take(&failure()), (vec![], Health::Failed), "the count starts anew");
    }

    #[test]
    fn one_reading_is_bounded() {
        let many: Vec<Sample> =
            (0..1_000).filter_map(|number| Sample::number(&format!("a{number}"), 1.0)).collect();
        assert_eq!(standing().take(&Ok(many)).0.len(), SAMPLES_MAX);
    }
}
