//! Async Rust functions as actions: their registration by an embedding binary, and the context of their calls.
//!
//! An error or a panic of a function is a failure of the action. A cancelled function is dropped at its next await. The
//! closures that run as long as their instance are in [`super::embedded`], the calls in [`super::action`].

use super::NodeView;
use super::imports::SeenImport;
use super::template::Scope;
use rhizo_types::lifecycle::Values;
use rhizo_types::{InstanceId, PortName, ValueName};
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

type FunctionFuture = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// The error type of closures and functions: any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A registered function.
pub(super) type Function = Arc<dyn Fn(ActionCtx) -> FunctionFuture + Send + Sync>;

/// Boxes a function for the registry.
pub(super) fn boxed<F, Fut>(function: F) -> Function
where
    F: Fn(ActionCtx) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    Arc::new(move |ctx| Box::pin(function(ctx)))
}

/// The context of a function's call: its instance, imports, attributes and values.
#[derive(Clone)]
pub struct ActionCtx {
    scope: Arc<Scope>,
    put: Arc<Mutex<Values>>,
}

impl ActionCtx {
    /// The context of one call, whose values are collected in `put`.
    pub(super) fn new(scope: Scope, put: Arc<Mutex<Values>>) -> Self {
        Self { scope: Arc::new(scope), put }
    }

    /// The instance whose action this is.
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

    /// The address of an export; none for an export of data, and for one that does not listen yet.
    #[must_use]
    pub fn export(&self, name: &str) -> Option<SocketAddr> {
        self.scope.exports.get(&PortName::from(name)).copied()
    }

    /// The addresses that an import was bound to when the action began.
    #[must_use]
    pub fn addrs(&self, import: &str) -> Vec<SocketAddr> {
        self.scope.imports.get(&PortName::from(import)).map(SeenImport::addresses).unwrap_or_default()
    }

    /// A value of the first exporter that an import was bound to when the action began.
    #[must_use]
    pub fn imported(&self, import: &str, value: &str) -> Option<&str> {
        let served = self.scope.imports.get(&PortName::from(import))?.exporters.values().next()?;
        served.values.get(&ValueName::from(value)).map(String::as_str)
    }

    /// An attribute of the component.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.scope.attributes.get(&ValueName::from(name)).map(String::as_str)
    }

    /// A value that an earlier action of this run published.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.scope.values.get(&ValueName::from(name)).map(String::as_str)
    }

    /// Publishes a value. Later actions can read it, and exports that list its name carry it once this action
    /// succeeds.
    pub fn put(&self, name: &str, value: impl Into<String>) {
        let mut put = self.put.lock().unwrap_or_else(PoisonError::into_inner);
        put.insert(ValueName::from(name), value.into());
    }
}
