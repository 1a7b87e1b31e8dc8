//! PsEPR: publish/subscribe brokers that place themselves over the regions of three clouds.
//!
//! The broker is in `router` and knows nothing of rhizo; this file gives it a listener and the addresses of
//! the other brokers, which change whenever rhizo moves or repairs one. `psepr client …` is a small client.

#![forbid(unsafe_code)]

mod client;
mod line;
mod router;
mod routes;

use rhizo::prelude::*;
use std::process::ExitCode;
use tokio::sync::watch;

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    if arguments.get(1).is_some_and(|word| word == "client") {
        return client::run(&arguments[2..]);
    }
    Rhizo::from_file("examples/psepr/rhizo.toml").component("broker", broker).run()
}

async fn broker(cx: Ctx) -> Result<(), BoxError> {
    let listener = cx.export("xmpp").listen().await?;
    let mut others = cx.import("peers")?;
    let (peers, followed) = watch::channel(others.addrs());
    cx.ready();
    let follow = async {
        loop {
            peers.send_replace(others.changed().await);
        }
    };
    tokio::select! {
        served = router::serve(listener, followed, cx.stopped()) => Ok(served?),
        () = follow => Ok(()),
    }
}
