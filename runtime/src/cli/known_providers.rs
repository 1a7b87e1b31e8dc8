//! The record of every provider that may have hosts of the home's application, which `down` and a resumed `up` read.
//!
//! A table is recorded before a config that names it is put in force, so that no host exists at a provider that the
//! record lacks. A table leaves the record when no config names it and its provider has had no host for long. The nodes
//! do not read this record: they have the tables in the ledger. Read next: [`super::sources`], which makes providers of
//! the tables.

use super::Session;
use super::exit::Failure;
use super::sources::releaser;
use crate::app_dir::{AppDir, Claim, Deployment, KnownProvider};
use crate::node::list_of_all;
use crate::node::solving::unix_ms;
use rhizo_actuators::process::Program;
use rhizo_types::spec::Spec;
use std::time::Duration;

/// A table is kept for at least this time after a config without it was put in force, in milliseconds. An order that
/// was under way then has ended after a minute, and its host is in the lists some time later.
const KEPT_MS_MIN: u64 = 600_000;

/// How long a provider has to answer whether it has hosts. A table whose provider does not answer is kept.
const ANSWER_MS_MAX: u64 = 5_000;

/// Records the tables of a config that is about to be put in force. They are on the disk when this returns.
pub(super) fn add(home: &AppDir, claim: &Claim, spec: &Spec) -> Result<(), Failure> {
    let mut known = read(home)?;
    let before = known.clone();
    for table in KnownProvider::all_of(spec) {
        known.retain(|each| !each.is_table_of(&table));
        known.push(table);
    }
    known.sort();
    if known != before {
        home.set_providers(claim, known)?;
    }
    Ok(())
}

fn read(home: &AppDir) -> Result<Vec<KnownProvider>, Failure> {
    home.providers().map_err(|error| {
        Failure::from(error).hint(
            "without this record, hosts of providers that were removed from the config would be forgotten; `down` \
             still finds the hosts on this machine",
        )
    })
}

/// Updates the record when a config has been put in force: removes the tables that the config does not name and whose
/// provider has had no host for [`KEPT_MS_MIN`].
pub(super) async fn settle(session: &Session, deployment: &Deployment, spec: &Spec) -> Result<(), Failure> {
    let now = unix_ms();
    let mut without_hosts = Vec::new();
    for known in read(&session.home)? {
        let is_due = known.unnamed_since_unix_ms.is_some_and(|since| now.saturating_sub(since) > KEPT_MS_MIN);
        if is_due && has_no_host(session, deployment, &known).await {
            without_hosts.push(known);
        }
    }
    let Some(claim) = session.home.claim()? else { return Ok(()) };
    let mut known = read(&session.home)?;
    let before = known.clone();
    // Another command may have put such a table in force meanwhile; then its entry differs.
    known.retain(|each| !without_hosts.contains(each));
    for each in &mut known {
        if !KnownProvider::all_of(spec).any(|table| table.is_table_of(each)) {
            each.unnamed_since_unix_ms.get_or_insert(now);
        }
    }
    if known != before {
        session.home.set_providers(&claim, known)?;
    }
    Ok(())
}

async fn has_no_host(session: &Session, deployment: &Deployment, known: &KnownProvider) -> bool {
    let Ok(program) = Program::current() else { return false };
    let kinds = session.embedding.registry.kinds();
    let Ok(provider) = releaser(known, session.home.path(), &program, kinds) else { return false };
    let owners = deployment.owners();
    let listing = list_of_all(&*provider, &owners);
    let listed = tokio::time::timeout(Duration::from_millis(ANSWER_MS_MAX), listing).await;
    matches!(listed, Ok(Ok(hosts)) if hosts.is_empty())
}
