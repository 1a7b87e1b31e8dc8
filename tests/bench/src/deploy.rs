//! `rhizo-bench deploy`: the time that rhizo adds to the actions of a deployment, and of a change.
//!
//! `--assembly FILE` makes an application of a published assembly. Each of its actions only waits for its duration
//! times `--scale`. This program also is the application: the nodes that it starts run this program. All other parts
//! are those of a user: the command line, hosts of the process provider, the log on disk. `--sites N` takes the
//! multi-site assembly, `--processes` gives every host of the assembly a process. `--chain N | --star N | --tree N`
//! deploy actions that take no time, in one process (`instances`), or with `--processes` each in its own.
//!
//! Read next: `assembly` and `published` for the deployed assemblies, `stage` for the measurement, `order` for the
//! critical path, `instances` for shapes in one process.

mod assembly;
mod config;
mod instances;
mod nap;
mod order;
mod published;
mod shape;
mod stage;
mod usage;

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::live::application::median_and_max;
use crate::live::options::Options;
use assembly::Assembly;
use order::Order;
use shape::Shape;

/// Options without a value of their own. Their value is whether they are given.
const FLAGS: [&str; 2] = ["processes", "order"];

/// Options with a value.
const KNOWN: [&str; 11] = [
    "assembly",
    "variant",
    "scale",
    "runs",
    "sites",
    "chain",
    "star",
    "tree",
    "idle-seconds",
    "processes",
    "order",
];

/// Runs the bench, or the part of the application that this process has when an earlier process started it.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let figures = Options::parse(&with_values(arguments), &KNOWN).and_then(|options| measure(&options));
    match figures {
        Ok(figures) => {
            println!("{figures:#}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("failed to {message}");
            ExitCode::FAILURE
        }
    }
}

/// Runs this process's part of an application that the bench started, to its end; none if it is no such part.
pub(crate) fn as_application() -> Option<ExitCode> {
    nap::application()
}

/// Gives every flag a value.
fn with_values(arguments: &[String]) -> Vec<String> {
    let is_flag = |argument: &str| FLAGS.iter().any(|flag| argument.strip_prefix("--") == Some(*flag));
    let mut all = Vec::new();
    for argument in arguments {
        all.push(argument.clone());
        if is_flag(argument) {
            all.push("yes".to_owned());
        }
    }
    all
}

fn measure(options: &Options) -> Result<Value, String> {
    let processes = options.text("processes").is_some();
    let mut shapes = ["chain", "star", "tree"].into_iter().filter(|name| options.text(name).is_some());
    if let Some(name) = shapes.next() {
        let count = usize::try_from(options.number(name, 0)?).map_err(|error| error.to_string())?;
        let shape = Shape::new(name, count)?;
        if !processes {
            return instances::measure(shape, options.number("idle-seconds", 0)?);
        }
        return repeat(options, || stage::deploy(&shape.assembly(), 1.0, true));
    }
    let file = options.text("assembly").ok_or("understand the options: --assembly FILE is missing")?;
    let scale: f64 = match options.text("scale") {
        None => 0.01,
        Some(text) => text.parse().map_err(|error| format!("understand --scale {text}: {error}"))?,
    };
    let sites = options.text("sites").map(str::parse).transpose();
    let sites: Option<usize> = sites.map_err(|error| format!("understand --sites: {error}"))?;
    let assembly = published::read(file, options.text("variant"), sites)?;
    if options.text("order").is_some() {
        return describe(&assembly, scale);
    }
    repeat(options, || stage::deploy(&assembly, scale, processes))
}

/// The actions of a deployment with their order and length, for tools that are measured beside rhizo.
fn describe(assembly: &Assembly, scale: f64) -> Result<Value, String> {
    let mut seconds = std::collections::BTreeMap::new();
    for instance in &assembly.instances {
        for way in &assembly.kind(instance)?.transitions {
            let length_s = assembly.seconds(instance, way).unwrap_or(0.0) * scale;
            seconds.insert(format!("{}.{}", instance.name, way.name), length_s);
        }
    }
    let order = Order::of_deployment(assembly)?;
    let (length, path) = order.critical_path(&seconds)?;
    Ok(json!({ "actions": order.describe(&seconds), "critical_path": length, "path": path }))
}

/// Repeats the measurement as the options say. With more than one run, returns each, and the median and maximum
/// overhead.
fn repeat(options: &Options, once: impl Fn() -> Result<Value, String>) -> Result<Value, String> {
    let runs = options.number("runs", 1)?.max(1);
    let mut measured = Vec::new();
    for run in 1..=runs {
        let figures = once()?;
        if runs > 1 {
            let overhead = |part: &str| figures[part]["overhead"].clone();
            eprintln!(
                "run {run} of {runs}: overhead {} s, change {} s",
                overhead("deploy"),
                overhead("change")
            );
        }
        measured.push(figures);
    }
    if runs == 1 {
        return Ok(measured.remove(0));
    }
    let of = |part: &str, key: &str| {
        let all: Vec<f64> = measured.iter().filter_map(|figures| figures[part][key].as_f64()).collect();
        let (median, max) = median_and_max(&all);
        json!({ "median": median, "max": max })
    };
    Ok(json!({
        "overhead": of("deploy", "overhead"), "per_hop": of("deploy", "per_hop"),
        "change_overhead": of("change", "overhead"), "runs": measured,
    }))
}
