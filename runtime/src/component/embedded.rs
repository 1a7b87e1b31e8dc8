//! One instance that is a Rust closure of the embedding binary, and the context it is called with.
//!
//! A closure that returns or panics has failed as a component; it never takes the node down. Programs are
//! in [`super::exec`].

use super::{ExportTable, ImportTable, NodeView, Outcome, START_MS_MAX, Task, probe, raised};
use rhizo_types::spec::Export;
use rhizo_types::{ComponentName, InstanceId, PortName};
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

/// What a component's closure may fail with: anything that is an error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

type ClosureFuture = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// A registered closure.
pub(crate) type Embedded = Arc<dyn Fn(Ctx) -> ClosureFuture + Send + Sync>;

/// The closures of the embedding binary, by component.
pub(crate) type Registry = BTreeMap<ComponentName, Embedded>;

/// Boxes a closure for the registry.
pub(crate) fn boxed<F, Fut>(closure: F) -> Embedded
where
    F: Fn(Ctx) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    Arc::new(move |ctx| Box::pin(closure(ctx)))
}

/// What an instance sees of rhizo: its ports, its node, and when to stop.
#[derive(Clone)]
pub struct Ctx {
    instance: InstanceId,
    node: NodeView,
    declared: Arc<BTreeMap<PortName, Export>>,
    imports: watch::Receiver<ImportTable>,
    progress: Arc<watch::Sender<Progress>>,
    stop: watch::Receiver<bool>,
}

#[derive(Clone, Default)]
struct Progress {
    ready: bool,
    listening: ExportTable,
}

impl Ctx {
    /// Which copy of which component this is.
    #[must_use]
    pub fn instance(&self) -> &InstanceId {
        &self.instance
    }

    /// The node this instance runs on.
    #[must_use]
    pub fn node(&self) -> &NodeView {
        &self.node
    }

    /// An import of this component, which follows every re-binding.
    #[must_use]
    pub fn import(&self, name: &str) -> Import {
        let name = PortName::from(name);
        let told = self.imports.borrow().get(&name).cloned().unwrap_or_default();
        Import { name, table: self.imports.clone(), told }
    }

    /// An export of this component, to listen on.
    #[must_use]
    pub fn export(&self, name: &str) -> ExportHandle {
        ExportHandle { name: PortName::from(name), ctx: self.clone() }
    }

    /// Says that this instance works: dependants may start, once all its exports listen.
    pub fn ready(&self) {
        self.progress.send_modify(|progress| progress.ready = true);
    }

    /// Resolves when the instance has to stop; what is left after the grace period is dropped.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stop = self.stop.clone();
        async move { raised(&mut stop).await }
    }
}

/// An import as its user sees it.
#[derive(Clone)]
pub struct Import {
    name: PortName,
    table: watch::Receiver<ImportTable>,
    /// What [`Import::changed`] said last, so that no re-binding between two calls is missed.
    told: Vec<SocketAddr>,
}

impl Import {
    /// The addresses it is bound to now; empty while nothing is.
    #[must_use]
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.table.borrow().get(&self.name).cloned().unwrap_or_default()
    }

    /// The first address it is bound to; waits while nothing is.
    pub async fn addr(&self) -> SocketAddr {
        let mut table = self.table.clone();
        loop {
            // The guard must not live until the next await: the loop copies the address out of it.
            let bound = table.borrow_and_update().get(&self.name).and_then(|all| all.first()).copied();
            if let Some(address) = bound {
                return address;
            }
            if table.changed().await.is_err() {
                // Whoever re-binds is gone, so the instance is being dropped: there is nothing to wait for.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Resolves as soon as the addresses differ from those it said last (or from those at the beginning).
    pub async fn changed(&mut self) -> Vec<SocketAddr> {
        loop {
            let now = self.table.borrow_and_update().get(&self.name).cloned().unwrap_or_default();
            if now != self.told {
                self.told.clone_from(&now);
                return now;
            }
            if self.table.changed().await.is_err() {
                // Whoever re-binds is gone, so the instance is being dropped.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// An export as its component sees it.
pub struct ExportHandle {
    name: PortName,
    ctx: Ctx,
}

impl ExportHandle {
    /// Listens on the node's address, at the port of the config or a free one, and registers the address.
    ///
    /// # Errors
    /// When the config declares no such export, or the port cannot be bound.
    pub async fn listen(self) -> io::Result<TcpListener> {
        let Some(export) = self.ctx.declared.get(&self.name) else {
            let message = format!("the config declares no export `{}` for this component", self.name);
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        };
        let listener = TcpListener::bind((self.ctx.node.address, export.port.unwrap_or(0))).await?;
        let address = listener.local_addr()?;
        self.ctx.progress.send_modify(|progress| {
            progress.listening.insert(self.name, address);
        });
        Ok(listener)
    }
}

/// Runs the instance to its end and reports what became of it.
pub(super) async fn run(task: Task, closure: Embedded) {
    let (progress, mut seen) = watch::channel(Progress::default());
    let declared = Arc::new(task.order.component.exports.clone());
    let mut stop = task.stop.clone();
    let ctx = Ctx {
        instance: task.order.instance.clone(),
        node: task.node.clone(),
        declared: declared.clone(),
        imports: task.imports.clone(),
        progress: Arc::new(progress),
        stop: task.stop.clone(),
    };
    let mut running = tokio::spawn(closure(ctx));
    let works = |progress: &Progress| {
        progress.ready && declared.keys().all(|name| progress.listening.contains_key(name))
    };
    let gate = timeout(Duration::from_millis(START_MS_MAX), async {
        // The closure may drop its context and end; the select below sees that as its end.
        let Ok(progress) = seen.wait_for(works).await else { return std::future::pending().await };
        progress.listening.clone()
    });
    let started = tokio::select! {
        biased;
        ended = &mut running => Err(Outcome::StartFailed(in_words(ended))),
        () = raised(&mut stop) => Err(Outcome::Stopped),
        gate = gate => gate.map_err(|_| Outcome::StartFailed(late(&task, &seen.borrow()))),
    };
    let outcome = match started {
        Err(outcome) => outcome,
        Ok(exports) => {
            let health = task.order.component.health.as_ref();
            task.report(Outcome::Started(exports.clone())).await;
            tokio::select! {
                biased;
                () = raised(&mut stop) => Outcome::Stopped,
                ended = &mut running => Outcome::Failed(in_words(ended)),
                reason = probe::unhealthy(health, &exports) => Outcome::Failed(reason),
            }
        }
    };
    if !running.is_finished() {
        let grace = Duration::from_millis(task.order.component.stop.grace_ms);
        if timeout(grace, &mut running).await.is_err() {
            running.abort();
            let _cancelled = running.await;
        }
    }
    task.report(outcome).await;
}

fn in_words(ended: Result<Result<(), BoxError>, tokio::task::JoinError>) -> String {
    match ended {
        Ok(Ok(())) => "its closure returned".to_owned(),
        Ok(Err(error)) => format!("its closure failed: {error}"),
        Err(panic) => format!("its closure panicked: {panic}"),
    }
}

fn late(task: &Task, progress: &Progress) -> String {
    let silent = task.order.component.exports.keys().find(|name| !progress.listening.contains_key(*name));
    match silent {
        Some(name) => format!("it did not listen on export `{name}` within {START_MS_MAX} ms"),
        None => format!("it did not call `ready()` within {START_MS_MAX} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[tokio::test]
    async fn a_rebinding_between_two_waits_is_not_missed() {
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (sender, table) = watch::channel(ImportTable::new());
        let mut import = Import { name: PortName::from("db"), table, told: Vec::new() };
        sender.send_replace(ImportTable::from([(PortName::from("db"), vec![address(1)])]));
        // The user looked at the new addresses already; it has to be told of them all the same.
        assert_eq!(import.addrs(), [address(1)]);
        assert_eq!(import.changed().await, [address(1)]);
        sender.send_replace(ImportTable::from([(PortName::from("db"), vec![address(2)])]));
        assert_eq!(import.changed().await, [address(2)]);
    }
}
