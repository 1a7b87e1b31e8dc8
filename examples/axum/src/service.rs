//! The link shortener as it was before rhizo: an axum router over a store. It knows nothing of rhizo.
//!
//! `POST /` with a URL as its body answers with a code, and `GET /CODE` redirects to the URL. The service finds the
//! store through a function, because the address of the store may change while the service runs.

use crate::load::Load;
use crate::store;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

/// Finds the current address of the store.
pub(crate) type FindStore = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = SocketAddr> + Send>> + Send + Sync>;

/// The routes of the service; every request is counted in `load`.
pub(crate) fn router(store: FindStore, load: Arc<Load>) -> Router {
    Router::new()
        .route("/", post(shorten))
        .route("/{code}", get(follow))
        .with_state(store)
        .layer(middleware::from_fn(move |request: Request, next: Next| {
            load.count();
            next.run(request)
        }))
        // Health checks are not load.
        .route("/healthz", get(|| async { "ok" }))
}

async fn shorten(State(store): State<FindStore>, url: String) -> Response {
    let url = url.trim();
    if !(url.starts_with("http://") || url.starts_with("https://")) {
        return (StatusCode::BAD_REQUEST, "send a URL as the body\n").into_response();
    }
    match store::request(store().await, "put", url).await {
        Ok(Some(code)) => (StatusCode::CREATED, format!("/{code}\n")).into_response(),
        Ok(None) => (StatusCode::INSUFFICIENT_STORAGE, "the store refuses the link\n").into_response(),
        Err(error) => unavailable(&error),
    }
}

async fn follow(State(store): State<FindStore>, Path(code): Path<String>) -> Response {
    match store::request(store().await, "get", &code).await {
        Ok(Some(url)) => Redirect::temporary(&url).into_response(),
        Ok(None) => (StatusCode::NOT_FOUND, "there is no such link\n").into_response(),
        Err(error) => unavailable(&error),
    }
}

fn unavailable(error: &std::io::Error) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("the store cannot be reached: {error}\n")).into_response()
}
