//! The embedding API: an application that carries rhizo in its binary.
//!
//! The binary is payload, node and command line at once. What it is this time, its arguments say: a command
//! of an operator, the supervisor of a host, or the node of a host. Read next: `cli` for the commands.

use crate::cli;
use crate::component::action::function::ActionCtx;
use crate::component::embedded::{BoxError, Ctx, Registry};
use std::ffi::OsString;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

pub(crate) use rhizo_sensors::AppSensor;

/// How often an application's own sensor is read unless it says otherwise: gossip carries facts on within a
/// second or two, so that reading more often would tell nobody anything.
const SENSOR_EVERY: Duration = Duration::from_secs(5);

type SensorMaker = Arc<dyn Fn(Handle) -> AppSensor + Send + Sync>;

/// An application in the making: its config, its components, its sensors.
///
/// ```no_run
/// use rhizo::prelude::*;
///
/// fn main() -> std::process::ExitCode {
///     Rhizo::from_file("rhizo.toml")
///         .component("greeter", |cx: Ctx| async move {
///             let listener = cx.export("tcp").listen().await?;
///             cx.ready();
///             let stopped = cx.stopped();
///             tokio::select! {
///                 () = stopped => {}
///                 accepted = listener.accept() => drop(accepted?),
///             }
///             Ok(())
///         })
///         .run()
/// }
/// ```
#[must_use = "an application does nothing until it is run"]
pub struct Rhizo {
    config: Option<PathBuf>,
    registry: Registry,
    sensors: Vec<SensorMaker>,
}

impl Rhizo {
    /// An application whose config is this file, unless the command line names another.
    ///
    /// The file is read when a command needs it; on a host it is not needed at all.
    pub fn from_file(config: impl AsRef<Path>) -> Self {
        Self { config: Some(config.as_ref().to_owned()), ..Self::bare() }
    }

    /// An application without closures and without a config of its own: the stock binary.
    pub fn bare() -> Self {
        Self { config: None, registry: Registry::default(), sensors: Vec::new() }
    }

    /// Registers the closure that runs each instance of a component.
    ///
    /// It is called with the instance's [`Ctx`], on the application's runtime. It should call
    /// [`Ctx::ready`] when it works, and return when [`Ctx::stopped`] resolves. If it returns or panics
    /// before, the instance has failed.
    pub fn component<F, Fut>(mut self, name: &str, closure: F) -> Self
    where
        F: Fn(Ctx) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.registry.add_closure(name, closure);
        self
    }

    /// Registers a function that actions of a component's life-cycle call: `{ call = "NAME" }` in the config.
    ///
    /// It is called with the action's [`ActionCtx`], on the application's runtime, and dropped at its next await
    /// when the action is cancelled. If it fails or panics, the action has failed.
    pub fn action<F, Fut>(mut self, component: &str, name: &str, function: F) -> Self
    where
        F: Fn(ActionCtx) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.registry.add_function(component, name, function);
        self
    }

    /// Registers a sensor: rules can use what it reads as `node.<name>`.
    pub fn sensor<F, Fut>(mut self, name: &str, read: F) -> Self
    where
        F: Fn() -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<f64, BoxError>> + Send + 'static,
    {
        let name = name.to_owned();
        self.sensors
            .push(Arc::new(move |runtime| AppSensor::new(&name, SENSOR_EVERY, runtime, read.clone())));
        self
    }

    /// Does what the arguments of this process say, to the end.
    ///
    /// Call it first in `main`: as a host's supervisor it forks, which is sound only while there is one
    /// thread. Otherwise it makes the tokio runtime that the components run on.
    pub fn run(self) -> ExitCode {
        self.run_with(std::env::args_os())
    }

    /// Does what these arguments say, the program's name being the first.
    pub fn run_with(self, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
        cli::run(self.into_parts(), arguments.into_iter().collect())
    }

    fn into_parts(self) -> cli::Embedding {
        cli::Embedding { config: self.config, registry: Arc::new(self.registry), sensors: self.sensors }
    }
}
