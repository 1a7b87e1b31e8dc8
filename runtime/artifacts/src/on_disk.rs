//! Steps that block on the disk, carried out on a thread for blocking calls.

use crate::share::Exchange;

/// Runs a step of an exchange on a thread for blocking calls.
pub(crate) async fn on_disk<T: Send + 'static>(
    exchange: &Exchange,
    step: impl FnOnce(&Exchange) -> T + Send + 'static,
) -> T {
    let exchange = exchange.clone();
    match tokio::task::spawn_blocking(move || step(&exchange)).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime shuts down, and drops this task with all others.
            Err(_cancelled) => std::future::pending().await,
        },
    }
}
