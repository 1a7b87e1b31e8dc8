//! Content-addressed trees of files: what a component needs to run, stored once, moved between nodes, and verified.
//!
//! A *tree* is a [`manifest::Manifest`]: paths with the BLAKE3 hashes of their contents. Its *digest* identifies it.
//! Equal contents are stored and moved once, for all components and versions. The same trees carry the closures of
//! components and the snapshots of their data.
//!
//! - [`store::Store`]: the trees of one node on disk. [`store::Store::put`] stores a content,
//!   [`store::Store::put_manifest`] a tree, [`store::Store::check_out`] makes its files. A user of a tree holds a
//!   [`store::Lease`] of it, taken before the first look at the store; [`share::Exchange::collect`] deletes the rest.
//! - [`share::Exchange`]: the store of a node as its peers see it, also while trees are in transfer.
//! - [`fetch()`]: gets a tree from several peers at once, resumes, refuses wrong bytes. It works over any stream that
//!   implements tokio's `AsyncRead` and `AsyncWrite`; [`fetch::Peers`] lists peers and opens streams.
//! - [`serve()`]: answers the requests of one peer over one stream. [`offer()`] sends a tree to a peer that has no way
//!   to open streams to this node.
//!
//! To move one file, make a tree of it:
//!
//! ```
//! use rhizo_artifacts::manifest::{Entry, Manifest};
//! use rhizo_artifacts::share::Exchange;
//! use rhizo_artifacts::store::Store;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! let sender = Exchange::new(Store::open(&dir.path().join("sender"))?);
//! let lease = sender.store().lease();
//! let (hash, bytes) = sender.store().put(&lease, &b"a snapshot"[..])?;
//! let entry = Entry::File { executable: false, bytes, hash };
//! let manifest = Manifest::new([("snapshot".to_owned(), entry)])?;
//! let tree = sender.store().put_manifest(&lease, &manifest)?;
//!
//! let receiver = Exchange::new(Store::open(&dir.path().join("receiver"))?);
//! let (one, other) = tokio::io::duplex(64 * 1024);
//! let serving = tokio::spawn(async move { rhizo_artifacts::serve(&receiver, one, true).await.map(|()| receiver) });
//! rhizo_artifacts::offer(&sender, other, tree).await?;
//! let receiver = serving.await??;
//! let dir = receiver.store().check_out(&tree)?;
//! assert_eq!(std::fs::read(dir.join("snapshot"))?, b"a snapshot");
//! # Ok(())
//! # }
//! ```
//!
//! This crate does not know components, ledgers or the overlay. Read next: [`manifest`], [`store`], [`fetch`](mod@fetch).

#![forbid(unsafe_code)]

pub mod bundle;
pub mod closure;
pub mod fetch;
pub mod layout;
pub mod manifest;
mod on_disk;
pub mod pieces;
pub mod serve;
pub mod share;
pub mod store;
pub mod wire;

pub use fetch::{FetchError, Peers, Progress, fetch};
pub use serve::{ServeError, offer, serve};
