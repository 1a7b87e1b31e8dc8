//! The rules in MiniZinc's words.

use super::{MinizincError, Writer, comment, list, micro, milli, set, whole};
use crate::assignment::Instance;
use crate::check::{capacity_of, effective_needs, in_scope, kept_apart};
use crate::constraint::{Comparison, Constraint, Limit, Scope};
use crate::objective::Measure;
use crate::problem::{Named, Problem, Stock};

/// A number with what it was multiplied by to be whole.
pub(super) struct Scaled {
    pub(super) text: String,
    pub(super) factor: f64,
}

impl Writer<'_> {
    pub(super) fn rule(&mut self, named: &Named<Constraint>) -> Result<(), MinizincError> {
        self.line(&format!("% {}", comment(&named.name)));
        let text = match &named.item {
            Constraint::Each { scope, allowed } => self.within(scope, &|m| allowed[m]),
            Constraint::Ban { scope, machines } => self.within(scope, &|m| !machines.contains(&m)),
            Constraint::Bound { scope, measure, comparison, limit } => {
                self.bound(&named.name, (scope, measure), *comparison, limit)?
            }
            Constraint::Root { scope } => self.root(scope),
            Constraint::Quarantine { machines } => self.quarantine(machines),
            Constraint::MaxOnline { machines, max } => {
                format!("sum(h in {})(bool2int(used[h])) <= {max}", list(self.hosts(&|m| machines[m])))
            }
            // Capacities and needs are written with them.
            Constraint::Overbook { .. } | Constraint::Preserve { .. } => return Ok(()),
            Constraint::Budget { max_per_hour } => {
                format!("{} <= {}", self.total_price(), micro(*max_per_hour))
            }
            Constraint::Moves { scope, max } => {
                format!("{} <= {max}", self.displaced(scope))
            }
            Constraint::Versions { .. } | Constraint::Needs { .. } | Constraint::Breaks { .. } => {
                return Err(MinizincError::Unknown { name: named.name.clone(), why: "ranges of versions" });
            }
            Constraint::Require { .. }
            | Constraint::Linear { .. }
            | Constraint::Alternatives { .. }
            | Constraint::DependsOn { .. }
            | Constraint::Conflict { .. }
            | Constraint::Count { .. } => self.counted(&named.item),
            _ => self.on_cells(&named.item),
        };
        self.constraint(&text);
        Ok(())
    }

    fn within(&self, scope: &Scope, allowed: &dyn Fn(usize) -> bool) -> String {
        {
            let mut hosts = self.hosts(allowed);
            hosts.push(0);
            format!("forall(s in {})(at[s] in {})", self.group(scope), set(&hosts))
        }
    }

    /// Where a slot runs now: its host's number, or 0.
    fn current(&self) -> Vec<usize> {
        let now = |i: &crate::assignment::Instance| {
            self.problem.components[i.component].current_of(i.ordinal).map_or(0, |m| self.host(m))
        };
        self.slots.iter().map(now).collect()
    }

    fn displaced(&self, scope: &Scope) -> String {
        let now = list(self.current());
        format!("sum(s in {})(bool2int({now}[s] > 0 /\\ at[s] != {now}[s]))", self.group(scope))
    }

    fn root(&self, scope: &Scope) -> String {
        format!("{} = 0", self.displaced(scope))
    }

    fn quarantine(&self, machines: &[bool]) -> String {
        let (now, closed) = (list(self.current()), set(&self.hosts(&|m| machines[m])));
        format!(
            "forall(s in 1..S)(at[s] > 0 /\\ at[s] != {now}[s] -> not (at[s] in {closed}) /\\ not ({now}[s] in {closed}))"
        )
    }

    /// The class of each host from 1, 0 where there is none.
    fn classes(&self, partition: usize) -> String {
        let class_of = &self.problem.partitions[partition].class_of;
        self.by_host(0, &|m| class_of[m].map_or(0, |c| i64::try_from(c + 1).unwrap_or(0)))
    }

    /// Rules over hosts or classes that are shared.
    fn on_cells(&self, rule: &Constraint) -> String {
        match rule {
            Constraint::Apart { scope, partition: None } => {
                format!("forall(h in 1..H)(on({}, h) <= 1)", self.group(scope))
            }
            Constraint::Apart { scope, partition: Some(p) } => {
                let (g, k, count) = self.classed(scope, *p);
                format!("classed({g}, {k}) /\\ forall(c in 1..{count})(in_class({g}, {k}, c) <= 1)")
            }
            Constraint::Gather { scope, partition } => {
                let g = self.group(scope);
                let (known, cell) = match partition {
                    None => ("true".to_owned(), "at".to_owned()),
                    Some(p) => (format!("classed({g}, {})", self.classes(*p)), self.classes(*p)),
                };
                let of = |s: &str| {
                    if partition.is_some() { format!("{cell}[at[{s}]]") } else { format!("at[{s}]") }
                };
                format!(
                    "{known} /\\ forall(s, t in {g} where s < t)(at[s] = 0 \\/ at[t] = 0 \\/ {} = {})",
                    of("s"),
                    of("t")
                )
            }
            Constraint::Split { scopes, partition } => self.split(scopes, *partition),
            Constraint::Lonely { scope } => {
                let g = self.group(scope);
                format!(
                    "forall(s in {g}, t in 1..S where not (t in array2set({g})))(at[s] = 0 \\/ at[s] != at[t])"
                )
            }
            Constraint::Together { components } => {
                let groups: Vec<String> =
                    components.iter().map(|c| self.group(&Scope::Component(*c))).collect();
                let pairs: Vec<String> =
                    groups.windows(2).map(|w| format!("has({}, h) = has({}, h)", w[0], w[1])).collect();
                format!("forall(h in 1..H)({})", and(&pairs))
            }
            Constraint::Everywhere { component } => {
                let excuses =
                    (0..self.problem.components.len()).filter(|c| kept_apart(self.problem, *component, *c));
                let here: Vec<String> = [*component]
                    .into_iter()
                    .chain(excuses)
                    .map(|c| format!("has({}, h)", self.group(&Scope::Component(c))))
                    .collect();
                format!("forall(h in 1..H)(used[h] -> {})", here.join(" \\/ "))
            }
            _ => self.on_classes(rule),
        }
    }

    /// Rules over the classes that a group covers.
    fn on_classes(&self, rule: &Constraint) -> String {
        match rule {
            Constraint::Neighbour { user, provider, partition } => {
                let (g, k, count) = self.classed(user, *partition);
                let p = self.group(provider);
                format!(
                    "classed({g}, {k}) /\\ forall(c in 1..{count})(in_class({g}, {k}, c) > 0 -> in_class({p}, {k}, c) > 0)"
                )
            }
            Constraint::Spread { scope, partition, max_in_class, min_distinct } => {
                let (g, k, count) = self.classed(scope, *partition);
                let mut all = vec![format!("classed({g}, {k})")];
                if let Some(limit) = max_in_class {
                    let limit = limit_text(limit, &g, 1.0, f64::floor);
                    all.push(format!("forall(c in 1..{count})(in_class({g}, {k}, c) <= {limit})"));
                }
                if let Some(limit) = min_distinct {
                    let distinct = format!("sum(c in 1..{count})(bool2int(in_class({g}, {k}, c) > 0))");
                    all.push(format!("{distinct} >= {}", limit_text(limit, &g, 1.0, f64::ceil)));
                }
                and(&all)
            }
            Constraint::Survive { scope, partition, min_left } => {
                let (g, k, count) = self.classed(scope, *partition);
                let left = limit_text(min_left, &g, 1.0, f64::ceil);
                format!(
                    "classed({g}, {k}) /\\ size({g}) >= {left} /\\ forall(c in 1..{count})(size({g}) - in_class({g}, {k}, c) >= {left})"
                )
            }
            Constraint::Reserve { scope, partition, resource, share } => {
                self.reserve(scope, (*partition, *resource), *share)
            }
            _ => "true".to_owned(),
        }
    }

    /// A scope's slots, the classes of hosts, and how many classes there are.
    fn classed(&self, scope: &Scope, partition: usize) -> (String, String, usize) {
        (self.group(scope), self.classes(partition), self.problem.partitions[partition].classes.len())
    }

    fn split(&self, scopes: &[Scope], partition: Option<usize>) -> String {
        let mut all = Vec::new();
        for (at, a) in scopes.iter().enumerate() {
            if let Some(p) = partition {
                all.push(format!("classed({}, {})", self.group(a), self.classes(p)));
            }
            for b in &scopes[at + 1..] {
                let (a, b) = (self.group(a), self.group(b));
                let apart = match partition {
                    None => "at[s] != at[t]".to_owned(),
                    Some(p) => format!("{0}[at[s]] != {0}[at[t]]", self.classes(p)),
                };
                all.push(format!("forall(s in {a}, t in {b})(at[s] = 0 \\/ at[t] = 0 \\/ {apart})"));
            }
        }
        and(&all)
    }

    fn reserve(&self, scope: &Scope, (partition, resource): (usize, usize), share: f64) -> String {
        let (g, k, count) = self.classed(scope, partition);
        let needs = effective_needs(self.problem, resource);
        let need = list(self.slots.iter().map(|i| milli(needs(*i))));
        let capacity =
            list(self.places.iter().map(|p| milli(capacity_of(self.problem, p.machine, resource))));
        let kept = list(self.places.iter().map(|p| self.problem.machines[p.machine].stock == Stock::Kept));
        let load = format!("sum(s in 1..S)({need}[s] * bool2int(at[s] = h))");
        format!(
            "classed({g}, {k}) /\\ forall(c in 1..{count})(1000 * sum(h in 1..H where {k}[h] != c /\\ {k}[h] > 0)(bool2int(used[h] \\/ {kept}[h]) * max(0, {capacity}[h] - {load})) >= {} * sum(s in {g})({need}[s] * bool2int({k}[at[s]] = c)))",
            milli(share)
        )
    }

    fn counted(&self, rule: &Constraint) -> String {
        let count = |c: &usize| format!("size({})", self.group(&Scope::Component(*c)));
        let runs = |c: &usize| format!("bool2int({} > 0)", count(c));
        let sum = |terms: Vec<String>| if terms.is_empty() { "0".to_owned() } else { terms.join(" + ") };
        match rule {
            Constraint::Require { user, provider, per_user, per_provider, exactly } => {
                let (u, p) = (count(user), count(provider));
                let spare = format!("({p} = 0 \\/ {per_user} * {u} > ({p} - 1) * {per_provider})");
                let enough = format!("{per_user} * {u} <= {per_provider} * {p}");
                if *exactly { format!("{enough} /\\ {spare}") } else { enough }
            }
            Constraint::Linear { terms, max } => {
                format!(
                    "{} <= {max}",
                    sum(terms.iter().map(|(c, w)| format!("{w} * {}", count(c))).collect())
                )
            }
            Constraint::Alternatives { components, min, max } => {
                format!("{} in {min}..{max}", sum(components.iter().map(runs).collect()))
            }
            Constraint::Count { components, min, max } => {
                format!("{} in {min}..{max}", sum(components.iter().map(count).collect()))
            }
            Constraint::DependsOn { component, any_of } => {
                format!("{} > 0 -> {} > 0", count(component), sum(any_of.iter().map(runs).collect()))
            }
            Constraint::Conflict { first, second } => format!("{} + {} <= 1", runs(first), runs(second)),
            _ => "true".to_owned(),
        }
    }

    fn bound(
        &self,
        name: &str,
        (scope, measure): (&Scope, &Measure),
        comparison: Comparison,
        limit: &Limit,
    ) -> Result<String, MinizincError> {
        let value = self.measure(name, scope, measure)?;
        let sign = match comparison {
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
            Comparison::Equal => "=",
        };
        // A limit between two whole numbers is met by the same ones as the whole number it is rounded towards.
        let exact = |v: f64| (v - v.round()).abs() < 1e-9;
        let round = |v: f64| match comparison {
            _ if exact(v) => v.round(),
            Comparison::Less | Comparison::GreaterOrEqual => v.ceil(),
            Comparison::LessOrEqual | Comparison::Greater => v.floor(),
            // Never met by a whole number.
            Comparison::Equal => -1e12,
        };
        Ok(format!("{} {sign} {}", value.text, limit_text(limit, &self.group(scope), value.factor, round)))
    }

    /// A number of a group, and where it cannot be worked out nothing of the group may be.
    pub(super) fn measure(
        &self,
        name: &str,
        scope: &Scope,
        measure: &Measure,
    ) -> Result<Scaled, MinizincError> {
        let unknown = |why| Err(MinizincError::Unknown { name: name.to_owned(), why });
        let g = self.group(scope);
        let plain = |text: String| Ok(Scaled { text, factor: 1.0 });
        match measure {
            Measure::Size => plain(format!("size({g})")),
            Measure::Hosts => plain(format!("sum(h in 1..H)(bool2int(has({g}, h)))")),
            Measure::Count(mask) => {
                let hosts = set(&self.hosts(&|m| mask[m]));
                plain(format!("sum(s in {g})(bool2int(at[s] in {hosts}))"))
            }
            Measure::Distinct(p) => {
                let (g, k, count) = self.classed(scope, *p);
                plain(format!("sum(c in 1..{count})(bool2int(in_class({g}, {k}, c) > 0))"))
            }
            Measure::Price => {
                let prices = list(self.places.iter().map(|p| micro(self.problem.machines[p.machine].price)));
                let text = format!("sum(h in 1..H)({prices}[h] * bool2int(has({g}, h)))");
                Ok(Scaled { text, factor: 1e6 })
            }
            Measure::TotalPrice => Ok(Scaled { text: self.total_price(), factor: 1e6 }),
            Measure::Sum(q) => {
                let values = &self.problem.quantities[*q].values;
                let by_host = self.by_host(0, &|m| values[m].map_or(0, milli));
                Ok(Scaled { text: format!("sum(s in {g})({by_host}[at[s]])"), factor: 1e3 })
            }
            Measure::DiameterMs => Ok(self.latency(&g, &g)),
            Measure::PairLatencyMs(other) => Ok(self.latency(&g, &self.group(other))),
            // Without an instance the distance is without limit.
            Measure::AnchorLatencyMs if !self.is_never_empty(scope) => unknown("the distance of no instance"),
            Measure::AnchorLatencyMs => Ok(self.anchors(&g)),
            Measure::Share(_) | Measure::Average(_) | Measure::MeanPairLatencyMs(_) => {
                unknown("a quotient of variables")
            }
            Measure::Overload { .. } | Measure::Imbalance { .. } => unknown("load beyond soft limits"),
        }
    }

    /// The largest round-trip time between hosts of two groups.
    fn latency(&self, a: &str, b: &str) -> Scaled {
        let sites = self.problem.latency.sites;
        let rows = (0..sites).flat_map(|x| (0..sites).map(move |y| (x, y)));
        let times = list(rows.map(|(x, y)| milli(self.problem.latency.ms(x, y))));
        let site = self.by_host(0, &|m| site_number(self.problem, m));
        let text = format!(
            "max([0] ++ [let {{ var int: x = {site}[at[s]]; var int: y = {site}[at[t]]; }} in if x = 0 \\/ y = 0 \\/ at[s] = at[t] then 0 else {times}[max(1, (x - 1) * {sites} + y)] endif | s in {a}, t in {b}])"
        );
        Scaled { text, factor: 1e3 }
    }

    fn is_never_empty(&self, scope: &Scope) -> bool {
        self.problem.anchors.is_empty()
            || self.problem.components.iter().enumerate().any(|(component, c)| {
                c.replicas_min > 0 && in_scope(scope, Instance { component, ordinal: 0 })
            })
    }

    fn anchors(&self, g: &str) -> Scaled {
        let far = self.problem.anchors.iter().flatten().copied().map(milli).max().unwrap_or(0);
        let mut all = vec!["0".to_owned()];
        for anchor in &self.problem.anchors {
            let to = self.by_host(far, &|m| self.problem.machines[m].site.map_or(far, |s| milli(anchor[s])));
            all.push(format!("min([{far}] ++ [{to}[at[s]] | s in {g}])"));
        }
        Scaled { text: format!("max({})", list(all)), factor: 1e3 }
    }
}

/// A machine's site from 1, 0 where it has none.
fn site_number(problem: &Problem, machine: usize) -> i64 {
    problem.machines[machine].site.map_or(0, |s| i64::try_from(s + 1).unwrap_or(0))
}

/// A limit in whole numbers, looked up by the size of the group where it depends on that.
fn limit_text(limit: &Limit, group: &str, factor: f64, round: impl Fn(f64) -> f64) -> String {
    match limit {
        Limit::Constant(value) => whole(round(value * factor)).to_string(),
        Limit::BySize(values) => {
            let numbers = list(values.iter().map(|v| whole(round(v * factor))));
            format!("array1d(0..{0}, {numbers})[min({0}, size({group}))]", values.len() - 1)
        }
    }
}

fn and(all: &[String]) -> String {
    if all.is_empty() { "true".to_owned() } else { all.join(" /\\ ") }
}
