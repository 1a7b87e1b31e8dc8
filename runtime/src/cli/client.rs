//! The command line's link into the overlay, over which any reachable member answers requests.
//!
//! The members named in an answer are stored in the home, so that the next command finds the application although the
//! earlier members are gone. What an answer means is decided by the commands.

use super::exit::{Exit, Failure};
use crate::admin::{Answer, Ask, AskRecord, Status};
use crate::app_dir::{AppDir, Deployment};
use rhizo_overlay::{Class, Credential, LinkTarget, NodeSecret, Overlay, OverlayConfig, OverlayEvents};
use rhizo_types::PeerKey;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::task::JoinSet;

/// Time-out of a request: a plan may use the solver's whole deadline.
const ANSWER_MS_MAX: u64 = 15_000;

/// Time after which the next member is asked as well. On a link around the world an answer takes about as long, so a
/// healthy application is asked once or twice.
const NEXT_MEMBER_MS: u64 = 300;

/// A client of the overlay, with or without an open link.
pub(crate) struct Client {
    home: AppDir,
    overlay: Overlay,
    events: OverlayEvents,
    peer: Option<PeerKey>,
}

/// Why a request has no answer.
#[derive(Debug)]
pub(crate) enum ClientError {
    /// No known member could be reached.
    NobodyAnswers,
    /// The link broke, or the answer could not be read.
    Broken(String),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::NobodyAnswers => {
                Failure::new(Exit::NoAnswer, "reach the application: no known node answers")
                    .hint("is it running? `down` gives back what it may have left at its providers")
            }
            ClientError::Broken(reason) => Failure::new(Exit::NoAnswer, format!("get an answer: {reason}")),
        }
    }
}

impl Client {
    /// Prepares to talk to the application of a home, with the operator's key.
    pub(crate) async fn new(
        home: &AppDir,
        deployment: &Deployment,
        secret: [u8; 32],
    ) -> Result<Self, Failure> {
        let secret = NodeSecret::from_bytes(secret);
        let mut config = OverlayConfig::new(secret, deployment.app.clone(), deployment.lineage, None);
        config.gossip = false;
        let bound = Overlay::bind(config).await;
        let (overlay, events) =
            bound.map_err(|error| Failure::new(Exit::Failed, crate::error::chain(&error)))?;
        Ok(Self { home: home.clone(), overlay, events, peer: None })
    }

    /// Sends a request to the member that answered last, or else to any other that can be reached.
    pub(crate) async fn ask(&mut self, ask: &Ask) -> Result<Answer, ClientError> {
        let mut last = ClientError::NobodyAnswers;
        if let Some(peer) = self.peer.take() {
            match self.ask_one(peer, ask).await {
                Ok(answer) => {
                    self.peer = Some(peer);
                    return Ok(answer);
                }
                Err(error) => last = error,
            }
        }
        let (peer, status) = match self.first_answering().await {
            Ok(found) => found,
            Err(ClientError::NobodyAnswers) => return Err(last),
            Err(error) => return Err(error),
        };
        self.remember(&status);
        let answer = if matches!(ask, Ask::Status) { status } else { self.ask_one(peer, ask).await? };
        self.peer = Some(peer);
        Ok(answer)
    }

    /// Finds a member that answers, and returns its status.
    ///
    /// The members are asked side by side, each a little later than the one before: one that hangs costs no more than
    /// that, and usually the first one is enough. Only the status is asked, because an order must reach one member.
    async fn first_answering(&mut self) -> Result<(PeerKey, Answer), ClientError> {
        let members = self.home.members().unwrap_or_default().into_iter();
        let mut waiting: VecDeque<LinkTarget> = members
            .filter_map(|member| Some(LinkTarget { key: member.peer_key()?, addresses: member.addresses }))
            .collect();
        let mut asked = JoinSet::new();
        let mut last = ClientError::NobodyAnswers;
        loop {
            match waiting.pop_front() {
                Some(target) => drop(asked.spawn(link_and_ask(self.overlay.clone(), target))),
                None if asked.is_empty() => return Err(last),
                None => {}
            }
            let next = tokio::time::sleep(Duration::from_millis(NEXT_MEMBER_MS));
            tokio::pin!(next);
            loop {
                tokio::select! {
                    biased;
                    Some(ended) = asked.join_next() => match ended {
                        Ok((peer, Ok(status))) => return Ok((peer, status)),
                        Ok((_, Err(error))) => {
                            last = error;
                            break;
                        }
                        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
                    },
                    () = &mut next, if !waiting.is_empty() => break,
                    event = self.events.recv() => if event.is_none() {
                        return Err(ClientError::NobodyAnswers);
                    },
                }
            }
        }
    }

    /// Requests the status of the application.
    pub(crate) async fn status(&mut self) -> Result<Status, ClientError> {
        let answer = self.ask(&Ask::Status).await?;
        self.remember(&answer);
        match answer {
            Answer::Status(status) => Ok(*status),
            other => Err(ClientError::Broken(format!("the answer is not a status: {other:?}"))),
        }
    }

    async fn ask_one(&mut self, peer: PeerKey, ask: &Ask) -> Result<Answer, ClientError> {
        let asking = request(&self.overlay, peer, ask);
        tokio::pin!(asking);
        loop {
            tokio::select! {
                biased;
                answer = &mut asking => return answer,
                event = self.events.recv() => if event.is_none() {
                    return Err(ClientError::NobodyAnswers);
                },
            }
        }
    }

    /// Stores the members that a status names. The command goes on when they cannot be stored.
    fn remember(&self, answer: &Answer) {
        if let Answer::Status(status) = answer {
            let members = super::members_of(status);
            if !members.is_empty()
                && let Err(error) = self.home.set_members(&members)
            {
                tracing::debug!(error = %crate::error::chain(&error), "members not noted");
            }
        }
    }

    /// Ends the link.
    pub(crate) async fn close(self) {
        self.overlay.close().await;
    }
}

/// Links to a member and asks for its status.
async fn link_and_ask(overlay: Overlay, target: LinkTarget) -> (PeerKey, Result<Answer, ClientError>) {
    let peer = target.key;
    if !overlay.linked().contains(&peer) && overlay.dial(target, Credential::Operator).await.is_err() {
        return (peer, Err(ClientError::NobodyAnswers));
    }
    (peer, request(&overlay, peer, &Ask::Status).await)
}

/// Sends one request to a linked member.
async fn request(overlay: &Overlay, peer: PeerKey, ask: &Ask) -> Result<Answer, ClientError> {
    let record = AskRecord::V1 { ask: ask.clone(), passed_on: false };
    let broken = |error: &dyn std::error::Error| ClientError::Broken(crate::error::chain(error));
    let body = serde_json::to_vec(&record).map_err(|error| broken(&error))?;
    let time = Duration::from_millis(ANSWER_MS_MAX);
    let body = overlay.request(peer, Class::Admin, body, time).await.map_err(|error| broken(&error))?;
    serde_json::from_slice(&body).map_err(|error| broken(&error))
}
