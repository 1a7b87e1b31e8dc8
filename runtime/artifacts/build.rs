//! Compiles the start program of bundles, `start/start.c`, to a static executable without a C library.
//!
//! On a machine for which the program is not written, or without a compiler that can do it, an empty file takes its
//! place, and `rhizo bundle` says that it needs a static runtime.

use std::path::PathBuf;
use std::{env, fs};

const SOURCE: &str = "start/start.c";

fn main() {
    println!("cargo:rerun-if-changed={SOURCE}");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("start");
    let known =
        ["x86_64", "aarch64"].contains(&env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default().as_str());
    let flags = [
        "-Os",
        "-static",
        "-nostdlib",
        "-ffreestanding",
        "-fno-stack-protector",
        "-fno-pie",
        "-no-pie",
        "-fno-builtin",
        "-Wl,--build-id=none",
        "-Wl,-s",
    ];
    let made = known && {
        let compiler = cc::Build::new().opt_level(1).warnings(false).get_compiler();
        let mut command = compiler.to_command();
        command.args(flags).arg("-o").arg(&out).arg(SOURCE);
        command.status().is_ok_and(|status| status.success())
    };
    if !made {
        fs::write(&out, []).expect("cargo's output folder can be written");
    }
}
