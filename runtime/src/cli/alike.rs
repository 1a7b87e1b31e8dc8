//! Sentences that differ only in their numbers, such as two counts or two remaining times of one problem.

use std::net::{IpAddr, SocketAddr};

/// Returns the words of a text without its numbers: equal for sentences about the same subject. A word is a number if
/// it begins with a digit and is no address; the digits in `web.0` and `n5` are a part of a name.
pub(super) fn without_numbers(text: &str) -> String {
    let is_number = |word: &&str| {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric());
        let is_address = word.parse::<SocketAddr>().is_ok() || word.parse::<IpAddr>().is_ok();
        word.starts_with(|c: char| c.is_ascii_digit()) && !is_address
    };
    text.split_whitespace().filter(|word| !is_number(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_times_are_dropped_and_names_and_addresses_are_kept() {
        let same = |one: &str, other: &str| without_numbers(one) == without_numbers(other);
        assert!(same(
            "web.0 failed (1 in a row): exit status: 3",
            "web.0 failed (12 in a row): exit status: 4"
        ));
        assert!(same("it waits 1.5s more", "it waits 12s more"));
        assert!(!same("web.0 failed (1 in a row)", "web.1 failed (1 in a row)"));
        assert!(!same("web.0 keeps failing on n5", "web.0 keeps failing on n6"));
        assert!(!same("10.0.0.1:80 does not answer", "10.0.0.2:80 does not answer"));
    }
}
