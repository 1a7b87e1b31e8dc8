//! The life of the application on emulated hosts, by rhizo's test kit: this is how an application tests itself.

use rhizo::testing::Deployment;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Long enough for two busy cores; a repair takes about a second.
const WATCHDOG: Duration = Duration::from_secs(120);

async fn greeting(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: hello\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn a_greeter_whose_host_dies_is_found_elsewhere() -> Result<(), rhizo::Error> {
    let hello = Deployment::up(env!("CARGO_BIN_EXE_hello"), "rhizo.toml").await?;
    let web = hello.instance_of("web").await?.exports[0].address.clone();
    let text = greeting(&web).await.expect("an answer");
    assert!(text.contains("hello from greeter"), "{text}");
    let first = hello.instance_of("greeter").await?.node;
    hello.kill(&first).await?;
    let repaired =
        |status: &rhizo::Status| status.state == "stable" && status.nodes.iter().all(|node| node.id != first);
    hello.until(WATCHDOG, "the dead host is replaced", repaired).await?;
    let web = hello.instance_of("web").await?.exports[0].address.clone();
    let text = greeting(&web).await.expect("an answer");
    assert!(text.contains("hello from greeter"), "{text}");
    let why = hello.command(&["why", &first]).await?;
    assert!(why.contains(&first), "{why}");
    hello.down().await
}
