//! `rhizo-bench traffic`: the cost of a relayed connection beside a direct one and beside HAProxy, in one run.
//!
//! The importer's node and the exporter's node are processes of their own, so that their memory and threads are those of
//! two hosts. Client and server are in this process and the same for every way. HAProxy runs twice when it is found: as
//! one hop without encryption, and as two hops with TLS between them, which is what two nodes do. Targets for the
//! figures are in `docs/benchmarks.md`; this file sets none. Read next: [`node`], [`load`], [`haproxy`].

mod haproxy;
mod load;
mod node;

use crate::arguments::Arguments;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

/// Runs the bench, or one of the nodes that it starts.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let outcome = match arguments {
        [first, rest @ ..] if first == "node" => node::run(rest),
        _ => measure(arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("failed to {message}");
            ExitCode::FAILURE
        }
    }
}

/// The sizes of a run.
struct Sizes {
    rounds: usize,
    seconds: Duration,
    connections: usize,
    stalled: usize,
    delay_ms: u64,
}

fn measure(arguments: &[String]) -> Result<(), String> {
    let known = ["rounds", "seconds", "connections", "stalled", "delay-ms", "haproxy"];
    let given = Arguments::parse(arguments, &known)?;
    let sizes = Sizes {
        rounds: given.value("rounds", 20_000)?,
        seconds: Duration::from_secs(given.value("seconds", 5)?),
        connections: given.value("connections", 5_000)?,
        stalled: given.value("stalled", 1_000)?,
        delay_ms: given.value("delay-ms", 200)?,
    };
    let server = load::serve().map_err(|error| format!("start the server: {error}"))?;
    let mut figures = serde_json::Map::new();
    figures.insert("direct".to_owned(), way(server, &sizes)?);
    {
        let pair = node::Pair::start(server, Duration::ZERO)?;
        let mut relayed = way(pair.address, &sizes)?;
        relayed["new_connection_us"] = load::new_connections(pair.address, 500)?;
        relayed["open_connections"] = many(&pair, &sizes)?;
        figures.insert("rhizo".to_owned(), relayed);
    }
    {
        let pair = node::Pair::start(server, Duration::ZERO)?;
        figures.insert("stalled_readers".to_owned(), stalled(&pair, &sizes)?);
    }
    {
        let pair = node::Pair::start(server, Duration::from_millis(sizes.delay_ms / 2))?;
        let rate = load::stream(pair.address, sizes.seconds * 2)?;
        figures.insert(
            "delayed".to_owned(),
            serde_json::json!({ "round_trip_ms": sizes.delay_ms, "mib_per_s_one_way": rate }),
        );
    }
    if let Some(program) = given.text("haproxy") {
        for (name, hops) in [("haproxy_one_hop", 1), ("haproxy_two_hops_tls", 2)] {
            let proxies = haproxy::Proxies::start(program, server, hops)?;
            let mut proxied = way(proxies.address, &sizes)?;
            proxied["new_connection_us"] = load::new_connections(proxies.address, 500)?;
            figures.insert(name.to_owned(), proxied);
        }
    }
    println!("{:#}", serde_json::Value::Object(figures));
    Ok(())
}

/// Latency and throughput over one connection.
fn way(address: SocketAddr, sizes: &Sizes) -> Result<serde_json::Value, String> {
    let latency = load::latency(address, sizes.rounds)?;
    Ok(serde_json::json!({
        "round_trip_us": latency,
        "messages_of_1_mib_mib_per_s": load::messages(address, sizes.seconds)?,
        "stream_mib_per_s": load::stream(address, sizes.seconds)?,
    }))
}

/// Many open connections, each of which is used.
fn many(pair: &node::Pair, sizes: &Sizes) -> Result<serde_json::Value, String> {
    let before = pair.memory_mib();
    // Closed when this function returns: their full buffers would take the kernel's memory from the next figures.
    let mut open = load::Open::new(pair.address, sizes.connections)?;
    let answered = open.ask_all()?;
    let after = pair.memory_mib();
    let latency = load::latency(pair.address, 2_000)?;
    Ok(serde_json::json!({
        "connections": answered,
        "memory_mib_before_importer_exporter": before,
        "memory_mib_with_importer_exporter": after,
        "round_trip_us_beside_them": latency,
    }))
}

/// Connections whose clients read nothing while the server sends.
fn stalled(pair: &node::Pair, sizes: &Sizes) -> Result<serde_json::Value, String> {
    let before = pair.memory_mib();
    let mut open = load::Open::new(pair.address, sizes.stalled)?;
    open.flood_all()?;
    let latency = load::latency(pair.address, 2_000)?;
    Ok(serde_json::json!({
        "connections": sizes.stalled,
        "memory_mib_before_importer_exporter": before,
        "memory_mib_with_importer_exporter": pair.memory_mib(),
        "round_trip_us_beside_them": latency,
    }))
}
