//! Values, types and printing of expressions, on their own text.

use crate::expr::attributes::Attributes;
use crate::expr::check::{Checker, Scope};
use crate::expr::eval::{Environment, EvalError, Evaluated, evaluate};
use crate::expr::explain::explain_expr;
use crate::expr::parse::parse;
use crate::expr::place::Placer;
use crate::expr::types::Typed;
use crate::finding::Findings;
use proptest::prelude::*;
use rhizo_types::AttributeName;
use rhizo_types::expr::{BinaryOp, Expr, Function, UnaryOp};

/// A machine with a few attributes in a group of this size.
struct Machine(u32);

impl Environment for Machine {
    fn attribute(&self, name: &AttributeName) -> Option<Evaluated> {
        Some(match name.as_str() {
            "load5" => Evaluated::Number(2.5),
            "cpu" => Evaluated::Number(4.0),
            "memory" => Evaluated::Number(1_073_741_824.0),
            "region" => Evaluated::Text("eu".to_owned()),
            "zero" => Evaluated::Number(0.0),
            "broken" => Evaluated::Number(f64::NAN),
            _ => return None,
        })
    }

    fn size(&self) -> Option<u32> {
        Some(self.0)
    }
}

fn typed_in(text: &str, scope: Scope) -> Option<Typed> {
    let mut attributes = Attributes::default();
    let mut findings = Findings::default();
    let placer = Placer::Plain { start: 0 };
    let ast = parse(text).ok()?;
    let mut checker = Checker {
        scope,
        placer: &placer,
        currency: "USD",
        attributes: &mut attributes,
        findings: &mut findings,
    };
    let typed = checker.check(&ast);
    // What was refused has been explained, and what was explained is refused.
    assert_eq!(typed.is_none(), findings.has_errors(), "{text}");
    typed
}

fn typed(text: &str) -> Option<Typed> {
    typed_in(text, Scope::Node)
}

fn value(text: &str) -> Result<Evaluated, EvalError> {
    let typed = typed(text).expect("an expression that is accepted");
    evaluate(&typed.expr, &Machine(6))
}

fn number_in_group(text: &str, size: u32) -> Evaluated {
    let typed = typed_in(text, Scope::Size).expect("an expression that is accepted");
    evaluate(&typed.expr, &Machine(size)).expect("a value")
}

#[test]
fn precedence_is_that_of_cel() {
    assert_eq!(value("1 + 2 * 3 == 7 && !(2 > 3) || false"), Ok(Evaluated::Bool(true)));
    assert_eq!(value("10 - 3 - 2"), Ok(Evaluated::Number(5.0)));
    assert_eq!(value("-2 * -3"), Ok(Evaluated::Number(6.0)));
    assert_eq!(value("node.load5 > 3 ? 1 : node.load5 > 2 ? 2 : 3"), Ok(Evaluated::Number(2.0)));
    assert_eq!(value("true || false && false"), Ok(Evaluated::Bool(true)));
}

#[test]
fn a_quotient_of_whole_literals_and_sizes_is_rounded_down() {
    for (size, expected) in [(1, 1.0), (4, 1.0), (5, 2.0), (8, 2.0), (9, 3.0)] {
        assert_eq!(number_in_group("(size(placement) - 1) / 4 + 1", size), Evaluated::Number(expected));
    }
    assert_eq!(value("7 / 2"), Ok(Evaluated::Number(3.0)));
    assert_eq!(value("-7 / 2"), Ok(Evaluated::Number(-4.0)));
    assert_eq!(value("7 % 4"), Ok(Evaluated::Number(3.0)));
    assert_eq!(value("7.0 / 2"), Ok(Evaluated::Number(3.5)));
    assert_eq!(value("node.cpu / 8"), Ok(Evaluated::Number(0.5)));
}

#[test]
fn units_lead_to_one_base() {
    assert_eq!(value("node.memory == 1GiB && 1s == 1000ms && 2h > 7100s"), Ok(Evaluated::Bool(true)));
    assert_eq!(value("1GiB / 1MiB"), Ok(Evaluated::Number(1024.0)));
    assert_eq!(value("node.memory > 1000"), Ok(Evaluated::Bool(true)));
}

#[test]
fn quantities_do_not_mix() {
    for text in
        ["1s + 1GiB", "node.memory < 5s", "1s * 1s > 2s", "$1/h < 5s", "node.load5 < 20ms", "max(1s, 1GiB)"]
    {
        assert!(typed(text).is_none(), "{text}");
    }
    assert!(typed("node.memory / node.cpu > 1GiB").is_some());
    assert!(typed("node.something < 20ms && node.something < 3").is_some());
}

#[test]
fn an_absent_attribute_is_an_error_unless_it_is_not_needed() {
    assert_eq!(value("node.gpus > 1"), Err(EvalError::Absent("gpus".into())));
    assert_eq!(value("has(node.gpus) && node.gpus > 1"), Ok(Evaluated::Bool(false)));
    assert_eq!(value("node.load5 < 3 || node.gpus > 1"), Ok(Evaluated::Bool(true)));
    assert_eq!(value("has(node.load5) ? 1 : node.gpus"), Ok(Evaluated::Number(1.0)));
}

#[test]
fn an_attribute_of_another_type_is_an_error_not_a_value() {
    let typed = typed("node.zone == 'a'").expect("accepted");
    struct Numeric;
    impl Environment for Numeric {
        fn attribute(&self, _: &AttributeName) -> Option<Evaluated> {
            Some(Evaluated::Number(1.0))
        }
        fn size(&self) -> Option<u32> {
            None
        }
    }
    assert_eq!(evaluate(&typed.expr, &Numeric), Err(EvalError::WrongAttribute("zone".into())));
    assert_eq!(evaluate(&Expr::Size, &Numeric), Err(EvalError::NoSize));
    assert_eq!(value("node.broken > 1"), Err(EvalError::WrongAttribute("broken".into())));
}

#[test]
fn results_stay_finite() {
    assert_eq!(value("node.load5 / node.zero > 1"), Err(EvalError::DivisionByZero));
    assert_eq!(value("node.load5 * 1e100 * 1e100 * 1e100 * 1e100 > 1"), Err(EvalError::NotFinite));
    assert_eq!(value("node.load5 % node.zero > 1"), Err(EvalError::DivisionByZero));
}

#[test]
fn texts_are_compared_and_looked_up() {
    assert_eq!(value("node.region == 'eu' && node.region != \"us\""), Ok(Evaluated::Bool(true)));
    assert_eq!(value("node.region in ['us', 'eu'] && !(node.region in ['us'])"), Ok(Evaluated::Bool(true)));
    assert_eq!(value("node.cpu in [1, 2, 4]"), Ok(Evaluated::Bool(true)));
    assert_eq!(value("'a\\'b' == \"a'b\""), Ok(Evaluated::Bool(true)));
}

#[test]
fn functions_take_numbers() {
    assert_eq!(value("max(1, node.load5, 2)"), Ok(Evaluated::Number(2.5)));
    assert_eq!(value("min(floor(2.7), ceil(0.2), abs(-3))"), Ok(Evaluated::Number(1.0)));
    for text in ["max('a', 'b')", "abs(1, 2)", "floor()", "has(3)", "size(placement)", "nothing(1)"] {
        assert!(typed(text).is_none(), "{text}");
    }
}

#[test]
fn one_attribute_has_one_type() {
    assert!(typed("node.tier == 'a' && node.tier != 'b'").is_some());
    assert!(typed("node.tier == 'a' && node.tier < 3").is_none());
    assert!(typed("node.tier < 3 && node.tier == 'a'").is_none());
    assert!(typed("node.region < 3").is_none());
    // The first operand is looked at before the second tells the type.
    assert!(typed("node.tier + (node.tier == 'a' ? 1 : 2) < 3").is_none());
}

#[test]
fn a_tree_from_elsewhere_cannot_exhaust_the_stack() {
    let mut expr = Expr::Bool(true);
    for _ in 0..1_000 {
        expr = Expr::Unary(UnaryOp::Not, Box::new(expr));
    }
    assert_eq!(evaluate(&expr, &Machine(1)), Err(EvalError::TooDeep));
}

/// Texts of expressions by the grammar, most of them well typed.
fn numbers() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        (0_u32..50).prop_map(|n| n.to_string()),
        (0_u32..500).prop_map(|n| format!("{}.{}", n / 10, n % 10)),
        Just("node.load5".to_owned()),
        Just("node.cpu".to_owned()),
        Just("node.other".to_owned()),
    ];
    leaf.prop_recursive(5, 40, 3, |inner| {
        prop_oneof![
            (inner.clone(), prop::sample::select(vec!["+", "-", "*", "/", "%"]), inner.clone())
                .prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            inner.clone().prop_map(|a| format!("({a})")),
            inner.clone().prop_map(|a| format!("-{a}")),
            (prop::sample::select(vec!["min", "max"]), inner.clone(), inner.clone())
                .prop_map(|(f, a, b)| format!("{f}({a}, {b})")),
            (prop::sample::select(vec!["abs", "floor", "ceil"]), inner.clone())
                .prop_map(|(f, a)| format!("{f}({a})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("({a} < {b} ? {b} : {c})")),
        ]
    })
}

fn conditions() -> impl Strategy<Value = String> {
    let comparison = (numbers(), prop::sample::select(vec!["<", "<=", ">", ">=", "==", "!="]), numbers())
        .prop_map(|(a, op, b)| format!("{a} {op} {b}"));
    let leaf = prop_oneof![
        comparison,
        Just("node.region in ['eu', \"u\\\"s\"]".to_owned()),
        Just("node.region == 'eu'".to_owned()),
        Just("has(node.gpus)".to_owned()),
    ];
    leaf.prop_recursive(4, 20, 2, |inner| {
        prop_oneof![
            (inner.clone(), prop::sample::select(vec!["&&", "||"]), inner.clone())
                .prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            inner.prop_map(|a| format!("!({a})")),
        ]
    })
}

/// A second, naive evaluator of numbers and conditions: no short cuts, `None` for any trouble.
fn oracle(expr: &Expr) -> Option<f64> {
    let of = |expr: &Expr| oracle(expr).filter(|value| value.is_finite());
    let truth = |value: bool| Some(f64::from(u8::from(value)));
    match expr {
        Expr::Number(number) => Some(number.get()),
        Expr::Bool(value) => truth(*value),
        Expr::Attribute(name) => match Machine(6).attribute(name)? {
            Evaluated::Number(number) => Some(number),
            _ => None,
        },
        Expr::Has(name) => truth(Machine(6).attribute(name).is_some()),
        Expr::Size => Some(6.0),
        Expr::Unary(UnaryOp::Negate, x) => Some(-of(x)?),
        Expr::Unary(UnaryOp::Not, x) => Some(1.0 - of(x)?),
        Expr::Conditional(condition, yes, no) => Some(if of(condition)? == 1.0 { of(yes)? } else { of(no)? }),
        Expr::Call(function, arguments) => {
            let values: Option<Vec<f64>> = arguments.iter().map(of).collect();
            let values = values?;
            Some(match function {
                Function::Min => values.iter().copied().fold(f64::INFINITY, f64::min),
                Function::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                Function::Abs => values[0].abs(),
                Function::Floor => values[0].floor(),
                Function::Ceil => values[0].ceil(),
            })
        }
        Expr::Binary(op, a, b) => {
            let (a, b) = (of(a)?, of(b)?);
            match op {
                BinaryOp::Add => Some(a + b),
                BinaryOp::Subtract => Some(a - b),
                BinaryOp::Multiply => Some(a * b),
                BinaryOp::Divide => Some(a / b),
                BinaryOp::FloorDivide => Some((a / b).floor()),
                BinaryOp::Remainder => Some(a - b * (a / b).floor()),
                BinaryOp::Less => truth(a < b),
                BinaryOp::LessOrEqual => truth(a <= b),
                BinaryOp::Greater => truth(a > b),
                BinaryOp::GreaterOrEqual => truth(a >= b),
                BinaryOp::Equal => truth(a == b),
                BinaryOp::NotEqual => truth(a != b),
                BinaryOp::And => truth(a == 1.0 && b == 1.0),
                BinaryOp::Or => truth(a == 1.0 || b == 1.0),
            }
        }
        Expr::Text(_) | Expr::In(..) => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn printing_and_parsing_again_gives_the_same_tree(text in conditions()) {
        if let Some(first) = typed(&text) {
            let printed = explain_expr(&first.expr);
            let second = typed(&printed);
            prop_assert_eq!(second.map(|typed| typed.expr), Some(first.expr), "{} printed as {}", text, printed);
        }
    }

    #[test]
    fn the_value_is_the_one_a_naive_evaluator_finds(text in prop_oneof![conditions(), numbers()]) {
        if let Some(typed) = typed(&text)
            && let Some(expected) = oracle(&typed.expr).filter(|value| value.is_finite())
        {
            let found = match evaluate(&typed.expr, &Machine(6)) {
                Ok(Evaluated::Number(number)) => number,
                Ok(Evaluated::Bool(value)) => f64::from(u8::from(value)),
                other => return Err(TestCaseError::fail(format!("{text}: {other:?}"))),
            };
            prop_assert_eq!(found, expected, "{}", text);
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,80}") {
        let _ = typed(&text);
    }

    #[test]
    fn no_row_of_tokens_makes_the_checker_panic(
        words in prop::collection::vec(prop::sample::select(vec![
            "node", ".", "load5", "placement", "anchors", "size", "(", ")", "[", "]", ",", "&&", "||", "!", "-", "+",
            "*", "/", "%", "<", "==", "?", ":", "in", "1", "2.5", "20ms", "$1/h", "'a'", "has", "diameter_ms", "true",
        ]), 0..40)
    ) {
        let text = words.join(" ");
        let _ = typed(&text);
        let _ = typed_in(&text, Scope::Size);
    }
}
