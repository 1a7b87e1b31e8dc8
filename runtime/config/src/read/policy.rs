//! The tables of the application as a whole: `app`, `migration`, `optimise`, `budget`, `anchors`.

use crate::document;
use crate::read::Session;
use crate::reader::Node;
use crate::units::Quantity;
use rhizo_types::spec::{Budget, Migration, Optimise};
use rhizo_types::{Number, RegionName};

/// Longest duration in a config: a year. A longer one has a wrong unit.
pub(crate) const DURATION_MS_MAX: u64 = 366 * 86_400_000;

const HOUR_MS: u64 = 3_600_000;

/// Largest hourly budget in millionths of its currency: a billion, far below 2^53, where every whole f64 is exact.
const BUDGET_MICROS_MAX: f64 = 1e15;

/// Longest region or site name: a domain name fits.
const SITE_LENGTH_MAX: usize = 253;

/// The `[app]` table.
pub(crate) struct App {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) orphan_after_ms: u64,
}

impl Session<'_> {
    pub(crate) fn app(&mut self, node: Option<Node<'_>>) -> App {
        let mut app = App { name: String::new(), version: "0".to_owned(), orphan_after_ms: 24 * HOUR_MS };
        let Some(node) = node else {
            self.reader
                .findings
                .error(0..0, "missing table `[app]`")
                .hint("add `[app]` with `name = \"…\"`: the name of the application and of its overlay");
            return app;
        };
        let Some(mut table) = self.reader.table(&node) else { return app };
        let name = self.reader.required(&mut table, "name", "the name of the application and of its overlay");
        if let Some(name) = name.and_then(|node| self.reader.text(&node)) {
            self.check_name(name.text, &name.span, "application");
            app.name = name.text.to_owned();
        }
        if let Some(version) = table.take("version").and_then(|node| self.reader.text(&node))
            && self.check_text(&version, 128)
        {
            app.version = version.text.to_owned();
        }
        if let Some(ms) =
            table.take("orphan_after").and_then(|node| self.reader.duration_ms(&node, 0, DURATION_MS_MAX))
        {
            app.orphan_after_ms = ms;
        }
        self.reader.finish::<document::App>(table);
        app
    }

    pub(crate) fn migration(&mut self, node: Option<Node<'_>>) -> Migration {
        // One percent of utility for a new host: noise in measurements does not cause moves, and repairs stay cheap.
        let add = Number::try_from(0.01).unwrap_or(Number::ZERO);
        let mut migration = Migration { add, remove: Number::ZERO };
        let Some(mut table) = node.and_then(|node| self.reader.table(&node)) else { return migration };
        for (name, field) in [("add", &mut migration.add), ("remove", &mut migration.remove)] {
            let Some(node) = table.take(name) else { continue };
            if let Some(value) = self.share(&node, "a cost") {
                *field = value;
            }
        }
        self.reader.finish::<document::Migration>(table);
        migration
    }

    /// A number that is not negative, in the unit of utility. More than 1 is probably a mistake.
    fn share(&mut self, node: &Node<'_>, what: &str) -> Option<Number> {
        let value = self.reader.number(node)?;
        if value < Number::ZERO {
            self.reader
                .findings
                .error(node.span.clone(), format!("{what} must not be negative"))
                .hint("write 0 or more");
            return None;
        }
        if value > Number::ONE {
            self.reader
                .findings
                .warning(node.span.clone(), "more than all the utility there is: nothing is ever moved")
                .hint("the unit is utility, 0 to 1: 0.012 is 1.2 %");
        }
        Some(value)
    }

    pub(crate) fn optimise(&mut self, node: Option<Node<'_>>) -> Optimise {
        let mut optimise = Optimise {
            every_ms: 60_000,
            min_gain: Number::ZERO,
            max_moves: None,
            settle_ms: 300_000,
            deadline_ms: 2_000,
        };
        let Some(node) = node else { return optimise };
        let Some(mut table) = self.reader.table(&node) else { return optimise };
        if let Some(ms) =
            table.take("every").and_then(|node| self.reader.duration_ms(&node, 100, DURATION_MS_MAX))
        {
            optimise.every_ms = ms;
        }
        if let Some(gain) = table.take("min_gain").and_then(|node| self.share(&node, "the least gain")) {
            optimise.min_gain = gain;
        }
        optimise.max_moves = table.take("max_moves").and_then(|node| self.reader.whole(&node, 0, 1_000_000));
        if let Some(ms) =
            table.take("settle").and_then(|node| self.reader.duration_ms(&node, 0, DURATION_MS_MAX))
        {
            optimise.settle_ms = ms;
        }
        let deadline = table.take("deadline");
        let place = deadline.as_ref().map_or(table.place.clone(), |node| node.span.clone());
        if let Some(ms) = deadline.and_then(|node| self.reader.duration_ms(&node, 10, HOUR_MS)) {
            optimise.deadline_ms = ms;
        } else {
            // The default must not outlast a short period that the user chose.
            optimise.deadline_ms = optimise.deadline_ms.min(optimise.every_ms);
        }
        if optimise.deadline_ms > optimise.every_ms {
            self.reader
                .findings
                .error(place, "a solver run may take longer than the time between two looks")
                .hint("make `deadline` at most `every`");
        }
        self.reader.finish::<document::Optimise>(table);
        optimise
    }

    pub(crate) fn budget(&mut self, node: &Node<'_>) -> Option<Budget> {
        let mut table = self.reader.table(node)?;
        if let Some(currency) = table.take("currency").and_then(|node| self.reader.text(&node)) {
            if currency.text.len() == 3 && currency.text.bytes().all(|byte| byte.is_ascii_uppercase()) {
                self.currency = currency.text.to_owned();
            } else {
                self.reader
                    .findings
                    .error(currency.span, "the currency is not a code of three capital letters")
                    .hint("write a code such as \"USD\" or \"EUR\"");
            }
        }
        let limit =
            self.reader.required(&mut table, "max_hourly", "the most that all hosts may cost per hour");
        let max_hourly = limit.and_then(|node| {
            let value = self.reader.quantity(&node, Quantity::MONEY)?;
            if value < 0.0 {
                self.reader
                    .findings
                    .error(node.span.clone(), "the budget must not be negative")
                    .hint("remove `[budget]` for no limit");
                return None;
            }
            // Prices are kept in millionths.
            let micros = value * 1e6;
            if micros > BUDGET_MICROS_MAX || (micros - micros.round()).abs() > 1e-6 * micros.max(1.0) {
                self.reader
                    .findings
                    .error(node.span.clone(), "the budget cannot be kept exactly")
                    .hint("write at most 1000000000, with at most six decimal places");
                return None;
            }
            Number::try_from(value).ok()
        });
        self.reader.finish::<document::Budget>(table);
        Some(Budget { currency: self.currency.clone(), max_hourly: max_hourly? })
    }

    pub(crate) fn anchors(&mut self, node: &Node<'_>) -> Vec<RegionName> {
        // Set even if the table is wrong, so that rules that use anchors are not reported too.
        self.has_anchors = true;
        let Some(mut table) = self.reader.table(node) else { return Vec::new() };
        let sites = self.reader.required(&mut table, "sites", "regions or addresses of users");
        let mut anchors: Vec<RegionName> = Vec::new();
        if let Some(node) = sites {
            let texts = self.reader.texts(&node);
            if texts.as_ref().is_some_and(Vec::is_empty) {
                self.reader
                    .findings
                    .error(node.span.clone(), "there is no site")
                    .hint("remove `[anchors]` or name one");
            }
            for site in texts.unwrap_or_default() {
                if let Some(name) = self.region(&site) {
                    if anchors.contains(&name) {
                        self.reader
                            .findings
                            .error(site.span, format!("the site `{name}` is listed twice"))
                            .hint("remove one of them");
                    } else {
                        anchors.push(name);
                    }
                }
            }
        }
        self.reader.finish::<document::Anchors>(table);
        anchors
    }

    /// A region or site name: not empty, short, without spaces or control characters.
    pub(crate) fn region(&mut self, text: &crate::reader::Text<'_>) -> Option<RegionName> {
        let wrong = match text.text {
            "" => Some("the name is empty"),
            name if name.len() > SITE_LENGTH_MAX => Some("the name is longer than a domain name"),
            name if name.chars().any(|c| c.is_whitespace() || c.is_control()) => {
                Some("the name contains a space")
            }
            _ => None,
        };
        if let Some(wrong) = wrong {
            self.reader
                .findings
                .error(text.span.clone(), wrong)
                .hint("write the name of a region as the provider's catalogue has it, such as \"eu-1\"");
            return None;
        }
        Some(RegionName(text.text.to_owned()))
    }
}
