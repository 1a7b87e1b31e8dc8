//! The specs that good configs become.

use rhizo_config::{Parsed, explain_rule, parse};
use rhizo_types::expr::Expr;
use rhizo_types::spec::{Comparison, Measure, Of, Pick, Probe, Replicas, Rule, Run};
use rhizo_types::{AttributeName, ComponentName, Number, PortName, ProviderName};
use std::collections::BTreeSet;
use std::path::Path;

fn read(source: &str) -> Parsed {
    match parse(source, "test.toml", Path::new("/base/dir")) {
        Ok(parsed) => parsed,
        Err(findings) => panic!("{}", rhizo_config::render(&findings, source, false)),
    }
}

const HEAD: &str = "rhizo = 1\n[app]\nname = \"shop\"\n";

#[test]
fn psepr_becomes_the_rules_of_the_slide() {
    let spec = read(include_str!("good/psepr.toml")).spec;
    let broker = &spec.components[&ComponentName::from("broker")];
    assert_eq!(broker.replicas, Replicas { min: 6, max: 10 });
    assert_eq!(broker.needs["memory"], Number::from(268_435_456));
    let argv = ["/base/dir/psepr-broker", "--listen", "{export.xmpp.addr}"].map(str::to_owned).to_vec();
    assert_eq!(broker.run, Run::Exec { argv });
    let peers = &broker.imports[&PortName::from("peers")];
    assert!(peers.optional && peers.pick == Pick::All && peers.component == ComponentName::from("broker"));
    let health = broker.health.as_ref().expect("a health check");
    assert_eq!(health.probe, Probe::Http { export: PortName::from("health"), path: "/healthz".to_owned() });
    assert_eq!(broker.exports[&PortName::from("health")].port, Some(8080));
    assert_eq!((health.every_ms, health.fail_after, broker.stop.grace_ms), (5_000, 3, 20_000));

    let names: Vec<&str> = spec.requires.iter().map(|require| require.name.as_str()).collect();
    assert_eq!(names, ["lightly-loaded", "spare-cpu", "geo-spread", "small-diameter"]);
    assert_eq!(explain_rule(&spec.requires[0].rule), "node.load5 < 10 && node.live_slices < 10");
    let spread = "spread by node.quarter, at most (size(placement) - 1) / 4 + 1 in one";
    assert_eq!(explain_rule(&spec.requires[2].rule), spread);
    let limit = Expr::Number(Number::from(1_000));
    let expected = Rule::Group { measure: Measure::DiameterMs, comparison: Comparison::Less, limit };
    assert_eq!(spec.requires[3].rule, expected);

    let weights: Vec<f64> = spec.utilities.iter().map(|utility| utility.weight.get()).collect();
    assert_eq!(weights, [2.0, 1.0, 3.0, 2.0, 2.0]);
    assert_eq!(spec.utilities[3].of, Of::Group(Measure::MaxAnchorLatencyMs));
    assert_eq!(spec.migration.add.get(), 0.012);
    assert_eq!(spec.optimise.max_moves, Some(2));
    assert_eq!(spec.budget.as_ref().map(|budget| budget.max_hourly.get()), Some(1.5));
    assert_eq!(spec.anchors.len(), 2);
    assert_eq!(
        spec.providers[&ProviderName::from("hetzner")].settings,
        r#"{"offers":"/base/dir/hetzner.csv","rtt":"/base/dir/rtt.csv"}"#
    );
}

#[test]
fn the_smallest_config_gets_sensible_defaults() {
    let parsed = read(&format!("{HEAD}[components.web]\n"));
    assert!(parsed.warnings.is_empty());
    let spec = parsed.spec;
    let web = &spec.components[&ComponentName::from("web")];
    assert_eq!(web.run, Run::Embedded);
    assert_eq!(web.replicas, Replicas { min: 1, max: 1 });
    assert_eq!((web.stop.signal.as_str(), web.stop.grace_ms), ("TERM", 10_000));
    assert_eq!(
        (spec.optimise.every_ms, spec.optimise.settle_ms, spec.optimise.deadline_ms),
        (60_000, 300_000, 2_000)
    );
    assert_eq!(spec.orphan_after_ms, 86_400_000);
    let local = &spec.providers[&ProviderName::from("local")];
    assert_eq!((local.kind.as_str(), local.settings.as_str()), ("process", "{}"));
}

#[test]
fn a_conjunction_about_a_group_becomes_several_rules() {
    let spec = read(&format!(
        "{HEAD}[components.web]\nreplicas = {{ min = 2, max = 5 }}\n[[require]]\nname = \"wide\"\ngroup = \"web\"\n\
         expr = \"3 <= distinct(placement, node.region) && size(placement) > 2 && diameter_ms(placement) < 0.2s\"\n"
    ))
    .spec;
    let rules: Vec<(&str, String, &str)> = spec
        .requires
        .iter()
        .map(|require| (require.name.as_str(), explain_rule(&require.rule), require.source.as_str()))
        .collect();
    let expected = [
        (
            "wide.1",
            "distinct(placement, node.region) >= 3".to_owned(),
            "3 <= distinct(placement, node.region)",
        ),
        ("wide.2", "size(placement) > 2".to_owned(), "size(placement) > 2"),
        ("wide.3", "diameter_ms(placement) < 200".to_owned(), "diameter_ms(placement) < 0.2s"),
    ];
    assert_eq!(rules, expected);
}

#[test]
fn paths_of_providers_and_programs_are_seen_from_the_config_file() {
    let spec = read(&format!(
        "{HEAD}[components.web]\nexec = [\"../bin/web\", \"./kept\"]\nhealth = {{ exec = \"curl localhost\" }}\n\
         [providers.lab]\nkind = \"process\"\nrtt = \"data/rtt.csv\"\nslow = {{ faults_file = \"f.json\", note = \"a/b\" }}\n"
    ))
    .spec;
    let web = &spec.components[&ComponentName::from("web")];
    assert_eq!(web.run, Run::Exec { argv: vec!["/base/bin/web".to_owned(), "./kept".to_owned()] });
    let probe = web.health.as_ref().map(|health| health.probe.clone());
    assert_eq!(probe, Some(Probe::Exec { argv: vec!["curl".to_owned(), "localhost".to_owned()] }));
    let settings =
        r#"{"rtt":"/base/dir/data/rtt.csv","slow":{"faults_file":"/base/dir/f.json","note":"a/b"}}"#;
    assert_eq!(spec.providers[&ProviderName::from("lab")].settings, settings);
}

#[test]
fn equal_settings_have_equal_text_whatever_their_order() {
    let with = |settings: &str| {
        let source = format!("{HEAD}[components.web]\n[providers.lab]\nkind = \"process\"\n{settings}");
        read(&source).spec
    };
    assert_eq!(with("b = 1\na = { d = 2, c = 3 }\n"), with("a.c = 3\na.d = 2\nb = 1\n"));
}

#[test]
fn attributes_that_nobody_supplies_are_pointed_at() {
    let parsed = read(&format!(
        "{HEAD}[components.web]\n[[require]]\nname = \"a\"\neach = \"web\"\nexpr = \"node.live_slices < 3 && node.tier == 'x'\"\n"
    ));
    let supplied: BTreeSet<AttributeName> = ["live_slice", "tier"].map(AttributeName::from).into();
    let findings = parsed.unknown_attributes(&supplied);
    assert_eq!(findings.len(), 1);
    assert_eq!((findings[0].line, findings[0].column), (8, 9));
    assert_eq!(findings[0].hint.as_deref(), Some("did you mean `live_slice`?"));
}

#[test]
fn findings_are_json_for_other_programs() {
    let findings = parse("rhizo = 2\n", "x.toml", Path::new("")).expect_err("much is missing");
    let json = serde_json::to_value(&findings).expect("findings are JSON");
    assert_eq!(json[0]["severity"], "error");
    assert!(json.as_array().is_some_and(|all| all.iter().all(|finding| finding["line"].is_u64())));
}

#[test]
fn a_config_that_is_too_long_is_refused_unread() {
    let source = "#".repeat(rhizo_config::SOURCE_LENGTH_MAX + 1);
    let findings = parse(&source, "x.toml", Path::new("")).expect_err("too long");
    assert_eq!(findings.len(), 1);
}

#[test]
fn a_start_time_out_needs_no_life_cycle() {
    let source = |run: &str| {
        format!("rhizo = 1\n[app]\nname = \"x\"\n[components.w]\n{run}\nstart = {{ timeout = \"3m\" }}\n")
    };
    let timeouts = |run: &str| -> Vec<(String, Option<u64>)> {
        let parsed = read(&source(run));
        let lifecycle = parsed.spec.components[&ComponentName::from("w")].lifecycle();
        let ways = lifecycle.transitions.iter();
        ways.map(|(name, way)| (name.to_string(), way.step.timeout_ms)).collect()
    };
    let of = |names: &[(&str, Option<u64>)]| -> Vec<(String, Option<u64>)> {
        names.iter().map(|(name, ms)| ((*name).to_owned(), *ms)).collect()
    };
    let limit = Some(180_000);
    assert_eq!(timeouts("exec = \"./w\""), of(&[("start", limit), ("stop", None)]));
    assert_eq!(timeouts(""), of(&[("start", limit), ("stop", None)]));
    let script = [("cleanup", None), ("init", limit), ("interrupt", None), ("run", limit)];
    assert_eq!(timeouts("script = \"./w\""), of(&script));
}

#[test]
fn a_start_time_out_beside_a_life_cycle_is_refused() {
    let source = "rhizo = 1\n[app]\nname = \"x\"\n[components.w]\nexec = \"./w\"\nstart = { timeout = \"3m\" }\n\
                  [components.w.lifecycle]\nplaces = [\"off\", \"on\"]\nstarted = [\"on\"]\n\
                  behaviours = { deploy = [\"go\"], retire = [\"halt\"] }\n\
                  transitions.go = { from = \"off\", to = \"on\", start = true }\n\
                  transitions.halt = { from = \"on\", to = \"off\", stop = true }\n";
    let findings =
        rhizo_config::parse(source, "x.toml", std::path::Path::new("/base")).expect_err("two time-outs");
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert!(findings[0].line == 6 && findings[0].message.contains("`lifecycle`"), "{findings:#?}");
}
