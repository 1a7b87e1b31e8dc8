//! Node 0 in the process of an embedding program: founds the application of a directory, starts it again after a power
//! cut, or finds it running without this process.
//!
//! It takes the steps of a foreground `up --yes`: the code of the program is the operator's consent. Nothing is
//! printed; notes are `tracing` events. Read next: `crate::handle`, which the program gets.

use super::beginning::Beginning;
use super::client::Client;
use super::console::Console;
use super::exit::{Exit, Failure};
use super::home_of::HomeOf;
use super::offline::{self, Offline};
use super::waiting::taken_down;
use super::{Embedding, Session, consent, down, founding, known_providers, packing, resume};
use crate::admin::{Ask, ConfigText};
use crate::app_dir::{AppDir, Deployment, FounderProcess};
use crate::config::Config;
use crate::node::NodeHandle;
use rhizo_protocol::HaltReason;
use std::path::Path;

/// An application as the embedding program has found or made it.
pub(crate) struct InProgram {
    pub(crate) operated: Operated,
    /// Node 0; none when the application runs and node 0 has left it.
    pub(crate) node: Option<NodeHandle>,
    /// A config that differs from the one in force and is to replace it.
    pub(crate) changed: Option<Wanted>,
}

/// A config that is to be put in force.
pub(crate) struct Wanted {
    text: ConfigText,
    config: Config,
}

impl Wanted {
    pub(crate) fn ask(&self) -> Ask {
        Ask::Apply { config: self.text.clone(), after: None }
    }
}

/// An application with the records of its home.
pub(crate) struct Operated {
    session: Session,
    deployment: Deployment,
}

impl Operated {
    /// The application that lives in a directory and runs without this process.
    ///
    /// # Errors
    /// When there is none, or its records cannot be read.
    pub(crate) fn living_in(directory: &Path) -> Result<Self, Failure> {
        let embedding = Embedding { config: None, registry: Default::default(), sensors: Vec::new() };
        let session = Session { embedding, home: AppDir::below(directory)?, console: Console::of_program() };
        let deployment = session.deployment()?;
        Ok(Self { session, deployment })
    }
}

impl InProgram {
    /// Founds the application of the directory, or finds the one that lives there.
    ///
    /// # Errors
    /// When the config cannot be used, no plan can be made, another process is node 0, or files cannot be written.
    pub(crate) async fn start(embedding: Embedding, directory: &Path) -> Result<Self, Failure> {
        let session = Session { embedding, home: AppDir::below(directory)?, console: Console::of_program() };
        let config = session.config_to_deploy(None)?;
        session.print_warnings(&config);
        loop {
            if let Some(deployment) = session.home.deployment()? {
                consent::must_be_its_config(&deployment, &config)?;
                return join(session, config, deployment).await;
            }
            if let Some(beginning) = found(&session, &config).await? {
                let deployment = beginning.deployment.clone();
                let node = founding::start(&session.home, &session.embedding, beginning)?;
                let operated = Operated { session, deployment };
                return Ok(Self { operated, node: Some(node), changed: None });
            }
        }
    }
}

/// Plans and founds. Returns `None` when another process has founded an application here meanwhile.
async fn found(session: &Session, config: &Config) -> Result<Option<Beginning>, Failure> {
    let spec = &config.parsed.spec;
    let known = Offline::of(session, spec).await?;
    session.note_findings(&offline::unsupplied(session, config, &known), &config.parsed.sources);
    known.record(spec)?;
    let claim = session.home.make()?;
    let text = offline::sealed(session, config)?;
    if session.home.deployment()?.is_none() {
        packing::store_at_founder(session, config)?;
    }
    let beginning = founding::begin(session, &claim, &text, spec, &known)?;
    if beginning.is_some() {
        // Until the lock is released, no other command looks for node 0.
        session.home.set_founder(&FounderProcess::current())?;
    }
    Ok(beginning)
}

/// Starts node 0 again when the application does not run; otherwise the program is a client of the members.
async fn join(session: Session, config: Config, deployment: Deployment) -> Result<InProgram, Failure> {
    let claim = session.home.claim()?;
    if let Some(founder) = session.home.founder()?.filter(FounderProcess::is_alive) {
        let message = format!("be node 0 of `{}`: process {} is", deployment.app, founder.pid);
        return Err(Failure::new(Exit::Failed, message)
            .hint("end that process first, or start this program in another directory"));
    }
    let text = offline::sealed(&session, &config)?;
    let wanted = Wanted { text, config };
    if !resume::is_needed(&session).await? {
        drop(claim);
        let operated = Operated { session, deployment };
        return Ok(InProgram { operated, node: None, changed: Some(wanted) });
    }
    let booted = resume::boot(&session, &deployment).await?;
    let began = &booted.beginning.config;
    let is_changed = began.text != wanted.text.text
        || began.closures != wanted.text.closures
        || began.secrets != wanted.text.secrets;
    let node = if booted.has_founder {
        session.home.set_founder(&FounderProcess::current())?;
        Some(founding::start(&session.home, &session.embedding, booted.beginning)?)
    } else {
        None
    };
    drop(claim);
    let operated = Operated { session, deployment };
    Ok(InProgram { operated, node, changed: is_changed.then_some(wanted) })
}

impl Operated {
    /// A client of the application's members.
    pub(crate) async fn client(&self) -> Result<Client, Failure> {
        self.session.client().await
    }

    /// Reads a config that is to replace the one in force, and records its providers.
    ///
    /// # Errors
    /// When it cannot be used, is for another application, or the application was taken down meanwhile.
    pub(crate) fn want(&self, spec: &crate::spec::Spec) -> Result<Wanted, Failure> {
        let config = self.session.spec_to_deploy(spec)?;
        consent::must_be_its_config(&self.deployment, &config)?;
        Ok(Wanted { text: offline::sealed(&self.session, &config)?, config })
    }

    /// Records the providers of a config and sends the files of its components, before it is put in force.
    pub(crate) async fn prepare(&self, wanted: &Wanted) -> Result<(), Failure> {
        let home = HomeOf::new(&self.session.home, Some(&self.deployment));
        let claim = home.claim()?.ok_or_else(taken_down)?;
        known_providers::add(&self.session.home, &claim, &wanted.config.parsed.spec)?;
        drop(claim);
        let mut client = self.session.client().await?;
        packing::send(&self.session, &mut client, &wanted.config).await?;
        client.close().await;
        Ok(())
    }

    /// Records a config that was put in force.
    pub(crate) async fn record(&self, wanted: &Wanted) -> Result<(), Failure> {
        let home = HomeOf::new(&self.session.home, Some(&self.deployment));
        if let Some(_claim) = home.claim()?
            && let Some(mut beginning) = self.session.home.beginning::<Beginning>()?
        {
            beginning.config = wanted.text.clone();
            self.session.home.set_beginning(&beginning)?;
        }
        known_providers::settle(&self.session, &self.deployment, &wanted.config.parsed.spec).await
    }

    /// Takes the last steps after node 0 has ended: removes its record, and after a take-down also the home.
    ///
    /// # Errors
    /// When the node could not go on, or a host could not be released.
    pub(crate) async fn finish(
        &self,
        ended: Result<HaltReason, crate::node::NodeError>,
        is_detached: bool,
    ) -> Result<(), Failure> {
        let reason = ended.map_err(|error| Failure::new(Exit::Failed, crate::error::chain(&error)))?;
        // Another application may live here by now, with a node 0 of its own.
        if self.session.home.founder()? == Some(FounderProcess::current()) {
            self.session.home.forget_founder()?;
        }
        match (reason, is_detached) {
            (HaltReason::Left, true) => Ok(()),
            (HaltReason::Left, false) => down::clear(&self.session, &self.deployment).await,
            _ => Err(Failure::new(Exit::Failed, "keep node 0 a member: the others went on without it")
                .hint("the application runs; `status` shows it, and `down` takes it down")),
        }
    }

    /// Takes an application down of which no node runs in this process.
    ///
    /// # Errors
    /// When a host could not be released.
    pub(crate) async fn take_down(&self) -> Result<(), Failure> {
        down::abandon(&self.session, &self.deployment).await
    }

    /// Whether the home still belongs to this application.
    pub(crate) fn is_deployed(&self) -> bool {
        self.session.home.deployment().is_ok_and(|lives| lives.as_ref() == Some(&self.deployment))
    }
}
