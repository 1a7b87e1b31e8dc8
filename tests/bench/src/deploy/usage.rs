//! Processor time and memory of a process of this machine, from `/proc`.

/// Ticks per second in `/proc`, which is 100 on every Linux.
const TICKS_PER_S: f64 = 100.0;

/// Processor time and resident memory of a process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Usage {
    /// User and system time since it began, in seconds.
    pub(super) cpu_s: f64,
    /// The largest resident set it ever had, in bytes.
    pub(super) rss_max_bytes: u64,
    /// Its resident set now, in bytes.
    pub(super) rss_bytes: u64,
}

impl Usage {
    /// Reads what a process has used.
    pub(super) fn of(pid: u32) -> Result<Self, String> {
        let read = |name: &str| {
            let path = format!("/proc/{pid}/{name}");
            std::fs::read_to_string(&path).map_err(|error| format!("read {path}: {error}"))
        };
        let stat = read("stat")?;
        // The name of the program may have spaces; it ends with the last parenthesis.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: f64 = fields.iter().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
        let status = read("status")?;
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
            kib.map(|kib| kib * 1_024).ok_or_else(|| format!("find the memory of process {pid}"))
        };
        Ok(Self { cpu_s: ticks / TICKS_PER_S, rss_max_bytes: bytes("VmHWM:")?, rss_bytes: bytes("VmRSS:")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_lives_has_memory_and_one_that_does_not_is_an_error() {
        let own = Usage::of(std::process::id()).unwrap();
        assert!(own.rss_bytes > 0 && own.rss_max_bytes >= own.rss_bytes, "{own:?}");
        assert!(Usage::of(0).is_err());
    }
}
