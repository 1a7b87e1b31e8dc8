//! Writes configs: the TOML text of a document that a program has put together, and a text with another weight.
//!
//! The text of a config is kept beside its spec, so that an operator sees what is in force. Read next: [`crate::parse`].

use rhizo_types::Number;
use serde::Serialize;
use toml::de::{DeTable, DeValue};

/// The text of a document.
///
/// # Errors
/// When a part has no form in TOML, with the reason.
pub fn to_toml(document: &impl Serialize) -> Result<String, String> {
    toml::to_string(document).map_err(|error| error.to_string().trim().to_owned())
}

/// The text of a config with another weight of one utility; all other text stays as it is. `None` when the text has no
/// utility of that name.
#[must_use]
pub fn with_weight(source: &str, utility: &str, weight: Number) -> Option<String> {
    let (document, _) = DeTable::parse_recoverable(source);
    let document = document.into_inner();
    let (_, utilities) = document.iter().find(|(key, _)| key.get_ref() == "utility")?;
    let DeValue::Array(utilities) = utilities.get_ref() else { return None };
    for element in utilities.iter() {
        let DeValue::Table(table) = element.get_ref() else { continue };
        let value =
            |wanted: &str| table.iter().find(|(key, _)| key.get_ref() == wanted).map(|(_, value)| value);
        let Some(name) = value("name") else { continue };
        if !matches!(name.get_ref(), DeValue::String(text) if text == utility) {
            continue;
        }
        let text = weight.get().to_string();
        let (place, text) = match value("weight") {
            Some(weight) => (weight.span(), text),
            // An inline table is separated by commas, one with a header by lines.
            None => {
                let is_inline = source.get(element.span())?.starts_with('{');
                let separator = if is_inline { ", " } else { "\n" };
                (name.span().end..name.span().end, format!("{separator}weight = {text}"))
            }
        };
        let (before, after) = (source.get(..place.start)?, source.get(place.end..)?);
        return Some(format!("{before}{text}{after}"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weighed(source: &str) -> Option<String> {
        with_weight(source, "price", Number::try_from(2.5).unwrap())
    }

    #[test]
    fn a_written_weight_is_replaced_and_comments_stay() {
        let source = "[[utility]]\nname = \"load\"\nweight = 1\n\n[[utility]] # second\nname = \"price\"\nweight = 1 # low\n";
        let expected = source.replace("weight = 1 # low", "weight = 2.5 # low");
        assert_eq!(weighed(source).unwrap(), expected);
    }

    #[test]
    fn a_missing_weight_is_added_in_the_form_of_its_table() {
        let lines = "[[utility]]\nname = 'price' # costs\nbest = 0\n";
        assert_eq!(weighed(lines).unwrap(), "[[utility]]\nname = 'price'\nweight = 2.5 # costs\nbest = 0\n");
        let inline = "utility = [{ name = \"price\", best = 0 }]";
        assert_eq!(weighed(inline).unwrap(), "utility = [{ name = \"price\", weight = 2.5, best = 0 }]");
    }

    #[test]
    fn another_utility_is_never_changed() {
        assert_eq!(weighed("[[utility]]\nname = \"load\"\n"), None);
        assert_eq!(weighed("utility = 3"), None);
    }
}
