//! Why no placement satisfies a request: causes with their numbers, each with remedies.
//!
//! The problem is posed once more with every offer of the configured providers, also those that cannot be ordered now.
//! The solver then finds minimal sets of demands that cannot hold together: rules, needs, numbers of copies, stock,
//! pauses of offers, silent providers, limits to regions. The sentences are made in `causes`. Nothing is chosen here.

mod causes;
mod rules;
mod words;

use crate::affordable;
use crate::catalogue::{Buyable, Catalogue, Withheld, hosts_max};
use crate::posed::Posed;
use crate::problem::pose_with;
use causes::Causes;
use rhizo_knowledge::Snapshot;
use rhizo_protocol::SolveRequest;
use rhizo_solver::explain::{Demand, Diagnosis, diagnose};
use std::collections::BTreeMap;

/// The limits of an explanation.
pub struct Explanation<'a> {
    /// Polled while causes are searched; true ends the search. The explanation then says that it is not complete.
    pub stop: &'a mut dyn FnMut() -> bool,
    /// Unix time in milliseconds, to say until when an offer is not ordered; none where only durations are known.
    pub at_unix_ms: Option<u64>,
}

/// The origin of a demand, which the solver does not see.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    /// Rules, needs and numbers of copies, which the solver knows by themselves.
    Posed,
    /// The numbers of hosts of the offers that can be ordered.
    Stock,
    /// The pause of one offer.
    Cooling,
    /// The provider of these offers does not answer.
    Failing,
    /// The config limits the provider of these offers to other regions.
    OtherRegion,
}

/// Says why no placement satisfies a request. Returns at least one sentence.
///
/// `is_held` says that every present host is paid for while the plan is carried out. A request that allows no order is
/// not searched for causes: it looks for another place of copies that keep failing, and `status` has the cause of that.
pub(crate) fn explain(
    request: &SolveRequest,
    snapshot: &Snapshot,
    catalogue: &Catalogue,
    is_held: bool,
    limits: &mut Explanation<'_>,
) -> Explained {
    if request.terms.orders_max == Some(0) {
        let reason =
            "no other host that is held can take the copies that keep failing, and no host is acquired for \
            them at present"
                .to_owned();
        return Explained { rules: Vec::new(), reasons: vec![reason] };
    }
    let hosts_max = hosts_max(&request.spec);
    let judged: Vec<(Buyable, u32, Option<Withheld>)> = catalogue
        .judged(request)
        .map(|(offer, withheld)| {
            let available = offer.available.unwrap_or(hosts_max).min(hosts_max);
            let count_max = if withheld.is_none() { available } else { 0 };
            (Buyable { order: offer.order.clone(), count_max }, available, withheld)
        })
        .collect();
    let offers = judged.iter().map(|(offer, ..)| offer.clone()).collect();
    let mut posed = pose_with(request, snapshot, catalogue, offers);
    if is_held {
        affordable::hold(request, &mut posed);
    }
    let first = posed.machines.len() - judged.len();
    let withheld: Vec<(usize, u32, Option<Withheld>)> = (first..)
        .zip(judged)
        .map(|(machine, (_, available, withheld))| (machine, available, withheld))
        .collect();
    let (demands, kinds) = demands(&posed, &withheld, hosts_max);
    let Diagnosis { conflicts, complete } = diagnose(&posed.problem, &demands, limits.stop);
    let rules = conflicts.iter().flatten().filter_map(|demand| match &demands[*demand] {
        Demand::Rule(rule) => Some(posed.problem.constraints[*rule].name.clone()),
        Demand::Values(utility) => Some(posed.problem.utilities[*utility].name.clone()),
        _ => None,
    });
    let rules = rules.collect();
    let mut causes = Causes {
        request,
        catalogue,
        posed: &posed,
        demands: &demands,
        kinds: &kinds,
        withheld: &withheld,
        conflicts: &conflicts,
        is_held,
        limits,
    };
    Explained { rules, reasons: causes.sentences(complete) }
}

/// The causes of an infeasible request.
#[derive(Debug)]
pub(crate) struct Explained {
    /// Names of the rules and utilities among the causes.
    pub(crate) rules: Vec<String>,
    /// A sentence for each cause; never empty.
    pub(crate) reasons: Vec<String>,
}

/// Everything that can be given up. Of several minimal conflicts, one of early demands is found, so that what an
/// operator wrote comes before what will pass by itself.
fn demands(
    posed: &Posed,
    withheld: &[(usize, u32, Option<Withheld>)],
    hosts_max: u32,
) -> (Vec<Demand>, Vec<Kind>) {
    let problem = &posed.problem;
    let mut demands: Vec<Demand> = (0..problem.constraints.len()).map(Demand::Rule).collect();
    demands.extend((0..problem.utilities.len()).map(Demand::Values));
    for (at, component) in problem.components.iter().enumerate() {
        let needed = (0..problem.resources.len()).filter(|resource| component.need(0, *resource) > 0.0);
        demands.extend(needed.map(|resource| Demand::Need { component: at, resource }));
    }
    let several = |at: &usize| problem.components[*at].replicas_min > 1;
    demands.extend((0..problem.components.len()).filter(several).map(Demand::Copies));
    let mut kinds = vec![Kind::Posed; demands.len()];
    let mut groups: BTreeMap<(Kind, String), Vec<(usize, u32)>> = BTreeMap::new();
    for (machine, available, withheld) in withheld {
        let provider = posed.machines[*machine].order().provider.to_string();
        let (group, count) = match withheld {
            None | Some(Withheld::SoldOut) => ((Kind::Stock, String::new()), hosts_max),
            Some(Withheld::Cooling(_)) => {
                ((Kind::Cooling, problem.machines[*machine].name.clone()), *available)
            }
            Some(Withheld::ProviderFails) => ((Kind::Failing, provider), *available),
            Some(Withheld::OtherRegion) => ((Kind::OtherRegion, provider), *available),
        };
        groups.entry(group).or_default().push((*machine, count));
    }
    // The limit to regions was written by the operator; the others pass, and stock can be bought elsewhere.
    for kind in [Kind::OtherRegion, Kind::Stock, Kind::Cooling, Kind::Failing] {
        for ((_, _), offers) in groups.iter().filter(|((of, _), _)| *of == kind) {
            demands.push(Demand::Stock(offers.clone()));
            kinds.push(kind.clone());
        }
    }
    (demands, kinds)
}
