//! Load balancer, application, database: each in a file of its own that knows nothing of rhizo.
//!
//! This file gives them their listeners, their actions, and the addresses and values of each other, which change
//! whenever rhizo repairs or moves one. `rhizo.toml` has the order of the actions. Try
//! `cargo run --release -p three-tier -- up examples/three-tier/rhizo.toml --yes --wait`.

#![forbid(unsafe_code)]

mod app;
mod balancer;
mod client;
mod db;

use rhizo::prelude::*;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    if let [_, word, rest @ ..] = arguments.as_slice()
        && word == "client"
    {
        return client::run(rest);
    }
    Rhizo::from_file("examples/three-tier/rhizo.toml")
        .action("db", "prepare", prepare)
        .component("db", serve_data)
        .action("app", "warm", warm)
        .action("app", "migrate", migrate)
        .component("app", serve_pages)
        .component("lb", balance)
        .run()
}

/// Makes a new password for a new database; rhizo passes it to the components that import the database.
async fn prepare(cx: ActionCtx) -> Result<(), BoxError> {
    cx.put("password", db::new_password()?);
    Ok(())
}

async fn serve_data(cx: Ctx) -> Result<(), BoxError> {
    let listener = cx.export("sql").listen().await?;
    let password = cx.value("password").ok_or("no password was made")?.to_owned();
    cx.ready();
    tokio::select! {
        served = db::serve(listener, password) => Ok(served?),
        () = cx.stopped() => Ok(()),
    }
}

/// Writes the page's template, which all requests share.
async fn warm(cx: ActionCtx) -> Result<(), BoxError> {
    tokio::fs::create_dir_all(cx.dir()).await?;
    Ok(tokio::fs::write(cx.dir().join(app::TEMPLATE_FILE), app::TEMPLATE).await?)
}

/// Creates the table in the database if it does not exist. Runs again when the import is bound to another database.
async fn migrate(cx: ActionCtx) -> Result<(), BoxError> {
    let address = *cx.addrs("db").first().ok_or("no database is bound")?;
    let password = cx.imported("db", "password").ok_or("the database gave no password")?;
    Ok(db::Client::open(address, password).await?.make_table().await?)
}

async fn serve_pages(cx: Ctx) -> Result<(), BoxError> {
    let listener = cx.export("http").listen().await?;
    let template = tokio::fs::read_to_string(cx.dir().join(app::TEMPLATE_FILE)).await?;
    let page = app::Page { template, name: format!("{} on {}", cx.instance(), cx.node().id) };
    let import = cx.import("db")?;
    // Read for every request: since the last one the database may have moved and have a new password.
    let db = move || Some((*import.addrs().first()?, import.value("password")?));
    cx.ready();
    tokio::select! {
        served = app::serve(listener, page, db) => Ok(served?),
        () = cx.stopped() => Ok(()),
    }
}

async fn balance(cx: Ctx) -> Result<(), BoxError> {
    let listener = cx.export("http").listen().await?;
    let servers = cx.import("app")?;
    cx.ready();
    tokio::select! {
        served = balancer::serve(listener, move || servers.addrs()) => Ok(served?),
        () = cx.stopped() => Ok(()),
    }
}
