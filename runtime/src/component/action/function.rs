//! Rust async functions as actions: what an embedding binary registers, and the context they are called with.
//!
//! A function that returns an error or panics has failed as an action. One that is cancelled is dropped at its
//! next await. The closures that run for as long as their instance are in [`super::super::embedded`].

use super::super::embedded::BoxError;
use super::super::program::Ended;
use super::super::template::Scope;
use super::super::{NodeView, raised};
use super::Act;
use rhizo_types::lifecycle::Values;
use rhizo_types::{InstanceId, PortName, ValueName};
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

type FunctionFuture = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// A registered function.
pub(in crate::component) type Function = Arc<dyn Fn(ActionCtx) -> FunctionFuture + Send + Sync>;

/// Boxes a function for the registry.
pub(in crate::component) fn boxed<F, Fut>(function: F) -> Function
where
    F: Fn(ActionCtx) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    Arc::new(move |ctx| Box::pin(function(ctx)))
}

/// What an action sees of rhizo: whose it is, what is imported and known, and where its values go.
#[derive(Clone)]
pub struct ActionCtx {
    scope: Arc<Scope>,
    put: Arc<Mutex<Values>>,
}

impl ActionCtx {
    /// Which copy of which component this is.
    #[must_use]
    pub fn instance(&self) -> &InstanceId {
        &self.scope.instance
    }

    /// The node this instance runs on.
    #[must_use]
    pub fn node(&self) -> &NodeView {
        &self.scope.node
    }

    /// The directory of this instance; it need not exist yet.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.scope.dir
    }

    /// Where an export of this instance is reached; none for an export of data, or one that nobody listens on yet.
    #[must_use]
    pub fn export(&self, name: &str) -> Option<SocketAddr> {
        self.scope.exports.get(&PortName::from(name)).copied()
    }

    /// The addresses that an import was bound to when the action began.
    #[must_use]
    pub fn addrs(&self, import: &str) -> Vec<SocketAddr> {
        let told = self.scope.imports.get(&PortName::from(import));
        told.into_iter().flatten().filter_map(|(_, served)| served.address).collect()
    }

    /// A value of the first exporter that an import was bound to when the action began.
    #[must_use]
    pub fn imported(&self, import: &str, value: &str) -> Option<&str> {
        let served = self.scope.imports.get(&PortName::from(import))?.values().next()?;
        served.values.get(&ValueName::from(value)).map(String::as_str)
    }

    /// An attribute of the component.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.scope.attributes.get(&ValueName::from(name)).map(String::as_str)
    }

    /// What an earlier action of this run put out.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.scope.values.get(&ValueName::from(name)).map(String::as_str)
    }

    /// Puts out a value: later actions have it, and exports that list its name carry it once this one is done.
    pub fn put(&self, name: &str, value: impl Into<String>) {
        let mut put = self.put.lock().unwrap_or_else(PoisonError::into_inner);
        put.insert(ValueName::from(name), value.into());
    }
}

/// Calls the registered function.
pub(super) async fn call(act: &Act, name: &str) -> Ended {
    let component = &act.scope.instance.component;
    let Some(function) = act.registry.function(component, name) else {
        return Ended::Failed(format!("this binary has no function `{name}` for component `{component}`"));
    };
    let put = Arc::new(Mutex::new(Values::new()));
    let ctx = ActionCtx { scope: Arc::new(act.scope.clone()), put: put.clone() };
    // A task of its own, so that a panic is a failure of the action and of nothing else.
    let mut running = tokio::spawn(function(ctx));
    let mut cancel = act.cancel.clone();
    let ended = tokio::select! {
        biased;
        () = raised(&mut cancel) => None,
        ended = &mut running => Some(ended),
    };
    match ended {
        None => {
            running.abort();
            let _cancelled = running.await;
            Ended::Cancelled
        }
        Some(Ok(Ok(()))) => {
            Ended::Done(std::mem::take(&mut *put.lock().unwrap_or_else(PoisonError::into_inner)))
        }
        Some(Ok(Err(error))) => Ended::Failed(format!("`{name}` failed: {error}")),
        Some(Err(panic)) => Ended::Failed(format!("`{name}` panicked: {panic}")),
    }
}
