//! One HTTP request as an action; it succeeds when the answer's status is 2xx.
//!
//! Redirects are followed. Proxies of the environment are used for other hosts than the application's own. Certificates
//! are checked against the roots of the host. The request has no time-out of its own: the one of the action's step
//! holds. Read next: [`super::super::http_client`].

use super::super::http_client;
use super::super::imports::SeenImport;
use super::super::template::Scope;
use reqwest::{Method, Url};
use rhizo_types::lifecycle::{OUTPUT_BYTES_MAX, Values};
use std::net::IpAddr;

/// Sends the request.
pub(super) async fn request(scope: &Scope, method: &str, url: &str, body: &str) -> Result<Values, String> {
    let (url, body) = (scope.fill(url)?, scope.fill(body)?);
    let called = format!("{method} {url}");
    let method =
        Method::from_bytes(method.as_bytes()).map_err(|_| format!("`{method}` is no HTTP method"))?;
    let target = Url::parse(&url).map_err(|error| format!("{called} has no valid URL: {error}"))?;
    let client = http_client::for_action(target.scheme() == "https", is_own(scope, &target))?;
    let sent = client.request(method, target).body(body).send().await;
    let mut answer =
        sent.map_err(|error| format!("{called} was not answered: {}", crate::error::chain(&error)))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(Values::new());
    }
    // The beginning of the body usually names the cause. A body that breaks off is reported as far as it came.
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

/// Whether the URL leads to an address of the application: a loopback address, this node's, an export's or an import's.
fn is_own(scope: &Scope, url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() else { return host == "localhost" };
    let imported = scope.imports.values().flat_map(SeenImport::addresses);
    let mut known = scope.exports.values().copied().chain(imported);
    address.is_loopback() || address == scope.node.address || known.any(|socket| socket.ip() == address)
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

    #[test]
    fn only_hosts_of_others_are_reached_through_a_proxy() {
        let mut scope = scope("/run".into());
        scope.node.address = "10.0.0.7".parse().expect("an address");
        scope.exports.insert("api".into(), "[fd00::1]:80".parse().expect("an address"));
        let own = ["http://127.0.0.1:1/x", "http://localhost/", "https://10.0.0.7/", "http://[fd00::1]:80/"];
        for url in own {
            assert!(is_own(&scope, &Url::parse(url).expect("a URL")), "{url}");
        }
        for url in ["http://10.0.0.8/", "https://example.org/", "http://localhost.example.org/"] {
            assert!(!is_own(&scope, &Url::parse(url).expect("a URL")), "{url}");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_a_failure_that_names_the_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        drop(listener);
        let done = request(&scope("/run".into()), "GET", &url, "").await;
        assert!(done.is_err_and(|reason| reason.starts_with(&format!("GET {url} was not answered"))));
    }
}
