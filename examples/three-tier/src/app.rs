//! The application server: answers every path with a page that says how often it was asked for.
//!
//! It implements only the HTTP it needs: each connection carries one request and is closed after the answer.

use crate::db;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The file that `warm` writes into the instance's directory.
pub(crate) const TEMPLATE_FILE: &str = "page.txt";
/// The content of that file.
pub(crate) const TEMPLATE: &str = "visit {count} of {path}, counted by {db}, served by {name}\n";

/// Longest head of a request.
const HEAD_BYTES_MAX: usize = 8 * 1_024;

/// The page that is served.
pub(crate) struct Page {
    pub(crate) template: String,
    pub(crate) name: String,
}

/// Serves until the future is dropped; `db` returns the database's current address and password.
pub(crate) async fn serve(
    listener: TcpListener,
    page: Page,
    db: impl Fn() -> Option<(SocketAddr, String)> + Clone + Send + 'static,
) -> io::Result<()> {
    let page = Arc::new(page);
    loop {
        let (stream, _) = listener.accept().await?;
        let (page, db) = (page.clone(), db());
        // A connection that breaks is its client's concern.
        tokio::spawn(async move { answer(stream, &page, db).await });
    }
}

async fn answer(mut stream: TcpStream, page: &Page, db: Option<(SocketAddr, String)>) -> io::Result<()> {
    let mut head = Vec::new();
    let mut buffer = [0; 1_024];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let read = stream.read(&mut buffer).await?;
        if read == 0 || head.len() > HEAD_BYTES_MAX {
            return Ok(());
        }
        head.extend_from_slice(&buffer[..read]);
    }
    let head = String::from_utf8_lossy(&head);
    let path = head.split_whitespace().nth(1).unwrap_or("/").to_owned();
    let (status, text) = match count(&path, db).await {
        Ok((count, db)) => {
            let text = page.template.replace("{count}", &count).replace("{path}", &path);
            ("200 OK", text.replace("{db}", &db).replace("{name}", &page.name))
        }
        Err(error) => ("503 Service Unavailable", format!("no count: {error}\n")),
    };
    let length = text.len();
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}");
    stream.write_all(answer.as_bytes()).await
}

async fn count(path: &str, db: Option<(SocketAddr, String)>) -> io::Result<(String, String)> {
    let (address, password) = db.ok_or_else(|| io::Error::other("no database is bound"))?;
    let count = db::Client::open(address, &password).await?.add(path).await?;
    Ok((count, address.to_string()))
}
