//! The program that the tests' hosts run: supervisor and node in one binary, like an embedding application.
//!
//! As a node it executes the commands of its boot document, one per line, and then waits until it is ended.

use nix::sys::signal::{SigSet, Signal};
use rhizo_actuators::process::{HostDirectory, ProcessProvider, Program, supervise};
use rhizo_actuators::{Order, Provider, Surroundings, Tags, Token};
use rhizo_types::{HostId, IntentId, Lineage};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["__supervise", directory] => supervise(Path::new(directory)),
        ["__node", directory] => node(Path::new(directory)),
        ["acquire", state, token] => {
            println!("{}", acquire(Path::new(state), "lab", "{}", &order("local-a", 1, token)));
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("usage: __supervise DIRECTORY | __node DIRECTORY | acquire STATE TOKEN");
            ExitCode::from(2)
        }
    }
}

fn node(directory: &Path) -> ExitCode {
    let home = HostDirectory::open(directory).expect("the supervisor passes a host directory");
    let boot = String::from_utf8(home.boot().expect("a host has a boot document")).expect("tests write text");
    for line in boot.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["join"] => home.mark_joined().expect("the node may write to its host directory"),
            ["await", path] => {
                while !Path::new(path).exists() {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
            ["exit", code] => return ExitCode::from(code.parse::<u8>().expect("an exit code")),
            ["ignore-term"] => {
                // This process has one thread, so a signal that it blocks is never delivered.
                SigSet::from(Signal::SIGTERM).thread_block().expect("a signal can be blocked");
            }
            // A shell that starts a sleeper in a session of its own, and ends: the sleeper is an orphan.
            ["orphan"] => {
                let mut shell = Command::new("sh");
                shell.args(["-c", "setsid sleep 3600 & echo $! > orphan.pid"]);
                shell.spawn().and_then(|mut shell| shell.wait()).expect("a shell exists");
            }
            // An orphan without the host's mark in its environment.
            ["bare-orphan"] => {
                let mut shell = Command::new("sh");
                shell.args(["-c", "env -i setsid sleep 3600 & echo $! > orphan.pid"]);
                shell.spawn().and_then(|mut shell| shell.wait()).expect("a shell exists");
            }
            ["chatter"] => println!("{}", "x".repeat(5 * 1024 * 1024)),
            // Orders a host from inside this host, as a coordinator does.
            ["acquire", table, token] => {
                let mut order = order(home.offer().as_str(), home.tags().lineage.0, token);
                order.tags = home.tags().clone();
                acquire(home.state_directory(), home.provider().as_str(), table, &order);
            }
            _ => panic!("unknown command {line:?}"),
        }
    }
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

fn order(offer: &str, lineage: u64, token: &str) -> Order {
    Order {
        token: Token(token.to_owned()),
        offer: offer.into(),
        tags: Tags { app: "test".into(), lineage: Lineage(lineage), intent: IntentId(7) },
        boot: b"join".to_vec(),
        join_within_ms: 600_000,
    }
}

/// Sends an order to a provider over a state directory. Its hosts run this program.
fn acquire(state: &Path, provider: &str, table: &str, order: &Order) -> HostId {
    let surroundings = Surroundings {
        base_dir: state.to_owned(),
        state_dir: state.to_owned(),
        program: Program::current().expect("a running program has a path"),
    };
    let table: serde_json::Value = serde_json::from_str(table).expect("tests pass JSON");
    let provider = ProcessProvider::new(provider.into(), &table, &surroundings).expect("the table is sound");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be built");
    runtime.block_on(provider.acquire(order)).expect("the host can be acquired").id
}
