//! The assemblies of the scenarios: n-tier, star, chain, cycle, mesh, and small forms of Galera and OpenStack.
//!
//! `lifecycles` has those with a declared life-cycle; `catalogue` has the changes and faults.

use rhizo_types::Number;
use rhizo_types::spec::{Component, Pick};
use rhizo_verify::scenario::{SEATS, component};

/// An assembly: components with their imports, and how many copies of each.
pub(crate) struct Assembly {
    pub(crate) name: &'static str,
    pub(crate) components: Vec<(&'static str, Component, usize)>,
}

pub(crate) fn part(
    name: &'static str,
    copies: usize,
    imports: &[(&str, bool, Pick)],
) -> (&'static str, Component, usize) {
    (name, component(imports), copies)
}

/// Sets the number of seats that each copy needs.
fn seated(mut part: (&'static str, Component, usize), seats: u32) -> (&'static str, Component, usize) {
    part.1.needs.insert(SEATS.to_owned(), Number::from(seats));
    part
}

/// The assemblies with the usual life-cycle, smallest first.
pub(crate) fn usual() -> Vec<Assembly> {
    let (one, all) = (Pick::One, Pick::All);
    let of = |name, components| Assembly { name, components };
    vec![
        of("single", vec![part("a", 1, &[])]),
        of("two-tier", vec![part("web", 1, &[("db", false, one)]), part("db", 1, &[])]),
        of("full hosts", vec![seated(part("a", 1, &[]), 2), seated(part("b", 1, &[]), 2)]),
        of(
            "full hosts, two-tier",
            vec![seated(part("web", 1, &[("db", false, one)]), 1), seated(part("db", 1, &[]), 2)],
        ),
        of(
            "half-full hosts",
            vec![seated(part("web", 1, &[("db", false, one)]), 1), seated(part("db", 1, &[]), 1)],
        ),
        of("two-tier, optional", vec![part("web", 1, &[("cache", true, one)]), part("cache", 1, &[])]),
        of("two copies, one is enough", vec![part("web", 1, &[("db", false, one)]), part("db", 2, &[])]),
        of("two copies, all", vec![part("web", 1, &[("db", false, all)]), part("db", 2, &[])]),
        of("two copies, optional", vec![part("web", 1, &[("db", true, all)]), part("db", 2, &[])]),
        of("two of three", vec![part("web", 1, &[("db", false, Pick::Some(2))]), part("db", 3, &[])]),
        of("one of three", vec![part("web", 1, &[("db", false, Pick::Some(1))]), part("db", 3, &[])]),
        of(
            "chain of three",
            vec![part("a", 1, &[("b", false, one)]), part("b", 1, &[("c", false, one)]), part("c", 1, &[])],
        ),
        of(
            "chain, optional middle",
            vec![part("a", 1, &[("b", true, one)]), part("b", 1, &[("c", false, one)]), part("c", 1, &[])],
        ),
        of(
            "star of two users",
            vec![
                part("hub", 1, &[]),
                part("x", 1, &[("hub", false, one)]),
                part("y", 1, &[("hub", false, one)]),
            ],
        ),
        of(
            "star of two exporters",
            vec![
                part("hub", 1, &[("x", false, one), ("y", false, one)]),
                part("x", 1, &[]),
                part("y", 1, &[]),
            ],
        ),
        of(
            "mandatory and optional",
            vec![
                part("hub", 1, &[("x", false, one), ("y", true, one)]),
                part("x", 1, &[]),
                part("y", 1, &[]),
            ],
        ),
        of(
            "mandatory cycle",
            vec![part("a", 1, &[("b", false, one)]), part("b", 1, &[("a", false, one)]), part("c", 1, &[])],
        ),
        of(
            "half optional cycle",
            vec![part("a", 1, &[("b", false, one)]), part("b", 1, &[("a", true, one)])],
        ),
        of("optional cycle", vec![part("a", 1, &[("b", true, one)]), part("b", 1, &[("a", true, one)])]),
        of("mesh of two", vec![part("broker", 2, &[("broker", true, all)])]),
        of("mesh of three", vec![part("broker", 3, &[("broker", true, all)])]),
        of(
            "n-tier",
            vec![
                part("web", 2, &[("app", false, one)]),
                part("app", 1, &[("db", false, one)]),
                part("db", 1, &[]),
            ],
        ),
        of(
            "diamond",
            vec![
                part("a", 1, &[("b", false, one), ("c", false, one)]),
                part("b", 1, &[("d", false, one)]),
                part("c", 1, &[("d", false, one)]),
                part("d", 1, &[]),
            ],
        ),
        of(
            "chain of four",
            vec![
                part("a", 1, &[("b", false, one)]),
                part("b", 1, &[("c", false, one)]),
                part("c", 1, &[("d", false, one)]),
                part("d", 1, &[]),
            ],
        ),
        of("star of four", vec![part("hub", 1, &[]), part("user", 4, &[("hub", false, one)])]),
        of(
            "chain of five",
            vec![
                part("a", 1, &[("b", false, one)]),
                part("b", 1, &[("c", false, one)]),
                part("c", 1, &[("d", false, one)]),
                part("d", 1, &[("e", false, one)]),
                part("e", 1, &[]),
            ],
        ),
        // A small form of Galera: workers join a started master, and the benchmark needs the master and uses the
        // workers.
        of(
            "galera",
            vec![
                part("master", 1, &[]),
                part("worker", 2, &[("master", false, one)]),
                part("bench", 1, &[("master", false, one), ("worker", true, all)]),
            ],
        ),
        // A small form of OpenStack: the connections among its five central services.
        of(
            "openstack",
            vec![
                part("mariadb", 1, &[]),
                part("rabbitmq", 1, &[]),
                part("keystone", 1, &[("mariadb", false, one)]),
                part("glance", 1, &[("mariadb", false, one), ("keystone", false, one)]),
                part("nova", 1, &[("keystone", false, one), ("rabbitmq", false, one), ("glance", true, one)]),
            ],
        ),
    ]
}
