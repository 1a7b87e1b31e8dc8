//! The types of expressions: number with a quantity, text, condition, and an attribute of still unknown type.
//!
//! Only data. How two types combine is in `combine`; where that happens is in `check`.

use crate::finding::Span;
use crate::units::{Measured, Quantity};
use rhizo_types::AttributeName;
use rhizo_types::expr::Expr;

/// The type of a checked expression.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Type {
    /// A number.
    Number(Numeric),
    /// A text.
    Text,
    /// A condition.
    Bool,
    /// An attribute whose type no use has determined yet.
    Open(AttributeName),
}

/// The properties of a number's type.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Numeric {
    /// Its quantity; none if it contains an attribute without a declared type.
    pub(crate) quantity: Option<Quantity>,
    /// Whether it consists of whole-number literals and `size()` alone, so that `/` rounds down.
    pub(crate) whole: bool,
    /// Whether it consists of plain literals and `size()` alone, so that it takes the unit of the other operand.
    pub(crate) free: bool,
}

impl Numeric {
    /// An attribute without a declared type.
    pub(crate) const ANY: Self = Self { quantity: None, whole: false, free: false };
    /// A literal or `size()`.
    pub(crate) const WHOLE: Self = Self { quantity: Some(Quantity::PLAIN), whole: true, free: true };
}

/// A checked expression, its type and its place in the file.
#[derive(Clone, Debug)]
pub(crate) struct Typed {
    pub(crate) expr: Expr,
    pub(crate) kind: Type,
    pub(crate) span: Span,
}

/// The type of a number that was written as a TOML value.
pub(crate) fn value_numeric(quantity: Quantity) -> Numeric {
    Numeric { quantity: Some(quantity), whole: false, free: quantity == Quantity::PLAIN }
}

/// The type of a number literal.
pub(crate) fn literal_type(number: &Measured) -> Type {
    let plain = number.quantity == Quantity::PLAIN;
    Type::Number(Numeric { quantity: Some(number.quantity), whole: number.whole, free: plain })
}

/// The name of a type in messages.
pub(crate) fn spoken(kind: &Type) -> &'static str {
    match kind {
        Type::Number(_) => "a number",
        Type::Text => "a text",
        Type::Bool => "a condition",
        Type::Open(_) => "a property",
    }
}
