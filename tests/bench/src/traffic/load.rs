//! The server and the clients of the bench. A question is a length, the length of the answer, and its bytes.
//!
//! The clients of latency and throughput are blocking sockets, so that the figures have no scheduler of their own.

use serde_json::{Value, json};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const MIB: usize = 1024 * 1024;
/// Bytes of a small question and of its answer.
const SMALL: usize = 64;
/// The length of an answer that never ends.
const ENDLESS: u32 = u32::MAX;
/// Time in which the kernels and nodes fill up while clients read nothing. Every buffer is full long before.
const FILL: Duration = Duration::from_secs(5);

fn question(length: usize, answer: u32) -> Vec<u8> {
    let mut bytes = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    bytes.extend(answer.to_le_bytes());
    bytes.resize(8 + length, 7);
    bytes
}

/// Starts the server on a thread of its own; returns its address.
pub(super) fn serve() -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async move {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(answer(socket));
            }
        });
    });
    Ok(address)
}

async fn answer(mut socket: tokio::net::TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let mut head = [0; 8];
        socket.read_exact(&mut head).await?;
        let number = |place: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| head[place + byte]));
        let (mut asked, mut answered) = (number(0) as usize, number(4) as usize);
        while asked > 0 {
            let room = asked.min(buffer.len());
            asked -= socket.read(&mut buffer[..room]).await?;
        }
        while answered > 0 {
            let count = answered.min(buffer.len());
            socket.write_all(&buffer[..count]).await?;
            if answered != ENDLESS as usize {
                answered -= count;
            }
        }
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    let socket = TcpStream::connect(address).map_err(|error| format!("connect to {address}: {error}"))?;
    socket.set_nodelay(true).map_err(|error| format!("set nodelay: {error}"))?;
    Ok(socket)
}

fn ask(socket: &mut TcpStream, question: &[u8], answer: &mut [u8]) -> Result<(), String> {
    socket.write_all(question).map_err(|error| format!("ask: {error}"))?;
    socket.read_exact(answer).map_err(|error| format!("be answered: {error}"))
}

/// Median, p99 and maximum of durations, in microseconds.
fn summary(mut durations: Vec<Duration>) -> Value {
    durations.sort_unstable();
    let at = |share: usize| durations.get(durations.len() * share / 1_000).map(|d| d.as_secs_f64() * 1e6);
    let round = |us: Option<f64>| us.map(|us| (us * 10.0).round() / 10.0);
    json!({
        "median": round(at(500)),
        "p99": round(at(990)),
        "max": round(durations.last().map(|d| d.as_secs_f64() * 1e6)),
    })
}

/// Round trips of small messages over one connection.
pub(super) fn latency(address: SocketAddr, rounds: usize) -> Result<Value, String> {
    let mut socket = connect(address)?;
    let (question, mut answer) = (question(SMALL, SMALL as u32), [0; SMALL]);
    let mut durations = Vec::with_capacity(rounds);
    for round in 0..rounds + rounds / 10 {
        let start = Instant::now();
        ask(&mut socket, &question, &mut answer)?;
        // The first rounds open windows and warm caches.
        if round >= rounds / 10 {
            durations.push(start.elapsed());
        }
    }
    Ok(summary(durations))
}

/// Time from the connection to the first answer, over a new connection for each question.
pub(super) fn new_connections(address: SocketAddr, count: usize) -> Result<Value, String> {
    let (question, mut answer) = (question(SMALL, SMALL as u32), [0; SMALL]);
    let mut durations = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        ask(&mut connect(address)?, &question, &mut answer)?;
        durations.push(start.elapsed());
    }
    Ok(summary(durations))
}

/// Throughput of messages of 1 MiB, each answered by one byte before the next is sent.
pub(super) fn messages(address: SocketAddr, time: Duration) -> Result<f64, String> {
    let mut socket = connect(address)?;
    let (question, mut answer) = (question(MIB, 1), [0; 1]);
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < time {
        ask(&mut socket, &question, &mut answer)?;
        count += 1;
    }
    Ok((f64::from(count) / start.elapsed().as_secs_f64()).round())
}

/// Throughput of one answer that never ends, after the first fifth of the time.
pub(super) fn stream(address: SocketAddr, time: Duration) -> Result<f64, String> {
    let mut socket = connect(address)?;
    socket.write_all(&question(0, ENDLESS)).map_err(|error| format!("ask: {error}"))?;
    let mut buffer = vec![0; 256 * 1024];
    let mut read = |until: Instant| {
        let mut bytes = 0;
        while Instant::now() < until {
            bytes += socket.read(&mut buffer).map_err(|error| format!("be answered: {error}"))?;
        }
        Ok::<usize, String>(bytes)
    };
    read(Instant::now() + time / 5)?;
    let start = Instant::now();
    let bytes = read(start + time)?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    Ok((bytes as f64 / MIB as f64 / start.elapsed().as_secs_f64()).round())
}

/// Connections that are open at the same time.
pub(super) struct Open {
    sockets: Vec<TcpStream>,
}

impl Open {
    pub(super) fn new(address: SocketAddr, count: usize) -> Result<Self, String> {
        Ok(Self { sockets: (0..count).map(|_| connect(address)).collect::<Result<_, _>>()? })
    }

    /// Asks a small question over each; returns how many were answered. All stay open.
    pub(super) fn ask_all(&mut self) -> Result<usize, String> {
        let (question, mut answer) = (question(SMALL, SMALL as u32), [0; SMALL]);
        for socket in &mut self.sockets {
            socket.write_all(&question).map_err(|error| format!("ask: {error}"))?;
        }
        for socket in &mut self.sockets {
            socket.read_exact(&mut answer).map_err(|error| format!("be answered: {error}"))?;
        }
        Ok(self.sockets.len())
    }

    /// Asks for endless answers and reads none of them; returns when every buffer is full.
    pub(super) fn flood_all(&mut self) -> Result<(), String> {
        for socket in &mut self.sockets {
            socket.write_all(&question(0, ENDLESS)).map_err(|error| format!("ask: {error}"))?;
        }
        std::thread::sleep(FILL);
        Ok(())
    }
}
