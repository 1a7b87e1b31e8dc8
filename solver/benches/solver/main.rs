//! The speed of the engines on problems of fixed seeds: `cargo bench -p rhizo-solver [-- NAME]`.
//!
//! Every run does the same work: it ends with a proof or after a fixed number of calls of `stop`. `rhizo-bench`
//! measures the values that the engines reach in a given time, on public problems. Read next: `problems.rs`.

mod problems;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rhizo_solver::{EngineName, Options, Plan, Problem, check, evaluate, solve};
use std::hint::black_box;
use std::time::Duration;

/// Solves with one engine until it has a proof or has called `stop` a number of times.
fn run(problem: &Problem, engine: EngineName, questions_max: u32) -> Plan {
    let mut questions = 0;
    let options = Options { seed: 1, engine: Some(engine) };
    let answer = solve(problem, &options, &mut || {
        questions += 1;
        questions > questions_max
    });
    answer.unwrap_or_else(|error| panic!("the problems of the benches have answers: {error}"))
}

/// Problems that are proven: measures the time to the proof.
fn proofs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("proof");
    let cases = [
        ("single component, 69 regions", EngineName::SingleComponent, problems::brokers()),
        ("configurations, 40 offers", EngineName::Configurations, problems::shop()),
        ("decomposition, 12 components", EngineName::Decomposition, problems::applications(12)),
    ];
    for (name, engine, problem) in &cases {
        assert!(run(problem, *engine, u32::MAX).proven, "{name} is proven");
        group.bench_function(*name, |bencher| bencher.iter(|| run(black_box(problem), *engine, u32::MAX)));
    }
    group.finish();
}

/// Problems without a proof: measures judged moves and candidates per second, model and first answer included.
fn searches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("search");
    let cases = [
        ("reassignment, 5,000 on 100", EngineName::Reassignment, problems::cluster(), 200),
        ("local, 69 regions", EngineName::Local, problems::brokers(), u32::MAX),
        ("decomposition, 300 components", EngineName::Decomposition, problems::applications(300), 200),
    ];
    for (name, engine, problem, questions) in &cases {
        let evaluated = run(problem, *engine, *questions).evaluated;
        group.throughput(Throughput::Elements(evaluated));
        group.bench_function(*name, |bencher| bencher.iter(|| run(black_box(problem), *engine, *questions)));
    }
    group.finish();
}

/// The judges that every answer passes.
fn judges(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("judge");
    let problem = problems::cluster();
    let plan = run(&problem, EngineName::Reassignment, 1);
    let instances = plan.assignment.iter().count() as u64;
    group.throughput(Throughput::Elements(instances));
    group.bench_function(BenchmarkId::new("check", instances), |bencher| {
        bencher.iter(|| check(black_box(&problem), &plan.assignment))
    });
    group.bench_function(BenchmarkId::new("evaluate", instances), |bencher| {
        bencher.iter(|| evaluate(black_box(&problem), &plan.assignment))
    });
    group.finish();
}

fn short() -> Criterion {
    // Ten samples in three seconds each: enough to see a change of a tenth, and all of it in a minute.
    let time = Duration::from_secs(3);
    Criterion::default().sample_size(10).measurement_time(time).warm_up_time(Duration::from_millis(500))
}

criterion_group! { name = benches; config = short(); targets = proofs, searches, judges }
criterion_main!(benches);
