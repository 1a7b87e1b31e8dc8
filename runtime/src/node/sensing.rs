//! The sensors of the copies on this node: they begin when a copy has started, and end with its run.
//!
//! When they end, the statements about the copy are withdrawn: a value that no sensor reads any more is absent. Read
//! next: [`super::sensors`] for the sensors of the node itself.

use super::input::Input;
use crate::component::live::Live;
use crate::component::{Components, RunningCopy};
use rhizo_protocol::Node as Core;
use rhizo_protocol::agent::InstanceView;
use rhizo_protocol::turn::RunId;
use rhizo_sensors::{ProcessSensor, Sampler, Sampling};
use rhizo_types::InstanceId;
use rhizo_types::fact::{Statement, Subject};
use rhizo_types::message::InstancePhase;
use std::collections::BTreeMap;
use tokio::sync::mpsc;

/// The running sensors of this node's copies.
pub(super) struct Sensing {
    out: mpsc::Sender<Input>,
    copies: BTreeMap<InstanceId, Watched>,
}

/// The sensors of one copy.
struct Watched {
    run: RunId,
    _sampling: Sampling,
}

impl Sensing {
    /// No sensors yet; their statements will go to `out`.
    pub(super) fn new(out: mpsc::Sender<Input>) -> Self {
        Self { out, copies: BTreeMap::new() }
    }

    /// Begins sensors of copies that have started and ends those of copies that no longer run. Returns the subjects
    /// whose statements are to be withdrawn.
    pub(super) fn follow(&mut self, core: &Core, components: &Components) -> Vec<Subject> {
        let runs: BTreeMap<&InstanceId, &Live> = core
            .agent()
            .instances()
            .filter(runs)
            .filter_map(|each| Some((each.instance, components.last_run(each.instance)?)))
            .collect();
        let ended = self
            .copies
            .extract_if(.., |copy, watched| runs.get(copy).is_none_or(|live| live.run != watched.run));
        let ended = ended.map(|(copy, _)| Subject::Copy(copy)).collect();
        for (instance, live) in runs {
            if !self.copies.contains_key(instance)
                && let Some(copy) = live.running()
            {
                self.copies.insert(instance.clone(), self.watch(&copy));
            }
        }
        ended
    }

    fn watch(&self, copy: &RunningCopy) -> Watched {
        let mut sampler = Sampler::new();
        if let Some(processes) = copy.processes() {
            sampler = sampler.with(Box::new(ProcessSensor::new(processes)));
        }
        let subject = Subject::Copy(copy.run.instance.clone());
        Watched { run: copy.run.clone(), _sampling: sampler.start(&subject, &self.out) }
    }

    /// Returns false for a statement about a copy whose sensors have ended: it was on its way when they ended, and
    /// nothing would withdraw it.
    pub(super) fn accepts(&self, statement: &Statement) -> bool {
        match &statement.subject {
            Subject::Copy(copy) => self.copies.contains_key(copy),
            _ => true,
        }
    }
}

/// Whether the program of an instance has started and has not been ordered to stop.
fn runs(instance: &InstanceView<'_>) -> bool {
    matches!(instance.phase, InstancePhase::Started | InstancePhase::Draining | InstancePhase::Suspended)
}
