//! Answering questions: from what this node knows, or by passing them on to whoever knows more.
//!
//! Any node takes any question. What only the coordinator knows is asked of it once; if that fails, this node
//! answers for itself and says so in the answer. Orders go through the core to the log.

use super::shell::{Asker, Shell};
use super::{NodeError, solving};
use crate::admin::{
    Answer, Ask, AskRecord, BindingStatus, InstanceStatus, IntentCounts, NodeStatus, ScriptStatus, Status,
    Why,
};
use crate::component::instance_log;
use crate::pose::{self, Posed, Situation};
use rhizo_overlay::{Class, Reply};
use rhizo_protocol::event::{Event, Request as CoreRequest};
use rhizo_protocol::ledger::{Ledger, ScriptRun, ScriptState};
use rhizo_solver::Assignment;
use rhizo_types::fact::{Subject, Value};
use rhizo_types::intent::IntentState;
use rhizo_types::message::InstancePhase;
use rhizo_types::spec::Spec;
use rhizo_types::{AttributeName, InstanceId, NodeId};
use std::collections::BTreeSet;
use std::time::Duration;

/// How long another node may take to answer a question that was passed on to it.
const PASS_ON_MS_MAX: u64 = 3_000;

/// The attribute under which a node tells its process id: for the operator, not for rules.
pub(super) const PID: &str = "pid";

/// Longest log tail in an answer, in bytes: it has to fit into one frame.
const LOG_BYTES_MAX: u64 = 512 * 1024;

/// Sends an answer over a link.
pub(super) fn reply(reply: Reply, answer: &Answer) {
    match serde_json::to_vec(answer) {
        Ok(body) => {
            let _asker_gone = reply.send(body);
        }
        Err(error) => tracing::error!(%error, "answer could not be encoded"),
    }
}

/// Sends an answer to whoever asked.
pub(super) fn answer(asker: Asker, answer: &Answer) {
    match asker {
        Asker::Link(link) | Asker::Joiner(link) => reply(link, answer),
        Asker::Local(sender) => {
            let _asker_gone = sender.send(answer.clone());
        }
    }
}

fn script_status(run: &ScriptRun) -> ScriptStatus {
    let (state, failed, reason) = match &run.state {
        ScriptState::Running => ("running", None, None),
        ScriptState::Done => ("done", None, None),
        ScriptState::Ended => ("ended", None, None),
        ScriptState::Failed { line, reason } => ("failed", Some(*line), Some(reason.clone())),
    };
    let statement = match failed {
        Some(line) => run.script.statements.iter().find(|statement| statement.line == line),
        None => run.statement(),
    };
    ScriptStatus {
        number: run.number,
        state: state.to_owned(),
        line: failed.or_else(|| statement.map(|statement| statement.line)),
        statement: statement.map(|statement| statement.order.to_string()),
        reason,
    }
}

fn refused(reason: impl Into<String>) -> Answer {
    Answer::Refused { reason: reason.into(), hint: None }
}

impl Shell {
    /// Answers a question, or passes it on.
    pub(super) async fn ask(&mut self, ask: Ask, passed_on: bool, asker: Asker) -> Result<(), NodeError> {
        if !passed_on && let Some(node) = self.better_informed(&ask) {
            self.pass_on(node, ask, asker);
            return Ok(());
        }
        match ask {
            Ask::Apply { .. } | Ask::RunScript { .. } | Ask::EndScript | Ask::TakeDown | Ask::Detach => {
                self.order(ask, asker).await
            }
            Ask::Plan { config } => {
                self.plan(config, asker);
                Ok(())
            }
            Ask::Events { after, everyone: true } => {
                self.tell_history(after, asker);
                Ok(())
            }
            ask => {
                let said = self.tell(&ask);
                answer(asker, &said);
                Ok(())
            }
        }
    }

    /// The other node that has to answer this question; none when it is this one.
    fn better_informed(&self, ask: &Ask) -> Option<NodeId> {
        let me = self.core.me();
        let coordinator = self.core.status(self.now()).coordinator;
        let wanted = match ask {
            Ask::Logs { instance, .. } => {
                let placed = self.core.ledger().target.instances.iter();
                placed.into_iter().find(|(id, _)| id.to_string() == *instance).map(|(_, placed)| placed.node)
            }
            _ => coordinator,
        };
        wanted.filter(|node| *node != me && self.peers.is_linked(*node))
    }

    fn pass_on(&self, node: NodeId, ask: Ask, asker: Asker) {
        let fallback = match &ask {
            Ask::Status | Ask::Events { .. } | Ask::Why { .. } => self.tell(&ask),
            _ => Answer::Refused {
                reason: format!("get an answer from {node}"),
                hint: Some("ask again in a moment".to_owned()),
            },
        };
        let (overlay, key) = (self.overlay.clone(), self.peers.key(node));
        tokio::spawn(async move {
            let asked = async {
                let body = serde_json::to_vec(&AskRecord::V1 { ask, passed_on: true }).ok()?;
                let patience = Duration::from_millis(PASS_ON_MS_MAX);
                let body = overlay.request(key?, Class::Admin, body, patience).await.ok()?;
                serde_json::from_slice::<Answer>(&body).ok()
            };
            answer(asker, &asked.await.unwrap_or(fallback));
        });
    }

    async fn order(&mut self, ask: Ask, asker: Asker) -> Result<(), NodeError> {
        let order = match ask {
            Ask::Apply { config } => match crate::config::parse(&config) {
                Ok(spec) => CoreRequest::SetSpec { spec: Box::new(spec), source: config.text },
                Err(reason) => {
                    answer(asker, &refused(reason));
                    return Ok(());
                }
            },
            Ask::RunScript { script } => {
                let Some(spec) = self.core.ledger().spec() else {
                    answer(asker, &refused("read the script: no spec is in force"));
                    return Ok(());
                };
                match rhizo_config::parse_script(&script.text, &script.file, spec) {
                    Ok(script) => CoreRequest::Script(Box::new(script)),
                    Err(findings) => {
                        answer(asker, &Answer::Findings(findings));
                        return Ok(());
                    }
                }
            }
            Ask::EndScript => CoreRequest::EndScript,
            Ask::TakeDown => CoreRequest::TakeDown,
            _ => CoreRequest::Leave { node: rhizo_types::ledger::FOUNDER },
        };
        match self.remember(asker) {
            Some(id) => self.feed(Event::Request { id, request: order }).await,
            None => Ok(()),
        }
    }

    /// Solves for a report, on a thread of its own.
    fn plan(&mut self, config: Option<crate::admin::ConfigText>, asker: Asker) {
        let ledger = self.core.ledger();
        let spec = match config.map(|config| crate::config::parse(&config)) {
            Some(Ok(spec)) => spec,
            Some(Err(reason)) => return answer(asker, &refused(reason)),
            None => match ledger.spec() {
                Some(spec) => spec.clone(),
                None => return answer(asker, &refused("make a plan: no spec is in force")),
            },
        };
        let posed = self.pose_current(&spec, true);
        let currency = self.catalogue.currency().unwrap_or("").to_owned();
        let silent: Vec<String> = self
            .catalogue
            .silent()
            .map(|(provider, reason)| format!("provider `{provider}` does not answer: {reason}"))
            .collect();
        tokio::task::spawn_blocking(move || {
            let said = match solving::report(&posed, spec.optimise.deadline_ms, &currency) {
                Ok(mut report) => {
                    report.warnings.extend(silent);
                    Answer::Plan(Box::new(report))
                }
                Err(error) => refused(crate::error::chain(&error)),
            };
            answer(asker, &said);
        });
    }

    fn pose_current(&self, spec: &Spec, with_offers: bool) -> Posed {
        let ledger = self.core.ledger();
        let snapshot = self.snapshot();
        let hosts = pose::hosts(ledger);
        let offers = if with_offers { self.catalogue.offers(spec, &BTreeSet::new()) } else { Vec::new() };
        pose::pose(&Situation {
            spec,
            hosts: &hosts,
            offers,
            avoid: &ledger.avoid,
            frozen: &BTreeSet::new(),
            moves_max: None,
            snapshot: &snapshot,
        })
    }

    /// Answers from what this node knows.
    fn tell(&self, ask: &Ask) -> Answer {
        match ask {
            Ask::Status => Answer::Status(Box::new(self.status())),
            Ask::Events { after, .. } => Answer::Events(self.own_events(after)),
            Ask::Why { subject } => Answer::Why(Box::new(self.why(subject.clone()))),
            Ask::Logs { instance, bytes_max } => self.logs(instance, *bytes_max),
            _ => refused("answer that here"),
        }
    }

    fn logs(&self, name: &str, bytes_max: u64) -> Answer {
        let ledger = self.core.ledger();
        let Some((id, placed)) = ledger.target.instances.iter().find(|(id, _)| id.to_string() == name) else {
            return Answer::Refused {
                reason: format!("find instance `{name}`"),
                hint: Some("`status` lists the instances".to_owned()),
            };
        };
        if placed.node != self.core.me() {
            return refused(format!("reach {}, which has the logs of `{name}`", placed.node));
        }
        let dir = self.dir.join("instances").join(format!("{id}-g{}", placed.generation));
        match instance_log::tail(&dir, bytes_max.min(LOG_BYTES_MAX)) {
            Ok(text) => Answer::Logs(text),
            Err(error) => refused(format!("read the logs of `{name}`: {error}")),
        }
    }

    fn why(&self, subject: Option<String>) -> Why {
        let ledger = self.core.ledger();
        let mut sentences = Vec::new();
        if let Some(plan) = &ledger.plan {
            let about =
                |reason: &&String| subject.as_ref().is_none_or(|subject| reason.contains(subject.as_str()));
            sentences.extend(plan.verdict.reasons.iter().filter(about).cloned());
        }
        if let Some(subject) = &subject {
            sentences.extend(self.why_placed(subject));
        }
        sentences.extend(self.core.status(self.now()).problems);
        Why { subject, sentences, decisions: self.past.decisions(), events: Vec::new() }
    }

    /// Where the subject is, and which rule refuses each other machine.
    fn why_placed(&self, subject: &str) -> Vec<String> {
        let ledger = self.core.ledger();
        let Some(spec) = ledger.spec() else { return Vec::new() };
        let mut sentences = Vec::new();
        for (id, placed) in ledger.target.instances.iter().filter(|(id, _)| id.to_string() == subject) {
            let region = ledger.members.get(&placed.node).map(|member| member.record.region.to_string());
            sentences.push(format!("{id} is on {} in {}", placed.node, region.unwrap_or_default()));
            sentences.extend(self.why_failed(id));
            let posed = self.pose_current(spec, true);
            for ((component, machine), refusal) in &posed.refusals {
                if *component == id.component {
                    let machine = &posed.problem.machines[*machine];
                    let at = format!("{} in {}", machine.name, machine.region);
                    sentences.push(format!(
                        "not on {at}: rule `{}` refuses it ({})",
                        refusal.rule, refusal.reason
                    ));
                }
            }
        }
        for (node, member) in ledger.members.iter().filter(|(node, _)| node.to_string() == subject) {
            let host = member.record.intent.map(|intent| intent.to_string());
            let region = &member.record.region;
            sentences.push(format!(
                "{node} is a member in {region}, on the host of {}",
                host.as_deref().unwrap_or("nobody")
            ));
        }
        sentences
    }

    /// What the last failure of an instance said, which includes the end of its action's output.
    fn why_failed(&self, id: &InstanceId) -> Option<String> {
        let (_, report) = self.core.status(self.now()).reports.remove(id)?;
        let text = report.failure?;
        Some(format!("{id} failed {} times in a row, the last time because: {text}", report.failures))
    }

    fn status(&self) -> Status {
        let ledger = self.core.ledger();
        let core = self.core.status(self.now());
        let mut problems = core.problems.clone();
        if core.coordinates {
            problems.extend(
                self.catalogue
                    .silent()
                    .map(|(provider, reason)| format!("provider `{provider}` does not answer: {reason}")),
            );
        }
        let count = |set: &BTreeSet<_>| u32::try_from(set.len()).unwrap_or(u32::MAX);
        Status {
            app: ledger.genesis.as_ref().map(|genesis| genesis.app.to_string()).unwrap_or_default(),
            lineage: ledger.lineage(),
            term: core.term.0,
            coordinator: core.coordinator.map(|node| node.to_string()),
            state: core.state.word().to_owned(),
            utility: self.utility(ledger),
            cost_per_hour: ledger.spending_micros() as f64 / 1e6,
            nodes: self.node_statuses(ledger),
            components: self.instance_statuses(ledger, &core),
            intents: IntentCounts { open: count(&core.intents_open), unknown: count(&core.intents_unknown) },
            problems,
            answered_by: self.core.me().to_string(),
            spec: ledger.spec_revision(),
            target: ledger.target.revision,
            applied: ledger.index,
            script: ledger.script.as_ref().map(script_status),
        }
    }

    fn utility(&self, ledger: &Ledger) -> Option<f64> {
        let spec = ledger.spec()?;
        if ledger.target.instances.is_empty() {
            return None;
        }
        let posed = self.pose_current(spec, false);
        rhizo_solver::validate(&posed.problem).ok()?;
        Some(rhizo_solver::evaluate(&posed.problem, &Assignment::current(&posed.problem)).utility)
    }

    fn node_statuses(&self, ledger: &Ledger) -> Vec<NodeStatus> {
        let now = self.now();
        let status = |(node, member): (&NodeId, &rhizo_protocol::ledger::Member)| {
            let pid = self.knowledge.believe(&Subject::Node(*node), &AttributeName::from(PID), now);
            let pid = pid.and_then(|(_, fact)| match &fact.value {
                Value::Number(number) => Some(number.get() as u32),
                Value::Text(_) => None,
            });
            let intent = member.record.intent.and_then(|intent| ledger.intents.get(&intent));
            let placed = ledger.target.instances.iter().filter(|(_, placed)| placed.node == *node);
            NodeStatus {
                id: node.to_string(),
                provider: member.record.provider.to_string(),
                region: member.record.region.to_string(),
                state: if member.draining { "draining" } else { "member" }.to_owned(),
                voter: ledger.voters.contains(node),
                pid,
                address: member.record.addresses.first().map(ToString::to_string),
                key: Some(crate::home::to_hex(&member.record.key.0)),
                host: intent.and_then(|intent| intent.host.as_ref()).map(|bound| bound.host.to_string()),
                components: placed.map(|(instance, _)| instance.to_string()).collect(),
            }
        };
        let mut nodes: Vec<NodeStatus> = ledger.members.iter().map(status).collect();
        // Hosts that are being acquired have no node yet.
        for intent in ledger.intents.values().filter(|intent| intent.node.is_none()) {
            if matches!(intent.state, IntentState::Open | IntentState::Unknown | IntentState::Bound) {
                nodes.push(NodeStatus {
                    id: intent.id.to_string(),
                    provider: intent.order.provider.to_string(),
                    region: intent.order.region.to_string(),
                    state: "joining".to_owned(),
                    voter: false,
                    pid: None,
                    address: None,
                    key: None,
                    host: intent.host.as_ref().map(|bound| bound.host.to_string()),
                    components: Vec::new(),
                });
            }
        }
        nodes
    }

    fn instance_statuses(
        &self,
        ledger: &Ledger,
        core: &rhizo_protocol::status::Status,
    ) -> Vec<InstanceStatus> {
        let state = |id: &InstanceId| match core.reports.get(id).map(|(_, report)| report) {
            None => "unknown",
            Some(report) => match report.phase {
                InstancePhase::Waiting if report.failure.is_some() => "failed",
                InstancePhase::Waiting => "waiting",
                InstancePhase::Starting => "starting",
                InstancePhase::Started => "started",
                InstancePhase::Draining => "draining",
                InstancePhase::Stopping => "stopping",
                InstancePhase::Suspended => "suspended",
                InstancePhase::Resting => "resting",
            },
        };
        let bindings = |id: &InstanceId| {
            let imports = ledger.target.bindings.get(id).into_iter().flatten();
            imports
                .flat_map(|(import, exporters)| {
                    exporters
                        .iter()
                        .map(|to| BindingStatus { import: import.to_string(), to: to.to_string() })
                })
                .collect()
        };
        let status = |(id, placed): (&InstanceId, &rhizo_types::target::Placed)| InstanceStatus {
            name: id.component.to_string(),
            instance: id.to_string(),
            node: placed.node.to_string(),
            state: state(id).to_owned(),
            bindings: bindings(id),
        };
        ledger.target.instances.iter().map(status).collect()
    }
}
