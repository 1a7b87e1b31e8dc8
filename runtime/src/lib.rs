//! Rhizo: a runtime that an application embeds to deploy and manage itself.
//!
//! An application declares components, rules and utilities in one file. Its instances form an authenticated
//! overlay, elect a coordinator, choose hosts by utility minus migration cost, acquire and release them at
//! several providers, and start, bind, move and repair components among themselves. There is no control plane.
//!
//! This crate is where everything meets: the embedding API ([`Rhizo`], [`Ctx`]), the node's event loop, the
//! control loop, the command line. Decisions are in `rhizo-protocol` and `rhizo-solver`; see ARCHITECTURE.md.

#![forbid(unsafe_code)]

pub mod admin;
mod app;
mod cli;
pub mod component;
mod config;
pub mod error;
pub mod home;
pub mod node;
mod pose;

pub use app::Rhizo;
pub use component::action::function::ActionCtx;
pub use component::embedded::{BoxError, Ctx, ExportHandle, Import};
pub use error::{Error, Result};

/// What most embedding programs need.
pub mod prelude {
    pub use crate::{ActionCtx, BoxError, Ctx, Import, Rhizo};
}
