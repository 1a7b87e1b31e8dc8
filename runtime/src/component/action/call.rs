//! An action that calls a function of the embedding binary.
//!
//! Registration and the function's context are in [`super::super::function`].

use super::super::function::ActionCtx;
use super::super::program::Ended;
use super::super::raised;
use super::Act;
use rhizo_types::lifecycle::Values;
use std::sync::{Arc, Mutex, PoisonError};

/// Calls the function that the embedding binary registered.
pub(super) async fn function(act: &Act, name: &str) -> Ended {
    let component = &act.scope.instance.component;
    let Some(function) = act.registry.function(component, name) else {
        return Ended::Failed(format!("this binary has no function `{name}` for component `{component}`"));
    };
    let put = Arc::new(Mutex::new(Values::new()));
    let ctx = ActionCtx::new(act.scope.clone(), put.clone());
    // A task of its own, so that a panic is a failure of the action and of nothing else.
    let mut running = tokio::spawn(function(ctx));
    let mut cancel = act.cancel.clone();
    let ended = tokio::select! {
        biased;
        () = raised(&mut cancel) => None,
        ended = &mut running => Some(ended),
    };
    match ended {
        None => {
            running.abort();
            let _cancelled = running.await;
            Ended::Cancelled
        }
        Some(Ok(Ok(()))) => {
            Ended::Done(std::mem::take(&mut *put.lock().unwrap_or_else(PoisonError::into_inner)))
        }
        Some(Ok(Err(error))) => Ended::Failed(format!("`{name}` failed: {error}")),
        Some(Err(panic)) => Ended::Failed(format!("`{name}` panicked: {panic}")),
    }
}
