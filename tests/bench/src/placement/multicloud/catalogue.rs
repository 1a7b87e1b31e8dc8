//! The machines of the multi-cloud bench: every type of every region of the round-trip matrix, with its price.

use super::super::latency_file;
use rhizo_solver::{Latency, Machine, Partition, Problem, Resource, Stock};
use std::collections::BTreeMap;
use std::path::Path;

/// Indices of the two partitions of machines.
pub(super) const BY_REGION: usize = 0;
/// See [`BY_REGION`].
pub(super) const BY_CLOUD: usize = 1;

/// Number of hosts of a type that can be bought in a region: more than any optimum of the bench uses.
const HOSTS_MAX: u32 = 20_000;

/// GCP has no price list that may be used here, so its prices are **synthetic**: dollars per hour for a processor and
/// for a gibibyte, such that the machine with 2 processors and 8 gibibytes costs the 0.07 of the regional price level.
const GCP_PRICES: (f64, f64) = (0.023, 0.003);
/// Gibibytes for each processor of GCP's three families, and the family's name.
const GCP_FAMILIES: [(f64, &str); 3] = [(1.0, "highcpu"), (4.0, "standard"), (8.0, "highmem")];

/// A machine type of one cloud at that cloud's base price.
struct Type {
    name: String,
    cpu: f64,
    memory: f64,
    price: f64,
}

/// The types of each Azure region, and those of AWS us-east-1.
type PriceList = (BTreeMap<String, Vec<Type>>, Vec<Type>);

/// The problem without components, rules and costs.
pub(super) fn problem(data: &Path, prices: &Path) -> Result<Problem, String> {
    let matrix = latency_file::read(&data.join("rtt_matrix_ms.csv"))?;
    let (listed, aws) = price_list(prices)?;
    let base = aws.iter().find(|t| t.name == "m5.large").ok_or("find the price of m5.large")?.price;
    let aws_levels = levels(&data.join("offers-aws.csv"), base)?;
    let gcp_levels = levels(&data.join("offers-gcp.csv"), 0.07)?;
    let gcp = gcp_types();
    let mut problem = Problem { latency: Latency::from_rows(&matrix.rows), ..Problem::default() };
    problem.resources = ["cpu", "memory"].map(|name| Resource { name: name.into(), transient: false }).into();
    let clouds: Vec<String> = ["aws", "azure", "gcp"].map(str::to_owned).into();
    let (mut regions, mut cloud_of) = (Vec::new(), Vec::new());
    for (site, name) in matrix.names.iter().enumerate() {
        let (cloud, region) = name.split_once(':').ok_or_else(|| format!("find the cloud of {name}"))?;
        let level = |levels: &BTreeMap<String, f64>| {
            levels.get(name).copied().ok_or_else(|| format!("find the price level of {name}"))
        };
        let (types, factor) = match cloud {
            "azure" => (listed.get(region).ok_or_else(|| format!("find prices of {name}"))?, 1.0),
            "aws" => (&aws, level(&aws_levels)?),
            _ => (&gcp, level(&gcp_levels)?),
        };
        for t in types {
            problem.machines.push(Machine {
                name: format!("{}@{name}", t.name),
                provider: cloud.into(),
                region: region.into(),
                stock: Stock::Offer { count_max: HOSTS_MAX },
                site: Some(site),
                capacity: vec![t.cpu, t.memory],
                safety: Vec::new(),
                // Lists have millionths of a dollar at most.
                price: (t.price * factor * 1e6).round() / 1e6,
                move_cost: Vec::new(),
            });
            regions.push(Some(site));
            cloud_of.push(clouds.iter().position(|c| c == cloud));
        }
    }
    let partition = |name: &str, classes, class_of| Partition { name: name.into(), classes, class_of };
    problem.partitions =
        vec![partition("region", matrix.names, regions), partition("cloud", clouds, cloud_of)];
    Ok(problem)
}

fn price_list(path: &Path) -> Result<PriceList, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("read {}: {error}", path.display()))?;
    let (mut azure, mut aws) = (BTreeMap::<String, Vec<Type>>::new(), Vec::new());
    for (at, line) in text.lines().enumerate().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let number = |field: &str| match field.parse::<f64>() {
            Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
            _ => Err(format!("understand {} in line {} of {}", field, at + 1, path.display())),
        };
        let [cloud, region, name, cpu, memory, price] = fields[..] else {
            return Err(format!("find six fields in line {} of {}", at + 1, path.display()));
        };
        let t = Type { name: name.into(), cpu: number(cpu)?, memory: number(memory)?, price: number(price)? };
        if cloud == "aws" { aws.push(t) } else { azure.entry(region.into()).or_default().push(t) }
    }
    Ok((azure, aws))
}

/// The price level of each region relative to the base, from the third column of the example's offers.
fn levels(path: &Path, base: f64) -> Result<BTreeMap<String, f64>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("read {}: {error}", path.display()))?;
    let mut levels = BTreeMap::new();
    for (at, line) in text.lines().enumerate().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let price = fields.get(2).and_then(|field| field.parse::<f64>().ok()).filter(|p| p.is_finite());
        let (Some(region), Some(price)) = (fields.get(1), price) else {
            return Err(format!("find a region and a price in line {} of {}", at + 1, path.display()));
        };
        levels.insert((*region).to_owned(), price / base);
    }
    Ok(levels)
}

fn gcp_types() -> Vec<Type> {
    let (per_cpu, per_gib) = GCP_PRICES;
    let of = |(ratio, family): (f64, &str)| {
        let with = move |cpu: u32| {
            let (name, cpu) = (format!("{family}-{cpu}"), f64::from(cpu));
            Type { name, cpu, memory: cpu * ratio, price: cpu * (per_cpu + ratio * per_gib) }
        };
        [1, 2, 4, 8, 16, 32].map(with)
    };
    GCP_FAMILIES.into_iter().flat_map(of).collect()
}
