//! All integration tests of the solver in one binary, which links faster than one for each file.

mod buying;
mod common;
mod decomposition;
mod diagnosis;
mod explain;
mod general;
mod limits;
mod minizinc;
mod ordering;
mod reassignment;
mod repair;
mod rules;
mod single_component;
mod start;
mod versions;
