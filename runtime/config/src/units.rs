//! Quantities and their units: `20ms`, `256MiB`, `$0.12/h`.
//!
//! Every number is kept in the base unit of its quantity: milliseconds, bytes, currency per hour. Shared by
//! the expression language and by values such as `every = "5s"`.

use crate::slips;
use std::fmt;

/// Largest number of a config: the largest that the solver accepts, whose sums and products stay finite.
pub const NUMBER_MAX: f64 = 1e100;

/// The quantity of a number, as exponents of the three base units; all zero for a plain number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Quantity {
    /// Exponent of milliseconds.
    pub time: i8,
    /// Exponent of bytes.
    pub bytes: i8,
    /// Exponent of currency per hour.
    pub money: i8,
}

impl Quantity {
    /// A number without a unit.
    pub const PLAIN: Self = Self { time: 0, bytes: 0, money: 0 };
    /// A time in milliseconds.
    pub const TIME: Self = Self { time: 1, bytes: 0, money: 0 };
    /// An amount of memory in bytes.
    pub const BYTES: Self = Self { time: 0, bytes: 1, money: 0 };
    /// A price in the budget's currency per hour.
    pub const MONEY: Self = Self { time: 0, bytes: 0, money: 1 };

    /// The name of its base unit; empty for a plain number and a compound quantity.
    #[must_use]
    pub fn base_unit(self) -> &'static str {
        match self {
            Self::TIME => "ms",
            Self::BYTES => "B",
            Self::MONEY => "/h",
            _ => "",
        }
    }

    /// The quantity of a product; none when an exponent leaves its range.
    pub(crate) fn times(self, other: Self) -> Option<Self> {
        Some(Self {
            time: self.time.checked_add(other.time)?,
            bytes: self.bytes.checked_add(other.bytes)?,
            money: self.money.checked_add(other.money)?,
        })
    }

    /// The quantity of a quotient; none when an exponent leaves its range.
    pub(crate) fn over(self, other: Self) -> Option<Self> {
        Some(Self {
            time: self.time.checked_sub(other.time)?,
            bytes: self.bytes.checked_sub(other.bytes)?,
            money: self.money.checked_sub(other.money)?,
        })
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::PLAIN => f.write_str("a plain number"),
            Self::TIME => f.write_str("a time"),
            Self::BYTES => f.write_str("an amount of memory"),
            Self::MONEY => f.write_str("a price per hour"),
            Self { time, bytes, money } => {
                f.write_str("a compound quantity (")?;
                let mut first = true;
                for (name, exponent) in [("ms", time), ("bytes", bytes), ("price", money)] {
                    if exponent != 0 {
                        write!(f, "{}{name}^{exponent}", if first { "" } else { " " })?;
                        first = false;
                    }
                }
                f.write_str(")")
            }
        }
    }
}

/// Unit names, their quantity and the factor to the base unit.
const UNITS: &[(&str, Quantity, f64)] = &[
    ("us", Quantity::TIME, 0.001),
    ("ms", Quantity::TIME, 1.0),
    ("s", Quantity::TIME, 1e3),
    ("m", Quantity::TIME, 60e3),
    ("min", Quantity::TIME, 60e3),
    ("h", Quantity::TIME, 3_600e3),
    ("d", Quantity::TIME, 86_400e3),
    ("B", Quantity::BYTES, 1.0),
    ("kB", Quantity::BYTES, 1e3),
    ("MB", Quantity::BYTES, 1e6),
    ("GB", Quantity::BYTES, 1e9),
    ("TB", Quantity::BYTES, 1e12),
    ("KiB", Quantity::BYTES, 1_024.0),
    ("MiB", Quantity::BYTES, 1_048_576.0),
    ("GiB", Quantity::BYTES, 1_073_741_824.0),
    ("TiB", Quantity::BYTES, 1_099_511_627_776.0),
];

/// Signs that open a price, and the currency code they stand for.
pub(crate) const CURRENCIES: &[(char, &str)] = &[('$', "USD"), ('€', "EUR"), ('£', "GBP")];

/// A number with its unit, as read from text.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Measured {
    /// In the base unit.
    pub(crate) value: f64,
    /// Its quantity.
    pub(crate) quantity: Quantity,
    /// Written as a whole number without a unit.
    pub(crate) whole: bool,
    /// The currency code of the sign it began with.
    pub(crate) currency: Option<&'static str>,
    /// Bytes read.
    pub(crate) length: usize,
}

/// The reason why a text is not a number with a unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct NotMeasured {
    /// The message.
    pub(crate) message: String,
    /// The remedy.
    pub(crate) hint: Option<String>,
    /// Number of bytes that the mistake covers.
    pub(crate) length: usize,
}

/// Reads the number at the start of `text`, with its unit. Returns `None` if the text does not start like a number.
pub(crate) fn measured(text: &str) -> Option<Result<Measured, NotMeasured>> {
    let sign = text.chars().next().and_then(|c| CURRENCIES.iter().find(|(sign, _)| *sign == c));
    let begin = sign.map_or(0, |(sign, _)| sign.len_utf8());
    let digits = number_length(&text[begin..]);
    if digits == 0 {
        return sign.map(|_| {
            Err(NotMeasured {
                message: "a number must follow the currency sign".to_owned(),
                hint: Some("write a price as `$0.12/h`".to_owned()),
                length: begin,
            })
        });
    }
    let end = begin + digits;
    let literal = &text[begin..end];
    let unit_length =
        text[end..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len() - end);
    let unit = &text[end..end + unit_length];
    let length = end + unit_length;
    let plain: String = literal.chars().filter(|c| *c != '_').collect();
    let Some(value) = plain.parse::<f64>().ok().filter(|value| value.is_finite()) else {
        return Some(Err(NotMeasured {
            message: format!("`{literal}` is not a finite number"),
            hint: Some("write a smaller number".to_owned()),
            length,
        }));
    };
    if value > NUMBER_MAX {
        return Some(Err(NotMeasured {
            message: format!("`{literal}` is out of range"),
            hint: Some(format!("write a number up to {NUMBER_MAX:e}")),
            length,
        }));
    }
    let is_whole = !literal.contains(['.', 'e', 'E']);
    if is_whole && plain.parse::<u128>().map_or(true, |value| value > WHOLE_MAX) {
        return Some(Err(inexact(literal, length)));
    }
    Some(match (sign, unit) {
        (Some((_, code)), "") => price(text, value, code, length),
        (Some(_), _) => Err(NotMeasured {
            message: format!("a price has no unit `{unit}`"),
            hint: Some("write a price as `$0.12/h`".to_owned()),
            length,
        }),
        (None, "") => {
            Ok(Measured { value, quantity: Quantity::PLAIN, whole: is_whole, currency: None, length })
        }
        (None, unit) => with_unit(value, literal, unit, length),
    })
}

fn price(text: &str, value: f64, code: &'static str, length: usize) -> Result<Measured, NotMeasured> {
    if text[length..].starts_with("/h")
        && !text[length + 2..].starts_with(|c: char| c.is_ascii_alphanumeric())
    {
        return Ok(Measured {
            value,
            quantity: Quantity::MONEY,
            whole: false,
            currency: Some(code),
            length: length + 2,
        });
    }
    let hint = Some(format!("write `{}/h`: prices are per hour", &text[..length]));
    Err(NotMeasured { message: "a price needs its period".to_owned(), hint, length })
}

fn with_unit(value: f64, literal: &str, unit: &str, length: usize) -> Result<Measured, NotMeasured> {
    let known = UNITS.iter().find(|(name, ..)| *name == unit);
    let Some((_, quantity, factor)) = known else {
        let near = UNITS.iter().find(|(name, ..)| name.eq_ignore_ascii_case(unit)).map(|(name, ..)| *name);
        let hint = match (slips::unit(literal, unit), near) {
            (Some(hint), _) => hint,
            (None, Some(name)) => format!("did you mean `{name}`?"),
            (None, None) => "units are us ms s min h d, B kB MB GB TB KiB MiB GiB TiB, and $…/h".to_owned(),
        };
        return Err(NotMeasured { message: format!("unknown unit `{unit}`"), hint: Some(hint), length });
    };
    let value = value * factor;
    // A fraction of a byte is lost in the noise of a measurement; a whole number of bytes is kept exactly.
    if !value.is_finite() || (*quantity == Quantity::BYTES && value > WHOLE_MAX as f64) {
        return Err(inexact(&format!("{literal}{unit}"), length));
    }
    Ok(Measured { value, quantity: *quantity, whole: false, currency: None, length })
}

/// Largest whole number up to which an f64 represents every whole number: 2^53.
const WHOLE_MAX: u128 = 1 << 53;

fn inexact(number: &str, length: usize) -> NotMeasured {
    let hint = format!("write a number up to {WHOLE_MAX} in its base unit");
    NotMeasured { message: format!("`{number}` cannot be kept exactly"), hint: Some(hint), length }
}

/// The number of bytes at the start of `text` that form a number: digits, a fraction, an exponent.
fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        let mut at = from;
        while at < bytes.len() && (bytes[at].is_ascii_digit() || (bytes[at] == b'_' && at > from)) {
            at += 1;
        }
        at
    };
    let mut end = digits(0);
    if end == 0 {
        return 0;
    }
    if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
        end = digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        if bytes.get(end + 1 + sign).is_some_and(u8::is_ascii_digit) {
            end = digits(end + 1 + sign);
        }
    }
    end
}

/// Reads a whole text as one number with a unit, spaces around it allowed.
pub(crate) fn whole_text(text: &str) -> Option<Result<Measured, NotMeasured>> {
    let trimmed = text.trim();
    // Between number and unit a space is common in print: `256 MiB`.
    let squeezed: String;
    let candidate = match trimmed.split_once(' ') {
        Some((number, unit)) if number.ends_with(|c: char| c.is_ascii_digit()) => {
            squeezed = format!("{number}{}", unit.trim_start());
            &squeezed
        }
        _ => trimmed,
    };
    match measured(candidate)? {
        Ok(found) if found.length < candidate.len() => None,
        other => Some(other),
    }
}

/// The remedy for a quantity that was written with the unit of another one: `"500m"` for half a core.
pub(crate) fn minutes_meant_otherwise(expected: Quantity, text: &str) -> Option<String> {
    let number = text.trim().strip_suffix('m')?.trim();
    let value: f64 = number.parse().ok()?;
    match expected {
        Quantity::PLAIN => {
            Some(format!("`m` is minutes here; for thousandths of a core write `{}`", value / 1000.0))
        }
        Quantity::BYTES => Some(format!("`m` is minutes here; for megabytes write \"{number}MiB\"")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> (f64, Quantity) {
        let found = measured(text).expect("a number").expect("a unit");
        assert_eq!(found.length, text.len());
        (found.value, found.quantity)
    }

    #[test]
    fn units_lead_to_the_base_unit() {
        assert_eq!(value("20ms"), (20.0, Quantity::TIME));
        assert_eq!(value("5m"), (300_000.0, Quantity::TIME));
        assert_eq!(value("1.5GiB"), (1_610_612_736.0, Quantity::BYTES));
        assert_eq!(value("$0.12/h"), (0.12, Quantity::MONEY));
        assert_eq!(value("1_000"), (1000.0, Quantity::PLAIN));
        assert_eq!(value("2e3"), (2000.0, Quantity::PLAIN));
    }

    #[test]
    fn a_price_without_its_period_is_refused() {
        assert!(measured("$5").is_some_and(|found| found.is_err()));
    }

    #[test]
    fn a_unit_in_the_wrong_case_suggests_the_right_one() {
        let wrong = measured("5mib").expect("a number").expect_err("no such unit");
        assert_eq!(wrong.hint.as_deref(), Some("did you mean `MiB`?"));
    }

    #[test]
    fn text_that_goes_on_is_not_one_number() {
        assert!(whole_text("5s later").is_none());
        assert!(whole_text(" 256 MiB ").is_some_and(|found| found.is_ok()));
    }
}
