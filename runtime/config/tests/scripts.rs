//! Reconfiguration scripts, good and broken, against reviewed output, and arbitrary texts that must not panic.

use proptest::prelude::*;
use rhizo_config::{parse, parse_script, render};
use rhizo_types::spec::Spec;
use std::path::Path;

const CONFIG: &str = r#"
rhizo = 1

[app]
name = "shop"
version = "1"

[components.web]
exec = "serve"
replicas = { min = 1, max = 4 }
imports.db = { from = "db.sql" }

[components.db]
exec = "sql"
replicas = { min = 1, max = 2 }
exports.sql = {}
imports.peers = { from = "db.sql", optional = true }

[providers.lab]
kind = "process"
"#;

fn spec() -> Spec {
    match parse(CONFIG, "rhizo.toml", Path::new("/base")) {
        Ok(parsed) => parsed.spec,
        Err(findings) => panic!("{}", render(&findings, CONFIG, false)),
    }
}

#[test]
fn a_good_script_is_read_and_printed_as_it_was_written() {
    let source = include_str!("scripts/good.rhs");
    let script = parse_script(source, "good.rhs", &spec()).expect("a good script");
    let code = |line: &str| line.split('#').next().unwrap_or_default().trim().to_owned();
    for statement in &script.statements {
        let line = source.lines().nth(statement.line as usize - 1).expect("the line");
        assert_eq!(statement.order.to_string(), code(line));
    }
    assert_eq!(script.statements.len(), source.lines().filter(|line| !code(line).is_empty()).count());
}

#[test]
fn everything_that_is_wrong_with_a_script_is_said_with_its_place() {
    let source = include_str!("scripts/broken.rhs");
    let findings = parse_script(source, "broken.rhs", &spec()).expect_err("a broken script");
    let text = render(&findings, source, false);
    let expected = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts/broken.err");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&expected, &text).expect("the reviewed text is written");
    }
    let reviewed = std::fs::read_to_string(&expected).unwrap_or_default();
    assert_eq!(reviewed, text, "UPDATE_EXPECT=1 writes {} anew", expected.display());
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(lines in proptest::collection::vec(
        "(add|del|connect|disconnect|push|wait|é|\\PC*) ?(web|db|\\PC{0,3})[. ]?[0-9]{0,12}(\\.db| on| to| #)? ?\\PC{0,8}",
        0..20,
    )) {
        let source = lines.join("\n");
        if let Err(findings) = parse_script(&source, "x", &spec()) {
            prop_assert!(!findings.is_empty());
            prop_assert!(!render(&findings, &source, false).is_empty());
        }
    }
}
