//! Planning on this node: the offers of the providers, and the runs of planning on threads of their own.
//!
//! A run answers a [`SolveRequest`] of the core, or a question of an operator, who receives the record. Both use
//! [`rhizo_planning::plan()`]. The core decides when offers are requested and when the solver runs. Read next:
//! [`super::catalogue`], which requests offers, and [`super::solving`], which runs planning with a time limit.

use super::facts::{Facts, FactsCopy};
use super::input::Input;
use super::{catalogue, solving};
use rhizo_actuators::Provider;
use rhizo_knowledge::Snapshot;
use rhizo_planning::{Catalogue, Posed, Record};
use rhizo_protocol::SolveRequest;
use rhizo_types::{ProviderName, Time};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinError;

/// Providers with their names, for a task that requests their offers.
type Asked = Vec<(ProviderName, Arc<dyn Provider>)>;

/// The offers that this node knows, and the queue for the results of runs.
pub(super) struct Planning {
    catalogue: Catalogue,
    /// Time of the last answers. They are used for a short time only.
    answered_at: Time,
    results: mpsc::Sender<Input>,
}

/// Time for which an answer of a provider describes the provider, in milliseconds. It covers three of the core's
/// periods, so that one slow round does not hide a provider that does not answer.
const ANSWER_MS_MAX: u64 = 15_000;

impl Planning {
    /// Creates the state without offers. Results of runs and answers of providers are sent to `results`.
    pub(super) fn new(results: mpsc::Sender<Input>) -> Self {
        Self { catalogue: Catalogue::default(), answered_at: Time::ZERO, results }
    }

    /// Drops the offers of all other providers.
    pub(super) fn keep(&mut self, providers: &BTreeSet<ProviderName>) {
        self.catalogue.keep(providers);
    }

    /// Requests the offers of providers; the answers arrive as [`Input::Offered`].
    pub(super) fn ask_offers(&self, providers: Asked) {
        let results = self.results.clone();
        tokio::spawn(async move {
            let _loop_ended = results.send(Input::Offered(catalogue::ask(providers).await)).await;
        });
    }

    /// Requests the offers of providers before a run; the answers arrive as [`Input::OfferedFor`].
    pub(super) fn ask_offers_for(&self, request: Box<SolveRequest>, providers: Asked) {
        let results = self.results.clone();
        tokio::spawn(async move {
            let answers = catalogue::ask(providers).await;
            let _loop_ended = results.send(Input::OfferedFor(request, answers)).await;
        });
    }

    /// Stores the answers of providers. Returns true if an offer has changed.
    pub(super) fn take(
        &mut self,
        answers: Vec<(ProviderName, rhizo_planning::Answer)>,
        facts: &mut Facts,
        now: Time,
    ) -> bool {
        self.answered_at = now;
        self.catalogue.take(answers, facts.knowledge_mut(), now)
    }

    /// Plans for the core; the result arrives as [`Input::Solved`].
    pub(super) fn solve(&self, request: SolveRequest, snapshot: Snapshot) {
        let (catalogue, results) = (self.catalogue.clone(), self.results.clone());
        let run = solving::Run { request, snapshot, catalogue };
        tokio::task::spawn_blocking(move || {
            let _loop_ended = results.blocking_send(Input::Solved(Box::new(run.solve())));
        });
    }

    /// Plans for an operator and returns the record of the run, or the failure of its thread. The offers of
    /// `providers` are requested first, as for a run of the core. For a config that is not in force these are the
    /// providers of that config.
    pub(super) fn record_of(
        &self,
        request: SolveRequest,
        providers: Asked,
        mut facts: FactsCopy,
        now: Time,
    ) -> impl Future<Output = Result<Record, JoinError>> + Send + 'static {
        let mut catalogue = self.catalogue.clone();
        async move {
            catalogue.take(catalogue::ask(providers).await, &mut facts.knowledge, now);
            let snapshot = facts.snapshot(now);
            let run = solving::Run { request, snapshot, catalogue };
            Ok(tokio::task::spawn_blocking(move || run.solve()).await?.record)
        }
    }

    /// Returns the problem of a request, with the offers that this node knows.
    pub(super) fn pose(&self, request: &SolveRequest, snapshot: &Snapshot) -> Posed {
        rhizo_planning::pose(request, snapshot, &self.catalogue)
    }

    /// Returns a sentence for each provider that did not answer the last request; none on a node that sends no such
    /// requests.
    pub(super) fn problems(&self, now: Time) -> Vec<String> {
        if now.ms_since(self.answered_at) > ANSWER_MS_MAX {
            return Vec::new();
        }
        let silent = self.catalogue.silent();
        silent.map(|(provider, reason)| format!("provider `{provider}` does not answer: {reason}")).collect()
    }
}
