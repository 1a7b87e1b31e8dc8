//! Looking at an instance from outside: does it accept connections, answer a request, satisfy a program.
//!
//! A probe says healthy or why not; [`unhealthy`] repeats it. What follows is the caller's.

use super::ExportTable;
use rhizo_types::PortName;
use rhizo_types::spec::{Health, Probe};
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, interval_at, timeout};

/// A probe that has not answered by then has failed: local work that takes longer is of no use to a user.
const PROBE_MS_MAX: u64 = 2_000;

/// Runs one probe; `Err` carries the reason in words.
pub(super) async fn look(probe: &Probe, exports: &ExportTable) -> Result<(), String> {
    let looked = timeout(Duration::from_millis(PROBE_MS_MAX), async {
        match probe {
            Probe::Tcp { export } => connect(address(exports, export)?).await.map(drop),
            Probe::Http { export, path } => http(address(exports, export)?, path).await,
            Probe::Exec { argv } => exec(argv).await,
        }
    });
    looked.await.unwrap_or_else(|_| Err(format!("no answer within {PROBE_MS_MAX} ms")))
}

/// Looks again and again; resolves with the reason when the instance has failed for good.
pub(super) async fn unhealthy(health: Option<&Health>, exports: &ExportTable) -> String {
    let Some(health) = health else { return std::future::pending().await };
    let every = Duration::from_millis(health.every_ms.max(1));
    let mut ticks = interval_at(Instant::now() + every, every);
    let mut failures = 0;
    loop {
        ticks.tick().await;
        match look(&health.probe, exports).await {
            Ok(()) => failures = 0,
            Err(reason) => {
                failures += 1;
                if failures >= health.fail_after {
                    return format!("unhealthy {failures} times in a row: {reason}");
                }
            }
        }
    }
}

fn address(exports: &ExportTable, export: &PortName) -> Result<SocketAddr, String> {
    exports.get(export).copied().ok_or_else(|| format!("export `{export}` has no address"))
}

async fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    TcpStream::connect(address).await.map_err(|error| format!("{address} refused the connection: {error}"))
}

/// One HTTP/1.1 request of which only the status line matters: a client library would add nothing.
async fn http(address: SocketAddr, path: &str) -> Result<(), String> {
    let mut stream = connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let mut head = [0_u8; 64];
    let mut filled = 0;
    let exchange = async {
        stream.write_all(request.as_bytes()).await?;
        while filled < head.len() {
            match stream.read(&mut head[filled..]).await? {
                0 => break,
                read => filled += read,
            }
        }
        std::io::Result::Ok(())
    };
    exchange.await.map_err(|error| format!("{address} broke the exchange: {error}"))?;
    let status = head[..filled].split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    match status {
        [b'2', _, _] => Ok(()),
        _ => Err(format!("{address}{path} answered `{}`", String::from_utf8_lossy(status))),
    }
}

async fn exec(argv: &[String]) -> Result<(), String> {
    let [program, arguments @ ..] = argv else { return Err("the health command is empty".to_owned()) };
    let mut command = tokio::process::Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    match command.status().await {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{program}` ended with {status}")),
        Err(error) => Err(format!("`{program}` could not be run: {error}")),
    }
}
