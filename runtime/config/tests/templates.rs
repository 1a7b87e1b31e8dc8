//! Template files against reviewed findings: `tests/templates/NN-name.in`, with its findings in `NN-name.err`.
//!
//! `UPDATE_EXPECT=1` writes the findings anew. The templates belong to the component `web` of `rhizo.toml` there.

use proptest::prelude::*;
use rhizo_config::{Parsed, parse, render};
use std::path::Path;

fn config() -> Parsed {
    let source = include_str!("templates/rhizo.toml");
    parse(source, "rhizo.toml", Path::new("/base"))
        .unwrap_or_else(|found| panic!("{}", render(&found, source, false)))
}

#[test]
fn every_template_has_the_reviewed_findings() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/templates");
    let parsed = config();
    let template = &parsed.templates[0];
    let mut wrong = Vec::new();
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("the templates") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|kind| kind != "in") {
            continue;
        }
        seen += 1;
        let text = std::fs::read_to_string(&path).expect("a template");
        let found = template.check(&text, &parsed.spec);
        assert_eq!(found.is_empty(), path.ends_with("00-good.in"), "{}: {found:?}", path.display());
        let findings = render(&found, &text, false);
        let expected = path.with_extension("err");
        if std::env::var_os("UPDATE_EXPECT").is_some() && !findings.is_empty() {
            std::fs::write(&expected, &findings).expect("the findings are written");
        }
        if std::fs::read_to_string(&expected).unwrap_or_default() != findings {
            wrong.push(format!("{} differs: now\n{findings}", expected.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen >= 15, "only {seen} templates");
}

const PIECES: &[&str] = &[
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "#}",
    " ",
    "\n",
    "import.db.addr",
    "import['my-cache']",
    "export.http.port",
    "value.x",
    "secret.PASSWORD",
    "for a in ",
    "import.db.all",
    "range(3)",
    "endfor",
    "if ",
    "else",
    "endif",
    "set x = ",
    "macro m(a)",
    "endmacro",
    "m(1)",
    "|",
    "upper",
    "join(',')",
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
    "in ",
    "is ",
    "defined",
    "raw",
    "endraw",
    "call",
    "filter upper",
    "endfilter",
    "with",
    "do ",
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
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_template_makes_the_check_panic(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)) {
        let parsed = config();
        let text = pieces.concat();
        for finding in parsed.templates[0].check(&text, &parsed.spec) {
            let line = text.split('\n').nth(finding.line - 1);
            prop_assert!(line.is_some_and(|line| finding.column <= line.chars().count() + 1), "{finding:?}");
        }
    }
}
