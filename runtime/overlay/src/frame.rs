//! Frames on a substream: a fixed head and a bounded body, written and read without trusting the other end.
//!
//! It knows nothing of links or queues. Read next: [`crate::lane`], which moves these frames.

use futures::{AsyncRead, AsyncReadExt};
use std::io;

/// Length of a frame's head, in bytes: kind, correlation number, length of the body.
pub(crate) const HEAD_BYTES: usize = 13;
/// Memory set aside for a body before any of it has arrived.
const TRUSTED_BYTES: usize = 64 * 1024;

/// The purpose of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FrameKind {
    /// A message; it has no answer.
    Message,
    /// A request; its number names the answer.
    Request,
    /// The answer to the request of that number.
    Answer,
    /// The request of that number will not be answered.
    Declined,
}

/// One frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: FrameKind,
    /// The number of the request it belongs to; zero for messages.
    pub(crate) number: u64,
    pub(crate) body: Vec<u8>,
}

/// Why no further frame can be read from a stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("read a frame: the stream broke")]
    Broken(#[source] io::Error),
    #[error("read a frame of unknown kind {0}")]
    Kind(u8),
    #[error("read a frame of {length} bytes, more than the {limit} allowed")]
    TooLong { length: u64, limit: usize },
}

impl Frame {
    /// The frame's head; `None` when the body is too long for any head.
    pub(crate) fn head(&self) -> Option<[u8; HEAD_BYTES]> {
        let length = u32::try_from(self.body.len()).ok()?;
        let mut head = [0; HEAD_BYTES];
        head[0] = match self.kind {
            FrameKind::Message => 1,
            FrameKind::Request => 2,
            FrameKind::Answer => 3,
            FrameKind::Declined => 4,
        };
        head[1..9].copy_from_slice(&self.number.to_le_bytes());
        head[9..13].copy_from_slice(&length.to_le_bytes());
        Some(head)
    }

    /// Reads the next frame; `None` when the stream ended between two frames.
    ///
    /// Memory grows with the bytes that have arrived, not with the length that a head announces.
    pub(crate) async fn read<R: AsyncRead + Unpin>(
        io: &mut R,
        body_max: usize,
    ) -> Result<Option<Self>, FrameError> {
        let mut head = [0; HEAD_BYTES];
        let first = io.read(&mut head[..1]).await.map_err(FrameError::Broken)?;
        if first == 0 {
            return Ok(None);
        }
        io.read_exact(&mut head[1..]).await.map_err(FrameError::Broken)?;
        let kind = match head[0] {
            1 => FrameKind::Message,
            2 => FrameKind::Request,
            3 => FrameKind::Answer,
            4 => FrameKind::Declined,
            other => return Err(FrameError::Kind(other)),
        };
        let little = |bytes: &[u8]| bytes.iter().rev().fold(0, |value, byte| (value << 8) | u64::from(*byte));
        let number = little(&head[1..9]);
        let length = little(&head[9..13]);
        if length > body_max as u64 {
            return Err(FrameError::TooLong { length, limit: body_max });
        }
        let mut body = Vec::with_capacity((length as usize).min(TRUSTED_BYTES));
        io.take(length).read_to_end(&mut body).await.map_err(FrameError::Broken)?;
        if (body.len() as u64) < length {
            return Err(FrameError::Broken(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(Some(Self { kind, number, body }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;

    fn bytes(frame: &Frame) -> Vec<u8> {
        let mut bytes = frame.head().unwrap().to_vec();
        bytes.extend(&frame.body);
        bytes
    }

    #[test]
    fn frames_come_back_as_they_were_written() {
        let mut wire = Vec::new();
        let frames: Vec<Frame> =
            [FrameKind::Message, FrameKind::Request, FrameKind::Answer, FrameKind::Declined]
                .into_iter()
                .zip([0, 1, u64::MAX, 0x0102_0304])
                .map(|(kind, number)| Frame { kind, number, body: vec![7; (number % 300) as usize] })
                .collect();
        frames.iter().for_each(|frame| wire.extend(bytes(frame)));
        let mut rest = &wire[..];
        for frame in frames {
            assert_eq!(block_on(Frame::read(&mut rest, 1000)).unwrap(), Some(frame));
        }
        assert_eq!(block_on(Frame::read(&mut rest, 1000)).unwrap(), None);
    }

    #[test]
    fn a_frame_keeps_its_golden_bytes() {
        let frame = Frame { kind: FrameKind::Request, number: 0x0201, body: b"hi".to_vec() };
        assert_eq!(bytes(&frame), b"\x02\x01\x02\0\0\0\0\0\0\x02\0\0\0hi");
    }

    #[test]
    fn too_long_unknown_and_truncated_frames_are_errors() {
        let long = bytes(&Frame { kind: FrameKind::Message, number: 0, body: vec![0; 11] });
        assert!(matches!(
            block_on(Frame::read(&mut &long[..], 10)),
            Err(FrameError::TooLong { length: 11, limit: 10 })
        ));
        let mut odd = long.clone();
        odd[0] = 9;
        assert!(matches!(block_on(Frame::read(&mut &odd[..], 99)), Err(FrameError::Kind(9))));
        for cut in 1..long.len() {
            assert!(matches!(block_on(Frame::read(&mut &long[..cut], 99)), Err(FrameError::Broken(_))));
        }
    }

    #[test]
    fn random_bytes_never_panic_and_never_make_a_frame_longer_than_allowed() {
        use rand::{RngExt, SeedableRng};
        let mut rng = rand::rngs::StdRng::seed_from_u64(7);
        for _ in 0..20_000 {
            let mut junk = vec![0_u8; rng.random_range(0..64)];
            rng.fill(&mut junk[..]);
            if let Some(first) = junk.first_mut() {
                *first %= 6;
            }
            if let Ok(Some(frame)) = block_on(Frame::read(&mut &junk[..], 16)) {
                assert!(frame.body.len() <= 16);
            }
        }
    }
}
