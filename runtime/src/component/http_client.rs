//! The construction of the HTTP client that health probes and HTTP actions share.
//!
//! It sends nothing itself. Read next: [`super::probe`] and [`super::action`].

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};
use std::sync::Arc;

/// Redirects that an HTTP action follows; the number is that of `reqwest` and of most browsers' first limits.
const REDIRECTS_MAX: usize = 10;

/// A client for the instance's own exports: no proxy of the environment, no redirect, a new connection per request.
///
/// # Errors
/// The reason in words, when the client cannot be built.
pub(super) fn for_own_exports() -> Result<Client, String> {
    let builder = builder(false)?.no_proxy().redirect(Policy::none()).http1_only().pool_max_idle_per_host(0);
    built(builder)
}

/// A client for the URL of an action. An `https` URL loads the host's root certificates.
///
/// Redirects are followed. The environment's proxies are used unless `direct`.
///
/// # Errors
/// The reason in words, when the client cannot be built.
pub(super) fn for_action(encrypted: bool, direct: bool) -> Result<Client, String> {
    let builder = builder(encrypted)?.redirect(Policy::limited(REDIRECTS_MAX));
    built(if direct { builder.no_proxy() } else { builder })
}

/// The TLS provider is passed to the client instead of installed for the process, whose default provider belongs to
/// the embedding application.
fn builder(encrypted: bool) -> Result<ClientBuilder, String> {
    let mut roots = rustls::RootCertStore::empty();
    if encrypted {
        // A root certificate that cannot be parsed is left out, and so is not trusted.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("no HTTP client: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Client::builder().tls_backend_preconfigured(tls))
}

fn built(builder: ClientBuilder) -> Result<Client, String> {
    builder.build().map_err(|error| format!("no HTTP client: {}", crate::error::chain(&error)))
}
