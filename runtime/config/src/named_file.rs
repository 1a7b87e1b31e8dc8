//! Files that a config names beside its templates: programs with a path, their arguments, data files of providers, and
//! the sources of secrets.
//!
//! The crate reads no file. The caller looks for each, and passes the reason if it is not usable; the finding then has
//! its place in the config. Read next: `template_file`, whose content is checked as well.

use crate::finding::{Finding, Findings, Span};
use crate::sources::Sources;

/// The use of a named file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileKind {
    /// A program that a component or an action runs. It may exist on the hosts only.
    Program,
    /// A data file of a provider, such as its offers. It is read on this machine.
    Data,
    /// The path that an argument of a program would have in the folder of the config. A program starts in the directory
    /// of its instance, so an argument that names a file there is a slip.
    Argument,
    /// A file that holds a secret. The machine that deploys the config reads it.
    SecretFile,
    /// A program with a path that prints a secret, on the machine that deploys the config.
    SecretProgram,
    /// The name of an environment variable that holds a secret, on the machine that deploys the config.
    SecretVariable,
}

/// The remedy for a secret whose source is missing.
const SECRET_HINT: &str = "`plan` and `up` need it on the machine where they run";

/// A file that a config names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedFile {
    /// Its path; a relative one is already joined to the config's folder.
    pub path: String,
    /// Its use.
    pub kind: FileKind,
    /// A finding at the place where the config names it; its reason is still to be added.
    unusable: Finding,
}

impl NamedFile {
    pub(crate) fn new(kind: FileKind, path: String, span: Span, sources: &Sources) -> Self {
        let mut findings = Findings::default();
        match kind {
            FileKind::Program => {
                findings.warning(span, format!("the program `{path}` cannot be run here")).hint(
                    "a program with a slash is found from the folder of the config, any other in PATH; \
                 check the path, and that the file is executable",
                )
            }
            FileKind::Data => findings
                .error(span, format!("`{path}` cannot be read"))
                .hint("the path of a data file is found from the folder of the config"),
            FileKind::Argument => findings
                .warning(span, format!("the program does not find `{}`", file_name_of(&path)))
                .hint(format!("write its whole path: `{path}`")),
            FileKind::SecretFile => findings
                .warning(span, format!("the secret in `{path}` cannot be read here"))
                .hint(SECRET_HINT),
            FileKind::SecretProgram => findings
                .warning(span, format!("the program `{path}`, which prints a secret, cannot be run here"))
                .hint(SECRET_HINT),
            FileKind::SecretVariable => findings
                .warning(span, format!("the secret in the variable `{path}` cannot be read here"))
                .hint(SECRET_HINT),
        };
        let unusable = findings.finish(sources).swap_remove(0);
        Self { path, kind, unusable }
    }

    /// The finding that the file is not usable, with the reason and the place in the config: an error for a data file,
    /// a warning for a program, an argument or a secret.
    #[must_use]
    pub fn unusable(&self, reason: &str) -> Finding {
        let message = format!("{}: {reason}", self.unusable.message);
        Finding { message, ..self.unusable.clone() }
    }
}

fn file_name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
