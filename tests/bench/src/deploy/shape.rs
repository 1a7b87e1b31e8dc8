//! Chains, stars and trees of components that use each other, to measure how the cost of rhizo grows with their
//! number.

use super::assembly::{Assembly, Component, Connection, DEPLOY, Instance, Port, PortKind, Transition};
use std::collections::BTreeMap;

/// Prefix of the names of a shape's instances.
pub(super) const LINK: &str = "link-";

/// Number of components, and the connections between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    form: Form,
    pub(super) count: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Each uses the next one.
    Chain,
    /// All use the first.
    Star,
    /// A binary tree whose nodes use their children.
    Tree,
}

impl Shape {
    pub(super) fn new(form: &str, count: usize) -> Result<Self, String> {
        let form = match form {
            "chain" => Form::Chain,
            "star" => Form::Star,
            "tree" => Form::Tree,
            other => return Err(format!("find the shape {other}")),
        };
        if count == 0 { Err("deploy nothing".to_owned()) } else { Ok(Self { form, count }) }
    }

    /// Returns the components that a component uses.
    pub(super) fn used_by(&self, n: usize) -> Vec<usize> {
        match self.form {
            Form::Chain => (n + 1 < self.count).then_some(n + 1).into_iter().collect(),
            Form::Star => (n > 0).then_some(0).into_iter().collect(),
            Form::Tree => [2 * n + 1, 2 * n + 2].into_iter().filter(|child| *child < self.count).collect(),
        }
    }

    /// The shape as an assembly without actions, every instance on a host of its own.
    pub(super) fn assembly(&self) -> Assembly {
        let name = |n: usize| format!("{LINK}{n}");
        let way = |from: &str, to: &str| Transition {
            name: "begin".to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            behaviour: DEPLOY.to_owned(),
        };
        let port = |name: String, kind: PortKind, bound_to: &str| Port {
            name,
            kind,
            bound_to: vec![bound_to.to_owned()],
        };
        let mut assembly = Assembly { kinds: BTreeMap::new(), ..Assembly::default() };
        for n in 0..self.count {
            let mut ports = vec![port("main".to_owned(), PortKind::Provide, "on")];
            for other in self.used_by(n) {
                ports.push(port(format!("to-{other}"), PortKind::Use, "begin"));
                assembly.connections.push(Connection {
                    provider: name(other),
                    provide_port: "main".to_owned(),
                    user: name(n),
                    use_port: format!("to-{other}"),
                });
            }
            let kind = Component {
                places: vec!["off".to_owned(), "on".to_owned()],
                initial: "off".to_owned(),
                running: None,
                transitions: vec![way("off", "on")],
                ports,
            };
            assembly.kinds.insert(name(n), kind);
            let instance = Instance { name: name(n), kind: name(n), host: format!("h{n}"), later: false };
            assembly.instances.push(instance);
        }
        assembly
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_have_one_edge_less_than_components() {
        for form in ["chain", "star", "tree"] {
            let shape = Shape::new(form, 20).unwrap();
            assert_eq!(shape.assembly().connections.len(), 19, "{form}");
            assert!((0..20).all(|n| !shape.used_by(n).contains(&n)), "{form}");
        }
        assert!(Shape::new("ring", 3).is_err() && Shape::new("star", 0).is_err());
    }
}
