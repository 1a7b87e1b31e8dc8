//! `rhizo-bench artifacts`: the time in which a closure reaches many hosts, beside the time of one copy.
//!
//! Every node has a store on disk and an uplink of a fixed rate, which all its peers share. All nodes are in this
//! process and exchange pieces over TCP on loopback. A second part kills a transfer in its middle and continues it, and a
//! third has one source that flips bits. Targets for the figures are in `docs/benchmarks.md`. Read next: [`net`].

mod net;

use crate::arguments::Arguments;
use net::{Node, View};
use rhizo_artifacts::Progress;
use rhizo_artifacts::manifest::{Entry, Manifest};
use rhizo_types::Digest;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tokio::sync::watch;

/// Runs the bench.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    match measure(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("failed to {message}");
            ExitCode::FAILURE
        }
    }
}

/// The sizes of a run.
struct Sizes {
    bytes: u64,
    hosts: u8,
    bytes_per_s: f64,
    dir: PathBuf,
}

fn measure(arguments: &[String]) -> Result<(), String> {
    let given = Arguments::parse(arguments, &["megabytes", "hosts", "mbit", "dir"])?;
    let own = std::env::temp_dir().join(format!("rhizo-bench-artifacts-{}", std::process::id()));
    let sizes = Sizes {
        bytes: given.value("megabytes", 200_u64)? * 1_000_000,
        hosts: given.value("hosts", 10)?,
        bytes_per_s: given.value("mbit", 200.0)? * 1_000_000.0 / 8.0,
        dir: given.text("dir").map_or(own, PathBuf::from),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("make a runtime: {error}"))?;
    let figures = runtime.block_on(async {
        let one = spread(&sizes, 1).await?;
        let many = spread(&sizes, sizes.hosts).await?;
        let seconds = |figure: &serde_json::Value| figure["seconds"].as_f64().unwrap_or_default();
        Ok::<_, String>(json!({
            "ratio": seconds(&many) / seconds(&one),
            "one_copy": one,
            "all_hosts": many,
            "killed_and_continued": killed(&sizes).await?,
            "flipped_bits": flipped(&sizes).await?,
        }))
    });
    // It may not have been made.
    let _absent = std::fs::remove_dir_all(&sizes.dir);
    println!("{:#}", figures?);
    Ok(())
}

fn content(bytes: u64) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut content = Vec::new();
    while (content.len() as u64) < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        content.extend_from_slice(&state.to_le_bytes());
    }
    content.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
    content
}

/// Stores a closure of one large file and of 200 small ones at a node.
fn put(node: &Node, bytes: u64) -> Result<Digest, String> {
    let failed = |error: &dyn std::error::Error| format!("store the closure: {error}");
    let store = node.exchange.store();
    let lease = store.lease();
    let all = content(bytes);
    let (small, large) = all.split_at(usize::try_from(bytes / 20).unwrap_or_default());
    let mut entries = Vec::new();
    for (number, part) in small.chunks((small.len() / 200).max(1)).chain([large]).enumerate() {
        let (hash, bytes) = store.put(&lease, part).map_err(|error| failed(&error))?;
        entries.push((number.to_string(), Entry::File { executable: false, bytes, hash }));
    }
    let manifest = Manifest::new(entries).map_err(|error| failed(&error))?;
    store.put_manifest(&lease, &manifest).map_err(|error| failed(&error))
}

/// A fresh folder for one part of the bench.
fn fresh(sizes: &Sizes, name: &str) -> Result<PathBuf, String> {
    let dir = sizes.dir.join(name);
    std::fs::create_dir_all(&dir).map_err(|error| format!("make `{}`: {error}", dir.display()))?;
    Ok(dir)
}

async fn fetch(node: &Arc<Node>, net: &Arc<View>, tree: Digest) -> Result<Progress, String> {
    let (sender, progress) = watch::channel(Progress::default());
    let fetched = rhizo_artifacts::fetch(&node.exchange, tree, net.clone(), sender).await;
    fetched.map_err(|error| error.in_words())?;
    let progress = *progress.borrow();
    Ok(progress)
}

/// Measures the time until this many hosts have the closure of one source.
async fn spread(sizes: &Sizes, hosts: u8) -> Result<serde_json::Value, String> {
    let dir = fresh(sizes, &format!("to-{hosts}"))?;
    let source = Node::start(&dir, 0, sizes.bytes_per_s).await?;
    let tree = put(&source, sizes.bytes)?;
    let mut nodes = Vec::new();
    for number in 1..=hosts {
        nodes.push(Node::start(&dir, number, sizes.bytes_per_s).await?);
    }
    let all: Vec<_> = std::iter::once(&source).chain(&nodes).map(|node| (node.key, node.address)).collect();
    let begun = Instant::now();
    let mut fetching = tokio::task::JoinSet::new();
    for node in &nodes {
        let (node, view) = (node.clone(), View::of(node.key, &all));
        fetching.spawn(async move { fetch(&node, &view, tree).await });
    }
    let mut received = 0;
    while let Some(ended) = fetching.join_next().await {
        received += ended.map_err(|error| error.to_string())??.bytes_received;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let sent = source.sent.load(Ordering::Relaxed);
    clear(&dir);
    Ok(json!({
        "hosts": hosts,
        "seconds": seconds,
        "source_sent_copies": sent as f64 / sizes.bytes as f64,
        "received_copies_per_host": received as f64 / sizes.bytes as f64 / f64::from(hosts),
    }))
}

/// Kills a transfer when half of it is there, and continues it with the store opened anew.
async fn killed(sizes: &Sizes) -> Result<serde_json::Value, String> {
    let dir = fresh(sizes, "killed")?;
    let source = Node::start(&dir, 0, sizes.bytes_per_s).await?;
    let tree = put(&source, sizes.bytes)?;
    let node = Node::start(&dir, 1, sizes.bytes_per_s).await?;
    let view = View::of(node.key, &[(source.key, source.address)]);
    let (sender, mut progress) = watch::channel(Progress::default());
    let half = async {
        let half = |progress: &Progress| progress.bytes > 0 && progress.bytes_here * 2 > progress.bytes;
        progress.wait_for(half).await.map(|progress| progress.bytes_here)
    };
    let here = tokio::select! {
        _ = rhizo_artifacts::fetch(&node.exchange, tree, view.clone(), sender) => {
            return Err("kill the transfer: it was complete before".to_owned());
        }
        half = half => half.map_err(|error| error.to_string())?,
    };
    drop(node);
    let node = Node::start(&dir, 1, sizes.bytes_per_s).await?;
    let begun = Instant::now();
    let received = fetch(&node, &view, tree).await?.bytes_received;
    let seconds = begun.elapsed().as_secs_f64();
    clear(&dir);
    Ok(json!({
        "share_before": here as f64 / sizes.bytes as f64,
        "share_received_after": received as f64 / sizes.bytes as f64,
        "seconds_after": seconds,
    }))
}

/// Fetches from two sources, one of which flips a bit in every fiftieth megabyte.
async fn flipped(sizes: &Sizes) -> Result<serde_json::Value, String> {
    let dir = fresh(sizes, "flipped")?;
    let wrong = Node::start(&dir, 0, sizes.bytes_per_s).await?;
    wrong.flips.store(true, Ordering::Relaxed);
    let right = Node::start(&dir, 1, sizes.bytes_per_s).await?;
    let tree = put(&wrong, sizes.bytes)?;
    put(&right, sizes.bytes)?;
    let node = Node::start(&dir, 2, sizes.bytes_per_s).await?;
    let view = View::of(node.key, &[(wrong.key, wrong.address), (right.key, right.address)]);
    let progress = fetch(&node, &view, tree).await?;
    let store = node.exchange.store();
    let manifest = store.manifest(&tree).ok().flatten().ok_or("read the manifest")?;
    let whole = manifest.blobs().keys().all(|hash| store.verify_blob(hash).is_ok());
    let sent = wrong.sent.load(Ordering::Relaxed);
    clear(&dir);
    Ok(json!({
        "every_content_is_right": whole,
        "share_received": progress.bytes_received as f64 / sizes.bytes as f64,
        "share_from_the_wrong_source": sent as f64 / sizes.bytes as f64,
    }))
}

fn clear(dir: &Path) {
    if let Err(error) = std::fs::remove_dir_all(dir) {
        eprintln!("`{}` was not removed: {error}", dir.display());
    }
}
