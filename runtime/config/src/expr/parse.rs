//! Parses tokens into a tree, by precedence climbing. Names and types are checked in `check`.
//!
//! Depth and size are bounded, so that no text can exhaust the stack of a function that walks the tree.

use crate::expr::token::{Mistake, Token, TokenKind, tokens};
use crate::finding::Span;
use crate::units::Measured;
use rhizo_types::expr::{BinaryOp, UnaryOp};

/// Longest expression in bytes; the longest of PsEPR's rules has 50 characters.
const LENGTH_MAX: usize = 4096;

/// Deepest tree: far more than a person writes, and little stack.
pub(crate) const DEPTH_MAX: u16 = 64;

/// An untyped expression.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Ast {
    /// Its place in the text.
    pub(crate) span: Span,
    /// Its kind and operands.
    pub(crate) kind: Kind,
    depth: u16,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Kind {
    Number(Measured),
    Text(String),
    Bool(bool),
    Name(String),
    Member(Box<Ast>, String),
    Call(String, Vec<Ast>),
    Unary(UnaryOp, Box<Ast>),
    Binary(BinaryOp, Box<Ast>, Box<Ast>),
    Conditional(Box<Ast>, Box<Ast>, Box<Ast>),
    In(Box<Ast>, Vec<Ast>),
}

/// Parses a whole text.
pub(crate) fn parse(text: &str) -> Result<Ast, Mistake> {
    if text.len() > LENGTH_MAX {
        return Err(Mistake::new(
            0..text.len(),
            format!("the expression is longer than {LENGTH_MAX} characters"),
        )
        .hint("split the rule into several"));
    }
    let mut parser = Parser { tokens: tokens(text)?, at: 0, nesting: 0 };
    if parser.peek() == &TokenKind::End {
        return Err(Mistake::new(0..text.len(), "the expression is empty"));
    }
    let found = parser.expression()?;
    match parser.peek() {
        TokenKind::End => Ok(found),
        _ => Err(parser.unexpected("an operator or the end")),
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    nesting: u16,
}

/// How tightly operators bind; a greater number binds tighter.
fn precedence(sign: &str) -> Option<(u8, BinaryOp)> {
    Some(match sign {
        "||" => (1, BinaryOp::Or),
        "&&" => (2, BinaryOp::And),
        "<" => (COMPARISON, BinaryOp::Less),
        "<=" => (COMPARISON, BinaryOp::LessOrEqual),
        ">" => (COMPARISON, BinaryOp::Greater),
        ">=" => (COMPARISON, BinaryOp::GreaterOrEqual),
        "==" => (COMPARISON, BinaryOp::Equal),
        "!=" => (COMPARISON, BinaryOp::NotEqual),
        "+" => (4, BinaryOp::Add),
        "-" => (4, BinaryOp::Subtract),
        "*" => (5, BinaryOp::Multiply),
        "/" => (5, BinaryOp::Divide),
        "%" => (5, BinaryOp::Remainder),
        _ => return None,
    })
}

const COMPARISON: u8 = 3;

impl Parser {
    fn peek(&self) -> &TokenKind {
        &self.tokens[self.at].kind
    }

    fn span(&self) -> Span {
        self.tokens[self.at].span.clone()
    }

    /// The current token; after the last it is always the end.
    fn advance(&mut self) -> Token {
        let token = self.tokens[self.at].clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn eat(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), TokenKind::Sign(found) if *found == sign);
        if found {
            self.advance();
        }
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), Mistake> {
        if self.eat(sign) { Ok(()) } else { Err(self.unexpected(&format!("`{sign}`"))) }
    }

    fn unexpected(&self, expected: &str) -> Mistake {
        let after_number = self.at > 0 && matches!(self.tokens[self.at - 1].kind, TokenKind::Number(_));
        let (found, hint) = match self.peek() {
            TokenKind::Number(_) => ("a number".to_owned(), None),
            TokenKind::Text(_) => ("a text".to_owned(), None),
            TokenKind::Word(word) => (
                format!("`{word}`"),
                match word.to_ascii_lowercase().as_str() {
                    "and" => Some("write `&&`"),
                    "or" => Some("write `||`"),
                    "not" => Some("write `!`"),
                    _ if after_number => Some("write a number and its unit without a space, as in `20ms`"),
                    _ => None,
                },
            ),
            TokenKind::Sign(sign) => (format!("`{sign}`"), None),
            TokenKind::End => ("the end".to_owned(), None),
        };
        let mistake = Mistake::new(self.span(), format!("expected {expected}, found {found}"));
        match hint {
            Some(hint) => mistake.hint(hint),
            None => mistake,
        }
    }

    fn make(&self, span: Span, kind: Kind) -> Result<Ast, Mistake> {
        let below = |asts: &[&Ast]| asts.iter().map(|ast| ast.depth).max().unwrap_or(0);
        let depth = 1 + match &kind {
            Kind::Number(_) | Kind::Text(_) | Kind::Bool(_) | Kind::Name(_) => 0,
            Kind::Member(of, _) | Kind::Unary(_, of) => of.depth,
            Kind::Call(_, arguments) => below(&arguments.iter().collect::<Vec<_>>()),
            Kind::Binary(_, left, right) => below(&[left, right]),
            Kind::Conditional(condition, yes, no) => below(&[condition, yes, no]),
            Kind::In(of, items) => of.depth.max(below(&items.iter().collect::<Vec<_>>())),
        };
        if depth > DEPTH_MAX {
            return Err(too_deep(span));
        }
        Ok(Ast { span, kind, depth })
    }

    fn expression(&mut self) -> Result<Ast, Mistake> {
        self.nesting += 1;
        if self.nesting > DEPTH_MAX {
            return Err(too_deep(self.span()));
        }
        let condition = self.operators(1)?;
        let found = if self.eat("?") {
            let yes = self.expression()?;
            self.expect(":")?;
            let no = self.expression()?;
            let span = condition.span.start..no.span.end;
            self.make(span, Kind::Conditional(Box::new(condition), Box::new(yes), Box::new(no)))?
        } else {
            condition
        };
        self.nesting -= 1;
        Ok(found)
    }

    /// Operators that bind at least as tightly as `least`.
    fn operators(&mut self, least: u8) -> Result<Ast, Mistake> {
        let mut left = self.unary()?;
        loop {
            if self.is_in() && least <= COMPARISON {
                left = self.membership(left)?;
                continue;
            }
            let TokenKind::Sign(sign) = self.peek() else { return Ok(left) };
            let Some((tightness, op)) = precedence(sign).filter(|(tightness, _)| *tightness >= least) else {
                return Ok(left);
            };
            let place = self.advance().span;
            if tightness == COMPARISON && is_comparison(&left) {
                return Err(Mistake::new(place, "comparisons do not chain").hint("write `a < b && b < c`"));
            }
            let right = self.operators(tightness + 1)?;
            let span = left.span.start..right.span.end;
            left = self.make(span, Kind::Binary(op, Box::new(left), Box::new(right)))?;
        }
    }

    fn is_in(&self) -> bool {
        matches!(self.peek(), TokenKind::Word(word) if word == "in")
    }

    fn membership(&mut self, left: Ast) -> Result<Ast, Mistake> {
        self.advance();
        if !self.eat("[") {
            return Err(self.unexpected("`[`").hint("write `x in [\"a\", \"b\"]`"));
        }
        let mut items = Vec::new();
        while !self.eat("]") {
            items.push(self.expression()?);
            if !self.eat(",") {
                self.expect("]")?;
                break;
            }
        }
        let span = left.span.start..self.tokens[self.at - 1].span.end;
        self.make(span, Kind::In(Box::new(left), items))
    }

    fn unary(&mut self) -> Result<Ast, Mistake> {
        let start = self.span().start;
        let op = match self.peek() {
            TokenKind::Sign("-") => UnaryOp::Negate,
            TokenKind::Sign("!") => UnaryOp::Not,
            _ => return self.primary(),
        };
        self.advance();
        self.nesting += 1;
        if self.nesting > DEPTH_MAX {
            return Err(too_deep(self.span()));
        }
        let of = self.unary()?;
        self.nesting -= 1;
        self.make(start..of.span.end, Kind::Unary(op, Box::new(of)))
    }

    fn primary(&mut self) -> Result<Ast, Mistake> {
        let span = self.span();
        let mut found = match self.peek().clone() {
            TokenKind::Number(number) => {
                self.advance();
                self.make(span, Kind::Number(number))?
            }
            TokenKind::Text(text) => {
                self.advance();
                self.make(span, Kind::Text(text))?
            }
            TokenKind::Word(word) if !matches!(word.as_str(), "and" | "or" | "not" | "in") => {
                self.advance();
                self.word(span, word)?
            }
            TokenKind::Sign("(") => {
                self.advance();
                let inner = self.expression()?;
                self.expect(")")?;
                Ast { span: span.start..self.tokens[self.at - 1].span.end, ..inner }
            }
            _ => return Err(self.unexpected("a value")),
        };
        while self.eat(".") {
            let place = self.span();
            let TokenKind::Word(name) = self.peek().clone() else {
                return Err(self.unexpected("a name"));
            };
            self.advance();
            let span = found.span.start..place.end;
            found = self.make(span, Kind::Member(Box::new(found), name))?;
        }
        Ok(found)
    }

    fn word(&mut self, span: Span, word: String) -> Result<Ast, Mistake> {
        match word.as_str() {
            "true" => return self.make(span, Kind::Bool(true)),
            "false" => return self.make(span, Kind::Bool(false)),
            _ => {}
        }
        if !self.eat("(") {
            return self.make(span, Kind::Name(word));
        }
        let mut arguments = Vec::new();
        while !self.eat(")") {
            arguments.push(self.expression()?);
            if !self.eat(",") {
                self.expect(")")?;
                break;
            }
        }
        let end = self.tokens[self.at - 1].span.end;
        self.make(span.start..end, Kind::Call(word, arguments))
    }
}

fn too_deep(span: Span) -> Mistake {
    Mistake::new(span, format!("the expression is nested deeper than {DEPTH_MAX}"))
        .hint("split the rule into several")
}

fn is_comparison(ast: &Ast) -> bool {
    match &ast.kind {
        Kind::In(..) => true,
        Kind::Binary(op, ..) => matches!(
            op,
            BinaryOp::Less
                | BinaryOp::LessOrEqual
                | BinaryOp::Greater
                | BinaryOp::GreaterOrEqual
                | BinaryOp::Equal
                | BinaryOp::NotEqual
        ),
        _ => false,
    }
}
