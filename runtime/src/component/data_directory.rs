//! The directory with the data of an instance, `{data}` in templates.
//!
//! It belongs to the instance and not to one generation: it is kept over restarts and changes of version on one host. Its
//! name has the generation that began the data, so that the data of an earlier copy of the same name is never mistaken
//! for it. The core says which generation that is (`rhizo_types::state::Home`). This module does not delete the newest
//! directory of an instance: it ends with its host.

use rhizo_private_files::DIRECTORY_MODE;
use rhizo_types::{Generation, InstanceId};
use std::io;
use std::path::{Path, PathBuf};

/// The directory of the data that one generation began.
#[derive(Clone, Debug)]
pub(super) struct DataDirectory {
    /// The directory with the directories of all instances.
    pub(super) parent: PathBuf,
    pub(super) instance: InstanceId,
    pub(super) since: Generation,
}

impl DataDirectory {
    pub(super) fn path(&self) -> PathBuf {
        self.parent.join(format!("{}{}", self.prefix(), self.since))
    }

    fn prefix(&self) -> String {
        format!("{}-data-g", self.instance)
    }

    /// Makes the directory, which only the node's user may enter, and deletes those of earlier data of the instance.
    ///
    /// # Errors
    /// The reason in words.
    pub(super) async fn prepare(&self) -> Result<(), String> {
        let path = self.path();
        let made = tokio::fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(&path).await;
        made.map_err(|error| format!("the directory of its data could not be made: {error}"))?;
        if let Err(error) = self.delete_earlier().await {
            tracing::warn!(instance = %self.instance, %error, "earlier data of the instance cannot be deleted");
        }
        Ok(())
    }

    async fn delete_earlier(&self) -> io::Result<()> {
        let mut entries = tokio::fs::read_dir(&self.parent).await?;
        while let Some(entry) = entries.next_entry().await? {
            if self.is_earlier(Path::new(&entry.file_name())) {
                tokio::fs::remove_dir_all(entry.path()).await?;
            }
        }
        Ok(())
    }

    /// Returns true if a name is that of a directory with data that an earlier generation began.
    fn is_earlier(&self, name: &Path) -> bool {
        let number = name.to_str().and_then(|name| name.strip_prefix(&self.prefix()));
        number.and_then(|number| number.parse().ok()).is_some_and(|since: u64| since < self.since.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(parent: &Path, ordinal: u32, since: u64) -> DataDirectory {
        let instance = InstanceId { component: "db".into(), ordinal };
        DataDirectory { parent: parent.to_owned(), instance, since: Generation(since) }
    }

    #[tokio::test]
    async fn only_earlier_data_of_the_same_instance_is_deleted() {
        let parent = tempfile::tempdir().expect("a directory");
        for (ordinal, since) in [(1, 1), (10, 1), (1, 9)] {
            directory(parent.path(), ordinal, since).prepare().await.expect("a directory");
        }
        std::fs::create_dir(parent.path().join("db.1-g1")).expect("a directory");
        directory(parent.path(), 1, 3).prepare().await.expect("a directory");
        let mut names: Vec<_> =
            std::fs::read_dir(parent.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["db.1-data-g3", "db.1-data-g9", "db.1-g1", "db.10-data-g1"]);
    }

    #[tokio::test]
    async fn data_is_kept_when_its_directory_is_made_again() {
        let parent = tempfile::tempdir().expect("a directory");
        let data = directory(parent.path(), 0, 2);
        data.prepare().await.expect("a directory");
        std::fs::write(data.path().join("row"), "1").expect("a file");
        data.prepare().await.expect("a directory");
        assert_eq!(std::fs::read(data.path().join("row")).expect("the file"), b"1");
    }
}
