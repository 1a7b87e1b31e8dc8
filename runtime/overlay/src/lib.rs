//! Authenticated links between nodes: admission, ordered lanes of frames, requests, gossip, and round-trip times.
//!
//! No other crate knows libp2p, and no type of libp2p is public here. The crate moves bytes between peer keys; it knows
//! no plan, no ledger and no Raft. A stranger is refused before a multiplexer sees any of its bytes.
//!
//! Read next: [`Overlay`] (the handle), `gate` (the credential exchange), `transport` (the order of the
//! set-up), `service` (the task that owns the swarm).

#![forbid(unsafe_code)]

mod admission;
mod buffer;
mod cipher;
mod class;
mod config;
mod dials;
mod error;
mod event;
mod fault;
mod frame;
mod gate;
mod handshake_io;
mod hello;
mod key;
mod lane;
mod lane_io;
mod link;
mod links;
mod muxer;
mod overlay;
mod permit;
mod rate;
mod raw_stream;
mod records;
mod refusal;
mod service;
mod shaper;
mod shared;
mod signed;
mod stream;
mod succession;
mod swarm;
mod transport;
mod upkeep;

pub use admission::{Admission, Credential, Role, TicketId, TicketSecret, TicketVerifier};
pub use buffer::{BUFFER_BYTES, Buffer};
pub use class::Class;
pub use config::{GOSSIP_BYTES_MAX, OverlayConfig};
pub use error::{BindError, DialError, PublishError};
pub use event::{LinkDownReason, OverlayEvent, OverlayEvents, UnreachableReason};
pub use gate::Counters;
pub use key::NodeSecret;
pub use lane::{Reply, RequestError, SendError};
pub use overlay::Overlay;
pub use raw_stream::StreamUse;
pub use refusal::Refusal;
pub use shaper::LinkShaper;
pub use stream::{InboundStream, PeerStream, StreamDialer, StreamError, StreamListener};
pub use succession::Succession;
pub use upkeep::LinkTarget;
