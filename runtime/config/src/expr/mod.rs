//! The expression language of rules and utilities: a subset of CEL with units.
//!
//! `parse` makes a tree from text, `check` types it (`combine` decides how two types combine), `lower` turns a rule
//! about a whole group into a measure and a limit, `eval` computes, `explain` prints, and `place` maps an offset in a
//! text to its place in the file. Nothing here knows TOML tables or files.

pub(crate) mod attributes;
pub(crate) mod check;
mod combine;
pub(crate) mod eval;
pub(crate) mod explain;
pub(crate) mod lower;
pub(crate) mod parse;
pub(crate) mod place;
pub(crate) mod token;
pub(crate) mod types;

#[cfg(test)]
mod tests;
