//! `plan`: the proposed changes, from the running application or computed from the providers' catalogues.
//!
//! Nothing is changed here. Read next: [`super::up`], which shows the same plan before it asks for consent.

use super::exit::{Exit, Failure};
use super::{Session, consent, render};
use crate::admin::ConfigText;
use crate::config::Config;
use crate::node::{self, catalogue, solving};
use crate::secrets;
use rhizo_actuators::Provider;
use rhizo_actuators::process::Program;
use rhizo_config::Finding;
use rhizo_knowledge::{Knowledge, Snapshot};
use rhizo_planning::{Catalogue, Decision, Record};
use rhizo_protocol::coordinator::first_question;
use rhizo_types::spec::Spec;
use rhizo_types::{ProviderName, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

pub(crate) async fn plan(session: &Session, named: Option<&Path>) -> Result<Exit, Failure> {
    let is_deployed = session.home.deployment()?.is_some();
    let config = match (named, is_deployed) {
        (None, true) => None,
        _ => Some(session.config_to_deploy(named)?),
    };
    if let Some(config) = &config {
        session.print_warnings(config);
        if let Some(deployment) = session.home.deployment()? {
            consent::must_be_its_config(&deployment, config)?;
        }
    }
    let record = if is_deployed {
        let mut client = session.client().await?;
        let config = config.map(|config| sealed(session, &config)).transpose()?;
        let (record, _) = consent::plan_of(&mut client, config.as_ref()).await?;
        client.close().await;
        *record
    } else if let Some(config) = config {
        let known = Offline::of(session, &config.parsed.spec).await?;
        session.note_findings(&unsupplied(session, &config, &known), &config.parsed.sources);
        known.record(&config.parsed.spec)?
    } else {
        return Err(Failure::new(Exit::BadConfig, "find a config: none was named"));
    };
    session.print(&record, || render::plan(&record));
    Ok(Exit::Done)
}

/// The providers' catalogues, which are known without any node.
pub(crate) struct Offline {
    catalogue: Catalogue,
    snapshot: Snapshot,
    visible_ms: u64,
}

impl Offline {
    /// Asks every configured provider.
    pub(crate) async fn of(session: &Session, spec: &Spec) -> Result<Self, Failure> {
        let providers = providers(session, spec)?;
        let windows = providers.values().map(|provider| provider.capabilities().visible_ms);
        let visible_ms = windows.max().unwrap_or(0);
        let mut knowledge = Knowledge::new();
        let mut catalogue = Catalogue::default();
        let answers = catalogue::ask(providers.into_iter().collect()).await;
        catalogue.take(answers, &mut knowledge, Time::ZERO);
        let snapshot = Snapshot::cut(&knowledge, &BTreeMap::new(), Time::ZERO);
        Ok(Self { catalogue, snapshot, visible_ms })
    }

    /// The problem of starting from nothing; none when the config cannot begin an application.
    pub(crate) fn problem(&self, spec: &Spec) -> Option<rhizo_solver::Problem> {
        let request = first_question(spec.clone())?;
        Some(rhizo_planning::pose(&request, &self.snapshot, &self.catalogue).problem)
    }

    /// Plans from nothing, and returns the record with any verdict; none when the config cannot begin an application.
    pub(crate) fn answer(&self, spec: &Spec) -> Option<Record> {
        let (snapshot, catalogue) = (self.snapshot.clone(), self.catalogue.clone());
        let request = first_question(spec.clone())?;
        Some(solving::Run { request, snapshot, catalogue }.solve().record)
    }

    /// Plans from nothing.
    ///
    /// # Errors
    /// When there is no plan, with the causes.
    pub(crate) fn record(&self, spec: &Spec) -> Result<Record, Failure> {
        let record = self
            .answer(spec)
            .ok_or_else(|| Failure::new(Exit::BadConfig, "make a plan: there is no spec"))?;
        match record.verdict {
            Decision::Planned | Decision::Kept => Ok(record),
            Decision::Infeasible | Decision::Failed => {
                let failure = Failure::new(Exit::Failed, format!("make a plan: {}", record.text));
                Err(if record.warnings.is_empty() {
                    failure
                } else {
                    failure.hint(record.warnings.join("; "))
                })
            }
        }
    }

    /// The longest time for which a new host may be missing from the list of any provider, in milliseconds.
    pub(crate) fn visible_ms(&self) -> u64 {
        self.visible_ms
    }

    /// The longest round trip of any catalogue, in milliseconds.
    pub(crate) fn longest_rtt_ms(&self) -> Option<f64> {
        self.catalogue.longest_rtt_ms()
    }

    /// Attributes that offers have.
    pub(crate) fn attributes(&self, spec: &Spec) -> BTreeSet<rhizo_types::AttributeName> {
        let offers = || self.catalogue.offers(spec);
        let mut names: BTreeSet<_> =
            offers().flat_map(|offer| offer.order.attributes.keys().cloned()).collect();
        let resources = offers().flat_map(|offer| offer.order.capacity.keys());
        names.extend(resources.map(|name| rhizo_types::AttributeName::from(name.as_str())));
        names.extend(["provider", "region", "offer", "price"].map(rhizo_types::AttributeName::from));
        names
    }
}

/// The findings about attributes that no offer has. An application with sensors of its own has none, because the
/// attributes of its sensors are known only when they are read.
pub(crate) fn unsupplied(session: &Session, config: &Config, known: &Offline) -> Vec<Finding> {
    if !session.embedding.sensors.is_empty() {
        return Vec::new();
    }
    config.parsed.unknown_attributes(&known.attributes(&config.parsed.spec))
}

/// The configured providers, all of which must be usable.
pub(crate) fn providers(
    session: &Session,
    spec: &Spec,
) -> Result<BTreeMap<ProviderName, Arc<dyn Provider>>, Failure> {
    let program = Program::current()
        .map_err(|error| Failure::new(Exit::Failed, format!("find the executable: {error}")))?;
    let (providers, problems) =
        node::make_providers(spec, session.home.path(), &program, session.embedding.registry.kinds());
    match problems.first() {
        None => Ok(providers),
        Some(problem) => Err(Failure::new(Exit::BadConfig, problem.clone())),
    }
}

/// The config as it is sent and as the home keeps it: its text, and the sealed values of its secrets.
///
/// # Errors
/// When the operator's key, which the values are sealed with, cannot be read or made, or when the spec does not fit
/// into the log with the sealed values.
pub(crate) fn sealed(session: &Session, config: &Config) -> Result<ConfigText, Failure> {
    let operator = session.home.operator_secret(rand::random)?;
    crate::config::sealed(config, &secrets::key_of(&operator)).map_err(|reason| {
        Failure::new(Exit::BadConfig, reason)
            .hint("let the program read large secrets from a file or service of its own")
    })
}
