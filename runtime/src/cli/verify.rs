//! `verify`: explores the core with a deployment or a reconfiguration before anything runs.
//!
//! The copies of the config are placed on a few imaginary hosts, and `rhizo-verify` explores every order of events.
//! Prices and capacities of real hosts are not considered; see `plan` for those.

use super::Session;
use super::args::Verify;
use super::exit::{Exit, Failure, Flaws};
use super::verify_report::{Check, Failing, Report, TimeReport};
use crate::config;
use rhizo_config::Sources;
use rhizo_protocol::Ledger;
use rhizo_types::id::{ComponentName, TransitionName};
use rhizo_types::script::Script;
use rhizo_types::spec::Spec;
use rhizo_verify::model::truth;
use rhizo_verify::property::startable::startable;
use rhizo_verify::scenario::{Fault, Faults, Scenario, Wish};
use rhizo_verify::schedule::{Durations, Interval, schedule};
use rhizo_verify::{Questions, Rule, Verdict, check_asking, retrace, svg};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

pub(crate) fn verify(session: &Session, options: &Verify) -> Result<Exit, Failure> {
    let config = session.config(options.file.config.as_deref())?;
    session.print_warnings(&config);
    let spec = &config.parsed.spec;
    let script = options.script.as_deref().map(|path| read_script(path, spec)).transpose()?;
    let (scenario, left_out) = scenario(spec, options);
    let scripted = script.map(|script| with_script(&scenario, script));
    if let Some(positions) = &options.replay {
        return replay(session, scripted.as_ref().unwrap_or(&scenario), options, positions);
    }
    let durations = options.durations.as_deref().map(|path| read_durations(path, spec)).transpose()?;
    let ledger = truth::deployed(&scenario)
        .ok_or_else(|| Failure::new(Exit::Failed, "make a target of the config: the ledger refuses it"))?;
    let questions = Questions { apart: apart(options, spec)? };
    let mut report = report(&scenario, scripted.as_ref(), &ledger, options, &questions);
    report.left_out = left_out;
    let plan = schedule(&ledger, durations.as_ref().unwrap_or(&Durations::new()));
    report.time = durations.map(|_| TimeReport {
        ms_min: plan.total_ms.0,
        ms_max: plan.total_ms.1,
        critical_path: plan
            .critical
            .iter()
            .filter_map(|at| plan.bars.get(*at))
            .map(|bar| format!("{}.{}", bar.instance, bar.transition))
            .collect(),
    });
    if let Some(path) = &options.svg {
        let failed = |error| Failure::new(Exit::Failed, format!("write `{}`: {error}", path.display()));
        std::fs::write(path, svg::draw(&ledger, &plan)).map_err(failed)?;
    }
    session.print(&report, || report.text());
    let holds = report.checks.iter().all(|check| check.holds == Some(true));
    Ok(if holds { Exit::Done } else { Exit::Failed })
}

fn read_script(path: &Path, spec: &Spec) -> Result<Script, Failure> {
    let failed =
        |error| Failure::new(Exit::BadConfig, format!("read the script `{}`: {error}", path.display()));
    let text = config::read_text(path).map_err(failed)?;
    let file = path.display().to_string();
    rhizo_config::parse_script(&text, &file, spec).map_err(|findings| {
        Failure::flawed(&file, vec![Flaws { findings, sources: Sources::one(&file, &text) }])
    })
}

/// Reads `{"component": {"transition": [least, greatest]}}`, in seconds.
fn read_durations(path: &Path, spec: &Spec) -> Result<Durations, Failure> {
    type Table = BTreeMap<String, BTreeMap<String, (f64, f64)>>;
    let bad = |error: String| {
        let message = format!("use the durations `{}`: {error}", path.display());
        Failure::new(Exit::BadConfig, message)
            .hint("they are `{\"component\": {\"transition\": [least, greatest]}}`, in seconds")
    };
    let text = config::read_text(path).map_err(|error| bad(error.to_string()))?;
    let table: Table = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    let mut durations = Durations::new();
    for (component, transitions) in table {
        let component = ComponentName(component);
        let declared = spec.components.get(&component);
        let cycle = declared.ok_or_else(|| bad(format!("there is no component {component}")))?.lifecycle();
        for (transition, (least, greatest)) in transitions {
            let transition = TransitionName(transition);
            if !cycle.transitions.contains_key(&transition) {
                return Err(bad(format!("{component} has no transition {transition}")));
            }
            if !(least >= 0.0 && greatest >= least && greatest <= SECONDS_MAX) {
                return Err(bad(format!("{component}.{transition} takes {least} to {greatest}")));
            }
            let ms = |seconds: f64| (seconds * 1_000.0).round() as u64;
            let interval = Interval { ms_min: ms(least), ms_max: ms(greatest) };
            durations.insert((component.clone(), transition), interval);
        }
    }
    Ok(durations)
}

/// An action that is longer than a year suggests a wrong unit.
const SECONDS_MAX: f64 = 365.0 * 86_400.0;

/// The names `component.transition` of each pair, checked.
fn apart(options: &Verify, spec: &Spec) -> Result<Vec<(String, String)>, Failure> {
    let known = |name: &str| {
        name.split_once('.').is_some_and(|(component, transition)| {
            spec.components
                .get(&ComponentName::from(component))
                .is_some_and(|c| c.lifecycle().transitions.contains_key(&TransitionName::from(transition)))
        })
    };
    let pair = |text: &String| match text.split_once(',') {
        Some((one, other)) if known(one) && known(other) => Ok((one.to_owned(), other.to_owned())),
        _ => Err(Failure::new(Exit::BadConfig, format!("find two actions in `{text}`"))
            .hint("for example `--apart db.start,web.start`: components and transitions of the config")),
    };
    options.apart.iter().map(pair).collect()
}

/// Places the copies of a config on imaginary hosts, in rotation.
fn scenario(spec: &Spec, options: &Verify) -> (Scenario, Vec<String>) {
    let mut spec = spec.clone();
    let mut left_out = Vec::new();
    let (mut placement, mut next) = (BTreeMap::new(), 0);
    for (name, component) in &mut spec.components {
        let component = Arc::make_mut(component);
        // Imaginary hosts have room for everything.
        component.needs.clear();
        let wanted = component.replicas.min.max(1);
        let copies = wanted.min(options.copies);
        if copies < wanted {
            left_out
                .push(format!("{copies} of {wanted} copies of `{name}` are explored; `--copies` takes more"));
            component.replicas.min = copies;
        }
        if let Some(cycle) = &mut component.lifecycle {
            // The exploration has no clock, so time-outs are removed: the duration of an action is left open.
            cycle.transitions.values_mut().for_each(|way| way.step.timeout_ms = None);
        }
        let hosts = (0..copies).map(|_| {
            next += 1;
            (next - 1) % options.hosts
        });
        placement.insert(name.clone(), hosts.collect());
    }
    let wish = Wish { spec: 0, placement, joins: 0, script: None, when_settled: false };
    let faults = Faults::default();
    let hosts = options.hosts;
    (Scenario { name: String::new(), specs: vec![spec], hosts, wishes: vec![wish], faults }, left_out)
}

fn with_script(scenario: &Scenario, script: Script) -> Scenario {
    let mut scenario = scenario.clone();
    scenario.wishes.push(Wish {
        spec: 0,
        placement: BTreeMap::new(),
        joins: 0,
        script: Some(script),
        when_settled: true,
    });
    scenario
}

fn with_crashes(scenario: &Scenario, crashes: u8) -> Scenario {
    Scenario { faults: Faults::new(crashes, &[Fault::Crash]), ..scenario.clone() }
}

fn report(
    scenario: &Scenario,
    scripted: Option<&Scenario>,
    ledger: &Ledger,
    options: &Verify,
    questions: &Questions,
) -> Report {
    let mut checks = Vec::new();
    let most = options.states;
    let stuck: Vec<String> = {
        let startable = startable(ledger);
        let all = ledger.target.instances.keys();
        all.filter(|instance| !startable.contains(*instance)).map(ToString::to_string).collect()
    };
    let deployed = check_asking(scenario, most, questions);
    let mut first = answer("every order of events deploys it", &deployed);
    if !stuck.is_empty() {
        first.holds = Some(false);
        first.violation.get_or_insert(Failing {
            property: "everything-can-start".to_owned(),
            detail: format!("never all served, so never started: {}", stuck.join(", ")),
            trace: Vec::new(),
            repeats_from: None,
            replay: String::new(),
        });
    }
    checks.push(first);
    for (one, other) in &questions.apart {
        // The exploration ends at the first violation, so the remaining questions stay open.
        let broken = deployed.violation.is_some();
        let holds = if broken { None } else { deployed.is_complete.then_some(true) };
        let question = format!("`{one}` and `{other}` never run at the same time");
        let mut check = Check { question, holds, states: deployed.states, transitions: 0, violation: None };
        if let Some(violation) = &deployed.violation
            && violation.detail.contains(&format!("`{one}` and `{other}`"))
        {
            check.holds = Some(false);
            // The violation belongs to this question and not to the deployment, which may be correct.
            check.violation = checks[0].violation.take();
            checks[0].holds = None;
        }
        checks.push(check);
    }
    if let Some(scripted) = scripted {
        checks.push(scripted_check(scripted, ledger, most, questions));
    }
    let whole = scripted.unwrap_or(scenario);
    for crashes in 1..=options.crashes.min(options.hosts.saturating_sub(1)) {
        let verdict = check_asking(&with_crashes(whole, crashes), most, questions);
        let what = if crashes == 1 { "any one crash".to_owned() } else { format!("any {crashes} crashes") };
        checks.push(answer(&format!("it survives {what} at any point"), &verdict));
    }
    let mut instances = BTreeMap::new();
    for (instance, placed) in &ledger.target.instances {
        let host = (0..scenario.hosts).position(|host| truth::node_of(ledger, host) == Some(placed.node));
        instances.insert(instance.to_string(), host.unwrap_or_default());
    }
    let parallel = deployed.observed.parallel;
    Report { instances, left_out: Vec::new(), checks, parallel, time: None }
}

/// Checks that a script is executed completely from the deployed application, in every order of events.
fn scripted_check(scripted: &Scenario, ledger: &Ledger, most: u32, questions: &Questions) -> Check {
    let question = "every order of events carries out the script";
    let script = scripted.wishes.last().and_then(|wish| wish.script.as_ref());
    if let Some(Err((line, reason))) = script.map(|script| ledger.check_script(script)) {
        let violation = Failing {
            property: "script-can-begin".to_owned(),
            detail: format!("line {line}: {reason}"),
            trace: Vec::new(),
            repeats_from: None,
            replay: String::new(),
        };
        let question = question.to_owned();
        let violation = Some(violation);
        return Check { question, holds: Some(false), states: 0, transitions: 0, violation };
    }
    let verdict = check_asking(scripted, most, questions);
    let mut check = answer(question, &verdict);
    if check.holds == Some(true) && !verdict.occurred.contains(Rule::ScriptsEnd) {
        // A script begins when the application is deployed, which was never reached.
        check.holds = Some(false);
    }
    check
}

fn answer(question: &str, verdict: &Verdict) -> Check {
    let violation = verdict.violation.as_ref().map(|violation| Failing {
        property: violation.property.to_owned(),
        detail: violation.detail.clone(),
        trace: violation.trace.clone(),
        repeats_from: violation.repeats_from,
        replay: violation.positions.iter().map(ToString::to_string).collect::<Vec<_>>().join("."),
    });
    let holds = if violation.is_some() { Some(false) } else { verdict.is_complete.then_some(true) };
    let (states, transitions) = (verdict.states, verdict.transitions);
    Check { question: question.to_owned(), holds, states, transitions, violation }
}

/// Prints the steps of an earlier trace again.
fn replay(
    session: &Session,
    scenario: &Scenario,
    options: &Verify,
    positions: &str,
) -> Result<Exit, Failure> {
    let parsed: Result<Vec<u16>, _> = positions.split('.').map(str::parse).collect();
    let parsed = parsed.map_err(|_| {
        Failure::new(Exit::BadConfig, "read the steps to replay")
            .hint("they are numbers with dots between them, as a violation prints them")
    })?;
    // The number of allowed crashes decides the numbers of steps, so a trace is replayed with the number it was found
    // with.
    let scenario =
        if options.crashes > 0 { with_crashes(scenario, options.crashes) } else { scenario.clone() };
    let steps = retrace(&scenario, &parsed);
    session.print(&serde_json::json!({ "trace": steps }), || {
        steps.iter().enumerate().map(|(number, line)| format!("{:4}  {line}\n", number + 1)).collect()
    });
    Ok(Exit::Done)
}
