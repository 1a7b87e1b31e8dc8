//! `solve` and `export`: the solver by itself, on a problem in a file.
//!
//! They read a problem, run the solver and print its answer. A problem is the JSON of [`rhizo_solver::Problem`];
//! `export` also takes a config and makes the problem from the providers' catalogues, as `plan` does.

use super::exit::{Exit, Failure};
use super::offline::Offline;
use super::{Session, refused_problem};
use crate::config;
use clap::Args;
use rhizo_solver::explain::{WhyNot, cheapest_relaxation, reweighted, why_here, why_not};
use rhizo_solver::{
    EngineName, Options, Plan, Problem, SolveError, UnknownEngine, minizinc, repair, sentence,
};
use rhizo_solver_threads::{Time, solve_within};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Most bytes of a problem; a million instances take less.
const BYTES_MAX: u64 = 1 << 30;
/// The most machines that are tried to explain the place of an instance.
const MACHINES_TRIED_MAX: usize = 10_000;

#[derive(Args, Debug)]
pub(crate) struct Solve {
    /// The problem, as JSON.
    problem: PathBuf,
    /// Stop after so long: `500ms`, `10s`, `2m`.
    #[arg(long, default_value = "10s", value_parser = duration)]
    deadline: Duration,
    /// Seeds every random choice.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of threads: with one, the same seed gives the same plan; large problems gain from two.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    threads: u8,
    /// Use the whole time, even if no better plan has been found for long: thousands of instances gain from it.
    #[arg(long)]
    use_all: bool,
    /// Only repair broken rules and lost instances, and leave all other instances where they run.
    #[arg(long, conflicts_with_all = ["engine", "use_all"])]
    repair: bool,
    /// Only this engine: single_component, exhaustive, configurations, decomposition, reassignment, local.
    #[arg(long, value_parser = engine)]
    engine: Option<EngineName>,
    /// Explain where an instance runs (`web.0`), or why a component does not run on a machine (`web@m5.large`).
    #[arg(long)]
    why: Vec<String>,
    /// Solve with another weight of a utility: `load=2`.
    #[arg(long, value_parser = weight)]
    weight: Vec<(String, f64)>,
}

#[derive(Args, Debug)]
pub(crate) struct Export {
    /// A problem as JSON, or a config.
    file: PathBuf,
    /// As a MiniZinc model with its data, on the standard output.
    #[arg(long, required = true)]
    minizinc: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().map_err(|_| format!("{text} is no duration like 500ms, 10s or 2m"))?;
    let seconds = match unit {
        "ms" => number / 1e3,
        "s" | "" => number,
        "m" => number * 60.0,
        _ => return Err(format!("{unit} is none of ms, s, m")),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| format!("{text} is no duration"))
}

fn engine(name: &str) -> Result<EngineName, String> {
    name.parse().map_err(|error: UnknownEngine| error.to_string())
}

fn weight(text: &str) -> Result<(String, f64), String> {
    let (name, weight) = text.split_once('=').ok_or("give NAME=WEIGHT")?;
    let weight: f64 = weight.parse().map_err(|_| format!("{weight} is no number"))?;
    if weight.is_finite() && weight >= 0.0 {
        Ok((name.into(), weight))
    } else {
        Err("a weight is not negative".into())
    }
}

pub(crate) fn solve(session: &Session, arguments: &Solve) -> Result<Exit, Failure> {
    let mut problem = read(&arguments.problem)?;
    if !arguments.weight.is_empty() {
        let weights: Vec<(&str, f64)> = arguments.weight.iter().map(|(n, w)| (n.as_str(), *w)).collect();
        let (other, unknown) = reweighted(&problem, &weights);
        if let Some(name) = unknown.first() {
            return Err(Failure::new(Exit::BadConfig, format!("find a utility named {name}")));
        }
        problem = other;
    }
    let start = Instant::now();
    let options = Options { seed: arguments.seed, engine: arguments.engine };
    let time =
        Time { limit: arguments.deadline, use_all: arguments.use_all, threads: arguments.threads.into() };
    let answer = if arguments.repair {
        repair(&problem, arguments.seed, &mut || start.elapsed() >= arguments.deadline)
    } else {
        solve_within(&problem, &options, time)
    };
    let seconds = start.elapsed().as_secs_f64();
    // The explanation has the same time once more.
    let deadline = Instant::now() + arguments.deadline;
    let mut stop = || Instant::now() >= deadline;
    match answer {
        Ok(plan) => {
            let mut whys = Vec::new();
            for question in &arguments.why {
                whys.push(why(&problem, &plan, question, &mut stop)?);
            }
            let report = report(&problem, &plan, seconds, &whys);
            session.print(&report, || text(&problem, &plan, seconds, &whys));
            Ok(Exit::Done)
        }
        Err(SolveError::Infeasible { conflict }) => {
            let ways = cheapest_relaxation(&problem, &mut stop);
            let named = |name: &String| problem.constraints.iter().find(|n| n.name == *name);
            let rules: Vec<String> =
                conflict.iter().filter_map(named).map(|named| sentence(&problem, named)).collect();
            let report = json!({ "feasible": false, "conflict": conflict, "rules": rules, "relaxation": ways, "seconds": seconds });
            session.print(&report, || infeasible(&rules, &ways));
            Ok(Exit::Failed)
        }
        Err(error @ SolveError::Problem(_)) => Err(refused_problem(&error)),
        Err(error) => Err(Failure::new(Exit::Failed, crate::error::chain(&error))),
    }
}

fn infeasible(rules: &[String], ways: &Option<Vec<rhizo_solver::explain::Relaxation>>) -> String {
    let mut text = "no assignment keeps to all rules\n".to_owned();
    if rules.is_empty() {
        text += "counts and capacities alone cannot hold\n";
    } else {
        text += "these cannot hold together:\n";
        rules.iter().for_each(|rule| text += &format!("  {rule}\n"));
    }
    if let Some(ways) = ways {
        text += "the least that would have to give:\n";
        for way in ways {
            match way.limit {
                Some(limit) => text += &format!("  {}: a limit of {limit} could be met\n", way.rule),
                None => text += &format!("  {}: would have to go\n", way.rule),
            }
        }
    }
    text
}

/// Reads a problem. An error in its text names line and column.
fn read(path: &Path) -> Result<Problem, Failure> {
    let failed = |what: String| Failure::new(Exit::BadConfig, what);
    let size = std::fs::metadata(path).map_err(|e| failed(format!("read {}: {e}", path.display())))?.len();
    if size > BYTES_MAX {
        return Err(failed(format!("read {}: {size} bytes are more than {BYTES_MAX}", path.display())));
    }
    let text = config::read_text(path).map_err(|e| failed(format!("read {}: {e}", path.display())))?;
    serde_json::from_str(&text).map_err(|e| failed(format!("understand {}: {e}", path.display())))
}

/// One question that was asked, and its answer.
fn why(
    problem: &Problem,
    plan: &Plan,
    question: &str,
    stop: &mut dyn FnMut() -> bool,
) -> Result<(Value, String), Failure> {
    let unknown = |what: &str| Failure::new(Exit::BadConfig, format!("find {what}"));
    let component_of = |name: &str| {
        problem
            .components
            .iter()
            .position(|c| c.name == name)
            .ok_or_else(|| unknown(&format!("component {name}")))
    };
    if let Some((name, machine)) = question.split_once('@') {
        let component = component_of(name)?;
        let at = problem.machines.iter().position(|m| m.name == machine);
        let at = at.ok_or_else(|| unknown(&format!("machine {machine}")))?;
        let text = match why_not(problem, plan, component, at, stop) {
            WhyNot::Chosen => format!("{name} runs on {machine}"),
            WhyNot::Refused { rule } => format!("{rule} refuses {machine} to {name}"),
            WhyNot::Conflict { rules } => {
                format!("with {name} on {machine}, these cannot hold together: {}", rules.join(", "))
            }
            WhyNot::Worse { by, proven, .. } => {
                let best = if proven { "the best" } else { "the best known" };
                format!("{best} plan with {name} on {machine} is worth {by:.6} less")
            }
            WhyNot::Unknown => "stopped before an answer was found".to_owned(),
        };
        return Ok((json!({ "question": question, "answer": text }), text));
    }
    let (name, ordinal) = question.rsplit_once('.').ok_or_else(|| unknown("an instance like web.0"))?;
    let ordinal = ordinal.parse().map_err(|_| unknown("an instance like web.0"))?;
    let instance = rhizo_solver::Instance { component: component_of(name)?, ordinal };
    let Some(why) = why_here(problem, &plan.assignment, instance, MACHINES_TRIED_MAX) else {
        return Err(unknown(&format!("{question} in the plan")));
    };
    let mut text = format!("{question} runs on {}", problem.machines[why.machine].name);
    if let Some(next) = &why.next {
        let terms: Vec<String> = next.because.iter().map(|(name, by)| format!("{name} {by:+.6}")).collect();
        text += &format!(
            "; the next best of {} is {}, worse by {:.6} ({})",
            why.possible,
            problem.machines[next.machine].name,
            next.worse_by,
            terms.join(", ")
        );
    }
    for (rule, count) in &why.kept_from {
        text += &format!("; {rule} keeps it from {count}");
    }
    Ok((json!({ "question": question, "answer": text, "details": why }), text))
}

fn placed(problem: &Problem, plan: &Plan) -> Vec<(String, String)> {
    let instance =
        |i: rhizo_solver::Instance| format!("{}.{}", problem.components[i.component].name, i.ordinal);
    let host = |p: rhizo_solver::Place| {
        let machine = &problem.machines[p.machine];
        if machine.is_offer() { format!("{}#{}", machine.name, p.copy) } else { machine.name.clone() }
    };
    plan.assignment.iter().map(|(i, p)| (instance(i), host(p))).collect()
}

fn report(problem: &Problem, plan: &Plan, seconds: f64, whys: &[(Value, String)]) -> Value {
    let bought: Vec<Value> = plan
        .orders
        .iter()
        .map(|order| json!({ "offer": problem.machines[order.machine].name, "count": order.count }))
        .collect();
    let placed: serde_json::Map<String, Value> =
        placed(problem, plan).into_iter().map(|(instance, host)| (instance, json!(host))).collect();
    json!({
        "feasible": true,
        "net": plan.after.net,
        "bound": plan.bound,
        "gap": plan.gap,
        "proven": plan.proven,
        "engine": plan.engine,
        "evaluated": plan.evaluated,
        "memory_bytes": plan.memory_bytes,
        "seconds": seconds,
        "gain": plan.gain(),
        "score": plan.after,
        "broken_before": plan.broken_before,
        "bought": bought,
        "released": plan.released.iter().map(|m| &problem.machines[*m].name).collect::<Vec<_>>(),
        "placed": placed,
        "why": whys.iter().map(|(value, _)| value).collect::<Vec<_>>(),
    })
}

fn text(problem: &Problem, plan: &Plan, seconds: f64, whys: &[(Value, String)]) -> String {
    let proof = match (plan.proven, plan.gap) {
        (true, _) => "proven to be the best".to_owned(),
        (false, Some(gap)) => format!("at most {gap:.6} below the best"),
        (false, None) => "not proven".to_owned(),
    };
    let mut text =
        format!("worth {:.6}, {proof}; found by {} in {seconds:.3} s\n", plan.after.net, plan.engine);
    text += &format!("about {:.1} MB of memory a thread\n", plan.memory_bytes as f64 / 1e6);
    for term in &plan.after.terms {
        text += &format!(
            "  {:<24} {:>12.4}  worth {:.4}, weight {}\n",
            term.name, term.value, term.worth, term.weight
        );
    }
    for cost in &plan.after.costs {
        text += &format!("  {:<24} {:>12.4}  costs {:.6}\n", cost.name, cost.value, cost.cost);
    }
    if plan.after.migration.total > 0.0 {
        text += &format!("  {:<24} {:>12}  costs {:.6}\n", "[migration]", "", plan.after.migration.total);
    }
    for order in &plan.orders {
        text += &format!("buy {} {}\n", order.count, problem.machines[order.machine].name);
    }
    plan.released.iter().for_each(|m| text += &format!("give back {}\n", problem.machines[*m].name));
    placed(problem, plan).iter().for_each(|(instance, host)| text += &format!("{instance} on {host}\n"));
    whys.iter().for_each(|(_, why)| text += &format!("{why}\n"));
    text
}

pub(crate) async fn export(session: &Session, arguments: &Export) -> Result<Exit, Failure> {
    let is_config = arguments.file.extension().is_some_and(|extension| extension == "toml");
    let problem = if is_config {
        let config = session.config(Some(&arguments.file))?;
        session.print_warnings(&config);
        let spec = &config.parsed.spec;
        let problem = Offline::of(session, spec).await?.problem(spec);
        problem.ok_or_else(|| Failure::new(Exit::BadConfig, "pose a problem: there is no spec"))?
    } else {
        read(&arguments.file)?
    };
    let model = minizinc::minizinc(&problem)
        .map_err(|error| Failure::new(Exit::Failed, crate::error::chain(&error)))?;
    session.print(&json!({ "minizinc": model }), || model.clone());
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_engines_and_weights_are_read() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(
            (duration("10s"), duration("2m")),
            (Ok(Duration::from_secs(10)), Ok(Duration::from_secs(120)))
        );
        assert!(duration("x").is_err() && duration("-1s").is_err() && duration("3h").is_err());
        assert_eq!(engine("decomposition"), Ok(EngineName::Decomposition));
        assert!(engine("magic").is_err());
        assert_eq!(weight("load=2"), Ok(("load".into(), 2.0)));
        assert!(weight("load").is_err() && weight("load=-1").is_err() && weight("load=nan").is_err());
    }
}
