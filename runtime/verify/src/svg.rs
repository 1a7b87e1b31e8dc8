//! A drawing of an assembly and of its deployment in time: boxes and arrows above, a Gantt chart below.
//!
//! It returns text and writes no file. The certain part of a bar has full colour and the possible part is pale; the
//! critical path is dark.

use crate::schedule::{Bar, Schedule};
use rhizo_protocol::Ledger;
use rhizo_types::id::InstanceId;
use std::collections::BTreeMap;
use std::fmt::Write as _;

const BOX_WIDTH: usize = 130;
const BOX_HEIGHT: usize = 26;
const GAP: usize = 50;
const ROW: usize = 22;
/// Left edge of the chart, right of the names.
const CHART_LEFT: usize = 230;
const CHART_WIDTH: usize = 700;

/// The drawing of a ledger's target and its schedule.
#[must_use]
pub fn draw(ledger: &Ledger, schedule: &Schedule) -> String {
    let places = layers(ledger);
    let height = places.values().map(|(_, row)| row + 1).max().unwrap_or(0) * (BOX_HEIGHT + GAP / 2) + GAP;
    let columns = places.values().map(|(column, _)| column + 1).max().unwrap_or(0);
    let width = (columns * (BOX_WIDTH + GAP) + GAP).max(CHART_LEFT + CHART_WIDTH + GAP);
    let total = height + (schedule.bars.len() + 2) * ROW;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{total}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<defs><marker id=\"a\" markerWidth=\"8\" markerHeight=\"8\" refX=\"7\" refY=\"3\" \
         orient=\"auto\"><path d=\"M0,0 L7,3 L0,6 z\"/></marker></defs>\n"
    );
    arrows(ledger, &places, &mut svg);
    for (instance, place) in &places {
        let (x, y) = corner(*place);
        let node = ledger.target.instances.get(*instance).map(|placed| placed.node.to_string());
        add(
            &mut svg,
            format_args!(
                "<rect x=\"{x}\" y=\"{y}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" rx=\"4\" fill=\"#eef3fb\" \
             stroke=\"#35507a\"/><text x=\"{}\" y=\"{}\">{} <tspan fill=\"#777\">{}</tspan></text>\n",
                x + 8,
                y + 17,
                escaped(&instance.to_string()),
                escaped(&node.unwrap_or_default()),
            ),
        );
    }
    chart(schedule, height, &mut svg);
    svg.push_str("</svg>\n");
    svg
}

fn add(svg: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _infallible = svg.write_fmt(text);
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

fn corner((column, row): (usize, usize)) -> (usize, usize) {
    (GAP / 2 + column * (BOX_WIDTH + GAP), GAP / 2 + row * (BOX_HEIGHT + GAP / 2))
}

/// Column and row of every instance: exporters to the left of their importers, as far as there is no cycle.
fn layers(ledger: &Ledger) -> BTreeMap<&InstanceId, (usize, usize)> {
    let target = &ledger.target;
    let mut columns: BTreeMap<&InstanceId, usize> = target.instances.keys().map(|i| (i, 0)).collect();
    // Without cycles, as many rounds as there are instances suffice. With cycles, this bound ends the loop.
    for _ in 0..target.instances.len() {
        for (importer, imports) in &target.bindings {
            let exporters = imports.values().flatten().filter(|exporter| *exporter != importer);
            let column = exporters.filter_map(|exporter| columns.get(exporter)).max().map(|most| most + 1);
            let last = target.instances.len().saturating_sub(1);
            if let (Some(column), Some(own)) = (column, columns.get_mut(importer)) {
                *own = (*own).max(column.min(last));
            }
        }
    }
    let mut rows: BTreeMap<usize, usize> = BTreeMap::new();
    let placed = columns.into_iter().map(|(instance, column)| {
        let row = rows.entry(column).or_default();
        *row += 1;
        (instance, (column, *row - 1))
    });
    placed.collect()
}

fn arrows(ledger: &Ledger, places: &BTreeMap<&InstanceId, (usize, usize)>, svg: &mut String) {
    for (importer, imports) in &ledger.target.bindings {
        let component = ledger
            .target
            .instances
            .get(importer)
            .and_then(|placed| ledger.component_of(importer, placed.version));
        for (port, exporters) in imports {
            let optional = component.and_then(|c| c.imports.get(port)).is_some_and(|import| import.optional);
            let dash = if optional { " stroke-dasharray=\"4 3\"" } else { "" };
            for exporter in exporters {
                let (Some(from), Some(to)) = (places.get(importer), places.get(exporter)) else { continue };
                let ((x1, y1), (x2, y2)) = (corner(*from), corner(*to));
                add(
                    svg,
                    format_args!(
                        "<line x1=\"{x1}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" stroke=\"#35507a\"{dash} \
                     marker-end=\"url(#a)\"/>\n",
                        y1 + BOX_HEIGHT / 2,
                        x2 + BOX_WIDTH,
                        y2 + BOX_HEIGHT / 2,
                    ),
                );
            }
        }
    }
}

fn chart(schedule: &Schedule, top: usize, svg: &mut String) {
    let total = schedule.total_ms.1.max(1);
    let x = |ms: u64| {
        let share = u128::from(ms) * CHART_WIDTH as u128 / u128::from(total);
        CHART_LEFT + usize::try_from(share).unwrap_or(CHART_WIDTH)
    };
    add(
        svg,
        format_args!(
            "<text x=\"{CHART_LEFT}\" y=\"{}\">{} to {} ms</text>\n",
            top + 14,
            schedule.total_ms.0,
            schedule.total_ms.1
        ),
    );
    for (row, bar) in schedule.bars.iter().enumerate() {
        let y = top + (row + 1) * ROW;
        let Bar { begin_ms, end_ms, .. } = bar;
        let (pale, full) = if bar.is_critical { ("#e6a08c", "#b5371f") } else { ("#bcd0ee", "#35507a") };
        let name = escaped(&format!("{} {}", bar.instance, bar.transition));
        add(svg, format_args!("<text x=\"8\" y=\"{}\">{name}</text>\n", y + 13));
        let (begin, end) = (x(begin_ms.1), x(end_ms.1));
        let certain = x(begin_ms.1 + (end_ms.0 - begin_ms.0));
        for (from, to, colour) in [(begin, end, pale), (begin, certain, full)] {
            add(
                svg,
                format_args!(
                    "<rect x=\"{from}\" y=\"{y}\" width=\"{}\" height=\"{}\" fill=\"{colour}\"/>\n",
                    to.saturating_sub(from).max(1),
                    ROW - 6,
                ),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::truth::deployed;
    use crate::scenario::{Faults, Scenario, component, spec, wish};
    use crate::schedule::{Durations, schedule};
    use rhizo_types::spec::Pick;

    #[test]
    fn every_instance_has_a_box_and_every_binding_an_arrow() {
        let scenario = Scenario {
            name: String::new(),
            specs: vec![spec(&[("web", component(&[("db", false, Pick::One)])), ("db", component(&[]))])],
            hosts: 1,
            wishes: vec![wish(&[("web", &[0, 0]), ("db", &[0])])],
            faults: Faults::default(),
        };
        let ledger = deployed(&scenario).unwrap();
        let svg = draw(&ledger, &schedule(&ledger, &Durations::new()));
        assert_eq!(svg.matches("rx=\"4\"").count(), 3);
        assert_eq!(svg.matches("<line").count(), 2);
        assert!(svg.contains(">web.1 start<") && svg.ends_with("</svg>\n"));
    }
}
