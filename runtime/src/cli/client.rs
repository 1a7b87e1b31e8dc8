//! The command line's link into the overlay, over which any reachable member answers requests.
//!
//! The members named in an answer are stored in the home, so that the next command finds the application although the
//! earlier members are gone. What an answer means is decided by the commands.

use super::exit::{Exit, Failure};
use crate::admin::{Answer, Ask, AskRecord, Status};
use crate::app_dir::{AppDir, Deployment};
use rhizo_overlay::{Class, Credential, LinkTarget, NodeSecret, Overlay, OverlayConfig, OverlayEvents};
use rhizo_types::PeerKey;
use std::time::Duration;

/// Time-out of a request: a plan may use the solver's whole deadline.
const ANSWER_MS_MAX: u64 = 15_000;

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
        let members = self.home.members().unwrap_or_default();
        for member in members {
            let Some(key) = member.peer_key() else { continue };
            if !self.overlay.linked().contains(&key) {
                let target = LinkTarget { key, addresses: member.addresses.clone() };
                if self.dial(target).await.is_err() {
                    continue;
                }
            }
            match self.ask_one(key, ask).await {
                Ok(answer) => {
                    self.peer = Some(key);
                    self.remember(&answer);
                    return Ok(answer);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
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

    async fn dial(&mut self, target: LinkTarget) -> Result<(), ()> {
        let dialling = self.overlay.dial(target, Credential::Operator);
        tokio::pin!(dialling);
        loop {
            tokio::select! {
                biased;
                dialled = &mut dialling => return dialled.map_err(drop),
                event = self.events.recv() => if event.is_none() {
                    return Err(());
                },
            }
        }
    }

    async fn ask_one(&mut self, peer: PeerKey, ask: &Ask) -> Result<Answer, ClientError> {
        let record = AskRecord::V1 { ask: ask.clone(), passed_on: false };
        let body = serde_json::to_vec(&record).map_err(|error| ClientError::Broken(error.to_string()))?;
        let asking = self.overlay.request(peer, Class::Admin, body, Duration::from_millis(ANSWER_MS_MAX));
        tokio::pin!(asking);
        let body = loop {
            tokio::select! {
                biased;
                answer = &mut asking => break answer.map_err(|error| ClientError::Broken(error.to_string()))?,
                event = self.events.recv() => if event.is_none() {
                    return Err(ClientError::NobodyAnswers);
                },
            }
        };
        serde_json::from_slice(&body).map_err(|error| ClientError::Broken(error.to_string()))
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
