//! Prints expressions, measures and rules as text, for `plan` and `why`.
//!
//! Numbers are printed in their base unit, since a spec does not keep the unit they were written in.

use rhizo_types::expr::{BinaryOp, Expr, Function, UnaryOp};
use rhizo_types::spec::{Comparison, Measure, Rule};

/// An expression as text; parsing and typing it again gives the same tree.
#[must_use]
pub fn explain_expr(expr: &Expr) -> String {
    let mut text = String::new();
    write_expr(expr, CONDITIONAL, false, &mut text);
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

/// The binding strength of an expression; it gets parentheses where its surroundings bind more tightly.
const CONDITIONAL: u8 = 0;
const OR: u8 = 1;
const AND: u8 = 2;
const COMPARISON: u8 = 3;
const SUM: u8 = 4;
const PRODUCT: u8 = 5;
const UNARY: u8 = 6;

/// Writes an expression, in parentheses if it binds less tightly than `least`.
///
/// `real` writes whole numbers with a fraction, since a quotient of whole numbers would be rounded down.
fn write_expr(expr: &Expr, least: u8, real: bool, text: &mut String) {
    let tightness = match expr {
        Expr::Conditional(..) => CONDITIONAL,
        Expr::In(..) => COMPARISON,
        Expr::Binary(op, ..) => binary_sign(*op).1,
        Expr::Unary(..) => UNARY,
        _ => UNARY + 1,
    };
    if tightness < least {
        text.push('(');
        write_bare(expr, real, text);
        text.push(')');
    } else {
        write_bare(expr, real, text);
    }
}

fn write_bare(expr: &Expr, real: bool, text: &mut String) {
    match expr {
        Expr::Number(number) => {
            let written = number.to_string();
            let fraction = if real && !written.contains('.') { ".0" } else { "" };
            text.push_str(&written);
            text.push_str(fraction);
        }
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
            write_expr(of, UNARY, real, text);
        }
        Expr::Binary(op, left, right) => write_binary(*op, left, right, real, text),
        Expr::Conditional(condition, yes, no) => {
            write_expr(condition, OR, false, text);
            text.push_str(" ? ");
            write_expr(yes, CONDITIONAL, real, text);
            text.push_str(" : ");
            write_expr(no, CONDITIONAL, real, text);
        }
        Expr::In(of, items) => {
            write_expr(of, COMPARISON + 1, false, text);
            text.push_str(" in [");
            write_list(items, false, text);
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
            write_list(arguments, real, text);
            text.push(')');
        }
    }
}

fn write_binary(op: BinaryOp, left: &Expr, right: &Expr, real: bool, text: &mut String) {
    let (sign, tightness) = binary_sign(op);
    // Operators group to the left, and comparisons not at all.
    let left_least = if tightness == COMPARISON { tightness + 1 } else { tightness };
    let real = match op {
        BinaryOp::Divide => true,
        BinaryOp::FloorDivide => false,
        _ => real,
    };
    write_expr(left, left_least, real, text);
    text.push_str(&format!(" {sign} "));
    write_expr(right, tightness + 1, real, text);
}

fn write_list(items: &[Expr], real: bool, text: &mut String) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        write_expr(item, CONDITIONAL, real, text);
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
