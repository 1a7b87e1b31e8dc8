//! The broker's protocol: lines of text, parsed and printed. No socket is known here except as a reader.

use std::fmt;
use std::io;
use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// Longest line, its line break included: a payload of 4 KiB with its topic fits.
pub(crate) const LINE_BYTES_MAX: usize = 4608;

/// Longest topic.
const TOPIC_BYTES_MAX: usize = 128;

/// Identity of a message: the broker it was published at, and its number there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct MessageId {
    /// The broker that the publisher is connected to; drawn anew at each start of a broker.
    pub(crate) origin: u64,
    /// Counts that broker's messages from 1.
    pub(crate) number: u64,
}

/// A line that a client or another broker may send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Command<'l> {
    /// Send me this topic's messages.
    Subscribe(&'l str),
    /// Send them no more.
    Unsubscribe(&'l str),
    /// Send this to all subscribers of the topic.
    Publish { topic: &'l str, payload: &'l str },
    /// Are you there?
    Ping,
    /// The following lines come from another broker.
    Peer,
    /// A message on its way between brokers.
    Forward { id: MessageId, topic: &'l str, payload: &'l str },
}

/// Why a line is refused; sent back as the reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Malformed {
    /// The first word is none of the commands.
    Unknown,
    /// A topic is missing, too long, or holds other than visible ASCII.
    Topic,
    /// The number of a forwarded message cannot be read.
    Number,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown command; known: SUB UNSUB PUB PING",
            Self::Topic => "a topic is 1 to 128 visible ASCII characters",
            Self::Number => "a message number is wrong",
        })
    }
}

/// Parses a line without its line break.
pub(crate) fn parse(line: &str) -> Result<Command<'_>, Malformed> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    Ok(match word {
        "SUB" => Command::Subscribe(topic(rest)?),
        "UNSUB" => Command::Unsubscribe(topic(rest)?),
        "PUB" => {
            let (name, payload) = rest.split_once(' ').unwrap_or((rest, ""));
            Command::Publish { topic: topic(name)?, payload }
        }
        "PING" => Command::Ping,
        "PEER" => Command::Peer,
        "FWD" => {
            let mut parts = rest.splitn(4, ' ');
            let mut number = |radix| {
                let text = parts.next().unwrap_or("");
                u64::from_str_radix(text, radix).map_err(|_| Malformed::Number)
            };
            let id = MessageId { origin: number(16)?, number: number(10)? };
            let name = topic(parts.next().unwrap_or(""))?;
            Command::Forward { id, topic: name, payload: parts.next().unwrap_or("") }
        }
        _ => return Err(Malformed::Unknown),
    })
}

/// The line that carries a message to another broker.
pub(crate) fn forward(id: MessageId, topic: &str, payload: &str) -> String {
    format!("FWD {:x} {} {topic} {payload}\n", id.origin, id.number)
}

fn topic(text: &str) -> Result<&str, Malformed> {
    let good =
        !text.is_empty() && text.len() <= TOPIC_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
    if good { Ok(text) } else { Err(Malformed::Topic) }
}

/// Reads one line into `line`, without its line break. False at the end of the stream.
///
/// # Errors
/// When the stream fails, the line is longer than [`LINE_BYTES_MAX`] or is not UTF-8.
pub(crate) async fn read(reader: &mut (impl AsyncBufRead + Unpin), line: &mut String) -> io::Result<bool> {
    let mut bytes = Vec::new();
    loop {
        let available = reader.fill_buf().await?;
        if available.is_empty() {
            // A line without a line break may be half a line, so it is not executed.
            return Ok(false);
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(available.len(), |at| at + 1);
        if bytes.len() + taken > LINE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the line is too long"));
        }
        bytes.extend_from_slice(&available[..taken]);
        reader.consume(taken);
        if end.is_some() {
            break;
        }
    }
    bytes.pop();
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    *line = String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the line is not UTF-8"))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forwarded_message_is_parsed_as_it_was_printed() {
        let id = MessageId { origin: u64::MAX, number: 7 };
        let line = forward(id, "news", "two words");
        assert_eq!(parse(line.trim_end()), Ok(Command::Forward { id, topic: "news", payload: "two words" }));
    }

    #[test]
    fn a_payload_may_be_empty_and_hold_spaces() {
        assert_eq!(parse("PUB a"), Ok(Command::Publish { topic: "a", payload: "" }));
        assert_eq!(parse("PUB a  b "), Ok(Command::Publish { topic: "a", payload: " b " }));
    }

    #[test]
    fn malformed_lines_are_refused_with_their_reason() {
        assert_eq!(parse("sub a"), Err(Malformed::Unknown));
        assert_eq!(parse("SUB"), Err(Malformed::Topic));
        assert_eq!(parse("SUB a b"), Err(Malformed::Topic));
        assert_eq!(parse(&format!("SUB {}", "x".repeat(129))), Err(Malformed::Topic));
        assert_eq!(parse("FWD zz 1 a b"), Err(Malformed::Number));
        assert_eq!(parse("FWD 1 -1 a b"), Err(Malformed::Number));
    }

    #[tokio::test]
    async fn a_line_that_never_ends_is_refused() {
        let endless = vec![b'a'; LINE_BYTES_MAX + 1];
        let mut line = String::new();
        let read = read(&mut endless.as_slice(), &mut line).await;
        assert!(read.is_err_and(|error| error.kind() == io::ErrorKind::InvalidData));
    }

    #[tokio::test]
    async fn half_a_line_at_the_end_is_no_line() {
        let mut stream: &[u8] = b"PING\r\nPI";
        let mut line = String::new();
        assert!(read(&mut stream, &mut line).await.expect("a line") && line == "PING");
        assert!(!read(&mut stream, &mut line).await.expect("the end"));
    }
}
