//! The offers of the providers of a world, and production planning with these offers.
//!
//! Prices and speeds of offers come from the seed and change at random, so that sometimes another configuration is
//! worth a move. The solver is that of production with a budget of steps instead of time, so that a seed always gives
//! the same plan. Hosts that were bought are in [`crate::provider`].

use crate::provider::Provider;
use rand::RngExt;
use rand::rngs::StdRng;
use rhizo_knowledge::{Knowledge, Snapshot};
use rhizo_planning::{Answer, Budget, Catalogue, Explanation, Offering, Outcome};
use rhizo_protocol::SolveRequest;
use rhizo_solver::{Options, Plan, Problem, SolveError, solve};
use rhizo_types::Time;
use rhizo_types::fact::Value;
use rhizo_types::id::{AttributeName, OfferName, ProviderName, RegionName};
use rhizo_types::intent::AcquireOrder;
use rhizo_types::number::Number;
use std::collections::BTreeMap;

/// The resource of which every instance needs one.
pub const SEATS: &str = "seats";

/// Number of instances that a host can hold.
pub const SEATS_PER_HOST: u32 = 2;

/// The attribute of hosts that instances prefer to be high, 0..1.
pub const SPEED: &str = "speed";

/// Number of offers of one provider.
const OFFERS: u32 = 3;

/// Prices of offers, in millionths of the currency per hour. Budgets are computed from the highest one.
const PRICES_MICROS: [u64; 3] = [30_000, 40_000, 50_000];

/// The highest price.
pub const PRICE_MICROS_MAX: u64 = PRICES_MICROS[2];

/// Number of times that the search may ask whether to stop. It is enough for the best configuration of most worlds,
/// though not for the proof. A larger number would take most of the time of a run.
const LOOKS_USUAL: u32 = 60;

/// Number of times that a second search may ask whether to stop, when the first one has found nothing. Dozens of
/// hosts need some thousands.
const LOOKS_MAX: u32 = 20_000;

/// The current price and speed of an offer.
#[derive(Clone, Copy, Debug)]
struct Sold {
    price_micros: u64,
    /// Speed in tenths.
    speed: u32,
    available: u32,
}

/// The current offers of all providers.
#[derive(Clone, Debug, Default)]
pub struct Market {
    offers: BTreeMap<(ProviderName, u32), Sold>,
}

impl Market {
    /// Returns the market of a seed's providers.
    #[must_use]
    pub fn of(providers: &[ProviderName], rng: &mut StdRng) -> Self {
        let mut offers = BTreeMap::new();
        for provider in providers {
            for kind in 0..OFFERS {
                offers.insert((provider.clone(), kind), drawn(rng));
            }
        }
        Self { offers }
    }

    /// Gives one offer another price and another speed.
    pub fn change(&mut self, rng: &mut StdRng) {
        let chosen = rng.random_range(0..self.offers.len().max(1));
        if let Some(sold) = self.offers.values_mut().nth(chosen) {
            *sold = drawn(rng);
        }
    }

    /// Returns the answers of the providers that answer now.
    fn answers(
        &self,
        providers: &BTreeMap<ProviderName, Provider>,
        now: Time,
    ) -> Vec<(ProviderName, Answer)> {
        let answer = |(name, provider): (&ProviderName, &Provider)| {
            let answer = if provider.answers(now) {
                let own = self.offers.iter().filter(|((of, _), _)| of == name);
                let offers = own.map(|((_, kind), sold)| offering(name, *kind, *sold)).collect();
                Answer::Sells { offers, paths: Vec::new() }
            } else {
                Answer::Silent("the API does not answer".to_owned())
            };
            (name.clone(), answer)
        };
        providers.iter().map(answer).collect()
    }

    /// Makes a plan as production does.
    #[must_use]
    pub fn plan(
        &self,
        request: &SolveRequest,
        providers: &BTreeMap<ProviderName, Provider>,
        now: Time,
    ) -> Outcome {
        let (mut catalogue, mut knowledge) = (Catalogue::default(), Knowledge::new());
        catalogue.take(self.answers(providers, now), &mut knowledge, now);
        let snapshot = Snapshot::cut(&knowledge, &BTreeMap::new(), now);
        let mut search = |problem: &Problem, options: &Options| match bounded(problem, options, LOOKS_USUAL) {
            Err(SolveError::NotFound { .. }) => bounded(problem, options, LOOKS_MAX),
            answer => answer,
        };
        let mut looks = 0;
        let mut stop = || {
            looks += 1;
            looks > LOOKS_USUAL
        };
        let explanation = Explanation { stop: &mut stop, at_unix_ms: None };
        let mut budget = Budget { search: &mut search, explains: false, explanation };
        rhizo_planning::plan(request, &snapshot, &catalogue, &mut budget)
    }
}

/// Searches until the search has asked `looks_max` times whether to stop.
fn bounded(problem: &Problem, options: &Options, looks_max: u32) -> Result<Plan, SolveError> {
    let mut looks = 0;
    solve(problem, options, &mut || {
        looks += 1;
        looks > looks_max
    })
}

fn drawn(rng: &mut StdRng) -> Sold {
    Sold {
        price_micros: PRICES_MICROS[rng.random_range(0..PRICES_MICROS.len())],
        speed: rng.random_range(0..=10),
        available: rng.random_range(3..=6),
    }
}

fn offering(provider: &ProviderName, kind: u32, sold: Sold) -> Offering {
    let speed = Number::try_from(f64::from(sold.speed) / 10.0).unwrap_or(Number::ZERO);
    let order = AcquireOrder {
        provider: provider.clone(),
        offer: OfferName(format!("small-{kind}")),
        region: RegionName(format!("{provider}-r{kind}")),
        price_micros_per_hour: sold.price_micros,
        capacity: BTreeMap::from([(SEATS.to_owned(), Number::from(SEATS_PER_HOST))]),
        attributes: BTreeMap::from([(AttributeName::from(SPEED), Value::Number(speed))]),
    };
    Offering { order, available: Some(sold.available), currency: "EUR".to_owned() }
}
