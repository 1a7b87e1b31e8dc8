//! Reads round-trip time matrices: comma-separated with names, or white space between numbers.

use std::path::Path;

/// Most sites of a file; the largest published matrix in use has 490.
const SITES_MAX: usize = 5_000;

/// A matrix with the names of its sites.
pub(super) struct LatencyFile {
    pub(super) names: Vec<String>,
    pub(super) rows: Vec<Vec<f64>>,
}

/// Reads a file of either form.
pub(super) fn read(path: &Path) -> Result<LatencyFile, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("read {}: {error}", path.display()))?;
    parse(&text).map_err(|what| format!("understand {}: {what}", path.display()))
}

pub(super) fn parse(text: &str) -> Result<LatencyFile, String> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let named = lines.first().is_some_and(|line| line.starts_with(','));
    let mut file = LatencyFile { names: Vec::new(), rows: Vec::new() };
    for (at, line) in lines.iter().skip(usize::from(named)).enumerate() {
        let mut fields = line.split(|c: char| c == ',' || c.is_whitespace()).filter(|f| !f.is_empty());
        let name = if named { fields.next().unwrap_or_default().to_owned() } else { format!("site{at}") };
        file.names.push(name);
        let number = |field: &str| match field.parse::<f64>() {
            Ok(ms) if ms.is_finite() && ms >= 0.0 => Ok(ms),
            _ => Err(format!("line {}: {field} is not a time", at + 1)),
        };
        file.rows.push(fields.map(number).collect::<Result<_, _>>()?);
    }
    let sites = file.rows.len();
    if sites == 0 || sites > SITES_MAX || file.rows.iter().any(|row| row.len() != sites) {
        return Err(format!("{sites} rows are no square matrix of 1 to {SITES_MAX} sites"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let named = parse(",a,b\na,0,1.5\nb,1.5,0\n").unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(
            (named.names, named.rows),
            (vec!["a".into(), "b".into()], vec![vec![0.0, 1.5], vec![1.5, 0.0]])
        );
        let plain = parse("0\t2\n2\t0\n").unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(plain.rows, vec![vec![0.0, 2.0], vec![2.0, 0.0]]);
    }

    #[test]
    fn what_is_no_square_of_times_is_refused() {
        for text in ["", "0 1\n", "0 1\n1 x\n", "0 nan\n1 0\n", "0 -1\n1 0\n", ",a\na,inf\n"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
