//! The scanned form of one Rust file: the code without comments and literals, and the lines that belong to tests.
//!
//! This is a scanner, not a parser: it recognises comments, literals and braces, which is all that the rules need,
//! and it builds in a second. Lines keep their numbers, so a position in `code` is a position in the file.

use crate::tree::File;

/// A Rust file, prepared for the rules.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Path from the root of the project.
    pub(crate) path: String,
    /// The file as written.
    pub(crate) text: String,
    /// The text with comments and the insides of literals blanked; line breaks are kept.
    pub(crate) code: String,
    /// The comments alone, with `//` and its kin, everything else blanked; line breaks are kept.
    pub(crate) comments: String,
    /// Per line (from 0): whether it belongs to a test.
    test_lines: Vec<bool>,
}

/// A function found in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Function {
    /// Its name, without path or type.
    pub(crate) name: String,
    /// Line of `fn`, counted from 1.
    pub(crate) line: usize,
    /// Lines from `fn` to the closing brace.
    pub(crate) lines: usize,
}

impl Source {
    /// Scans one file.
    pub(crate) fn scan(file: &File) -> Self {
        let (code, comments) = split(&file.text);
        let test_lines = test_lines(&file.path, &code);
        Self { path: file.path.clone(), text: file.text.clone(), code, comments, test_lines }
    }

    /// Whether the line (counted from 1) is part of a test.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        self.test_lines.get(line.saturating_sub(1)).copied().unwrap_or(false)
    }

    /// Every place where `word` stands in the code, as lines counted from 1. A word made of identifier
    /// characters matches whole identifiers only.
    pub(crate) fn lines_with<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        let places = self.code.match_indices(word).filter(move |(at, _)| whole(&self.code, *at, word));
        places.map(|(at, _)| 1 + self.code[..at].matches('\n').count())
    }

    /// The functions that have a body, in the order of their first line.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let bytes = self.code.as_bytes();
        self.code
            .match_indices("fn ")
            .filter(|(at, _)| whole(&self.code, *at, "fn"))
            .filter_map(|(at, _)| {
                let rest = self.code[at + 3..].trim_start();
                let name: String = rest.chars().take_while(|c| is_word(*c)).collect();
                let open = body(bytes, at)?;
                let close = matching(bytes, open)?;
                let line = 1 + self.code[..at].matches('\n').count();
                let lines = 1 + self.code[at..close].matches('\n').count();
                (!name.is_empty()).then_some(Function { name, line, lines })
            })
            .collect()
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns true if the match at `at` is not inside a longer identifier.
fn whole(code: &str, at: usize, word: &str) -> bool {
    let before = code[..at].chars().next_back();
    let after = code[at + word.len()..].chars().next();
    let head = word.chars().next().is_some_and(is_word) && before.is_some_and(is_word);
    let tail = word.chars().next_back().is_some_and(is_word) && after.is_some_and(is_word);
    !head && !tail
}

/// The brace that opens the body of the item at `at`, or none when a `;` ends it first.
fn body(code: &[u8], at: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (offset, byte) in code.iter().enumerate().skip(at) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'{' if depth == 0 => return Some(offset),
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// The brace that closes the one at `open`.
fn matching(code: &[u8], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (offset, byte) in code.iter().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(offset);
                }
            }
            _ => {}
        }
    }
    None
}

/// Lines of tests: a whole file by its place or name, otherwise what follows `#[cfg(test)]`.
fn test_lines(path: &str, code: &str) -> Vec<bool> {
    let count = code.lines().count();
    let name = path.rsplit('/').next().unwrap_or(path);
    let in_crate_tests =
        path.contains("/tests/") || path.contains("/benches/") || path.starts_with("tests/it/");
    if in_crate_tests || name == "tests.rs" || name.ends_with("_tests.rs") || name.ends_with("_test.rs") {
        return vec![true; count];
    }
    let mut lines = vec![false; count];
    let bytes = code.as_bytes();
    for (at, _) in code.match_indices("#[cfg(test)]") {
        let start = code[..at].matches('\n').count();
        let close = body(bytes, at).and_then(|open| matching(bytes, open));
        let end = close.map_or(start + 1, |close| code[..close].matches('\n').count());
        for line in lines.iter_mut().take(end + 1).skip(start) {
            *line = true;
        }
    }
    lines
}

/// Splits a file into its code (comments and literals replaced by spaces) and its comments (everything else
/// replaced by spaces). Both keep every line break.
fn split(text: &str) -> (String, String) {
    let blank = |part: &[char]| part.iter().map(|c| if *c == '\n' { '\n' } else { ' ' }).collect::<String>();
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut comments = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match (chars[at], chars.get(at + 1)) {
            ('/', Some('/')) => line_end(&chars, at),
            ('/', Some('*')) => block_comment_end(&chars, at),
            ('"', _) => string_end(&chars, at),
            ('r', Some('"' | '#'))
                if !at.checked_sub(1).is_some_and(|p| is_word(chars[p]) && chars[p] != 'b') =>
            {
                raw_string_end(&chars, at)
            }
            ('\'', _) => character_end(&chars, at),
            _ => at + 1,
        };
        let part = &chars[at..end.min(chars.len())];
        match part {
            [single] => {
                code.push(*single);
                comments.push_str(&blank(part));
            }
            ['/', '/' | '*', ..] => {
                code.push_str(&blank(part));
                comments.extend(part);
            }
            _ => {
                code.push_str(&blank(part));
                comments.push_str(&blank(part));
            }
        }
        at = end;
    }
    (code, comments)
}

fn line_end(chars: &[char], at: usize) -> usize {
    chars[at..].iter().position(|c| *c == '\n').map_or(chars.len(), |length| at + length)
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let mut depth = 0usize;
    let mut at = at;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                at += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    chars.len()
}

fn string_end(chars: &[char], at: usize) -> usize {
    let mut at = at + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// The end of `r"…"` or `r#"…"#`; one past `at` when it is a raw identifier instead.
fn raw_string_end(chars: &[char], at: usize) -> usize {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    if chars.get(at + 1 + hashes) != Some(&'"') {
        return at + 1;
    }
    let mut end = at + 2 + hashes;
    while end < chars.len() {
        if chars[end] == '"' && chars[end + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
        {
            return end + 1 + hashes;
        }
        end += 1;
    }
    chars.len()
}

/// The end of a character literal; one past `at` when the quote starts a lifetime.
fn character_end(chars: &[char], at: usize) -> usize {
    match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), Some(_)) => {
            // The character after the backslash may itself be a quote.
            chars[at + 3..].iter().position(|c| *c == '\'').map_or(chars.len(), |length| at + 4 + length)
        }
        (Some(_), Some('\'')) => at + 3,
        _ => at + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(path: &str, text: &str) -> Source {
        Source::scan(&File { path: path.to_owned(), text: text.to_owned() })
    }

    #[test]
    fn comments_and_literals_hold_no_code() {
        let text = "let a = \"HashMap \\\" HashMap\"; // HashMap\n/* HashMap /* HashMap */ */ let b = r#\"HashMap\"#;\n\
                    let c = '\"'; let d = '\\''; let e: &'static str = b\"HashMap\"; HashMap::new();\n";
        let source = scan("solver/src/lib.rs", text);
        assert_eq!(source.lines_with("HashMap").collect::<Vec<_>>(), [3]);
        assert_eq!(source.code.lines().count(), text.lines().count());
        assert_eq!(source.comments.lines().count(), text.lines().count());
    }

    #[test]
    fn comments_are_kept_apart_from_code_and_literals() {
        let source = scan("a/src/lib.rs", "let a = \"// no\"; // yes\n/* also */ let b = 1;\n");
        assert_eq!(source.comments.lines().map(str::trim).collect::<Vec<_>>(), ["// yes", "/* also */"]);
    }

    #[test]
    fn a_word_is_not_found_inside_a_longer_one() {
        let source = scan("a/src/lib.rs", "struct MyHashMap; fn f(x: HashMapLike) {}\n");
        assert_eq!(source.lines_with("HashMap").count(), 0);
    }

    #[test]
    fn the_module_after_cfg_test_is_test_and_the_code_around_it_is_not() {
        let source = scan(
            "a/src/lib.rs",
            "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { if true {} }\n}\nfn c() {}\n",
        );
        let tests: Vec<bool> = (1..=6).map(|line| source.is_test(line)).collect();
        assert_eq!(tests, [false, true, true, true, true, false]);
    }

    #[test]
    fn a_test_module_in_its_own_file_marks_one_line_only() {
        let source = scan("a/src/lib.rs", "#[cfg(test)]\nmod tests;\nfn c() {\n}\n");
        assert!(source.is_test(2));
        assert!(!source.is_test(3));
        assert!(scan("a/src/foo/tests.rs", "fn c() {}\n").is_test(1));
    }

    #[test]
    fn functions_are_measured_from_fn_to_the_closing_brace() {
        let text = "trait T {\n    fn declared(&self, x: [u8; 4]) -> [u8; 2];\n}\nfn long(x: fn(u8) -> u8)\nwhere\n{\n    let c = || { 1 };\n}\n";
        let found = scan("a/src/lib.rs", text).functions();
        assert_eq!(found, [Function { name: "long".to_owned(), line: 4, lines: 5 }]);
    }
}
