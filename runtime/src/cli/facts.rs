//! `facts`: the readings and catalogue values that rules use, each with its unit, sensor, source and age.

use super::exit::{Exit, Failure};
use super::table::Table;
use super::{Session, refused};
use crate::admin::facts::{FactRecord, FactValue, Facts};
use crate::admin::{Answer, Ask};

/// Prints the facts about a subject, or all of them.
pub(super) async fn print(session: &Session, subject: Option<String>) -> Result<Exit, Failure> {
    let mut client = session.client().await?;
    let facts = match client.ask(&Ask::Facts { subject: subject.clone() }).await? {
        Answer::Facts(facts) => facts,
        other => return Err(refused(other)),
    };
    client.close().await;
    if let (Some(subject), true) = (&subject, facts.facts.is_empty()) {
        let message = format!("find facts about `{subject}`: none is known");
        return Err(Failure::new(Exit::Failed, message).hint(
            "subjects are nodes, copies, components, offers, providers and regions; `status` lists the first",
        ));
    }
    session.print(&facts, || text(&facts));
    Ok(Exit::Done)
}

fn text(facts: &Facts) -> String {
    let mut table = Table::new(["SUBJECT", "FACT", "VALUE", "SENSOR", "SOURCE", "AGE"]);
    for fact in &facts.facts {
        let [subject, sensor, source] = [&fact.subject, &fact.sensor, &fact.source].map(Clone::clone);
        // A catalogue is in force until the provider changes it.
        let age = if fact.sensor == "catalogue" { String::new() } else { age(fact.age_ms) };
        table.row([subject, name(fact), value(fact), sensor, source, age]);
    }
    let mut text = table.text();
    if facts.left_out > 0 {
        text.push_str(&format!("{} more; name a subject to see them\n", facts.left_out));
    }
    text
}

/// The name by which expressions read the fact.
fn name(fact: &FactRecord) -> String {
    match fact.kind.as_str() {
        kind @ ("node" | "copy" | "app") => format!("{kind}.{}", fact.attribute),
        "offer" => format!("node.{}", fact.attribute),
        _ => fact.attribute.clone(),
    }
}

fn value(fact: &FactRecord) -> String {
    let number = match &fact.value {
        FactValue::Text(text) => return text.clone(),
        FactValue::Number(number) => *number,
    };
    match fact.unit.as_str() {
        "B" => bytes(number),
        "" => short(number),
        unit => format!("{} {unit}", short(number)),
    }
}

/// A number with at most four digits after the point.
fn short(number: f64) -> String {
    let text = format!("{number:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text.is_empty() || text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// An amount of memory in the largest unit of which it is at least one.
fn bytes(number: f64) -> String {
    const UNITS: [(&str, f64); 4] =
        [("TiB", 1_099_511_627_776.0), ("GiB", 1_073_741_824.0), ("MiB", 1_048_576.0), ("KiB", 1_024.0)];
    match UNITS.iter().find(|(_, size)| number.abs() >= *size) {
        Some((unit, size)) => format!("{:.1} {unit}", number / size),
        None => format!("{} B", short(number)),
    }
}

fn age(ms: u64) -> String {
    match ms {
        0..10_000 => format!("{:.1} s", ms as f64 / 1e3),
        10_000..120_000 => format!("{} s", ms / 1_000),
        _ => format!("{} min", ms / 60_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(kind: &str, attribute: &str, value: FactValue, unit: &str, age_ms: u64) -> FactRecord {
        FactRecord {
            kind: kind.to_owned(),
            subject: "x".to_owned(),
            attribute: attribute.to_owned(),
            value,
            unit: unit.to_owned(),
            sensor: "host".to_owned(),
            source: "n1".to_owned(),
            age_ms,
        }
    }

    #[test]
    fn values_are_printed_with_their_unit_and_age() {
        let facts = Facts {
            facts: vec![
                fact("node", "memory", FactValue::Number(1_610_612_736.0), "B", 900),
                fact("node", "arch", FactValue::Text("x86_64".to_owned()), "", 61_000),
                fact("link", "rtt_ms", FactValue::Number(0.25), "ms", 600_000),
                fact("copy", "cpu", FactValue::Number(0.0), "", 0),
            ],
            left_out: 2,
            answered_by: "n1".to_owned(),
        };
        let expected = "\
SUBJECT  FACT         VALUE    SENSOR  SOURCE  AGE
x        node.memory  1.5 GiB  host    n1      0.9 s
x        node.arch    x86_64   host    n1      61 s
x        rtt_ms       0.25 ms  host    n1      10 min
x        copy.cpu     0        host    n1      0.0 s
2 more; name a subject to see them
";
        assert_eq!(text(&facts), expected);
    }
}
