//! The broker: serves clients and passes messages on to the other brokers. It knows nothing of rhizo.
//!
//! Each broker dials every other and sends over that connection only, so between two brokers there are two
//! connections, and neither has to agree with the other on who dials. A message seen for the first time goes to the
//! broker's own clients and to all other brokers; seen again, nowhere. Delivery is best effort: every queue is
//! bounded, and a client that reads too slowly receives the number of messages it missed (`LOST n`).

use crate::line::{self, Command, MessageId};
use crate::routes::{ClientId, Routes};
use std::collections::BTreeMap;
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, tcp::OwnedReadHalf};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Connections served at the same time; further ones get an error line and are closed.
const CONNECTIONS_MAX: usize = 1024;

/// Lines that wait for a slow client: at 4 KiB a line, 1 MiB.
const CLIENT_QUEUE: usize = 256;

/// Messages that wait for another broker that is slow or not started yet.
const PEER_QUEUE: usize = 1024;

/// First and longest pause between two attempts to reach another broker.
const REDIAL: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Time-out of a dial: many times the longest round trip between two regions.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves until `stop` resolves; then every connection is closed.
///
/// `peers` names the other brokers at any time; a change takes effect at once.
///
/// # Errors
/// When the listener fails for good.
pub(crate) async fn serve(
    listener: TcpListener,
    peers: watch::Receiver<Vec<SocketAddr>>,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let broker = Arc::new(Broker::new());
    // Dropping the set at the end of this function ends every task of this broker.
    let mut tasks = JoinSet::new();
    tasks.spawn(follow_peers(broker.clone(), peers));
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => return Ok(()),
            Some(_ended) = tasks.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) if tasks.len() <= CONNECTIONS_MAX => {
                tasks.spawn(serve_connection(broker.clone(), stream));
            }
            Ok((mut stream, _)) => {
                // The line is a courtesy: a client that does not read it is closed as well.
                let _ = stream.try_write(b"ERR the broker is full\n");
                let _ = stream.shutdown().await;
            }
            // Out of descriptors or an aborted connection: the listener itself is sound.
            Err(error) if is_passing(&error) => sleep(Duration::from_millis(50)).await,
            Err(error) => return Err(error),
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    const TOO_MANY_FILES: [i32; 2] = [23, 24]; // ENFILE, EMFILE
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    ) || error.raw_os_error().is_some_and(|code| TOO_MANY_FILES.contains(&code))
}

/// State shared by the tasks of one broker. The lock is never held over an await.
struct Broker {
    state: Mutex<State>,
}

struct State {
    routes: Routes,
    clients: BTreeMap<ClientId, Client>,
    next_client: u64,
    peers: BTreeMap<SocketAddr, mpsc::Sender<Arc<str>>>,
}

struct Client {
    queue: mpsc::Sender<Arc<str>>,
    lost: u64,
}

impl Client {
    /// Queues a message, or counts it as lost.
    fn deliver(&mut self, message: &Arc<str>) {
        if self.lost > 0 && self.queue.try_send(format!("LOST {}\n", self.lost).into()).is_ok() {
            self.lost = 0;
        }
        if self.lost > 0 || self.queue.try_send(message.clone()).is_err() {
            self.lost += 1;
        }
    }
}

impl Broker {
    fn new() -> Self {
        // The standard library's hasher is seeded by the system: a number that no other run has.
        let origin = RandomState::new().build_hasher().finish();
        let (clients, peers) = Default::default();
        Self { state: Mutex::new(State { routes: Routes::new(origin), clients, next_client: 0, peers }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock. If one did, a lost message would be better than a dead broker.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&self, queue: mpsc::Sender<Arc<str>>) -> ClientId {
        let mut state = self.state();
        state.next_client += 1;
        let client = ClientId(state.next_client);
        state.clients.insert(client, Client { queue, lost: 0 });
        client
    }

    fn leave(&self, client: ClientId) {
        let mut state = self.state();
        state.clients.remove(&client);
        state.routes.leave(client);
    }

    fn publish(&self, topic: &str, payload: &str) {
        let mut state = self.state();
        let id = state.routes.publish();
        state.spread(id, topic, payload);
    }

    fn forwarded(&self, id: MessageId, topic: &str, payload: &str) {
        let mut state = self.state();
        if state.routes.is_new(id) {
            state.spread(id, topic, payload);
        }
    }
}

impl State {
    /// Sends a message to the subscribed clients and to all other brokers.
    fn spread(&mut self, id: MessageId, topic: &str, payload: &str) {
        let message: Arc<str> = format!("MSG {topic} {payload}\n").into();
        for client in self.routes.subscribers(topic) {
            if let Some(client) = self.clients.get_mut(&client) {
                client.deliver(&message);
            }
        }
        let forward: Arc<str> = line::forward(id, topic, payload).into();
        for peer in self.peers.values() {
            // A full queue drops the message for that broker; others may still bring it there.
            let _ = peer.try_send(forward.clone());
        }
    }
}

/// Leaves the broker when the connection's task ends, however it ends.
struct Membership {
    broker: Arc<Broker>,
    client: ClientId,
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.broker.leave(self.client);
    }
}

async fn serve_connection(broker: Arc<Broker>, stream: TcpStream) {
    // Clients wait for these short lines. A socket that refuses the option works without it.
    let _ = stream.set_nodelay(true);
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let (queue, mut waiting) = mpsc::channel::<Arc<str>>(CLIENT_QUEUE);
    let membership = Membership { client: broker.join(queue.clone()), broker };
    let write = async {
        while let Some(text) = waiting.recv().await {
            writer.write_all(text.as_bytes()).await?;
        }
        io::Result::Ok(())
    };
    let read = converse(&membership, &mut reader, &queue);
    // The connection ends when either side ends. Only the client can use the reason.
    let refused = tokio::select! {
        ended = read => ended.err(),
        _written = write => None,
    };
    if let Some(error) = refused.filter(|error| error.kind() == io::ErrorKind::InvalidData) {
        let _ = writer.try_write(format!("ERR {error}\n").as_bytes());
    }
}

/// Executes the lines of a client, or of another broker after its `PEER`, until the stream ends.
async fn converse(
    membership: &Membership,
    reader: &mut BufReader<OwnedReadHalf>,
    queue: &mpsc::Sender<Arc<str>>,
) -> io::Result<()> {
    let Membership { broker, client } = membership;
    let mut text = String::new();
    let mut is_peer = false;
    while line::read(reader, &mut text).await? {
        let reply: Arc<str> = match line::parse(&text) {
            Ok(Command::Forward { id, topic, payload }) if is_peer => {
                broker.forwarded(id, topic, payload);
                continue;
            }
            Ok(Command::Forward { .. }) => "ERR say PEER first\n".into(),
            Ok(Command::Peer) => {
                is_peer = true;
                continue;
            }
            Ok(Command::Publish { topic, payload }) => {
                broker.publish(topic, payload);
                "OK PUB\n".into()
            }
            Ok(Command::Subscribe(topic)) => match broker.state().routes.subscribe(*client, topic) {
                Ok(()) => format!("OK SUB {topic}\n").into(),
                Err(_) => "ERR too many topics\n".into(),
            },
            Ok(Command::Unsubscribe(topic)) => {
                broker.state().routes.unsubscribe(*client, topic);
                format!("OK UNSUB {topic}\n").into()
            }
            Ok(Command::Ping) => "PONG\n".into(),
            Err(malformed) => format!("ERR {malformed}\n").into(),
        };
        // This wait delays only the client that does not read its answers.
        if queue.send(reply).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Keeps one sending task per other broker.
async fn follow_peers(broker: Arc<Broker>, mut peers: watch::Receiver<Vec<SocketAddr>>) {
    let mut links: BTreeMap<SocketAddr, tokio::task::AbortHandle> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    loop {
        let wanted = peers.borrow_and_update().clone();
        links.retain(|address, link| {
            let kept = wanted.contains(address);
            if !kept {
                link.abort();
                broker.state().peers.remove(address);
            }
            kept
        });
        for address in wanted {
            links.entry(address).or_insert_with(|| {
                let (queue, waiting) = mpsc::channel(PEER_QUEUE);
                broker.state().peers.insert(address, queue);
                tasks.spawn(feed_peer(address, waiting))
            });
        }
        // Aborted links are taken out of the set as they end, so that it does not grow.
        loop {
            tokio::select! {
                changed = peers.changed() => match changed {
                    Ok(()) => break,
                    // The sender of the list is gone. The brokers named last stay.
                    Err(_) => std::future::pending::<()>().await,
                },
                Some(_ended) = tasks.join_next() => {}
            }
        }
    }
}

/// Sends the queued messages to another broker and dials again after each failure; returns when the queue closes.
async fn feed_peer(address: SocketAddr, mut waiting: mpsc::Receiver<Arc<str>>) {
    let mut pause = REDIAL.0;
    // The message that was being sent when a connection broke may not have arrived, so it is sent again. The receiver
    // drops a message that it has seen.
    let mut at_hand: Option<Arc<str>> = None;
    loop {
        if let Ok(Ok(mut stream)) = timeout(DIAL_TIMEOUT, TcpStream::connect(address)).await {
            let _ = stream.set_nodelay(true);
            pause = REDIAL.0;
            if !feed_stream(&mut stream, &mut waiting, &mut at_hand).await {
                return;
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(REDIAL.1);
    }
}

/// Sends over one connection. Returns true when the connection breaks and false when the queue closes.
async fn feed_stream(
    stream: &mut TcpStream,
    waiting: &mut mpsc::Receiver<Arc<str>>,
    at_hand: &mut Option<Arc<str>>,
) -> bool {
    let (mut reader, mut writer) = stream.split();
    if writer.write_all(b"PEER\n").await.is_err() {
        return true;
    }
    // The other broker sends nothing on this connection, so a read returns only when the connection ends.
    let mut nothing = [0; 64];
    loop {
        if let Some(message) = at_hand.as_ref() {
            if writer.write_all(message.as_bytes()).await.is_err() {
                return true;
            }
            *at_hand = None;
        }
        tokio::select! {
            biased;
            read = tokio::io::AsyncReadExt::read(&mut reader, &mut nothing) => {
                if !matches!(read, Ok(1..)) {
                    return true;
                }
            }
            message = waiting.recv() => match message {
                Some(message) => *at_hand = Some(message),
                None => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests;
