//! What providers sell, as this node last heard it, and how it becomes facts.
//!
//! It asks and remembers; whether something is bought is the core's decision. A provider that does not answer
//! sells nothing at the moment.

use crate::pose::OfferView;
use rhizo_actuators::{Offer, Provider, RttMatrix, Value as OfferValue};
use rhizo_knowledge::{Knowledge, snapshot::RTT_MS};
use rhizo_types::fact::{Source, Statement, Subject, Value};
use rhizo_types::intent::{AcquireOrder, AttributeValue};
use rhizo_types::spec::Spec;
use rhizo_types::{Number, OfferName, ProviderName, RegionName, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// A provider that has not told its offers by then counts as silent for this round.
const ANSWER_MS_MAX: u64 = 5_000;

/// Most copies of one offer in a problem when the provider does not tell how many there are.
const COPIES_MAX: u32 = 64;

/// What one provider answered.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Offered {
    /// Its offers, and the round-trip times of its catalogue.
    Answer { offers: Vec<Offer>, latencies: Option<RttMatrix> },
    /// Why there is no answer.
    Silent(String),
}

/// The last answers.
#[derive(Default)]
pub(crate) struct Catalogue {
    answers: BTreeMap<ProviderName, Offered>,
}

/// Asks providers what they sell.
pub(crate) async fn ask(providers: Vec<(ProviderName, Arc<dyn Provider>)>) -> Vec<(ProviderName, Offered)> {
    let mut answers = Vec::new();
    let asked: Vec<_> =
        providers.into_iter().map(|(name, provider)| (name, tokio::spawn(ask_one(provider)))).collect();
    for (name, answer) in asked {
        let answer = answer.await.unwrap_or_else(|error| Offered::Silent(error.to_string()));
        answers.push((name, answer));
    }
    answers
}

async fn ask_one(provider: Arc<dyn Provider>) -> Offered {
    let asked = async {
        let offers = provider.offers().await?;
        let latencies = provider.latencies().await?;
        Ok::<_, rhizo_actuators::ProviderError>(Offered::Answer { offers, latencies })
    };
    match timeout(Duration::from_millis(ANSWER_MS_MAX), asked).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => Offered::Silent(crate::error::chain(&error)),
        Err(_) => Offered::Silent(format!("no answer within {ANSWER_MS_MAX} ms")),
    }
}

impl Catalogue {
    /// Takes answers over, as facts too. Returns whether anything differs from before.
    pub(crate) fn take(
        &mut self,
        answers: Vec<(ProviderName, Offered)>,
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
    pub(crate) fn keep(&mut self, providers: &BTreeSet<ProviderName>) {
        self.answers.retain(|provider, _| providers.contains(provider));
    }

    /// Whether each configured provider was asked at least once.
    pub(crate) fn is_complete(&self, spec: &Spec) -> bool {
        spec.providers.keys().all(|provider| self.answers.contains_key(provider))
    }

    /// Providers that did not answer, with the reason.
    pub(crate) fn silent(&self) -> impl Iterator<Item = (&ProviderName, &str)> {
        self.answers.iter().filter_map(|(provider, answer)| match answer {
            Offered::Silent(reason) => Some((provider, reason.as_str())),
            Offered::Answer { .. } => None,
        })
    }

    /// What can be bought now, but for the offers that failed lately.
    pub(crate) fn offers(
        &self,
        spec: &Spec,
        cooling: &BTreeSet<(ProviderName, OfferName)>,
    ) -> Vec<OfferView> {
        let mut views = Vec::new();
        for (provider, answer) in &self.answers {
            let (Offered::Answer { offers, .. }, Some(configured)) = (answer, spec.providers.get(provider))
            else {
                continue;
            };
            for offer in offers {
                let wanted = configured.regions.is_empty() || configured.regions.contains(&offer.region);
                let count_max = offer.available.unwrap_or(COPIES_MAX).min(COPIES_MAX);
                if wanted && count_max > 0 && !cooling.contains(&(provider.clone(), offer.name.clone())) {
                    views.push(OfferView { order: order(provider, offer), count_max });
                }
            }
        }
        views
    }

    /// The currency that providers name their prices in; the first one counts, others are a config's mistake.
    pub(crate) fn currency(&self) -> Option<&str> {
        self.answers.values().find_map(|answer| match answer {
            Offered::Answer { offers, .. } => offers.first().map(|offer| offer.currency.as_str()),
            Offered::Silent(_) => None,
        })
    }

    /// The longest round-trip time of any catalogue, in milliseconds; none when no catalogue has any.
    pub(crate) fn longest_rtt_ms(&self) -> Option<f64> {
        let matrices = self.answers.values().filter_map(|answer| match answer {
            Offered::Answer { latencies, .. } => latencies.as_ref(),
            Offered::Silent(_) => None,
        });
        matrices.flat_map(pairs).map(|(_, _, ms)| ms).reduce(f64::max)
    }
}

/// An offer as an order for one host of it.
pub(crate) fn order(provider: &ProviderName, offer: &Offer) -> AcquireOrder {
    let number = |value: f64| Number::try_from(value).ok();
    AcquireOrder {
        provider: provider.clone(),
        offer: offer.name.clone(),
        region: offer.region.clone(),
        // Providers promise finite prices that are not negative; the cast saturates beyond.
        price_micros_per_hour: (offer.price_per_hour * 1e6).round() as u64,
        capacity: offer
            .capacity
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), number(*value)?)))
            .collect(),
        attributes: offer
            .attributes
            .iter()
            .filter_map(|(name, value)| {
                let value = match value {
                    OfferValue::Number(value) => AttributeValue::Number(number(*value)?),
                    OfferValue::Text(text) => AttributeValue::Text(text.clone()),
                };
                Some((name.clone(), value))
            })
            .collect(),
    }
}

fn statements(provider: &ProviderName, answer: &Offered) -> Vec<Statement> {
    let Offered::Answer { offers, latencies } = answer else { return Vec::new() };
    let mut statements = Vec::new();
    for offer in offers {
        let subject = Subject::Offer(provider.clone(), offer.name.clone());
        for (attribute, value) in &order(provider, offer).attributes {
            let value = match value {
                AttributeValue::Number(number) => Value::Number(*number),
                AttributeValue::Text(text) => Value::Text(text.clone()),
            };
            statements.push(Statement {
                subject: subject.clone(),
                attribute: attribute.clone(),
                value: Some(value),
            });
        }
    }
    for (from, to, ms) in latencies.iter().flat_map(pairs) {
        let subject = Subject::Path(from, to);
        let value = Number::try_from(ms).ok().map(Value::Number);
        statements.push(Statement { subject, attribute: RTT_MS.into(), value });
    }
    statements
}

/// Each pair of regions once, in the order of their names, with itself for the time within a region.
fn pairs(matrix: &RttMatrix) -> Vec<(RegionName, RegionName, f64)> {
    let mut regions = matrix.regions().to_vec();
    regions.sort();
    let mut pairs = Vec::with_capacity(regions.len() * (regions.len() + 1) / 2);
    for (position, from) in regions.iter().enumerate() {
        for to in &regions[position..] {
            if let Some(ms) = matrix.rtt_ms(from, to) {
                pairs.push((from.clone(), to.clone(), ms));
            }
        }
    }
    pairs
}
