//! The survivor's step into the next lineage: its files, and orders that arrive while it is taken.

use super::*;
use crate::admin::Ask;
use crate::node::NodeHandle;
use crate::node::start::{Founding, start_founder};
use rhizo_actuators::process::Program;
use rhizo_overlay::NodeSecret;
use rhizo_protocol::ledger::{FormerLineage, SKIP};
use rhizo_types::ledger::{Command, FOUNDER, Genesis, MemberRecord, OverlaySecret, SetSpec, Timers};
use rhizo_types::message::LogEntry;
use rhizo_types::secret::SealingKey;
use rhizo_types::spec::Spec;
use rhizo_types::{Lineage, ProviderName, RegionName, Revision, Term};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Timers with which no member campaigns before the test has ended: the survivor has no quorum until then.
const NO_ELECTION: Timers =
    Timers { raft_election_ms_min: 300_000, raft_election_ms_max: 600_000, ..Timers::LOCAL };

fn operator() -> NodeSecret {
    NodeSecret::from_bytes([9; 32])
}

/// The ledger of a founder that voted with two members, of which nothing is left.
fn known() -> Ledger {
    let founder = MemberRecord {
        key: NodeSecret::from_bytes([1; 32]).peer_key(),
        addresses: Vec::new(),
        provider: ProviderName::from("founder"),
        region: RegionName::from("founder"),
        intent: None,
    };
    let genesis = Genesis {
        app: "app".into(),
        lineage: Lineage(1),
        founder,
        operators: BTreeSet::from([operator().peer_key()]),
        timers: NO_ELECTION,
        overlay_secret: OverlaySecret([0; 32]),
    };
    let voters = BTreeSet::from([FOUNDER, NodeId(5), NodeId(6)]);
    let entries = [
        LogEntry::Command(Command::Genesis(Box::new(genesis))),
        LogEntry::Membership { voters, learners: BTreeSet::new() },
    ];
    let mut ledger = Ledger::default();
    for (index, entry) in (1..).zip(&entries) {
        let _applied = ledger.apply(index, Term(3), entry);
    }
    ledger
}

/// The signed order that makes lineage 2 follow lineage 1.
fn order() -> Recovery {
    let signed = Succession::sign(&"app".into(), Lineage(1), Lineage(2), &operator());
    let signature = signed.signature.to_vec();
    let former = FormerLineage { lineage: Lineage(1), operator: signed.operator, signature };
    Recovery { former, lineage: Lineage(2), survivor: FOUNDER, lost: BTreeSet::new(), term: Term(7) }
}

fn files(dir: &Path, identity: &Path) -> Files {
    let identity = Identity::new(identity);
    let (known, order, writing) = (known(), order(), Arc::default());
    Files { dir: dir.to_owned(), me: FOUNDER, identity, known, order, writing }
}

#[test]
fn the_survivors_identity_decides_about_its_lineage_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let here = Identity::new(dir.path());
    here.keep(FOUNDER, &known()).unwrap();
    let lineage = || here.resumed().unwrap().unwrap().ledger.lineage();
    // The node ends after the new store was made and before its identity was written.
    let missing = dir.path().join("missing");
    assert!(matches!(make_files(&files(dir.path(), &missing)), Err(RecoverError::Identity(_))));
    assert!(store_of(&stores(dir.path()), Lineage(2)).exists());
    assert_eq!(lineage(), Lineage(1), "it is of the former lineage still");
    let next = make_files(&files(dir.path(), dir.path())).unwrap();
    assert_eq!((next.lineage(), lineage()), (Lineage(2), Lineage(2)));
    assert_eq!(next.term, Term(7 + SKIP), "the newest term that a member knows");
    // The store holds the same ledger.
    let config = log_config(&stores(dir.path()), FOUNDER, Lineage(2), &NO_ELECTION, true);
    let mut machine = Applied::alone();
    let stored = rhizo_log::replay(&config, &mut machine).unwrap();
    assert_eq!(machine.ledger, next);
    assert_eq!(stored.last.map(|last| last.index), Some(next.index));
    assert_eq!(stored.uncommitted, 0);
}

#[test]
fn only_the_copy_of_the_ledger_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let here = Identity::new(dir.path());
    here.keep(FOUNDER, &known()).unwrap();
    // The record of the node's id cannot be replaced.
    std::fs::create_dir(dir.path().join("member.new")).unwrap();
    assert!(here.keep(FOUNDER, &known()).is_err());
    let next = make_files(&files(dir.path(), dir.path())).unwrap();
    assert_eq!(here.resumed().unwrap().unwrap().ledger, next);
}

#[test]
fn after_an_error_the_copy_on_the_disk_decides() {
    let dir = tempfile::tempdir().unwrap();
    let here = Identity::new(dir.path());
    let mut files = files(dir.path(), dir.path());
    here.keep(FOUNDER, &known()).unwrap();
    let next = make_files(&files).unwrap();
    // The step fails: the ledger of the core is not that which the order ends.
    files.known = next.clone();
    std::fs::remove_dir_all(stores(dir.path())).unwrap();
    assert!(matches!(make_files(&files), Err(RecoverError::Refused(_))));
    assert_eq!(begin_lineage(&files).unwrap(), next, "a restart comes back in the next lineage");
    here.keep(FOUNDER, &known()).unwrap();
    assert!(begin_lineage(&files).is_err(), "a restart comes back in the former lineage");
}

/// Starts node 0 as after a crash, in a directory with an identity and a store of lineage 1.
fn resume(dir: &Path) -> NodeHandle {
    let ledger = known();
    Identity::new(dir).keep(FOUNDER, &ledger).unwrap();
    let config = log_config(&stores(dir), FOUNDER, Lineage(1), &NO_ELECTION, false);
    let at = rhizo_log::Proposed { index: ledger.index, term: ledger.term };
    rhizo_log::begin(&config, at, &codec::encode_ledger(&ledger)).unwrap();
    let founding = Founding {
        app: "app".into(),
        lineage: Lineage(1),
        operators: BTreeSet::from([operator().peer_key()]),
        timers: NO_ELECTION,
        overlay_secret: OverlaySecret([0; 32]),
        sealing_key: SealingKey([0; 32]),
        spec: SetSpec {
            revision: Revision(1),
            spec: Spec::new("app", BTreeMap::new()),
            source: String::new(),
        },
        dir: dir.to_owned(),
        state: dir.join("state"),
        program: Program::current().unwrap(),
        members_changed: Box::new(|_| {}),
    };
    start_founder(founding, Arc::default(), tokio::runtime::Handle::current()).unwrap()
}

async fn end(mut node: NodeHandle) {
    node.stop();
    node.ended().await.unwrap();
}

/// The command may be ended and started again while the files are made. After a refusal it would forget the lineage
/// that the node begins.
#[tokio::test]
async fn an_order_that_is_being_carried_out_is_not_refused_when_it_is_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let node = resume(dir.path());
    let ask = || node.ask(Ask::Recover(Box::new(order())));
    let (first, second) = loop {
        match tokio::join!(ask(), ask()) {
            // The log opens.
            (Answer::Later, Answer::Later) => tokio::task::yield_now().await,
            answers => break answers,
        }
    };
    assert!(matches!(first, Answer::Done { .. }), "{first:?}");
    assert!(matches!(second, Answer::Later), "{second:?}");
    assert!(matches!(ask().await, Answer::Done { .. }), "the node is of the new lineage");
    end(node).await;
}

#[tokio::test]
async fn a_node_that_comes_back_removes_the_stores_of_other_lineages() {
    let dir = tempfile::tempdir().unwrap();
    let other = store_of(&stores(dir.path()), Lineage(7));
    std::fs::create_dir_all(&other).unwrap();
    std::fs::write(other.join("file"), b"an entry").unwrap();
    let node = resume(dir.path());
    assert!(matches!(node.ask(Ask::Standing).await, Answer::Standing(_)));
    assert!(!other.exists());
    assert!(store_of(&stores(dir.path()), Lineage(1)).exists());
    end(node).await;
}
