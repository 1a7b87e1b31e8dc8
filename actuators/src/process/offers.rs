//! The offers of an emulated provider: the offers file, the time series of attributes, and built-in offers.
//!
//! All figures are synthetic and labelled as such where they leave the crate. The load of the machine that emulates
//! the hosts is never part of them. The file forms are described in [`super`].

use crate::data_file::{CAPACITY_MAX, DataFileError, Table, parse_bytes};
use crate::provider::Offer;
use rhizo_types::fact::Value;
use rhizo_types::{AttributeName, OfferName, RegionName};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Prefix of a column that holds an attribute.
const ATTRIBUTE_PREFIX: &str = "attr.";
/// Prefix of a column that holds a capacity.
const CAPACITY_PREFIX: &str = "cap.";

/// Latest moment of a series, in seconds after the first host: a hundred years.
const SECONDS_MAX: f64 = 3.2e9;

/// The offers of one version of the offers file, in the file's order.
pub(crate) type Offers = Vec<Offer>;

/// Offers when no file is given: three local regions, free, each with room for eight modest hosts.
///
/// Eight is more than any first example needs, and a laptop can run them all.
pub(crate) fn built_in(currency: &str) -> Offers {
    ["local-a", "local-b", "local-c"]
        .into_iter()
        .map(|region| Offer {
            name: region.into(),
            region: region.into(),
            price_per_hour: 0.0,
            currency: currency.to_owned(),
            capacity: BTreeMap::from([("cpu".to_owned(), 2.0), ("memory".to_owned(), 2.0 * 1_073_741_824.0)]),
            attributes: BTreeMap::new(),
            available: Some(8),
            synthetic: true,
        })
        .collect()
}

/// Capacity and attributes of one offer.
type Properties = (BTreeMap<String, f64>, BTreeMap<AttributeName, Value>);

/// Parses the offers file: `name,region,price_per_hour[,currency][,available][,cap.*…][,attr.*…]`.
///
/// An empty `currency` is filled in by the caller. An empty `available` means without limit.
pub(crate) fn parse_offers(path: &Path, text: &str) -> Result<Offers, DataFileError> {
    let table = Table::parse(path, text)?;
    let (name, region, price) =
        (table.column("name")?, table.column("region")?, table.column("price_per_hour")?);
    let (currency, available) = (table.optional_column("currency"), table.optional_column("available"));
    for (at, column) in table.header.iter().enumerate() {
        let fixed = [Some(name), Some(region), Some(price), currency, available].contains(&Some(at));
        if !fixed && !column.starts_with(ATTRIBUTE_PREFIX) && !column.starts_with(CAPACITY_PREFIX) {
            return Err(unknown_column(path, column, "name, region, price_per_hour, currency, available"));
        }
    }
    let mut names = BTreeSet::new();
    let mut offers = Vec::with_capacity(table.rows.len());
    for (line, cells) in &table.rows {
        let line = *line;
        let cell = |column: usize| cells.get(column).unwrap_or_default();
        for column in [name, region, price] {
            if cell(column).is_empty() {
                return Err(table.wrong(
                    line,
                    column,
                    "the cell is empty".to_owned(),
                    "every offer needs it",
                ));
            }
        }
        if !names.insert(cell(name).to_owned()) {
            let problem = format!("offer `{}` occurs twice", cell(name));
            return Err(table.wrong(line, name, problem, "offer names are unique within a provider"));
        }
        let (capacity, attributes) = properties(&table, line, cells)?;
        offers.push(Offer {
            name: cell(name).into(),
            region: cell(region).into(),
            price_per_hour: table.price(line, price, cell(price))?.unwrap_or_default(),
            currency: currency.map(cell).unwrap_or_default().to_owned(),
            capacity,
            attributes,
            available: available
                .map(|column| count_cell(&table, line, column, cell(column)))
                .transpose()?
                .flatten(),
            synthetic: true,
        });
    }
    if offers.is_empty() {
        return Err(DataFileError::whole(path, "it offers nothing", "add at least one row below the header"));
    }
    Ok(offers)
}

/// Capacity and attributes of one row.
fn properties(table: &Table<'_>, line: u64, cells: &csv::StringRecord) -> Result<Properties, DataFileError> {
    let (mut capacity, mut attributes) = (BTreeMap::new(), BTreeMap::new());
    for (at, column) in table.header.iter().enumerate() {
        let cell = cells.get(at).unwrap_or_default();
        if let Some(kind) = column.strip_prefix(CAPACITY_PREFIX)
            && let Some(amount) = capacity_cell(table, line, at, cell)?
        {
            capacity.insert(kind.to_owned(), amount);
        }
        if let Some(attribute) = column.strip_prefix(ATTRIBUTE_PREFIX)
            && let Some(value) = table.value(line, at, cell)?
        {
            attributes.insert(AttributeName::from(attribute), value);
        }
    }
    Ok((capacity, attributes))
}

fn unknown_column(path: &Path, column: &str, fixed: &str) -> DataFileError {
    DataFileError::at(
        path,
        1,
        Some(column),
        "the column is not known",
        format!("columns are {fixed}, and `{ATTRIBUTE_PREFIX}<name>` or `{CAPACITY_PREFIX}<kind>`"),
    )
}

/// A capacity: a number, or a size with a unit of bytes.
fn capacity_cell(
    table: &Table<'_>,
    line: u64,
    column: usize,
    cell: &str,
) -> Result<Option<f64>, DataFileError> {
    if cell.is_empty() {
        return Ok(None);
    }
    match parse_bytes(cell) {
        Some(amount) if amount > CAPACITY_MAX => Err(table.wrong(
            line,
            column,
            format!("`{cell}` is more than {CAPACITY_MAX:.0}, the largest number that is exact"),
            "write a smaller amount; check its unit",
        )),
        Some(amount) => Ok(Some(amount)),
        None => Err(table.wrong(
            line,
            column,
            format!("`{cell}` is not an amount"),
            "write a number such as 2, or bytes with a unit such as 4GiB",
        )),
    }
}

fn count_cell(table: &Table<'_>, line: u64, column: usize, cell: &str) -> Result<Option<u32>, DataFileError> {
    if cell.is_empty() {
        return Ok(None);
    }
    cell.parse().map(Some).map_err(|_| {
        table.wrong(
            line,
            column,
            format!("`{cell}` is not a whole number of hosts"),
            "write how many hosts exist, or leave the cell empty for no limit",
        )
    })
}

/// The subject of the rows of a series: an offer or a region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Key {
    Offer,
    Region,
}

/// Attributes that change with time: for each offer or region, rows in order of time.
///
/// The value in force is the one of the latest row that is not in the future and whose cell is not empty.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Series {
    key: Key,
    rows: BTreeMap<String, Vec<(f64, Row)>>,
}

/// The values that one row of a series sets.
#[derive(Clone, PartialEq, Debug, Default)]
struct Row {
    price_per_hour: Option<f64>,
    available: Option<u32>,
    attributes: BTreeMap<AttributeName, Value>,
}

/// Parses a series: `at_s,offer|region[,price_per_hour][,available][,attr.*…]`, rows in any order.
pub(crate) fn parse_series(path: &Path, text: &str) -> Result<Series, DataFileError> {
    let table = Table::parse(path, text)?;
    let at_s = table.column("at_s")?;
    let (offer, region) = (table.optional_column("offer"), table.optional_column("region"));
    let (key, named) = match (offer, region) {
        (Some(column), None) => (Key::Offer, column),
        (None, Some(column)) => (Key::Region, column),
        _ => {
            return Err(DataFileError::at(
                path,
                1,
                None,
                "it must have either a column `offer` or a column `region`",
                "give every row the name of an offer or of a region, in one of the two columns",
            ));
        }
    };
    let (price, available) = (table.optional_column("price_per_hour"), table.optional_column("available"));
    for (at, column) in table.header.iter().enumerate() {
        let fixed = [Some(at_s), Some(named), price, available].contains(&Some(at));
        if !fixed && !column.starts_with(ATTRIBUTE_PREFIX) {
            return Err(unknown_column(path, column, "at_s, offer or region, price_per_hour, available"));
        }
    }
    let mut rows: BTreeMap<String, Vec<(f64, Row)>> = BTreeMap::new();
    for (line, cells) in &table.rows {
        let line = *line;
        let cell = |column: usize| cells.get(column).unwrap_or_default();
        let Some(at) = table.amount(line, at_s, cell(at_s), SECONDS_MAX)? else {
            return Err(table.wrong(
                line,
                at_s,
                "the cell is empty".to_owned(),
                "write seconds since genesis",
            ));
        };
        let mut row = Row::default();
        if let Some(column) = price {
            row.price_per_hour = table.price(line, column, cell(column))?;
        }
        if let Some(column) = available {
            row.available = count_cell(&table, line, column, cell(column))?;
        }
        for (column, name) in table.header.iter().enumerate() {
            if let Some(attribute) = name.strip_prefix(ATTRIBUTE_PREFIX)
                && let Some(value) = table.value(line, column, cell(column))?
            {
                row.attributes.insert(attribute.into(), value);
            }
        }
        rows.entry(cell(named).to_owned()).or_default().push((at, row));
    }
    for rows in rows.values_mut() {
        rows.sort_by(|left, right| left.0.total_cmp(&right.0));
    }
    Ok(Series { key, rows })
}

impl Series {
    /// Applies the values of the series at `now_s` seconds after genesis to an offer.
    pub(crate) fn apply(&self, offer: &mut Offer, now_s: f64) {
        let name = match self.key {
            Key::Offer => offer.name.as_str(),
            Key::Region => offer.region.as_str(),
        };
        for (at_s, row) in self.rows.get(name).map(Vec::as_slice).unwrap_or_default() {
            if *at_s > now_s {
                break;
            }
            if let Some(price) = row.price_per_hour {
                offer.price_per_hour = price;
            }
            if let Some(available) = row.available {
                offer.available = Some(available);
            }
            offer.attributes.extend(row.attributes.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
    }

    /// A name in the series that no offer has, if there is one: most likely a spelling mistake.
    pub(crate) fn unmatched(&self, offers: &[Offer]) -> Option<&str> {
        let names: BTreeSet<&str> = offers
            .iter()
            .map(|Offer { name: OfferName(name), region: RegionName(region), .. }| match self.key {
                Key::Offer => name.as_str(),
                Key::Region => region.as_str(),
            })
            .collect();
        self.rows.keys().map(String::as_str).find(|name| !names.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_types::Number;

    fn number(value: f64) -> Number {
        Number::try_from(value).unwrap()
    }

    fn offers(text: &str) -> Result<Offers, String> {
        parse_offers(Path::new("offers.csv"), text).map_err(|error| error.to_string())
    }

    fn series(text: &str) -> Result<Series, String> {
        parse_series(Path::new("series.csv"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn an_offers_file_gives_prices_capacities_and_attributes() {
        let offers = offers(
            "# synthetic\nname,region,price_per_hour,available,cap.memory,cap.cpu,attr.quarter,attr.load5\n\
             small,eu,0.05,2,4GiB,2,north,1.5\nbig,us,0.5,,,,,\n",
        )
        .unwrap();
        assert_eq!(
            offers[0].capacity,
            BTreeMap::from([("cpu".into(), 2.0), ("memory".into(), 4_294_967_296.0)])
        );
        assert_eq!(offers[0].attributes[&"quarter".into()], Value::Text("north".into()));
        assert_eq!(offers[0].attributes[&"load5".into()], Value::Number(number(1.5)));
        assert_eq!((offers[0].available, offers[1].available), (Some(2), None));
        assert!(offers[1].attributes.is_empty(), "an empty cell is absent, not zero");
    }

    #[test]
    fn every_mistake_in_an_offers_file_is_told_with_its_place() {
        for (text, message) in [
            ("name,region\n", "offers.csv:1, column `price_per_hour`: the column is missing"),
            ("name,region,price_per_hour,load\n", "offers.csv:1, column `load`: the column is not known"),
            ("name,region,price_per_hour\n", "it offers nothing"),
            ("name,region,price_per_hour\na,,1\n", "offers.csv:2, column `region`: the cell is empty"),
            ("name,region,price_per_hour\na,r,cheap\n", "column `price_per_hour`: `cheap` is not a number"),
            (
                "name,region,price_per_hour\n# x\na,r,1\na,r,1\n",
                "offers.csv:4, column `name`: offer `a` occurs",
            ),
            ("name,region,price_per_hour,available\na,r,1,-3\n", "`-3` is not a whole number"),
            ("name,region,price_per_hour,cap.cpu\na,r,1,many\n", "`many` is not an amount"),
            ("name,region,price_per_hour,attr.x\na,r,1,inf\n", "`inf` is not a finite number"),
            // Neither saturated nor rounded: a price is kept in millionths, a capacity in whole bytes.
            (
                "name,region,price_per_hour\na,r,1e15\n",
                "offers.csv:2, column `price_per_hour`: `1e15` is more than",
            ),
            (
                "name,region,price_per_hour\na,r,0.0000001\n",
                "`0.0000001` is finer than a millionth; write at most six",
            ),
            ("name,region,price_per_hour\na,r,1e-7\n", "`1e-7` is finer than a millionth"),
            (
                "name,region,price_per_hour\na,r,-0.1\n",
                "offers.csv:2, column `price_per_hour`: `-0.1` is not a number",
            ),
            (
                "name,region,price_per_hour,cap.memory\na,r,1,9007199254740993\n",
                "offers.csv:2, column `cap.memory`: `9007",
            ),
            ("name,region,price_per_hour,cap.memory\na,r,1,9PiB\n", "`9PiB` is not an amount"),
            (
                "one,eu-1,0.1\ntwo,eu-2,0.1\n",
                "offers.csv:1: the first line names the columns, and `0.1` is no name; write a line with the names",
            ),
        ] {
            let error = offers(text).unwrap_err();
            assert!(error.contains(message), "{text:?} gave {error}");
        }
    }

    #[test]
    fn a_mark_in_front_and_line_ends_of_other_systems_change_nothing() {
        let plain = "# synthetic\nname,region,price_per_hour,cap.memory\nsmall,eu,0.05,4GiB\n";
        let expected = offers(plain).unwrap();
        assert_eq!(expected[0].price_per_hour, 0.05);
        for text in [plain.to_owned(), plain.replace('\n', "\r\n"), plain.trim_end().to_owned()] {
            assert_eq!(offers(&text).unwrap(), expected, "{text:?}");
            assert_eq!(offers(&format!("\u{feff}{text}")).unwrap(), expected, "with a mark: {text:?}");
        }
    }

    #[test]
    fn the_largest_and_the_smallest_prices_and_capacities_are_kept() {
        for price in ["0", "0.000001", "0.123456", "999999999.999999", "1000000000"] {
            let kept =
                offers(&format!("name,region,price_per_hour\na,r,{price}\n")).unwrap()[0].price_per_hour;
            assert_eq!(kept, price.parse::<f64>().unwrap());
        }
        let kept = &offers("name,region,price_per_hour,cap.memory\na,r,1,9007199254740991\n").unwrap()[0];
        assert_eq!(kept.capacity["memory"], 9_007_199_254_740_991.0);
    }

    #[test]
    fn the_value_in_force_is_the_latest_that_is_not_in_the_future() {
        let series = series(
            "at_s,region,price_per_hour,available,attr.load5\n60,eu,,,9\n0,eu,0.1,,1\n30,eu,,0,\n0,us,,,5\n",
        )
        .unwrap();
        let mut sold = offers("name,region,price_per_hour,available\nsmall,eu,0.05,2\n").unwrap();
        let at = |now_s: f64| {
            let mut offer = sold[0].clone();
            series.apply(&mut offer, now_s);
            (
                offer.price_per_hour,
                offer.available,
                offer.attributes[&"load5".into()].number().map(Number::get),
            )
        };
        assert_eq!(at(0.0), (0.1, Some(2), Some(1.0)));
        assert_eq!(at(59.9), (0.1, Some(0), Some(1.0)), "an empty cell leaves the earlier value");
        assert_eq!(at(60.0), (0.1, Some(0), Some(9.0)));
        assert_eq!(series.unmatched(&sold), Some("us"));
        sold[0].region = "us".into();
        assert_eq!(series.unmatched(&sold), Some("eu"));
    }

    #[test]
    fn a_series_speaks_about_offers_or_regions_not_both() {
        for (text, message) in [
            ("at_s,attr.x\n", "either a column `offer` or a column `region`"),
            ("at_s,offer,region\n", "either a column `offer` or a column `region`"),
            ("at_s,offer,load\n", "series.csv:1, column `load`: the column is not known"),
            ("at_s,offer\n,a\n", "series.csv:2, column `at_s`: the cell is empty"),
        ] {
            let error = series(text).unwrap_err();
            assert!(error.contains(message), "{text:?} gave {error}");
        }
    }

    proptest::proptest! {
            #[test]
            fn no_text_makes_a_parser_panic(
    columns in proptest::sample::subsequence(
                    vec!["", "name", "region", "price_per_hour", "available", "at_s", "offer", "cap.cpu", "attr.x"],
                    0..9,
                ),
                body in "[,\n\"#ae0-9.\u{e9} ]{0,80}",
            ) {
                let (path, text) = (Path::new("any.csv"), format!("{}\n{body}", columns.join(",")));
                let _ = parse_offers(path, &text);
                let _ = crate::rtt_matrix::RttMatrix::parse(path, &text);
                if let (Ok(series), Ok(mut offers)) = (parse_series(path, &text), offers("name,region,price_per_hour\na,a,1\n")) {
                    series.apply(&mut offers[0], 1.0);
                    series.unmatched(&offers);
                }
            }
        }
}
