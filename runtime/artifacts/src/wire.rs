//! The protocol of a transfer: requests of one end of a stream, answers of the other, in the order of the requests.
//!
//! ```text
//! Manifest { tree }            → Manifest { bytes }       | Absent | Busy
//! PieceHashes { blob, … }      → PieceHashes { bytes }    | Absent
//! Take { tree, numbers, seen } → Piece { number } bytes … End { held }  | Absent
//! Offer { tree }               → the ends change roles until Farewell
//! ```
//!
//! `Take` names several pieces, and the *server* chooses among them those that it has sent least often. Clients that
//! share a server therefore get different pieces first and can serve each other, without knowing of each other.
//!
//! A frame is its length in four bytes, little-endian, and a record in postcard behind the number of its version; the
//! bytes of a piece follow their frame as they are. Every length is checked before memory is taken for it.

use crate::manifest::MANIFEST_BYTES_MAX;
use crate::pieces::PIECE_BYTES;
use rhizo_types::Digest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

/// Most pieces that one request names: enough for the server's choice to spread pieces evenly.
pub const NUMBERS_MAX: usize = 64;
/// Longest frame: a manifest, and some bytes around it.
const FRAME_BYTES_MAX: usize = MANIFEST_BYTES_MAX + 1024;
/// Longest request. 64 numbers of five bytes, and the text of a farewell.
const REQUEST_BYTES_MAX: usize = 4 * 1024;
/// A frame or piece takes at most this long. A piece of 256 KiB passes a link of 35 kbit/s in it.
pub const FRAME_MAX: Duration = Duration::from_secs(60);

/// A request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Request {
    /// The manifest of a tree.
    Manifest {
        /// The tree.
        tree: Digest,
    },
    /// The hashes of the pieces of a content.
    PieceHashes {
        /// The content.
        blob: Digest,
        /// Its length.
        bytes: u64,
    },
    /// Some of the named pieces: at least one if the server has one.
    Take {
        /// The tree.
        tree: Digest,
        /// The pieces, by their numbers in the layout of the tree. Empty: the client waits for news.
        numbers: Vec<u32>,
        /// The number of pieces that the server had when the client last knew. With no piece named, the answer comes
        /// when the server has another number of pieces, or after some time.
        seen: u32,
    },
    /// The other end should fetch this tree from this end, over this stream.
    Offer {
        /// The tree.
        tree: Digest,
    },
    /// The end of a fetch that an offer began. No answer follows.
    Farewell {
        /// The reason for which the tree was not fetched; none after a success.
        failure: Option<String>,
    },
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// The encoded manifest.
    Manifest {
        /// The bytes, which the client compares with the digest.
        encoded: Vec<u8>,
    },
    /// The hashes of pieces.
    PieceHashes {
        /// 32 bytes for each piece, which the client compares with the hash of the content.
        hashes: Vec<u8>,
    },
    /// A piece: as many bytes as the layout says follow the frame.
    Piece {
        /// Its number.
        number: u32,
    },
    /// The end of the answer to a `Take`.
    End {
        /// The pieces that the server has now.
        held: Held,
    },
    /// The server does not have it.
    Absent,
    /// The server has as many clients as it serves at a time, and closes the stream.
    Busy,
}

/// The pieces of a tree that a server has.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Held {
    /// All of them.
    All,
    /// Those whose bits are set; the first piece is the lowest bit of the first byte.
    Some {
        /// The bits.
        bits: Vec<u8>,
    },
}

impl Held {
    /// Returns true if the server has the piece.
    #[must_use]
    pub fn has(&self, number: u32) -> bool {
        match self {
            Self::All => true,
            Self::Some { bits } => {
                let byte = usize::try_from(number / 8).ok().and_then(|index| bits.get(index));
                byte.is_some_and(|byte| byte >> (number % 8) & 1 == 1)
            }
        }
    }

    /// The number of pieces that the server has, of `all`.
    #[must_use]
    pub fn count(&self, all: u32) -> u32 {
        match self {
            Self::All => all,
            Self::Some { bits } => bits.iter().map(|byte| byte.count_ones()).sum::<u32>().min(all),
        }
    }
}

#[derive(Serialize, Deserialize)]
enum RequestRecord {
    V1(Request),
}

#[derive(Serialize, Deserialize)]
enum AnswerRecord {
    V1(Answer),
}

/// Encodes a request without its length.
#[must_use]
pub fn encode_request(request: &Request) -> Vec<u8> {
    let record = RequestRecord::V1(request.clone());
    postcard::to_stdvec(&record).expect("plain fields have a known length")
}

/// Decodes a request; none if it is malformed or longer than a request may be.
#[must_use]
pub fn decode_request(bytes: &[u8]) -> Option<Request> {
    let RequestRecord::V1(request) = decode(bytes, REQUEST_BYTES_MAX)?;
    let few = |numbers: &Vec<u32>| numbers.len() <= NUMBERS_MAX;
    match &request {
        Request::Take { numbers, .. } if !few(numbers) => None,
        _ => Some(request),
    }
}

/// Encodes an answer without its length.
#[must_use]
pub fn encode_answer(answer: &Answer) -> Vec<u8> {
    let record = AnswerRecord::V1(answer.clone());
    postcard::to_stdvec(&record).expect("plain fields have a known length")
}

/// Decodes an answer; none if it is malformed or longer than an answer may be.
#[must_use]
pub fn decode_answer(bytes: &[u8]) -> Option<Answer> {
    let AnswerRecord::V1(answer) = decode(bytes, FRAME_BYTES_MAX)?;
    Some(answer)
}

fn decode<T: DeserializeOwned>(bytes: &[u8], bytes_max: usize) -> Option<T> {
    if bytes.len() > bytes_max {
        return None;
    }
    let (record, rest) = postcard::take_from_bytes(bytes).ok()?;
    rest.is_empty().then_some(record)
}

/// Sends a request. The caller flushes.
pub(crate) async fn send_request(
    stream: &mut (impl AsyncWrite + Unpin),
    request: &Request,
) -> io::Result<()> {
    send(stream, &encode_request(request), &[]).await
}

/// Sends an answer and the bytes of a piece. The caller flushes.
pub(crate) async fn send_answer(
    stream: &mut (impl AsyncWrite + Unpin),
    answer: &Answer,
    piece: &[u8],
) -> io::Result<()> {
    send(stream, &encode_answer(answer), piece).await
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), frame: &[u8], piece: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(|_| malformed("a frame is too long"))?;
    let sending = async {
        stream.write_all(&length.to_le_bytes()).await?;
        stream.write_all(frame).await?;
        stream.write_all(piece).await
    };
    in_time(sending).await
}

/// Flushes within the time of a frame.
pub(crate) async fn flush(stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    in_time(stream.flush()).await
}

/// Waits for a request; none when the client has closed the stream, or sent nothing for a while.
pub(crate) async fn next_request(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Request>> {
    match in_time(receive(stream, REQUEST_BYTES_MAX)).await {
        Ok(bytes) => decode_request(&bytes).map(Some).ok_or_else(|| malformed("a request is malformed")),
        Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::TimedOut) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Waits for an answer.
pub(crate) async fn next_answer(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Answer> {
    let bytes = in_time(receive(stream, FRAME_BYTES_MAX)).await?;
    decode_answer(&bytes).ok_or_else(|| malformed("an answer is malformed"))
}

/// Reads the bytes of a piece.
pub(crate) async fn read_piece(stream: &mut (impl AsyncRead + Unpin), bytes: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(bytes.min(PIECE_BYTES)).unwrap_or_default();
    let mut piece = vec![0; length];
    in_time(stream.read_exact(&mut piece)).await?;
    Ok(piece)
}

async fn receive(stream: &mut (impl AsyncRead + Unpin), bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > bytes_max {
        return Err(malformed("a frame is too long"));
    }
    // Memory is taken as bytes arrive: a false length costs nothing.
    let mut frame = Vec::new();
    stream.take(length as u64).read_to_end(&mut frame).await?;
    if frame.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(frame)
}

async fn in_time<T>(doing: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(FRAME_MAX, doing).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn malformed(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_bytes_on_the_wire_do_not_change() {
        let (tree, seven) = (Digest([7; 32]), "07".repeat(32));
        let requests = [
            (Request::Manifest { tree }, format!("0000{seven}")),
            (Request::PieceHashes { blob: tree, bytes: 300 }, format!("0001{seven}ac02")),
            (Request::Take { tree, numbers: vec![1, 300], seen: 2 }, format!("0002{seven}0201ac0202")),
            (Request::Offer { tree }, format!("0003{seven}")),
            (Request::Farewell { failure: None }, "000400".to_owned()),
            (Request::Farewell { failure: Some("a".to_owned()) }, "0004010161".to_owned()),
        ];
        for (request, golden) in requests {
            let encoded = encode_request(&request);
            assert_eq!((hex(&encoded), decode_request(&encoded)), (golden, Some(request)));
        }
        let answers = [
            (Answer::Manifest { encoded: vec![1, 2] }, "0000020102"),
            (Answer::PieceHashes { hashes: vec![3] }, "00010103"),
            (Answer::Piece { number: 300 }, "0002ac02"),
            (Answer::End { held: Held::All }, "000300"),
            (Answer::End { held: Held::Some { bits: vec![5] } }, "0003010105"),
            (Answer::Absent, "0004"),
            (Answer::Busy, "0005"),
        ];
        for (answer, golden) in answers {
            let encoded = encode_answer(&answer);
            assert_eq!((hex(&encoded).as_str(), decode_answer(&encoded)), (golden, Some(answer)));
        }
    }

    #[test]
    fn a_request_for_too_many_pieces_is_refused() {
        let take = |count| Request::Take { tree: Digest([0; 32]), numbers: vec![1; count], seen: 0 };
        assert!(decode_request(&encode_request(&take(NUMBERS_MAX))).is_some());
        assert!(decode_request(&encode_request(&take(NUMBERS_MAX + 1))).is_none());
    }

    #[test]
    fn the_pieces_of_a_server_are_counted() {
        let held = Held::Some { bits: vec![0b101, 0b1] };
        let has: Vec<_> = (0..20).filter(|number| held.has(*number)).collect();
        assert_eq!((has, held.count(9)), (vec![0, 2, 8], 3));
    }
}
