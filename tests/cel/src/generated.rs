//! Generated expressions of the common subset: both languages give the same outcome.

use super::{cels, ours};
use proptest::prelude::*;

/// A number. All literals have a fraction, because CEL keeps whole numbers apart.
fn number() -> BoxedStrategy<String> {
    let literal = prop::sample::select(vec!["0.5", "2.5", "1.25", "100.75"]).prop_map(str::to_owned);
    let attribute = prop::sample::select(vec!["load1", "load5", "load15", "cpu_ghz", "price"]);
    let attribute = attribute.prop_map(|name| format!("node.{name}"));
    let leaf = prop_oneof![literal, 3 => attribute].boxed();
    leaf.prop_recursive(4, 24, 3, |inner| {
        let operator = prop::sample::select(vec!["+", "-", "*", "/"]);
        prop_oneof![
            4 => (inner.clone(), operator, inner.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            1 => inner.clone().prop_map(|a| format!("-({a})")),
            1 => (prop::sample::select(vec!["abs", "floor", "ceil"]), inner.clone())
                .prop_map(|(name, a)| format!("{name}({a})")),
            1 => (inner.clone(), inner.clone(), inner)
                .prop_map(|(a, b, c)| format!("({a} < {b} ? {b} : {c})")),
        ]
    })
    .boxed()
}

fn text() -> BoxedStrategy<String> {
    prop::sample::select(vec!["node.region", "node.zone", "'eu-1'", "''", "'us'"])
        .prop_map(str::to_owned)
        .boxed()
}

/// Operators without brackets, so that their precedence is compared as well.
fn condition() -> BoxedStrategy<String> {
    let compare = prop::sample::select(vec!["<", "<=", ">", ">=", "==", "!="]);
    let leaf = prop_oneof![
        4 => (number(), compare, number()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        2 => (text(), prop::sample::select(vec!["==", "!="]), text()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        1 => (text(), prop::collection::vec(text(), 1..4)).prop_map(|(a, all)| format!("{a} in [{}]", all.join(", "))),
        1 => prop::sample::select(vec!["has(node.region)", "has(node.load5)", "has(node.gpu)", "true", "false"])
            .prop_map(str::to_owned),
    ]
    .boxed();
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), prop::sample::select(vec!["&&", "||"]), inner.clone())
                .prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("(({a}) ? ({b}) : ({c}))")),
        ]
    })
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, max_global_rejects: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn numbers_are_the_same(text in number()) {
        // An expression without an attribute is refused, because it says nothing about a host.
        prop_assume!(text.contains("node."));
        prop_assert_eq!(ours(&text).map_err(TestCaseError::fail)?, cels(&text).map_err(TestCaseError::fail)?, "{}", text);
    }

    #[test]
    fn conditions_are_the_same(text in condition()) {
        prop_assume!(text.contains("node."));
        prop_assert_eq!(ours(&text).map_err(TestCaseError::fail)?, cels(&text).map_err(TestCaseError::fail)?, "{}", text);
    }
}
