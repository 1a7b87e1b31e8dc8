//! The command line's link into the overlay, over which any reachable member answers requests.
//!
//! The members named in an answer are stored in the home, so that the next command finds the application although the
//! earlier members are gone. The commands interpret the answers.

use super::exit::{Exit, Failure};
use crate::admin::{Answer, Ask, AskRecord, Status};
use crate::app_dir::{AppDir, Deployment};
use rhizo_overlay::{
    Class, Credential, DialError, LinkTarget, NodeSecret, Overlay, OverlayConfig, OverlayEvents, Refusal,
    RequestError, StreamDialer, StreamUse,
};
use rhizo_types::{Lineage, PeerKey};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::task::JoinSet;

/// Time-out of a request: a plan may use the solver's whole deadline.
const ANSWER_MS_MAX: u64 = 15_000;

/// Time after which the request also goes to the next member. On a link around the world an answer takes about as
/// long, so a healthy application receives a request once or twice.
const NEXT_MEMBER_MS: u64 = 300;

/// Number of members that are asked at the same time.
const ASKED_MAX: usize = 32;

/// Number of members that are tried for one request. Each try has found a member that answered just before, so a
/// third one is needed only when members end one after the other.
const TRIES_MAX: usize = 3;

/// A client of the overlay, with or without an open link.
pub(crate) struct Client {
    home: AppDir,
    overlay: Overlay,
    events: OverlayEvents,
    /// The operator's key pair, which proves to a member that its requests are allowed.
    operator: NodeSecret,
    peer: Option<PeerKey>,
    lineage: Lineage,
}

/// The reason why a request has no answer.
#[derive(Debug)]
pub(crate) enum ClientError {
    /// No known member could be reached.
    NobodyAnswers,
    /// A member is of a later lineage than the one that this home knows.
    Superseded,
    /// The request did not leave this process: no member has received it.
    NotSent(String),
    /// The link broke, or the answer could not be read. A member may have received the request.
    Broken(String),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::NobodyAnswers => {
                Failure::new(Exit::NoAnswer, "reach the application: no known node answers").hint(
                    "`up` starts it again after a power cut; `down` gives back what it left at its providers",
                )
            }
            ClientError::Superseded => {
                Failure::new(Exit::NoAnswer, "reach the application: an operator began a new lineage of it")
                    .hint("`recover --new-lineage` in the directory where that was begun continues it if it was interrupted")
            }
            ClientError::NotSent(reason) => Failure::new(Exit::NoAnswer, reason),
            ClientError::Broken(reason) => Failure::new(Exit::NoAnswer, reason)
                .hint("a member may have received the request; `status` shows whether it was carried out"),
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
        // Each command has a key of its own for its links. With the operator's key, two commands at the same time would
        // be one peer to a member, and the link of the second would replace that of the first.
        let own = NodeSecret::generate();
        let mut config = OverlayConfig::new(own, deployment.app.clone(), deployment.lineage, None);
        config.gossip = false;
        let bound = Overlay::bind(config).await;
        let (overlay, events) =
            bound.map_err(|error| Failure::new(Exit::Failed, crate::error::chain(&error)))?;
        let operator = NodeSecret::from_bytes(secret);
        Ok(Self { home: home.clone(), overlay, events, operator, peer: None, lineage: deployment.lineage })
    }

    /// The lineage of the application that it talks to.
    pub(crate) fn lineage(&self) -> Lineage {
        self.lineage
    }

    /// Sends a request to the member that answered last, or else to any other that can be reached.
    ///
    /// A member may end between its status and the request. A question is then sent to another one; an order only when
    /// no member has received it, because a second one might be carried out twice.
    pub(crate) async fn ask(&mut self, ask: &Ask) -> Result<Answer, ClientError> {
        let mut last = ClientError::NobodyAnswers;
        if let Some(peer) = self.peer.take() {
            match self.ask_one(peer, ask).await {
                Ok(answer) => {
                    self.peer = Some(peer);
                    return Ok(answer);
                }
                Err(error) if may_repeat(ask, &error) => last = error,
                Err(error) => return Err(error),
            }
        }
        for _ in 0..TRIES_MAX {
            let (peer, status) = match self.first_answering().await {
                Ok(found) => found,
                Err(ClientError::NobodyAnswers) => return Err(last),
                Err(error) => return Err(error),
            };
            self.remember(&status);
            if matches!(ask, Ask::Status) {
                self.peer = Some(peer);
                return Ok(status);
            }
            match self.ask_one(peer, ask).await {
                Ok(answer) => {
                    self.peer = Some(peer);
                    return Ok(answer);
                }
                Err(error) if may_repeat(ask, &error) => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
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
                Some(target) => {
                    let (overlay, operator) = (self.overlay.clone(), self.operator.clone());
                    drop(asked.spawn(link_and_ask(overlay, operator, target, Ask::Status)));
                }
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

    /// Asks each of these members, side by side. Returns their answers, in no particular order.
    pub(crate) async fn ask_each(
        &mut self,
        targets: Vec<LinkTarget>,
        ask: &Ask,
    ) -> Vec<(PeerKey, Result<Answer, ClientError>)> {
        let mut asked = JoinSet::new();
        let mut waiting = targets.into_iter();
        let mut answers = Vec::new();
        loop {
            while asked.len() < ASKED_MAX
                && let Some(target) = waiting.next()
            {
                let (overlay, operator) = (self.overlay.clone(), self.operator.clone());
                drop(asked.spawn(link_and_ask(overlay, operator, target, ask.clone())));
            }
            tokio::select! {
                biased;
                ended = asked.join_next() => match ended {
                    Some(Ok(answer)) => answers.push(answer),
                    Some(Err(panicked)) => std::panic::resume_unwind(panicked.into_panic()),
                    None => return answers,
                },
                event = self.events.recv() => if event.is_none() {
                    return answers;
                },
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

    /// Opens streams to nodes, and the credential with which they admit this operator.
    pub(crate) fn streams(&self) -> (StreamDialer, Credential) {
        (self.overlay.stream_dialer(), Credential::Operator { secret: self.operator.clone() })
    }

    /// Opens streams to nodes for the files of components, with the same credential.
    pub(crate) fn artifact_streams(&self) -> (StreamDialer, Credential) {
        let dialer = self.overlay.stream_dialer_for(StreamUse::Artifacts);
        (dialer, Credential::Operator { secret: self.operator.clone() })
    }

    /// Ends the link.
    pub(crate) async fn close(self) {
        self.overlay.close().await;
    }
}

/// Whether a request that failed may be sent to another member.
fn may_repeat(ask: &Ask, error: &ClientError) -> bool {
    let reads = match ask {
        Ask::Status
        | Ask::Events { .. }
        | Ask::Why { .. }
        | Ask::Facts { .. }
        | Ask::Logs { .. }
        | Ask::Standing => true,
        // A question for a plan, and an order that names the spec which it follows, may be repeated too.
        // `consent::plan_of` and `consent::apply` do so, and look between two attempts whether there is a quorum at
        // all.
        Ask::Plan { .. }
        | Ask::Apply { .. }
        | Ask::SetWeight { .. }
        | Ask::RunScript { .. }
        | Ask::EndScript
        | Ask::GiveUpData { .. }
        | Ask::TakeDown
        | Ask::Detach
        | Ask::Recover(_) => false,
    };
    match error {
        ClientError::NobodyAnswers | ClientError::Superseded | ClientError::NotSent(_) => true,
        ClientError::Broken(_) => reads,
    }
}

/// Links to a member and asks it.
async fn link_and_ask(
    overlay: Overlay,
    operator: NodeSecret,
    target: LinkTarget,
    ask: Ask,
) -> (PeerKey, Result<Answer, ClientError>) {
    let peer = target.key;
    let credential = Credential::Operator { secret: operator };
    if !overlay.linked().contains(&peer)
        && let Err(error) = overlay.dial(target, credential).await
    {
        let superseded = error == DialError::Refused(Refusal::Superseded);
        let error = if superseded { ClientError::Superseded } else { ClientError::NobodyAnswers };
        return (peer, Err(error));
    }
    (peer, request(&overlay, peer, &ask).await)
}

/// Sends one request to a linked member.
async fn request(overlay: &Overlay, peer: PeerKey, ask: &Ask) -> Result<Answer, ClientError> {
    let record = AskRecord::V1 { ask: ask.clone(), passed_on: false };
    let broken = |error: &dyn std::error::Error| ClientError::Broken(crate::error::chain(error));
    let body = serde_json::to_vec(&record).map_err(|error| broken(&error))?;
    let time = Duration::from_millis(ANSWER_MS_MAX);
    let body = overlay.request(peer, Class::Admin, body, time).await.map_err(|error| match error {
        RequestError::NotSent(_) | RequestError::TooMany => ClientError::NotSent(crate::error::chain(&error)),
        RequestError::LinkLost | RequestError::Declined | RequestError::TimedOut => broken(&error),
    })?;
    serde_json::from_slice(&body).map_err(|error| broken(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_a_member_may_have_received_is_not_sent_again() {
        let lost = ClientError::Broken("get an answer: the link was lost".to_owned());
        let unsent = ClientError::NotSent("send the request".to_owned());
        for order in [Ask::TakeDown, Ask::EndScript, Ask::Detach] {
            assert!(!may_repeat(&order, &lost), "{order:?}");
            assert!(may_repeat(&order, &unsent), "{order:?}");
        }
        assert!(may_repeat(&Ask::Status, &lost));
    }
}
