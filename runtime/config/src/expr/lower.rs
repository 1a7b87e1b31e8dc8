//! Rules and utilities about a whole group: `measure comparison limit`.
//!
//! The solver knows a fixed set of measures, so a group rule is a conjunction of comparisons of one measure
//! with a number that may depend on the size of the group; anything else is refused with a hint.

use crate::expr::check::{Checker, GROUP_FUNCTIONS, Scope, is_placement};
use crate::expr::parse::{Ast, Kind};
use crate::expr::types::Type;
use crate::finding::Span;
use crate::units::Quantity;
use rhizo_types::expr::{BinaryOp, Expr, UnaryOp};
use rhizo_types::spec::{Comparison, Measure};

/// One comparison of a group rule.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) measure: Measure,
    pub(crate) comparison: Comparison,
    pub(crate) limit: Expr,
    /// Its place in the file.
    pub(crate) span: Span,
    /// Its place in the text of the expression.
    pub(crate) inner: Span,
}

/// Lowers a group rule. `has_anchors` says whether the config has any.
pub(crate) fn bounds(checker: &mut Checker<'_>, ast: &Ast, has_anchors: bool) -> Option<Vec<Bound>> {
    let mut found = Vec::new();
    let mut complete = true;
    conjunction(checker, ast, has_anchors, &mut found, &mut complete);
    complete.then_some(found)
}

fn conjunction(
    checker: &mut Checker<'_>,
    ast: &Ast,
    anchors: bool,
    found: &mut Vec<Bound>,
    complete: &mut bool,
) {
    if let Kind::Binary(BinaryOp::And, left, right) = &ast.kind {
        conjunction(checker, left, anchors, found, complete);
        conjunction(checker, right, anchors, found, complete);
        return;
    }
    match bound(checker, ast, anchors) {
        Some(bound) => found.push(bound),
        None => *complete = false,
    }
}

fn bound(checker: &mut Checker<'_>, ast: &Ast, anchors: bool) -> Option<Bound> {
    let Kind::Binary(op, left, right) = &ast.kind else {
        return not_a_comparison(checker, ast);
    };
    let comparison = match op {
        BinaryOp::Less => Comparison::Less,
        BinaryOp::LessOrEqual => Comparison::LessOrEqual,
        BinaryOp::Greater => Comparison::Greater,
        BinaryOp::GreaterOrEqual => Comparison::GreaterOrEqual,
        BinaryOp::Equal => Comparison::Equal,
        BinaryOp::NotEqual => {
            checker.error(ast, "`!=` is not supported for a group").hint("write `<` or `>`");
            return None;
        }
        _ => return not_a_comparison(checker, ast),
    };
    // The size counts as the measure only if there is no other one, since it may also be part of a limit.
    let (side, other, comparison) = match (is_measure(left), is_measure(right), is_size(left), is_size(right))
    {
        (true, true, ..) => {
            checker
                .error(ast, "two quantities of the group are compared with each other")
                .hint("compare each with a number: `diameter_ms(placement) < 200ms`");
            return None;
        }
        (true, false, ..) | (false, false, true, _) => (left, right, comparison),
        (false, true, ..) | (false, false, false, true) => (right, left, flipped(comparison)),
        _ => return no_measure(checker, ast),
    };
    let measured = measure(checker, side, anchors);
    checker.scope = Scope::Size;
    let limit = checker.number(other);
    let (measured, (limit, numeric)) = (measured?, limit?);
    let span = checker.span(ast);
    checker.fits(&span, measured.1, numeric)?;
    Some(Bound { measure: measured.0, comparison, limit: limit.expr, span, inner: ast.span.clone() })
}

fn not_a_comparison<T>(checker: &mut Checker<'_>, ast: &Ast) -> Option<T> {
    let hint = match &ast.kind {
        Kind::Binary(BinaryOp::Or, ..) => "`||` is not supported here; write two alternatives as one bound",
        Kind::Unary(UnaryOp::Not, _) => "`!` is not supported here; turn the comparison round",
        _ => "write `measure < limit`, such as `diameter_ms(placement) < 200ms`",
    };
    checker.error(ast, "a rule about a group is a comparison of one quantity with a limit").hint(hint);
    None
}

fn no_measure<T>(checker: &mut Checker<'_>, ast: &Ast) -> Option<T> {
    // An unknown function explains more than a missing quantity.
    let calls = children(ast).into_iter().filter(|side| matches!(side.kind, Kind::Call(..)));
    for side in calls {
        checker.scope = Scope::Size;
        if !mentions_node(side) {
            checker.check(side)?;
        }
    }
    let inner = inner_measure(ast);
    let (message, hint) = match &inner {
        Some(name) => (
            format!("`{name}()` must stand alone on one side of the comparison"),
            "move the rest to the other side: `diameter_ms(placement) < 200ms / 2`".to_owned(),
        ),
        None if mentions_node(ast) => (
            "`node` is not known in a rule about a group".to_owned(),
            "write `each = …` for a rule per machine, or count machines: `count(placement, node.…) >= 2`"
                .to_owned(),
        ),
        None => (
            "the rule compares no quantity of the group".to_owned(),
            format!("quantities are {}", spoken_functions()),
        ),
    };
    checker.error(ast, message).hint(hint);
    None
}

/// Lowers an expression that is exactly one measure. Returns its quantity too, if it is known.
pub(crate) fn measure(
    checker: &mut Checker<'_>,
    ast: &Ast,
    has_anchors: bool,
) -> Option<(Measure, Option<Quantity>)> {
    let Kind::Call(name, arguments) = &ast.kind else {
        if let Some(name) = inner_measure(ast) {
            checker
                .error(ast, format!("`{name}()` must stand alone"))
                .hint("scale `best` and `worst` instead of the quantity");
        } else {
            let hint = if mentions_node(ast) {
                "write `each = …` for a quantity of each machine".to_owned()
            } else {
                format!("quantities are {}", spoken_functions())
            };
            checker.error(ast, "expected a quantity of the group").hint(hint);
        }
        return None;
    };
    let form = match name.as_str() {
        "size" | "diameter_ms" | "cost_per_hour" => format!("{name}(placement)"),
        "max_latency_ms" => "max_latency_ms(anchors, placement)".to_owned(),
        "distinct" => "distinct(placement, node.region)".to_owned(),
        "count" | "share" => format!("{name}(placement, node.region == \"…\")"),
        "sum" | "avg" => format!("{name}(placement, node.cpu)"),
        _ => {
            // The ordinary check of the call adds the finding.
            checker.scope = Scope::Size;
            if checker.check(ast).is_some() {
                checker
                    .error(ast, "expected a quantity of the group")
                    .hint(format!("quantities are {}", spoken_functions()));
            }
            return None;
        }
    };
    match (name.as_str(), arguments.as_slice()) {
        ("size", _) if is_placement(arguments) => Some((Measure::Size, Some(Quantity::PLAIN))),
        ("diameter_ms", _) if is_placement(arguments) => Some((Measure::DiameterMs, Some(Quantity::TIME))),
        ("cost_per_hour", _) if is_placement(arguments) => {
            Some((Measure::CostPerHour, Some(Quantity::MONEY)))
        }
        ("max_latency_ms", [from, to]) if is_name(from, "anchors") && is_name(to, "placement") => {
            if !has_anchors {
                checker.error(ast, "there are no anchors").hint("add `[anchors]` with `sites = [\"…\"]`");
                return None;
            }
            Some((Measure::MaxAnchorLatencyMs, Some(Quantity::TIME)))
        }
        ("distinct" | "count" | "share" | "sum" | "avg", [placement, of])
            if is_name(placement, "placement") =>
        {
            aggregate(checker, name, of)
        }
        _ => checker.arity(ast, &form),
    }
}

fn aggregate(checker: &mut Checker<'_>, name: &str, of: &Ast) -> Option<(Measure, Option<Quantity>)> {
    checker.scope = Scope::Node;
    match name {
        "count" => Some((Measure::Count(checker.condition(of)?), Some(Quantity::PLAIN))),
        "share" => Some((Measure::Share(checker.condition(of)?), Some(Quantity::PLAIN))),
        "distinct" => {
            let typed = checker.check(of)?;
            if typed.kind == Type::Bool {
                checker.error(of, "expected a property, found a condition").hint("use `count(placement, …)`");
                return None;
            }
            Some((Measure::Distinct(typed.expr), Some(Quantity::PLAIN)))
        }
        "sum" => checker.number(of).map(|(typed, numeric)| (Measure::Sum(typed.expr), numeric.quantity)),
        _ => checker.number(of).map(|(typed, numeric)| (Measure::Average(typed.expr), numeric.quantity)),
    }
}

fn is_name(ast: &Ast, wanted: &str) -> bool {
    matches!(&ast.kind, Kind::Name(name) if name == wanted)
}

fn is_size(ast: &Ast) -> bool {
    matches!(&ast.kind, Kind::Call(name, _) if name == "size")
}

/// Whether it is a call of a quantity other than the size.
fn is_measure(ast: &Ast) -> bool {
    matches!(&ast.kind, Kind::Call(name, _) if name != "size" && GROUP_FUNCTIONS.contains(&name.as_str()))
}

/// The name of a measure inside the expression.
fn inner_measure(ast: &Ast) -> Option<String> {
    if is_measure(ast)
        && let Kind::Call(name, _) = &ast.kind
    {
        return Some(name.clone());
    }
    children(ast).into_iter().find_map(inner_measure)
}

fn mentions_node(ast: &Ast) -> bool {
    is_name(ast, "node") || children(ast).into_iter().any(mentions_node)
}

fn children(ast: &Ast) -> Vec<&Ast> {
    match &ast.kind {
        Kind::Number(_) | Kind::Text(_) | Kind::Bool(_) | Kind::Name(_) => Vec::new(),
        Kind::Member(of, _) | Kind::Unary(_, of) => vec![of],
        Kind::Call(_, arguments) => arguments.iter().collect(),
        Kind::Binary(_, left, right) => vec![left, right],
        Kind::Conditional(condition, yes, no) => vec![condition, yes, no],
        Kind::In(of, items) => std::iter::once(of.as_ref()).chain(items).collect(),
    }
}

fn flipped(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Less => Comparison::Greater,
        Comparison::LessOrEqual => Comparison::GreaterOrEqual,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterOrEqual => Comparison::LessOrEqual,
        Comparison::Equal => Comparison::Equal,
    }
}

fn spoken_functions() -> String {
    GROUP_FUNCTIONS.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
