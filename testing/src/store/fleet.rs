//! The shared data of the fleet: its state, and the workers' reports.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{Bench, SOON, accept};
use crate::samples::{keyed_record, model, report};
use common::fleet::FleetState;
use common::ids::{Generation, Revision, WorkerId};
use common::messages::Timestamp;
use common::store::{Acceptance, Replacement, Revised, StoreError};

/// The state is the default without a revision, and a replacement must name the revision that it read.
pub async fn the_fleets_state_is_replaced_by_who_saw_it(bench: impl Bench) {
    let (store, other) = (bench.store().await, bench.store().await);
    assert_eq!(store.fleet().await.unwrap(), Revised::default());
    let next = FleetState { generation: Generation(1), active: Some(model()), ..FleetState::default() };
    let none = FleetState::default();
    assert_eq!(store.replace_fleet(Revision::random(), &next, None).await.unwrap(), Replacement::Changed);
    let first = store.replace_fleet(Revision::NONE, &next, None).await.unwrap().done().unwrap();
    assert_eq!(other.replace_fleet(Revision::NONE, &none, None).await.unwrap(), Replacement::Changed);
    let again = other.replace_fleet(Revision::NONE, &next, None).await.unwrap();
    assert_eq!(again, Replacement::Changed, "the same again is another one");
    assert_eq!(other.fleet().await.unwrap(), Revised { revision: first, value: next });
    let second = other.replace_fleet(first, &none, None).await.unwrap().done().unwrap();
    assert!(second != first && second != Revision::NONE);
}

/// A replacement after its deadline changes nothing, by the store's own clock.
pub async fn a_replacement_that_comes_too_late_changes_nothing(bench: impl Bench) {
    let store = bench.store().await;
    store.fleet().await.unwrap();
    let next = FleetState { generation: Generation(1), ..FleetState::default() };
    let past = Timestamp(store.now().0 - 1_000);
    let late = store.replace_fleet(Revision::NONE, &next, Some(past)).await.unwrap();
    assert_eq!(late, Replacement::TooLate);
    assert_eq!(store.fleet().await.unwrap(), Revised::default());
    let in_time = store.now().after(SOON);
    assert!(store.replace_fleet(Revision::NONE, &next, Some(in_time)).await.unwrap().done().is_some());
}

/// Revisions are never repeated, also if the state is replaced by an equal one.
pub async fn no_revision_is_given_twice(bench: impl Bench) {
    let (store, state) = (bench.store().await, FleetState::default());
    let mut seen = BTreeSet::from([Revision::NONE.number()]);
    let mut revision = Revision::NONE;
    for _ in 0..100 {
        let before = revision;
        revision = store.replace_fleet(before, &state, None).await.unwrap().done().unwrap();
        assert!(seen.insert(revision.number()));
        let follows = revision.number() == before.number() + 1;
        assert!(!follows, "a revision that counts is given again by a store that comes back with older data");
    }
}

/// A state of a newer version is refused with both versions, and not changed.
pub async fn a_state_of_a_newer_release_is_refused_by_name(bench: impl Bench) {
    let store = bench.store().await;
    let version = FleetState::VERSION + 1;
    let newer = FleetState { version, generation: Generation(5), ..FleetState::default() };
    store.replace_fleet(Revision::NONE, &newer, None).await.unwrap();
    let outcome = store.fleet().await;
    let Err(StoreError::Refused(text)) = outcome else { panic!("{outcome:?}") };
    for piece in [version.to_string(), FleetState::VERSION.to_string(), "newer release".to_owned()] {
        assert!(text.contains(&piece), "{text}");
    }
    let mine = FleetState::default();
    assert_eq!(store.replace_fleet(Revision::NONE, &mine, None).await.unwrap(), Replacement::Changed);
}

/// A job whose model was chosen from an older state is not stored, and its key stays free; one that was stored before
/// is known whatever the current state is.
pub async fn a_job_is_put_under_the_state_that_its_model_was_chosen_from(bench: impl Bench) {
    let (store, other) = (bench.store().await, bench.store().await);
    let before = keyed_record(1, "key", 1);
    accept(&store, &before).await;
    let replaced = other.replace_fleet(Revision::NONE, &FleetState::default(), None).await.unwrap();
    let now = replaced.done().unwrap();
    let late = keyed_record(1, "another key", 1);
    assert_eq!(store.put_job(&late, Revision::NONE).await.unwrap(), Acceptance::FleetChanged);
    assert_eq!(store.put_job(&late, Revision::random()).await.unwrap(), Acceptance::FleetChanged);
    assert_eq!(store.job(late.id).await.unwrap(), None);
    assert_eq!(store.put_job(&before, Revision::NONE).await.unwrap(), Acceptance::Accepted);
    let again = keyed_record(1, "key", 1);
    assert_eq!(store.put_job(&again, Revision::NONE).await.unwrap(), Acceptance::InProgress(before.id));
    assert_eq!(store.put_job(&keyed_record(1, "another key", 2), now).await.unwrap(), Acceptance::Accepted);
}

/// Sixteen tasks count up together: no increment is lost.
pub async fn of_racing_replacements_exactly_one_happens(bench: impl Bench) {
    let mut racers = JoinSet::new();
    for _ in 0..16 {
        let store = bench.store().await;
        racers.spawn(async move {
            let mut mine = 0;
            while mine < 10 {
                let Revised { revision, value } = store.fleet().await.unwrap();
                let next = FleetState { generation: value.generation.next(), ..value };
                if store.replace_fleet(revision, &next, None).await.unwrap().done().is_some() {
                    mine += 1;
                }
            }
        });
    }
    racers.join_all().await;
    let last = bench.store().await.fleet().await.unwrap();
    assert_eq!(last.value.generation, Generation(160));
}

/// Reports are listed by id, renewed, removed, and expire.
pub async fn a_workers_report_lasts_its_time(bench: impl Bench) {
    let (store, other) = (bench.store().await, bench.store().await);
    assert_eq!(store.workers().await.unwrap(), []);
    let short = Duration::from_millis(300);
    store.report_worker(&report("c", 1), SOON).await.unwrap();
    store.report_worker(&report("a", 1), short).await.unwrap();
    other.report_worker(&report("b", 1), short).await.unwrap();
    other.report_worker(&report("b", 2), SOON).await.unwrap();
    assert_eq!(other.workers().await.unwrap(), [report("a", 1), report("b", 2), report("c", 1)]);
    let begin = Instant::now();
    while store.workers().await.unwrap().len() == 3 {
        assert!(begin.elapsed() < SOON, "the report stays");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(other.workers().await.unwrap(), [report("b", 2), report("c", 1)]);
    store.remove_worker(&WorkerId::from("b".to_owned())).await.unwrap();
    store.remove_worker(&WorkerId::from("unknown".to_owned())).await.unwrap();
    assert_eq!(other.workers().await.unwrap(), [report("c", 1)]);
}
