//! Measures the cost of an idle overlay: starts processes, links each with each, prints memory and CPU of one of
//! them.
//!
//! `cargo run --release -p rhizo-overlay --example mesh -- [PROCESSES] [SECONDS]`. It measures the overlay alone,
//! without Raft and shell. `rhizo-bench` measures a whole node.

use rhizo_overlay::{Admission, LinkTarget, NodeSecret, Overlay, OverlayConfig};
use rhizo_types::{AppName, Lineage, NodeId};
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [first, seed] = &words[..]
        && first == "node"
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        return runtime.block_on(node(seed.parse()?));
    }
    let number = |place: usize, default: u64| words.get(place).map_or(Ok(default), |word| word.parse());
    measure(number(0, 11)?.clamp(2, 100), number(1, 20)?)
}

/// One process of the mesh: prints its address, reads the addresses of all, then idles until its input ends.
async fn node(place: u8) -> Outcome<()> {
    let secret = NodeSecret::from_bytes([place; 32]);
    let listen = SocketAddr::from(([127, 9, 1, place], 0));
    let config = OverlayConfig::new(secret, AppName::from("mesh"), Lineage(1), Some(listen));
    let (overlay, mut events) = Overlay::bind(config).await?;
    println!("{}", overlay.listen_address().ok_or("no listen address")?);
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let mut admission = Admission::default();
    let mut targets = Vec::new();
    for (place, address) in (1..).zip(line.split_whitespace()) {
        let key = NodeSecret::from_bytes([place; 32]).peer_key();
        admission.members.insert(key, NodeId(u64::from(place)));
        targets.push(LinkTarget { key, addresses: vec![address.parse()?] });
    }
    let links = targets.len() - 1;
    overlay.set_admission(admission);
    overlay.set_links(targets);
    while overlay.linked().len() < links {
        events.recv().await.ok_or("the overlay stopped")?;
    }
    println!("linked");
    let (ended, mut end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_line(&mut String::new());
        let _ = ended.send(());
    });
    loop {
        tokio::select! {
            event = events.recv() => { event.ok_or("the overlay stopped")?; }
            _ = &mut end => return Ok(()),
        }
    }
}

struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(place: u64) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["node", &place.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let input = child.stdin.take().ok_or("no input")?;
        let output = BufReader::new(child.stdout.take().ok_or("no output")?);
        Ok(Self { child, input, output })
    }

    fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    /// Proportional set size in KiB and CPU time in milliseconds, so far.
    fn cost(&self) -> Outcome<(u64, u64)> {
        let pid = self.child.id();
        let memory = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let pss = memory.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("no Pss line")?;
        let pss = pss.trim().trim_end_matches(" kB").trim().parse()?;
        let sched = std::fs::read_dir(format!("/proc/{pid}/task"))?;
        let mut nanoseconds = 0_u64;
        for task in sched {
            let stat = std::fs::read_to_string(task?.path().join("schedstat"))?;
            nanoseconds += stat.split(' ').next().ok_or("no CPU time")?.parse::<u64>()?;
        }
        Ok((pss, nanoseconds / 1_000_000))
    }
}

fn measure(processes: u64, seconds: u64) -> Outcome<()> {
    let mut all = (1..=processes).map(Process::start).collect::<Outcome<Vec<_>>>()?;
    let addresses = all.iter_mut().map(Process::line).collect::<Outcome<Vec<_>>>()?.join(" ");
    for process in &mut all {
        writeln!(process.input, "{addresses}")?;
    }
    for process in &mut all {
        process.line()?;
    }
    std::thread::sleep(Duration::from_secs(2));
    let before = all.iter().map(Process::cost).collect::<Outcome<Vec<_>>>()?;
    std::thread::sleep(Duration::from_secs(seconds));
    let after = all.iter().map(Process::cost).collect::<Outcome<Vec<_>>>()?;
    let pss = after.iter().map(|cost| cost.0).max().unwrap_or(0);
    let cpu = before.iter().zip(&after).map(|(before, after)| after.1 - before.1).max().unwrap_or(0);
    let percent = cpu as f64 / (seconds as f64 * 10.0);
    println!("{} links: at most {} KiB Pss, {percent:.2} % of a core, over {seconds} s", processes - 1, pss);
    for mut process in all {
        drop(process.input);
        process.child.wait()?;
    }
    Ok(())
}
