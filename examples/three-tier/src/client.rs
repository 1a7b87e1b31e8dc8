//! `three-tier client ADDRESS [PATH]`: asks for a page and prints it.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;

/// Sends one request and prints the answer's body.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let (address, path) = match arguments {
        [address] => (address, "/"),
        [address, path] => (address, path.as_str()),
        _ => {
            eprintln!("usage: three-tier client ADDRESS:PORT [PATH]");
            return ExitCode::from(2);
        }
    };
    match get(address, path) {
        Ok(answer) => {
            println!(
                "{}",
                answer.split_once("\r\n\r\n").map_or(answer.as_str(), |(_, body)| body.trim_end())
            );
            if answer.starts_with("HTTP/1.1 200") { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("error: failed to ask {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn get(address: &str, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
