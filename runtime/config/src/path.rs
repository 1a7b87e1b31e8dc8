//! Paths of a config, joined to the folder of its file as text; no file is looked at.

use crate::template;
use std::path::{Component, Path, PathBuf};

/// `path` as seen from `base`; an absolute path stays. `.` and `..` are resolved as text.
pub(crate) fn join(base: &Path, path: &str) -> String {
    let mut joined = PathBuf::new();
    for part in base.join(path).components() {
        match part {
            Component::CurDir => {}
            // `..` cannot leave the root, and cannot be resolved past a relative start.
            Component::ParentDir if matches!(joined.components().next_back(), Some(Component::Normal(_))) => {
                joined.pop();
            }
            Component::ParentDir if joined.has_root() => {}
            part => joined.push(part),
        }
    }
    let text = joined.to_string_lossy().into_owned();
    // A bare name would be looked up in PATH, which is not what a path with a slash asked for.
    if text.is_empty() || !text.contains('/') { format!("./{text}") } else { text }
}

/// A program as seen from `base`, as a text with placeholders. A name without a slash is looked up in PATH later and
/// stays, and so does a path that begins with a placeholder, such as `{dir}/bin/x`.
///
/// The braces of `base` are literal: the path of a folder is no template.
pub(crate) fn program(base: &Path, program: &str) -> String {
    let begins_with_placeholder = program.starts_with('{') && !program.starts_with("{{");
    if !program.contains('/') || begins_with_placeholder {
        return program.to_owned();
    }
    let base = template::escaped(&base.to_string_lossy());
    join(Path::new(&base), program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_as_text() {
        assert_eq!(join(Path::new("/a/b"), "./c"), "/a/b/c");
        assert_eq!(join(Path::new("/a/b"), "../c"), "/a/c");
        assert_eq!(join(Path::new("/"), "../../c"), "/c");
        assert_eq!(join(Path::new("x"), "../../c"), "../c");
        assert_eq!(join(Path::new(""), "./c"), "./c");
        assert_eq!(join(Path::new("/a"), "/c"), "/c");
    }

    #[test]
    fn a_bare_program_name_is_left_to_the_search_path() {
        assert_eq!(program(Path::new("/a"), "sleep"), "sleep");
        assert_eq!(program(Path::new("/a"), "./sleep"), "/a/sleep");
    }

    #[test]
    fn a_folder_with_braces_is_no_template() {
        let path = program(Path::new("/a{dir}/${x}"), "./run-{instance}");
        assert_eq!(path, "/a{{dir}}/${{x}}/run-{instance}");
        let value = |name: &str| (name == "instance").then(|| "web.0".to_owned());
        assert_eq!(template::fill(&path, &value).as_deref(), Ok("/a{dir}/${x}/run-web.0"));
        assert_eq!(program(Path::new("/a"), "{dir}/run"), "{dir}/run");
    }
}
