//! The store of the link shortener: one TCP service, one line per request. It knows nothing of rhizo.
//!
//! `put URL` answers with the code of the URL, `get CODE` with the URL, and anything that cannot be answered with an
//! empty line. The links are kept in memory and are lost with the process.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Longest request or answer in bytes, with its line end: browsers cut longer URLs as well.
const LINE_BYTES_MAX: u64 = 8 * 1024;
/// Most links. A demonstration has no use for more, and memory is bounded.
const LINKS_MAX: usize = 100_000;

#[derive(Default)]
struct Links {
    urls: Vec<String>,
    codes: HashMap<String, usize>,
}

impl Links {
    fn answer(&mut self, request: &str) -> Option<String> {
        match request.split_once(' ')? {
            ("put", url) => {
                if let Some(known) = self.codes.get(url) {
                    return Some(known.to_string());
                }
                if self.urls.len() == LINKS_MAX {
                    return None;
                }
                self.urls.push(url.to_owned());
                self.codes.insert(url.to_owned(), self.urls.len() - 1);
                Some((self.urls.len() - 1).to_string())
            }
            ("get", code) => self.urls.get(code.parse::<usize>().ok()?).cloned(),
            _ => None,
        }
    }
}

/// Serves until `stopped` resolves.
///
/// # Errors
/// The listener fails.
pub(crate) async fn serve(listener: TcpListener, stopped: impl Future<Output = ()>) -> io::Result<()> {
    let links = Arc::new(Mutex::new(Links::default()));
    tokio::pin!(stopped);
    loop {
        let (stream, _) = tokio::select! {
            () = &mut stopped => return Ok(()),
            accepted = listener.accept() => accepted?,
        };
        let links = links.clone();
        tokio::spawn(async move {
            // A client that disconnects in the middle of a request needs no answer.
            let _disconnected = answer_all(stream, &links).await;
        });
    }
}

async fn answer_all(stream: TcpStream, links: &Mutex<Links>) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    while let Some(request) = read_line(&mut reader).await? {
        let answer = links.lock().unwrap_or_else(PoisonError::into_inner).answer(&request);
        writer.write_all(format!("{}\n", answer.unwrap_or_default()).as_bytes()).await?;
    }
    Ok(())
}

/// Sends one request to the store and returns its answer; none if the store has no answer to it.
///
/// # Errors
/// The store cannot be reached, or breaks the connection off.
pub(crate) async fn request(store: SocketAddr, verb: &str, argument: &str) -> io::Result<Option<String>> {
    // A line break would end the request early.
    if argument.contains(['\n', '\r']) {
        return Ok(None);
    }
    let mut stream = TcpStream::connect(store).await?;
    stream.write_all(format!("{verb} {argument}\n").as_bytes()).await?;
    let answer = read_line(&mut BufReader::new(stream)).await?;
    let answer = answer.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    Ok(Some(answer).filter(|answer| !answer.is_empty()))
}

/// One line without its end; none at the end of the stream.
async fn read_line(reader: &mut (impl AsyncBufReadExt + Unpin)) -> io::Result<Option<String>> {
    let mut line = String::new();
    if reader.take(LINE_BYTES_MAX).read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    match line.strip_suffix('\n') {
        Some(line) => Ok(Some(line.to_owned())),
        None => Err(io::Error::new(io::ErrorKind::InvalidData, "the line is too long or has no end")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stored_link_is_found_by_its_code() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let store = listener.local_addr().unwrap();
        let server = tokio::spawn(serve(listener, std::future::pending()));
        let code = request(store, "put", "https://example.org/a b").await.unwrap().unwrap();
        assert_eq!(request(store, "put", "https://example.org/a b").await.unwrap(), Some(code.clone()));
        assert_eq!(request(store, "get", &code).await.unwrap().as_deref(), Some("https://example.org/a b"));
        assert_eq!(request(store, "get", "77").await.unwrap(), None);
        assert_eq!(request(store, "get", "x\nput y").await.unwrap(), None);
        server.abort();
    }
}
