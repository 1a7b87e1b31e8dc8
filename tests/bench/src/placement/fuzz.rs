//! Damaged input: every reader returns an error or a problem, and every problem gets an error or an answer.
//!
//! Small samples of each format are damaged byte by byte and part by part. No reader or engine may panic. Memory and
//! time must not grow with a number that is only written in the input. `catalogue.json` has every rule, measure and
//! term.

mod mutate;

use super::{btrplace, latency_file, prob090, roadef, sage};
use mutate::steps;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rhizo_solver::{
    EngineName, Options, Problem, SolveError, check, evaluate, minizinc, sentence, solve, validate,
};
use serde_json::{Value, json};

const ROADEF_MODEL: &str = "2\n1 10\n0 100\n3\n0 0 30 40 16 80 0 1 4\n1 0 40 10 20 10 1 0 3\n1 7 15 10 8 5 4 3 0\n2\n2 0\n1 1 0\n3\n\
     0 12 10 1000\n0 10 20 100\n1 6 8 1\n1\n0 1 20\n10\n1 10 100\n";
const ROADEF_ASSIGNMENT: &str = "0 1 0\n";
const LATENCIES: [&str; 2] = [",a,b,c\na,0,1.5,9\nb,1.5,0,2\nc,9,2,0\n", "0\t2\t3\n2\t0\t4\n3\t4\t0\n"];

fn catalogue() -> Value {
    serde_json::from_str(include_str!("fuzz/catalogue.json")).expect("the sample is JSON")
}

fn offers() -> Value {
    json!({
        "small": { "cpu": 2, "memory": 4000, "storage": 2000, "price": 12 },
        "large": { "cpu": 16, "memory": 64000, "storage": 8000, "price": 70 },
    })
}

/// Every kind of restriction.
fn application() -> Value {
    let component = |name: &str, cpu: u32| json!({ "name": name, "Compute": { "CPU": cpu, "Memory": 512 }, "Storage": { "StorageSize": 100 } });
    json!({
        "components": [component("a", 1), component("b", 2), component("c", 1), component("d", 1), component("e", 1)],
        "restrictions": [
            { "type": "Conflicts", "alphaCompId": 1, "compsIdList": [2] },
            { "type": "LowerBound", "compsIdList": [1], "bound": -1 },
            { "type": "EqualBound", "compsIdList": [2], "bound": 2 },
            { "type": "UpperBound", "compsIdList": [3, 4], "bound": 6 },
            { "type": "FullDeployment", "alphaCompId": 3 },
            { "type": "OneToOneDependency", "alphaCompId": 1, "betaCompId": 3 },
            { "type": "OneToManyDependency", "alphaCompId": 3, "betaCompId": 1, "number": 4 },
            { "type": "AlternativeComponents", "alphaCompId": 4, "betaCompId": 5 },
            { "type": "RequireProvideDependency", "alphaCompId": 1, "betaCompId": 4,
              "alphaCompIdInstances": 1, "betaCompIdInstances": 7 },
            { "type": "RequireProvideDependency", "alphaCompId": 1, "betaCompId": 2,
              "alphaCompIdInstances": 2, "betaCompIdInstances": 3 },
        ],
    })
}

/// Every kind of constraint.
fn instance() -> Value {
    json!({
        "model": {
            "mapping": {
                "readyVMs": ["3"],
                "onlineNodes": {
                    "0": { "runningVMs": ["0", "1"], "sleepingVMs": [] },
                    "1": { "runningVMs": ["2"], "sleepingVMs": [] },
                },
                "offlineNodes": ["2"],
            },
            "views": [{
                "id": "shareableResource", "rcId": "cpu", "defConsumption": 1, "defCapacity": 4,
                "nodes": { "0": 2, "1": 8 }, "vms": { "0": 2, "1": 2 },
            }],
        },
        "constraints": [
            { "id": "spread", "vms": ["0", "2"] },
            { "id": "among", "vms": ["0", "1"], "parts": [["0"], ["1", "2"]] },
            { "id": "preserve", "vm": "2", "rc": "cpu", "amount": 3 },
            { "id": "offline", "node": "2" },
            { "id": "online", "node": "1" },
            { "id": "running", "vm": "0" },
        ],
    })
}

/// Calls of `stop` in a search: enough for a first answer on such small samples, and few enough to try thousands of
/// problems.
const QUESTIONS_MAX: u32 = 4;

/// Solves with every engine until `stop` was called a few times, and checks that the result is consistent.
fn survives(problem: &Problem) {
    for named in &problem.constraints {
        let _ = validate(problem).is_ok().then(|| sentence(problem, named));
    }
    for engine in std::iter::once(None).chain(EngineName::ALL.map(Some)) {
        let mut questions = 0;
        let answer = solve(problem, &Options { seed: 1, engine }, &mut || {
            questions += 1;
            questions > QUESTIONS_MAX
        });
        match answer {
            Ok(plan) => {
                assert_eq!(check(problem, &plan.assignment), Vec::new());
                assert_eq!(evaluate(problem, &plan.assignment).net, plan.after.net);
                assert!(plan.after.net.is_finite(), "{engine:?} calls {} a worth", plan.after.net);
            }
            Err(SolveError::Problem(_)) => return,
            Err(SolveError::Rejected { engine, violations }) => panic!("{engine:?} breaks {violations:?}"),
            Err(_) => {}
        }
    }
    let _ = minizinc::minizinc(problem);
}

#[test]
fn the_samples_are_sound() {
    let problem: Problem = serde_json::from_value(catalogue()).expect("the catalogue is a problem");
    validate(&problem).expect("the catalogue makes sense");
    let answer = solve(&problem, &Options::default(), &mut || false);
    assert!(answer.is_ok(), "{answer:?}");
    roadef::parse(ROADEF_MODEL, ROADEF_ASSIGNMENT).expect("the model is whole");
    for text in LATENCIES {
        latency_file::parse(text).expect("the matrix is whole");
    }
    sage::problem(&application(), &offers(), 3).expect("the application is whole");
    prob090::problem(&offers(), 3).expect("the offers are whole");
    btrplace::problem(&instance()).expect("the instance is whole");
}

#[test]
fn what_is_left_after_damage_is_worth_solving() {
    let mut runner = TestRunner::deterministic();
    let mut sound = 0;
    for _ in 0..1_000 {
        let steps = steps().new_tree(&mut runner).expect("steps can always be drawn").current();
        let read = serde_json::from_value::<Problem>(mutate::value(&catalogue(), &steps));
        sound += u32::from(read.is_ok_and(|problem| validate(&problem).is_ok()));
    }
    assert!((30..900).contains(&sound), "{sound} of 1,000 make sense");
}

proptest! {
    // `PROPTEST_CASES=30000` for a long run; a failure prints the steps that reproduce it.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn spoilt_problems(steps in steps()) {
        if let Ok(problem) = serde_json::from_value::<Problem>(mutate::value(&catalogue(), &steps)) {
            survives(&problem);
        }
    }

    #[test]
    fn spoilt_texts_of_problems(steps in steps()) {
        if let Ok(problem) = serde_json::from_str::<Problem>(&mutate::text(&catalogue().to_string(), &steps)) {
            survives(&problem);
        }
    }

    #[test]
    fn spoilt_models_of_roadef(model in steps(), assignment in steps(), both in any::<bool>()) {
        let assignment = if both { mutate::text(ROADEF_ASSIGNMENT, &assignment) } else { ROADEF_ASSIGNMENT.into() };
        if let Ok(instance) = roadef::parse(&mutate::text(ROADEF_MODEL, &model), &assignment) {
            survives(&instance.problem);
        }
    }

    #[test]
    fn spoilt_latencies(steps in steps(), which in 0..2usize) {
        if let Ok(file) = latency_file::parse(&mutate::text(LATENCIES[which], &steps)) {
            prop_assert!(file.rows.iter().flatten().all(|ms| ms.is_finite() && *ms >= 0.0));
            prop_assert!(file.rows.iter().all(|row| row.len() == file.names.len()));
        }
    }

    #[test]
    fn spoilt_applications(application_steps in steps(), offer_steps in steps(), instances in any::<u32>()) {
        let offers = mutate::value(&offers(), &offer_steps);
        let instances = if instances.is_multiple_of(2) { 3 } else { instances };
        for problem in [
            sage::problem(&mutate::value(&application(), &application_steps), &self::offers(), 3),
            sage::problem(&application(), &offers, instances),
            prob090::problem(&offers, instances),
        ].into_iter().flatten() {
            survives(&problem);
        }
    }

    #[test]
    fn spoilt_instances_of_btrplace(steps in steps()) {
        if let Ok(problem) = btrplace::problem(&mutate::value(&instance(), &steps)) {
            survives(&problem);
            btrplace::moves_min(&problem);
        }
    }
}
