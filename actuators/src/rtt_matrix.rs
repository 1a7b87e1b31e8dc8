//! Round trips between regions, as a catalogue states them: a square matrix in milliseconds.
//!
//! The file form is CSV: an empty first cell and region names in the header, then one row per region that
//! starts with its name. A catalogue is a belief; a measured round trip overrides it elsewhere.

use crate::data_file::{DataFileError, Table};
use rhizo_types::RegionName;
use std::collections::BTreeMap;
use std::path::Path;

/// Longest round trip in milliseconds: a minute. No link is longer, so more is a wrong unit.
const RTT_MS_MAX: f64 = 60_000.0;

/// Round trips between regions in milliseconds; a pair may be unknown.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RttMatrix {
    regions: Vec<RegionName>,
    places: BTreeMap<RegionName, usize>,
    /// Row by row; negative never occurs, `None` is an unknown pair.
    milliseconds: Vec<Option<f64>>,
}

impl RttMatrix {
    /// The regions it knows, in the file's order.
    #[must_use]
    pub fn regions(&self) -> &[RegionName] {
        &self.regions
    }

    /// Round trip between two regions in milliseconds; `None` when the matrix does not know the pair.
    ///
    /// When the two directions differ in the file this is their mean: a round trip uses both.
    #[must_use]
    pub fn rtt_ms(&self, from: &RegionName, to: &RegionName) -> Option<f64> {
        let (from, to) = (*self.places.get(from)?, *self.places.get(to)?);
        match (self.cell(from, to), self.cell(to, from)) {
            (Some(there), Some(back)) => Some(f64::midpoint(there, back)),
            (there, back) => there.or(back),
        }
    }

    fn cell(&self, row: usize, column: usize) -> Option<f64> {
        self.milliseconds.get(row * self.regions.len() + column).copied().flatten()
    }

    /// Parses the CSV form; `path` is only for messages.
    ///
    /// # Errors
    /// Names line, column and remedy: not square, an unknown or repeated row, a cell that is no duration.
    pub fn parse(path: &Path, text: &str) -> Result<Self, DataFileError> {
        let table = Table::parse(path, text)?;
        let regions: Vec<RegionName> = table.header.iter().skip(1).map(|name| name.as_str().into()).collect();
        if regions.is_empty() {
            return Err(DataFileError::at(
                path,
                1,
                None,
                "it names no region",
                "start the header with an empty cell, then one region per column",
            ));
        }
        let places: BTreeMap<RegionName, usize> =
            regions.iter().enumerate().map(|(at, region)| (region.clone(), at)).collect();
        let mut milliseconds = vec![None; regions.len() * regions.len()];
        let mut seen = vec![false; regions.len()];
        for (line, cells) in &table.rows {
            let name = RegionName::from(cells.get(0).unwrap_or_default());
            let Some(&row) = places.get(&name) else {
                return Err(table.wrong(
                    *line,
                    0,
                    format!("region `{name}` is not in the header"),
                    "rows and columns name the same regions",
                ));
            };
            if std::mem::replace(&mut seen[row], true) {
                return Err(table.wrong(
                    *line,
                    0,
                    format!("region `{name}` has two rows"),
                    "remove one of them",
                ));
            }
            for (column, cell) in cells.iter().enumerate().skip(1) {
                milliseconds[row * regions.len() + column - 1] =
                    table.amount(*line, column, cell, RTT_MS_MAX)?;
            }
        }
        if let Some(missing) = seen.iter().position(|seen| !seen) {
            return Err(DataFileError::whole(
                path,
                format!("region `{}` has no row", regions[missing]),
                "rows and columns name the same regions",
            ));
        }
        Ok(Self { regions, places, milliseconds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RttMatrix, String> {
        RttMatrix::parse(Path::new("rtt.csv"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_square_matrix_is_read_in_any_row_order() {
        let matrix = parse(",a,b,c\nb,10,0,\na,0,20,30\nc,30,,0\n").unwrap();
        let rtt = |from: &str, to: &str| matrix.rtt_ms(&from.into(), &to.into());
        assert_eq!(rtt("a", "b"), Some(15.0), "the mean of the two directions");
        assert_eq!(rtt("a", "c"), Some(30.0));
        assert_eq!(rtt("b", "c"), None, "an empty cell is unknown");
        assert_eq!(rtt("a", "elsewhere"), None);
        assert_eq!(matrix.regions().len(), 3);
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        for (text, message) in [
            (",a,b\na,0,1\n", "region `b` has no row"),
            (",a\nb,0\n", "rtt.csv:2: region `b` is not in the header"),
            (",a\na,0\na,0\n", "rtt.csv:3: region `a` has two rows"),
            (",a,b\na,0,x\nb,1,0\n", "rtt.csv:2, column `b`: `x` is not a number"),
            (",a,b\na,0,-1\nb,1,0\n", "rtt.csv:2, column `b`: `-1` is not a number"),
            (",a,b\na,0,1e300\nb,1,0\n", "rtt.csv:2, column `b`: `1e300` is more than 60000"),
            (",a,b\na,0\nb,1,0\n", "rtt.csv:2: it has 2 cells, the header 3"),
            (",a,a\na,0,0\n", "column `a`: it occurs twice"),
            ("", "it names no region"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(message), "{text:?} gave {error}");
        }
    }
}
