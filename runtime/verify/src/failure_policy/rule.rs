//! The properties of the failure policy (docs/decisions/0131).
//!
//! Properties of states and steps are checked everywhere. A *leads-to* property has two marks of a state, *owed* and
//! *done*; *owed* has to lead to *done* on every fair path.

/// One property of the failure policy.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PolicyRule {
    /// No host is acquired because copies fail of a version of which no copy has ever been started.
    NothingIsBoughtForWhatNeverRan,
    /// The hosts held are never more than the application needs without failures, plus one.
    HostsAreBounded,
    /// Because copies of a component fail, no second host is acquired before the component has run well on the first.
    ReplacementsHaveToWork,
    /// A component that keeps failing never has more copies in the target than its replicas allow.
    CopiesAreBounded,
    /// A copy of a version that was never tried waits for nothing: what an older version failed does not count.
    CorrectionsDoNotWait,
    /// Every definition that a spec in force brings is tried.
    CorrectionsAreTried,
    /// A component whose copies exhaust their attempts becomes *failing* in the ledger.
    FailingIsTold,
    /// A copy of a version that has run well leaves a host whose own error explains its failures. After a replacement
    /// that did not help, it may wait until the mark of the replaced host ends.
    BadHostsAreLeft,
    /// A host beyond the number that the application needs is released.
    SparesAreGivenBack,
    /// If the environment changes no more, the coordinator comes to rest.
    CalmIsReached,
}

impl PolicyRule {
    /// Every property.
    pub const ALL: [Self; 10] = [
        Self::NothingIsBoughtForWhatNeverRan,
        Self::HostsAreBounded,
        Self::ReplacementsHaveToWork,
        Self::CopiesAreBounded,
        Self::CorrectionsDoNotWait,
        Self::CorrectionsAreTried,
        Self::FailingIsTold,
        Self::BadHostsAreLeft,
        Self::SparesAreGivenBack,
        Self::CalmIsReached,
    ];

    /// Returns the name of the property in traces and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NothingIsBoughtForWhatNeverRan => "nothing-is-bought-for-what-never-ran",
            Self::HostsAreBounded => "hosts-are-bounded",
            Self::ReplacementsHaveToWork => "replacements-have-to-work",
            Self::CopiesAreBounded => "copies-are-bounded",
            Self::CorrectionsDoNotWait => "corrections-do-not-wait",
            Self::CorrectionsAreTried => "corrections-are-tried",
            Self::FailingIsTold => "failing-is-told",
            Self::BadHostsAreLeft => "bad-hosts-are-left",
            Self::SparesAreGivenBack => "spares-are-given-back",
            Self::CalmIsReached => "calm-is-reached",
        }
    }

    /// The mark of a state in which the property is owed.
    pub(super) const fn owed(self) -> u64 {
        1 << (2 * self as u32)
    }

    /// The mark of a state in which the property is done.
    pub(super) const fn done(self) -> u64 {
        2 << (2 * self as u32)
    }
}
