//! Synthetic applications: components that need each other near, their users, and rules that can be kept.
//!
//! Every application is made around a *ball*, the regions next to its users that have two clouds and three members;
//! its limits are drawn, but never below what the ball needs, so that a solution always exists.

use super::catalogue::{BY_CLOUD, BY_REGION};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rhizo_solver::rule;
use rhizo_solver::{Comparison, Component, Constraint, Limit, Measure, Named, Problem, Scope};
use std::collections::BTreeSet;

/// Needs of instances: processors and gibibytes in the sizes of machines, and halves of the smallest.
const NEEDS: [[f64; 2]; 12] = [
    [0.5, 1.0],
    [0.5, 2.0],
    [1.0, 2.0],
    [1.0, 4.0],
    [1.0, 8.0],
    [2.0, 4.0],
    [2.0, 8.0],
    [2.0, 16.0],
    [4.0, 8.0],
    [4.0, 16.0],
    [8.0, 16.0],
    [8.0, 32.0],
];
/// Round-trip times that rules allow between components, in milliseconds: one metropolis to one continent.
const PAIR_LIMITS_MS: [f64; 5] = [5.0, 10.0, 20.0, 40.0, 80.0];
/// Round-trip times that are allowed between users and a front.
const USER_LIMITS_MS: [f64; 4] = [10.0, 25.0, 50.0, 100.0];
/// Components of an application.
const SIZES: std::ops::RangeInclusive<usize> = 3..=6;

/// Adds applications until the number of components is reached.
pub(super) fn add(problem: &mut Problem, components: usize, seed: u64) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    while problem.components.len() < components {
        let size = rng.random_range(SIZES).min(components - problem.components.len());
        let application = Application::new(problem, &mut rng, size);
        application.rules(problem, &mut rng);
    }
}

struct Application {
    number: usize,
    /// Its components.
    first: usize,
    size: usize,
    users: usize,
    ball: Vec<usize>,
}

impl Application {
    fn new(problem: &mut Problem, rng: &mut Xoshiro256PlusPlus, size: usize) -> Self {
        let (first, users) = (problem.components.len(), rng.random_range(0..problem.latency.sites));
        let number = problem.components.last().map_or(0, |c| {
            c.name.trim_start_matches('a').split('-').next().and_then(|n| n.parse().ok()).unwrap_or(0) + 1
        });
        for part in 0..size {
            let min = [1, 1, 1, 2, 2, 3][rng.random_range(0..6)];
            let mut component =
                Component::new(format!("a{number}-{part}"), min, min + rng.random_range(0..3));
            component.needs = NEEDS[rng.random_range(0..NEEDS.len())].into();
            problem.components.push(component);
        }
        Self { number, first, size, users, ball: ball(problem, users) }
    }

    fn rules(&self, problem: &mut Problem, rng: &mut Xoshiro256PlusPlus) {
        let number = self.number;
        let inner = self.inner_ms(problem);
        let mut rules = vec![(format!("users a{number}"), self.near_users(problem, rng))];
        for part in 1..self.size {
            let parent = self.first + rng.random_range(0..part);
            let limit = PAIR_LIMITS_MS[rng.random_range(0..PAIR_LIMITS_MS.len())].max(inner);
            let measure = Measure::PairLatencyMs(Scope::Component(parent));
            rules.push((
                format!("near a{number}-{part}"),
                at_most(Scope::Component(self.first + part), measure, limit),
            ));
        }
        if self.size > 1 {
            let all = Scope::Components((self.first..self.first + self.size).collect());
            let limit = (inner * rng.random_range(1.0..4.0)).round() + 30.0;
            rules.push((format!("diameter a{number}"), at_most(all, Measure::DiameterMs, limit)));
        }
        for part in 0..self.size {
            let component = self.first + part;
            if problem.components[component].replicas_min < 2 {
                continue;
            }
            let (by, most) = match rng.random_range(0..10) {
                0..=4 => (BY_REGION, None),
                5..=6 => (BY_REGION, Some(Limit::Constant(1.0))),
                7..=8 => (BY_CLOUD, None),
                _ => continue,
            };
            rules.push((format!("spread a{number}-{part}"), spread(component, by, most)));
        }
        if self.size > 1 && rng.random_range(0..3) == 0 {
            let (user, provider) = (self.first, self.first + self.size - 1);
            // As many providers as users, which is possible when the ranges overlap.
            if problem.components[provider].replicas_max >= problem.components[user].replicas_min {
                let rule = Constraint::Require(rule::Require {
                    user,
                    provider,
                    per_user: 1,
                    per_provider: 1,
                    exactly: false,
                });
                rules.push((format!("serve a{number}"), rule));
            }
        }
        problem.constraints.extend(rules.into_iter().map(|(name, rule)| Named::new(name, rule)));
    }

    /// The largest round-trip time within the ball.
    fn inner_ms(&self, problem: &Problem) -> f64 {
        let pairs = self.ball.iter().flat_map(|a| self.ball.iter().map(move |b| (*a, *b)));
        pairs.map(|(a, b)| problem.latency.ms(a, b)).fold(0.0, f64::max)
    }

    fn near_users(&self, problem: &Problem, rng: &mut Xoshiro256PlusPlus) -> Constraint {
        let farthest = self.ball.iter().map(|s| problem.latency.ms(self.users, *s)).fold(0.0, f64::max);
        let limit = USER_LIMITS_MS[rng.random_range(0..USER_LIMITS_MS.len())].max(farthest);
        let is_near = |site: Option<usize>| site.is_some_and(|s| problem.latency.ms(self.users, s) <= limit);
        let allowed = problem.machines.iter().map(|m| is_near(m.site)).collect();
        Constraint::Each(rule::Each { scope: Scope::Component(self.first), allowed })
    }
}

/// The nearest regions, at least three, of at least two clouds.
fn ball(problem: &Problem, users: usize) -> Vec<usize> {
    let mut sites: Vec<usize> = (0..problem.latency.sites).collect();
    sites.sort_by(|a, b| problem.latency.ms(users, *a).total_cmp(&problem.latency.ms(users, *b)));
    let cloud = |site: usize| problem.partitions[BY_REGION].classes[site].split(':').next();
    let enough = |ball: &[usize]| {
        ball.len() >= 3 && ball.iter().map(|s| cloud(*s)).collect::<BTreeSet<_>>().len() >= 2
    };
    let count = (1..=sites.len()).find(|n| enough(&sites[..*n])).unwrap_or(sites.len());
    sites.truncate(count);
    sites
}

fn at_most(scope: Scope, measure: Measure, limit: f64) -> Constraint {
    Constraint::Bound(rule::Bound {
        scope,
        measure,
        comparison: Comparison::LessOrEqual,
        limit: Limit::Constant(limit),
    })
}

fn spread(component: usize, partition: usize, max_in_class: Option<Limit>) -> Constraint {
    let min_distinct = Some(Limit::Constant(2.0));
    Constraint::Spread(rule::Spread {
        scope: Scope::Component(component),
        partition,
        max_in_class,
        min_distinct,
    })
}
