//! One HTTP request as an action: done when the answer is 2xx.
//!
//! Proxies of the environment and redirects are followed as `reqwest` does it; certificates are checked against
//! the roots of the host. Patience is the time-out of the action's step.

use super::super::template::Scope;
use reqwest::{Client, Method};
use rhizo_types::lifecycle::{OUTPUT_BYTES_MAX, Values};
use std::sync::Arc;

/// Sends the request.
pub(super) async fn request(scope: &Scope, method: &str, url: &str, body: &str) -> Result<Values, String> {
    let (url, body) = (scope.fill(url)?, scope.fill(body)?);
    let called = format!("{method} {url}");
    let method =
        Method::from_bytes(method.as_bytes()).map_err(|_| format!("`{method}` is no HTTP method"))?;
    let client = client(url.starts_with("https:"))?;
    let sent = client.request(method, &url).body(body).send().await;
    let mut answer =
        sent.map_err(|error| format!("{called} came to nothing: {}", crate::error::chain(&error)))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(Values::new());
    }
    // The beginning says what is wrong; an answer that breaks off is no further trouble.
    let mut said = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        said.extend_from_slice(&chunk);
        if said.len() >= OUTPUT_BYTES_MAX {
            said.truncate(OUTPUT_BYTES_MAX);
            break;
        }
    }
    let text = String::from_utf8_lossy(&said);
    Err(match text.trim() {
        "" => format!("{called} answered {status}"),
        text => format!("{called} answered {status}: {text}"),
    })
}

/// The cryptography is chosen here and not for the whole process, which belongs to the embedding application.
fn client(encrypted: bool) -> Result<Client, String> {
    let wrong = |error: &dyn std::error::Error| format!("no HTTP client: {error}");
    let mut roots = rustls::RootCertStore::empty();
    if encrypted {
        // A root that cannot be read is one that is not trusted.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::builder().tls_backend_preconfigured(tls).build().map_err(|error| wrong(&error))
}

#[cfg(test)]
mod tests {
    use super::super::super::template::tests::scope;
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// Answers one request with this and gives what was asked.
    async fn server(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a request");
            let mut text = Vec::new();
            let mut buffer = [0; 4096];
            while !text.ends_with(b"s3cret") {
                let read = stream.read(&mut buffer).await.expect("bytes");
                assert!(read > 0, "the request broke off");
                text.extend_from_slice(&buffer[..read]);
            }
            stream.write_all(answer.as_bytes()).await.expect("an answer");
            String::from_utf8_lossy(&text).into_owned()
        });
        (url, asked)
    }

    #[tokio::test]
    async fn a_request_is_filled_in_and_2xx_is_done() {
        let (url, asked) = server("HTTP/1.1 204 No Content\r\n\r\n").await;
        let url = format!("{url}/register?who={{instance}}");
        let done = request(&scope("/run".into()), "POST", &url, "password={import.db.password}").await;
        assert_eq!(done, Ok(Values::new()));
        let asked = asked.await.expect("a server");
        assert!(asked.starts_with("POST /register?who=web.2 HTTP/1.1\r\n"), "{asked}");
        assert!(asked.ends_with("password=s3cret"), "{asked}");
    }

    #[tokio::test]
    async fn another_answer_is_a_failure_with_its_text() {
        let (url, _asked) = server("HTTP/1.1 409 Conflict\r\nContent-Length: 13\r\n\r\nalready there").await;
        let done = request(&scope("/run".into()), "PUT", &url, "{import.db.password}").await;
        assert_eq!(done, Err(format!("PUT {url} answered 409 Conflict: already there")));
    }

    #[tokio::test]
    async fn nobody_there_is_a_failure_that_names_the_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        drop(listener);
        let done = request(&scope("/run".into()), "GET", &url, "").await;
        assert!(done.is_err_and(|reason| reason.starts_with(&format!("GET {url} came to nothing"))));
    }
}
