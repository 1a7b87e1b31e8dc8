//! The operator's page of the service: the state of the application, its events, and the weights of its utilities.
//!
//! It runs in the user's process only, and asks rhizo through the handle. Bind it to a loopback address: it has no
//! login.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use rhizo::Handle;

/// The most events that one answer has.
const EVENTS_MAX: usize = 20;

/// How long an answer waits for further events.
const WAIT: std::time::Duration = std::time::Duration::from_millis(500);

pub(crate) fn router(handle: Handle) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/events", get(events))
        .route("/weights/{utility}", post(set_weight))
        .with_state(handle)
}

async fn status(State(handle): State<Handle>) -> impl IntoResponse {
    handle.status().await.map(Json).map_err(refused)
}

async fn events(State(handle): State<Handle>) -> String {
    let mut events = handle.events();
    let mut text = String::new();
    for _ in 0..EVENTS_MAX {
        let Ok(Some(event)) = tokio::time::timeout(WAIT, events.next()).await else { break };
        text += &format!("{} {}\n", event.node, event.text);
    }
    text
}

async fn set_weight(
    State(handle): State<Handle>,
    Path(utility): Path<String>,
    weight: String,
) -> impl IntoResponse {
    let weight =
        weight.trim().parse().map_err(|_| (StatusCode::BAD_REQUEST, "send a number\n".to_owned()))?;
    handle.set_weight(&utility, weight).await.map_err(refused)
}

fn refused(error: rhizo::Error) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, format!("{error}\n{}\n", error.hint().unwrap_or_default()))
}
