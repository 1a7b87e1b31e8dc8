//! All integration tests of the solver in one binary, which links faster than one for each file.

mod buying;
mod choice;
mod common;
mod explain;
mod general;
mod large;
mod limits;
mod market;
mod minizinc;
mod ordering;
mod repair;
mod rules;
mod start;
mod versions;
