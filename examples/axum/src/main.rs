//! An existing axum service inside rhizo: the service stays as it is, and this file connects it.
//!
//! `web` gets its listener and the address of the store from rhizo, and stops when rhizo asks. A sensor reports the
//! requests per second of each node, so that a utility of `rhizo.toml` can use them. The service is in `service`, its
//! store in `store`; neither names rhizo.

#![forbid(unsafe_code)]

mod load;
mod service;
mod store;

use load::Load;
use rhizo::prelude::*;
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    // Components of one node share its process, so the sensor reads the counter that the service writes.
    let load = Arc::new(Load::new());
    let (counted, read) = (load.clone(), load);
    Rhizo::from_file("examples/axum/rhizo.toml")
        .component("store", store_component)
        .component("web", move |cx| web_component(cx, counted.clone()))
        .sensor("requests_per_s", move || {
            let load = read.clone();
            async move { Ok(load.per_second()) }
        })
        .run()
}

async fn store_component(cx: Ctx) -> Result<(), BoxError> {
    let listener = cx.export("lines").listen().await?;
    cx.ready();
    Ok(store::serve(listener, cx.stopped()).await?)
}

async fn web_component(cx: Ctx, load: Arc<Load>) -> Result<(), BoxError> {
    let listener = cx.export("http").listen().await?;
    // The import follows every re-binding, so each request goes to where the store is now.
    let import = cx.import("store");
    let find = Arc::new(move || {
        let import = import.clone();
        Box::pin(async move { import.addr().await }) as std::pin::Pin<Box<_>>
    });
    cx.ready();
    axum::serve(listener, service::router(find, load)).with_graceful_shutdown(cx.stopped()).await?;
    Ok(())
}
