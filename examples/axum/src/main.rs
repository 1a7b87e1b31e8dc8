//! An existing axum service that embeds rhizo: its `main`, its runtime and its routes stay as they are.
//!
//! `main` builds the application first, because the hosts of the application run this same program. In the user's
//! process it then serves an operator's page beside the application (`operator`). `web` gets its listener and the
//! address of the store from rhizo, and stops when rhizo asks. A sensor reports the requests per second of each node,
//! so that a utility of `rhizo.toml` can use them. The service is in `service`, its store in `store`; neither names
//! rhizo.

#![forbid(unsafe_code)]

mod load;
mod operator;
mod service;
mod store;

use load::Load;
use rhizo::prelude::*;
use std::error::Error;
use std::sync::Arc;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let application = application().build()?;
    if application.is_host() {
        return Ok(application.start().await?.ended().await?);
    }
    let listener = TcpListener::bind(std::env::args().nth(2).as_deref().unwrap_or("127.0.0.1:3000")).await?;
    println!("operator's page at http://{}", listener.local_addr()?);
    let handle = application.start().await?;
    let pages = axum::serve(listener, operator::router(handle.clone()));
    tokio::select! {
        served = pages.into_future() => served?,
        ended = handle.ended() => return Ok(ended?),
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    println!("taking the application down");
    Ok(handle.stop().await?)
}

/// The application: the config that the first argument names, and the code of its components.
fn application() -> Rhizo {
    // Components of one node share its process, so the sensor reads the counter that the service writes.
    let load = Arc::new(Load::new());
    let (counted, read) = (load.clone(), load);
    let config = std::env::args().nth(1).unwrap_or_else(|| "examples/axum/rhizo.toml".to_owned());
    Rhizo::from_file(config)
        .component("store", store_component)
        .component("web", move |cx| web_component(cx, counted.clone()))
        .sensor("requests_per_s", move || {
            let load = read.clone();
            async move { Ok(load.per_second()) }
        })
}

async fn store_component(cx: Ctx) -> Result<(), BoxError> {
    let listener = cx.export("lines").listen().await?;
    cx.ready();
    Ok(store::serve(listener, cx.stopped()).await?)
}

async fn web_component(cx: Ctx, load: Arc<Load>) -> Result<(), BoxError> {
    let listener = cx.export("http").listen().await?;
    // The import follows every re-binding, so each request goes to where the store is now.
    let import = cx.import("store")?;
    let find = Arc::new(move || {
        let import = import.clone();
        Box::pin(async move { import.addr().await }) as std::pin::Pin<Box<_>>
    });
    cx.ready();
    axum::serve(listener, service::router(find, load)).with_graceful_shutdown(cx.stopped()).await?;
    Ok(())
}
