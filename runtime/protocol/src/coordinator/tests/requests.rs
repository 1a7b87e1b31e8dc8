//! Answers to requests for a new spec.

use super::*;

fn set(components: &[(&str, Component)], after: Option<Revision>) -> Request {
    Request::SetSpec { spec: Box::new(spec(components)), source: String::new(), after }
}

#[test]
fn a_spec_that_was_planned_for_another_one_is_not_put_in_force() {
    let web = component(2, &[]);
    let mut stage = Stage::new(&[("web", web.clone())]);
    let wanted = [("web", component(3, &[]))];
    assert_eq!(stage.answer(set(&wanted, Some(Revision(1)))), None, "it follows the spec in force");
    stage.coordinator.requests = Requests::default();
    stage.set_spec(&[("web", component(4, &[]))]);
    assert_eq!(stage.answer(set(&wanted, Some(Revision(1)))), Some(Answer::Overtaken));
    assert_eq!(stage.answer(set(&wanted, None)), None, "who names no revision accepts any");
    stage.coordinator.requests = Requests::default();
    // An operator who received no answer sends the request again, and it was carried out.
    stage.set_spec(&wanted);
    assert_eq!(stage.answer(set(&wanted, Some(Revision(1)))), Some(Answer::Accepted));
}

#[test]
fn a_spec_of_another_application_is_refused() {
    let mut stage = Stage::new(&[("web", component(2, &[]))]);
    let other = Spec { app: "news".into(), ..spec(&[("web", component(3, &[]))]) };
    let request = Request::SetSpec { spec: Box::new(other), source: String::new(), after: None };
    assert!(matches!(stage.answer(request), Some(Answer::Refused(_))));
}

#[test]
fn a_version_that_was_rolled_back_is_tried_again_when_it_is_applied_again() {
    let web = Component { on_failure: OnFailure::Unwind, ..component(1, &[]) };
    let mut stage = Stage::new(&[("web", web.clone())]);
    stage.plan(&[("web", 0, 2)]);
    stage.run();
    let newer = Component { env: BTreeMap::from([("A".to_owned(), "2".to_owned())]), ..web };
    stage.set_spec(&[("web", newer.clone())]);
    stage.plan(&[("web", 0, 2)]);
    stage.broken.insert((instance("web", 0), Generation(2)));
    stage.run();
    assert_eq!(stage.placed(), ["web.0@n2g3"], "the version before runs again");
    assert_eq!(stage.answer(set(&[("web", newer.clone())], Some(Revision(2)))), None, "it needs a command");
    let command = stage.command();
    let Some(Command::SetSpec(again)) = command else { panic!("{command:?}") };
    assert_eq!(again.revision, Revision(3));
    stage.commit(Command::SetSpec(again));
    stage.plan(&[("web", 0, 2)]);
    stage.run();
    assert_eq!(stage.ledger.target.instances[&instance("web", 0)].version, Revision(3));
    assert_eq!(stage.answer(set(&[("web", newer)], None)), Some(Answer::Accepted), "it works now");
}
