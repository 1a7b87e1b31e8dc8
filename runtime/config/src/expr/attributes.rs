//! The attributes of nodes that the expressions of one config use, and their types.
//!
//! A few names are known to every provider and sensor, with their types. Others come from data files and from
//! the application's own sensors, so an unknown name is accepted: its type follows from its first use, and
//! every later use must agree.

use crate::finding::{Findings, Span};
use crate::suggest;
use crate::units::Quantity;
use rhizo_types::AttributeName;
use std::collections::BTreeMap;

/// The kind of an attribute's values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AttributeKind {
    /// A number; its quantity is known for well-known names only.
    Number(Option<Quantity>),
    /// A text.
    Text,
}

/// The attributes that every provider or host sensor supplies, with their kinds.
pub const WELL_KNOWN: &[(&str, AttributeKind, &str)] = &[
    ("provider", AttributeKind::Text, "the configured provider's name"),
    ("region", AttributeKind::Text, "the region, as the provider's catalogue spells it"),
    ("zone", AttributeKind::Text, "the zone within the region"),
    ("offer", AttributeKind::Text, "the name of what was bought"),
    ("arch", AttributeKind::Text, "processor architecture"),
    ("price", AttributeKind::Number(Some(Quantity::MONEY)), "price per hour"),
    ("cpu", AttributeKind::Number(Some(Quantity::PLAIN)), "cores"),
    ("cpu_free", AttributeKind::Number(Some(Quantity::PLAIN)), "share of the processor that is idle, 0..1"),
    ("cpu_ghz", AttributeKind::Number(Some(Quantity::PLAIN)), "clock rate"),
    ("load1", AttributeKind::Number(Some(Quantity::PLAIN)), "load average over 1 minute"),
    ("load5", AttributeKind::Number(Some(Quantity::PLAIN)), "load average over 5 minutes"),
    ("load15", AttributeKind::Number(Some(Quantity::PLAIN)), "load average over 15 minutes"),
    ("memory", AttributeKind::Number(Some(Quantity::BYTES)), "memory"),
    ("memory_free", AttributeKind::Number(Some(Quantity::BYTES)), "memory that is available"),
    ("disk", AttributeKind::Number(Some(Quantity::BYTES)), "disk"),
    ("disk_free", AttributeKind::Number(Some(Quantity::BYTES)), "disk that is available"),
];

/// The attributes that a running copy has without a sensor of the config, with their kinds.
pub const WELL_KNOWN_OF_COPIES: &[(&str, AttributeKind, &str)] = &[
    ("cpu", AttributeKind::Number(Some(Quantity::PLAIN)), "cores in use"),
    ("memory", AttributeKind::Number(Some(Quantity::BYTES)), "memory in use"),
    ("fds", AttributeKind::Number(Some(Quantity::PLAIN)), "open file descriptors"),
];

/// The base unit of an attribute of a copy, or else of a node or link; empty for a plain number, a text, and an attribute
/// that nothing declares.
#[must_use]
pub fn unit_of(attribute: &AttributeName, is_of_copy: bool) -> &'static str {
    let known = if is_of_copy { WELL_KNOWN_OF_COPIES } else { WELL_KNOWN };
    match known.iter().find(|(name, ..)| *name == attribute.as_str()) {
        Some((_, AttributeKind::Number(Some(quantity)), _)) => quantity.base_unit(),
        Some(_) => "",
        // The attributes of links and paths are named after their unit.
        None if attribute.as_str().ends_with("_ms") => Quantity::TIME.base_unit(),
        None => "",
    }
}

/// The use of one attribute.
#[derive(Clone, Debug)]
pub(crate) struct Use {
    /// The kind that its uses need; none if they fit any kind.
    pub(crate) kind: Option<AttributeKind>,
    /// The place of its first use, or of the first that needs a kind.
    pub(crate) span: Span,
}

/// Shorter names are never reported as misspellings of others.
const SLIP_LENGTH_MIN: usize = 5;

/// All attributes used so far.
#[derive(Default, Debug)]
pub(crate) struct Attributes {
    pub(crate) uses: BTreeMap<AttributeName, Use>,
}

impl Attributes {
    /// The kind of a well-known name.
    pub(crate) fn well_known(name: &str) -> Option<AttributeKind> {
        WELL_KNOWN.iter().find(|(known, ..)| *known == name).map(|(_, kind, _)| *kind)
    }

    /// Records a use that fits any kind.
    pub(crate) fn mention(&mut self, name: &AttributeName, span: &Span) {
        let kind = Self::well_known(name.as_str());
        self.uses.entry(name.clone()).or_insert_with(|| Use { kind, span: span.clone() });
    }

    /// Records a use as `kind`. Returns false and adds an error if an earlier use needs another kind.
    pub(crate) fn settle(
        &mut self,
        name: &AttributeName,
        kind: AttributeKind,
        span: &Span,
        findings: &mut Findings,
    ) -> bool {
        self.mention(name, span);
        let Some(known) = self.uses.get_mut(name) else { return true };
        let Some(earlier) = known.kind else {
            known.kind = Some(kind);
            known.span = span.clone();
            return true;
        };
        let agree = matches!(
            (earlier, kind),
            (AttributeKind::Text, AttributeKind::Text) | (AttributeKind::Number(_), AttributeKind::Number(_))
        );
        if !agree {
            let (is, used) = match kind {
                AttributeKind::Text => ("a number", "a text"),
                AttributeKind::Number(_) => ("a text", "a number"),
            };
            let draft = findings.error(span.clone(), format!("`node.{name}` is {is}, not {used}"));
            if Self::well_known(name.as_str()).is_none() {
                draft.label(known.span.clone(), format!("used as {is} here"));
            }
        }
        agree
    }

    /// Warns of names that look like a misspelling of a well-known name, or of one that is used elsewhere.
    pub(crate) fn warn_of_slips(&self, findings: &mut Findings) {
        for (name, used) in &self.uses {
            let name = name.as_str();
            // Short names often differ by one letter: `gpu` is no misspelling of `cpu`.
            if Self::well_known(name).is_some() || name.chars().count() < SLIP_LENGTH_MIN {
                continue;
            }
            let others =
                WELL_KNOWN.iter().map(|(known, ..)| *known).filter(|known| !same_but_digits(name, known));
            if let Some(near) = suggest::nearest(name, others) {
                findings
                    .warning(used.span.clone(), format!("`{name}` is not a well-known property of a node"))
                    .hint(format!("did you mean `{near}`? If not, a provider or sensor must supply it"));
            }
        }
    }
}

/// Whether two names differ in their digits only, as `load1` and `load10` do; usually on purpose.
fn same_but_digits(one: &str, other: &str) -> bool {
    let letters = |name: &str| name.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    letters(one) == letters(other)
}
