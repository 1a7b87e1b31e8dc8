//! Real applications in real processes: started, killed, cut off from their providers, and taken down.
//!
//! Each test has a directory of its own and ends only processes that belong to it. Outcomes are asserted under a
//! generous watchdog, durations never (they are `rhizo-bench`'s). The programs are the ones built beside this
//! test: `cargo build --bins` in the same profile comes first, which `tests/run` does. Read next: `deployment`.

mod artifacts;
mod bench;
mod commands_under_faults;
mod consent;
mod contract;
mod crash_loop;
mod deployment;
mod early_ends;
mod embedding;
mod endings;
mod interrupt;
mod inventory;
mod journal;
mod lifecycles;
mod logs;
mod losses;
mod manners;
mod optimise;
mod ports;
mod power_cut;
mod quorum;
mod recover;
mod repair;
mod reports;
mod scripts;
mod secrets;
mod state;
mod teardown;
mod three_tier;
mod traffic;
mod traffic_changes;
mod up_down;
mod verify;
mod wrong_files;
