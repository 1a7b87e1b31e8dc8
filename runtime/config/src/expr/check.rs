//! Types an expression and makes the tree that a spec contains.
//!
//! The types are number (with a quantity), text and condition; `combine` decides how two of them combine. An attribute
//! without a declared type takes the type that its first use needs. Every mistake becomes a finding with its place; a
//! function that returns `None` has added one.

use crate::expr::attributes::{AttributeKind, Attributes};
use crate::expr::parse::{Ast, Kind};
use crate::expr::place::Placer;
use crate::expr::types::{Numeric, Type, Typed, literal_type, spoken};
use crate::finding::{Draft, Findings, Span};
use crate::suggest;
use crate::units::Measured;
use rhizo_types::expr::{BinaryOp, Expr, Function, UnaryOp};
use rhizo_types::{AttributeName, Number};

/// The names that an expression may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scope {
    /// `node`: the expression is evaluated for one host.
    Node,
    /// `size(placement)`: the expression is evaluated for the number of hosts.
    Size,
}

/// Functions of the language, for hints.
pub(crate) const GROUP_FUNCTIONS: &[&str] =
    &["size", "diameter_ms", "max_latency_ms", "cost_per_hour", "distinct", "count", "share", "sum", "avg"];
const FUNCTIONS: &[&str] = &["has", "size", "min", "max", "abs", "floor", "ceil"];

/// Functions of CEL or of other languages that rhizo has under another name.
const FOREIGN_FUNCTIONS: &[(&str, &str)] = &[
    ("len", "write `size(placement)`"),
    ("length", "write `size(placement)`"),
    ("mean", "write `avg(placement, node.…)`"),
    ("average", "write `avg(placement, node.…)`"),
    ("diameter", "write `diameter_ms(placement)`"),
    ("cost", "write `cost_per_hour(placement)`"),
    ("latency_ms", "write `max_latency_ms(anchors, placement)`"),
];

/// Checks expressions of one text.
pub(crate) struct Checker<'c> {
    pub(crate) scope: Scope,
    pub(crate) placer: &'c Placer,
    /// The budget's currency; the currency of prices in expressions must be the same.
    pub(crate) currency: &'c str,
    pub(crate) attributes: &'c mut Attributes,
    pub(crate) findings: &'c mut Findings,
}

impl Checker<'_> {
    /// The place of a part of the text.
    pub(crate) fn span(&self, ast: &Ast) -> Span {
        self.placer.span(&ast.span)
    }

    /// Adds an error at a part of the text.
    pub(crate) fn error(&mut self, ast: &Ast, message: impl Into<String>) -> &mut Draft {
        let span = self.span(ast);
        self.findings.error(span, message)
    }

    /// Types an expression.
    pub(crate) fn check(&mut self, ast: &Ast) -> Option<Typed> {
        let span = self.span(ast);
        let (expr, kind) = match &ast.kind {
            Kind::Number(number) => (Expr::Number(self.literal(ast, number)?), literal_type(number)),
            Kind::Text(text) => (Expr::Text(text.clone()), Type::Text),
            Kind::Bool(value) => (Expr::Bool(*value), Type::Bool),
            Kind::Name(name) => return self.bare_name(ast, name),
            Kind::Member(..) => self.attribute(ast)?,
            Kind::Call(name, arguments) => self.call(ast, name, arguments)?,
            Kind::Unary(op, of) => self.unary(*op, of)?,
            Kind::Binary(op, left, right) => self.binary(ast, *op, left, right)?,
            Kind::Conditional(condition, yes, no) => {
                let condition = self.condition(condition);
                let (yes, no) = (self.check(yes), self.check(no));
                let (condition, yes, no) = (condition?, yes?, no?);
                let kind = self.same(&yes, &no)?;
                let boxed = |typed: Typed| Box::new(typed.expr);
                (Expr::Conditional(Box::new(condition), boxed(yes), boxed(no)), kind)
            }
            Kind::In(of, items) => self.membership(ast, of, items)?,
        };
        Some(Typed { expr, kind, span })
    }

    /// Types a condition.
    pub(crate) fn condition(&mut self, ast: &Ast) -> Option<Expr> {
        let typed = self.check(ast)?;
        match &typed.kind {
            Type::Bool => return Some(typed.expr),
            Type::Open(name) => {
                let hint = format!("compare it, as in `node.{name} == \"yes\"`, or ask `has(node.{name})`");
                self.error(ast, format!("`node.{name}` is not a condition")).hint(hint);
            }
            kind => {
                let message = format!("expected a condition, found {}", spoken(kind));
                self.error(ast, message).hint("compare it with a limit, as in `node.load5 < 10`");
            }
        }
        None
    }

    /// Types a number.
    pub(crate) fn number(&mut self, ast: &Ast) -> Option<(Typed, Numeric)> {
        let typed = self.check(ast)?;
        let numeric = self.as_number(&typed)?;
        Some((typed, numeric))
    }

    fn literal(&mut self, ast: &Ast, number: &Measured) -> Option<Number> {
        if let Some(code) = number.currency.filter(|code| *code != self.currency) {
            let message = format!("the price is in {code}, the budget in {}", self.currency);
            self.error(ast, message).hint("use one currency for the whole file");
            return None;
        }
        Number::try_from(number.value).ok()
    }

    fn bare_name(&mut self, ast: &Ast, name: &str) -> Option<Typed> {
        let hint = match (name, self.scope) {
            ("node", Scope::Node) => "write one of its properties, such as `node.region`".to_owned(),
            ("node", Scope::Size) => "only `size(placement)` is known here".to_owned(),
            ("placement", Scope::Size) => "write `size(placement)`".to_owned(),
            ("placement", Scope::Node) => {
                "here each machine is looked at alone, as `node`; write `group = …` instead of `each = …`"
                    .to_owned()
            }
            ("anchors", _) => "write `max_latency_ms(anchors, placement)`".to_owned(),
            (_, Scope::Node) => format!("properties of a machine are written `node.{name}`, texts in quotes"),
            _ => "only numbers and `size(placement)` are known here".to_owned(),
        };
        let message = match name {
            "node" | "placement" | "anchors" => format!("`{name}` is not a value"),
            _ => format!("unknown name `{name}`"),
        };
        self.error(ast, message).hint(hint);
        None
    }

    /// The attribute's name when the expression is `node.NAME`.
    fn attribute_name(&mut self, ast: &Ast) -> Option<AttributeName> {
        let Kind::Member(of, name) = &ast.kind else {
            self.error(ast, "expected a property of a node, such as `node.region`");
            return None;
        };
        match &of.kind {
            Kind::Name(node) if node == "node" && self.scope == Scope::Node => {
                return Some(AttributeName(name.clone()));
            }
            Kind::Name(node) if node == "node" => {
                self.error(ast, "`node` is not known here").hint(
                    "a limit may use numbers and `size(placement)`; write `each = …` for a rule per machine",
                );
            }
            Kind::Name(other) => {
                let known = suggest::nearest(other, ["node"]);
                self.error(of, format!("unknown name `{other}`"))
                    .hint(format!("did you mean `{}.{name}`?", known.unwrap_or("node")));
            }
            _ => {
                self.error(ast, "a property has no properties").hint("write `node.NAME`");
            }
        }
        None
    }

    fn attribute(&mut self, ast: &Ast) -> Option<(Expr, Type)> {
        let name = self.attribute_name(ast)?;
        let span = self.span(ast);
        self.attributes.mention(&name, &span);
        let kind = match self.attributes.uses.get(&name).and_then(|used| used.kind) {
            Some(AttributeKind::Text) => Type::Text,
            Some(AttributeKind::Number(quantity)) => Type::Number(Numeric { quantity, ..Numeric::ANY }),
            None => Type::Open(name.clone()),
        };
        Some((Expr::Attribute(name), kind))
    }

    fn call(&mut self, ast: &Ast, name: &str, arguments: &[Ast]) -> Option<(Expr, Type)> {
        let function = match name {
            "has" => {
                let [argument] = arguments else { return self.arity(ast, "has(node.gpu)") };
                let name = self.attribute_name(argument)?;
                let span = self.span(argument);
                self.attributes.mention(&name, &span);
                return Some((Expr::Has(name), Type::Bool));
            }
            "size" if self.scope == Scope::Size => {
                if !is_placement(arguments) {
                    return self.arity(ast, "size(placement)");
                }
                return Some((Expr::Size, Type::Number(Numeric::WHOLE)));
            }
            "min" => Function::Min,
            "max" => Function::Max,
            "abs" => Function::Abs,
            "floor" => Function::Floor,
            "ceil" => Function::Ceil,
            _ => return self.unknown_function(ast, name),
        };
        match (function, arguments.len()) {
            (Function::Min | Function::Max, 2..) | (Function::Abs | Function::Floor | Function::Ceil, 1) => {}
            (Function::Min | Function::Max, _) => return self.arity(ast, &format!("{name}(a, b)")),
            _ => return self.arity(ast, &format!("{name}(x)")),
        }
        let mut exprs = Vec::new();
        let mut joined: Option<Numeric> = None;
        let mut complete = true;
        for argument in arguments {
            let Some((typed, numeric)) = self.number(argument) else {
                complete = false;
                continue;
            };
            let next = match joined {
                None => Some(numeric),
                Some(before) => self.join(&typed.span, before, numeric),
            };
            complete &= next.is_some();
            joined = next.or(joined);
            exprs.push(typed.expr);
        }
        let whole = matches!(function, Function::Floor | Function::Ceil) && joined?.free;
        let numeric = Numeric { whole: joined?.whole || whole, ..joined? };
        complete.then_some((Expr::Call(function, exprs), Type::Number(numeric)))
    }

    fn unknown_function<T>(&mut self, ast: &Ast, name: &str) -> Option<T> {
        if GROUP_FUNCTIONS.contains(&name) {
            let (message, hint) = match self.scope {
                Scope::Node => (
                    format!("`{name}()` speaks of all machines together"),
                    "write `group = …` instead of `each = …`",
                ),
                Scope::Size => (
                    format!("`{name}()` must stand alone on one side of a comparison"),
                    "write `measure < limit`; only numbers and `size(placement)` may be calculated with",
                ),
            };
            self.error(ast, message).hint(hint);
            return None;
        }
        let hint = match FOREIGN_FUNCTIONS.iter().find(|(foreign, _)| *foreign == name) {
            Some((_, hint)) => Some((*hint).to_owned()),
            None => {
                let known = FUNCTIONS.iter().chain(GROUP_FUNCTIONS).copied();
                suggest::nearest(name, known).map(|near| format!("did you mean `{near}`?"))
            }
        };
        self.error(ast, format!("unknown function `{name}`")).maybe_hint(hint);
        None
    }

    /// Adds an error about a call with the wrong arguments.
    pub(crate) fn arity<T>(&mut self, ast: &Ast, form: &str) -> Option<T> {
        let name = form.split('(').next().unwrap_or(form);
        self.error(ast, format!("wrong arguments for `{name}`")).hint(format!("write `{form}`"));
        None
    }

    fn unary(&mut self, op: UnaryOp, of: &Ast) -> Option<(Expr, Type)> {
        match op {
            UnaryOp::Not => {
                let inner = self.condition(of)?;
                Some((Expr::Unary(op, Box::new(inner)), Type::Bool))
            }
            UnaryOp::Negate => {
                let (typed, numeric) = self.number(of)?;
                Some((Expr::Unary(op, Box::new(typed.expr)), Type::Number(numeric)))
            }
        }
    }

    fn binary(&mut self, ast: &Ast, op: BinaryOp, left: &Ast, right: &Ast) -> Option<(Expr, Type)> {
        let boxed = |op, left, right| Expr::Binary(op, Box::new(left), Box::new(right));
        if matches!(op, BinaryOp::And | BinaryOp::Or) {
            let (left, right) = (self.condition(left), self.condition(right));
            return Some((boxed(op, left?, right?), Type::Bool));
        }
        let (left, right) = (self.check(left), self.check(right));
        let (left, right) = (left?, right?);
        match op {
            BinaryOp::Equal | BinaryOp::NotEqual => {
                if self.same(&left, &right)? == Type::Bool {
                    self.error(ast, "conditions are not compared").hint("write `a && b` or `!a`");
                    return None;
                }
                Some((boxed(op, left.expr, right.expr), Type::Bool))
            }
            BinaryOp::Less | BinaryOp::LessOrEqual | BinaryOp::Greater | BinaryOp::GreaterOrEqual => {
                let (a, b) = (self.as_number(&left), self.as_number(&right));
                self.join(&self.span(ast), a?, b?)?;
                Some((boxed(op, left.expr, right.expr), Type::Bool))
            }
            _ => {
                let (a, b) = (self.as_number(&left), self.as_number(&right));
                let (op, numeric) = self.arithmetic(ast, op, a?, b?, &right)?;
                Some((boxed(op, left.expr, right.expr), Type::Number(numeric)))
            }
        }
    }

    fn arithmetic(
        &mut self,
        ast: &Ast,
        op: BinaryOp,
        a: Numeric,
        b: Numeric,
        right: &Typed,
    ) -> Option<(BinaryOp, Numeric)> {
        let divides = matches!(op, BinaryOp::Divide | BinaryOp::Remainder);
        if divides && matches!(right.expr, Expr::Number(zero) if zero == Number::ZERO) {
            self.findings.error(right.span.clone(), "division by zero");
            return None;
        }
        let whole = a.whole && b.whole;
        let free = a.free && b.free;
        let quantity = match op {
            BinaryOp::Multiply | BinaryOp::Divide => match (a.quantity, b.quantity) {
                (Some(a), Some(b)) => {
                    let product = if op == BinaryOp::Multiply { a.times(b) } else { a.over(b) };
                    if product.is_none() {
                        self.error(ast, "the quantity has too large an exponent");
                    }
                    Some(product?)
                }
                _ => None,
            },
            _ => self.join(&self.span(ast), a, b)?.quantity,
        };
        let op = if op == BinaryOp::Divide && whole { BinaryOp::FloorDivide } else { op };
        Some((op, Numeric { quantity, whole, free }))
    }

    fn membership(&mut self, ast: &Ast, of: &Ast, items: &[Ast]) -> Option<(Expr, Type)> {
        if items.is_empty() {
            self.error(ast, "nothing is in an empty list").hint("write `x in [\"a\", \"b\"]`");
            return None;
        }
        let of = self.check(of);
        let items: Vec<Option<Typed>> = items.iter().map(|item| self.check(item)).collect();
        let items: Vec<Typed> = items.into_iter().collect::<Option<_>>()?;
        let of = of?;
        for item in &items {
            if self.same(&of, item)? == Type::Bool {
                self.findings.error(item.span.clone(), "conditions are not compared");
                return None;
            }
        }
        Some((Expr::In(Box::new(of.expr), items.into_iter().map(|item| item.expr).collect()), Type::Bool))
    }
}

/// Whether the arguments are `placement` alone.
pub(crate) fn is_placement(arguments: &[Ast]) -> bool {
    matches!(arguments, [Ast { kind: Kind::Name(name), .. }] if name == "placement")
}
