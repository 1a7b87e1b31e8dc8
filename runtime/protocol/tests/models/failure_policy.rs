//! The scenarios of the failure policy: versions that never start, hosts that are really bad, both, and corrections.
//!
//! `rhizo_verify::failure_policy` has the model and the properties. Planning is that of production, `rhizo-planning`
//! with `rhizo-solver`: its answer follows from the request alone, so each different request is solved once.

use rhizo_knowledge::{Knowledge, Snapshot};
use rhizo_planning::{Answer, Budget, Catalogue, Explanation, Offering};
use rhizo_protocol::sabotage::{Sabotage, choose};
use rhizo_protocol::{SolveOutcome, SolveRequest};
use rhizo_solver::{Options, Problem, solve};
use rhizo_types::Time;
use rhizo_types::id::{ComponentName, OfferName, ProviderName, RegionName};
use rhizo_types::intent::AcquireOrder;
use rhizo_types::number::Number;
use rhizo_types::spec::{Component, ProviderSpec, Replicas, Run, Spec};
use rhizo_verify::failure_policy::world::BUILD;
use rhizo_verify::failure_policy::{PolicyRule, PolicyScenario, check, check_only};
use rhizo_verify::scenario::{SEATS, SEATS_PER_HOST};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

/// The most states of one scenario; one with more fails the run.
const STATES_MAX: u32 = 150_000;
/// More looks at the clock than the search of any of these problems takes.
const LOOKS_MAX: u32 = 20_000;
const PROVIDER: &str = "p";
/// An error that does not name the host, and one that does.
const PLAIN: &str = "exit code 1";
const NAMES_HOST: &str = "no space left on device";

/// Checks every scenario, with at most `states_max` states each, and every fault. Returns whether all is as it should
/// be.
pub(crate) fn run(states_max: u32, with_faults: bool) -> bool {
    let (mut occurred, mut is_good) = (BTreeSet::new(), true);
    let (mut states, mut transitions, mut violations) = (0_u64, 0_u64, 0);
    let mut scenarios = scenarios();
    if states_max > STATES_MAX {
        scenarios.extend(long_scenarios());
    }
    if let Ok(part) = std::env::var("MODELS_ONLY") {
        scenarios.retain(|scenario| scenario.name.contains(&part));
    }
    for scenario in &scenarios {
        let begin = Instant::now();
        let verdict = check(scenario, states_max, &mut Planning::new().answer());
        states += u64::from(verdict.states);
        transitions += u64::from(verdict.transitions);
        occurred.extend(verdict.occurred);
        if std::env::var_os("MODELS_VERBOSE").is_some() {
            let ms = begin.elapsed().as_millis();
            println!("{ms:7} ms {:8} states  {}", verdict.states, scenario.name);
        }
        if !verdict.is_complete {
            violations += 1;
            println!("{}: more than {} states, not complete", scenario.name, verdict.states - 1);
        }
        if let Some(violation) = verdict.violation {
            violations += 1;
            println!("{}\n{} does not hold: {}", scenario.name, violation.property, violation.detail);
            for (number, line) in violation.trace.iter().enumerate() {
                println!("{:4}  {line}", number + 1);
            }
        }
    }
    for rule in PolicyRule::ALL.into_iter().filter(|rule| !occurred.contains(rule)) {
        is_good = false;
        println!("the condition of {} was never met", rule.name());
    }
    if with_faults {
        let all: Vec<_> = self::scenarios().into_iter().chain(long_scenarios()).collect();
        is_good &= run_broken(&all);
    }
    println!(
        "failure policy: {} scenarios, {} properties, {states} states, {transitions} transitions, {violations} \
         violations",
        scenarios.len(),
        PolicyRule::ALL.len(),
    );
    is_good && violations == 0
}

/// Each property with the fault in the core's own code that violates it.
const BROKEN: [(PolicyRule, Sabotage); 10] = [
    (PolicyRule::NothingIsBoughtForWhatNeverRan, Sabotage::AcquiresForUnproven),
    (PolicyRule::HostsAreBounded, Sabotage::ForgetsSpares),
    (PolicyRule::ReplacementsHaveToWork, Sabotage::ForgetsReplacements),
    (PolicyRule::CopiesAreBounded, Sabotage::PilesUpCopies),
    (PolicyRule::CorrectionsDoNotWait, Sabotage::RemembersFormerVersions),
    (PolicyRule::CorrectionsAreTried, Sabotage::NeverUpgrades),
    (PolicyRule::FailingIsTold, Sabotage::HidesFailures),
    (PolicyRule::BadHostsAreLeft, Sabotage::NeverBlamesHosts),
    (PolicyRule::SparesAreGivenBack, Sabotage::KeepsHosts),
    (PolicyRule::CalmIsReached, Sabotage::RecordsAgain),
];

/// Whether each fault violates its property in some scenario.
fn run_broken(scenarios: &[PolicyScenario]) -> bool {
    let mut is_broken = true;
    for (rule, sabotage) in BROKEN {
        let begin = Instant::now();
        choose(Some(sabotage));
        let found = scenarios.iter().find_map(|scenario| {
            let verdict = check_only(scenario, STATES_MAX, &mut Planning::new().answer(), rule);
            Some((scenario, verdict.violation?))
        });
        choose(None);
        let ms = begin.elapsed().as_millis();
        match found {
            Some((scenario, violation)) => {
                let steps = violation.trace.len();
                println!(
                    "{} is broken by {sabotage:?}: {steps} steps, {ms} ms: {}",
                    rule.name(),
                    scenario.name
                );
            }
            None => {
                println!("{} is NOT broken by {sabotage:?} ({ms} ms)", rule.name());
                is_broken = false;
            }
        }
    }
    is_broken
}

/// Components, each with its builds in the specs, and its replicas.
type Part = (&'static str, &'static [&'static str], (u32, u32));

const ONE: (u32, u32) = (1, 1);

/// A scenario without crashes and without bad hosts.
fn scenario(name: &str, need: usize, parts: &[Part]) -> PolicyScenario {
    let specs = parts.iter().map(|(_, builds, _)| builds.len()).max().unwrap_or(0);
    let component = |at: usize, (name, builds, (min, max)): &Part| {
        let build = builds.get(at).or(builds.last()).copied().unwrap_or_default();
        let component = Component {
            replicas: Replicas { min: *min, max: *max },
            needs: BTreeMap::from([(SEATS.to_owned(), Number::ONE)]),
            env: BTreeMap::from([(BUILD.to_owned(), build.to_owned())]),
            ..Component::new(Run::Exec { argv: vec!["run".to_owned()] })
        };
        (ComponentName::from(*name), component)
    };
    let spec = |at: usize| {
        let mut spec = Spec::new("app", parts.iter().map(|part| component(at, part)).collect());
        let source =
            ProviderSpec { kind: "test".to_owned(), settings: String::new(), regions: BTreeSet::new() };
        spec.providers = [(ProviderName::from(PROVIDER), source)].into();
        spec
    };
    let builds = parts.iter().flat_map(|(name, builds, _)| builds.iter().map(move |build| (name, build)));
    let broken = builds.filter(|(_, build)| build.starts_with("broken"));
    PolicyScenario {
        name: name.to_owned(),
        specs: (0..specs).map(spec).collect(),
        broken: broken.map(|(name, build)| (ComponentName::from(*name), (*build).to_owned())).collect(),
        need,
        crashes_max: 0,
        bad_max: 0,
        spoilt_max: 0,
        host_error: PLAIN,
        ages_max: 0,
    }
}

/// Lets every copy need a whole host.
fn one_a_host(mut scenario: PolicyScenario) -> PolicyScenario {
    for component in scenario.specs.iter_mut().flat_map(|spec| spec.components.values_mut()) {
        Arc::make_mut(component).needs.insert(SEATS.to_owned(), Number::from(SEATS_PER_HOST));
    }
    scenario
}

fn scenarios() -> Vec<PolicyScenario> {
    // Two components are placed on one host, and copies of one component on different hosts.
    vec![
        scenario("never starts", 1, &[("w", &["broken"], ONE)]),
        scenario("never starts, corrected", 1, &[("w", &["broken", "good"], ONE)]),
        scenario(
            "never starts, corrected wrongly, corrected",
            1,
            &[("w", &["broken", "broken too", "good"], ONE)],
        ),
        scenario(
            "works, then a version that never starts, corrected",
            1,
            &[("w", &["good", "broken", "better"], ONE)],
        ),
        scenario("two copies of what never starts, corrected", 2, &[("w", &["broken", "good"], (2, 2))]),
        PolicyScenario { crashes_max: 3, ..scenario("single crashes", 1, &[("w", &["good"], ONE)]) },
        PolicyScenario {
            bad_max: 1,
            host_error: NAMES_HOST,
            ..scenario("a bad host that names itself", 1, &[("w", &["good"], ONE)])
        },
        PolicyScenario {
            spoilt_max: 1,
            ages_max: 1,
            ..scenario("works and then fails everywhere", 1, &[("w", &["good"], ONE)])
        },
        PolicyScenario {
            spoilt_max: 1,
            ages_max: 1,
            host_error: NAMES_HOST,
            ..scenario("works and then fails everywhere as on a bad host", 1, &[("w", &["good"], ONE)])
        },
        PolicyScenario {
            bad_max: 1,
            ages_max: 1,
            ..scenario("a bad host, two copies", 2, &[("w", &["good"], (2, 2))])
        },
        PolicyScenario {
            bad_max: 2,
            host_error: NAMES_HOST,
            ..scenario("two bad hosts", 1, &[("w", &["good"], ONE)])
        },
        PolicyScenario {
            bad_max: 1,
            host_error: NAMES_HOST,
            ..scenario("never starts, corrected, on a bad host", 1, &[("w", &["broken", "good"], ONE)])
        },
        PolicyScenario {
            bad_max: 1,
            ..scenario("two components on a bad host", 1, &[("v", &["good"], ONE), ("w", &["good"], ONE)])
        },
    ]
}

/// Scenarios with more states than the bounded run may explore.
fn long_scenarios() -> Vec<PolicyScenario> {
    let (v, w) = (("v", &["good"] as &[_], ONE), ("w", &["good"] as &[_], ONE));
    vec![
        PolicyScenario {
            bad_max: 2,
            host_error: NAMES_HOST,
            ..one_a_host(scenario("two components on two bad hosts", 2, &[v, w]))
        },
        PolicyScenario {
            bad_max: 2,
            host_error: NAMES_HOST,
            ..scenario("two bad hosts, two copies", 2, &[("w", &["good"], (2, 2))])
        },
        PolicyScenario {
            bad_max: 1,
            host_error: NAMES_HOST,
            ..scenario(
                "one works and one never starts, on a bad host",
                1,
                &[("v", &["good"], ONE), ("w", &["broken"], ONE)],
            )
        },
        PolicyScenario {
            spoilt_max: 1,
            ..scenario("works and then fails everywhere, two copies", 2, &[("w", &["good"], (2, 2))])
        },
    ]
}

/// Production planning with one offer of hosts with two seats, of which any number can be had.
struct Planning {
    catalogue: Catalogue,
    snapshot: Snapshot,
}

impl Planning {
    fn new() -> Self {
        let order = AcquireOrder {
            provider: ProviderName::from(PROVIDER),
            offer: OfferName::from("small"),
            region: RegionName::from("r"),
            price_micros_per_hour: 10_000,
            capacity: BTreeMap::from([(SEATS.to_owned(), Number::from(SEATS_PER_HOST))]),
            attributes: BTreeMap::new(),
        };
        let offering = Offering { order, available: None, currency: "EUR".to_owned() };
        let answer = Answer::Sells { offers: vec![offering], paths: Vec::new() };
        let (mut catalogue, mut knowledge) = (Catalogue::default(), Knowledge::new());
        catalogue.take(vec![(ProviderName::from(PROVIDER), answer)], &mut knowledge, Time::ZERO);
        let snapshot = Snapshot::cut(&knowledge, &BTreeMap::new(), Time::ZERO);
        Self { catalogue, snapshot }
    }

    fn answer(&self) -> impl FnMut(&SolveRequest) -> SolveOutcome + '_ {
        |request| {
            let mut search = |problem: &Problem, options: &Options| {
                let mut looks = 0;
                solve(problem, options, &mut || {
                    looks += 1;
                    looks > LOOKS_MAX
                })
            };
            // Reasons are not read here, so nothing is searched for them.
            let mut stop = || true;
            let explanation = Explanation { stop: &mut stop, at_unix_ms: None };
            let mut budget = Budget { search: &mut search, explains: false, explanation };
            rhizo_planning::plan(request, &self.snapshot, &self.catalogue, &mut budget).outcome
        }
    }
}
