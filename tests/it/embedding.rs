//! A program with a tokio runtime of its own that embeds rhizo: founded, operated and taken down through its handle.

use crate::deployment::{Deployment, Running, WATCHDOG, signal};
use crate::power_cut::cut_power;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

/// The example of an axum service, whose operator's page listens at this address of its own.
fn start<'a>(links: &'a Deployment, page: &str) -> Running<'a> {
    links.start(&["rhizo.toml", page])
}

fn request(page: &str, method: &str, path: &str, body: &str) -> Option<String> {
    let mut stream = TcpStream::connect(page).ok()?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all((head + body).as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// Waits until the page reports that the application is stable; returns its status.
fn until_stable(page: &str) -> serde_json::Value {
    let begun = Instant::now();
    loop {
        let status = request(page, "GET", "/status", "").map(|answer| body(&answer)).unwrap_or_default();
        if status["state"] == "stable" {
            return status;
        }
        assert!(begun.elapsed() < WATCHDOG, "not stable: {status:#}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn body(answer: &str) -> serde_json::Value {
    answer.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok()).unwrap_or_default()
}

#[test]
fn a_tokio_program_founds_operates_and_ends_its_application() {
    let links = Deployment::of_program("embedding", "axum", "links");
    let page = "127.0.0.1:43987";
    let program = start(&links, page);
    let before = until_stable(page)["spec"].as_u64().expect("a revision");
    // Commands in the same directory, also of another binary, reach it.
    let stock = Command::new(env!("CARGO_BIN_EXE_rhizo")).arg("status").current_dir(links.file(".")).output();
    let shown = String::from_utf8_lossy(&stock.expect("it can be run").stdout).into_owned();
    assert!(shown.contains("links"), "{shown}");
    let answer = request(page, "POST", "/weights/price", "2.5").expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(until_stable(page)["spec"].as_u64(), Some(before + 1), "the weight is in force");
    let answer = request(page, "POST", "/weights/prize", "2.5").expect("an answer");
    assert!(answer.contains("no such utility") && answer.contains("price"), "{answer}");
    let events = request(page, "GET", "/events", "").expect("an answer");
    assert!(events.contains("started"), "{events}");
    signal(program.pid(), "INT");
    let said = program.wait();
    assert!(said.status.success(), "{said:#?}");
    links.until_no_process("the program ended");
    assert!(!links.file(".rhizo").exists(), "the home is empty: {said:#?}");
}

/// The program is killed, and its hosts with it as in a power cut of the machine.
#[test]
fn a_program_that_was_killed_continues_its_application() {
    let links = Deployment::of_program("embedding-again", "axum", "links");
    let page = "127.0.0.1:43988";
    let program = start(&links, page);
    let lineage = until_stable(page)["lineage"].clone();
    cut_power(&links);
    program.wait();
    let program = start(&links, page);
    assert_eq!(until_stable(page)["lineage"], lineage);
    signal(program.pid(), "INT");
    assert!(program.wait().status.success());
    links.until_no_process("the program ended");
}
