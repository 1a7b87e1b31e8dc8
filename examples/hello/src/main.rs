//! Two components in one binary: `web` imports the greeting of `greeter`, wherever that runs at the moment.
//!
//! Try `cargo run -p hello -- up examples/hello/rhizo.toml`, and kill a node while it runs.

#![forbid(unsafe_code)]

use rhizo::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn main() -> std::process::ExitCode {
    Rhizo::from_file("examples/hello/rhizo.toml").component("greeter", greeter).component("web", web).run()
}

async fn greeter(cx: Ctx) -> Result<(), BoxError> {
    let listener = cx.export("greeting").listen().await?;
    cx.ready();
    loop {
        let (mut stream, _) = listener.accept().await?;
        let greeting = format!("hello from {} on {}", cx.instance(), cx.node().id);
        stream.write_all(greeting.as_bytes()).await?;
    }
}

async fn web(cx: Ctx) -> Result<(), BoxError> {
    let listener = cx.export("http").listen().await?;
    let greeter = cx.import("greeter");
    cx.ready();
    loop {
        let (mut stream, _) = listener.accept().await?;
        // The import follows every re-binding: a greeter that moved is found at its new address.
        let mut greeting = String::new();
        TcpStream::connect(greeter.addr().await).await?.read_to_string(&mut greeting).await?;
        let length = greeting.len() + 1;
        let answer =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{greeting}\n");
        stream.write_all(answer.as_bytes()).await?;
    }
}
