//! The code that an embedding binary registers: closures by component, functions by component and name.
//!
//! It runs none of it. Read next: [`super::embedded`] for closures, [`super::function`] for functions.

use super::embedded::{Ctx, Embedded};
use super::function::{self, ActionCtx, BoxError, Function};
use rhizo_actuators::Kinds;
use rhizo_types::ComponentName;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

/// The code of the embedding binary: closures by component, functions by component and name, kinds of providers.
#[derive(Default)]
pub(crate) struct Registry {
    kinds: Kinds,
    closures: BTreeMap<ComponentName, Embedded>,
    functions: BTreeMap<(ComponentName, String), Function>,
}

impl Registry {
    /// Registers the closure that runs each instance of a component.
    pub(crate) fn add_closure<F, Fut>(&mut self, component: &str, closure: F)
    where
        F: Fn(Ctx) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let boxed: Embedded = Arc::new(move |ctx| Box::pin(closure(ctx)));
        self.closures.insert(ComponentName::from(component), boxed);
    }

    /// Registers a function that the actions of a component's life-cycle call.
    pub(crate) fn add_function<F, Fut>(&mut self, component: &str, name: &str, function: F)
    where
        F: Fn(ActionCtx) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let key = (ComponentName::from(component), name.to_owned());
        self.functions.insert(key, function::boxed(function));
    }

    /// The kinds of providers, to add one.
    pub(crate) fn kinds_mut(&mut self) -> &mut Kinds {
        &mut self.kinds
    }

    /// The kinds of providers.
    pub(crate) fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// Whether there is a closure for the component.
    #[must_use]
    pub(crate) fn has_closure(&self, component: &ComponentName) -> bool {
        self.closures.contains_key(component)
    }

    /// Whether there is a function of that name for the component.
    #[must_use]
    pub(crate) fn has_function(&self, component: &ComponentName, name: &str) -> bool {
        self.function(component, name).is_some()
    }

    /// The components of the registered closures and functions.
    pub(crate) fn components(&self) -> BTreeSet<&ComponentName> {
        self.closures.keys().chain(self.functions.keys().map(|(component, _)| component)).collect()
    }

    pub(super) fn closure(&self, component: &ComponentName) -> Option<Embedded> {
        self.closures.get(component).cloned()
    }

    pub(super) fn function(&self, component: &ComponentName, name: &str) -> Option<Function> {
        self.functions.get(&(component.clone(), name.to_owned())).cloned()
    }
}
