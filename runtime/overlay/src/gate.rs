//! The credential exchange on an authenticated stream, before any multiplexer exists.
//!
//! Noise has already proved both keys. Here the dialer sends its credential, proves a ticket when it has one, and the
//! listener answers with a verdict. Each direction has at most three frames of fixed size, so no length is ever read
//! from a stranger. A dialer of another lineage is refused before its credential is judged. When an operator has
//! ended that lineage, the verdict is followed by the operator's signed statement. [`crate::transport`] opens the
//! sockets and calls this. The frames are in [`crate::hello`].

use crate::admission::{Admission, Claim, Credential, LinkBinding, TicketId};
use crate::hello::{self, HELLO_BYTES, Hello, Kind, OPERATOR_PROOF_BYTES, PROOF_BYTES, VERDICT_BYTES};
use crate::key;
use crate::refusal::Refusal;
use crate::succession::{SUCCESSION_BYTES, Succession};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use rhizo_types::{AppName, Lineage, PeerKey};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Time within which two dials of the same pair count as crossing each other.
///
/// It is longer than a whole set-up (three round trips) on the slowest real paths, 2 × 450 ms. A peer that has lost a
/// young link is refused for at most this time, until the listener no longer counts that link.
pub(crate) const CROSSING_WINDOW: Duration = Duration::from_secs(3);

/// The most links of joiners and operators at once; `links_max` bounds the members.
const GUESTS_MAX: usize = 64;

/// The use that a connection is set up for. Both ends have to mean the same one: the Noise handshake fails otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// A link: lanes, gossip and pings over a multiplexer. At most one for each pair of nodes.
    Link,
    /// One stream of bytes for the traffic of components. Any number for each pair of nodes.
    Stream,
}

/// A failed credential exchange.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    #[error("exchange credentials: the stream broke")]
    Broken(#[source] io::Error),
    #[error("exchange credentials: malformed frame")]
    Malformed(#[source] hello::Malformed),
    #[error("be admitted by the listener")]
    RefusedByListener(#[source] Refusal),
    #[error("admit the dialer")]
    DialerRefused(#[source] Refusal),
}

/// Number of connections that were admitted, refused, and given a multiplexer since the overlay was bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Inbound connections whose credentials were accepted.
    pub admitted: u64,
    /// Inbound connections that ended before they were admitted, for any reason.
    pub refused: u64,
    /// Multiplexers created, on inbound and outbound connections.
    pub multiplexers: u64,
}

/// The gate's record of an established link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkNote {
    /// Whether this node dialled it.
    pub(crate) dialled_here: bool,
    /// When it came up.
    pub(crate) since: Instant,
    /// Whether the other end is a joiner or an operator.
    pub(crate) guest: bool,
}

/// The data on which the gate decides. The service keeps it up to date, and every set-up in progress reads it.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) admission: Arc<Admission>,
    /// The credential for a peer instead of the bare key; only while a one-shot dial is in progress.
    pub(crate) credentials: BTreeMap<PeerKey, Credential>,
    pub(crate) links: BTreeMap<PeerKey, LinkNote>,
    pub(crate) dialling: BTreeMap<PeerKey, Instant>,
    /// The claims of admitted inbound connections, until the service has seen these connections come up.
    pub(crate) claims: BTreeMap<SocketAddr, (Claim, Lineage)>,
    /// This node's lineage now. An exchange that began in another one makes no link.
    pub(crate) lineage: Lineage,
    /// The statements with which listeners refused this node, until the service has seen the dial fail; and whether
    /// this node is a member of the next lineage.
    pub(crate) superseded: BTreeMap<PeerKey, (Succession, bool)>,
}

/// Decides which connections are admitted.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) local: PeerKey,
    app: AppName,
    links_max: usize,
    book: Mutex<Book>,
    admitted: AtomicU64,
    refused: AtomicU64,
    multiplexers: AtomicU64,
}

impl Gate {
    pub(crate) fn new(local: PeerKey, app: AppName, lineage: Lineage, links_max: usize) -> Self {
        Self {
            local,
            app,
            links_max,
            book: Mutex::new(Book::new(lineage)),
            admitted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            multiplexers: AtomicU64::new(0),
        }
    }

    /// The book. None of its users can panic in the middle of a change, so a poisoned lock does no harm.
    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn counters(&self) -> Counters {
        Counters {
            admitted: self.admitted.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            multiplexers: self.multiplexers.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_multiplexer(&self) {
        self.multiplexers.fetch_add(1, Ordering::Relaxed);
    }

    /// The digest that both ends of a Noise handshake must have in common, besides their keys: nodes of different
    /// applications cannot talk. The lineage is not in it, so that a node of a former lineage can be told of its end.
    pub(crate) fn noise_prologue(&self, purpose: Purpose) -> [u8; 32] {
        let context = match purpose {
            Purpose::Link => "rhizo 2026-11-29 noise prologue",
            Purpose::Stream => "rhizo 2026-11-29 noise prologue of a stream",
        };
        blake3::derive_key(context, self.app.as_str().as_bytes())
    }

    /// The digest that the proofs of both ends are made for: one lineage of one application.
    fn prologue(&self, lineage: Lineage) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("rhizo 2026-11-22 handshake prologue");
        hasher.update(&lineage.0.to_le_bytes());
        hasher.update(self.app.as_str().as_bytes());
        *hasher.finalize().as_bytes()
    }

    /// The credential that is kept for a link to this listener, else the bare key.
    pub(crate) fn credential_for(&self, listener: &PeerKey) -> Credential {
        self.book().credentials.get(listener).cloned().unwrap_or(Credential::Member)
    }

    /// The dialer's side: sends a credential and, if it needs one, the proof.
    pub(crate) async fn present<S>(
        &self,
        io: &mut S,
        listener: PeerKey,
        credential: &Credential,
    ) -> Result<(), ExchangeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let lineage = self.book().lineage;
        let kind = match credential {
            Credential::Member => Kind::Member,
            Credential::Ticket { id, .. } => Kind::Ticket(*id),
            Credential::Operator { .. } => Kind::Operator,
        };
        let dialer_nonce = rand::random();
        write(io, &Hello { kind, nonce: dialer_nonce, lineage }.encode()).await?;
        let answer: [u8; HELLO_BYTES] = read(io).await?;
        let answer = Hello::decode(&answer).map_err(ExchangeError::Malformed)?;
        let binding = LinkBinding {
            dialer: self.local,
            listener,
            dialer_nonce,
            listener_nonce: answer.nonce,
            prologue: self.prologue(lineage),
        };
        match credential {
            Credential::Member => {}
            Credential::Ticket { secret, .. } => {
                write(io, secret.verifier().proof(&binding).as_bytes()).await?;
            }
            Credential::Operator { secret } => {
                let mut proof = [0; OPERATOR_PROOF_BYTES];
                proof[..32].copy_from_slice(&secret.peer_key().0);
                proof[32..].copy_from_slice(&secret.sign(&binding.operator_message()));
                write(io, &proof).await?;
            }
        }
        let verdict: [u8; VERDICT_BYTES] = read(io).await?;
        let verdict = hello::decode_verdict(&verdict).map_err(ExchangeError::Malformed)?;
        if verdict == Err(Refusal::Superseded) {
            let bytes: [u8; SUCCESSION_BYTES] = read(io).await?;
            let statement = Succession::decode(&bytes);
            let statement = statement.ok_or(ExchangeError::Malformed(hello::Malformed))?;
            self.book().superseded.insert(listener, statement);
        }
        verdict.map_err(ExchangeError::RefusedByListener)
    }

    /// The listener's side: reads everything that the dialer sends, then decides and answers.
    ///
    /// A proof is always read before the verdict, so that timing does not reveal which tickets or operators exist,
    /// and so that no unread bytes make the kernel reset the connection before the verdict arrives.
    pub(crate) async fn admit<S>(
        &self,
        io: &mut S,
        dialer: PeerKey,
        purpose: Purpose,
    ) -> Result<(Claim, Lineage), ExchangeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let bytes: [u8; HELLO_BYTES] = read(io).await?;
        let listener_nonce = rand::random();
        let ours = Hello { kind: Kind::Member, nonce: listener_nonce, lineage: Lineage(0) }.encode();
        let hello = match Hello::decode(&bytes) {
            Ok(hello) => hello,
            Err(source) => {
                write(io, &ours).await?;
                write(io, &hello::encode_verdict(Err(Refusal::Malformed))).await?;
                return Err(ExchangeError::Malformed(source));
            }
        };
        write(io, &ours).await?;
        let shown = match hello.kind {
            Kind::Member => Shown::Key,
            Kind::Ticket(id) => {
                Shown::Ticket(id, blake3::Hash::from_bytes(read::<PROOF_BYTES, S>(io).await?))
            }
            Kind::Operator => Shown::Operator(read(io).await?),
        };
        let binding = LinkBinding {
            dialer,
            listener: self.local,
            dialer_nonce: hello.nonce,
            listener_nonce,
            prologue: self.prologue(hello.lineage),
        };
        let verdict = self.judge(&shown, &binding, hello.lineage, purpose);
        let mut answer =
            hello::encode_verdict(verdict.as_ref().map(|_| ()).map_err(|(refusal, _)| *refusal)).to_vec();
        if let Err((_, Some(statement))) = &verdict {
            answer.extend(statement);
        }
        write(io, &answer).await?;
        if verdict.is_ok() {
            self.admitted.fetch_add(1, Ordering::Relaxed);
        }
        match verdict {
            Ok(claim) => Ok((claim, hello.lineage)),
            Err((refusal, _)) => Err(ExchangeError::DialerRefused(refusal)),
        }
    }

    /// Returns the claim of the dialer, or the refusal with the statement that explains it.
    fn judge(
        &self,
        shown: &Shown,
        link: &LinkBinding,
        lineage: Lineage,
        purpose: Purpose,
    ) -> Result<Claim, (Refusal, Option<[u8; SUCCESSION_BYTES]>)> {
        let book = self.book();
        if lineage != book.lineage {
            let is_member = book.admission.members.contains_key(&link.dialer);
            let statement = book.admission.successions.get(&lineage);
            return Err(match statement {
                Some(statement) => (Refusal::Superseded, Some(statement.encode(is_member))),
                None => (Refusal::Lineage, None),
            });
        }
        let judged = self.judge_credential(&book, shown, link).and_then(|claim| match (purpose, claim) {
            (Purpose::Link, claim) => {
                let is_guest = !book.admission.members.contains_key(&link.dialer);
                book.room_for(&link.dialer, is_guest, self.links_max)?;
                book.not_crossing(&self.local, &link.dialer, Instant::now())?;
                Ok(claim)
            }
            // A host that has not joined runs no component.
            (Purpose::Stream, Claim::Ticket(_)) => Err(Refusal::Ticket),
            (Purpose::Stream, claim) => Ok(claim),
        });
        judged.map_err(|refusal| (refusal, None))
    }

    fn judge_credential(&self, book: &Book, shown: &Shown, link: &LinkBinding) -> Result<Claim, Refusal> {
        let member = book.admission.members.contains_key(&link.dialer);
        Ok(match shown {
            Shown::Key if member => Claim::Member,
            Shown::Key => return Err(Refusal::Stranger),
            Shown::Operator(proof) => {
                let (key, signature) = proof.split_at(32);
                let operator = key.try_into().map(PeerKey).map_err(|_| Refusal::Operator)?;
                // Signatures of keys that are no operators are not checked, so a stranger cannot cause curve
                // arithmetic.
                let known = book.admission.operators.contains(&operator);
                if !known || !key::verifies(&operator, &link.operator_message(), signature) {
                    return Err(Refusal::Operator);
                }
                Claim::Operator(operator)
            }
            // The dialer has joined and never received the answer. The roster lists it by now.
            Shown::Ticket(..) if member => Claim::Member,
            Shown::Ticket(id, proof) => {
                let verifier = book.admission.tickets.get(id).ok_or(Refusal::Ticket)?;
                // `blake3::Hash` compares in constant time.
                if verifier.proof(link) != *proof {
                    return Err(Refusal::Ticket);
                }
                Claim::Ticket(*id)
            }
        })
    }
}

/// The credential of a dialer: its key, which Noise has proved, or the proof of a ticket or of an operator.
enum Shown {
    Key,
    Ticket(TicketId, blake3::Hash),
    Operator([u8; OPERATOR_PROOF_BYTES]),
}

impl Book {
    fn new(lineage: Lineage) -> Self {
        Self {
            admission: Arc::default(),
            credentials: BTreeMap::new(),
            links: BTreeMap::new(),
            dialling: BTreeMap::new(),
            claims: BTreeMap::new(),
            lineage,
            superseded: BTreeMap::new(),
        }
    }

    fn room_for(&self, dialer: &PeerKey, guest: bool, links_max: usize) -> Result<(), Refusal> {
        let others = self.links.keys().filter(|peer| *peer != dialer).count();
        let guests = self.links.iter().filter(|(peer, note)| *peer != dialer && note.guest).count();
        if others >= links_max || (guest && guests >= GUESTS_MAX) {
            return Err(Refusal::Full);
        }
        Ok(())
    }

    /// Of two dials that cross, the dial of the smaller key wins: a listener with the smaller key refuses.
    ///
    /// An older link does not count: a peer that dials again has lost it, even if this node has not detected that.
    fn not_crossing(&self, local: &PeerKey, dialer: &PeerKey, now: Instant) -> Result<(), Refusal> {
        let young = |since: Instant| now.saturating_duration_since(since) < CROSSING_WINDOW;
        let dialling = self.dialling.get(dialer).is_some_and(|since| young(*since));
        let linked = self.links.get(dialer).is_some_and(|note| note.dialled_here && young(note.since));
        if local < dialer && (dialling || linked) { Err(Refusal::Crossed) } else { Ok(()) }
    }
}

async fn read<const N: usize, S: AsyncRead + Unpin>(io: &mut S) -> Result<[u8; N], ExchangeError> {
    let mut bytes = [0; N];
    io.read_exact(&mut bytes).await.map_err(ExchangeError::Broken)?;
    Ok(bytes)
}

async fn write<S: AsyncWrite + Unpin>(io: &mut S, bytes: &[u8]) -> Result<(), ExchangeError> {
    io.write_all(bytes).await.map_err(ExchangeError::Broken)?;
    io.flush().await.map_err(ExchangeError::Broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: PeerKey = PeerKey([1; 32]);
    const LARGE: PeerKey = PeerKey([2; 32]);

    #[test]
    fn of_two_crossing_dials_exactly_the_smaller_keys_one_stands() {
        let now = Instant::now();
        let dials = |peer| Book { dialling: BTreeMap::from([(peer, now)]), ..Book::new(Lineage(1)) };
        assert_eq!(dials(LARGE).not_crossing(&SMALL, &LARGE, now), Err(Refusal::Crossed));
        assert_eq!(dials(SMALL).not_crossing(&LARGE, &SMALL, now), Ok(()));
        assert_eq!(Book::new(Lineage(1)).not_crossing(&SMALL, &LARGE, now), Ok(()));
    }

    #[test]
    fn a_dial_that_came_too_late_to_cross_takes_the_place_of_the_old_link() {
        let now = Instant::now();
        let later = now + CROSSING_WINDOW;
        let linked = |dialled_here| {
            let note = LinkNote { dialled_here, since: now, guest: false };
            Book { links: BTreeMap::from([(LARGE, note)]), ..Book::new(Lineage(1)) }
        };
        assert_eq!(linked(true).not_crossing(&SMALL, &LARGE, now), Err(Refusal::Crossed));
        assert_eq!(linked(true).not_crossing(&SMALL, &LARGE, later), Ok(()));
        assert_eq!(linked(false).not_crossing(&SMALL, &LARGE, now), Ok(()), "it made that link itself");
        let stuck = Book { dialling: BTreeMap::from([(LARGE, now)]), ..Book::new(Lineage(1)) };
        assert_eq!(stuck.not_crossing(&SMALL, &LARGE, later), Ok(()), "our own dial hangs");
    }

    #[test]
    fn room_is_bounded_for_all_and_for_guests_but_a_reconnect_always_fits() {
        let now = Instant::now();
        let note = |guest| LinkNote { dialled_here: false, since: now, guest };
        let key = |place: usize| PeerKey([place as u8; 32]);
        let guests = Book {
            links: (0..GUESTS_MAX).map(|place| (key(place), note(true))).collect(),
            ..Book::new(Lineage(1))
        };
        let other = key(GUESTS_MAX);
        assert_eq!(guests.room_for(&other, true, 1000), Err(Refusal::Full));
        assert_eq!(guests.room_for(&other, false, 1000), Ok(()));
        assert_eq!(guests.room_for(&other, false, GUESTS_MAX), Err(Refusal::Full));
        assert_eq!(guests.room_for(&key(0), true, GUESTS_MAX), Ok(()));
    }
}
