//! Several brokers on loopback, with real clients. A watchdog fails what hangs; nothing waits for a fixed time.

use super::*;
use tokio::io::AsyncBufReadExt;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Far longer than any of these tests takes.
const WATCHDOG: Duration = Duration::from_secs(30);

/// A running broker.
struct Running {
    address: SocketAddr,
    peers: watch::Sender<Vec<SocketAddr>>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<io::Result<()>>,
}

impl Running {
    async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("an address")).await
    }

    async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("a listener");
        let address = listener.local_addr().expect("its address");
        let (peers, followed) = watch::channel(Vec::new());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(listener, followed, async {
            let _ = stopped.await;
        }));
        Self { address, peers, stop: Some(stop), task }
    }

    async fn end(mut self) {
        drop(self.stop.take());
        timeout(WATCHDOG, &mut self.task).await.expect("it ends").expect("no panic").expect("no error");
    }
}

/// Starts brokers; `knows` decides which broker dials which.
async fn brokers(count: usize, knows: impl Fn(usize, usize) -> bool) -> Vec<Running> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(Running::start().await);
    }
    for (index, broker) in all.iter().enumerate() {
        let others = all.iter().enumerate().filter(|(other, _)| *other != index && knows(index, *other));
        broker.peers.send(others.map(|(_, other)| other.address).collect()).expect("it follows");
    }
    all
}

struct TestClient {
    lines: tokio::io::Lines<BufReader<OwnedReadHalf>>,
    writer: tokio::net::tcp::OwnedWriteHalf,
}

impl TestClient {
    async fn connect(address: SocketAddr) -> Self {
        let stream =
            timeout(WATCHDOG, TcpStream::connect(address)).await.expect("in time").expect("a connection");
        let (reader, writer) = stream.into_split();
        Self { lines: BufReader::new(reader).lines(), writer }
    }

    async fn send(&mut self, line: &str) {
        self.writer.write_all(format!("{line}\n").as_bytes()).await.expect("it is written");
    }

    async fn next(&mut self) -> Option<String> {
        timeout(WATCHDOG, self.lines.next_line()).await.expect("a line in time").unwrap_or(None)
    }

    async fn ask(&mut self, line: &str) -> String {
        self.send(line).await;
        self.next().await.expect("an answer")
    }

    async fn subscribed(address: SocketAddr, topic: &str) -> Self {
        let mut client = Self::connect(address).await;
        assert_eq!(client.ask(&format!("SUB {topic}")).await, format!("OK SUB {topic}"));
        client
    }
}

#[tokio::test]
async fn a_message_reaches_every_subscriber_of_every_broker_exactly_once() {
    let brokers = brokers(5, |_, _| true).await;
    let mut subscribers = Vec::new();
    for broker in &brokers {
        subscribers.push(TestClient::subscribed(broker.address, "news").await);
    }
    let mut publisher = TestClient::connect(brokers[0].address).await;
    for number in 0..50 {
        assert_eq!(publisher.ask(&format!("PUB news item {number}")).await, "OK PUB");
    }
    for subscriber in &mut subscribers {
        let mut items = Vec::new();
        for _ in 0..50 {
            items.push(subscriber.next().await.expect("a message"));
        }
        // Copies over other brokers may overtake, so the order is not promised; that each comes once is.
        items.sort();
        let mut expected: Vec<String> = (0..50).map(|number| format!("MSG news item {number}")).collect();
        expected.sort();
        assert_eq!(items, expected);
        // A second copy of any of them would have come first, or comes before the end of this test.
        assert_eq!(subscriber.ask("PING").await, "PONG");
    }
}

#[tokio::test]
async fn brokers_that_know_only_a_neighbour_pass_messages_on() {
    let brokers = brokers(4, |from, to| to == from + 1).await;
    let mut subscriber = TestClient::subscribed(brokers[3].address, "t").await;
    let mut publisher = TestClient::connect(brokers[0].address).await;
    assert_eq!(publisher.ask("PUB t along the chain").await, "OK PUB");
    assert_eq!(subscriber.next().await.as_deref(), Some("MSG t along the chain"));
}

#[tokio::test]
async fn only_subscribers_get_a_topic_and_only_until_they_unsubscribe() {
    let broker = Running::start().await;
    let mut a = TestClient::subscribed(broker.address, "a").await;
    let mut b = TestClient::subscribed(broker.address, "b").await;
    assert_eq!(b.ask("PUB a 1").await, "OK PUB");
    assert_eq!(a.next().await.as_deref(), Some("MSG a 1"));
    assert_eq!(a.ask("UNSUB a").await, "OK UNSUB a");
    assert_eq!(b.ask("PUB a 2").await, "OK PUB");
    assert_eq!(a.ask("PING").await, "PONG", "the second message would have come first");
    assert_eq!(b.ask("PING").await, "PONG", "b never subscribed to a");
}

#[tokio::test]
async fn a_broker_that_comes_later_gets_messages_from_then_on() {
    let first = Running::start().await;
    let second = Running::start().await;
    let mut subscriber = TestClient::subscribed(second.address, "t").await;
    let mut publisher = TestClient::connect(first.address).await;
    assert_eq!(publisher.ask("PUB t before").await, "OK PUB");
    first.peers.send(vec![second.address]).expect("it follows");
    // The broker takes the change in its own time; what it publishes after that arrives.
    let arrived = async {
        for number in 0.. {
            publisher.ask(&format!("PUB t {number}")).await;
            tokio::select! {
                biased;
                line = subscriber.next() => return line,
                () = sleep(Duration::from_millis(20)) => {}
            }
        }
        None
    };
    let line = timeout(WATCHDOG, arrived).await.expect("a message").expect("a line");
    assert!(line.starts_with("MSG t ") && !line.ends_with("before"), "{line}");
}

#[tokio::test]
async fn a_broker_that_was_away_gets_messages_again() {
    let first = Running::start().await;
    let second = Running::start().await;
    let address = second.address;
    first.peers.send(vec![address]).expect("it follows");
    let mut publisher = TestClient::connect(first.address).await;
    let mut subscriber = TestClient::subscribed(address, "t").await;
    assert_eq!(publisher.ask("PUB t one").await, "OK PUB");
    assert_eq!(subscriber.next().await.as_deref(), Some("MSG t one"));
    second.end().await;
    assert_eq!(subscriber.next().await, None, "its connection is closed with the broker");
    let _second = Running::start_at(address).await;
    let mut subscriber = TestClient::subscribed(address, "t").await;
    let arrived = async {
        loop {
            publisher.ask("PUB t again").await;
            tokio::select! {
                biased;
                line = subscriber.next() => return line,
                () = sleep(Duration::from_millis(20)) => {}
            }
        }
    };
    assert_eq!(timeout(WATCHDOG, arrived).await.expect("in time").as_deref(), Some("MSG t again"));
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_messages_and_is_told_how_many() {
    let broker = Running::start().await;
    let mut slow = TestClient::subscribed(broker.address, "t").await;
    let mut quick = TestClient::subscribed(broker.address, "t").await;
    let mut publisher = TestClient::connect(broker.address).await;
    // Enough to fill every buffer in between, the sockets' included.
    let payload = "x".repeat(4_000);
    let count = 6_000;
    for number in 0..count {
        assert_eq!(publisher.ask(&format!("PUB t {number} {payload}")).await, "OK PUB");
        let line = quick.next().await.expect("a message");
        assert!(line.starts_with(&format!("MSG t {number} ")), "the quick client misses nothing");
    }
    // Its answer comes after all that was queued, so that everything it can still get is read by then.
    slow.send("PING").await;
    let mut messages = 0;
    loop {
        let line = slow.next().await.expect("a line");
        if line == "PONG" {
            break;
        }
        assert!(line.starts_with("MSG t "), "{line}");
        messages += 1;
    }
    assert!(messages < count, "nothing was lost: the test must publish more");
    assert_eq!(publisher.ask("PUB t last").await, "OK PUB");
    assert_eq!(slow.next().await, Some(format!("LOST {}", count - messages)));
    assert_eq!(slow.next().await.as_deref(), Some("MSG t last"));
}

#[tokio::test]
async fn wrong_lines_are_answered_and_do_not_end_the_connection() {
    let broker = Running::start().await;
    let mut client = TestClient::connect(broker.address).await;
    for line in ["hello", "SUB", "PUB", "FWD 1 1 t x"] {
        let answer = client.ask(line).await;
        assert!(answer.starts_with("ERR "), "{line}: {answer}");
    }
    assert_eq!(client.ask("PING").await, "PONG");
}

#[tokio::test]
async fn an_endless_line_ends_the_connection_with_a_word() {
    let broker = Running::start().await;
    let mut client = TestClient::connect(broker.address).await;
    client.send(&"x".repeat(line::LINE_BYTES_MAX)).await;
    assert_eq!(client.next().await.as_deref(), Some("ERR the line is too long"));
    assert_eq!(client.next().await, None);
    let mut other = TestClient::connect(broker.address).await;
    assert_eq!(other.ask("PING").await, "PONG", "others are served");
}

#[tokio::test]
async fn stopping_ends_every_connection() {
    let brokers = brokers(3, |_, _| true).await;
    let mut clients = Vec::new();
    for broker in &brokers {
        clients.push(TestClient::subscribed(broker.address, "t").await);
    }
    for broker in brokers {
        broker.end().await;
    }
    for mut client in clients {
        assert_eq!(client.next().await, None);
    }
}

#[tokio::test]
async fn a_client_that_went_away_is_forgotten() {
    let broker = Arc::new(Broker::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let (client, accepted) =
        tokio::join!(TestClient::connect(listener.local_addr().expect("its address")), listener.accept());
    let served = tokio::spawn(serve_connection(broker.clone(), accepted.expect("a connection").0));
    let mut client = client;
    assert_eq!(client.ask("SUB t").await, "OK SUB t");
    assert_eq!(broker.state().clients.len(), 1);
    drop(client);
    timeout(WATCHDOG, served).await.expect("it ends").expect("no panic");
    assert!(broker.state().clients.is_empty());
    assert_eq!(broker.state().routes.subscribers("t").count(), 0);
}
