//! A posed problem: the solver's input, and the names of the things that its indices stand for.
//!
//! Plain data. It is made in [`crate::problem`] and `rules`.

use crate::hosts::Candidate;
use rhizo_solver::Problem;
use rhizo_types::ComponentName;
use std::collections::BTreeMap;

/// A problem, with the names of the things that its indices stand for.
#[derive(Debug)]
pub struct Posed {
    /// The solver's input.
    pub problem: Problem,
    /// For each machine, the host or offer.
    pub(crate) machines: Vec<Candidate>,
    /// For each component, its name.
    pub(crate) components: Vec<ComponentName>,
    /// For each resource of the problem that is a fixed port, its number.
    pub(crate) ports: BTreeMap<usize, u16>,
    /// The rule that refuses a machine to a component, with the reason, by component and machine.
    pub refusals: BTreeMap<(ComponentName, usize), Refusal>,
    /// Warnings for the operator, for example about unknown round-trip times.
    pub warnings: Vec<String>,
}

/// The reason why a machine cannot host a component.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The first rule that refuses it.
    pub rule: String,
    /// The values that the rule read.
    pub reason: String,
}
