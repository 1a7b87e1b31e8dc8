//! The typed tree of an expression in a rule or a utility.
//!
//! Only data, so that a spec with its expressions can be stored and sent. `rhizo-config` parses, types and evaluates
//! them. The syntax is a subset of CEL (the Common Expression Language) with units.

use crate::id::AttributeName;
use crate::number::Number;
use serde::{Deserialize, Serialize};

/// A typed expression. The type checker of `rhizo-config` guarantees that every operator has operands of its types.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Expr {
    /// A number in the base unit of its quantity (ms, bytes, currency per hour, or none).
    Number(Number),
    /// A text literal.
    Text(String),
    /// `true` or `false`.
    Bool(bool),
    /// `node.load5`: an attribute of the host that the expression is evaluated for.
    Attribute(AttributeName),
    /// `has(node.gpu)`: whether a value of the attribute is known.
    Has(AttributeName),
    /// `size(placement)`: the number of hosts that run a copy of the component.
    Size,
    /// `-x` or `!x`.
    Unary(UnaryOp, Box<Expr>),
    /// `x op y`.
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// `if ? then : else`.
    Conditional(Box<Expr>, Box<Expr>, Box<Expr>),
    /// `x in ["a", "b"]`.
    In(Box<Expr>, Vec<Expr>),
    /// `min(a, b, …)`, `max(a, b, …)`, `abs(x)`, `floor(x)`, `ceil(x)`.
    Call(Function, Vec<Expr>),
}

/// Operators with one operand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum UnaryOp {
    /// Arithmetic negation.
    Negate,
    /// Logical negation.
    Not,
}

/// Operators with two operands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum BinaryOp {
    /// Sum.
    Add,
    /// Difference.
    Subtract,
    /// Product.
    Multiply,
    /// Quotient of real numbers.
    Divide,
    /// Quotient rounded down: chosen when both operands are whole-number literals or `size()`.
    FloorDivide,
    /// Remainder of whole numbers.
    Remainder,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `&&`, evaluated left to right; the right operand only if the left one is true.
    And,
    /// `||`, evaluated left to right; the right operand only if the left one is false.
    Or,
}

/// Built-in functions of numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Function {
    /// The smallest argument.
    Min,
    /// The greatest argument.
    Max,
    /// The magnitude.
    Abs,
    /// Rounded down.
    Floor,
    /// Rounded up.
    Ceil,
}
