//! Evaluates a typed expression for one host or one group size.
//!
//! An absent attribute is an error that names it. The caller decides what follows; the solver treats a host that cannot
//! be judged as not eligible. Evaluation has no state: the same inputs give the same value.

use rhizo_types::AttributeName;
use rhizo_types::expr::{BinaryOp, Expr, Function, UnaryOp};

/// Deepest tree that is evaluated. The parser makes none that is nearly as deep; the bound protects against decoded
/// trees.
const DEPTH_MAX: usize = 256;

/// The values that an expression is evaluated with.
pub trait Environment {
    /// The value of an attribute of the host; none if it is not known.
    fn attribute(&self, name: &AttributeName) -> Option<Evaluated>;

    /// The number of hosts of the component; none outside a group rule.
    fn size(&self) -> Option<u32>;
}

/// A value of an attribute or of an expression.
#[derive(Clone, PartialEq, Debug)]
pub enum Evaluated {
    /// A finite number in the base unit of its quantity.
    Number(f64),
    /// A text.
    Text(String),
    /// A condition.
    Bool(bool),
}

/// The reason why an expression has no value.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// The attribute is not known for this host.
    #[error("`node.{0}` is not known")]
    Absent(AttributeName),
    /// The attribute has a value of another type than the rule expects.
    #[error("`node.{0}` has a value of the wrong type")]
    WrongAttribute(AttributeName),
    /// The number of hosts is not known here.
    #[error("the number of machines is not known")]
    NoSize,
    /// A divisor was zero.
    #[error("a divisor is zero")]
    DivisionByZero,
    /// A result left the range of finite numbers.
    #[error("a result is not finite")]
    NotFinite,
    /// An operator has an operand of a wrong type: the tree does not come from this crate's checker.
    #[error("an operator has an operand of the wrong type")]
    WrongOperand,
    /// The tree is deeper than any that the parser makes.
    #[error("the expression is nested too deeply")]
    TooDeep,
}

/// Evaluates an expression.
///
/// # Errors
/// An attribute is absent or of another type, a divisor is zero, or a result is not finite.
pub fn evaluate(expr: &Expr, environment: &dyn Environment) -> Result<Evaluated, EvalError> {
    value(expr, environment, 0)
}

/// Evaluates a condition.
///
/// # Errors
/// The errors of [`evaluate`], and one if the expression is not a condition.
pub fn holds(expr: &Expr, environment: &dyn Environment) -> Result<bool, EvalError> {
    condition(expr, environment, 0)
}

/// Evaluates a number.
///
/// # Errors
/// The errors of [`evaluate`], and one if the expression is not a number.
pub fn number(expr: &Expr, environment: &dyn Environment) -> Result<f64, EvalError> {
    numeric(expr, environment, 0)
}

fn value(expr: &Expr, environment: &dyn Environment, depth: usize) -> Result<Evaluated, EvalError> {
    if depth > DEPTH_MAX {
        return Err(EvalError::TooDeep);
    }
    let next = depth + 1;
    Ok(match expr {
        Expr::Number(number) => Evaluated::Number(number.get()),
        Expr::Text(text) => Evaluated::Text(text.clone()),
        Expr::Bool(value) => Evaluated::Bool(*value),
        Expr::Attribute(name) => attribute(name, environment)?,
        Expr::Has(name) => Evaluated::Bool(environment.attribute(name).is_some()),
        Expr::Size => Evaluated::Number(f64::from(environment.size().ok_or(EvalError::NoSize)?)),
        Expr::Unary(UnaryOp::Negate, of) => Evaluated::Number(-numeric(of, environment, next)?),
        Expr::Unary(UnaryOp::Not, of) => Evaluated::Bool(!condition(of, environment, next)?),
        Expr::Binary(BinaryOp::And, left, right) => {
            Evaluated::Bool(condition(left, environment, next)? && condition(right, environment, next)?)
        }
        Expr::Binary(BinaryOp::Or, left, right) => {
            Evaluated::Bool(condition(left, environment, next)? || condition(right, environment, next)?)
        }
        Expr::Binary(op, left, right) => binary(*op, left, right, environment, next)?,
        Expr::Conditional(of, yes, no) => {
            let chosen = if condition(of, environment, next)? { yes } else { no };
            value(chosen, environment, next)?
        }
        Expr::In(of, items) => {
            let of_value = value(of, environment, next)?;
            let mut found = false;
            for item in items {
                let item_value = value(item, environment, next)?;
                found |= equal((of, &of_value), (item, &item_value))?;
            }
            Evaluated::Bool(found)
        }
        Expr::Call(function, arguments) => Evaluated::Number(call(*function, arguments, environment, next)?),
    })
}

fn attribute(name: &AttributeName, environment: &dyn Environment) -> Result<Evaluated, EvalError> {
    match environment.attribute(name) {
        None => Err(EvalError::Absent(name.clone())),
        Some(Evaluated::Number(number)) if !number.is_finite() => {
            Err(EvalError::WrongAttribute(name.clone()))
        }
        Some(value) => Ok(value),
    }
}

/// The error for an operand of the wrong type; it names the attribute if the operand is one.
fn wrong(expr: &Expr) -> EvalError {
    match expr {
        Expr::Attribute(name) => EvalError::WrongAttribute(name.clone()),
        _ => EvalError::WrongOperand,
    }
}

fn numeric(expr: &Expr, environment: &dyn Environment, depth: usize) -> Result<f64, EvalError> {
    match value(expr, environment, depth)? {
        Evaluated::Number(number) => Ok(number),
        _ => Err(wrong(expr)),
    }
}

fn condition(expr: &Expr, environment: &dyn Environment, depth: usize) -> Result<bool, EvalError> {
    match value(expr, environment, depth)? {
        Evaluated::Bool(value) => Ok(value),
        _ => Err(wrong(expr)),
    }
}

fn binary(
    op: BinaryOp,
    left: &Expr,
    right: &Expr,
    environment: &dyn Environment,
    depth: usize,
) -> Result<Evaluated, EvalError> {
    if matches!(op, BinaryOp::Equal | BinaryOp::NotEqual) {
        let (a, b) = (value(left, environment, depth)?, value(right, environment, depth)?);
        return Ok(Evaluated::Bool(equal((left, &a), (right, &b))? == (op == BinaryOp::Equal)));
    }
    let (a, b) = (numeric(left, environment, depth)?, numeric(right, environment, depth)?);
    let result = match op {
        BinaryOp::Less => return Ok(Evaluated::Bool(a < b)),
        BinaryOp::LessOrEqual => return Ok(Evaluated::Bool(a <= b)),
        BinaryOp::Greater => return Ok(Evaluated::Bool(a > b)),
        BinaryOp::GreaterOrEqual => return Ok(Evaluated::Bool(a >= b)),
        BinaryOp::Add => a + b,
        BinaryOp::Subtract => a - b,
        BinaryOp::Multiply => a * b,
        BinaryOp::Divide | BinaryOp::FloorDivide | BinaryOp::Remainder if b == 0.0 => {
            return Err(EvalError::DivisionByZero);
        }
        BinaryOp::Divide => a / b,
        BinaryOp::FloorDivide => (a / b).floor(),
        // The remainder that matches a quotient rounded down.
        BinaryOp::Remainder => a - b * (a / b).floor(),
        BinaryOp::Equal | BinaryOp::NotEqual | BinaryOp::And | BinaryOp::Or => {
            return Err(EvalError::WrongOperand);
        }
    };
    finite(result).map(Evaluated::Number)
}

fn call(
    function: Function,
    arguments: &[Expr],
    environment: &dyn Environment,
    depth: usize,
) -> Result<f64, EvalError> {
    let mut numbers = arguments.iter().map(|argument| numeric(argument, environment, depth));
    let mut result = numbers.next().ok_or(EvalError::WrongOperand)??;
    for number in numbers {
        let number = number?;
        result = match function {
            Function::Min => result.min(number),
            Function::Max => result.max(number),
            Function::Abs | Function::Floor | Function::Ceil => return Err(EvalError::WrongOperand),
        };
    }
    finite(match function {
        Function::Min | Function::Max => result,
        Function::Abs => result.abs(),
        Function::Floor => result.floor(),
        Function::Ceil => result.ceil(),
    })
}

/// Whether two values of one type are equal. It is an error if the two types differ.
fn equal(left: (&Expr, &Evaluated), right: (&Expr, &Evaluated)) -> Result<bool, EvalError> {
    match (left.1, right.1) {
        (Evaluated::Number(a), Evaluated::Number(b)) => Ok(a == b),
        (Evaluated::Text(a), Evaluated::Text(b)) => Ok(a == b),
        (Evaluated::Bool(a), Evaluated::Bool(b)) => Ok(a == b),
        _ if matches!(left.0, Expr::Attribute(_)) => Err(wrong(left.0)),
        _ => Err(wrong(right.0)),
    }
}

fn finite(value: f64) -> Result<f64, EvalError> {
    // Adding zero turns -0.0 into 0.0.
    if value.is_finite() { Ok(value + 0.0) } else { Err(EvalError::NotFinite) }
}
