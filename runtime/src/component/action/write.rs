//! An action that writes a file from a template.
//!
//! The file is replaced as a whole or not at all, also when the action is cancelled. The values are those of
//! [`super::super::template`]; the check of the config has refused templates that cannot be read or name unknown ones.
//! `rhizo_config` renders the template.

use super::super::template::Scope;
use rhizo_private_files::{DIRECTORY_MODE, FILE_MODE};
use rhizo_types::lifecycle::{Content, Values};
use std::path::{Component, Path, PathBuf};
use tokio::fs;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Longest template. Config files that people write have some kilobytes, and the largest tables a few hundred.
pub(crate) const TEMPLATE_BYTES_MAX: u64 = 1024 * 1024;

/// Writes the file and replaces an existing one.
pub(super) async fn file(scope: &Scope, to: &str, content: &Content, mode: u32) -> Result<Values, String> {
    let to = PathBuf::from(scope.fill(to)?);
    if !to.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(format!("`{}` is no path below the directory of the instance", to.display()));
    }
    let said = match content {
        Content::Text(text) => scope.fill(text)?,
        Content::Template(path) => {
            let text = read(&scope.located(Path::new(path))).await?;
            let inputs = scope.template_inputs();
            // A template may take up to a second, which other tasks of this thread must not wait for.
            let rendering =
                tokio::task::spawn_blocking(move || rhizo_config::render_template(&text, &inputs));
            let rendered =
                rendering.await.map_err(|error| format!("`{path}` could not be rendered: {error}"))?;
            rendered.map_err(|error| format!("`{path}` could not be rendered: {error}"))?
        }
    };
    let path = scope.dir.join(to);
    replace(&path, said.as_bytes(), mode)
        .await
        .map_err(|error| format!("`{}` could not be written: {error}", path.display()))?;
    Ok(Values::new())
}

async fn read(path: &Path) -> Result<String, String> {
    let wrong = |reason: &dyn std::fmt::Display| format!("`{}` could not be read: {reason}", path.display());
    let file = fs::File::open(path).await.map_err(|error| wrong(&error))?;
    let mut text = String::new();
    let mut beginning = file.take(TEMPLATE_BYTES_MAX + 1);
    beginning.read_to_string(&mut text).await.map_err(|error| wrong(&error))?;
    if text.len() as u64 > TEMPLATE_BYTES_MAX {
        return Err(wrong(&format!("it is longer than {TEMPLATE_BYTES_MAX} bytes")));
    }
    Ok(rhizo_config::plain_text(&text).into_owned())
}

/// Writes a file beside it and renames that, so that every reader sees the old or the new content.
async fn replace(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(folder).await?;
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    // A file that a cancelled action left may have other permissions.
    if let Err(error) = fs::remove_file(&beside).await
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&beside).await?;
    file.write_all(bytes).await?;
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode)).await?;
    file.sync_all().await?;
    fs::rename(&beside, path).await
}

#[cfg(test)]
mod tests {
    use super::super::super::template::tests::scope;
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[tokio::test]
    async fn a_template_is_filled_in_and_replaces_what_was_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let template = dir.path().join("db.conf.in");
        std::fs::write(&template, "db = {{ import.db.addr }}\n{% for db in import.db.all %}\nkey = {{ db.password }}\n{% endfor %}\n\
             json = {\"a\": {}}\n")
            .expect("a template");
        let content = Content::Template(template.to_string_lossy().into_owned());
        let scope = scope(dir.path().join("run"));
        let path = dir.path().join("run/conf/db.conf");
        for mode in [0o600, 0o644] {
            file(&scope, "conf/db.conf", &content, mode).await.expect("written");
            let said = std::fs::read_to_string(&path).expect("a file");
            assert_eq!(said, "db = 127.0.0.1:1\nkey = s3cret\nkey = other\njson = {\"a\": {}}\n");
            assert_eq!(std::fs::metadata(&path).expect("a file").permissions().mode() & 0o777, mode);
        }
        let names = std::fs::read_dir(dir.path().join("run/conf")).expect("a directory").count();
        assert_eq!(names, 1, "nothing is left beside it");
    }

    #[tokio::test]
    async fn what_cannot_be_filled_in_or_leads_out_of_the_directory_is_not_written() {
        let dir = tempfile::tempdir().expect("a directory");
        let scope = scope(dir.path().join("run"));
        for (to, text) in
            [("a", "{import.db.nothing}"), ("../a", "x"), ("/a", "x"), ("{value.schema}/../../a", "x")]
        {
            let failed = file(&scope, to, &Content::Text(text.to_owned()), 0o600).await;
            assert!(failed.is_err(), "{to}");
        }
        let missing = Content::Template(dir.path().join("none").to_string_lossy().into_owned());
        let reason = file(&scope, "a", &missing, 0o600).await.expect_err("there is no template");
        assert!(reason.contains("none` could not be read"), "{reason}");
        assert_eq!(std::fs::read_dir(dir.path()).expect("a directory").count(), 0);
    }
}
