//! A read-only view of an instance for tests, the model checker and the simulator.
//!
//! Nothing of the protocol depends on it.

use super::local::{Exports, Local};
use crate::turn::BoundImports;
use rhizo_types::id::{InstanceId, PlaceName, PortName};
use rhizo_types::message::InstancePhase;
use rhizo_types::net::{Marking, Net};
use rhizo_types::spec::Component;
use rhizo_types::target::Placed;

/// An instance of a node, seen from outside.
#[derive(Clone, Copy, Debug)]
pub struct InstanceView<'a> {
    /// The instance.
    pub instance: &'a InstanceId,
    /// Its node, generation and version.
    pub placed: &'a Placed,
    /// Its component in that version.
    pub component: &'a Component,
    /// The phase that its agent reports.
    pub phase: InstancePhase,
    /// The bindings that its program was last given.
    pub bound_imports: &'a BoundImports,
    local: &'a Local,
}

impl<'a> InstanceView<'a> {
    pub(super) fn of(instance: &'a InstanceId, local: &'a Local) -> Self {
        Self {
            instance,
            placed: &local.placed,
            component: &local.kind.component,
            phase: local.phase(),
            bound_imports: &local.bound_imports,
            local,
        }
    }

    /// The compiled life-cycle.
    #[must_use]
    pub fn net(&self) -> &'a Net {
        &self.local.kind.net
    }

    /// Where its tokens are.
    #[must_use]
    pub fn marking(&self) -> &'a Marking {
        &self.local.marking
    }

    /// The places that hold a token.
    pub fn places(&self) -> impl Iterator<Item = &'a PlaceName> {
        let net = &self.local.kind.net;
        self.local.marking.places.iter().map(|place| net.place(*place))
    }

    /// Whether an import is used in a way that requires it to be bound if it is mandatory.
    ///
    /// False while the instance is suspended, lowered or reset: it continues without the imports that it lost.
    #[must_use]
    pub fn relies_on(&self, import: &PortName) -> bool {
        self.local.mode.exports() == Some(Exports::Offered) && self.local.is_using(import)
    }

    /// Whether a token or a running transition uses the import.
    #[must_use]
    pub fn is_using(&self, import: &PortName) -> bool {
        self.local.is_using(import)
    }

    /// Whether an export is active; only then may another instance use it.
    #[must_use]
    pub fn is_active(&self, export: &PortName) -> bool {
        self.local.is_active(export)
    }

    /// How many exporters of an import are bound.
    #[must_use]
    pub fn bound(&self, import: &PortName) -> usize {
        self.local.imports.get(import).map_or(0, |binding| binding.bound)
    }
}
