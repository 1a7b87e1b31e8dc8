//! Damages texts and JSON values. Proptest draws the steps and removes steps from a failing case.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// One step of damage: the operation, the place and the value.
pub(super) type Step = (u8, u32, u32);

/// A few steps.
pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(any::<Step>(), 1..4)
}

/// Texts that readers of numbers commonly mishandle.
const WORDS: [&str; 14] = [
    "0",
    "1",
    "-1",
    "2",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "1e308",
    "-1e308",
    "1e-320",
    "1e999",
    "NaN",
    "inf",
    "",
];

/// A text with bytes or words changed, removed, doubled or moved; always valid UTF-8.
pub(super) fn text(sample: &str, steps: &[Step]) -> String {
    let mut bytes = sample.as_bytes().to_vec();
    for (kind, at, with) in steps {
        if bytes.is_empty() {
            break;
        }
        let start = *at as usize % bytes.len();
        let end = (start + *with as usize % 40).min(bytes.len());
        match kind % 6 {
            0 => bytes[start] = *with as u8,
            1 => drop(bytes.drain(start..end)),
            2 => {
                let copy = bytes[start..end].to_vec();
                bytes.splice(start..start, copy);
            }
            3 => bytes.truncate(start),
            _ => {
                let (start, end) = word(&bytes, start);
                bytes.splice(start..end, WORDS[*with as usize % WORDS.len()].bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The word around a place: where it begins and ends.
fn word(bytes: &[u8], at: usize) -> (usize, usize) {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+');
    let start = bytes[..at].iter().rposition(|byte| !is_part(byte)).map_or(0, |before| before + 1);
    let end = bytes[at..].iter().position(|byte| !is_part(byte)).map_or(bytes.len(), |after| at + after);
    (start, end.max(start))
}

/// A value with parts replaced, removed, doubled or moved.
pub(super) fn value(sample: &Value, steps: &[Step]) -> Value {
    let mut spoilt = sample.clone();
    for (kind, at, with) in steps {
        let other = part(&mut spoilt, *with as usize).clone();
        let count = size(&spoilt);
        let place = part(&mut spoilt, *at as usize % count);
        match (kind % 5, &mut *place) {
            (0, Value::Array(list)) if !list.is_empty() => drop(list.remove(*with as usize % list.len())),
            (0, Value::Object(map)) => remove(map, *with as usize),
            (1, Value::Array(list)) => list.push(other),
            (2, _) => *place = other,
            _ => *place = extreme(*with as usize),
        }
    }
    spoilt
}

fn remove(map: &mut Map<String, Value>, which: usize) {
    if let Some(key) = map.keys().nth(which % map.len().max(1)).cloned() {
        map.remove(&key);
    }
}

fn extreme(which: usize) -> Value {
    let all = [
        json!(0),
        json!(1),
        json!(-1),
        json!(3),
        json!(u32::MAX),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e308),
        json!(-1e308),
        json!(1e-320),
        json!(0.5),
        Value::Null,
        json!(true),
        json!(""),
        json!("7"),
        json!([]),
        json!({}),
        json!("all"),
    ];
    all[which % all.len()].clone()
}

/// The number of nested values, including the whole value.
fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(size).sum(),
        Value::Object(map) => map.values().map(size).sum(),
        _ => 0,
    }
}

/// A nested value by its number, counted from the outside.
fn part(value: &mut Value, number: usize) -> &mut Value {
    let mut number = number % size(value);
    let mut here = value;
    while number > 0 {
        number -= 1;
        let mut inner: Vec<&mut Value> = match here {
            Value::Array(list) => list.iter_mut().collect(),
            Value::Object(map) => map.values_mut().collect(),
            _ => unreachable!("a value without parts has the number 0 only"),
        };
        let mut which = 0;
        while number >= size(inner[which]) {
            number -= size(inner[which]);
            which += 1;
        }
        here = inner.swap_remove(which);
    }
    here
}
