//! A few seeds as an ordinary test, and the test that equal seeds give equal runs.
//!
//! The campaign of a thousand seeds is `rhizo-sim run --seeds 1000`, which also requires that every fault fired.

use rhizo_sim::{Options, run_seed};

#[test]
fn forty_seeds_pass_every_check_and_converge() {
    for seed in 5_000..5_040 {
        let outcome = run_seed(seed, &Options::default());
        assert_eq!(outcome.violation, None, "reproduce: rhizo-sim replay {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    for seed in [1, 2, 3] {
        let first = run_seed(seed, &Options::default());
        let again = run_seed(seed, &Options { verbose: true });
        assert_eq!(first.trace, again.trace);
        assert_eq!(first.events, again.events);
        assert_ne!(first.trace, run_seed(seed + 100, &Options::default()).trace);
    }
}
