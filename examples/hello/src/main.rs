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
    let greeter = cx.import("greeter")?;
    cx.ready();
    loop {
        let (stream, _) = listener.accept().await?;
        // A client that disconnects early, or a greeter that ends meanwhile, does not end the instance.
        if let Err(error) = answer(stream, &greeter).await {
            cx.log(&format!("a request was not answered: {error}"));
        }
    }
}

async fn answer(mut stream: TcpStream, greeter: &Import) -> std::io::Result<()> {
    // The request is read although its content does not matter: closing a connection with unread bytes would reset it.
    let mut request = [0; 4_096];
    let _length = stream.read(&mut request).await?;
    // The import follows every re-binding: a greeter that moved is found at its new place.
    let mut greeting = String::new();
    TcpStream::connect(greeter.addr().await).await?.read_to_string(&mut greeting).await?;
    let length = greeting.len() + 1;
    let answer =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{greeting}\n");
    stream.write_all(answer.as_bytes()).await
}
