//! The differences that are intended, each with both outcomes.

use super::{Outcome, cels, ours};
use rhizo_config::Evaluated;

fn number(value: f64) -> Result<Outcome, String> {
    Ok(Outcome::Value(Evaluated::Number(value)))
}

fn bool(value: bool) -> Result<Outcome, String> {
    Ok(Outcome::Value(Evaluated::Bool(value)))
}

#[test]
fn whole_and_other_numbers_are_one_type() {
    assert_eq!(ours("node.load5 * 2"), number(5.0));
    assert_eq!(cels("node.load5 * 2"), Ok(Outcome::Error));
}

#[test]
fn a_quotient_of_whole_numbers_is_rounded_down_and_not_towards_zero() {
    assert_eq!(ours("node.load1 + -7 / 2"), number(-4.0));
    assert_eq!(cels("-7 / 2"), number(-3.0));
    assert_eq!(ours("node.load1 + -7 % 2"), number(1.0));
    assert_eq!(cels("-7 % 2"), number(-1.0));
}

#[test]
fn a_remainder_is_defined_for_every_number() {
    assert_eq!(ours("node.cpu_ghz % 2.5"), number(2.25));
    assert_eq!(cels("node.cpu_ghz % 2.5"), Ok(Outcome::Error));
}

#[test]
fn an_absent_attribute_on_the_left_is_an_error_although_the_right_decides() {
    // CEL looks at both sides of `&&` and `||`, and lets the one without an error decide.
    let text = "node.gpu > 1.5 || node.load5 > 1.5";
    assert_eq!(ours(text), Ok(Outcome::Error));
    assert_eq!(cels(text), bool(true));
    let text = "node.load5 > 1.5 || node.gpu > 1.5";
    assert_eq!((ours(text), cels(text)), (bool(true), bool(true)));
}

#[test]
fn a_result_that_is_not_finite_is_an_error() {
    assert_eq!(ours("node.load5 / node.load1"), Ok(Outcome::Error));
    assert!(ours("node.load5 / node.load1 > 1.5").is_ok_and(|outcome| outcome == Outcome::Error));
    // CEL continues with infinity.
    assert_eq!(cels("node.load5 / node.load1 > 1.5"), bool(true));
}

#[test]
fn types_are_checked_before_anything_runs() {
    for text in
        ["node.region < 1.5", "node.load5 == 'eu'", "!node.load5", "node.load5 && true", "node.nosuch()"]
    {
        assert!(ours(text).is_err(), "{text}");
    }
}

#[test]
fn comparisons_are_not_chained_and_units_are_new() {
    assert!(ours("1.5 < node.load5 < 2.5").is_err());
    assert!(cels("node.load5 > 20ms").is_err());
}
