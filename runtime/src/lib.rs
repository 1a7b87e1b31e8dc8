//! An embeddable runtime by which an application deploys and manages itself.
//!
//! An application declares its components, rules and utilities in one TOML file and carries this runtime in its
//! binary. Its instances form an authenticated overlay, elect a coordinator, choose hosts by utility minus migration
//! cost, acquire and release hosts at several providers, and start, bind, move and repair components. There is no
//! control plane to install.
//!
//! One binary is the command line (`up`, `status`, `plan`, `down`, …), the supervisor of a host and the node on that
//! host. Its arguments select the part. [`Rhizo`] is the entry point, [`Ctx`] the context of a running component.
//!
//! # Example
//!
//! A component that answers every connection with its own name:
//!
//! ```no_run
//! use rhizo::prelude::*;
//! use tokio::io::AsyncWriteExt;
//!
//! fn main() -> std::process::ExitCode {
//!     Rhizo::from_file("rhizo.toml").component("greeter", greet).run()
//! }
//!
//! async fn greet(cx: Ctx) -> Result<(), BoxError> {
//!     let listener = cx.export("tcp").listen().await?;
//!     cx.ready();
//!     let stopped = cx.stopped();
//!     tokio::pin!(stopped);
//!     loop {
//!         tokio::select! {
//!             () = &mut stopped => return Ok(()),
//!             accepted = listener.accept() => {
//!                 let (mut connection, _) = accepted?;
//!                 connection.write_all(cx.instance().to_string().as_bytes()).await?;
//!             }
//!         }
//!     }
//! }
//! ```
//!
//! The file `rhizo.toml` beside it:
//!
//! ```toml
//! rhizo = 1
//!
//! [app]
//! name = "hello"
//! version = "0.1.0"
//!
//! [components.greeter]
//! exports.tcp = {}
//! ```
//!
//! `./hello up` then shows a plan with its price and carries it out when it is confirmed. Without a provider in the
//! file every host is a directory and a loopback address of this machine.
//!
//! # Stability
//!
//! Only the items listed on this page are meant to be used. The crates `rhizo-types`, `rhizo-protocol`,
//! `rhizo-solver` and the others that this one is made of follow its version and change without notice.

#![forbid(unsafe_code)]

mod admin;
mod app;
mod app_dir;
mod cli;
mod closures;
mod component;
mod config;
mod error;
mod handle;
mod node;
pub mod provider;
mod secrets;
mod spec;
pub mod testing;

pub use admin::facts::{FactRecord, FactValue};
pub use admin::{
    BindingStatus, ExportStatus, FailingStatus, InstanceStatus, IntentCounts, NodeStatus, ScriptStatus,
    Status,
};
pub use app::Rhizo;
pub use component::NodeView;
pub use component::embedded::{Ctx, ExportHandle};
pub use component::function::{ActionCtx, BoxError};
pub use component::import::{Import, UnknownImport};
pub use handle::{Application, Error, Event, Events, Handle};
pub use rhizo_protocol::Survival;
pub use rhizo_types::{InstanceId, Lineage, NodeId, ProviderName, RegionName, Revision};
pub use spec::{Component, Spec, SpecError};

/// The names that most embedding programs use.
pub mod prelude {
    pub use crate::{ActionCtx, BoxError, Ctx, Import, Rhizo};
}
