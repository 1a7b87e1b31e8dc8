//! Authenticated links between nodes: who may come in, ordered lanes of frames, requests, gossip, round trips.
//!
//! The only crate that knows libp2p; none of its types leaves it. It moves bytes between peer keys and knows
//! no plan, no ledger and no Raft. A stranger is refused before any multiplexer sees a byte of his.
//!
//! Read next: [`Overlay`] (the handle), `gate` (the credential exchange), `transport` (the order of the
//! set-up), `service` (the task that owns the swarm).

#![forbid(unsafe_code)]

mod admission;
mod class;
mod event;
mod fault;
mod frame;
mod gate;
mod hello;
mod key;
mod lane;
mod link;
mod links;
mod muxer;
mod overlay;
mod rate;
mod service;
mod shaper;
mod swarm;
mod transport;
mod upkeep;

pub use admission::{Admission, Credential, Role, TicketId, TicketSecret, TicketVerifier};
pub use class::Class;
pub use event::{LinkDownReason, OverlayEvent, OverlayEvents, UnreachableReason};
pub use gate::{Counters, Refusal};
pub use key::NodeSecret;
pub use lane::{Reply, RequestError, SendError};
pub use overlay::{BindError, DialError, GOSSIP_BYTES_MAX, Overlay, OverlayConfig, PublishError};
pub use shaper::LinkShaper;
pub use upkeep::LinkTarget;
