//! An application inside an existing tokio program: its start without a command line, and the handle to operate it.
//!
//! [`Rhizo::build`](crate::Rhizo::build) tells the parts of a program's processes apart: supervisor of a host, node of a
//! host, or the program that the user started. The supervisor never returns from it. The other two get an
//! [`Application`], whose [`start`](Application::start) gives a [`Handle`]. A handle asks as the command line does and
//! gets the same answers. Read next: `cli::in_program` for the steps of the start.

mod asking;
mod error;
mod events;
mod running;

pub use error::Error;
pub use events::Events;

use crate::admin::facts::FactRecord;
use crate::admin::{Answer, Ask, EventRecord, NodeStatus, Status};
use crate::cli::exit::Failure;
use crate::cli::{
    self, Embedding,
    in_program::{InProgram, Operated},
};
use crate::spec::Spec;
use rhizo_types::Number;
use running::Running;
use std::path::PathBuf;
use std::sync::Arc;

/// The part of the application that this process is.
pub(crate) enum Part {
    /// The program as the user started it.
    Program,
    /// The node of the host in this directory.
    Host(PathBuf),
}

/// An application that is ready to start in this process.
#[must_use = "an application does nothing until it is started"]
pub struct Application {
    embedding: Embedding,
    part: Part,
    directory: PathBuf,
}

impl Application {
    pub(crate) fn new(embedding: Embedding, part: Part, directory: PathBuf) -> Self {
        Self { embedding, part, directory }
    }

    /// Whether this process was started by rhizo for a host of the application, and not by the user.
    ///
    /// Both run the same `main`. Work that belongs to the user's process alone is left out when this is true.
    #[must_use]
    pub fn is_host(&self) -> bool {
        matches!(self.part, Part::Host(_))
    }

    /// Starts the application, or this process's part of it. Call it in a tokio runtime, on which the components run.
    ///
    /// In the user's process this founds the application of the [directory](crate::Rhizo::directory) and makes this
    /// process node 0. An application that lives there already is started again after a power cut, or is operated from
    /// outside when it runs without this process; a changed config is put in force. The first plan is carried out
    /// without a question: the budget of the config limits what it may cost.
    ///
    /// # Errors
    /// When the config cannot be used, no plan can be made, another process is node 0, or files cannot be written.
    pub async fn start(self) -> Result<Handle, Error> {
        let running = match self.part {
            Part::Host(host) => Running::host(&self.embedding, &host)?,
            Part::Program => {
                Running::program(InProgram::start(self.embedding, &self.directory).await?).await?
            }
        };
        Ok(Handle { running: Arc::new(running) })
    }
}

/// A running application, as one of its processes or a client of them sees it. Clones are the same handle.
///
/// Dropping it ends nothing.
#[derive(Clone)]
pub struct Handle {
    running: Arc<Running>,
}

impl Handle {
    /// The application that lives in a directory, operated from outside: no node runs in this process.
    pub(crate) async fn of_directory(directory: &std::path::Path) -> Result<Self, Failure> {
        let operated = Operated::living_in(directory)?;
        let found = InProgram { operated, node: None, changed: None };
        Ok(Self { running: Arc::new(Running::program(found).await?) })
    }

    /// The state of the application.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn status(&self) -> Result<Status, Error> {
        match self.ask(Ask::Status).await? {
            Answer::Status(status) => Ok(*status),
            other => Err(cli::refused(other).into()),
        }
    }

    /// The members and the hosts that are to become members.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn members(&self) -> Result<Vec<NodeStatus>, Error> {
        Ok(self.status().await?.nodes)
    }

    /// The facts that the coordinator believes, or that a node believes which knows no coordinator. `subject` is a node
    /// or an instance; without it, the answer has all facts up to a limit.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn facts(&self, subject: Option<&str>) -> Result<Vec<FactRecord>, Error> {
        match self.ask(Ask::Facts { subject: subject.map(str::to_owned) }).await? {
            Answer::Facts(facts) => Ok(facts.facts),
            other => Err(cli::refused(other).into()),
        }
    }

    /// The events of all nodes: those that they still keep, and all that follow. The stream ends when no node has
    /// answered for a minute.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(self.running.asking().clone())
    }

    /// Puts another spec in force, as `up --yes` does. Returns when it is committed; [`Handle::status`] shows when it is
    /// carried out.
    ///
    /// # Errors
    /// When the spec cannot be used or is for another application, this process is the node of a host, or no
    /// coordinator has confirmed the order in time.
    pub async fn apply(&self, spec: &Spec) -> Result<(), Error> {
        Ok(self.running.apply(spec).await?)
    }

    /// Sets the weight of a utility in the spec in force.
    ///
    /// # Errors
    /// When there is no utility of that name, the weight is negative or not finite, or no coordinator has confirmed the
    /// order in time.
    pub async fn set_weight(&self, utility: &str, weight: f64) -> Result<(), Error> {
        let weight = Number::try_from(weight)
            .map_err(|error| Error::new(format!("set the weight of `{utility}`: {error}")))?;
        let ask = Ask::SetWeight { utility: utility.to_owned(), weight };
        Ok(self.running.asking().order(ask).await?)
    }

    /// Waits until the application is stable: every instance of the spec is started, and nothing is to be changed.
    ///
    /// It waits without end; wrap it into a time-out.
    ///
    /// # Errors
    /// When no node answers for a minute, or the application ended.
    pub async fn stable(&self) -> Result<Status, Error> {
        Ok(self.running.asking().stable().await?)
    }

    /// Takes the application down: all instances stop, and all hosts are released. Returns when no host is left.
    ///
    /// # Errors
    /// When a host could not be released; it is named, and `down` in the directory of the application tries again.
    pub async fn stop(&self) -> Result<(), Error> {
        Ok(self.running.stop().await?)
    }

    /// Takes node 0 out of the application, which runs on without this process.
    ///
    /// # Errors
    /// When this process is not node 0, or the other members cannot go on without it.
    pub async fn detach(&self) -> Result<(), Error> {
        Ok(self.running.detach().await?)
    }

    /// Waits until this process's node has ended: the application was taken down, the host was released, or the node
    /// left. The node of a host ends its process then, so `main` returns after this.
    ///
    /// For a handle without a node it waits until no member of the application answers any more.
    ///
    /// # Errors
    /// When the node had to stop because of a fault, or was declared dead.
    pub async fn ended(&self) -> Result<(), Error> {
        Ok(self.running.ended().await?)
    }

    async fn ask(&self, ask: Ask) -> Result<Answer, Failure> {
        self.running.asking().ask(&ask).await
    }
}

/// An event of the application, as one node keeps it.
pub type Event = EventRecord;
