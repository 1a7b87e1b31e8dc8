//! Probes of an instance: a TCP connection, an HTTP request or a program, each with a time-out.
//!
//! The answer of a process that does not belong to the instance is not believed. A probe returns that the instance is
//! healthy, or the reason why it is not. [`unhealthy`] repeats a probe until the instance has failed. The caller
//! decides about the consequences. Read next: [`super::exec`].

use super::launch::Launch;
use super::listeners::ListenerCheck;
use super::processes::Processes;
use super::{ExportTable, http_client};
use reqwest::Client;
use rhizo_types::PortName;
use rhizo_types::spec::{Health, Probe};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, interval_at, timeout};

/// Time after which a probe without an answer has failed. A service that answers more slowly is of no use.
const PROBE_MS_MAX: u64 = 2_000;

/// One probe of one instance, ready to be repeated.
pub(super) struct Prober {
    target: Target,
    timeout_ms: u64,
    listeners: ListenerCheck,
    /// Whether another process answered the last time.
    is_stranger: bool,
}

/// The target of a probe, with its addresses.
enum Target {
    Tcp(SocketAddr),
    Http {
        address: SocketAddr,
        client: Client,
        url: String,
    },
    Exec {
        launch: Launch,
        argv: Vec<String>,
    },
    /// The probe can never succeed, for this reason.
    Impossible(String),
}

impl Prober {
    /// Prepares a probe whose placeholders are filled in, for an instance with these exports. A program is launched as
    /// a part of the task.
    pub(super) fn new(probe: &Probe, exports: &ExportTable, task: &Launch) -> Self {
        let target = Target::new(probe, exports, task).unwrap_or_else(Target::Impossible);
        let listeners = ListenerCheck::new(task.owner().clone());
        Self { target, timeout_ms: PROBE_MS_MAX, listeners, is_stranger: false }
    }

    /// Returns true if another process listened at the address when the probe was run last.
    pub(super) fn is_stranger(&self) -> bool {
        self.is_stranger
    }

    /// Runs the probe once.
    ///
    /// # Errors
    /// The reason in words, when the instance is not healthy.
    pub(super) async fn look(&mut self) -> Result<(), String> {
        let looked = self.ask().await;
        let stranger = match &self.target {
            Target::Tcp(address) | Target::Http { address, .. } => self.listeners.stranger(*address).await,
            Target::Exec { .. } | Target::Impossible(_) => None,
        };
        self.is_stranger = stranger.is_some();
        stranger.map_or(looked, Err)
    }

    /// Runs the probe once, whichever process answers.
    async fn ask(&self) -> Result<(), String> {
        let time = Duration::from_millis(self.timeout_ms);
        let late = || Err(format!("no answer within {} ms", self.timeout_ms));
        match &self.target {
            Target::Tcp(address) => timeout(time, connect(*address)).await.unwrap_or_else(|_| late()),
            Target::Http { client, url, .. } => {
                timeout(time, get(client, url)).await.unwrap_or_else(|_| late())
            }
            Target::Exec { launch, argv } => {
                // The program runs in a task of its own, so that its processes are ended even if the caller stops
                // waiting.
                let looking = tokio::spawn(exec(launch.clone(), argv.clone(), time));
                match looking.await {
                    Ok(Some(looked)) => looked,
                    Ok(None) => late(),
                    Err(ended) => Err(format!("`{}` could not be followed: {ended}", argv.join(" "))),
                }
            }
            Target::Impossible(reason) => Err(reason.clone()),
        }
    }
}

impl Target {
    fn new(probe: &Probe, exports: &ExportTable, task: &Launch) -> Result<Self, String> {
        Ok(match probe {
            Probe::Tcp { export } => Self::Tcp(address(exports, export)?),
            Probe::Http { export, path } => {
                let address = address(exports, export)?;
                let url = format!("http://{address}{path}");
                Self::Http { address, client: http_client::for_own_exports()?, url }
            }
            Probe::Exec { argv } => Self::Exec { launch: task.part("probe"), argv: argv.clone() },
        })
    }
}

/// Repeats the health check. Resolves with the reason when it has failed as often in a row as the spec allows.
pub(super) async fn unhealthy(health: Option<&Health>, exports: &ExportTable, task: &Launch) -> String {
    let Some(health) = health else { return std::future::pending().await };
    let mut prober = Prober::new(&health.probe, exports, task);
    let every = Duration::from_millis(health.every_ms.max(1));
    let mut ticks = interval_at(Instant::now() + every, every);
    let mut failures = 0;
    loop {
        ticks.tick().await;
        match prober.look().await {
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

async fn connect(address: SocketAddr) -> Result<(), String> {
    let connected = TcpStream::connect(address).await;
    connected.map(drop).map_err(|error| format!("{address} refused the connection: {error}"))
}

/// Sends one request. Only the status matters; the answer's body is not read.
async fn get(client: &Client, url: &str) -> Result<(), String> {
    let sent = client.get(url).header(reqwest::header::CONNECTION, "close").send().await;
    // The URL is in the error's text already.
    let answer = sent.map_err(|error| crate::error::chain(&error))?;
    let status = answer.status();
    if status.is_success() { Ok(()) } else { Err(format!("{url} answered `{status}`")) }
}

/// Runs a program once, and ends all processes that it started; none when it did not end in time.
async fn exec(launch: Launch, argv: Vec<String>, time: Duration) -> Option<Result<(), String>> {
    let program = argv.first().cloned().unwrap_or_default();
    let launched = async {
        launch.make_dir().await?;
        launch.command(&argv)?.spawn().map_err(|error| format!("`{program}` could not be run: {error}"))
    };
    let mut child = match launched.await {
        Ok(child) => child,
        Err(reason) => return Some(Err(reason)),
    };
    let leader = child.id().and_then(|pid| i32::try_from(pid).ok());
    let ended = timeout(time, child.wait()).await;
    if let Some(leader) = leader {
        Processes::of_leader(launch.mark().clone(), leader).kill().await;
    }
    let _reaped = child.wait().await;
    match ended.ok()? {
        Ok(status) if status.success() => Some(Ok(())),
        Ok(status) => Some(Err(format!("`{program}` ended with {status}"))),
        Err(error) => Some(Err(format!("`{program}` could not be waited for: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::template::tests::scope;
    use super::*;
    use rhizo_types::spec::{Component, Run};
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::path::Path;
    use std::sync::mpsc;
    use std::thread;

    /// The launch of a closure's programs: the servers of these tests listen in this process.
    fn launch(dir: &Path) -> Launch {
        let launch = Launch::new(&Component::new(Run::Embedded), &scope(dir.to_owned()), "service");
        launch.expect("nothing to fill in")
    }

    /// The way in which a server treats a connection after it has sent its answer.
    #[derive(Clone, Copy, PartialEq)]
    enum Afterwards {
        Close,
        KeepOpen,
    }

    /// Starts a server that sends these bytes to each request, and probes it once.
    async fn probe(answer: &'static [u8], afterwards: Afterwards) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (done, ended) = mpsc::channel::<()>();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).expect("bytes") > 0 {
                request.push(byte[0]);
            }
            stream.write_all(answer).expect("the answer is sent");
            if afterwards == Afterwards::KeepOpen {
                // Resolves with an error when the test has its answer.
                let _ended = ended.recv();
            }
        });
        let exports = ExportTable::from([("http".into(), address)]);
        let probe = Probe::Http { export: "http".into(), path: "/health".to_owned() };
        let mut prober = Prober::new(&probe, &exports, &launch(Path::new("/")));
        // Long enough that a loaded machine answers. The servers of these tests answer at once or never.
        prober.timeout_ms = if answer.is_empty() { 50 } else { 60_000 };
        let looked = prober.look().await;
        drop(done);
        server.join().expect("the server ends");
        looked.map_err(|reason| reason.replace(&address.to_string(), "ADDRESS"))
    }

    #[tokio::test]
    async fn a_short_answer_on_a_connection_that_stays_open_is_understood() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(probe(answer, Afterwards::KeepOpen).await, Ok(()));
    }

    #[tokio::test]
    async fn a_status_without_a_reason_phrase_is_understood() {
        assert_eq!(probe(b"HTTP/1.1 204\r\n\r\n", Afterwards::KeepOpen).await, Ok(()));
        assert_eq!(probe(b"HTTP/1.1 204\r\n\r\n", Afterwards::Close).await, Ok(()));
        let failed = probe(b"HTTP/1.1 503\r\nContent-Length: 0\r\n\r\n", Afterwards::KeepOpen).await;
        assert_eq!(failed, Err("http://ADDRESS/health answered `503 Service Unavailable`".to_owned()));
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let answer = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
        let failed = probe(answer, Afterwards::KeepOpen).await;
        assert_eq!(failed, Err("http://ADDRESS/health answered `302 Found`".to_owned()));
    }

    #[tokio::test]
    async fn a_body_without_an_end_is_not_read() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nbeginning";
        assert_eq!(probe(answer, Afterwards::KeepOpen).await, Ok(()));
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_given_up() {
        assert_eq!(probe(b"", Afterwards::KeepOpen).await, Err("no answer within 50 ms".to_owned()));
    }

    #[tokio::test]
    async fn bytes_that_are_no_http_are_a_failure() {
        let failed = probe(b"220 mail ready\r\n", Afterwards::Close).await;
        assert!(failed.is_err_and(|reason| reason.contains("http://ADDRESS/health")));
    }

    /// Runs a shell script as a probe in this directory.
    fn prober(dir: &Path, script: &str, timeout_ms: u64) -> Prober {
        let argv = ["/bin/sh", "-c", script].map(str::to_owned).into();
        let mut prober = Prober::new(&Probe::Exec { argv }, &ExportTable::new(), &launch(dir));
        prober.timeout_ms = timeout_ms;
        prober
    }

    fn is_alive(dir: &Path, file: &str) -> bool {
        let pid = std::fs::read_to_string(dir.join(file)).expect("a process id");
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[tokio::test]
    async fn a_program_that_hangs_ends_with_all_that_it_started() {
        let dir = tempfile::tempdir().expect("a directory");
        let script = "sh -c 'echo $$ > child; exec sleep 60' | cat & \
                      setsid sh -c 'echo $$ > session; exec sleep 60' & wait";
        let looked = prober(dir.path(), script, 2_000).look().await;
        assert_eq!(looked, Err("no answer within 2000 ms".to_owned()));
        assert!(!is_alive(dir.path(), "child") && !is_alive(dir.path(), "session"));
    }

    #[tokio::test]
    async fn a_program_that_succeeds_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let script = "setsid sh -c 'echo $$ > session; exec sleep 60' & \
                      while [ ! -s session ]; do sleep 0.01; done";
        assert_eq!(prober(dir.path(), script, 60_000).look().await, Ok(()));
        assert!(!is_alive(dir.path(), "session"));
    }

    #[tokio::test]
    async fn a_look_that_nobody_waits_for_ends_its_processes_in_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut prober = prober(dir.path(), "echo $$ > child; exec sleep 60", 500);
        let child = dir.path().join("child");
        let begun = async {
            while !std::fs::read_to_string(&child).is_ok_and(|text| text.ends_with('\n')) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            looked = prober.look() => panic!("{looked:?} before it was dropped"),
            () = begun => {}
        }
        let until = Instant::now() + Duration::from_secs(30);
        while is_alive(dir.path(), "child") && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(!is_alive(dir.path(), "child"));
    }
}
