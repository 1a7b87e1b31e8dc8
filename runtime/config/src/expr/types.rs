//! The types of expressions and how two of them meet: compared, added, chosen from.
//!
//! It is the part of [`Checker`] that decides; which types meet where, `check` says.

use crate::expr::attributes::AttributeKind;
use crate::expr::check::Checker;
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
    /// An attribute of which no use has told the type yet.
    Open(AttributeName),
}

/// What is known of a number.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Numeric {
    /// What it measures; none when an attribute without a declared type is in it.
    pub(crate) quantity: Option<Quantity>,
    /// Made of whole-number literals and `size()` alone: `/` rounds down.
    pub(crate) whole: bool,
    /// Made of plain literals and `size()` alone: takes the base unit of what it meets.
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

impl Checker<'_> {
    /// The common type of two expressions that are compared or chosen from.
    pub(crate) fn same(&mut self, left: &Typed, right: &Typed) -> Option<Type> {
        let span = left.span.start.min(right.span.start)..right.span.end.max(left.span.end);
        match (&left.kind, &right.kind) {
            (Type::Bool, Type::Bool) => Some(Type::Bool),
            (Type::Text, Type::Text) => Some(Type::Text),
            (Type::Text, Type::Open(name)) => self.open_as_text(name, &right.span),
            (Type::Open(name), Type::Text) => self.open_as_text(name, &left.span),
            (Type::Number(_) | Type::Open(_), Type::Number(_) | Type::Open(_)) => {
                let (a, b) = (self.as_number(left), self.as_number(right));
                self.join(&span, a?, b?).map(Type::Number)
            }
            (a, b) => {
                // When one side is an attribute, its own earlier use says more than the two types do.
                let told = match (a, b) {
                    (Type::Text, Type::Number(_)) => {
                        self.contradicts(left, AttributeKind::Number(None))
                            || self.contradicts(right, AttributeKind::Text)
                    }
                    (Type::Number(_), Type::Text) => {
                        self.contradicts(left, AttributeKind::Text)
                            || self.contradicts(right, AttributeKind::Number(None))
                    }
                    _ => false,
                };
                if told {
                    return None;
                }
                let message = format!("{} and {} cannot be compared", spoken(a), spoken(b));
                let hint = match (a, b) {
                    (Type::Text, Type::Number(_)) | (Type::Number(_), Type::Text) => {
                        Some("remove the quotes, or use a property that is a text".to_owned())
                    }
                    _ => None,
                };
                self.findings.error(span, message).maybe_hint(hint);
                None
            }
        }
    }

    /// Explains an attribute that is used as a kind which it is not. False when it is no attribute.
    fn contradicts(&mut self, typed: &Typed, kind: AttributeKind) -> bool {
        let Expr::Attribute(name) = &typed.expr else { return false };
        !self.attributes.settle(name, kind, &typed.span, self.findings)
    }

    fn open_as_text(&mut self, name: &AttributeName, span: &Span) -> Option<Type> {
        self.attributes.settle(name, AttributeKind::Text, span, self.findings).then_some(Type::Text)
    }

    /// The number that an expression is; an attribute of open type becomes one.
    pub(crate) fn as_number(&mut self, typed: &Typed) -> Option<Numeric> {
        match &typed.kind {
            Type::Number(numeric) => Some(*numeric),
            Type::Open(name) => {
                let kind = AttributeKind::Number(None);
                self.attributes.settle(name, kind, &typed.span, self.findings).then_some(Numeric::ANY)
            }
            kind => {
                if !self.contradicts(typed, AttributeKind::Number(None)) {
                    let message = format!("expected a number, found {}", spoken(kind));
                    self.findings.error(typed.span.clone(), message);
                }
                None
            }
        }
    }

    /// The common quantity of two numbers that are added or compared.
    pub(crate) fn join(&mut self, span: &Span, a: Numeric, b: Numeric) -> Option<Numeric> {
        let (whole, free) = (a.whole && b.whole, a.free && b.free);
        let quantity = match (a.quantity, b.quantity) {
            (None, other) | (other, None) => other,
            (Some(left), Some(right)) if left == right => Some(left),
            (Some(Quantity::PLAIN), Some(right)) if a.free => Some(right),
            (Some(left), Some(Quantity::PLAIN)) if b.free => Some(left),
            (Some(left), Some(right)) => {
                let message = format!("{left} and {right} cannot be compared or added");
                self.findings.error(span.clone(), message).maybe_hint(unit_hint(left, right));
                return None;
            }
        };
        Some(Numeric { quantity, whole, free })
    }

    /// Notes an error unless a limit such as `best` or `20ms` fits the quantity it is compared with.
    pub(crate) fn fits(&mut self, span: &Span, measure: Option<Quantity>, limit: Numeric) -> Option<()> {
        self.join(span, Numeric { quantity: measure, whole: false, free: false }, limit).map(|_| ())
    }
}

/// A number from a TOML value, as the checker sees it.
pub(crate) fn value_numeric(quantity: Quantity) -> Numeric {
    Numeric { quantity: Some(quantity), whole: false, free: quantity == Quantity::PLAIN }
}

/// The type of a number as written.
pub(crate) fn literal_type(number: &Measured) -> Type {
    let plain = number.quantity == Quantity::PLAIN;
    Type::Number(Numeric { quantity: Some(number.quantity), whole: number.whole, free: plain })
}

fn unit_hint(left: Quantity, right: Quantity) -> Option<String> {
    let unit = match (left, right) {
        (Quantity::TIME, _) | (_, Quantity::TIME) => "ms, s or min",
        (Quantity::BYTES, _) | (_, Quantity::BYTES) => "MiB or GiB",
        (Quantity::MONEY, _) | (_, Quantity::MONEY) => "$…/h",
        _ => return None,
    };
    Some(format!("both sides must measure the same; units here: {unit}"))
}

/// A type in words.
pub(crate) fn spoken(kind: &Type) -> &'static str {
    match kind {
        Type::Number(_) => "a number",
        Type::Text => "a text",
        Type::Bool => "a condition",
        Type::Open(_) => "a property",
    }
}
