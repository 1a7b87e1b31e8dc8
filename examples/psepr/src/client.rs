//! A small client of the broker, for experiments: `psepr client ADDRESS sub|pub|ping …`.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

const USAGE: &str = "usage: psepr client ADDRESS sub TOPIC… | pub TOPIC TEXT | ping";

/// Runs the client with what follows `client` on the command line. Exit code 2 for wrong arguments, 1 for failure.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let Some((address, requests, stays)) = requests(arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(converse(address, &requests, stays))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed to talk to the broker at {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns the broker's address, the lines to send, and whether the client stays connected for messages.
fn requests(arguments: &[String]) -> Option<(SocketAddr, Vec<String>, bool)> {
    let (address, rest) = arguments.split_first()?;
    let address = address.parse().ok()?;
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    match rest.as_slice() {
        ["sub", topics @ ..] if !topics.is_empty() => {
            Some((address, topics.iter().map(|topic| format!("SUB {topic}\n")).collect(), true))
        }
        ["pub", topic, words @ ..] if !words.is_empty() => {
            Some((address, vec![format!("PUB {topic} {}\n", words.join(" ").replace('\n', " "))], false))
        }
        ["ping"] => Some((address, vec!["PING\n".to_owned()], false)),
        _ => None,
    }
}

async fn converse(address: SocketAddr, requests: &[String], stays: bool) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let (reader, mut writer) = stream.split();
    let mut lines = BufReader::new(reader).lines();
    for request in requests {
        writer.write_all(request.as_bytes()).await?;
    }
    let mut answered = 0;
    while stays || answered < requests.len() {
        let Some(line) = lines.next_line().await? else {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the broker closed the connection"));
        };
        if let Some(reason) = line.strip_prefix("ERR ") {
            return Err(io::Error::other(reason.to_owned()));
        }
        println!("{line}");
        answered += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn arguments_become_lines_of_the_protocol() {
        let (_, lines, stays) = requests(&words("127.0.0.1:1 pub a two words")).expect("good arguments");
        assert!(!stays && lines == ["PUB a two words\n"]);
        let (_, lines, stays) = requests(&words("127.0.0.1:1 sub a b")).expect("good arguments");
        assert!(stays && lines == ["SUB a\n", "SUB b\n"]);
    }

    #[test]
    fn wrong_arguments_are_refused() {
        for line in ["", "127.0.0.1:1", "nowhere ping", "127.0.0.1:1 sub", "127.0.0.1:1 pub a"] {
            assert!(requests(&words(line)).is_none(), "{line}");
        }
    }
}
