//! Collects the files of one config: the file that the user names, and the files that it includes.
//!
//! The crate reads no file. The caller asks for the path of the next file, reads it, and supplies its text or the
//! reason why it has none. A file that includes itself, also through others, and a file that is included twice are
//! errors at the place that names them. Read next: `sources`, which holds the texts.

use crate::finding::{Finding, Findings, Span};
use crate::reader::{Reader, Text};
use crate::sources::Sources;
use crate::{Parsed, SIZE_HINT, SOURCE_LENGTH_MAX, path, syntax};
use std::path::{Path, PathBuf};

/// Most files of one config. People write a file per team or per environment; a cycle through links ends here as well.
const FILES_MAX: usize = 64;

/// The text of one file, with the properties of its path that only the caller can know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigFile {
    /// The text.
    pub text: String,
    /// The folder in which the relative paths of the file begin.
    pub folder: PathBuf,
    /// The path that identifies the file: the same for two names of one file.
    pub identity: PathBuf,
}

/// The files of a config so far.
#[derive(Debug)]
pub struct Gathering {
    sources: Sources,
    files: Vec<Gathered>,
    /// The files that are still to be read; the next one is the last.
    wanted: Vec<Wanted>,
    findings: Findings,
}

/// A file whose text was supplied.
#[derive(Debug)]
struct Gathered {
    identity: PathBuf,
    name: String,
    /// The index of the file that includes it, and the place of its name there; none for the first file.
    included: Option<(usize, Span)>,
}

/// A file that another one includes.
#[derive(Debug)]
struct Wanted {
    /// Its path; a relative one is joined to the folder of the file that includes it.
    path: String,
    name: String,
    parent: usize,
    place: Span,
}

impl Gathering {
    /// Begins with the file that the user names; `name` is only repeated in findings.
    #[must_use]
    pub fn new(name: &str, file: ConfigFile) -> Self {
        let mut gathering = Self {
            sources: Sources::default(),
            files: Vec::new(),
            wanted: Vec::new(),
            findings: Findings::default(),
        };
        gathering.add(name, file, None);
        gathering
    }

    /// Returns the path of the next file that the caller has to read; none when the config is complete.
    #[must_use]
    pub fn wanted(&self) -> Option<&Path> {
        self.wanted.last().map(|wanted| Path::new(&wanted.path))
    }

    /// Takes the file that [`Self::wanted`] names, or the reason why it cannot be read.
    pub fn supply(&mut self, read: Result<ConfigFile, String>) {
        let Some(wanted) = self.wanted.pop() else { return };
        let file = match read {
            Ok(file) => file,
            Err(reason) => {
                self.findings
                    .error(wanted.place, format!("`{}` cannot be included: {reason}", wanted.name))
                    .hint("the path of an included file starts at the folder of the file that names it");
                return;
            }
        };
        if let Some(earlier) = self.files.iter().position(|known| known.identity == file.identity) {
            self.refuse_again(&wanted, earlier);
        } else if self.files.len() >= FILES_MAX {
            self.findings
                .error(wanted.place, format!("more than {FILES_MAX} files"))
                .hint("combine some of them");
        } else {
            let Wanted { name, parent, place, .. } = wanted;
            self.add(&name, file, Some((parent, place)));
        }
    }

    /// Reads the config, when no file is wanted any more. A file that is still wanted is missing.
    ///
    /// # Errors
    /// All findings in the order of the files, including warnings, if at least one is an error. After a syntax error in
    /// the TOML or an error in `include`, no other check is made.
    pub fn parse(mut self) -> Result<Parsed, (Vec<Finding>, Sources)> {
        while self.wanted().is_some() {
            self.supply(Err("no file is read here".to_owned()));
        }
        let Self { sources, findings, .. } = self;
        crate::parse_sources(sources, findings)
    }

    /// Adds a file, and the files that it includes to those that are wanted.
    fn add(&mut self, name: &str, file: ConfigFile, included: Option<(usize, Span)>) {
        let place = included.as_ref().map(|(_, place)| place.clone());
        let span = self.sources.add(name, &file.folder, &file.text);
        let index = self.files.len();
        self.files.push(Gathered { identity: file.identity, name: name.to_owned(), included });
        if self.sources.joined().len() > SOURCE_LENGTH_MAX + self.files.len() {
            let message = match index {
                0 => format!("the config has {} bytes, and at most {SOURCE_LENGTH_MAX} fit", span.len()),
                _ => format!("with this file the config is longer than {SOURCE_LENGTH_MAX} bytes"),
            };
            self.findings.error(place.unwrap_or(0..0), message).hint(SIZE_HINT);
            return;
        }
        let mut wanted: Vec<Wanted> = self
            .included_by(&span)
            .into_iter()
            .map(|(path, place)| {
                let folder = Path::new(name).parent().unwrap_or(Path::new(""));
                let shown = path::join(folder, &path);
                let shown = shown.strip_prefix("./").unwrap_or(&shown).to_owned();
                Wanted { path: path::join(&file.folder, &path), name: shown, parent: index, place }
            })
            .collect();
        // The first one is read next, with all that it includes.
        wanted.reverse();
        self.wanted.append(&mut wanted);
    }

    /// The paths that a file of the sources includes, with their places.
    fn included_by(&mut self, file: &Span) -> Vec<(String, Span)> {
        let text = &self.sources.joined()[file.clone()];
        // Its syntax errors are found again when all files are parsed.
        let Some(document) = syntax::parse(text, file.start, &mut Findings::default()) else {
            return Vec::new();
        };
        let documents = [(file.start, document)];
        let mut reader = Reader { sources: &self.sources, findings: std::mem::take(&mut self.findings) };
        let mut root = reader.root(&documents);
        let named = root.take("include").and_then(|node| match reader.as_text(&node) {
            Some(text) => {
                let form = format!("write `include = [\"{}\"]`", text.text.escape_debug());
                reader.mismatch_with(&node, "a list of files", Some(form));
                None
            }
            None => reader.texts(&node),
        });
        let mut included = Vec::new();
        for Text { text, span } in named.unwrap_or_default() {
            if text.is_empty() || text.contains('\0') {
                reader.findings.error(span, "not the name of a file").hint("write `include = [\"db.toml\"]`");
            } else if text.contains(['*', '?']) {
                let draft = reader.findings.error(span, "patterns are not resolved here");
                draft.hint("name each file, so that a forgotten one is noticed");
            } else {
                included.push((text.to_owned(), span));
            }
        }
        self.findings = reader.findings;
        included
    }

    /// Adds the error about a file that was supplied before.
    fn refuse_again(&mut self, wanted: &Wanted, earlier: usize) {
        let mut chain = vec![wanted.parent];
        while let Some((parent, _)) = chain.last().and_then(|index| self.files[*index].included.as_ref()) {
            chain.push(*parent);
        }
        let name = &wanted.name;
        let message = match chain.iter().position(|index| *index == earlier) {
            None => format!("`{name}` is included twice"),
            Some(0) => format!("`{name}` includes itself"),
            Some(length) => {
                let through =
                    chain[..length].iter().rev().map(|index| format!("`{}`", self.files[*index].name));
                format!("`{name}` includes itself through {}", through.collect::<Vec<_>>().join(" and "))
            }
        };
        let draft = self.findings.error(wanted.place.clone(), message);
        draft.hint("remove it here: the parts of all files make one config");
        if let Some((_, place)) = &self.files[earlier].included {
            draft.label(place.clone(), "included here");
        }
    }
}
