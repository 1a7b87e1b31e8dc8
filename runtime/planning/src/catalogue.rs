//! The offers of all providers, as each provider last answered, and the offers that can be ordered now.
//!
//! Plain data: the shell requests the offers and passes the answers in. Facts of offers and of the paths between
//! regions go to the knowledge base. The core decides whether a host is ordered.

use rhizo_knowledge::{Knowledge, snapshot::RTT_MS};
use rhizo_protocol::{Cooling, SolveRequest};
use rhizo_types::fact::{SensorKind, Source, Statement, Subject};
use rhizo_types::intent::AcquireOrder;
use rhizo_types::spec::Spec;
use rhizo_types::{AttributeName, Number, ProviderName, RegionName, Time, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Why an offer cannot be ordered now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Withheld {
    /// An order for it failed a short time ago.
    Cooling(Cooling),
    /// The API of its provider does not answer.
    ProviderFails,
    /// The provider says that it has none.
    SoldOut,
    /// The config limits the provider to other regions.
    OtherRegion,
}

/// The most hosts that one configuration can use: one for each copy.
pub(crate) fn hosts_max(spec: &Spec) -> u32 {
    let copies = spec.components.values().map(|component| component.replicas.max);
    copies.fold(0, u32::saturating_add).max(1)
}

/// A kind of host that a provider sells.
#[derive(Clone, PartialEq, Debug)]
pub struct Offering {
    /// The order for one host of it.
    pub order: AcquireOrder,
    /// Number of hosts that can be ordered now; none when the provider does not say.
    pub available: Option<u32>,
    /// Code of the currency that prices are in.
    pub currency: String,
}

/// A round-trip time between two regions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathTime {
    /// The region that comes first by name.
    pub from: RegionName,
    /// The other region; the same one for the time within a region.
    pub to: RegionName,
    /// In milliseconds.
    pub ms: Number,
}

/// The answer of one provider.
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// The provider sells these offers.
    Sells {
        /// Its offers.
        offers: Vec<Offering>,
        /// Round-trip times between its regions, each pair once.
        paths: Vec<PathTime>,
    },
    /// It did not answer, for this reason.
    Silent(String),
}

/// The last answer of every provider.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Catalogue {
    answers: BTreeMap<ProviderName, Answer>,
}

/// An offer that can be ordered now.
#[derive(Clone, PartialEq, Debug)]
pub struct Buyable {
    /// The order for one host of it.
    pub order: AcquireOrder,
    /// The most hosts of this offer that can be bought.
    pub count_max: u32,
}

impl Catalogue {
    /// Stores answers, and their facts too. Returns true if anything differs from before.
    pub fn take(
        &mut self,
        answers: Vec<(ProviderName, Answer)>,
        knowledge: &mut Knowledge,
        now: Time,
    ) -> bool {
        let mut changed = false;
        for (provider, answer) in answers {
            if self.answers.get(&provider) == Some(&answer) {
                continue;
            }
            changed = true;
            let statements = statements(&provider, &answer);
            knowledge.take_catalogue(&Source::Catalogue(provider.clone()), &statements, now);
            self.answers.insert(provider, answer);
        }
        changed
    }

    /// Forgets providers that are not configured any more.
    pub fn keep(&mut self, providers: &BTreeSet<ProviderName>) {
        self.answers.retain(|provider, _| providers.contains(provider));
    }

    /// The configured providers that were never asked.
    pub fn unasked<'a>(&'a self, spec: &'a Spec) -> impl Iterator<Item = &'a ProviderName> {
        spec.providers.keys().filter(|provider| !self.answers.contains_key(*provider))
    }

    /// Providers that did not answer, with the reason.
    pub fn silent(&self) -> impl Iterator<Item = (&ProviderName, &str)> {
        self.answers.iter().filter_map(|(provider, answer)| match answer {
            Answer::Silent(reason) => Some((provider, reason.as_str())),
            Answer::Sells { .. } => None,
        })
    }

    /// Every offer of the configured regions.
    pub fn offers<'a>(&'a self, spec: &'a Spec) -> impl Iterator<Item = &'a Offering> {
        let sold = self.answers.iter().filter_map(|(provider, answer)| match answer {
            Answer::Sells { offers, .. } => Some((spec.providers.get(provider)?, offers)),
            Answer::Silent(_) => None,
        });
        sold.flat_map(|(configured, offers)| {
            offers.iter().filter(|offer| {
                configured.regions.is_empty() || configured.regions.contains(&offer.order.region)
            })
        })
    }

    /// Every offer of the configured providers, with the reason why it cannot be ordered now, if there is one.
    pub(crate) fn judged<'a>(
        &'a self,
        request: &'a SolveRequest,
    ) -> impl Iterator<Item = (&'a Offering, Option<Withheld>)> {
        let sold = self.answers.iter().filter_map(|(provider, answer)| match answer {
            Answer::Sells { offers, .. } => Some((request.spec.providers.get(provider)?, offers)),
            Answer::Silent(_) => None,
        });
        sold.flat_map(|(provider, offers)| offers.iter().map(move |offer| (provider, offer))).map(
            |(provider, offer)| {
                let order = &offer.order;
                let key = (order.provider.clone(), order.offer.clone());
                let withheld = if !provider.regions.is_empty() && !provider.regions.contains(&order.region) {
                    Some(Withheld::OtherRegion)
                } else if request.failing.contains(&order.provider) {
                    Some(Withheld::ProviderFails)
                } else if let Some(cooling) = request.cooling.get(&key) {
                    Some(Withheld::Cooling(cooling.clone()))
                } else {
                    (offer.available == Some(0)).then_some(Withheld::SoldOut)
                };
                (offer, withheld)
            },
        )
    }

    /// The offers that can be ordered now: neither cooling down, nor sold out, nor of a provider that fails.
    /// None when the request allows no order.
    #[must_use]
    pub fn buyable(&self, request: &SolveRequest) -> Vec<Buyable> {
        let hosts_max = hosts_max(&request.spec);
        let may_order = request.terms.orders_max != Some(0);
        let possible = self.judged(request).filter(|(_, withheld)| may_order && withheld.is_none());
        let buyable = possible.map(|(offer, _)| Buyable {
            order: offer.order.clone(),
            count_max: offer.available.unwrap_or(hosts_max).min(hosts_max),
        });
        buyable.collect()
    }

    /// The present price of a host of an offer, in millionths per hour; none when the offer is not sold any more.
    #[must_use]
    pub fn price_micros(&self, order: &AcquireOrder) -> Option<u64> {
        let Answer::Sells { offers, .. } = self.answers.get(&order.provider)? else { return None };
        let offer = offers.iter().find(|offer| offer.order.offer == order.offer)?;
        Some(offer.order.price_micros_per_hour)
    }

    /// The currency of the first offer. The config refuses providers of different currencies.
    #[must_use]
    pub fn currency(&self) -> Option<&str> {
        self.answers.values().find_map(|answer| match answer {
            Answer::Sells { offers, .. } => offers.first().map(|offer| offer.currency.as_str()),
            Answer::Silent(_) => None,
        })
    }

    /// The longest round-trip time of any catalogue, in milliseconds; none when no catalogue has any.
    #[must_use]
    pub fn longest_rtt_ms(&self) -> Option<f64> {
        let paths = self.answers.values().flat_map(|answer| match answer {
            Answer::Sells { paths, .. } => paths.as_slice(),
            Answer::Silent(_) => &[],
        });
        paths.map(|path| path.ms).max().map(Number::get)
    }
}

fn statements(provider: &ProviderName, answer: &Answer) -> Vec<Statement> {
    let Answer::Sells { offers, paths } = answer else { return Vec::new() };
    let mut statements = Vec::new();
    for offer in offers {
        let subject = Subject::Offer(provider.clone(), offer.order.offer.clone());
        let order = &offer.order;
        let stated = |attribute: AttributeName, value: Value| Statement {
            subject: subject.clone(),
            attribute,
            value: Some(value),
            sensor: SensorKind::Catalogue,
        };
        let number = |name: &str, number: Number| stated(name.into(), Value::Number(number));
        statements
            .extend(Number::try_from(order.price_micros_per_hour as f64 / 1e6).map(|n| number("price", n)));
        statements.extend(offer.available.map(|count| number("available", Number::from(count))));
        // The capacity is no fact of the offer: a host that was bought keeps its own.
        statements.extend(order.attributes.iter().map(|(name, value)| stated(name.clone(), value.clone())));
    }
    statements.extend(paths.iter().map(|path| Statement {
        subject: Subject::Path(path.from.clone(), path.to.clone()),
        attribute: RTT_MS.into(),
        value: Some(Value::Number(path.ms)),
        sensor: SensorKind::Catalogue,
    }));
    statements
}
