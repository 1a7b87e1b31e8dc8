//! "Did you mean": the known name nearest to a mistyped one.

/// The candidate that `typed` is probably a misspelling of, if there is one.
pub(crate) fn nearest<'c>(typed: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    // One mistake in a short word and two in a longer one; a larger limit would suggest unrelated words.
    let limit = if typed.chars().count() <= 4 { 1 } else { 2 };
    candidates
        .into_iter()
        .filter(|candidate| *candidate != typed)
        .map(|candidate| (strsim::damerau_levenshtein(typed, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= limit || (typed.len() >= 4 && (candidate.starts_with(typed)))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// A sentence for the hint: the nearest name, or all names when they are few.
pub(crate) fn hint<'c>(
    typed: &str,
    candidates: impl IntoIterator<Item = &'c str> + Clone,
    kind: &str,
) -> Option<String> {
    if let Some(near) = nearest(typed, candidates.clone()) {
        return Some(format!("did you mean `{near}`?"));
    }
    let names: Vec<String> = candidates.into_iter().map(|name| format!("`{name}`")).collect();
    match names.len() {
        0 => None,
        // A longer list is no help; the schema has it.
        1..=16 => Some(format!("known {kind}: {}", names.join(", "))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transposition_is_one_slip() {
        assert_eq!(nearest("wieght", ["weight", "worst"]), Some("weight"));
        assert_eq!(nearest("loda5", ["load1", "load5"]), Some("load5"));
    }

    #[test]
    fn an_unrelated_name_suggests_nothing() {
        assert_eq!(nearest("colour", ["weight", "worst"]), None);
    }
}
