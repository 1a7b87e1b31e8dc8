//! The sentences of an explanation: for each conflict its demands, the numbers that they meet, and the remedies.

use super::rules::Rules;
use super::words::{all_of, amount, bare_amount, end_of_pause, list, price};
use super::{Explanation, Kind};
use crate::catalogue::{Catalogue, Withheld};
use crate::posed::Posed;
use rhizo_protocol::SolveRequest;
use rhizo_solver::explain::{Demand, most_copies, nearest_limit, without};
use rhizo_solver::{Of, Problem};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that the sentences of one explanation are made from.
pub(super) struct Causes<'a, 'b, 'c> {
    pub(super) request: &'a SolveRequest,
    pub(super) catalogue: &'a Catalogue,
    pub(super) posed: &'a Posed,
    pub(super) demands: &'a [Demand],
    pub(super) kinds: &'a [Kind],
    /// For each offer: its machine, the number of its hosts, and why it cannot be ordered.
    pub(super) withheld: &'a [(usize, u32, Option<Withheld>)],
    pub(super) conflicts: &'a [Vec<usize>],
    pub(super) is_held: bool,
    pub(super) limits: &'b mut Explanation<'c>,
}

/// The clauses and the remedies of one conflict.
#[derive(Default)]
struct Said {
    clauses: Vec<String>,
    remedies: Vec<String>,
}

impl Said {
    fn add(&mut self, clause: String, remedy: Option<String>) {
        self.clauses.push(clause);
        self.remedies.extend(remedy.filter(|remedy| !self.remedies.contains(remedy)));
    }

    fn sentence(self) -> String {
        let clauses = self.clauses.join("; ");
        match self.remedies.as_slice() {
            [] => clauses,
            remedies => format!("{clauses}. Remedy: {}", remedies.join(", or ")),
        }
    }
}

impl Causes<'_, '_, '_> {
    /// One sentence for each conflict, and what else keeps hosts away; never empty.
    pub(super) fn sentences(&mut self, complete: bool) -> Vec<String> {
        let conflicts = self.conflicts;
        let mut sentences: Vec<String> = conflicts.iter().map(|conflict| self.conflict(conflict)).collect();
        for (provider, reason) in self.catalogue.silent() {
            if self.request.spec.providers.contains_key(provider) {
                sentences.push(format!(
                    "the offers of provider {provider} are not known, because it does not answer: {reason}"
                ));
            }
        }
        if self.posed.machines.is_empty() {
            sentences.push("there is no host, and no provider sells any: add offers".to_owned());
        } else if conflicts.is_empty() {
            sentences.push(self.undecided());
        } else if !complete {
            sentences.push("this list is not complete: there may be further causes".to_owned());
        }
        sentences
    }

    fn problem(&self) -> &Problem {
        &self.posed.problem
    }

    fn name(&self, component: usize) -> &str {
        &self.problem().components[component].name
    }

    /// The problem without the causes that other sentences name.
    fn alone(&self, conflict: &[usize]) -> Problem {
        let others = self.conflicts.iter().filter(|other| *other != conflict);
        let others: Vec<usize> = others.flatten().copied().collect();
        without(self.problem(), self.demands, &others)
    }

    fn conflict(&mut self, conflict: &[usize]) -> String {
        let alone = self.alone(conflict);
        let mut said = Said::default();
        let is_stock_in = conflict.iter().any(|demand| self.kinds[*demand] == Kind::Stock);
        self.needs(conflict, &mut said);
        for demand in conflict {
            match (&self.demands[*demand], &self.kinds[*demand]) {
                (Demand::Rule(rule), _) => self.rule(*rule, &alone, &mut said),
                (Demand::Values(utility), _) => self.values(*utility, &mut said),
                (Demand::Copies(component), _) => self.copies(*component, is_stock_in, &alone, &mut said),
                (Demand::Stock(offers), kind) => self.offers(offers, kind, &mut said),
                (Demand::Need { .. }, _) => {}
            }
        }
        said.sentence()
    }

    /// The needs of a conflict, by component, and the capacities that they meet.
    fn needs(&self, conflict: &[usize], said: &mut Said) {
        let mut needs: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut users: BTreeMap<u16, Vec<String>> = BTreeMap::new();
        for demand in conflict {
            let Demand::Need { component, resource } = self.demands[*demand] else { continue };
            match self.posed.ports.get(&resource) {
                Some(port) => users.entry(*port).or_default().push(self.name(component).to_owned()),
                None => needs.entry(component).or_default().push(resource),
            }
        }
        for (component, resources) in &needs {
            self.need(*component, resources, said);
        }
        for (port, users) in &users {
            let number = if users.len() == 2 { "both" } else { "all" };
            let clause = format!("{} {number} need port {port}, which a host has once", all_of(users));
            said.add(
                clause,
                Some("give one of them another `port`, or no `port` to have one allocated".to_owned()),
            );
        }
    }

    fn need(&self, component: usize, resources: &[usize], said: &mut Said) {
        let (problem, name) = (self.problem(), self.name(component));
        let need = |resource: usize| problem.components[component].need(0, resource);
        let resource_name = |resource: usize| problem.resources[resource].name.as_str();
        let needed: Vec<String> = resources.iter().map(|r| amount(resource_name(*r), need(*r))).collect();
        let mut clause = format!("{name} needs {}", all_of(&needed));
        let largest = |resource: usize| {
            let capacities =
                problem.machines.iter().map(|machine| (machine.capacity[resource], &machine.name));
            capacities.max_by(|a, b| a.0.total_cmp(&b.0))
        };
        let mut remedies: Vec<String> = Vec::new();
        let mut is_too_large = false;
        for resource in resources {
            let Some((most, machine)) = largest(*resource) else { continue };
            if need(*resource) > most {
                let have = bare_amount(resource_name(*resource), most);
                clause = format!("{clause}; the largest host or offer has {have} ({machine})");
                if most > 0.0 {
                    remedies.push(format!("lower `needs.{}` of {name} to {have}", resource_name(*resource)));
                }
                is_too_large = true;
            }
        }
        if !is_too_large {
            let machines = (0..problem.machines.len()).map(|machine| {
                let have = resources
                    .iter()
                    .map(|r| amount(resource_name(*r), problem.machines[machine].capacity[*r]));
                format!("{} has {}", problem.machines[machine].name, all_of(&have.collect::<Vec<_>>()))
            });
            clause = format!("{clause} a copy; {}", list(&machines.collect::<Vec<_>>()));
            remedies.push(format!("lower the needs of {name}"));
        }
        remedies.push("add larger hosts".to_owned());
        said.clauses.push(clause);
        for remedy in remedies {
            if !said.remedies.contains(&remedy) {
                said.remedies.push(remedy);
            }
        }
    }

    fn copies(&mut self, component: usize, is_stock_in: bool, alone: &Problem, said: &mut Said) {
        let name = self.name(component).to_owned();
        let least = self.problem().components[component].replicas_min;
        let clause = if is_stock_in {
            format!("{name} needs {least} hosts, because its {least} copies run on different hosts")
        } else {
            format!("{name} has at least {least} copies")
        };
        let most = most_copies(alone, component, self.limits.stop);
        said.add(clause, most.map(|most| format!("lower `replicas` of {name} to {most}")));
    }

    fn offers(&self, offers: &[(usize, u32)], kind: &Kind, said: &mut Said) {
        let machine = |(machine, _): &(usize, u32)| self.problem().machines[*machine].name.clone();
        let names: Vec<String> = offers.iter().map(machine).collect();
        let provider =
            offers.first().map(|(machine, _)| self.posed.machines[*machine].order().provider.clone());
        let provider = provider.map_or_else(String::new, |provider| provider.to_string());
        match kind {
            Kind::Posed => {}
            Kind::Stock => {
                let (count, hosts) = self.stock();
                let unit = if count == 1 { "host" } else { "hosts" };
                said.add(format!("{count} {unit} can be had: {hosts}"), Some("add offers".to_owned()));
            }
            Kind::Cooling => {
                let cooling = offers.iter().find_map(|(machine, _)| {
                    let offer = self.withheld.iter().find(|(at, ..)| at == machine)?;
                    if let Some(Withheld::Cooling(cooling)) = &offer.2 { Some(cooling) } else { None }
                });
                let Some(cooling) = cooling else { return };
                let end = end_of_pause(cooling.left_ms, self.limits.at_unix_ms);
                let clause = format!("offer {} cools down {end} ({})", list(&names), cooling.reason);
                said.add(clause, Some("wait".to_owned()));
            }
            Kind::Failing => {
                let clause = format!(
                    "provider {provider} does not answer, so that {} cannot be ordered",
                    list(&names)
                );
                said.add(clause, Some("wait".to_owned()));
            }
            Kind::OtherRegion => {
                let provider_of = |name: &rhizo_types::ProviderName| name.to_string() == provider;
                let wanted = self.request.spec.providers.iter().find(|(name, _)| provider_of(name));
                let wanted: Vec<String> =
                    wanted.iter().flat_map(|(_, spec)| &spec.regions).map(ToString::to_string).collect();
                let sold: BTreeSet<String> = offers
                    .iter()
                    .map(|(machine, _)| self.posed.machines[*machine].order().region.to_string())
                    .collect();
                let sold: Vec<String> = sold.into_iter().collect();
                let clause = format!(
                    "provider {provider} is limited to {}; it also sells in {}",
                    list(&wanted),
                    list(&sold)
                );
                said.add(clause, Some(format!("add a region to `regions` of provider {provider}")));
            }
        }
    }

    /// The number of hosts that can be had now, and where from.
    fn stock(&self) -> (u64, String) {
        let problem = self.problem();
        let first_offer = problem.machines.len() - self.withheld.len();
        let hosts = problem.machines.iter().take(first_offer).map(|machine| (1, machine.name.clone()));
        let offers = self
            .withheld
            .iter()
            .filter(|(_, _, withheld)| matches!(withheld, None | Some(Withheld::SoldOut)));
        let offers = offers.map(|(machine, ..)| {
            let machine = &problem.machines[*machine];
            (u64::from(machine.copies_max()), format!("{} of {}", machine.copies_max(), machine.name))
        });
        let all: Vec<(u64, String)> = hosts.chain(offers).collect();
        let names: Vec<String> = all.iter().map(|(_, name)| name.clone()).collect();
        let names = if names.is_empty() { "no offer can be ordered".to_owned() } else { list(&names) };
        (all.iter().map(|(count, _)| count).sum(), names)
    }

    fn values(&self, utility: usize, said: &mut Said) {
        let problem = self.problem();
        let named = &problem.utilities[utility];
        let quantity = match &named.item.of {
            Of::Each { quantity, .. } => Some(problem.quantities[*quantity].name.clone()),
            Of::Group { measure, .. } => self.read_by(measure),
        };
        let what = quantity.unwrap_or_else(|| "a value".to_owned());
        let clause = format!("utility `{}` reads `{what}`, which too few hosts and offers have", named.name);
        let remedy = format!(
            "supply it by a sensor or a column of the offers, write `has(…) ? … : …`, or remove `{}`",
            named.name
        );
        said.add(clause, Some(remedy));
    }

    fn read_by(&self, measure: &rhizo_solver::Measure) -> Option<String> {
        use rhizo_solver::Measure::{AnchorLatencyMs, Average, DiameterMs, Distinct, Sum};
        match measure {
            Sum(quantity) | Average(quantity) => Some(self.problem().quantities[*quantity].name.clone()),
            Distinct(partition) => Some(self.problem().partitions[*partition].name.clone()),
            DiameterMs | AnchorLatencyMs => Some("latency".to_owned()),
            _ => None,
        }
    }

    fn rule(&mut self, rule: usize, alone: &Problem, said: &mut Said) {
        let name = &self.posed.problem.constraints[rule].name;
        let position = alone.constraints.iter().position(|other| other.name == *name);
        let nearest = position.and_then(|position| nearest_limit(alone, position, self.limits.stop));
        let rules = Rules {
            request: self.request,
            posed: self.posed,
            currency: self.catalogue.currency().unwrap_or_default(),
            is_held: self.is_held,
        };
        let (clause, remedy) = rules.said(rule, nearest);
        said.add(clause, Some(remedy));
    }

    /// The limits that apply, where the causes could not be found in time.
    fn undecided(&self) -> String {
        let problem = self.problem();
        let copies: u64 = problem.components.iter().map(|component| u64::from(component.replicas_min)).sum();
        let (hosts, names) = self.stock();
        let mut text = format!(
            "the causes were not found in the time for it: at least {copies} copies of {} components are wanted, {hosts} hosts can be had ({names})",
            problem.components.len()
        );
        for resource in (0..problem.resources.len()).filter(|at| !self.posed.ports.contains_key(at)) {
            let name = &problem.resources[resource].name;
            let needed: f64 =
                problem.components.iter().map(|c| f64::from(c.replicas_min) * c.need(0, resource)).sum();
            let have: f64 =
                problem.machines.iter().map(|m| f64::from(m.copies_max()) * m.capacity[resource]).sum();
            text = format!(
                "{text}, {} of {name} is needed and {} there",
                bare_amount(name, needed),
                bare_amount(name, have)
            );
        }
        if let Some(budget) = &self.request.spec.budget {
            text = format!("{text}, the budget is {}", price(budget.max_hourly.get(), &budget.currency));
        }
        let rules: Vec<String> =
            problem.constraints.iter().map(|named| format!("`{}`", named.name)).collect();
        if !rules.is_empty() {
            text = format!("{text}, and these rules apply: {}", list(&rules));
        }
        format!("{text}. Remedy: give `optimise.deadline` more time, or leave out rules one by one")
    }
}
