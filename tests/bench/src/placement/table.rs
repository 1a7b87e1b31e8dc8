//! Runs a set of benches and writes its table into a document; rows with known figures are not run again.
//!
//! Figures are kept in a file, one line of JSON for each row, so that a run can be stopped and continued. The table
//! goes between `<!-- table NAME -->` and `<!-- end NAME -->`. A row is a call of another bench with its options, so
//! that every figure can be reproduced from the command line.

use crate::arguments::Arguments;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::Write as _;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

pub(super) const OPTIONS: &[&str] = &["set", "data", "figures", "document", "time", "runs"];

/// Applications of the SAGE set: the file, and the instances of WordPress.
const SAGE: [(&str, Option<u32>); 13] = [
    ("Oryx2", None),
    ("SecureBilling", None),
    ("SecureWeb", None),
    ("Wordpress", Some(3)),
    ("Wordpress", Some(4)),
    ("Wordpress", Some(5)),
    ("Wordpress", Some(6)),
    ("Wordpress", Some(7)),
    ("Wordpress", Some(8)),
    ("Wordpress", Some(9)),
    ("Wordpress", Some(10)),
    ("Wordpress", Some(11)),
    ("Wordpress", Some(12)),
];
/// Sizes of the offer lists that SAGE and CSPLib publish times for.
const OFFERS: [u32; 4] = [20, 40, 250, 500];

/// The instances of ROADEF/EURO 2012 whose models are still available: set A, and eight of set B.
const ROADEF: [&str; 18] = [
    "a1_1", "a1_2", "a1_3", "a1_4", "a1_5", "a2_1", "a2_2", "a2_3", "a2_4", "a2_5", "b_1", "b_2", "b_3",
    "b_4", "b_5", "b_6", "b_8", "b_9",
];

/// One row: a bench and its options.
struct Row {
    name: String,
    bench: &'static str,
    options: Vec<String>,
}

impl Row {
    fn new(name: String, bench: &'static str, options: &[(&str, String)]) -> Self {
        let pairs = options.iter().flat_map(|(option, value)| [format!("--{option}"), value.clone()]);
        Self { name, bench, options: pairs.collect() }
    }

    fn key(&self) -> String {
        format!("{} {}", self.bench, self.options.join(" "))
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<Value, String> {
    let set = arguments.text("set").ok_or("go on without --set NAME")?;
    let data = arguments.text("data").map(PathBuf::from);
    let (columns, rows) = rows(set, data.as_deref(), arguments)?;
    let figures = arguments.path("figures")?;
    let mut known = read(&figures)?;
    let (mut ran, mut failed) = (0, 0);
    for row in &rows {
        let figure = match known.entry(row.key()) {
            Entry::Occupied(figure) => figure.into_mut(),
            Entry::Vacant(missing) => {
                eprintln!("{}", row.key());
                let (bench, _) = super::bench(row.bench).ok_or("find the bench of a row")?;
                let figure = bench(&row.options).unwrap_or_else(|error| json!({ "error": error }));
                append(&figures, &row.key(), &figure)?;
                ran += 1;
                missing.insert(figure)
            }
        };
        failed += usize::from(figure.get("error").is_some());
    }
    let table = table(columns, &rows, &known);
    match arguments.text("document") {
        Some(document) => write(Path::new(document), &mark(set, arguments), &table)?,
        None => println!("{table}"),
    }
    Ok(json!({ "set": set, "rows": rows.len(), "run": ran, "failed": failed }))
}

/// The name of the set's table in a document; a set that is run with several time limits has a table for each.
fn mark(set: &str, arguments: &Arguments) -> String {
    match (set, arguments.text("time")) {
        ("roadef", time) => format!("roadef {} s", time.unwrap_or("10")),
        _ => set.to_owned(),
    }
}

/// The columns and rows of a set.
fn rows(
    set: &str,
    data: Option<&Path>,
    arguments: &Arguments,
) -> Result<(&'static [&'static str], Vec<Row>), String> {
    let seeds = 1..=arguments.value("runs", 3u64)?;
    let needed = || data.ok_or_else(|| format!("find the data of {set}: --data DIRECTORY is missing"));
    let time = |default: f64| arguments.value("time", default).map(|t: f64| t.to_string());
    Ok(match set {
        "multicloud" => (&["price", "bound", "gap", "proven", "seconds"], multicloud(seeds, &time)?),
        "replan" => {
            let columns =
                &["hosts", "lost", "minimum", "started", "moved", "ratio", "unpaid", "violations", "seconds"];
            (columns, replan(seeds, &time(5.0)?))
        }
        "sage" => (&["price", "bound", "proven", "seconds"], sage(needed()?, &time(10.0)?)),
        "prob090" => (&["price", "bound", "proven", "seconds"], prob090(needed()?, &time(10.0)?)),
        "psepr" => {
            let file = data.unwrap_or(Path::new("examples/psepr/data/rtt_matrix_ms.csv"));
            (&["objective", "bound", "proven", "seconds"], psepr(file, seeds, &time(10.0)?))
        }
        "planetlab" => (&["objective", "bound", "proven", "seconds"], psepr(needed()?, seeds, &time(2.0)?)),
        "roadef" => {
            let columns = &["cost", "bound", "gap", "score", "moves", "violations", "seconds"];
            (columns, roadef(needed()?, seeds, &time(10.0)?))
        }
        "btrplace" => {
            let columns = &["feasible", "violations", "moves", "moves_min", "seconds"];
            (columns, btrplace(needed()?, &time(30.0)?))
        }
        other => {
            return Err(format!(
                "find the set {other}: there are multicloud, replan, sage, prob090, psepr, planetlab, btrplace, roadef"
            ));
        }
    })
}

fn multicloud(
    seeds: RangeInclusive<u64>,
    time: &dyn Fn(f64) -> Result<String, String>,
) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for (n, seconds) in [(10, 5.0), (20, 5.0), (30, 5.0), (1_000, 5.0), (10_000, 30.0)] {
        for seed in seeds.clone() {
            let options = [("n", n.to_string()), ("seed", seed.to_string()), ("time", time(seconds)?)];
            rows.push(Row::new(format!("{n} components, seed {seed}"), "multicloud", &options));
        }
    }
    Ok(rows)
}

fn replan(seeds: RangeInclusive<u64>, time: &str) -> Vec<Row> {
    let row = |n: u32, seed: u64| {
        let options = [("n", n.to_string()), ("seed", seed.to_string()), ("time", time.to_owned())];
        Row::new(format!("{n} components, seed {seed}"), "replan", &options)
    };
    [30, 100, 300].into_iter().flat_map(|n| seeds.clone().map(move |seed| row(n, seed))).collect()
}

fn sage(data: &Path, time: &str) -> Vec<Row> {
    let row = |application: &str, instances: Option<u32>, offers: u32| {
        let mut options = vec![
            ("app", path(data, &format!("Models/json/{application}.json"))),
            ("offers", path(data, &format!("Data/json/offers_{offers}.json"))),
            ("time", time.to_owned()),
        ];
        options.extend(instances.map(|n| ("instances", n.to_string())));
        let number = instances.map_or(String::new(), |n| n.to_string());
        Row::new(format!("{application}{number}, {offers} offers"), "sage", &options)
    };
    SAGE.into_iter().flat_map(|(a, n)| OFFERS.map(|offers| row(a, n, offers))).collect()
}

fn prob090(data: &Path, time: &str) -> Vec<Row> {
    let row = |instances: u32, offers: u32| {
        let options = [
            ("instances", instances.to_string()),
            ("offers", path(data, &format!("Data/json/offers_{offers}.json"))),
            ("time", time.to_owned()),
        ];
        Row::new(format!("{instances} × {offers}"), "prob090", &options)
    };
    (3..=6).flat_map(|i| OFFERS.map(|offers| row(i, offers))).collect()
}

fn psepr(latency: &Path, seeds: RangeInclusive<u64>, time: &str) -> Vec<Row> {
    let row = |seed: u64| {
        let options = [
            ("latency", latency.display().to_string()),
            ("seed", seed.to_string()),
            ("time", time.to_owned()),
        ];
        Row::new(format!("seed {seed}"), "psepr", &options)
    };
    seeds.map(row).collect()
}

fn btrplace(data: &Path, time: &str) -> Vec<Row> {
    let row = |(kind, size, share): (&str, &str, &str)| {
        let file = path(data, &format!("{kind}/{size}/p5000/{share}/1.gz"));
        let options = [("instance", file), ("time", time.to_owned())];
        Row::new(format!("{kind} {size} {share}"), "btrplace", &options)
    };
    instances().map(row).collect()
}

fn roadef(data: &Path, seeds: RangeInclusive<u64>, time: &str) -> Vec<Row> {
    let row = |instance: &str, seed: u64| {
        let options = [
            ("p", path(data, &format!("model_{instance}.txt"))),
            ("i", path(data, &format!("assignment_{instance}.txt"))),
            ("t", time.to_owned()),
            ("s", seed.to_string()),
        ];
        let name = if *seeds.end() > 1 { format!("{instance}, seed {seed}") } else { instance.to_owned() };
        Row::new(name, "roadef", &options)
    };
    ROADEF.into_iter().flat_map(|instance| seeds.clone().map(move |seed| row(instance, seed))).collect()
}

/// The published instances of BtrPlace.
fn instances() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let shares = ["c0", "c33", "c66", "c100"];
    let kinds = [("li", "r3"), ("li", "r6"), ("nr", "r3"), ("nr", "r6")];
    kinds.into_iter().flat_map(move |(kind, size)| shares.map(|share| (kind, size, share)))
}

fn path(directory: &Path, file: &str) -> String {
    directory.join(file).display().to_string()
}

/// The known figures by row; a truncated line counts as missing.
fn read(path: &Path) -> Result<BTreeMap<String, Value>, String> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(format!("read {}: {error}", path.display())),
    };
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let row = |line: Value| Some((line["row"].as_str()?.to_owned(), line["figures"].clone()));
    Ok(lines.filter_map(row).collect())
}

fn append(path: &Path, row: &str, figures: &Value) -> Result<(), String> {
    let line = json!({ "row": row, "figures": figures });
    let open = std::fs::OpenOptions::new().create(true).append(true).open(path);
    open.and_then(|mut file| writeln!(file, "{line}"))
        .map_err(|error| format!("write {}: {error}", path.display()))
}

fn table(columns: &[&str], rows: &[Row], known: &BTreeMap<String, Value>) -> String {
    let mut text = format!("| | {} |\n|---|{}\n", columns.join(" | "), "---|".repeat(columns.len()));
    for row in rows {
        let figures = &known[&row.key()];
        let cell = |column: &&str| match (&figures[*column], figures["error"].as_str()) {
            (_, Some(error)) => error.replace('|', "/"),
            (Value::Number(n), _) => number(n.as_f64().unwrap_or(0.0)),
            (Value::Bool(yes), _) => if *yes { "yes" } else { "no" }.to_owned(),
            (Value::Null, _) => "–".to_owned(),
            (other, _) => other.to_string(),
        };
        let cells: Vec<String> = columns.iter().map(cell).collect();
        text.push_str(&format!("| {} | {} |\n", row.name, cells.join(" | ")));
    }
    if columns.contains(&"score") {
        let scores = rows.iter().filter_map(|row| known[&row.key()]["score"].as_f64());
        let cell =
            |column: &&str| if *column == "score" { number(scores.clone().sum()) } else { String::new() };
        let cells: Vec<String> = columns.iter().map(cell).collect();
        text.push_str(&format!("| sum | {} |\n", cells.join(" | ")));
    }
    text
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.4}") }
}

/// Puts a table between its marks, and leaves everything else as it is.
fn write(document: &Path, set: &str, table: &str) -> Result<(), String> {
    let failed = |what: &str, error: std::io::Error| format!("{what} {}: {error}", document.display());
    let text = std::fs::read_to_string(document).map_err(|error| failed("read", error))?;
    let replaced = between(&text, set, table)
        .ok_or_else(|| format!("find the marks of table {set} in {}", document.display()))?;
    std::fs::write(document, replaced).map_err(|error| failed("write", error))
}

fn between(text: &str, set: &str, table: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- table {set} -->\n"), format!("<!-- end {set} -->"));
    let start = text.find(&begin)? + begin.len();
    let stop = start + text[start..].find(&end)?;
    Some(format!("{}\n{table}\n{}", &text[..start], &text[stop..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_replaces_what_is_between_its_marks_only() {
        let text = "a\n<!-- table x -->\nold\n<!-- end x -->\nb\n<!-- table y -->\n<!-- end y -->\n";
        let once = between(text, "x", "new").unwrap();
        assert_eq!(once, "a\n<!-- table x -->\n\nnew\n<!-- end x -->\nb\n<!-- table y -->\n<!-- end y -->\n");
        assert_eq!(between(&once, "x", "new").unwrap(), once);
        assert_eq!(between(text, "z", "new"), None);
    }

    #[test]
    fn rows_that_are_known_are_shown_and_errors_too() {
        let rows =
            [Row::new("one".into(), "psepr", &[("seed", "1".into())]), Row::new("two".into(), "psepr", &[])];
        let known = BTreeMap::from([
            ("psepr --seed 1".to_owned(), json!({ "objective": 0.5, "proven": true })),
            ("psepr ".to_owned(), json!({ "error": "read x" })),
        ]);
        let text = table(&["objective", "proven", "bound"], &rows, &known);
        assert_eq!(
            text,
            "| | objective | proven | bound |\n|---|---|---|---|\n| one | 0.5000 | yes | – |\n| two | read x | read x | read x |\n"
        );
    }

    #[test]
    fn a_set_that_needs_data_says_so() {
        let none = Arguments::default();
        assert!(rows("sage", None, &none).is_err() && rows("magic", None, &none).is_err());
        assert_eq!(rows("sage", Some(Path::new("d")), &none).map(|(_, rows)| rows.len()), Ok(52));
        assert_eq!(rows("btrplace", Some(Path::new("d")), &none).map(|(_, rows)| rows.len()), Ok(16));
        assert_eq!(rows("roadef", Some(Path::new("d")), &none).map(|(_, rows)| rows.len()), Ok(54));
    }

    #[test]
    fn scores_are_summed_and_each_time_has_its_table() {
        let rows = ["1", "2"].map(|s| Row::new(s.into(), "roadef", &[("s", s.into())]));
        let known = BTreeMap::from([
            ("roadef --s 1".to_owned(), json!({ "cost": 7, "score": 0.5 })),
            ("roadef --s 2".to_owned(), json!({ "cost": 8, "score": 0.25 })),
        ]);
        let text = table(&["cost", "score"], &rows, &known);
        assert!(text.ends_with("| 2 | 8 | 0.2500 |\n| sum |  | 0.7500 |\n"), "{text}");
        let given = |line: &str| {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            Arguments::parse(&words, OPTIONS).unwrap()
        };
        assert_eq!(mark("roadef", &given("--time 60")), "roadef 60 s");
        assert_eq!(mark("sage", &given("--time 60")), "sage");
    }
}
