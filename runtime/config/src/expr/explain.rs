//! Expressions, measures and rules as text again, for `plan` and `why`.
//!
//! Numbers appear in their base unit, since a spec does not keep how they were written.

use rhizo_types::expr::{BinaryOp, Expr, Function, UnaryOp};
use rhizo_types::spec::{Comparison, Measure, Rule};

/// An expression as text; parsing it again gives the same tree.
#[must_use]
pub fn explain_expr(expr: &Expr) -> String {
    let mut text = String::new();
    write_expr(expr, 0, &mut text);
    text
}

/// A quantity of a group as text.
#[must_use]
pub fn explain_measure(measure: &Measure) -> String {
    let of = |name: &str, expr: &Expr| format!("{name}(placement, {})", explain_expr(expr));
    match measure {
        Measure::Size => "size(placement)".to_owned(),
        Measure::DiameterMs => "diameter_ms(placement)".to_owned(),
        Measure::MaxAnchorLatencyMs => "max_latency_ms(anchors, placement)".to_owned(),
        Measure::CostPerHour => "cost_per_hour(placement)".to_owned(),
        Measure::Distinct(expr) => of("distinct", expr),
        Measure::Count(expr) => of("count", expr),
        Measure::Share(expr) => of("share", expr),
        Measure::Sum(expr) => of("sum", expr),
        Measure::Average(expr) => of("avg", expr),
    }
}

/// A hard rule as text.
#[must_use]
pub fn explain_rule(rule: &Rule) -> String {
    match rule {
        Rule::Each(expr) => explain_expr(expr),
        Rule::Group { measure, comparison, limit } => {
            let sign = match comparison {
                Comparison::Less => "<",
                Comparison::LessOrEqual => "<=",
                Comparison::Greater => ">",
                Comparison::GreaterOrEqual => ">=",
                Comparison::Equal => "==",
            };
            format!("{} {sign} {}", explain_measure(measure), explain_expr(limit))
        }
        Rule::Spread { by, max, min_distinct } => {
            let mut text = format!("spread by {}", explain_expr(by));
            if let Some(max) = max {
                text.push_str(&format!(", at most {} in one", explain_expr(max)));
            }
            if let Some(min) = min_distinct {
                text.push_str(&format!(", at least {} of them", explain_expr(min)));
            }
            text
        }
    }
}

/// How tightly an expression binds; what binds less than its surroundings asks gets parentheses.
const CONDITIONAL: u8 = 0;
const OR: u8 = 1;
const AND: u8 = 2;
const COMPARISON: u8 = 3;
const SUM: u8 = 4;
const PRODUCT: u8 = 5;
const UNARY: u8 = 6;

fn write_expr(expr: &Expr, least: u8, text: &mut String) {
    let tightness = match expr {
        Expr::Conditional(..) => CONDITIONAL,
        Expr::In(..) => COMPARISON,
        Expr::Binary(op, ..) => binary_sign(*op).1,
        Expr::Unary(..) => UNARY,
        _ => UNARY + 1,
    };
    let parentheses = tightness < least;
    if parentheses {
        text.push('(');
    }
    match expr {
        Expr::Number(number) => text.push_str(&number.to_string()),
        Expr::Text(quoted) => write_text(quoted, text),
        Expr::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Expr::Attribute(name) => text.push_str(&format!("node.{name}")),
        Expr::Has(name) => text.push_str(&format!("has(node.{name})")),
        Expr::Size => text.push_str("size(placement)"),
        Expr::Unary(op, of) => {
            text.push(match op {
                UnaryOp::Negate => '-',
                UnaryOp::Not => '!',
            });
            write_expr(of, UNARY, text);
        }
        Expr::Binary(op, left, right) => {
            let (sign, tightness) = binary_sign(*op);
            // Operators group to the left, and comparisons not at all.
            let left_least = if tightness == COMPARISON { tightness + 1 } else { tightness };
            write_expr(left, left_least, text);
            text.push_str(&format!(" {sign} "));
            write_expr(right, tightness + 1, text);
        }
        Expr::Conditional(condition, yes, no) => {
            write_expr(condition, OR, text);
            text.push_str(" ? ");
            write_expr(yes, CONDITIONAL, text);
            text.push_str(" : ");
            write_expr(no, CONDITIONAL, text);
        }
        Expr::In(of, items) => {
            write_expr(of, COMPARISON + 1, text);
            text.push_str(" in [");
            write_list(items, text);
            text.push(']');
        }
        Expr::Call(function, arguments) => {
            text.push_str(match function {
                Function::Min => "min(",
                Function::Max => "max(",
                Function::Abs => "abs(",
                Function::Floor => "floor(",
                Function::Ceil => "ceil(",
            });
            write_list(arguments, text);
            text.push(')');
        }
    }
    if parentheses {
        text.push(')');
    }
}

fn write_list(items: &[Expr], text: &mut String) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        write_expr(item, CONDITIONAL, text);
    }
}

fn write_text(quoted: &str, text: &mut String) {
    text.push('"');
    for c in quoted.chars() {
        match c {
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            '\\' | '"' => text.extend(['\\', c]),
            _ => text.push(c),
        }
    }
    text.push('"');
}

fn binary_sign(op: BinaryOp) -> (&'static str, u8) {
    match op {
        BinaryOp::Or => ("||", OR),
        BinaryOp::And => ("&&", AND),
        BinaryOp::Less => ("<", COMPARISON),
        BinaryOp::LessOrEqual => ("<=", COMPARISON),
        BinaryOp::Greater => (">", COMPARISON),
        BinaryOp::GreaterOrEqual => (">=", COMPARISON),
        BinaryOp::Equal => ("==", COMPARISON),
        BinaryOp::NotEqual => ("!=", COMPARISON),
        BinaryOp::Add => ("+", SUM),
        BinaryOp::Subtract => ("-", SUM),
        BinaryOp::Multiply => ("*", PRODUCT),
        BinaryOp::Divide | BinaryOp::FloorDivide => ("/", PRODUCT),
        BinaryOp::Remainder => ("%", PRODUCT),
    }
}
