//! Compares rhizo's expressions with those of the `cel` crate, on generated expressions of the common subset.
//!
//! Both evaluate the same text with the same attributes. Where the two differ by design, the test below names the
//! difference and shows both results; `docs/decisions/1022` lists them. Nothing here is part of the product.

#![forbid(unsafe_code)]
#![cfg(test)]

mod differences;
mod generated;

use cel::{Context, Program, Value};
use rhizo_config::{Environment, EvalError, Evaluated};
use rhizo_types::AttributeName;
use rhizo_types::expr::Expr;
use rhizo_types::spec::{Of, Rule};
use std::collections::HashMap;
use std::path::Path;

/// The attributes of the host; `node.gpu` is absent.
const NUMBERS: [(&str, f64); 5] =
    [("load1", 0.0), ("load5", 2.5), ("load15", -3.0), ("cpu_ghz", 7.25), ("price", 1e6)];
const TEXTS: [(&str, &str); 3] = [("region", "eu-1"), ("zone", ""), ("arch", "é\"x")];

struct Host;

impl Environment for Host {
    fn attribute(&self, name: &AttributeName) -> Option<Evaluated> {
        let number = NUMBERS.iter().find(|(known, _)| *known == name.as_str());
        let text = TEXTS.iter().find(|(known, _)| *known == name.as_str());
        number
            .map(|(_, value)| Evaluated::Number(*value))
            .or(text.map(|(_, value)| Evaluated::Text((*value).to_owned())))
    }

    fn size(&self) -> Option<u32> {
        None
    }
}

/// The value of an expression, or none if it has none.
#[derive(Clone, PartialEq, Debug)]
enum Outcome {
    Value(Evaluated),
    Error,
}

/// The typed expression that a config has for a text: as a condition of a rule, or as the quantity of a utility.
fn parsed(text: &str) -> Result<Expr, String> {
    let quoted = format!("'''{text}'''");
    let head = "rhizo = 1\napp.name = \"x\"\n[components.web]\nexec = \"web\"\n";
    let rule = format!("{head}[[require]]\nname = \"a\"\neach = \"web\"\nexpr = {quoted}\n");
    let read = |source: &str| rhizo_config::parse(source, "f", Path::new("/"));
    match read(&rule) {
        Ok(config) => match config.spec.requires.into_iter().next().map(|require| require.rule) {
            Some(Rule::Each(expr)) => Ok(expr),
            other => Err(format!("{other:?}")),
        },
        Err(first) => {
            let of = format!(
                "{head}[[utility]]\nname = \"a\"\neach = \"web\"\nof = {quoted}\nbest = 0\nworst = 1\n"
            );
            match read(&of) {
                Ok(config) => match config.spec.utilities.into_iter().next().map(|utility| utility.of) {
                    Some(Of::Each(expr)) => Ok(expr),
                    other => Err(format!("{other:?}")),
                },
                Err(second) => Err(format!("{first:?} {second:?}")),
            }
        }
    }
}

fn ours(text: &str) -> Result<Outcome, String> {
    Ok(match rhizo_config::evaluate(&parsed(text)?, &Host) {
        Ok(value) => Outcome::Value(value),
        // A tree of the checker has no operand of a wrong type.
        Err(EvalError::WrongOperand | EvalError::TooDeep) => return Err("a bug".to_owned()),
        Err(_) => Outcome::Error,
    })
}

/// The outcome of the `cel` crate, which has the functions of ours that CEL itself lacks.
fn cels(text: &str) -> Result<Outcome, String> {
    let program = Program::compile(text).map_err(|error| format!("{error:?}"))?;
    let mut context = Context::default();
    let numbers = NUMBERS.iter().map(|(name, value)| ((*name).to_owned(), Value::Float(*value)));
    let texts = TEXTS.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value)));
    let node: HashMap<String, Value> = numbers.chain(texts).collect();
    context.add_variable_from_value("node", node);
    context.add_function("abs", |x: f64| x.abs());
    context.add_function("floor", |x: f64| x.floor());
    context.add_function("ceil", |x: f64| x.ceil());
    context.add_function("min2", f64::min);
    context.add_function("max2", f64::max);
    Ok(match program.execute(&context) {
        Ok(Value::Float(value)) if value.is_finite() => Outcome::Value(Evaluated::Number(value + 0.0)),
        // Ours has finite numbers only.
        Ok(Value::Float(_)) => Outcome::Error,
        Ok(Value::Int(value)) => Outcome::Value(Evaluated::Number(value as f64)),
        Ok(Value::Bool(value)) => Outcome::Value(Evaluated::Bool(value)),
        Ok(Value::String(value)) => Outcome::Value(Evaluated::Text(value.to_string())),
        Ok(other) => return Err(format!("{other:?}")),
        Err(_) => Outcome::Error,
    })
}
