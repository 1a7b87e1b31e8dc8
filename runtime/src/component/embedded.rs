//! The service of an instance that is a Rust closure of the embedding binary, and the closure's context.
//!
//! A closure that returns or panics is a failure of the instance; the node continues. Programs are in
//! [`super::exec`].

use super::closure_output;
use super::function::BoxError;
use super::import::{Import, UnknownImport};
use super::imports::SeenImports;
use super::instance_log::InstanceLog;
use super::launch::Launch;
use super::start_check::start_ms_max;
use super::{ExportTable, Members, NodeView, RunOutcome, Task, probe, raised};
use crate::secrets::Opened;
use rhizo_types::lifecycle::Values;
use rhizo_types::spec::Component;
use rhizo_types::{InstanceId, PortName, ValueName};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::timeout;

pub(super) type ClosureFuture = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// A registered closure.
pub(super) type Embedded = Arc<dyn Fn(Ctx) -> ClosureFuture + Send + Sync>;

/// The most published values that wait to be reported. A closure that publishes faster waits.
const PUBLISHED_LEN: usize = 16;

/// Longest delay of the report that an instance has ended, while a clone of its context could still publish.
const PUBLISHED_MS_MAX: u64 = 100;

/// The context of a closure: its ports, its node, and the order to stop.
#[derive(Clone)]
pub struct Ctx {
    instance: InstanceId,
    node: NodeView,
    dir: Arc<Path>,
    data: Option<Arc<Path>>,
    component: Arc<Component>,
    /// The addresses that were chosen for its exports.
    ports: Arc<ExportTable>,
    imports: watch::Receiver<SeenImports>,
    attributes: watch::Receiver<Values>,
    members: watch::Receiver<Members>,
    tasks: Arc<Mutex<JoinSet<()>>>,
    values: Arc<Values>,
    secrets: Opened,
    log: Arc<InstanceLog>,
    progress: Arc<watch::Sender<Progress>>,
    publish: mpsc::Sender<Values>,
    stop: watch::Receiver<bool>,
}

#[derive(Clone, Default)]
struct Progress {
    ready: bool,
    listening: ExportTable,
}

impl Ctx {
    /// The instance that the closure runs.
    #[must_use]
    pub fn instance(&self) -> &InstanceId {
        &self.instance
    }

    /// The node this instance runs on.
    #[must_use]
    pub fn node(&self) -> &NodeView {
        &self.node
    }

    /// The directory of this instance and its actions; it need not exist yet.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The directory of the instance's data; none for a component without `state`. It is kept over restarts and changes
    /// of version on one host.
    #[must_use]
    pub fn data_dir(&self) -> Option<&Path> {
        self.data.as_deref()
    }

    /// An import of this component, which follows every re-binding.
    ///
    /// # Errors
    /// When the config declares no such import for the component: the instance would wait without end for an import
    /// that is never bound. A closure that returns the error fails with a reason that lists the declared ones.
    ///
    /// ```
    /// use rhizo::prelude::*;
    ///
    /// async fn web(cx: Ctx) -> Result<(), BoxError> {
    ///     let db = cx.import("db")?;
    ///     println!("the database is at {}", db.addr().await);
    ///     Ok(())
    /// }
    /// # let _web = Rhizo::bare().component("web", web);
    /// ```
    pub fn import(&self, name: &str) -> Result<Import, UnknownImport> {
        let imports = &self.component.imports;
        let name = PortName::from(name);
        if !imports.contains_key(&name) {
            return Err(UnknownImport { name, declared: declared(imports.keys()) });
        }
        let told = self.imports.borrow().get(&name).cloned().unwrap_or_default();
        Ok(Import { name, table: self.imports.clone(), told })
    }

    /// The members of the application that this node knows, in the order of their ids. Those that have died are left
    /// out once the coordinator has declared them dead.
    #[must_use]
    pub fn members(&self) -> Vec<NodeView> {
        self.members.borrow().to_vec()
    }

    /// Resolves with the members when they change after this call.
    pub async fn members_changed(&self) -> Vec<NodeView> {
        let mut members = self.members.clone();
        members.mark_unchanged();
        if members.changed().await.is_err() {
            // The node is ending, and the instance with it.
            std::future::pending::<()>().await;
        }
        members.borrow().to_vec()
    }

    /// Spawns a task of this instance. Its `tracing` events are in the log of the instance, and it is aborted when the
    /// closure has ended.
    ///
    /// A panic of the task does not end the instance; the log has it.
    ///
    /// ```
    /// use rhizo::prelude::*;
    ///
    /// async fn worker(cx: Ctx) -> Result<(), BoxError> {
    ///     let context = cx.clone();
    ///     cx.spawn(async move {
    ///         loop {
    ///             let members = context.members_changed().await;
    ///             context.log(&format!("{} members", members.len()));
    ///         }
    ///     });
    ///     cx.ready();
    ///     cx.stopped().await;
    ///     Ok(())
    /// }
    /// # let _worker = Rhizo::bare().component("worker", worker);
    /// ```
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        // Tasks that have ended are removed here, so that an instance which spawns one for each request needs bounded
        // memory.
        while let Some(ended) = tasks.try_join_next() {
            if let Err(error) = ended {
                self.log(&format!("a task of the instance ended early: {error}"));
            }
        }
        tasks.spawn(closure_output::kept(self.log.clone(), task));
    }

    /// An attribute of the component, as it is now.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<String> {
        self.attributes.borrow().get(&ValueName::from(name)).cloned()
    }

    /// A value that an action of this run published before the instance was started.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.get(&ValueName::from(name)).map(String::as_str)
    }

    /// The value of a secret of the component, by its name in `env`.
    #[must_use]
    pub fn secret(&self, name: &str) -> Option<&str> {
        self.secrets.get(name)
    }

    /// Writes a line to the log of the instance, which `logs` shows.
    ///
    /// `tracing` events of the closure's own task are there too, unless the program has set a subscriber of its own.
    /// What the closure prints to the standard streams is in the log of its node.
    pub fn log(&self, line: &str) {
        self.log.write(format!("{line}\n").as_bytes());
    }

    /// Passes a data value to the users of the exports that list its name. It replaces a value of the same name.
    pub async fn publish(&self, name: &str, value: impl Into<String>) {
        let values = Values::from([(ValueName::from(name), value.into())]);
        // The receiver is gone only when the instance is being dropped.
        let _ended = self.publish.send(values).await;
    }

    /// An export of this component, to listen on.
    #[must_use]
    pub fn export(&self, name: &str) -> ExportHandle {
        ExportHandle { name: PortName::from(name), ctx: self.clone() }
    }

    /// Declares that the instance works: instances that import it may start once all its exports listen.
    pub fn ready(&self) {
        self.progress.send_modify(|progress| progress.ready = true);
    }

    /// Resolves when the instance has to stop. A closure that still runs after the grace period is dropped.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stop = self.stop.clone();
        async move { raised(&mut stop).await }
    }
}

/// Aborts the tasks of an instance whose closure has ended.
fn end_tasks(tasks: &Mutex<JoinSet<()>>) {
    tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
}

/// An export as its component sees it.
pub struct ExportHandle {
    name: PortName,
    ctx: Ctx,
}

impl ExportHandle {
    /// Listens on the node's address, at the fixed port of the config or a free one, and registers the address.
    ///
    /// # Errors
    /// When the config declares no such export, or the port cannot be bound.
    pub async fn listen(self) -> io::Result<TcpListener> {
        let exports = &self.ctx.component.exports;
        let Some(export) = exports.get(&self.name) else {
            let message = format!(
                "the config declares no export `{}` for this component; {}",
                self.name,
                declared(exports.keys())
            );
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        };
        let port = self.ctx.ports.get(&self.name).map(SocketAddr::port).or(export.fixed_port()).unwrap_or(0);
        let listener = TcpListener::bind((self.ctx.node.address, port)).await?;
        let address = listener.local_addr()?;
        self.ctx.progress.send_modify(|progress| {
            progress.listening.insert(self.name, address);
        });
        Ok(listener)
    }
}

/// The ports that the config declares, as the end of a message.
fn declared<'a>(ports: impl Iterator<Item = &'a PortName>) -> String {
    let names: Vec<String> = ports.map(|port| format!("`{port}`")).collect();
    if names.is_empty() { "it declares none".to_owned() } else { format!("it declares {}", names.join(", ")) }
}

/// Runs the closure until it ends, and reports the outcome.
pub(super) async fn run(task: Task, closure: Embedded) {
    let (progress, mut seen) = watch::channel(Progress::default());
    let (publish, published) = mpsc::channel(PUBLISHED_LEN);
    let tasks = Arc::<Mutex<JoinSet<()>>>::default();
    let ctx = Ctx {
        instance: task.run.instance.clone(),
        node: task.scope.node.clone(),
        dir: task.scope.dir.as_path().into(),
        data: task.scope.data.as_ref().map(|data| data.path().into()),
        component: task.component.clone(),
        ports: Arc::new(task.scope.exports.clone()),
        imports: task.imports.clone(),
        attributes: task.attributes.clone(),
        members: task.members.clone(),
        tasks: tasks.clone(),
        values: Arc::new(task.scope.values.clone()),
        secrets: task.scope.secrets.clone(),
        log: task.log.clone(),
        progress: Arc::new(progress),
        publish,
        stop: task.stop.clone(),
    };
    let publishing = tokio::spawn(pass_on(published, task.run.clone(), task.reports.clone()));
    let mut running = tokio::spawn(closure_output::kept(task.log.clone(), closure(ctx)));
    let outcome = live(&task, &mut running, &mut seen).await;
    if !running.is_finished() {
        let grace = task.spent_grace.rest_of(task.component.stop.grace_ms);
        if timeout(grace, &mut running).await.is_err() {
            running.abort();
            let _cancelled = running.await;
        }
    }
    end_tasks(&tasks);
    end_publishing(publishing).await;
    task.report(outcome).await;
}

/// Follows the closure through its start gate until it ends, fails its health check or is ordered to stop.
async fn live(
    task: &Task,
    running: &mut JoinHandle<Result<(), BoxError>>,
    seen: &mut watch::Receiver<Progress>,
) -> RunOutcome {
    let mut stop = task.stop.clone();
    let exports = match started(task, running, seen).await {
        Ok(exports) => exports,
        Err(outcome) => return outcome,
    };
    let health = task.scope.fill_health(task.component.health.as_ref(), &exports);
    let launch = Launch::new(&task.component, &task.scope, "service");
    let (health, launch) = match health.and_then(|health| Ok((health, launch?))) {
        Ok(prepared) => prepared,
        Err(reason) => return RunOutcome::StartFailed(reason),
    };
    task.report(RunOutcome::Started(exports.clone())).await;
    tokio::select! {
        biased;
        () = raised(&mut stop) => RunOutcome::Stopped,
        ended = running => RunOutcome::Failed(in_words(ended)),
        reason = probe::unhealthy(health.as_ref(), &exports, &launch) => RunOutcome::Failed(reason),
    }
}

/// Waits until the closure has called `ready` and listens on all exports; returns their addresses.
async fn started(
    task: &Task,
    running: &mut JoinHandle<Result<(), BoxError>>,
    seen: &mut watch::Receiver<Progress>,
) -> Result<ExportTable, RunOutcome> {
    let mut stop = task.stop.clone();
    let progress = seen.clone();
    let works = |progress: &Progress| {
        task.start_check.lacks(missing(task, progress));
        let mut services = task.component.exports.iter().filter(|(_, export)| !export.data);
        progress.ready && services.all(|(name, _)| progress.listening.contains_key(name))
    };
    let gate = async {
        // The closure may drop its context and end; the select below sees that as its end.
        let Ok(progress) = seen.wait_for(works).await else { return std::future::pending().await };
        progress.listening.clone()
    };
    tokio::select! {
        biased;
        ended = running => Err(RunOutcome::StartFailed(in_words(ended))),
        // A start that is stopped because its time-out is over has failed; the core ignores the reason of other stops.
        () = raised(&mut stop) => Err(RunOutcome::StartFailed(missing(task, &progress.borrow()))),
        exports = gate => Ok(exports),
        ms = passed(start_ms_max(&task.component)) => {
            let missing = missing(task, &progress.borrow());
            Err(RunOutcome::StartFailed(format!("it did not start within {ms} ms: {missing}")))
        }
    }
}

/// Reports the values that the closure published last, before its end is reported.
async fn end_publishing(publishing: JoinHandle<()>) {
    // A clone of the context that the application kept must not delay the report of the end.
    let abort = publishing.abort_handle();
    if timeout(Duration::from_millis(PUBLISHED_MS_MAX), publishing).await.is_err() {
        abort.abort();
    }
}

async fn pass_on(
    mut published: mpsc::Receiver<Values>,
    run: rhizo_protocol::turn::RunId,
    reports: mpsc::Sender<super::RunReport>,
) {
    while let Some(values) = published.recv().await {
        super::report(&reports, run.clone(), RunOutcome::Published(values)).await;
    }
}

fn in_words(ended: Result<Result<(), BoxError>, JoinError>) -> String {
    match ended {
        Ok(Ok(())) => "its closure returned".to_owned(),
        Ok(Err(error)) => format!("its closure failed: {error}"),
        Err(panic) => format!("its closure panicked: {panic}"),
    }
}

/// Resolves with the limit when it has passed; never without one.
async fn passed(limit_ms: Option<u64>) -> u64 {
    let Some(ms) = limit_ms else { return std::future::pending().await };
    tokio::time::sleep(Duration::from_millis(ms)).await;
    ms
}

/// Returns the steps of its start that an instance has not completed yet.
fn missing(task: &Task, progress: &Progress) -> String {
    let mut services = task.component.exports.iter().filter(|(_, export)| !export.data);
    match services.find(|(name, _)| !progress.listening.contains_key(*name)) {
        Some((name, _)) => format!("it does not listen on export `{name}`"),
        None => "it has not called `ready()`".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_types::spec::{Export, Run};
    use std::io::Write as _;

    /// The context of an instance that imports `db` and exports `http`.
    fn ctx() -> Ctx {
        let mut component = Component::new(Run::Embedded);
        component.imports.insert("db".into(), rhizo_types::spec::Import::of("db".into(), "sql".into()));
        component.exports.insert("http".into(), Export::SERVICE);
        let scope = super::super::template::tests::scope("/run".into());
        Ctx {
            instance: scope.instance,
            node: scope.node,
            dir: scope.dir.into(),
            data: None,
            component: Arc::new(component),
            ports: Arc::default(),
            imports: watch::channel(SeenImports::new()).1,
            attributes: watch::channel(Values::new()).1,
            members: watch::channel(Members::default()).1,
            tasks: Arc::default(),
            values: Arc::default(),
            secrets: scope.secrets,
            log: Arc::new(InstanceLog::nowhere()),
            progress: Arc::new(watch::channel(Progress::default()).0),
            publish: mpsc::channel(1).0,
            stop: watch::channel(false).1,
        }
    }

    #[tokio::test]
    async fn a_port_that_the_config_does_not_declare_is_an_error_at_once() {
        let listened = ctx().export("htpp").listen().await;
        let error = listened.expect_err("there is no such export").to_string();
        assert!(error.contains("`htpp`") && error.ends_with("it declares `http`"), "{error}");
        assert!(ctx().import("db").is_ok_and(|db| db.addrs().is_empty()));
        let closure = tokio::spawn(async {
            ctx().import("bd")?;
            Ok(())
        });
        let reason = in_words(closure.await);
        assert!(reason.contains("no import `bd`") && reason.contains("it declares `db`"), "{reason}");
    }

    #[tokio::test]
    async fn a_task_of_an_instance_writes_to_its_log_and_ends_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let log = Arc::new(InstanceLog::new(dir.path().to_owned()));
        let ctx = Ctx { log, ..ctx() };
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        ctx.spawn(async move {
            closure_output::Tee.write_all(b"of the task\n").unwrap();
            // It holds the sender for as long as it lives.
            let _sender = sender;
            std::future::pending::<()>().await;
        });
        let written = || super::super::log_reader::last_lines(dir.path(), 1_000).unwrap();
        while written().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(written()[0].text, "of the task");
        end_tasks(&ctx.tasks);
        assert!(receiver.await.is_err(), "the task was dropped");
    }

    #[tokio::test]
    async fn a_change_of_the_members_is_seen_after_it_was_asked_for() {
        let node = |id| NodeView { id: rhizo_types::NodeId(id), ..ctx().node.clone() };
        let (sender, members) = watch::channel(Members::from([node(1)]));
        let ctx = Ctx { members, ..ctx() };
        assert_eq!(ctx.members(), [node(1)]);
        let changed = ctx.members_changed();
        tokio::pin!(changed);
        assert!(timeout(Duration::from_millis(1), &mut changed).await.is_err());
        sender.send_replace(Members::from([node(1), node(2)]));
        assert_eq!(changed.await, [node(1), node(2)]);
    }
}
