//! The usual slips, and the form that was meant: fields, units and kinds of other tools, values of a neighbouring type.
//!
//! Only remedies, as texts for the hint of a finding; whether something is wrong is decided by the readers.

use toml::de::DeValue;

/// Names of fields in other tools or in older habits, each with the form to write here.
pub(crate) type Foreign = &'static [(&'static str, &'static str)];

const IMPORT: &str = "write an import, such as `imports.db = { from = \"db.sql\" }`: a copy starts after its mandatory imports";
const VOLUMES: &str =
    "write `state = \"pinned\"` for data that is kept on its host; the program writes it to `{data}`";
const IMAGE: &str = "name a program with `exec = \"…\"`: containers are not run yet";
const PORTS: &str = "write `exports.http = { port = 8080 }`, or `exports.http = {}` to have a port allocated";
const ENV: &str = "write `env = { NAME = \"value\" }`";
const EXEC: &str = "write `exec = \"program argument\"` or `exec = [\"program\", \"argument\"]`";
const REPLICAS: &str = "write `replicas = 3` or `replicas = { min = 2, max = 4 }`";
const NEEDS: &str = "write `needs = { cpu = 0.5, memory = \"256MiB\" }`";
const HEALTH: &str = "write `health = { http = \"EXPORT:/path\" }`";
const RESTART: &str = "remove it: a copy that fails is always restarted, after growing waits";
const RULE: &str =
    "write a rule, such as `[[require]]` with `each = \"web\"` and `expr = \"node.region == \\\"eu\\\"\"`";
const STOP: &str = "write `stop = { signal = \"TERM\", grace = \"10s\" }`";
const FOLDER: &str =
    "let a shell change the folder: `exec = [\"sh\", \"-c\", \"cd FOLDER && exec PROGRAM\"]`";

/// At the top of the document.
pub(crate) const ROOT: Foreign = &[
    ("services", "write a table for each component: `[components.web]`"),
    ("service", "write a table for each component: `[components.web]`"),
    ("component", "write `[components.NAME]`"),
    ("provider", "write `[providers.NAME]`"),
    ("offers", "write it in a provider: `[providers.NAME]` with `offers = \"offers.csv\"`"),
    ("requires", "write `[[require]]` for each rule"),
    ("rules", "write `[[require]]` for each rule"),
    ("constraints", "write `[[require]]` for each rule"),
    ("utilities", "write `[[utility]]` for each utility"),
    ("goals", "write `[[utility]]` for each utility"),
    ("name", "write it in the table of the application: `[app]` with `name = \"…\"`"),
    (
        "version",
        "write `rhizo = 1` for the version of the language, and `version` in `[app]` for the application's",
    ),
    ("env", "write it in a component: `[components.NAME]` with `env = { NAME = \"value\" }`"),
    ("networks", "remove it: imports connect components"),
    ("volumes", VOLUMES),
];

/// In a component.
pub(crate) const COMPONENT: Foreign = &[
    ("depends_on", IMPORT),
    ("depends", IMPORT),
    ("requires", IMPORT),
    ("needs_components", IMPORT),
    ("links", IMPORT),
    ("networks", "remove it: imports connect components"),
    ("volumes", VOLUMES),
    ("volume", VOLUMES),
    ("mounts", VOLUMES),
    ("image", IMAGE),
    ("build", IMAGE),
    ("ports", PORTS),
    ("port", PORTS),
    ("expose", PORTS),
    ("listen", PORTS),
    ("environment", ENV),
    ("envs", ENV),
    ("command", EXEC),
    ("cmd", EXEC),
    ("entrypoint", EXEC),
    ("program", EXEC),
    ("run", EXEC),
    ("args", EXEC),
    ("arguments", EXEC),
    ("instances", REPLICAS),
    ("scale", REPLICAS),
    ("count", REPLICAS),
    ("copies", REPLICAS),
    ("min", REPLICAS),
    ("max", REPLICAS),
    ("resources", NEEDS),
    ("limits", NEEDS),
    ("requests", NEEDS),
    ("cpu", NEEDS),
    ("cpus", NEEDS),
    ("memory", NEEDS),
    ("mem", NEEDS),
    ("healthcheck", HEALTH),
    ("health_check", HEALTH),
    ("probe", HEALTH),
    ("liveness", HEALTH),
    ("readiness", HEALTH),
    ("restart", RESTART),
    ("restart_policy", RESTART),
    ("placement", RULE),
    ("affinity", RULE),
    ("constraints", RULE),
    ("region", RULE),
    ("regions", RULE),
    ("stop_signal", STOP),
    ("stop_grace_period", STOP),
    ("grace", STOP),
    ("working_dir", FOLDER),
    ("workdir", FOLDER),
    ("cwd", FOLDER),
    ("user", "remove it: programs run as the user who runs rhizo"),
    ("labels", "write `attributes = { NAME = \"text\" }`"),
];

/// In an export.
pub(crate) const EXPORT: Foreign = &[
    ("target_port", "write `port`: the program listens on the port that others reach"),
    ("host_port", "write `port`: the program listens on the port that others reach"),
    ("container_port", "write `port`: the program listens on the port that others reach"),
    ("protocol", "remove it: exports carry TCP, and UDP is not relayed"),
    ("udp", "remove it: exports carry TCP, and UDP is not relayed"),
    ("address", "remove it: a copy listens on the address of its host, `{export.NAME.addr}`"),
    ("host", "remove it: a copy listens on the address of its host, `{export.NAME.addr}`"),
];

/// In an import.
pub(crate) const IMPORTED: Foreign = &[
    ("component", "write `from = \"component.export\"`"),
    ("service", "write `from = \"component.export\"`"),
    ("export", "write `from = \"component.export\"`"),
    ("required", "write `optional = true` for an import that need not be there"),
    ("mandatory", "write `optional = true` for an import that need not be there"),
];

/// In a health check.
pub(crate) const CHECKED: Foreign = &[
    ("interval", "write `every = \"5s\"`"),
    ("period", "write `every = \"5s\"`"),
    ("retries", "write `fail_after = 3`"),
    ("threshold", "write `fail_after = 3`"),
    ("url", "write `http = \"EXPORT:/path\"`"),
    ("path", "write `http = \"EXPORT:/path\"`"),
    ("port", "write `tcp = \"EXPORT\"`, or `http = \"EXPORT:/path\"`"),
    ("test", "write `exec = \"…\"`"),
    ("command", "write `exec = \"…\"`"),
];

/// In a budget.
pub(crate) const SPENT: Foreign = &[
    ("max", "write `max_hourly = 1.5`: the sum of the prices of all hosts per hour"),
    ("limit", "write `max_hourly = 1.5`: the sum of the prices of all hosts per hour"),
    ("hourly", "write `max_hourly = 1.5`: the sum of the prices of all hosts per hour"),
    ("monthly", "write `max_hourly`: the month's budget divided by 730"),
];

/// The remedy for a foreign name.
pub(crate) fn remedy(foreign: Foreign, name: &str) -> Option<&'static str> {
    foreign.iter().find(|(known, _)| *known == name).map(|(_, remedy)| *remedy)
}

/// Whether a foreign field is written in place of the field `name`.
pub(crate) fn stands_for(foreign: &str, name: &str) -> bool {
    let lists = [ROOT, COMPONENT, EXPORT, IMPORTED, CHECKED, SPENT];
    lists.iter().any(|list| remedy(list, foreign).is_some_and(|remedy| remedy.contains(name)))
}

/// The remedy for a value of the wrong type, if its content suggests one.
pub(crate) fn other_type(expected: &str, value: &DeValue<'_>) -> Option<String> {
    match (expected, value) {
        ("a whole number" | "a number", DeValue::String(text)) if text.trim().parse::<f64>().is_ok() => {
            Some(format!("remove the quotes: `{}`", text.trim()))
        }
        ("a whole number", DeValue::Float(number)) => {
            let value: f64 = number.as_str().parse().ok()?;
            Some(format!("write a whole number, such as `{}`", value.ceil()))
        }
        ("a text", DeValue::Integer(number)) => Some(format!("write it in quotes: \"{}\"", number.as_str())),
        ("a text", DeValue::Float(number)) => Some(format!("write it in quotes: \"{}\"", number.as_str())),
        ("a text", DeValue::Boolean(value)) => Some(format!("write it in quotes: \"{value}\"")),
        ("`true` or `false`", DeValue::String(text)) => match text.to_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some("write `true`, without quotes".to_owned()),
            "false" | "no" | "off" | "0" => Some("write `false`, without quotes".to_owned()),
            _ => Some("write `true` or `false`, without quotes".to_owned()),
        },
        ("an array", DeValue::String(text)) => Some(format!("write a list: `[\"{}\"]`", text.escape_debug())),
        _ => None,
    }
}

/// The remedy for a unit that other tools know.
pub(crate) fn unit(number: &str, unit: &str) -> Option<String> {
    let bytes = match unit {
        "K" | "k" | "Ki" | "KB" => "KiB",
        "M" | "Mi" | "mb" | "Mb" => "MiB",
        "G" | "Gi" | "gb" | "Gb" | "g" => "GiB",
        "T" | "Ti" => "TiB",
        "sec" | "secs" | "second" | "seconds" => return Some(format!("write \"{number}s\"")),
        "minute" | "minutes" | "mins" => return Some(format!("write \"{number}min\"")),
        "hour" | "hours" | "hr" => return Some(format!("write \"{number}h\"")),
        "day" | "days" => return Some(format!("write \"{number}d\"")),
        "USD" | "EUR" | "GBP" | "usd" | "eur" | "gbp" => {
            let code = unit.to_ascii_uppercase();
            return Some(format!("write the number alone, and `currency = \"{code}\"` in `[budget]`"));
        }
        "c" | "core" | "cores" | "vcpu" | "vCPU" => {
            return Some(format!("write the number of cores alone: `{number}`"));
        }
        _ => return None,
    };
    Some(format!("write \"{number}{bytes}\", a multiple of 1024, or use kB, MB, GB for multiples of 1000"))
}

/// The form of a health check for a URL or a path that was given in place of it; `export` is an export to name.
pub(crate) fn health(text: &str, export: Option<&str>) -> String {
    let export = export.unwrap_or("EXPORT");
    let after_scheme = text.split_once("://").map_or(text, |(_, rest)| rest);
    let (place, path) = match after_scheme.find('/') {
        Some(slash) => after_scheme.split_at(slash),
        None => (after_scheme, "/"),
    };
    let port = place.rsplit_once(':').map(|(_, port)| port).filter(|port| port.parse::<u16>().is_ok());
    match port {
        Some(port) if text.contains("://") || !place.starts_with(':') => {
            format!("write `http = \":{port}{path}\"`, or name the export: `http = \"{export}:{path}\"`")
        }
        _ => format!("name the export: `http = \"{export}:{path}\"`"),
    }
}

/// The form of a range of copies that was written as a text.
pub(crate) fn replicas(text: &str) -> String {
    for between in ["..=", "..", "-", ":", ","] {
        if let Some((min, max)) = text.split_once(between)
            && let (Ok(min), Ok(max)) = (min.trim().parse::<u32>(), max.trim().parse::<u32>())
        {
            return format!("write `replicas = {{ min = {min}, max = {max} }}`");
        }
    }
    match text.trim().parse::<u32>() {
        Ok(count) => format!("remove the quotes: `replicas = {count}`"),
        Err(_) => REPLICAS.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_becomes_an_export_or_a_port_and_a_path() {
        let url = health("http://localhost:8080/healthz", Some("web"));
        assert_eq!(url, "write `http = \":8080/healthz\"`, or name the export: `http = \"web:/healthz\"`");
        assert_eq!(health("/healthz", None), "name the export: `http = \"EXPORT:/healthz\"`");
    }

    #[test]
    fn a_range_in_a_text_becomes_a_table() {
        assert_eq!(replicas("2-4"), "write `replicas = { min = 2, max = 4 }`");
        assert_eq!(replicas("3"), "remove the quotes: `replicas = 3`");
        assert_eq!(replicas("many"), REPLICAS);
    }
}
