//! Arbitrary and damaged configs: never a panic, never a finding without a place.

use proptest::prelude::*;
use rhizo_config::{parse, render};
use std::path::Path;

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
    fn rows_of_pieces_are_refused_with_places(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..60)) {
        survives(&pieces.concat())?;
    }

    #[test]
    fn damaged_configs_are_read_or_refused_with_places(
        which in 0..GOOD.len(),
        wounds in prop::collection::vec((0.0..1.0_f64, 0.0..0.02_f64, prop::sample::select(PIECES)), 1..4),
    ) {
        let mut source = GOOD[which].to_owned();
        for (share, cut, piece) in wounds {
            let from = boundary(&source, share);
            let to = boundary(&source, (share + cut).min(1.0));
            source.replace_range(from..to, piece);
        }
        survives(&source)?;
    }

    #[test]
    fn a_config_cut_off_anywhere_is_read_or_refused_with_places(which in 0..GOOD.len(), share in 0.0..1.0_f64) {
        let source = GOOD[which];
        survives(&source[..boundary(source, share)])?;
    }
}
