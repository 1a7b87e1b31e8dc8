//! A very small database: one table of counters behind a password, in memory.
//!
//! A client sends lines and gets one line for each: `AUTH password`, `MAKE` (creates the table), `ADD key` (returns the
//! new count). The data is lost when the process ends: this example does not show how to keep state.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Longest line; keys are paths of pages.
const LINE_BYTES_MAX: u64 = 1_024;
/// Limit for a client that sends ever new keys.
const KEYS_MAX: usize = 10_000;

/// The counters; none until a client has sent `MAKE`.
type Table = Arc<Mutex<Option<BTreeMap<String, u64>>>>;

/// 128 random bits in hexadecimal digits.
pub(crate) fn new_password() -> io::Result<String> {
    let mut bytes = [0_u8; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Serves until the future is dropped.
pub(crate) async fn serve(listener: TcpListener, password: String) -> io::Result<()> {
    let password: Arc<str> = password.into();
    let table = Table::default();
    loop {
        let (stream, _) = listener.accept().await?;
        let (password, table) = (password.clone(), table.clone());
        // A connection that breaks is its client's concern.
        tokio::spawn(async move { talk(stream, &password, &table).await });
    }
}

async fn talk(mut stream: TcpStream, password: &str, table: &Table) -> io::Result<()> {
    let (from, mut to) = stream.split();
    let mut lines = BufReader::new(from);
    let mut known = false;
    loop {
        let mut line = String::new();
        if (&mut lines).take(LINE_BYTES_MAX).read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let answer = match line.trim_end().split_once(' ').unwrap_or((line.trim_end(), "")) {
            ("AUTH", given) if given == password => {
                known = true;
                "OK".to_owned()
            }
            ("MAKE", _) if known => {
                table.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default();
                "OK".to_owned()
            }
            ("ADD", key) if known => add(table, key),
            _ => "NO that is not allowed".to_owned(),
        };
        to.write_all(format!("{answer}\n").as_bytes()).await?;
    }
}

fn add(table: &Table, key: &str) -> String {
    let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(table) = &mut *table else { return "NO there is no table".to_owned() };
    if table.len() >= KEYS_MAX && !table.contains_key(key) {
        return "NO the table is full".to_owned();
    }
    let count = table.entry(key.to_owned()).or_default();
    *count += 1;
    count.to_string()
}

/// A connection to a database.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects and gives the password.
    pub(crate) async fn open(address: SocketAddr, password: &str) -> io::Result<Self> {
        let mut client = Self { stream: BufReader::new(TcpStream::connect(address).await?) };
        client.ask(&format!("AUTH {password}")).await?;
        Ok(client)
    }

    /// Creates the table if it does not exist.
    pub(crate) async fn make_table(&mut self) -> io::Result<()> {
        self.ask("MAKE").await.map(drop)
    }

    /// Adds one to a counter and returns its new value.
    pub(crate) async fn add(&mut self, key: &str) -> io::Result<String> {
        self.ask(&format!("ADD {key}")).await
    }

    async fn ask(&mut self, line: &str) -> io::Result<String> {
        self.stream.write_all(format!("{line}\n").as_bytes()).await?;
        let mut answer = String::new();
        (&mut self.stream).take(LINE_BYTES_MAX).read_line(&mut answer).await?;
        match answer.trim_end() {
            "" => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the database closed the connection")),
            refused if refused.starts_with("NO") => Err(io::Error::other(refused.to_owned())),
            answer => Ok(answer.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_is_answered_without_the_password_and_nothing_counted_without_a_table() -> io::Result<()>
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(serve(listener, "s3cret".to_owned()));
        assert!(Client::open(address, "guess").await.is_err());
        let mut client = Client::open(address, "s3cret").await?;
        assert!(client.add("/").await.is_err());
        client.make_table().await?;
        assert_eq!(client.add("/").await?, "1");
        client.make_table().await?;
        assert_eq!(client.add("/").await?, "2");
        Ok(())
    }

    #[test]
    fn passwords_differ() -> io::Result<()> {
        let (one, other) = (new_password()?, new_password()?);
        assert!(one.len() == 32 && one != other);
        Ok(())
    }
}
