//! The `[[require]]` and `[[utility]]` tables.

use crate::document;
use crate::expr::attributes::AttributeKind;
use crate::expr::check::{Checker, Scope};
use crate::expr::lower::{self, Bound};
use crate::expr::parse::{self, Ast};
use crate::expr::place::Placer;
use crate::expr::types::{Type, Typed, value_numeric};
use crate::finding::Span;
use crate::read::Session;
use crate::reader::{Node, Table, Text};
use crate::units::Quantity;
use rhizo_types::expr::Expr;
use rhizo_types::spec::{Of, Require, Rule, Utility};
use rhizo_types::{ComponentName, Number, RuleName};

/// The component that a rule applies to, and whether each host or the whole group is meant.
enum Subject {
    Each(ComponentName),
    Group(ComponentName),
}

/// The subject that a rule named, even if the component does not exist.
struct Named {
    subject: Option<Subject>,
    is_each: bool,
}

impl<'s> Session<'s> {
    pub(crate) fn require(&mut self, mut table: Table<'_>) -> Option<Vec<Require>> {
        let name = self.rule_name(&mut table, "rule");
        let named = self.subject(&mut table);
        let (expr, spread) = (table.take("expr"), table.take("spread"));
        let place = table.place.clone();
        self.reader.finish::<document::Require>(table);
        let is_each = named.as_ref().map(|named| named.is_each);
        let rules = match (expr, spread) {
            (Some(expr), Some(spread)) => {
                self.reader
                    .findings
                    .error(spread.key, "a rule has either `expr` or `spread`")
                    .label(expr.key, "the other one")
                    .hint("make two rules of it");
                None
            }
            (None, None) => {
                self.reader
                    .findings
                    .error(place, "the rule demands nothing")
                    .hint("add `expr = \"…\"` or `spread = { by = \"…\", max = \"…\" }`");
                None
            }
            (Some(expr), None) => self.expr_rule(&expr, is_each),
            (None, Some(spread)) => self.spread_rule(&spread, is_each),
        };
        let component = match named?.subject? {
            Subject::Each(component) | Subject::Group(component) => component,
        };
        let (name, rules) = (name?, rules?);
        let count = rules.len();
        let requires = rules.into_iter().enumerate().map(|(index, (rule, source, span))| {
            // The parts of a conjunction are numbered in their names; a written name cannot contain such a number.
            let name = if count == 1 { name.clone() } else { format!("{name}.{}", index + 1) };
            self.places.requires.push(span);
            Require { name: RuleName(name), component: component.clone(), rule, source }
        });
        Some(requires.collect())
    }

    fn rule_name(&mut self, table: &mut Table<'_>, what: &str) -> Option<String> {
        let node = self.reader.required(table, "name", "what `plan` and `why` call it")?;
        let name = self.reader.text(&node)?;
        self.declare_name(&name, what);
        Some(name.text.to_owned())
    }

    fn subject(&mut self, table: &mut Table<'_>) -> Option<Named> {
        let (each, group) = (table.take("each"), table.take("group"));
        let (node, is_each) = match (each, group) {
            (Some(each), Some(group)) => {
                self.reader
                    .findings
                    .error(group.key, "a rule has either `each` or `group`")
                    .label(each.key, "the other one")
                    .hint("`each` looks at every machine alone, `group` at all of them together");
                return None;
            }
            (None, None) => {
                self.reader.findings.error(table.place.clone(), "missing field `each` or `group`").hint(
                    "add `each = \"COMPONENT\"` for a rule per machine, `group = …` for all of them together",
                );
                return None;
            }
            (Some(each), None) => (each, true),
            (None, Some(group)) => (group, false),
        };
        let component = self.reader.text(&node).and_then(|text| self.known_component(text.text, &text.span));
        let subject = component.map(if is_each { Subject::Each } else { Subject::Group });
        Some(Named { subject, is_each })
    }

    /// Parses the expression of a value that is a text.
    fn ast<'d>(&mut self, text: &Text<'d>) -> Option<(Ast, Placer)> {
        let placer = Placer::new(self.reader.source(), &text.span, text.text);
        match parse::parse(text.text) {
            Ok(ast) => Some((ast, placer)),
            Err(mistake) => {
                // A mistake at the end of the text is placed at the closing quote.
                let span = placer.span(&mistake.span);
                self.reader.findings.error(span, mistake.message).maybe_hint(mistake.hint);
                None
            }
        }
    }

    fn checker<'c>(&'c mut self, placer: &'c Placer, scope: Scope) -> Checker<'c> {
        Checker {
            scope,
            placer,
            currency: &self.currency,
            attributes: &mut self.attributes,
            findings: &mut self.reader.findings,
        }
    }

    /// The rules that an `expr` stands for, each with its text and its place.
    fn expr_rule(&mut self, node: &Node<'_>, is_each: Option<bool>) -> Option<Vec<(Rule, String, Span)>> {
        let text = self.reader.text(node)?;
        let (ast, placer) = self.ast(&text)?;
        let has_anchors = self.has_anchors;
        let mut checker = self.checker(&placer, Scope::Node);
        if is_each? {
            let expr = checker.condition(&ast)?;
            if !speaks_of_node(&expr) {
                checker
                    .error(&ast, "the rule says nothing about the machine")
                    .hint("use a property such as `node.region`");
                return None;
            }
            return Some(vec![(Rule::Each(expr), text.text.to_owned(), text.span)]);
        }
        let bounds = lower::bounds(&mut checker, &ast, has_anchors)?;
        Some(
            bounds
                .into_iter()
                .map(|Bound { measure, comparison, limit, span, inner }| {
                    let source = text.text.get(inner).unwrap_or(text.text).to_owned();
                    (Rule::Group { measure, comparison, limit }, source, span)
                })
                .collect(),
        )
    }

    fn spread_rule(&mut self, node: &Node<'_>, is_each: Option<bool>) -> Option<Vec<(Rule, String, Span)>> {
        let mut table = self.reader.table(node)?;
        let by = self.reader.required(&mut table, "by", "a property of a machine, such as \"node.region\"");
        let by_text = by.as_ref().and_then(|node| self.reader.text(node));
        let by = by_text.as_ref().and_then(|text| self.spread_by(text));
        let (max, min) = (table.take("max"), table.take("min_distinct"));
        if max.is_none() && min.is_none() {
            self.reader
                .findings
                .error(node.key.clone(), "the spread has no limit")
                .hint("add `max = …` (machines in one class) or `min_distinct = …` (classes)");
        }
        let mut source = format!("spread by {}", by_text.map_or("", |text| text.text));
        let mut limits = Vec::new();
        let mut complete = max.is_some() || min.is_some();
        for (limit, name) in [(max, "max"), (min, "min_distinct")] {
            let Some(limit) = limit else {
                limits.push(None);
                continue;
            };
            let found = self.spread_limit(&limit);
            complete &= found.is_some();
            if let Some((_, written)) = &found {
                source.push_str(&format!(", {name} {written}"));
            }
            limits.push(found.map(|(expr, _)| expr));
        }
        self.reader.finish::<document::Spread>(table);
        if is_each == Some(true) {
            self.reader
                .findings
                .error(node.key.clone(), "a spread speaks of all machines together")
                .hint("write `group = …` instead of `each = …`");
            return None;
        }
        let min_distinct = limits.pop().flatten();
        let max = limits.pop().flatten();
        let rule = Rule::Spread { by: by?, max, min_distinct };
        complete.then_some(vec![(rule, source, node.span.clone())])
    }

    fn spread_by(&mut self, text: &Text<'_>) -> Option<Expr> {
        let (ast, placer) = self.ast(text)?;
        let mut checker = self.checker(&placer, Scope::Node);
        let Typed { expr, kind, .. } = checker.check(&ast)?;
        if kind == Type::Bool {
            checker
                .error(&ast, "expected a property, found a condition")
                .hint("write a property, such as `node.region`");
            return None;
        }
        if !speaks_of_node(&expr) {
            checker
                .error(&ast, "all machines would be in one class")
                .hint("write a property, such as `node.region`");
            return None;
        }
        Some(expr)
    }

    /// A limit of a spread and how it was written: a whole number, or a text that may use the size.
    fn spread_limit(&mut self, node: &Node<'_>) -> Option<(Expr, String)> {
        let Some(text) = self.reader.as_text(node) else {
            let value = self.reader.whole(node, 1, 1_000_000)?;
            return Some((Expr::Number(Number::from(value)), value.to_string()));
        };
        let (ast, placer) = self.ast(&text)?;
        let mut checker = self.checker(&placer, Scope::Size);
        let (typed, numeric) = checker.number(&ast)?;
        let span = typed.span.clone();
        checker.fits(&span, Some(Quantity::PLAIN), numeric)?;
        Some((typed.expr, text.text.to_owned()))
    }

    pub(crate) fn utility(&mut self, mut table: Table<'_>) -> Option<Utility> {
        let name = self.rule_name(&mut table, "utility");
        let named = self.subject(&mut table);
        let of = self.reader.required(&mut table, "of", "the quantity, such as \"node.load5\"");
        let of_text = of.and_then(|node| self.reader.text(&node));
        let is_each = named.as_ref().map(|named| named.is_each);
        let quantity = match (&of_text, is_each) {
            (Some(text), Some(is_each)) => self.utility_of(text, is_each),
            _ => None,
        };
        let measured = quantity.as_ref().map(|(_, measured)| *measured);
        let best = self.utility_end(&mut table, "best", "the value that is worth 1", measured);
        let worst = self.utility_end(&mut table, "worst", "the value that is worth 0", measured);
        let weight = self.weight(&mut table);
        self.reader.finish::<document::Utility>(table);
        let ((best, _), (worst, worst_span)) = (best?, worst?);
        if best == worst {
            self.reader
                .findings
                .error(worst_span, "`best` and `worst` are the same: the utility would tell nothing apart")
                .hint("`best` < `worst` means lower is better, `best` > `worst` higher");
            return None;
        }
        let component = match named?.subject? {
            Subject::Each(component) | Subject::Group(component) => component,
        };
        let source = of_text?.text.to_owned();
        Some(Utility {
            name: RuleName(name?),
            component,
            of: quantity?.0,
            best,
            worst,
            weight: weight?,
            source,
        })
    }

    /// The quantity of a utility, and its unit if that is known.
    fn utility_of(&mut self, text: &Text<'_>, is_each: bool) -> Option<(Of, Option<Quantity>)> {
        let (ast, placer) = self.ast(text)?;
        let has_anchors = self.has_anchors;
        let mut checker = self.checker(&placer, Scope::Node);
        if !is_each {
            let (measure, quantity) = lower::measure(&mut checker, &ast, has_anchors)?;
            return Some((Of::Group(measure), quantity));
        }
        let typed = checker.check(&ast)?;
        match typed.kind {
            Type::Text => {
                checker
                    .error(&ast, "a utility is made of a number, this is a text")
                    .hint("turn it into one: `node.region == \"a\" ? 1 : 0`");
                return None;
            }
            Type::Bool => {
                checker
                    .error(&ast, "a utility is made of a number, this is a condition")
                    .hint("turn it into one: `condition ? 1 : 0`");
                return None;
            }
            _ => {}
        }
        let (typed, numeric) = checker.number(&ast)?;
        if !speaks_of_node(&typed.expr) {
            checker
                .error(&ast, "the quantity is the same for every machine")
                .hint("use a property such as `node.load5`");
            return None;
        }
        Some((Of::Each(typed.expr), numeric.quantity))
    }

    /// `best` or `worst`, in the base unit of the quantity, and its place.
    fn utility_end(
        &mut self,
        table: &mut Table<'_>,
        name: &str,
        what: &str,
        measured: Option<Option<Quantity>>,
    ) -> Option<(Number, Span)> {
        let node = self.reader.required(table, name, what)?;
        let (value, quantity) = self.reader.any_quantity(&node)?;
        if let Some(measured) = measured {
            let placer = Placer::Whole(node.span.clone());
            self.checker(&placer, Scope::Size).fits(&node.span, measured, value_numeric(quantity))?;
        }
        Some((Number::try_from(value).ok()?, node.span))
    }

    fn weight(&mut self, table: &mut Table<'_>) -> Option<Number> {
        let Some(node) = table.take("weight") else { return Some(Number::ONE) };
        let weight = self.reader.number(&node)?;
        if weight < Number::ZERO {
            self.reader
                .findings
                .error(node.span, "a weight must not be negative")
                .hint("exchange `best` and `worst` to prefer the opposite");
            return None;
        }
        self.places.weights.push(node.span);
        Some(weight)
    }
}

/// Whether an expression uses any attribute of a host.
fn speaks_of_node(expr: &Expr) -> bool {
    match expr {
        Expr::Attribute(_) | Expr::Has(_) => true,
        Expr::Number(_) | Expr::Text(_) | Expr::Bool(_) | Expr::Size => false,
        Expr::Unary(_, of) => speaks_of_node(of),
        Expr::Binary(_, left, right) => speaks_of_node(left) || speaks_of_node(right),
        Expr::Conditional(condition, yes, no) => {
            [condition, yes, no].into_iter().any(|expr| speaks_of_node(expr))
        }
        Expr::In(of, items) => speaks_of_node(of) || items.iter().any(speaks_of_node),
        Expr::Call(_, arguments) => arguments.iter().any(speaks_of_node),
    }
}

impl AttributeKind {
    /// A word for the kind, for messages.
    #[must_use]
    pub fn spoken(self) -> &'static str {
        match self {
            Self::Number(_) => "a number",
            Self::Text => "a text",
        }
    }
}
