//! The files of components on their way from the operator's machine into the application.
//!
//! A first `up` stores them in the directory of node 0, which does not run yet. A later one offers them to a member over
//! a stream, from a store of its own that ends with the command. Both happen after the consent and before the spec that
//! names the files is committed. Read next: [`crate::closures`].

use super::Session;
use super::bundle::Carried;
use super::client::Client;
use super::exit::{Exit, Failure};
use crate::closures::{self, Closures};
use crate::config::Config;
use crate::error::chain;
use rhizo_artifacts::share::Exchange;
use rhizo_artifacts::store::{Lease, Store, StoreError};
use rhizo_types::Digest;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Finds and hashes the files of all components.
///
/// # Errors
/// A file is missing or cannot be read.
pub(super) fn find(config: &Config) -> Result<Closures, Failure> {
    match Carried::open()?.filter(|carried| carried.has(config)) {
        Some(carried) => Ok(carried.closures(config)),
        None => find_into(config, None),
    }
}

fn find_into(config: &Config, into: Option<(&Store, &Lease)>) -> Result<Closures, Failure> {
    closures::find(&config.parsed, &config.text.base, false, into).map_err(|error| {
        Failure::new(Exit::BadConfig, chain(&error))
            .hint("the programs, templates and `files` of a component are packed by `plan` and `up`")
    })
}

/// Stores the files, which must be those of the plan.
fn store(config: &Config, store: &Store, lease: &Lease) -> Result<(), Failure> {
    if let Some(carried) = Carried::open()?.filter(|carried| carried.has(config)) {
        return carried.store(store, lease);
    }
    if find_into(config, Some((store, lease)))? == config.text.closures {
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, "pack the files of the plan: a file has changed since it was made")
        .hint("run the command again"))
}

/// Stores the files in the directory of node 0, before its process is started.
///
/// # Errors
/// A file changed meanwhile, or the disk is full.
pub(super) fn store_at_founder(session: &Session, config: &Config) -> Result<(), Failure> {
    if config.text.closures.is_empty() {
        return Ok(());
    }
    let dir = session.home.founder_dir().join(crate::component::artifacts::STORE);
    let opened = Store::open(&dir).map_err(|error| not_stored(&error))?;
    store(config, &opened, &opened.lease())
}

fn not_stored(error: &StoreError) -> Failure {
    Failure::new(Exit::Failed, format!("store the files of the components: {}", chain(error)))
}

/// Sends the files to a member. A member that has them already receives nothing.
///
/// # Errors
/// A file changed since the plan was made, or no member took the files.
pub(super) async fn send(session: &Session, client: &mut Client, config: &Config) -> Result<(), Failure> {
    let trees: BTreeSet<Digest> = config.text.closures.values().map(|closure| closure.tree).collect();
    if trees.is_empty() {
        return Ok(());
    }
    let uploads = Uploads::new(session)?;
    let exchange = Exchange::new(Store::open(&uploads.dir).map_err(|error| not_stored(&error))?);
    let lease = exchange.store().lease();
    store(config, exchange.store(), &lease)?;
    let members = super::members_of(&client.status().await?);
    let (dialer, credential) = client.artifact_streams();
    let mut refused = "no member is known".to_owned();
    'members: for member in &members {
        let (Some(key), Some(address)) = (member.peer_key(), member.addresses.first()) else { continue };
        for tree in &trees {
            let stream = match dialer.dial(key, *address, &credential).await {
                Ok(stream) => stream,
                Err(error) => {
                    refused = chain(&error);
                    continue 'members;
                }
            };
            if let Err(error) = rhizo_artifacts::offer(&exchange, stream, *tree).await {
                refused = chain(&error);
                continue 'members;
            }
        }
        return Ok(());
    }
    Err(Failure::new(Exit::NoAnswer, format!("send the files of the components: {refused}"))
        .hint("nothing was changed; run the command again"))
}

/// The directory of a store that ends with the command.
struct Uploads {
    dir: PathBuf,
}

impl Uploads {
    fn new(session: &Session) -> Result<Self, Failure> {
        let dir = session.home.path().join(format!("uploads-{}", std::process::id()));
        remove(&dir);
        Ok(Self { dir })
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        remove(&self.dir);
    }
}

fn remove(dir: &Path) {
    if let Err(error) = std::fs::remove_dir_all(dir)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, dir = %dir.display(), "files of an upload not removed");
    }
}
