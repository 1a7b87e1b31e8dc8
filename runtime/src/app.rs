//! The embedding API: an application that carries rhizo in its binary.
//!
//! One binary is payload, node and command line. The arguments of a process select its part: a command of an
//! operator, the supervisor of a host, or the node of a host. Read next: `cli` for the commands.

use crate::cli;
use crate::component::embedded::Ctx;
use crate::component::function::{ActionCtx, BoxError};
use crate::component::registry::Registry;
use crate::handle::{Application, Error, Part};
use crate::provider::{FactoryError, Provider, Table};
use crate::spec::Spec;
use std::ffi::OsString;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

use rhizo_sensors::AppSensor;

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
    config: Option<Spec>,
    registry: Registry,
    sensors: Vec<SensorMaker>,
    directory: PathBuf,
}

impl Rhizo {
    /// An application with this config file, unless the command line names another.
    ///
    /// A command reads the file when it needs it. The node of a host gets the spec from the other members.
    pub fn from_file(config: impl AsRef<Path>) -> Self {
        Self::from_spec(Spec::from_file(config))
    }

    /// An application with a spec that is a text, or that Rust code has put together.
    pub fn from_spec(spec: Spec) -> Self {
        Self { config: Some(spec), ..Self::bare() }
    }

    /// An application without code and without a config of its own, as the stock binary `rhizo` is.
    pub fn bare() -> Self {
        Self {
            config: None,
            registry: Registry::default(),
            sensors: Vec::new(),
            directory: PathBuf::from("."),
        }
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

    /// Adds a kind of provider: a config names it as `kind = "KIND"`, and `factory` makes a provider of each such table.
    ///
    /// Every member may become the coordinator, so all of them run the factory. It starts nothing and calls no service.
    /// [`provider::conformance`](crate::provider::conformance) is the suite that every provider must pass.
    ///
    /// ```no_run
    /// use rhizo::prelude::*;
    /// use rhizo::provider::{FactoryError, Provider, Table};
    ///
    /// # fn lab(_name: &str, url: &str) -> Result<Box<dyn Provider>, FactoryError> { Err(url.into()) }
    /// fn make(table: Table<'_>) -> Result<Box<dyn Provider>, FactoryError> {
    ///     let url = table.settings["url"].as_str().ok_or("`url` is missing")?;
    ///     lab(table.name.as_str(), url)
    /// }
    ///
    /// fn main() -> std::process::ExitCode {
    ///     Rhizo::from_file("rhizo.toml").provider("lab", make).run()
    /// }
    /// ```
    pub fn provider(
        mut self,
        kind: &str,
        factory: impl Fn(Table<'_>) -> Result<Box<dyn Provider>, FactoryError> + Send + Sync + 'static,
    ) -> Self {
        self.registry.kinds_mut().add(kind, factory);
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

    /// Sets the directory in which [`build`](Self::build) looks for the application and keeps `.rhizo/`; the working
    /// directory unless this is called. Commands run in the same directory reach the application.
    pub fn directory(mut self, directory: impl AsRef<Path>) -> Self {
        self.directory = directory.as_ref().to_owned();
        self
    }

    /// Prepares the application for an existing program, which then starts it with
    /// [`Application::start`](crate::Application::start) and keeps its own runtime, arguments and `tracing` subscriber.
    ///
    /// Hosts run the same program, so call this before anything that only the user's process should do: before the
    /// program reads its arguments or opens a port. In the supervisor of a host it does not return: the supervisor's
    /// process exits at its end. The first argument tells rhizo that it is one (`__supervise`) or the node of a host
    /// (`__node`).
    ///
    /// ```no_run
    /// use rhizo::prelude::*;
    ///
    /// #[tokio::main]
    /// async fn main() -> Result<(), rhizo::Error> {
    ///     let application = Rhizo::from_file("rhizo.toml").component("greeter", greet).build()?;
    ///     let is_host = application.is_host();
    ///     let handle = application.start().await?;
    ///     if !is_host {
    ///         println!("{} members", handle.members().await?.len());
    ///         tokio::signal::ctrl_c().await.expect("signals can be heard");
    ///         handle.stop().await?;
    ///     }
    ///     handle.ended().await
    /// }
    ///
    /// async fn greet(cx: Ctx) -> Result<(), BoxError> {
    ///     cx.ready();
    ///     cx.stopped().await;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// When the spec cannot be used, or does not match the registered code.
    pub fn build(self) -> Result<Application, Error> {
        let mut arguments = std::env::args_os().skip(1);
        let part = match (arguments.next(), arguments.next()) {
            (Some(part), Some(host)) if part == "__supervise" => {
                let ended = rhizo_actuators::process::supervise(Path::new(&host));
                std::process::exit(i32::from(ended != ExitCode::SUCCESS));
            }
            (Some(part), Some(host)) if part == "__node" => Part::Host(host.into()),
            _ => Part::Program,
        };
        let directory = self.directory.clone();
        let embedding = self.into_parts();
        if matches!(part, Part::Program) {
            cli::check_code(&embedding)?;
        }
        Ok(Application::new(embedding, part, directory))
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
