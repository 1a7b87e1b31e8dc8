//! Data files that describe a provider: found, read, parsed once, and parsed again when they change.
//!
//! An error names file, line, column and remedy. The parsers define the meaning of the columns: [`crate::process`]
//! for offers and attributes, [`crate::rtt_matrix`] for round trips.

use rhizo_types::Number;
use rhizo_types::fact::Value;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Largest data file in bytes: a 1,000 × 1,000 matrix of round trips needs 8 MiB.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Highest price of one host per hour, in any currency. In millionths it is still exact, and so is the sum of
/// thousands of hosts.
pub(crate) const PRICE_PER_HOUR_MAX: f64 = 1e9;

/// Largest amount of a capacity: beyond, whole numbers are no longer exact in a double, which is nine petabytes.
pub(crate) const CAPACITY_MAX: f64 = 9_007_199_254_740_991.0;

/// A data file that cannot be used. Completes "failed to …".
#[derive(Debug)]
pub struct DataFileError {
    /// The file.
    pub path: PathBuf,
    /// The line of the fault, counted from 1; none if the fault concerns the file.
    pub line: Option<u64>,
    /// The name of the faulty column, if the fault concerns one.
    pub column: Option<String>,
    /// The fault.
    pub problem: String,
    /// The remedy.
    pub remedy: String,
    /// The system's answer, when the file could not be read at all.
    pub source: Option<io::Error>,
}

impl fmt::Display for DataFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "read data file {}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(column) = self.column.as_ref().filter(|column| !column.is_empty()) {
            write!(f, ", column `{column}`")?;
        }
        write!(f, ": {}; {}", self.problem, self.remedy)
    }
}

impl std::error::Error for DataFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

impl DataFileError {
    /// An error of the file as a whole.
    pub(crate) fn whole(path: &Path, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line: None,
            column: None,
            problem: problem.into(),
            remedy: remedy.into(),
            source: None,
        }
    }

    /// An error of one line.
    pub(crate) fn at(
        path: &Path,
        line: u64,
        column: Option<&str>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { line: Some(line), column: column.map(str::to_owned), ..Self::whole(path, problem, remedy) }
    }
}

/// Metadata that differs between two versions of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified_s: i64,
    modified_ns: i64,
}

/// A parsed data file, parsed again when the file on disk has changed.
#[derive(Debug)]
pub(crate) struct DataFile<T> {
    path: PathBuf,
    parse: fn(&Path, &str) -> Result<T, DataFileError>,
    parsed: Mutex<Option<(Stamp, Arc<T>)>>,
}

impl<T> DataFile<T> {
    /// A file that is read when it is first asked for.
    pub(crate) fn new(path: PathBuf, parse: fn(&Path, &str) -> Result<T, DataFileError>) -> Self {
        Self { path, parse, parsed: Mutex::new(None) }
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the parsed file as it is now.
    ///
    /// # Errors
    /// When it cannot be read or parsed. An older, valid version is not returned instead, so that a mistake is noticed.
    pub(crate) fn get(&self) -> Result<Arc<T>, DataFileError> {
        // A panic in `parse` cannot leave a partial value: the value is stored only when it is complete.
        let mut parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        let metadata = fs::metadata(&self.path).map_err(|source| self.unreadable(source))?;
        let stamp = Stamp {
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified_s: metadata.mtime(),
            modified_ns: metadata.mtime_nsec(),
        };
        if let Some((known, value)) = &*parsed
            && *known == stamp
        {
            return Ok(Arc::clone(value));
        }
        if metadata.len() > FILE_BYTES_MAX {
            return Err(DataFileError::whole(
                &self.path,
                format!("it has {} bytes, more than {FILE_BYTES_MAX}", metadata.len()),
                "keep the rows that the application can use",
            ));
        }
        let text = fs::read_to_string(&self.path).map_err(|source| self.unreadable(source))?;
        let value = Arc::new((self.parse)(&self.path, &text)?);
        *parsed = Some((stamp, Arc::clone(&value)));
        Ok(value)
    }

    fn unreadable(&self, source: io::Error) -> DataFileError {
        DataFileError {
            source: Some(source),
            ..DataFileError::whole(
                &self.path,
                "it cannot be read",
                "relative paths start at the directory of the configuration file",
            )
        }
    }
}

/// A CSV file with a header: cells by column name, errors with their place.
pub(crate) struct Table<'a> {
    path: &'a Path,
    /// The column names, in the file's order.
    pub(crate) header: Vec<String>,
    /// Line number and cells of every row.
    pub(crate) rows: Vec<(u64, csv::StringRecord)>,
}

impl<'a> Table<'a> {
    /// Splits a file into header and rows; `#` starts a comment line.
    pub(crate) fn parse(path: &'a Path, text: &str) -> Result<Self, DataFileError> {
        // Editors put this mark in front of a file; it is no part of the first column's name.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = csv::ReaderBuilder::new()
            .comment(Some(b'#'))
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        let malformed = |error: csv::Error| {
            let line = error.position().map_or(1, csv::Position::line);
            DataFileError::at(path, line, None, error.to_string(), "write comma-separated values in UTF-8")
        };
        let header: Vec<String> = reader.headers().map_err(malformed)?.iter().map(str::to_owned).collect();
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(malformed)?;
            let line = record.position().map_or(0, csv::Position::line);
            if record.len() != header.len() {
                return Err(DataFileError::at(
                    path,
                    line,
                    None,
                    format!("it has {} cells, the header {}", record.len(), header.len()),
                    "give every row one cell per column",
                ));
            }
            rows.push((line, record));
        }
        // Values in the first line would be refused as column names, for reasons that lead nowhere. The corner of a
        // matrix is empty, and the names of its regions are not restricted.
        let is_matrix = header.first().is_some_and(String::is_empty);
        let is_value = |name: &&String| !is_matrix && name.parse::<f64>().is_ok();
        if let Some(value) = header.iter().find(is_value) {
            return Err(DataFileError::at(
                path,
                1,
                None,
                format!("the first line names the columns, and `{value}` is no name"),
                "write a line with the names above the values",
            ));
        }
        if let Some(twice) = header.iter().enumerate().find(|(at, name)| header[..*at].contains(name)) {
            return Err(DataFileError::at(
                path,
                1,
                Some(twice.1),
                "it occurs twice",
                "remove one of the two",
            ));
        }
        Ok(Self { path, header, rows })
    }

    /// The place of a column that must exist.
    pub(crate) fn column(&self, name: &str) -> Result<usize, DataFileError> {
        self.header.iter().position(|column| column == name).ok_or_else(|| {
            DataFileError::at(
                self.path,
                1,
                Some(name),
                "the column is missing",
                format!(
                    "the first line of the file names its columns, `{name}` among them; it is `{}`",
                    self.header.join(",")
                ),
            )
        })
    }

    /// The place of a column that may be missing.
    pub(crate) fn optional_column(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|column| column == name)
    }

    /// An error at one cell.
    pub(crate) fn wrong(&self, line: u64, column: usize, problem: String, remedy: &str) -> DataFileError {
        DataFileError::at(self.path, line, self.header.get(column).map(String::as_str), problem, remedy)
    }

    /// A number from zero to `max`; `None` for an empty cell.
    pub(crate) fn amount(
        &self,
        line: u64,
        column: usize,
        cell: &str,
        max: f64,
    ) -> Result<Option<f64>, DataFileError> {
        if cell.is_empty() {
            return Ok(None);
        }
        match cell.parse::<f64>() {
            Ok(number) if number > max => Err(self.wrong(
                line,
                column,
                format!("`{cell}` is more than {max}, the largest value here"),
                "write a smaller number; check its unit",
            )),
            Ok(number) if number.is_finite() && number >= 0.0 => Ok(Some(number)),
            _ => Err(self.wrong(
                line,
                column,
                format!("`{cell}` is not a number of zero or more"),
                "write a plain decimal number such as 0.05, or leave the cell empty",
            )),
        }
    }

    /// A price per hour: an amount with at most six decimals; `None` for an empty cell.
    ///
    /// Prices are kept in millionths. A finer price would be rounded, and a price that is rounded to zero would not
    /// count against a budget.
    pub(crate) fn price(&self, line: u64, column: usize, cell: &str) -> Result<Option<f64>, DataFileError> {
        let price = self.amount(line, column, cell, PRICE_PER_HOUR_MAX)?;
        if price.is_some_and(|price| (price * 1e6).round() / 1e6 != price) {
            return Err(self.wrong(
                line,
                column,
                format!("`{cell}` is finer than a millionth"),
                "write at most six decimals",
            ));
        }
        Ok(price)
    }

    /// A number when it reads as one, else a word; `None` for an empty cell.
    pub(crate) fn value(&self, line: u64, column: usize, cell: &str) -> Result<Option<Value>, DataFileError> {
        if cell.is_empty() {
            return Ok(None);
        }
        match cell.parse::<f64>().map(Number::try_from) {
            Ok(Ok(number)) => Ok(Some(Value::Number(number))),
            Ok(Err(_)) => Err(self.wrong(
                line,
                column,
                format!("`{cell}` is not a finite number"),
                "leave the cell empty where the value is not known",
            )),
            Err(_) => Ok(Some(Value::Text(cell.to_owned()))),
        }
    }
}

/// Bytes of a size such as `8GiB`, `512 MiB` or `1048576`; `None` when it is none.
pub(crate) fn parse_bytes(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 9] = [
        ("KiB", 1024.0),
        ("MiB", 1_048_576.0),
        ("GiB", 1_073_741_824.0),
        ("TiB", 1_099_511_627_776.0),
        ("kB", 1e3),
        ("MB", 1e6),
        ("GB", 1e9),
        ("TB", 1e12),
        ("B", 1.0),
    ];
    let (digits, factor) = UNITS
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))
        .unwrap_or((text, 1.0));
    let number: f64 = digits.trim_end().parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_whatever_their_unit() {
        for (text, bytes) in
            [("1048576", Some(1_048_576.0)), ("8GiB", Some(8_589_934_592.0)), ("2 kB", Some(2e3))]
        {
            assert_eq!(parse_bytes(text), bytes, "{text}");
        }
        for text in ["", "GiB", "8Gib", "-1", "nan", "1e999"] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_broken_one_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("number.txt");
        let file = DataFile::new(path.clone(), |path, text| {
            text.trim()
                .parse::<u32>()
                .map_err(|error| DataFileError::at(path, 1, None, error.to_string(), "…"))
        });
        assert!(file.get().unwrap_err().source.is_some(), "a missing file tells the system's answer");
        fs::write(&path, "1").unwrap();
        assert_eq!(*file.get().unwrap(), 1);
        fs::write(&path, "22").unwrap();
        assert_eq!(*file.get().unwrap(), 22);
        fs::write(&path, "twenty-two").unwrap();
        let error = file.get().unwrap_err().to_string();
        assert!(error.contains("number.txt:1: "), "{error}");
    }
}
