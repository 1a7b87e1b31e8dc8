//! The parts of a running application in this process: its node, the records of its home, and the way to ask.

use super::asking::{Asking, SILENT_MAX};
use crate::admin::{Answer, Ask};
use crate::cli::exit::{Exit, Failure};
use crate::cli::in_program::{InProgram, Operated, Wanted};
use crate::cli::{self, Embedding};
use crate::node::NodeHandle;
use crate::spec::Spec;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Time between two questions of a wait.
const LOOK: Duration = Duration::from_millis(200);

/// How the node of this process ended; none while it runs.
type End = watch::Receiver<Option<Result<(), Failure>>>;

/// A running application in this process.
pub(super) struct Running {
    asking: Asking,
    /// None without a node in this process.
    end: Option<End>,
    /// None in the process of a host.
    operated: Option<Arc<Operated>>,
    is_detached: Arc<AtomicBool>,
}

impl Running {
    /// The node of a host in this process.
    pub(super) fn host(embedding: &Embedding, host: &Path) -> Result<Self, Failure> {
        let mut node = cli::start_node(embedding, host, &tokio::runtime::Handle::current())?;
        let asking = Asking::Node(node.questions());
        let (ended, end) = watch::channel(None);
        tokio::spawn(async move {
            let terminated = cli::terminated();
            tokio::pin!(terminated);
            let result = tokio::select! {
                ended = node.ended() => ended,
                () = &mut terminated => {
                    node.stop();
                    node.ended().await
                }
            };
            let result =
                result.map(drop).map_err(|error| Failure::new(Exit::Failed, crate::error::chain(&error)));
            ended.send_replace(Some(result));
        });
        Ok(Self { asking, end: Some(end), operated: None, is_detached: Arc::default() })
    }

    /// The application in the user's process.
    pub(super) async fn program(started: InProgram) -> Result<Self, Failure> {
        let InProgram { operated, node, changed } = started;
        let operated = Arc::new(operated);
        let is_detached = Arc::<AtomicBool>::default();
        let (asking, end) = match node {
            Some(node) => {
                let asking = Asking::Node(node.questions());
                (asking, Some(follow(node, operated.clone(), is_detached.clone())))
            }
            None => (Asking::Members(Arc::new(operated.client().await?.into())), None),
        };
        let running = Self { asking, end, operated: Some(operated), is_detached };
        if let Some(wanted) = changed {
            running.put_in_force(&wanted).await?;
        }
        Ok(running)
    }

    pub(super) fn asking(&self) -> &Asking {
        &self.asking
    }

    pub(super) async fn apply(&self, spec: &Spec) -> Result<(), Failure> {
        let operated = self.operated.as_ref().ok_or_else(of_a_host)?;
        let wanted = operated.want(spec)?;
        self.put_in_force(&wanted).await
    }

    async fn put_in_force(&self, wanted: &Wanted) -> Result<(), Failure> {
        let operated = self.operated.as_ref().ok_or_else(of_a_host)?;
        operated.prepare(wanted).await?;
        self.asking.order(wanted.ask()).await?;
        operated.record(wanted).await
    }

    pub(super) async fn stop(&self) -> Result<(), Failure> {
        if let (None, Some(operated)) = (&self.end, &self.operated) {
            return operated.take_down().await;
        }
        // An order whose answer was lost may be refused the second time, because it has been carried out.
        while !self.has_ended() {
            match self.asking.ask(&Ask::TakeDown).await {
                Ok(Answer::Done { .. }) => break,
                Ok(Answer::Later) => tokio::time::sleep(LOOK).await,
                Ok(other) if !self.has_ended() => return Err(cli::refused(other)),
                Err(failure) if !self.has_ended() => return Err(failure),
                _ => break,
            }
        }
        self.ended().await
    }

    pub(super) async fn detach(&self) -> Result<(), Failure> {
        if self.end.is_none() || self.operated.is_none() {
            return Err(Failure::new(Exit::Failed, "detach: this process is not node 0"));
        }
        self.is_detached.store(true, Ordering::SeqCst);
        let detached = self.asking.order(Ask::Detach).await;
        if detached.is_err() && !self.has_ended() {
            self.is_detached.store(false, Ordering::SeqCst);
            return detached;
        }
        self.ended().await
    }

    fn has_ended(&self) -> bool {
        self.end.as_ref().is_some_and(|end| end.borrow().is_some())
    }

    pub(super) async fn ended(&self) -> Result<(), Failure> {
        let Some(end) = &self.end else { return self.silent().await };
        let mut end = end.clone();
        match end.wait_for(Option::is_some).await {
            Ok(ended) => ended.clone().unwrap_or(Ok(())),
            Err(_) => Err(Failure::new(Exit::Failed, "follow the node: its task was cancelled")),
        }
    }

    /// Waits until no member answers.
    async fn silent(&self) -> Result<(), Failure> {
        let mut answered = Instant::now();
        while answered.elapsed() < SILENT_MAX {
            if self.asking.ask(&Ask::Status).await.is_ok() {
                answered = Instant::now();
            } else if self.operated.as_ref().is_none_or(|operated| !operated.is_deployed()) {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}

fn of_a_host() -> Failure {
    Failure::new(Exit::Failed, "put a spec in force: this process is the node of a host")
        .hint("do it in the user's process: `Application::is_host` is false there")
}

/// Follows node 0 until it ends, and takes the last steps then.
fn follow(mut node: NodeHandle, operated: Arc<Operated>, is_detached: Arc<AtomicBool>) -> End {
    let (ended, end) = watch::channel(None);
    tokio::spawn(async move {
        let result = node.ended().await;
        let result = operated.finish(result, is_detached.load(Ordering::SeqCst)).await;
        ended.send_replace(Some(result));
    });
    end
}
