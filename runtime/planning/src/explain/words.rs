//! Words of explanations: amounts with their units, prices, durations, times of day, short lists.

/// The most names of one list in a sentence.
const NAMES_MAX: usize = 4;

/// An amount of a resource: `memory 4 GiB`, `cpu 0.5`.
pub(super) fn amount(resource: &str, value: f64) -> String {
    format!("{resource} {}", bare_amount(resource, value))
}

/// An amount of a resource without its name: `4 GiB`, `0.5`.
pub(super) fn bare_amount(resource: &str, value: f64) -> String {
    const UNITS: [(&str, f64); 4] =
        [("TiB", 1_099_511_627_776.0), ("GiB", 1_073_741_824.0), ("MiB", 1_048_576.0), ("KiB", 1_024.0)];
    if !matches!(resource, "memory" | "disk") {
        return number(value);
    }
    let unit = UNITS.iter().find(|(_, bytes)| value >= *bytes);
    unit.map_or_else(
        || format!("{} B", number(value)),
        |(unit, bytes)| format!("{} {unit}", number(value / bytes)),
    )
}

/// A number with at most four places after the point; small numbers keep all of theirs.
pub(super) fn number(value: f64) -> String {
    let rounded = (value * 1e4).round() / 1e4;
    if rounded == 0.0 || (rounded - value).abs() > value.abs() * 1e-3 {
        value.to_string()
    } else {
        rounded.to_string()
    }
}

/// A price per hour: `0.2 USD an hour`.
pub(super) fn price(value: f64, currency: &str) -> String {
    if currency.is_empty() {
        format!("{} an hour", number(value))
    } else {
        format!("{} {currency} an hour", number(value))
    }
}

/// The first names of a list: `a, b, c, d and 3 more`.
pub(super) fn list(names: &[String]) -> String {
    let (shown, more) =
        (names.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>(), names.len().saturating_sub(NAMES_MAX));
    let shown = shown.join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// A part of a list, joined by *and*.
pub(super) fn all_of(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// When a pause ends: the time of day where the clock is known, a duration elsewhere.
pub(super) fn end_of_pause(left_ms: u64, at_unix_ms: Option<u64>) -> String {
    let Some(now_ms) = at_unix_ms else { return format!("for another {} s", left_ms.div_ceil(1000)) };
    let second = now_ms.saturating_add(left_ms).div_ceil(1000);
    let (hour, minute) = (second / 3600 % 24, second / 60 % 60);
    format!("until {hour:02}:{minute:02}:{:02} UTC", second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_the_unit_that_a_reader_expects() {
        assert_eq!(amount("memory", 68_719_476_736.0), "memory 64 GiB");
        assert_eq!(amount("disk", 1_610_612_736.0), "disk 1.5 GiB");
        assert_eq!(amount("cpu", 0.5), "cpu 0.5");
        assert_eq!(
            (number(0.2), number(0.1 + 0.2), number(1e-7)),
            ("0.2".into(), "0.3".into(), "0.0000001".into())
        );
    }

    #[test]
    fn a_pause_ends_at_a_time_of_day_where_the_clock_is_known() {
        assert_eq!(end_of_pause(39_001, None), "for another 40 s");
        assert_eq!(end_of_pause(61_000, Some(86_399_000)), "until 00:01:00 UTC");
    }
}
