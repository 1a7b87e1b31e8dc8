//! Carrying out one action of a life-cycle, whichever kind it is, until it is done, has failed or is cancelled.
//!
//! When to give up, to repeat or to go on is decided by `rhizo-protocol`. Read next: [`function`] for what an
//! embedding binary registers, [`super::program`] for commands and scripts.

pub mod function;
mod http;
mod wait;
pub(crate) mod write;

use super::action_output::ActionOutput;
use super::embedded::Registry;
use super::instance_log::InstanceLog;
use super::program::{self, Ended, Job};
use super::template::Scope;
use rhizo_protocol::event::ActResult;
use rhizo_types::lifecycle::{Action, Values};
use rhizo_types::spec::{Component, Run};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// One action about to be carried out.
pub(super) struct Act {
    pub(super) action: Action,
    pub(super) component: Arc<Component>,
    pub(super) scope: Scope,
    pub(super) log: Arc<InstanceLog>,
    pub(super) registry: Arc<Registry>,
    pub(super) cancel: watch::Receiver<bool>,
}

/// Carries it out.
pub(super) async fn carry_out(act: Act) -> ActResult {
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
        Action::Function(name) => function::call(&act, name).await,
        Action::Write { to, content, mode } => {
            until_cancelled(&act, write::file(&act.scope, to, content, *mode)).await
        }
        Action::Wait { probe, every_ms } => {
            until_cancelled(&act, wait::until_healthy(&act.scope, probe, *every_ms)).await
        }
    };
    match ended {
        Ended::Done(values) => ActResult::Done { exports: act.scope.exports, values },
        Ended::Failed(reason) => ActResult::Failed { reason },
        Ended::Cancelled => ActResult::Cancelled,
    }
}

/// For what ends by being dropped.
async fn until_cancelled(act: &Act, doing: impl Future<ActionOutput = Result<Values, String>>) -> Ended {
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
    let dir = &act.scope.dir;
    if let Err(error) = tokio::fs::create_dir_all(dir).await {
        return Ended::Failed(format!("its directory could not be made: {error}"));
    }
    let mut env = act.scope.environment();
    for (name, template) in act.component.env.iter().chain(own) {
        match act.scope.fill(template) {
            Ok(value) => env.insert(name.clone(), value),
            Err(reason) => return Ended::Failed(reason),
        };
    }
    let job = Job { argv, env, dir, stop: &act.component.stop };
    program::run(job, ActionOutput::new(act.log.clone()), &mut act.cancel.clone()).await
}
