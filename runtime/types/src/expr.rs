//! The typed tree of an expression in a rule or a utility.
//!
//! `rhizo-config` parses and types it, and evaluates it; this file only says what it can contain, so that a
//! spec can travel and be stored. The syntax is a subset of CEL with units (design.md section 15).

use crate::id::AttributeName;
use crate::number::Number;
use serde::{Deserialize, Serialize};

/// A typed expression; whoever built it made sure that every operator gets operands of its types.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Expr {
    /// A number in the base unit of its quantity (ms, bytes, currency per hour, or none).
    Number(Number),
    /// A text literal.
    Text(String),
    /// `true` or `false`.
    Bool(bool),
    /// `node.load5`: an attribute of the machine at hand.
    Attribute(AttributeName),
    /// `has(node.gpu)`: whether the attribute is known.
    Has(AttributeName),
    /// `size(placement)`: how many machines host the component.
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
    /// `&&`, left to right, without evaluating what is not needed.
    And,
    /// `||`, left to right, without evaluating what is not needed.
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
