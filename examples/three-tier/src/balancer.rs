//! The load balancer: hands each connection to the next application server that accepts it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// A server that does not accept within this time is skipped: its host may have died without closing the port.
const CONNECT_MS_MAX: u64 = 500;

/// Serves until the future is dropped; `servers` returns the current addresses of the application servers.
pub(crate) async fn serve(
    listener: TcpListener,
    servers: impl Fn() -> Vec<SocketAddr> + Send + 'static,
) -> io::Result<()> {
    let mut turn = 0_usize;
    loop {
        let (stream, _) = listener.accept().await?;
        let mut order = servers();
        if !order.is_empty() {
            let first = turn % order.len();
            order.rotate_left(first);
        }
        turn = turn.wrapping_add(1);
        // A connection that breaks is its client's concern.
        tokio::spawn(async move { hand_over(stream, &order).await });
    }
}

async fn hand_over(mut client: TcpStream, order: &[SocketAddr]) -> io::Result<()> {
    for server in order {
        let connecting = timeout(Duration::from_millis(CONNECT_MS_MAX), TcpStream::connect(server)).await;
        if let Ok(Ok(mut server)) = connecting {
            copy_bidirectional(&mut client, &mut server).await?;
            return Ok(());
        }
    }
    let answer = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    client.write_all(answer.as_bytes()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    /// A server that sends its name to every client.
    async fn server(name: &'static str) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _client_gone = stream.write_all(name.as_bytes()).await;
            }
        });
        Ok(address)
    }

    #[tokio::test]
    async fn servers_take_turns_and_a_dead_one_is_passed_over() -> io::Result<()> {
        let (one, two) = (server("one").await?, server("two").await?);
        let dead = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(serve(listener, move || vec![one, dead, two]));
        let mut heard = Vec::new();
        for _ in 0..3 {
            let mut text = String::new();
            let mut stream = TcpStream::connect(address).await?;
            stream.shutdown().await?;
            stream.read_to_string(&mut text).await?;
            heard.push(text);
        }
        assert_eq!(heard, ["one", "two", "two"]);
        Ok(())
    }
}
