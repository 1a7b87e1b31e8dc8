//! The home of one application, for commands that end or change the application. While such a command runs, another
//! command may take the application down and found the next one in the same directory.
//!
//! A home is one directory, in which applications may live one after the other. A command that has read the records of
//! one application must not end a process of the next one, release its hosts, or write into its records. Read next:
//! [`super::down`].

use super::exit::{Exit, Failure};
use crate::app_dir::{AppDir, Claim, Deployment};

/// The home of one application.
#[derive(Clone, Copy)]
pub(super) struct HomeOf<'a> {
    home: &'a AppDir,
    /// None when the record is damaged or missing, while other records tell of an application.
    deployment: Option<&'a Deployment>,
}

impl<'a> HomeOf<'a> {
    pub(super) fn new(home: &'a AppDir, deployment: Option<&'a Deployment>) -> Self {
        Self { home, deployment }
    }

    /// The directory.
    pub(super) fn dir(&self) -> &'a AppDir {
        self.home
    }

    /// Locks the directory. Returns `None` when the application does not live in it any more: another command has taken
    /// it down, which it does only when nothing was left.
    ///
    /// # Errors
    /// When an operator has begun a new lineage of the application, whose hosts the caller does not know.
    pub(super) fn claim(&self) -> Result<Option<Claim>, Failure> {
        let Some(claim) = self.home.claim()? else { return Ok(None) };
        Ok(self.is_current()?.then_some(claim))
    }

    /// Whether the application lives in the directory. Without a claim, the answer may be out of date.
    ///
    /// # Errors
    /// Those of [`HomeOf::claim`].
    pub(super) fn is_current(&self) -> Result<bool, Failure> {
        match (self.home.deployment(), self.deployment) {
            (Ok(lives), Some(known)) if lives.as_ref() == Some(known) => Ok(true),
            (Ok(Some(lives)), Some(known))
                if lives.owners().iter().any(|owner| known.owners().contains(owner)) =>
            {
                let message = format!("go on with `{}`: its lineages changed meanwhile", known.app);
                Err(Failure::new(Exit::Declined, message).hint("a `recover` runs or has ended; try again"))
            }
            (Ok(Some(_)), _) | (Ok(None), Some(_)) => Ok(false),
            // A damaged record tells of an application, and so may the other records.
            (Ok(None), None) | (Err(_), _) => Ok(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_types::Lineage;

    fn deployment(lineage: u64, others: &[u64]) -> Deployment {
        let others = others.iter().copied().map(Lineage).collect();
        Deployment { version: 1, app: "shop".into(), lineage: Lineage(lineage), others }
    }

    #[test]
    fn the_home_of_the_next_application_is_not_that_of_the_former_one() {
        let dir = tempfile::tempdir().unwrap();
        let home = AppDir::below(dir.path()).unwrap();
        let (first, second) = (deployment(1, &[]), deployment(2, &[]));
        assert!(HomeOf::new(&home, Some(&first)).claim().unwrap().is_none(), "there is no directory");

        let claim = home.make().unwrap();
        home.found(&claim, &first).unwrap();
        drop(claim);
        assert!(HomeOf::new(&home, Some(&first)).claim().unwrap().is_some());
        assert!(HomeOf::new(&home, Some(&second)).claim().unwrap().is_none());
        assert!(
            HomeOf::new(&home, None).claim().unwrap().is_none(),
            "its record was damaged, and is whole now"
        );

        let claim = home.claim().unwrap().unwrap();
        home.set_deployment(&claim, &deployment(2, &[1])).unwrap();
        drop(claim);
        let failure = HomeOf::new(&home, Some(&first)).claim().unwrap_err();
        assert_eq!(failure.exit, Exit::Declined, "the next lineage of the same application");
    }
}
