//! Statements about the quorum for operators: what a group of voters survives, and what is still true without a quorum.
//!
//! Pure functions of the voters and of where they run. `status`, `plan` and `up` print these sentences and no others.

use crate::coordinator::voters_wanted;
use crate::ledger::Ledger;
use rhizo_types::id::{NodeId, ProviderName, RegionName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The remedies of an operator who has no quorum.
pub const NO_QUORUM_REMEDY: &str = "voters that are only cut off, hung or without power come back (`up` starts what ran \
    on this machine); if they are lost for good, `recover --new-lineage` goes on without them";

/// The losses that a group of voters survives, without the time that a replacement takes.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Survival {
    /// Number of voters.
    pub voters: usize,
    /// Number of voters that may be lost before the quorum is lost.
    pub may_lose: usize,
    /// Providers whose loss takes the quorum.
    pub fatal_providers: BTreeSet<ProviderName>,
    /// Regions whose loss takes the quorum, each of one provider.
    pub fatal_regions: BTreeSet<(ProviderName, RegionName)>,
    /// Number of providers that voters run at.
    pub providers: usize,
}

impl Survival {
    /// Computes it for voters, each by its provider and region.
    #[must_use]
    pub fn of<'a>(voters: impl IntoIterator<Item = (&'a ProviderName, &'a RegionName)>) -> Self {
        let mut providers: BTreeMap<&ProviderName, usize> = BTreeMap::new();
        let mut regions: BTreeMap<(&ProviderName, &RegionName), usize> = BTreeMap::new();
        let mut count = 0;
        for (provider, region) in voters {
            count += 1;
            *providers.entry(provider).or_default() += 1;
            *regions.entry((provider, region)).or_default() += 1;
        }
        let may_lose = usize::saturating_sub(count, 1) / 2;
        Self {
            voters: count,
            may_lose,
            providers: providers.len(),
            fatal_providers: providers
                .into_iter()
                .filter(|(_, votes)| *votes > may_lose)
                .map(|(provider, _)| provider.clone())
                .collect(),
            fatal_regions: regions
                .into_iter()
                .filter(|(_, votes)| *votes > may_lose)
                .map(|((provider, region), _)| (provider.clone(), region.clone()))
                .collect(),
        }
    }

    /// Computes it for the voters that the voter policy would choose among these members, which do not run yet. It
    /// spreads them over as many providers and regions as there are.
    #[must_use]
    pub fn planned<'a>(members: impl IntoIterator<Item = (&'a ProviderName, &'a RegionName)>) -> Self {
        let mut left: Vec<_> = members.into_iter().collect();
        let wanted = voters_wanted(left.len());
        let mut chosen: Vec<(&ProviderName, &RegionName)> = Vec::new();
        while chosen.len() < wanted {
            let of_provider = |one: &ProviderName| chosen.iter().filter(|(other, _)| *other == one).count();
            let of_both = |one: &(_, _)| chosen.iter().filter(|other| *other == one).count();
            let best = (0..left.len()).min_by_key(|at| {
                let each = left.get(*at);
                each.map(|each| (of_provider(each.0), of_both(each)))
            });
            let Some(best) = best else { break };
            chosen.push(left.remove(best));
        }
        Self::of(chosen)
    }

    /// Computes it for the voters of a ledger.
    #[must_use]
    pub fn of_ledger(ledger: &Ledger) -> Self {
        let members = ledger.voters.iter().filter_map(|node| ledger.members.get(node));
        Self::of(members.map(|member| (&member.record.provider, &member.record.region)))
    }

    /// Returns the sentence about the number of voters and the domains whose loss is not survived.
    #[must_use]
    pub fn sentence(&self) -> String {
        let mut text = match (self.voters, self.may_lose) {
            (0, _) => return "there is no voter yet".to_owned(),
            (1, _) => "the only voter must not be lost".to_owned(),
            (voters, 0) => format!("none of {voters} voters may be lost"),
            (voters, may_lose) => format!("{may_lose} of {voters} voters may be lost"),
        };
        if self.voters == 1 {
            return text;
        }
        let named = |names: Vec<String>| names.join(", ");
        if !self.fatal_providers.is_empty() {
            let providers = self.fatal_providers.iter().map(ToString::to_string).collect();
            let all = if self.providers == 1 { ", which has all of them," } else { "" };
            text.push_str(&format!("; the loss of provider {}{all} is not survived", named(providers)));
        } else if !self.fatal_regions.is_empty() {
            let regions =
                self.fatal_regions.iter().map(|(provider, region)| format!("{region} of {provider}"));
            text.push_str(&format!("; the loss of region {} is not survived", named(regions.collect())));
        } else {
            text.push_str("; the loss of any one provider is survived");
        }
        text
    }
}

/// Returns the sentence about a lost quorum: the voters that are reached, and what still runs.
#[must_use]
pub fn no_quorum(voters: &BTreeSet<NodeId>, reached: &BTreeSet<NodeId>) -> String {
    let missing: Vec<String> = voters.difference(reached).map(ToString::to_string).collect();
    let reached = voters.intersection(reached).count();
    let missing = match missing.as_slice() {
        [] => String::new(),
        [one] => format!(", {one} is not"),
        [rest @ .., last] => format!(", {} and {last} are not", rest.join(", ")),
    };
    let verb = if reached == 1 { "is" } else { "are" };
    format!(
        "no quorum: {reached} of {} voters {verb} reached{missing}; programs run on, and nothing is acquired, released, \
         moved or repaired",
        voters.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survival(voters: &[(&str, &str)]) -> Survival {
        let names: Vec<(ProviderName, RegionName)> =
            voters.iter().map(|(provider, region)| ((*provider).into(), (*region).into())).collect();
        Survival::of(names.iter().map(|(provider, region)| (provider, region)))
    }

    #[test]
    fn the_number_of_voters_that_may_be_lost_keeps_a_majority() {
        for (voters, may_lose) in [(0, 0), (1, 0), (2, 0), (3, 1), (4, 1), (5, 2)] {
            let survival = survival(&vec![("a", "r"); voters]);
            assert_eq!((survival.voters, survival.may_lose), (voters, may_lose));
            assert!(voters == 0 || (voters - may_lose) * 2 > voters);
            assert!((voters.saturating_sub(may_lose + 1)) * 2 <= voters, "one more would take the majority");
        }
    }

    #[test]
    fn domains_with_too_many_voters_are_named() {
        let one = survival(&[("lab", "eu"), ("lab", "us"), ("lab", "ap")]);
        assert_eq!(
            one.sentence(),
            "1 of 3 voters may be lost; the loss of provider lab, which has all of them, is not survived"
        );
        assert!(one.fatal_regions.is_empty());
        let two = survival(&[("lab", "eu"), ("lab", "eu"), ("other", "eu")]);
        assert_eq!(two.fatal_providers, BTreeSet::from(["lab".into()]));
        assert_eq!(two.fatal_regions, BTreeSet::from([("lab".into(), "eu".into())]));
        let spread = survival(&[("a", "r"), ("b", "r"), ("c", "r")]);
        assert_eq!(spread.sentence(), "1 of 3 voters may be lost; the loss of any one provider is survived");
        assert_eq!(survival(&[("a", "r")]).sentence(), "the only voter must not be lost");
    }

    #[test]
    fn planned_voters_are_spread_over_providers_and_regions() {
        let planned = |members: &[(&str, &str)]| {
            let names: Vec<(ProviderName, RegionName)> =
                members.iter().map(|(provider, region)| ((*provider).into(), (*region).into())).collect();
            Survival::planned(names.iter().map(|(provider, region)| (provider, region)))
        };
        assert_eq!(planned(&[("a", "r"), ("a", "r")]).voters, 1);
        let spread = planned(&[("a", "r"), ("a", "r"), ("b", "r"), ("c", "r")]);
        assert_eq!((spread.voters, spread.may_lose), (3, 1));
        assert!(spread.fatal_providers.is_empty(), "{spread:?}");
        let regions = planned(&[("a", "r"), ("a", "r"), ("a", "s"), ("a", "t")]);
        assert_eq!(regions.fatal_providers.len(), 1);
        assert!(regions.fatal_regions.is_empty(), "{regions:?}");
    }

    #[test]
    fn the_sentence_about_a_lost_quorum_names_the_missing_voters() {
        let ids = |nodes: &[u64]| nodes.iter().copied().map(NodeId).collect::<BTreeSet<_>>();
        let text = no_quorum(&ids(&[1, 4, 7]), &ids(&[4, 9]));
        assert!(
            text.starts_with("no quorum: 1 of 3 voters is reached, n1 and n7 are not; programs run on"),
            "{text}"
        );
        assert!(no_quorum(&ids(&[1, 4, 7]), &ids(&[1, 4])).contains("2 of 3 voters are reached, n7 is not;"));
    }
}
