//! The export to MiniZinc: the text of every rule and, where `minizinc` is installed, the answer of a solver.

use crate::common::*;
use crate::general::several_components;
use rhizo_solver::minizinc::{MinizincError, minizinc};
use rhizo_solver::*;
use std::process::Command;

/// The output of `minizinc` for a model; none when it is not installed.
fn ask(model: &str, seed: u64) -> Option<String> {
    let path = std::env::temp_dir().join(format!("rhizo-export-{}-{seed}.mzn", std::process::id()));
    std::fs::write(&path, model).ok()?;
    let output = Command::new("minizinc").args(["--solver", "gecode"]).arg(&path).output();
    std::fs::remove_file(&path).ok()?;
    let output = output.ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_solver_of_finite_domains_agrees_with_enumeration() {
    let is_installed = Command::new("minizinc").arg("--version").output().is_ok();
    let (mut written, mut agreed) = (0, 0);
    // Each call takes a good part of a second; RHIZO_DEEP runs more of them.
    let count = if std::env::var_os("RHIZO_DEEP").is_some() { 300 } else { 40 };
    for seed in 0..count {
        let problem = several_components(seed);
        let model = match minizinc(&problem) {
            Ok(model) => model,
            Err(MinizincError::Unknown { .. }) => continue,
            Err(error) => panic!("seed {seed}: {error}"),
        };
        written += 1;
        assert!(model.contains("solve maximize net;"), "seed {seed}");
        if !is_installed {
            continue;
        }
        let Some(answer) = ask(&model, seed) else { continue };
        match enumerate(&problem) {
            None => assert!(answer.contains("UNSATISFIABLE"), "seed {seed}: {answer}\n{model}"),
            Some((net, best)) => {
                let last = answer.lines().rev().find_map(|line| line.strip_prefix("net = "));
                let found = last.and_then(|n| n.trim_end_matches(';').parse::<f64>().ok());
                let found = found.unwrap_or_else(|| panic!("seed {seed}: {answer}")) / 1e6;
                assert!(
                    (found - net).abs() < 1e-4,
                    "seed {seed}: {found} is not {net} of {best:?}\n{answer}{model}"
                );
            }
        }
        agreed += 1;
    }
    assert!(written * 4 > count, "{written} of {count} problems can be written");
    assert!(!is_installed || agreed == written, "{agreed} of {written}");
}

#[test]
fn what_has_no_words_is_refused_by_name() {
    let mut problem = several_components(3);
    let mean = Cost { scope: Scope::All, measure: Measure::Average(0), per_unit: 1.0 };
    problem.costs = vec![Named::new("mean", mean)];
    problem.constraints.clear();
    problem.utilities.clear();
    let error = minizinc(&problem).unwrap_err();
    assert_eq!(error.to_string(), "write `mean`: a quotient of variables");
    problem.components[0].replicas_min = 3;
    problem.components[0].replicas_max = 2;
    assert!(matches!(minizinc(&problem), Err(MinizincError::Problem(_))));
}
