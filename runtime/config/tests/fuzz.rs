//! Arbitrary and damaged configs, expressions and templates: never a panic, never a finding without a place.
//!
//! With `RHIZO_FUZZ_S=600` each parser gets new inputs for that many seconds:
//! `RHIZO_FUZZ_S=600 cargo test -p rhizo-config --test fuzz -- --nocapture --test-threads=1`.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rhizo_config::{TemplateInputs, parse, render, render_template};
use std::path::Path;
use std::time::{Duration, Instant};

const GOOD: &[&str] = &[
    include_str!("good/psepr.toml"),
    include_str!("good/lifecycle.toml"),
    include_str!("broken/46-steps.toml"),
    include_str!("broken/47-values.toml"),
    include_str!("broken/10-wrong-types-in-a-component.toml"),
    include_str!("broken/16-expression-syntax.toml"),
    include_str!("broken/20-group-rules.toml"),
    include_str!("broken/22-spread.toml"),
    include_str!("broken/26-utilities.toml"),
    include_str!("broken/36-commands.toml"),
    include_str!("broken/40-places-in-escaped-texts.toml"),
];

/// Pieces of text that a config is damaged with.
const PIECES: &[&str] = &[
    "\"",
    "'",
    "\"\"\"",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    ",",
    ".",
    "\n",
    "\r\n",
    "\\",
    "#",
    "-",
    "0",
    "1e999",
    "nan",
    "9223372036854775808",
    "é",
    "\u{2028}",
    "\0",
    "true",
    "1979-05-27",
    "node.",
    "size(placement)",
    " / 0",
    "&&",
    "->",
    "\\u0000",
    "[components.web]\n",
    "[[require]]\n",
    "exec = \"\"\n",
    "😀",
    "\t",
    "{export.a.addr}",
    "{import.db.x}",
    "start = true\n",
    "[components.web.lifecycle]\n",
];

/// Reads a config, and uses the spec or the findings that come out of it.
fn survives(source: &str) -> Result<(), TestCaseError> {
    let findings = match parse(source, "fuzz.toml", Path::new("/base")) {
        Ok(parsed) => parsed.warnings,
        Err(findings) => {
            prop_assert!(!findings.is_empty(), "refused without a reason");
            findings
        }
    };
    let lines: Vec<&str> = source.split('\n').collect();
    for finding in &findings {
        prop_assert!(!finding.message.is_empty());
        prop_assert!(
            finding.line >= 1 && finding.line <= lines.len(),
            "line {} of {}",
            finding.line,
            lines.len()
        );
        let width = lines[finding.line - 1].chars().count();
        prop_assert!(
            finding.column >= 1 && finding.column <= width + 1,
            "column {} of {width}",
            finding.column
        );
        prop_assert!(finding.length >= 1);
    }
    let text = render(&findings, source, false);
    prop_assert_eq!(text.is_empty(), findings.is_empty());
    Ok(())
}

/// Pieces of expressions: all signs, functions and kinds of literals, and some that do not exist.
const EXPRESSION_PIECES: &[&str] = &[
    "node.load5",
    "node.region",
    "node.memory",
    "node.gpu",
    "node.",
    "node",
    "placement",
    "anchors",
    "size(placement)",
    "diameter_ms(placement)",
    "max_latency_ms(anchors, placement)",
    "cost_per_hour(placement)",
    "distinct(placement, node.region)",
    "count(placement, ",
    "share(placement, ",
    "sum(placement, ",
    "avg(placement, ",
    "has(",
    "min(",
    "max(",
    "abs(",
    "floor(",
    "ceil(",
    "nosuch(",
    "(",
    ")",
    "[",
    "]",
    ",",
    "||",
    "&&",
    "!",
    "<",
    "<=",
    ">",
    ">=",
    "==",
    "!=",
    " in ",
    "+",
    "-",
    "*",
    "/",
    "%",
    "?",
    ":",
    "1",
    "0",
    "2.5",
    "1e9",
    "1e999",
    ".5",
    "20ms",
    "256MiB",
    "$0.12/h",
    "5 m",
    "'eu'",
    "\"eu\"",
    "'",
    "\"",
    "true",
    "false",
    "null",
    "é",
    "\u{2028}",
    " ",
    "p -> p.region",
    "->",
    "&",
    "|",
    "=",
    ";",
    "node.load5 < 10",
    "size(placement) >= 2",
    "-9223372036854775808",
    "0x1f",
];

/// Uses an expression in every place that takes one.
fn expression_survives(expression: &str) -> Result<(), TestCaseError> {
    let text = toml::Value::String(expression.to_owned()).to_string();
    let source = format!(
        "rhizo = 1\napp.name = \"x\"\nanchors.sites = [\"eu\"]\n[components.web]\nexec = \"web\"\n\
         [[require]]\nname = \"a\"\neach = \"web\"\nexpr = {text}\n\
         [[require]]\nname = \"b\"\ngroup = \"web\"\nexpr = {text}\n\
         [[require]]\nname = \"c\"\ngroup = \"web\"\nspread = {{ by = {text}, max = {text} }}\n\
         [[utility]]\nname = \"d\"\neach = \"web\"\nof = {text}\nbest = 0\nworst = 1\n\
         [[utility]]\nname = \"e\"\ngroup = \"web\"\nof = {text}\nbest = 0\nworst = 1\n"
    );
    survives(&source)
}

/// Pieces of templates.
const TEMPLATE_PIECES: &[&str] = &[
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "#}",
    " ",
    "\n",
    "import.db.addr",
    "import['c']",
    "export.http.port",
    "value.x",
    "app",
    "secret.P",
    "for a in ",
    "import.db.all",
    "range(3)",
    "range(99)",
    "endfor",
    "if ",
    "elif ",
    "else",
    "endif",
    "set x = ",
    "set",
    "endset",
    "macro m(a)",
    "endmacro",
    "m(1)",
    "|",
    "upper",
    "join(',')",
    "default(1)",
    "sort",
    "-",
    "+",
    "*",
    "~",
    "[",
    "]",
    "(",
    ")",
    "'",
    "\"",
    "1",
    "99999999999",
    ".",
    ",",
    "not ",
    " in ",
    " is ",
    "defined",
    "raw",
    "endraw",
    "filter upper",
    "endfilter",
    "with a = 1",
    "endwith",
    "é",
    "{",
    "}",
    "loop.index",
    "namespace(n=0)",
    "dict(a=1)",
    "[1,2][::-1]",
    "x",
    "a.b",
    "**",
    "//",
    "%",
    "<",
    "==",
    "\u{2028}",
    "\\",
    "include 'x'",
    "extends 'x'",
    "block b",
    "endblock",
    "autoescape true",
    "endautoescape",
];

/// Renders a text as a template, with and without values.
fn template_survives(template: &str) -> Result<(), TestCaseError> {
    let mut inputs = TemplateInputs { values: Some(Default::default()), ..TemplateInputs::default() };
    for is_full in [false, true] {
        if is_full {
            inputs.names.insert("app".to_owned(), "shop".to_owned());
            inputs.imports.insert("db".to_owned(), Default::default());
            inputs.values = None;
        }
        if let Err(error) = render_template(template, &inputs) {
            let lines = template.split('\n').count();
            prop_assert!(error.line >= 1 && error.line <= lines, "line {} of {lines}: {error}", error.line);
            prop_assert!(!error.message.is_empty());
        }
    }
    Ok(())
}

/// Runs a property with new inputs: once, or for as many seconds as `RHIZO_FUZZ_S` says.
fn for_a_while<S: Strategy>(
    name: &str,
    strategy: S,
    property: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let seconds = std::env::var("RHIZO_FUZZ_S").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut inputs: u64 = 0;
    loop {
        let config = ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() };
        inputs += u64::from(config.cases);
        // Each runner draws its own seed.
        TestRunner::new(config)
            .run(&strategy, &property)
            .unwrap_or_else(|failure| panic!("{name}: {failure}"));
        if Instant::now() >= end {
            break;
        }
    }
    println!("{name}: {inputs} inputs in {seconds} s");
}

fn pieces_of(pieces: &'static [&'static str], count: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(pieces), 0..count).prop_map(|pieces| pieces.concat())
}

fn damaged() -> impl Strategy<Value = String> {
    let wounds = prop::collection::vec((0.0..1.0_f64, 0.0..0.02_f64, prop::sample::select(PIECES)), 0..6);
    (0..GOOD.len(), wounds).prop_map(|(which, wounds)| {
        let mut source = GOOD[which].to_owned();
        for (share, cut, piece) in wounds {
            let from = boundary(&source, share);
            let to = boundary(&source, (share + cut).min(1.0));
            source.replace_range(from..to, piece);
        }
        source
    })
}

#[test]
fn damaged_configs_are_read_or_refused_with_places() {
    let inputs = prop_oneof![6 => damaged(), 2 => pieces_of(PIECES, 60), 1 => "(?s).{0,200}"];
    for_a_while("configs", inputs, |source| survives(&source));
}

#[test]
fn expressions_are_read_or_refused_with_places() {
    let inputs = prop_oneof![6 => pieces_of(EXPRESSION_PIECES, 16), 1 => "(?s).{0,60}"];
    for_a_while("expressions", inputs, |text| expression_survives(&text));
}

#[test]
fn templates_are_rendered_or_refused_with_their_line() {
    let inputs = prop_oneof![6 => pieces_of(TEMPLATE_PIECES, 40), 1 => "(?s).{0,100}"];
    for_a_while("templates", inputs, |text| template_survives(&text));
}

/// The character boundary at or before a share of the text.
fn boundary(text: &str, share: f64) -> usize {
    let mut at = (text.len() as f64 * share) as usize;
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_is_refused_with_places(source in "(?s).{0,200}") {
        survives(&source)?;
    }

    #[test]
    fn a_config_cut_off_anywhere_is_read_or_refused_with_places(which in 0..GOOD.len(), share in 0.0..1.0_f64) {
        let source = GOOD[which];
        survives(&source[..boundary(source, share)])?;
    }
}
