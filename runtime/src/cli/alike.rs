//! Sentences that differ only in their numbers, such as two counts or two remaining times of one problem.

/// Returns a text without its digits: equal for sentences that tell the same.
pub(super) fn without_digits(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}
