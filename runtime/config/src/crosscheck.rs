//! Checks that need the whole spec: references, cycles, rules that can never hold.
//!
//! They work on the typed spec; the places in the file come from [`Places`].

mod entries;
mod start;

use crate::expr::eval::{self, Environment, Evaluated};
use crate::finding::{Findings, Span};
use crate::suggest;
use crate::template::PORT_FIELDS;
use rhizo_types::expr::Expr;
use rhizo_types::spec::{Comparison, Import, Measure, Pick, Replicas, Require, Rule, Spec};
use rhizo_types::{AttributeName, ComponentName, Number, PortName, ValueName};
use std::collections::BTreeMap;

/// The places of parts of the spec in the file.
#[derive(Default, Debug)]
pub(crate) struct Places {
    pub(crate) components: BTreeMap<ComponentName, Span>,
    /// The `from` of each import.
    pub(crate) imports: BTreeMap<(ComponentName, PortName), Span>,
    /// The `port` of each export that has one.
    pub(crate) ports: BTreeMap<(ComponentName, PortName), Span>,
    /// In the order of the spec's rules.
    pub(crate) requires: Vec<Span>,
    /// The weights that are written in the file.
    pub(crate) weights: Vec<Span>,
    /// Placeholders that name an import.
    pub(crate) imported: Vec<Imported>,
}

/// A placeholder `{import.PORT.FIELD}`.
#[derive(Debug)]
pub(crate) struct Imported {
    /// The exporter.
    pub(crate) component: ComponentName,
    /// Its export.
    pub(crate) export: PortName,
    /// The name of the import.
    pub(crate) import: PortName,
    /// The field of the placeholder.
    pub(crate) field: String,
    /// The place of the placeholder.
    pub(crate) span: Span,
}

/// Most group sizes that are tried for one rule.
const SIZES_MAX: u32 = 1_000;

/// Checks the whole spec.
pub(crate) fn check(spec: &Spec, places: &Places, findings: &mut Findings) {
    for (name, component) in &spec.components {
        for (port, import) in &component.imports {
            let Some(span) = places.imports.get(&(name.clone(), port.clone())) else { continue };
            check_import(spec, name, import, span, findings);
        }
    }
    places.imported.iter().for_each(|asked| check_imported(spec, asked, findings));
    entries::check(spec, places, findings);
    start::check(spec, places, findings);
    for (require, span) in spec.requires.iter().zip(&places.requires) {
        if let Some(component) = spec.components.get(&require.component) {
            check_rule(require, component.replicas, span, findings);
        }
    }
    // A weight that is left out is 1, so the sum can be zero only if all are written.
    let all_zero = spec.utilities.iter().all(|utility| utility.weight == Number::ZERO);
    if let (true, false, Some(span)) = (all_zero, spec.utilities.is_empty(), places.weights.first()) {
        findings
            .error(span.clone(), "all weights are zero: there is nothing to maximise")
            .hint("give at least one utility a positive weight, or remove them all");
    }
}

fn check_import(spec: &Spec, user: &ComponentName, import: &Import, span: &Span, findings: &mut Findings) {
    let Some(exporter) = spec.components.get(&import.component) else {
        let known = spec.components.keys().map(ComponentName::as_str);
        let hint = suggest::hint(import.component.as_str(), known, "components");
        findings
            .error(span.clone(), format!("there is no component `{}`", import.component))
            .maybe_hint(hint);
        return;
    };
    if !exporter.exports.contains_key(&import.export) {
        let known: Vec<&str> = exporter.exports.keys().map(PortName::as_str).collect();
        let hint = suggest::hint(import.export.as_str(), known, "exports")
            .unwrap_or_else(|| format!("add `exports.{} = {{}}` to `{}`", import.export, import.component));
        findings
            .error(
                span.clone(),
                format!("the component `{}` has no export `{}`", import.component, import.export),
            )
            .hint(hint);
        return;
    }
    let own = *user == import.component;
    let others = exporter.replicas.max - u32::from(own);
    if let Pick::Some(wanted) = import.pick
        && wanted > others
    {
        findings
            .error(span.clone(), format!("{wanted} exporters are asked for, but there are at most {others}"))
            .hint("lower `pick`, or raise the exporter's `replicas`");
    }
    if !import.optional && !own && exporter.replicas.min == 0 {
        findings
            .warning(
                span.clone(),
                format!("`{user}` needs `{}`, which may have no copy at all", import.component),
            )
            .hint("raise the exporter's `replicas.min`, or make the import optional");
    }
}

/// A placeholder may name the address of a service, or a value that the export lists.
fn check_imported(spec: &Spec, asked: &Imported, findings: &mut Findings) {
    // An exporter that does not exist is reported where it is imported.
    let exporter = spec.components.get(&asked.component);
    let Some(export) = exporter.and_then(|exporter| exporter.exports.get(&asked.export)) else { return };
    let Imported { import, field, span, .. } = asked;
    if PORT_FIELDS.contains(&field.as_str()) {
        if export.data {
            let message = format!("`{}.{}` has no address: it is data", asked.component, asked.export);
            findings.error(span.clone(), message);
        }
        return;
    }
    if !export.values.iter().any(|value| value.as_str() == field) {
        let address = PORT_FIELDS.iter().copied().filter(|_| !export.data);
        let known: Vec<&str> = address.chain(export.values.iter().map(ValueName::as_str)).collect();
        let hint = suggest::hint(field, known, "properties of this import");
        let message = format!("`{{import.{import}.{field}}}` asks for `{field}`, which is not given");
        findings.error(span.clone(), message).maybe_hint(hint);
    }
}

/// An environment that knows the number of hosts only.
struct Sized(u32);

impl Environment for Sized {
    fn attribute(&self, _name: &AttributeName) -> Option<Evaluated> {
        None
    }

    fn size(&self) -> Option<u32> {
        Some(self.0)
    }
}

fn check_rule(require: &Require, replicas: Replicas, span: &Span, findings: &mut Findings) {
    let sizes: Vec<u32> = (replicas.min.max(1)..=replicas.max).take(SIZES_MAX as usize).collect();
    match &require.rule {
        Rule::Each(_) => {}
        Rule::Group { measure, comparison, limit } => {
            let Some(limits) = limits(limit, &sizes, span, findings) else { return };
            let possible = limits.iter().any(|&(size, limit)| {
                let (least, most) = reach(measure, size);
                can_hold(*comparison, least, most, limit)
            });
            // If the range was cut off, the sizes beyond are not covered.
            if !possible && replicas.max <= SIZES_MAX {
                let text = crate::explain_rule(&require.rule);
                findings
                    .error(span.clone(), format!("`{text}` can never hold with {}", spoken(replicas)))
                    .hint("change the limit, or `replicas`");
            }
        }
        Rule::Spread { max, min_distinct, .. } => {
            if let Some(max) = max
                && let Some(limits) = limits(max, &sizes, span, findings)
                && let Some((size, limit)) = limits.iter().find(|(_, limit)| *limit < 1.0)
            {
                findings
                    .error(span.clone(), format!("with {size} machines, `max` allows {limit} in a class"))
                    .hint("`max` must be at least 1 for every allowed number of copies");
            }
            if let Some(min) = min_distinct
                && let Some(limits) = limits(min, &sizes, span, findings)
                && limits.iter().all(|(size, limit)| *limit > f64::from(*size))
                && replicas.max <= SIZES_MAX
            {
                findings
                    .error(
                        span.clone(),
                        format!("`min_distinct` asks for more classes than {}", spoken(replicas)),
                    )
                    .hint("lower `min_distinct`, or raise `replicas`");
            }
        }
    }
}

/// The limit for each size. Returns `None` and adds an error if it has no value for some size.
fn limits(limit: &Expr, sizes: &[u32], span: &Span, findings: &mut Findings) -> Option<Vec<(u32, f64)>> {
    let mut found = Vec::with_capacity(sizes.len());
    for &size in sizes {
        match eval::number(limit, &Sized(size)) {
            Ok(value) => found.push((size, value)),
            Err(error) => {
                findings.error(span.clone(), format!("the limit has no value with {size} machines: {error}"));
                return None;
            }
        }
    }
    Some(found)
}

/// The smallest and the greatest value that a measure can have.
fn reach(measure: &Measure, size: u32) -> (f64, f64) {
    let size = f64::from(size);
    match measure {
        Measure::Size => (size, size),
        Measure::DiameterMs | Measure::MaxAnchorLatencyMs | Measure::CostPerHour => (0.0, f64::INFINITY),
        Measure::Distinct(_) => (1.0, size),
        Measure::Count(_) => (0.0, size),
        Measure::Share(_) => (0.0, 1.0),
        Measure::Sum(_) | Measure::Average(_) => (f64::NEG_INFINITY, f64::INFINITY),
    }
}

fn can_hold(comparison: Comparison, least: f64, most: f64, limit: f64) -> bool {
    match comparison {
        Comparison::Less => least < limit,
        Comparison::LessOrEqual => least <= limit,
        Comparison::Greater => most > limit,
        Comparison::GreaterOrEqual => most >= limit,
        Comparison::Equal => (least..=most).contains(&limit),
    }
}

fn spoken(replicas: Replicas) -> String {
    match replicas {
        Replicas { min, max: 1 } if min <= 1 => "1 copy".to_owned(),
        Replicas { min, max } if min == max => format!("{max} copies"),
        Replicas { min, max } => format!("{min} to {max} copies"),
    }
}
