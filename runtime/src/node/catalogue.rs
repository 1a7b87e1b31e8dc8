//! Requests the offers of providers, and converts their answers into planning's form.
//!
//! A provider that does not answer in time sells nothing until the next round. [`rhizo_planning::Catalogue`] keeps
//! the answers. The core decides whether a host is ordered.

use rhizo_actuators::{Offer, Provider, RttMatrix};
use rhizo_planning::{Answer, Offering, PathTime};
use rhizo_types::intent::AcquireOrder;
use rhizo_types::{Number, ProviderName};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Time after which a provider that has not answered counts as silent for this round.
///
/// A solver run waits for the answers, so that a provider without an answer delays a repair by this time at most.
const ANSWER_MS_MAX: u64 = 5_000;

/// Requests the offers of the given providers.
pub(crate) async fn ask(providers: Vec<(ProviderName, Arc<dyn Provider>)>) -> Vec<(ProviderName, Answer)> {
    let mut answers = Vec::new();
    let begin = |(name, provider): (ProviderName, Arc<dyn Provider>)| {
        (name.clone(), tokio::spawn(ask_one(name, provider)))
    };
    let asked: Vec<_> = providers.into_iter().map(begin).collect();
    for (name, answer) in asked {
        let answer = answer.await.unwrap_or_else(|error| Answer::Silent(error.to_string()));
        answers.push((name, answer));
    }
    answers
}

async fn ask_one(name: ProviderName, provider: Arc<dyn Provider>) -> Answer {
    let asked = async {
        let offers = provider.offers().await?;
        let latencies = provider.latencies().await?;
        Ok::<_, rhizo_actuators::ProviderError>((offers, latencies))
    };
    match timeout(Duration::from_millis(ANSWER_MS_MAX), asked).await {
        Ok(Ok((offers, latencies))) => Answer::Sells {
            offers: offers.iter().map(|offer| offering(&name, offer)).collect(),
            paths: latencies.iter().flat_map(paths).collect(),
        },
        Ok(Err(error)) => Answer::Silent(crate::error::chain(&error)),
        Err(_) => Answer::Silent(format!("no answer within {ANSWER_MS_MAX} ms")),
    }
}

fn offering(provider: &ProviderName, offer: &Offer) -> Offering {
    Offering { order: order(provider, offer), available: offer.available, currency: offer.currency.clone() }
}

/// Returns the order for one host of an offer.
pub(crate) fn order(provider: &ProviderName, offer: &Offer) -> AcquireOrder {
    let capacity = offer.capacity.iter();
    let capacity: BTreeMap<String, Number> =
        capacity.filter_map(|(name, value)| Some((name.clone(), Number::try_from(*value).ok()?))).collect();
    AcquireOrder {
        provider: provider.clone(),
        offer: offer.name.clone(),
        region: offer.region.clone(),
        // Providers promise finite prices that are not negative; the cast saturates beyond.
        price_micros_per_hour: (offer.price_per_hour * 1e6).round() as u64,
        capacity,
        attributes: offer.attributes.clone(),
    }
}

/// Returns the time of each pair of regions once, in the order of their names, with the time within a region.
fn paths(matrix: &RttMatrix) -> Vec<PathTime> {
    let mut regions = matrix.regions().to_vec();
    regions.sort();
    let mut paths = Vec::with_capacity(regions.len() * (regions.len() + 1) / 2);
    for (position, from) in regions.iter().enumerate() {
        for to in &regions[position..] {
            let ms = matrix.rtt_ms(from, to).and_then(|ms| Number::try_from(ms).ok());
            paths.extend(ms.map(|ms| PathTime { from: from.clone(), to: to.clone(), ms }));
        }
    }
    paths
}
