//! The requests that wait for an answer of the core: operators' orders, and nodes that want to join.
//!
//! It is a bounded table from the shell's number of a request to the receiver of its answer. It does not know the
//! content of the requests.

use crate::admin::Answer;
use rhizo_overlay::Reply;
use rhizo_protocol::codec;
use rhizo_protocol::turn::RequestId;
use rhizo_types::secret::SealingKey;
use rhizo_types::wire::JoinAnswer;
use std::collections::BTreeMap;
use tokio::sync::oneshot;

/// The most requests that wait. The core answers each within its own time limits. A few operators and the joining
/// nodes of one plan stay far below this number.
pub(in crate::node) const ASKED_MAX: usize = 256;

/// The receiver of an answer.
pub(in crate::node) enum Asker {
    /// An operator or a member, over a link.
    Link(Reply),
    /// The program that this node is embedded in.
    Local(oneshot::Sender<Answer>),
    /// A node that wants to join, over a link.
    Joiner(Reply),
}

impl Asker {
    /// Sends the answer. It is dropped if the asker is gone.
    pub(in crate::node) fn answer(self, answer: &Answer) {
        match self {
            Self::Link(link) | Self::Joiner(link) => reply(link, answer),
            Self::Local(sender) => {
                let _asker_gone = sender.send(answer.clone());
            }
        }
    }
}

/// Sends an answer over a link.
pub(in crate::node) fn reply(link: Reply, answer: &Answer) {
    match serde_json::to_vec(answer) {
        Ok(body) => {
            let _asker_gone = link.send(body);
        }
        Err(error) => tracing::error!(%error, "answer could not be encoded"),
    }
}

/// The requests that wait.
#[derive(Default)]
pub(in crate::node) struct Asked {
    last: u64,
    waiting: BTreeMap<RequestId, Asker>,
}

impl Asked {
    /// Numbers a request and keeps the receiver of its answer.
    ///
    /// # Errors
    /// When too many requests wait already. The asker is returned, so that the caller can refuse it.
    pub(in crate::node) fn wait(&mut self, asker: Asker) -> Result<RequestId, Asker> {
        if self.waiting.len() >= ASKED_MAX {
            return Err(asker);
        }
        self.last += 1;
        let request = RequestId(self.last);
        self.waiting.insert(request, asker);
        Ok(request)
    }

    /// Answers a request. Does nothing when the request does not wait.
    pub(in crate::node) fn answer(&mut self, request: RequestId, answer: &Answer) {
        if let Some(asker) = self.waiting.remove(&request) {
            asker.answer(answer);
        }
    }

    /// Answers a node that wants to join. A node that is accepted gets the key that opens the application's secrets.
    pub(in crate::node) fn answer_join(
        &mut self,
        request: RequestId,
        answer: &JoinAnswer,
        key: Option<&SealingKey>,
    ) {
        if let Some(Asker::Joiner(link)) = self.waiting.remove(&request) {
            let _joiner_gone = link.send(codec::encode_join_answer(answer, key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_types::Revision;

    #[test]
    fn a_request_over_the_limit_is_given_back_and_the_others_are_answered() {
        let mut asked = Asked::default();
        let mut answers = Vec::new();
        let mut requests = Vec::new();
        for _ in 0..ASKED_MAX {
            let (sender, answer) = oneshot::channel();
            answers.push(answer);
            requests.extend(asked.wait(Asker::Local(sender)).ok());
        }
        assert_eq!(requests.len(), ASKED_MAX);
        let (sender, _answer) = oneshot::channel();
        assert!(matches!(asked.wait(Asker::Local(sender)), Err(Asker::Local(_))));

        let done = Answer::Done { spec: Revision(3) };
        asked.answer(requests[0], &done);
        assert_eq!(answers[0].try_recv(), Ok(done));
        let (sender, _answer) = oneshot::channel();
        assert!(asked.wait(Asker::Local(sender)).is_ok(), "an answered request waits no more");
    }
}
