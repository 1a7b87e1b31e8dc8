//! Answers as text for people, without colours. Scripts use `--json` instead.

use super::table::Table;
use crate::admin::{EventRecord, Status};
use rhizo_planning::Record;
use rhizo_types::Number;
use std::fmt::Write as _;

/// Writing to a string cannot fail, so its results are ignored in one place.
macro_rules! line {
    ($text:expr, $($part:tt)*) => {{
        let _infallible = writeln!($text, $($part)*);
    }};
}

pub(crate) fn status(status: &Status) -> String {
    let mut text = String::new();
    let coordinator = status.coordinator.as_deref().unwrap_or("nobody");
    line!(text, "{} is {}; {coordinator} coordinates in term {}", status.app, status.state, status.term);
    let utility = status.utility.map_or_else(|| "not known".to_owned(), |utility| format!("{utility:.4}"));
    line!(
        text,
        "utility {utility}, {:.4} an hour, spec {}, target {}",
        status.cost_per_hour,
        status.spec,
        status.target
    );
    text.push('\n');
    text.push_str(&nodes(status).text());
    text.push('\n');
    text.push_str(&instances(status).text());
    if status.intents.open > 0 {
        line!(text, "\n{} intents open, {} of them unknown", status.intents.open, status.intents.unknown);
    }
    if let Some(script) = status.script.as_ref().filter(|script| script.state == "running") {
        let (line, statement) = (script.line.unwrap_or_default(), script.statement.as_deref().unwrap_or(""));
        line!(text, "\nscript {} is at line {line}: {statement}", script.number);
    }
    line!(text, "\nlosses: {}", status.survival.sentence());
    for problem in &status.problems {
        line!(text, "! {problem}");
    }
    text
}

fn nodes(status: &Status) -> Table {
    let mut table = Table::new(["NODE", "PROVIDER", "REGION", "STATE", "VOTER", "COMPONENTS"]);
    for node in &status.nodes {
        let voter = if node.voter { "yes" } else { "" };
        let [id, provider, region, state] =
            [&node.id, &node.provider, &node.region, &node.state].map(Clone::clone);
        table.row([id, provider, region, state, voter.to_owned(), node.components.join(" ")]);
    }
    table
}

fn instances(status: &Status) -> Table {
    let mut table = Table::new(["INSTANCE", "NODE", "STATE", "EXPORTS", "BINDINGS"]);
    for each in &status.components {
        let exports = each.exports.iter().map(|export| format!("{} {}", export.export, export.address));
        let bindings = each.bindings.iter().map(|b| format!("{}→{}", b.import, b.to));
        let (exports, bindings) = (exports.collect::<Vec<_>>(), bindings.collect::<Vec<_>>());
        let [instance, node, state] = [&each.instance, &each.node, &each.state].map(Clone::clone);
        table.row([instance, node, state, exports.join(", "), bindings.join(" ")]);
        if let Some(reason) = &each.reason {
            table.note(reason.clone());
        }
    }
    table
}

/// A record of planning: its actions, its worth and its proof.
pub(crate) fn plan(record: &Record) -> String {
    let mut text = String::new();
    line!(text, "{}", record.text);
    for action in &record.actions {
        line!(text, "  {} {action}", action.symbol());
    }
    if let Some(worth) = &record.worth {
        line!(text, "\n{:<24} {:>7} {:>8} {:>8}", "UTILITY", "WEIGHT", "BEFORE", "AFTER");
        let before =
            |value: Option<Number>| value.map_or_else(|| "-".to_owned(), |v| format!("{:.4}", v.get()));
        for term in &worth.terms {
            let (before, after) = (before(term.before), term.after.get());
            line!(text, "{:<24} {:>7} {before:>8} {after:>8.4}", term.name, term.weight.get());
        }
        let (utility, after) = (before(worth.utility_before), worth.utility_after.get());
        line!(text, "{:<24} {:>7} {utility:>8} {after:>8.4}", "weighted mean", "");
        line!(text, "\nmigration cost {:.4}", worth.migration_cost.get());
    }
    if let Some(search) = &record.search {
        let proof = match (search.proven, search.bound) {
            (true, _) => "proven to be the best".to_owned(),
            (false, Some(bound)) => format!("nothing better than {bound:.4} exists"),
            (false, None) => "no bound is known".to_owned(),
        };
        let (objective, engine, seconds) = (search.objective, &search.engine, search.solver_seconds);
        line!(text, "objective {objective:.4}, {proof}; {engine} in {seconds:.3} s");
    }
    if let Some(price) = record.cost_per_hour {
        line!(text, "price {price:.4} {} an hour", record.currency);
    }
    if let Some(survival) = &record.survival {
        line!(text, "losses, node 0 left out because it may leave: {}", survival.sentence());
    }
    for warning in &record.warnings {
        line!(text, "! {warning}");
    }
    text
}

pub(crate) fn event(event: &EventRecord) -> String {
    format!("{}  {:<6} {}", clock(event.at_unix_ms), event.node, event.text)
}

/// Time of day in UTC: enough to follow what happens, and free of time zones.
pub(super) fn clock(unix_ms: u64) -> String {
    let seconds = unix_ms / 1_000 % 86_400;
    format!("{:02}:{:02}:{:02}.{:03}", seconds / 3_600, seconds / 60 % 60, seconds % 60, unix_ms % 1_000)
}

/// Date and time in UTC as RFC 3339 has it; of a time that is not known, blanks.
pub(crate) fn timestamp(unix_ms: u64) -> String {
    if unix_ms == 0 {
        return " ".repeat("2000-01-01T00:00:00.000Z".len());
    }
    // Days since 0000-03-01, so that a leap day is the last one of its year. Algorithm: Howard Hinnant,
    // "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    let days = unix_ms / 86_400_000 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{}Z", clock(unix_ms))
}

#[cfg(test)]
mod tests {
    #[test]
    fn timestamps_have_the_date() {
        assert_eq!(super::timestamp(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(super::timestamp(951_868_800_000), "2000-03-01T00:00:00.000Z");
        assert_eq!(super::timestamp(1_795_950_173_123), "2026-11-29T11:02:53.123Z");
        assert_eq!(super::timestamp(1_704_067_199_999), "2023-12-31T23:59:59.999Z");
    }

    #[test]
    fn a_time_of_day_is_printed_in_utc() {
        assert_eq!(super::clock(86_400_000 + 3_661_007), "01:01:01.007");
    }
}
