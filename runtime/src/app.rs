//! The embedding API: an application that carries rhizo in its binary.
//!
//! One binary is payload, node and command line. The arguments of a process select its part: a command of an
//! operator, the supervisor of a host, or the node of a host. Read next: `cli` for the commands.

use crate::cli;
use crate::component::embedded::Ctx;
use crate::component::function::{ActionCtx, BoxError};
use crate::component::registry::Registry;
use std::ffi::OsString;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

pub(crate) use rhizo_sensors::AppSensor;

/// Period of an application's own sensor. Facts decide about placements, which change over minutes; a shorter period
/// would only cost gossip.
const SENSOR_EVERY: Duration = Duration::from_secs(5);

type SensorMaker = Arc<dyn Fn(Handle) -> AppSensor + Send + Sync>;

/// An application before it runs: its config, the code of its components, its sensors.
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
    /// An application with this config file, unless the command line names another.
    ///
    /// A command reads the file when it needs it. The node of a host gets the spec from the other members.
    pub fn from_file(config: impl AsRef<Path>) -> Self {
        Self { config: Some(config.as_ref().to_owned()), ..Self::bare() }
    }

    /// An application without code and without a config of its own, as the stock binary `rhizo` is.
    pub fn bare() -> Self {
        Self { config: None, registry: Registry::default(), sensors: Vec::new() }
    }

    /// Registers the closure that runs each instance of a component.
    ///
    /// The closure is called once for each start of an instance, with the instance's [`Ctx`], and its future is spawned
    /// on the runtime that [`run`](Self::run) makes. It calls [`Ctx::ready`] when the instance can serve, and returns
    /// when [`Ctx::stopped`] resolves. When it returns or panics before that, the instance has failed. A second closure
    /// for the same component replaces the first.
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
    /// The function is called with the action's [`ActionCtx`], and its future is spawned on the runtime that
    /// [`run`](Self::run) makes. When the action is cancelled, the future is dropped at its next await. When it returns
    /// an error or panics, the action has failed.
    pub fn action<F, Fut>(mut self, component: &str, name: &str, function: F) -> Self
    where
        F: Fn(ActionCtx) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.registry.add_function(component, name, function);
        self
    }

    /// Registers a sensor that every host's node reads every five seconds. Rules use its value as `node.NAME`.
    ///
    /// After three failed readings in a row the value is absent, not zero.
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

    /// Runs the command that the arguments of this process name, and returns its exit code.
    ///
    /// Call it first in `main`. As the supervisor of a host it forks, which is sound only while the process has one
    /// thread; otherwise it makes the tokio runtime that components run on.
    ///
    /// Inside a tokio runtime (`#[tokio::main]`) it only prints an error and returns the exit code 2: a runtime cannot
    /// be started in another one, and the process has more than one thread already.
    pub fn run(self) -> ExitCode {
        self.run_with(std::env::args_os())
    }

    /// Runs the command that these arguments name. The first one is the name of the program.
    pub fn run_with(self, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
        if Handle::try_current().is_ok() {
            return cli::inside_a_runtime();
        }
        cli::run(self.into_parts(), arguments.into_iter().collect())
    }

    fn into_parts(self) -> cli::Embedding {
        cli::Embedding { config: self.config, registry: Arc::new(self.registry), sensors: self.sensors }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn inside_a_runtime_it_says_so_and_does_not_panic() {
        let ended = Rhizo::bare().run_with(["rhizo", "schema"].map(OsString::from));
        assert_eq!(format!("{ended:?}"), format!("{:?}", ExitCode::from(2)));
    }
}
