//! Execution of one action of a life-cycle until it succeeds, fails or is cancelled.
//!
//! Time-outs, repetitions and what follows are decided by `rhizo-protocol`. Read next: [`super::function`] for the
//! functions of an embedding binary, [`super::program`] for commands and scripts.

mod call;
mod http;
mod wait;
pub(crate) mod write;

use super::action_output::ActionOutput;
use super::instance_log::InstanceLog;
use super::launch::Launch;
use super::program::{self, Ended, Job};
use super::registry::Registry;
use super::template::Scope;
use rhizo_protocol::event::ActResult;
use rhizo_types::lifecycle::{Action, Values};
use rhizo_types::spec::{Component, Run};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// One action to execute.
pub(super) struct Act {
    /// Its number in the run.
    pub(super) number: u32,
    pub(super) action: Action,
    pub(super) component: Arc<Component>,
    pub(super) scope: Scope,
    pub(super) log: Arc<InstanceLog>,
    pub(super) registry: Arc<Registry>,
    pub(super) cancel: watch::Receiver<bool>,
}

/// Executes the action and returns its result.
pub(super) async fn execute(act: Act) -> ActResult {
    let ended = match &act.action {
        Action::Nothing => Ended::Done(Values::new()),
        Action::Start | Action::Stop => {
            Ended::Failed("starting and stopping are no actions of their own".to_owned())
        }
        Action::Command { argv, env } => command(&act, argv, env).await,
        Action::Script(verb) => script(&act, verb.text()).await,
        Action::Http { method, url, body } => {
            until_cancelled(&act, http::request(&act.scope, method, url, body)).await
        }
        Action::Function(name) => call::function(&act, name).await,
        Action::Write { to, content, mode } => {
            until_cancelled(&act, write::file(&act.scope, to, content, *mode)).await
        }
        Action::Wait { probe, every_ms } => match launch(&act) {
            Ok(launch) => {
                until_cancelled(&act, wait::until_healthy(&act.scope, &launch, probe, *every_ms)).await
            }
            Err(reason) => Ended::Failed(reason),
        },
    };
    match ended {
        Ended::Done(values) => ActResult::Done { exports: act.scope.exports, values },
        Ended::Failed(reason) => ActResult::Failed { reason },
        Ended::Cancelled => ActResult::Cancelled,
    }
}

/// Executes an action that ends by being dropped.
async fn until_cancelled(act: &Act, doing: impl Future<Output = Result<Values, String>>) -> Ended {
    let mut cancel = act.cancel.clone();
    tokio::select! {
        biased;
        () = super::raised(&mut cancel) => Ended::Cancelled,
        done = doing => match done {
            Ok(values) => Ended::Done(values),
            Err(reason) => Ended::Failed(reason),
        },
    }
}

async fn command(act: &Act, argv: &[String], env: &BTreeMap<String, String>) -> Ended {
    let argv = match act.scope.fill_all(argv) {
        Ok(argv) => argv,
        Err(reason) => return Ended::Failed(reason),
    };
    run(act, &argv, env).await
}

async fn script(act: &Act, verb: &str) -> Ended {
    let Run::Script { argv } = &act.component.run else {
        return Ended::Failed("the component has no script".to_owned());
    };
    match act.scope.fill_all(argv) {
        Ok(mut argv) => {
            argv.push(verb.to_owned());
            run(act, &argv, &BTreeMap::new()).await
        }
        Err(reason) => Ended::Failed(reason),
    }
}

async fn run(act: &Act, argv: &[String], own: &BTreeMap<String, String>) -> Ended {
    let mut launch = match launch(act) {
        Ok(launch) => launch,
        Err(reason) => return Ended::Failed(reason),
    };
    for (name, template) in own {
        match act.scope.fill(template) {
            Ok(value) => launch.set(name, value),
            Err(reason) => return Ended::Failed(reason),
        }
    }
    let job = Job { argv, launch: &launch, stop: &act.component.stop };
    let output = ActionOutput::new(act.log.clone(), act.scope.secrets.clone());
    program::run(job, output, &mut act.cancel.clone()).await
}

fn launch(act: &Act) -> Result<Launch, String> {
    Launch::new(&act.component, &act.scope, &format!("action-{}", act.number))
}
