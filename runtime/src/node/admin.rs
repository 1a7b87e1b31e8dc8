//! Answers questions of the command line: from this node's own knowledge, or by passing them on to a better informed
//! node.
//!
//! Any node accepts any question. A question for the coordinator is passed on to it once. If that fails, this node
//! answers from its own records, and the answer names it. Orders go through the core to the log. The answers are the
//! records of [`crate::admin`], for questions over a link and for those of the embedding program alike. Read next:
//! [`status`], which composes the largest answer.

mod asked;
mod events;
mod facts;
mod logs;
mod recent;
mod status;
mod why;

pub(super) use asked::{Asker, reply};

use super::NodeError;
use super::shell::Shell;
use crate::admin::{Answer, Ask, AskRecord, Logs, Status, Why};
use asked::Asked;
use recent::Recent;
use rhizo_planning::{Decision, Posed, Record};
use rhizo_protocol::event::{Event, Request as CoreRequest};
use rhizo_protocol::ledger::Ledger;
use rhizo_protocol::turn;
use rhizo_solver::Assignment;
use rhizo_types::Number;
use rhizo_types::fact::Subject;
use rhizo_types::ledger::FOUNDER;
use rhizo_types::{AttributeName, NodeId, Revision};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time in which another node has to answer a question that was passed on to it, in milliseconds.
const PASS_ON_MS_MAX: u64 = 3_000;

/// State of this node for the questions of operators.
pub(super) struct Admin {
    /// Requests that wait for the core.
    pub(super) asked: Asked,
    /// The operator whose recovery this node carries out as the survivor.
    pub(super) recovering: Option<Asker>,
    /// Recent events and decisions.
    pub(super) recent: Recent,
    /// The directory of the instances, each with its logs.
    instances: PathBuf,
}

impl Admin {
    /// Creates the state without waiting requests and without events; `dir` is the node's directory.
    pub(super) fn new(me: NodeId, dir: &Path) -> Self {
        Self {
            asked: Asked::default(),
            recovering: None,
            recent: Recent::new(me),
            instances: dir.join("instances"),
        }
    }
}

/// Returns the answer to an order that the core has decided; `spec` is the spec in force.
pub(super) fn decided(answer: &turn::Answer, spec: Revision) -> Answer {
    match answer {
        turn::Answer::Accepted => Answer::Done { spec },
        turn::Answer::Later => Answer::Later,
        turn::Answer::Overtaken => Answer::Overtaken,
        turn::Answer::Refused(reason) => refused(format!("carry that out: {reason}")),
    }
}

fn refused(reason: impl Into<String>) -> Answer {
    Answer::Refused { reason: reason.into(), hint: None }
}

/// Returns the answer to [`Ask::Plan`]: the record, or the reason why nothing can be planned.
fn planned(record: Record) -> Answer {
    match record.verdict {
        Decision::Planned | Decision::Kept => Answer::Plan(Box::new(record)),
        Decision::Infeasible | Decision::Failed => {
            let hint = (!record.warnings.is_empty()).then(|| record.warnings.join("; "));
            Answer::Refused { reason: format!("make a plan: {}", record.text), hint }
        }
    }
}

/// The answer of this node alone, for a question that another node does not answer.
enum Fallback {
    Known(Answer),
    /// To [`Ask::Logs`]: the logs are read only when the answer is needed.
    Logs(logs::Local),
}

impl Fallback {
    /// Returns the answer after the node that was asked has not answered.
    async fn answer(self, asked: NodeId) -> Answer {
        match self {
            Self::Known(answer) => answer,
            Self::Logs(local) => {
                Answer::Logs(Logs { lines: local.lines().await, missing: vec![asked.to_string()] })
            }
        }
    }
}

impl Shell {
    /// Answers a question, or passes it on.
    pub(super) async fn ask(&mut self, ask: Ask, passed_on: bool, asker: Asker) -> Result<(), NodeError> {
        let of_this_node = matches!(ask, Ask::Standing | Ask::Recover(_));
        if !passed_on
            && !of_this_node
            && let Some(node) = self.better_informed()
        {
            self.pass_on(node, ask, asker);
            return Ok(());
        }
        match ask {
            Ask::Apply { .. }
            | Ask::SetWeight { .. }
            | Ask::RunScript { .. }
            | Ask::EndScript
            | Ask::GiveUpData { .. }
            | Ask::TakeDown
            | Ask::Detach => self.order(ask, asker).await,
            Ask::Plan { config } => {
                self.plan(config, asker);
                Ok(())
            }
            Ask::Logs { subject, bytes_max, after, everyone } => {
                self.answer_logs(logs::Wanted::new(subject, bytes_max, after), everyone, asker);
                Ok(())
            }
            Ask::Events { after, everyone: true } => {
                self.answer_events(after, asker);
                Ok(())
            }
            Ask::Recover(order) => {
                self.recover(*order, asker);
                Ok(())
            }
            ask => {
                asker.answer(&self.answer_here(&ask));
                Ok(())
            }
        }
    }

    /// The coordinator, which has the reports of all agents. `None` when that is this node, is not known or is not
    /// linked.
    fn better_informed(&self) -> Option<NodeId> {
        let me = self.core.me();
        let coordinator = self.core.status(self.now()).coordinator;
        coordinator.filter(|node| *node != me && self.links.is_linked(*node))
    }

    fn pass_on(&self, node: NodeId, ask: Ask, asker: Asker) {
        let fallback = match &ask {
            Ask::Status | Ask::Events { .. } | Ask::Why { .. } | Ask::Facts { .. } => {
                Fallback::Known(self.answer_here(&ask))
            }
            Ask::Logs { subject, bytes_max, after, .. } => {
                Fallback::Logs(self.own_logs(logs::Wanted::new(subject.clone(), *bytes_max, after.clone())))
            }
            _ => Fallback::Known(Answer::Later),
        };
        let question = match serde_json::to_vec(&AskRecord::V1 { ask, passed_on: true }) {
            Ok(question) => question,
            Err(error) => return asker.answer(&refused(format!("pass the question on: {error}"))),
        };
        let answer = self.links.request(node, question, Duration::from_millis(PASS_ON_MS_MAX));
        tokio::spawn(async move {
            let answer = answer.await.and_then(|body| serde_json::from_slice::<Answer>(&body).ok());
            asker.answer(&match answer {
                Some(answer) => answer,
                None => fallback.answer(node).await,
            });
        });
    }

    /// Reads an order and passes it to the core, whose decision is the answer.
    async fn order(&mut self, ask: Ask, asker: Asker) -> Result<(), NodeError> {
        let order = match self.read_order(ask) {
            Ok(order) => order,
            Err(answer) => {
                asker.answer(&answer);
                return Ok(());
            }
        };
        match self.admin.asked.wait(asker) {
            Ok(id) => self.feed(Event::Request { id, request: order }).await,
            Err(asker) => {
                asker.answer(&Answer::Later);
                Ok(())
            }
        }
    }

    /// Converts an order into a request of the core.
    ///
    /// # Errors
    /// The answer to send instead, when the order's text has faults.
    fn read_order(&self, ask: Ask) -> Result<CoreRequest, Answer> {
        match ask {
            Ask::Apply { config, after } => {
                let spec = crate::config::parse(&config).map_err(refused)?;
                Ok(CoreRequest::SetSpec { spec: Box::new(spec), source: config.text, after })
            }
            Ask::SetWeight { utility, weight } => self.with_weight(&utility, weight),
            Ask::RunScript { script } => {
                let spec = self.core.ledger().spec();
                let spec = spec.ok_or_else(|| refused("read the script: no spec is in force"))?;
                let script = rhizo_config::parse_script(&script.text, &script.file, spec);
                Ok(CoreRequest::Script(Box::new(script.map_err(Answer::Findings)?)))
            }
            Ask::EndScript => Ok(CoreRequest::EndScript),
            Ask::GiveUpData { instance } => {
                let homes = &self.core.ledger().homes;
                let found = homes.keys().find(|copy| copy.to_string() == instance).cloned();
                let missing = || refused(format!("give up data: no copy `{instance}` has any"));
                Ok(CoreRequest::GiveUpData { instance: found.ok_or_else(missing)? })
            }
            Ask::TakeDown => Ok(CoreRequest::TakeDown),
            Ask::Detach => Ok(CoreRequest::Leave { node: FOUNDER }),
            Ask::Status
            | Ask::Facts { .. }
            | Ask::Events { .. }
            | Ask::Why { .. }
            | Ask::Logs { .. }
            | Ask::Plan { .. }
            | Ask::Standing
            | Ask::Recover(_) => Err(refused("carry out a question")),
        }
    }

    /// The order to put the spec in force with another weight of one utility.
    fn with_weight(&self, utility: &str, weight: Number) -> Result<CoreRequest, Answer> {
        let step = format!("set the weight of `{utility}`");
        if weight < Number::ZERO {
            return Err(refused(format!("{step}: a weight must not be negative")));
        }
        let in_force = self.core.ledger().specs.last_key_value().map(|(_, set)| set);
        let in_force = in_force.ok_or_else(|| refused(format!("{step}: no spec is in force")))?;
        let mut spec = in_force.spec.clone();
        let found = spec.utilities.iter_mut().find(|each| each.name.as_str() == utility);
        let source = rhizo_config::with_weight(&in_force.source, utility, weight);
        let (Some(found), Some(source)) = (found, source) else {
            let names: Vec<&str> = in_force.spec.utilities.iter().map(|each| each.name.as_str()).collect();
            let hint = match names.is_empty() {
                true => "the spec has no utility".to_owned(),
                false => format!("the spec has {}", names.join(", ")),
            };
            let reason = format!("{step}: there is no such utility");
            return Err(Answer::Refused { reason, hint: Some(hint) });
        };
        found.weight = weight;
        Ok(CoreRequest::SetSpec { spec: Box::new(spec), source, after: Some(in_force.revision) })
    }

    /// Plans as the coordinator would, and answers with the record.
    fn plan(&self, config: Option<crate::admin::ConfigText>, asker: Asker) {
        let wanted = match config.map(|config| crate::config::parse(&config)).transpose() {
            Ok(wanted) => wanted,
            Err(reason) => return asker.answer(&refused(reason)),
        };
        let (now, ledger) = (self.now(), self.core.ledger());
        match self.core.question(now, wanted) {
            Some(request) => {
                let providers = self.providers.of(&request.spec, ledger);
                let record = self.planning.record_of(request, providers, self.facts.copy(ledger), now);
                tokio::spawn(async move {
                    asker.answer(&match record.await {
                        Ok(record) => planned(record),
                        Err(error) => refused(format!("make a plan: {error}")),
                    });
                });
            }
            None if ledger.taking_down => {
                asker.answer(&refused("make a plan: the application is being taken down"));
            }
            None => asker.answer(&refused("make a plan: no config is in force, or none may follow it")),
        }
    }

    /// Returns the problem that the coordinator would pose now.
    fn posed(&self) -> Option<Posed> {
        let request = self.core.question(self.now(), None)?;
        Some(self.planning.pose(&request, &self.snapshot()))
    }

    /// Answers a question from this node's records.
    fn answer_here(&self, ask: &Ask) -> Answer {
        match ask {
            Ask::Status => Answer::Status(Box::new(self.status())),
            Ask::Standing => Answer::Standing(Box::new(self.standing())),
            Ask::Events { after, .. } => Answer::Events(self.own_events(after)),
            Ask::Why { subject } => Answer::Why(Box::new(self.why(subject.clone()))),
            Ask::Facts { subject } => Answer::Facts(self.believed_facts(subject.as_deref())),
            _ => refused("answer that here"),
        }
    }

    fn why(&self, subject: Option<String>) -> Why {
        let ledger = self.core.ledger();
        let is_instance = subject.as_ref().is_some_and(|name| ledger.instance_named(name).is_some());
        why::compose(why::Records {
            posed: if is_instance { self.posed() } else { None },
            subject,
            ledger,
            core: self.core.status(self.now()),
            decisions: self.admin.recent.decisions(),
        })
    }

    fn believed_facts(&self, wanted: Option<&str>) -> crate::admin::facts::Facts {
        let unit = |subject: &Subject, attribute: &AttributeName| {
            let is_of_copy = matches!(subject, Subject::Copy(_));
            rhizo_config::unit_of(attribute, is_of_copy).to_owned()
        };
        let (me, now, knowledge) = (self.core.me(), self.now(), self.facts.knowledge());
        let bytes_max = facts::FACTS_BYTES_MAX;
        facts::compose(&facts::Records { me, now, knowledge, unit: &unit, wanted, bytes_max })
    }

    fn status(&self) -> Status {
        let (now, ledger) = (self.now(), self.core.ledger());
        let core = self.core.status(now);
        let problems = self.planning.problems(now);
        let utility = self.utility(ledger);
        let facts = &self.facts;
        status::compose(status::Records { me: self.core.me(), now, ledger, core, facts, utility, problems })
    }

    fn utility(&self, ledger: &Ledger) -> Option<f64> {
        if ledger.target.instances.is_empty() {
            return None;
        }
        let posed = self.posed()?;
        rhizo_solver::validate(&posed.problem).ok()?;
        Some(rhizo_solver::evaluate(&posed.problem, &Assignment::current(&posed.problem)).utility)
    }
}
