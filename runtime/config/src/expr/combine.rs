//! How the types of two expressions combine when they are compared, added or alternatives of a conditional.
//!
//! This is the part of [`Checker`] that decides on types; `check` walks the tree and calls it.

use crate::expr::attributes::AttributeKind;
use crate::expr::check::Checker;
use crate::expr::types::{Numeric, Type, Typed, spoken};
use crate::finding::Span;
use crate::units::Quantity;
use rhizo_types::AttributeName;
use rhizo_types::expr::Expr;

impl Checker<'_> {
    /// The common type of two expressions that are compared, or that are alternatives of a conditional.
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
                // If one side is an attribute, its declaration or earlier use makes a better message than the two
                // types.
                let explained = match (a, b) {
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
                if explained {
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

    /// Adds a finding if this is an attribute of another kind. Returns whether it did.
    fn contradicts(&mut self, typed: &Typed, kind: AttributeKind) -> bool {
        let Expr::Attribute(name) = &typed.expr else { return false };
        !self.attributes.settle(name, kind, &typed.span, self.findings)
    }

    fn open_as_text(&mut self, name: &AttributeName, span: &Span) -> Option<Type> {
        self.attributes.settle(name, AttributeKind::Text, span, self.findings).then_some(Type::Text)
    }

    /// The numeric type of an expression; an attribute of unknown type becomes a number.
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

    /// Adds an error unless a limit such as `best` or `20ms` has the quantity that it is compared with.
    pub(crate) fn fits(&mut self, span: &Span, measure: Option<Quantity>, limit: Numeric) -> Option<()> {
        self.join(span, Numeric { quantity: measure, whole: false, free: false }, limit).map(|_| ())
    }
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
