//! The table of engines, and the selection of one for a problem.
//!
//! The order is the order of preference, from the engine for the most special problems to the one for every problem.
//! Read next: [`mod@crate::solve`], which requests plans, and `infeasibility.rs`, which asks whether rules can hold.

use super::configurations::Configurations;
use super::decomposition::Decomposition;
use super::exhaustive::Exhaustive;
use super::local::Local;
use super::memory;
use super::reassignment::Reassignment;
use super::single_component::SingleComponent;
use super::{Engine, Found, Request};
use crate::engine_name::EngineName;
use crate::problem::Problem;
use crate::watch::Watch;

/// Every engine, in order of preference.
static ENGINES: [&dyn Engine; 6] =
    [&SingleComponent, &Exhaustive, &Configurations, &Decomposition, &Reassignment, &Local];

/// Why no engine answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// No engine that may be asked accepts the problem.
    Unsuited,
    /// The last engine that accepts the problem would need more memory than it may have.
    TooLarge { needed_bytes: u64, max_bytes: u64 },
}

/// The engine with a name.
pub(crate) fn named(name: EngineName) -> &'static dyn Engine {
    // `every_name_has_its_engine` below shows that the search never fails; the last engine accepts any problem.
    ENGINES.into_iter().find(|engine| engine.name() == name).unwrap_or(&Local)
}

/// Bytes that a search by an engine allocates at most, estimated from the sizes of the problem.
pub(crate) fn memory_bytes(problem: &Problem, engine: &dyn Engine) -> u64 {
    let sizes = memory::Sizes::of(problem);
    sizes.judged().saturating_add(engine.memory_bytes(problem, &sizes))
}

/// Asks the engines in order of preference until one answers.
///
/// # Errors
/// [`Refused`] when every engine that accepts the problem gave way or needs too much memory.
pub(crate) fn first_answer(
    problem: &Problem,
    request: &Request,
    watch: &mut dyn Watch,
) -> Result<(EngineName, Found), Refused> {
    let mut refused = Refused::Unsuited;
    for engine in ENGINES {
        if !engine.accepts(problem) || !engine.is_asked_for(request.aim, problem) {
            continue;
        }
        match within_memory(engine, problem, request, watch) {
            Ok(found) => return Ok((engine.name(), found)),
            Err(reason) => refused = reason,
        }
    }
    Err(refused)
}

/// Asks one engine.
///
/// # Errors
/// [`Refused`] when it does not accept the problem, gives way, or needs more memory than the watch allows.
pub(crate) fn ask(
    engine: &dyn Engine,
    problem: &Problem,
    request: &Request,
    watch: &mut dyn Watch,
) -> Result<Found, Refused> {
    if engine.accepts(problem) {
        within_memory(engine, problem, request, watch)
    } else {
        Err(Refused::Unsuited)
    }
}

fn within_memory(
    engine: &dyn Engine,
    problem: &Problem,
    request: &Request,
    watch: &mut dyn Watch,
) -> Result<Found, Refused> {
    let (needed_bytes, max_bytes) = (memory_bytes(problem, engine), watch.memory_max_bytes());
    if needed_bytes > max_bytes {
        return Err(Refused::TooLarge { needed_bytes, max_bytes });
    }
    engine.search(problem, request, watch).ok_or(Refused::Unsuited)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Aim;

    #[test]
    fn every_name_has_its_engine_and_the_order_is_one() {
        assert_eq!(ENGINES.map(Engine::name), EngineName::ALL);
        for name in EngineName::ALL {
            assert_eq!(named(name).name(), name);
            assert_eq!(name.as_str().parse(), Ok(name));
        }
    }

    #[test]
    fn some_engine_accepts_any_problem_for_a_plan_and_for_a_repair() {
        for aim in [Aim::Best, Aim::Repair] {
            assert!(Local.accepts(&Problem::default()) && Local.is_asked_for(aim, &Problem::default()));
        }
    }
}
