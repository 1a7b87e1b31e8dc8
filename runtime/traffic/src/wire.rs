//! The messages with which two nodes agree on the next connection of a stream: versioned records with golden bytes.
//!
//! Each message is preceded by its length as two bytes, little-endian. The bytes of the connection follow in the
//! frames of [`crate::relay`].

use rhizo_types::{InstanceId, PortName};
use serde::{Deserialize, Serialize};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The longest message in bytes. Names have at most 63 bytes each.
const MESSAGE_BYTES_MAX: usize = 512;

/// The first message of a connection, sent by the importer's node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum OpenRecord {
    /// Version 1.
    V1(Open),
}

/// Asks for a connection to an export of a copy on the receiving node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Open {
    /// The copy.
    pub(crate) instance: InstanceId,
    /// Its export.
    pub(crate) export: PortName,
    /// Whether the connection came to a public port. Its node does not know which copies are about to leave.
    pub(crate) is_entry: bool,
}

/// The answer to an [`OpenRecord`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum AnswerRecord {
    /// Version 1.
    V1(Answer),
}

/// Whether the connection is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// It is; the frames of both directions follow.
    Accepted,
    /// The copy does not run on this node, or its export is not active.
    NotServed,
    /// The copy did not accept the connection.
    NotConnected,
}

/// Sends one message and flushes.
pub(crate) async fn send<S, M>(stream: &mut S, message: &M) -> io::Result<()>
where
    S: AsyncWrite + Unpin,
    M: Serialize,
{
    let body = postcard::to_stdvec(message).map_err(io::Error::other)?;
    let length = u16::try_from(body.len()).ok().filter(|_| body.len() <= MESSAGE_BYTES_MAX);
    let length = length.ok_or_else(|| io::Error::other("a message of a stream is too long"))?;
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend(body);
    stream.write_all(&bytes).await?;
    stream.flush().await
}

/// Receives one message. Returns none when the stream ends before it.
pub(crate) async fn receive<S, M>(stream: &mut S) -> io::Result<Option<M>>
where
    S: AsyncRead + Unpin,
    M: for<'de> Deserialize<'de>,
{
    let mut length = [0; 2];
    match stream.read_exact(&mut length).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = usize::from(u16::from_le_bytes(length));
    if length > MESSAGE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message of a stream is too long"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    postcard::from_bytes(&body).map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_keep_their_golden_bytes() {
        let instance = InstanceId { component: "db".into(), ordinal: 3 };
        let open = OpenRecord::V1(Open { instance, export: "sql".into(), is_entry: true });
        let golden = b"\0\x02db\x03\x03sql\x01";
        assert_eq!(postcard::to_stdvec(&open).as_deref(), Ok(&golden[..]));
        assert_eq!(postcard::from_bytes(golden), Ok(open));
        let answers = [(Answer::Accepted, 0), (Answer::NotServed, 1), (Answer::NotConnected, 2)];
        for (answer, byte) in answers {
            assert_eq!(postcard::to_stdvec(&AnswerRecord::V1(answer)), Ok(vec![0, byte]));
            assert_eq!(postcard::from_bytes(&[0, byte]), Ok(AnswerRecord::V1(answer)));
        }
    }

    #[tokio::test]
    async fn a_message_that_is_too_long_is_refused_before_it_is_read() {
        let (mut near, mut far) = tokio::io::duplex(64);
        near.write_all(&u16::MAX.to_le_bytes()).await.expect("it fits");
        let received: io::Result<Option<OpenRecord>> = receive(&mut far).await;
        assert_eq!(received.map_err(|error| error.kind()), Err(io::ErrorKind::InvalidData));
    }

    #[tokio::test]
    async fn messages_follow_each_other_until_the_stream_ends() {
        let (mut near, mut far) = tokio::io::duplex(64);
        for answer in [Answer::Accepted, Answer::NotServed] {
            send(&mut near, &AnswerRecord::V1(answer)).await.expect("it is sent");
        }
        drop(near);
        for answer in [Some(Answer::Accepted), Some(Answer::NotServed), None] {
            let received: Option<AnswerRecord> = receive(&mut far).await.expect("it is received");
            assert_eq!(received, answer.map(AnswerRecord::V1));
        }
    }
}
