//! The stock binary: for applications whose components are programs or scripts.
//!
//! It is the embedding API without closures; every command is in the library.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    rhizo::Rhizo::bare().run()
}
