//! What the fleet shares: its state, and the workers' reports.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{Bench, SOON, accept};
use crate::fleet::{FleetState, WorkerReport, WorkerState};
use crate::ids::{Generation, WorkerId};
use crate::messages::Timestamp;
use crate::store::{Acceptance, Revised};
use crate::testing::samples::{keyed_record, model};

/// The state is the default at revision 0, and a replacement has to name the revision it saw.
pub async fn the_fleets_state_is_replaced_by_who_saw_it(bench: impl Bench) {
    let (store, other) = (bench.store().await, bench.store().await);
    assert_eq!(store.fleet().await.unwrap(), Revised::default());
    let next = FleetState { generation: Generation(1), active: Some(model()), ..FleetState::default() };
    assert_eq!(store.replace_fleet(1, &next).await.unwrap(), None);
    assert_eq!(store.replace_fleet(0, &next).await.unwrap(), Some(1));
    assert_eq!(other.replace_fleet(0, &FleetState::default()).await.unwrap(), None);
    assert_eq!(other.replace_fleet(0, &next).await.unwrap(), None, "the same again is another one");
    assert_eq!(other.fleet().await.unwrap(), Revised { revision: 1, value: next });
    assert_eq!(other.replace_fleet(1, &FleetState::default()).await.unwrap(), Some(2));
}

/// A job whose model was chosen from an older state is not put, and its key stays free; one that was put
/// before is known whatever the state is by now.
pub async fn a_job_is_put_under_the_state_that_its_model_was_chosen_from(bench: impl Bench) {
    let (store, other) = (bench.store().await, bench.store().await);
    let before = keyed_record(1, "key", 1);
    accept(&store, &before).await;
    assert_eq!(other.replace_fleet(0, &FleetState::default()).await.unwrap(), Some(1));
    let late = keyed_record(1, "another key", 1);
    assert_eq!(store.put_job(&late, 0).await.unwrap(), Acceptance::FleetChanged);
    assert_eq!(store.put_job(&late, 2).await.unwrap(), Acceptance::FleetChanged);
    assert_eq!(store.job(late.id).await.unwrap(), None);
    assert_eq!(store.put_job(&before, 0).await.unwrap(), Acceptance::Accepted);
    let again = keyed_record(1, "key", 1);
    assert_eq!(store.put_job(&again, 0).await.unwrap(), Acceptance::InProgress(before.id));
    assert_eq!(store.put_job(&keyed_record(1, "another key", 2), 1).await.unwrap(), Acceptance::Accepted);
}

/// Sixteen tasks count up together: no count is lost.
pub async fn of_racing_replacements_exactly_one_happens(bench: impl Bench) {
    let mut racers = JoinSet::new();
    for _ in 0..16 {
        let store = bench.store().await;
        racers.spawn(async move {
            let mut mine = 0;
            while mine < 10 {
                let Revised { revision, value } = store.fleet().await.unwrap();
                let next = FleetState { generation: value.generation.next(), ..value };
                if let Some(now) = store.replace_fleet(revision, &next).await.unwrap() {
                    assert_eq!((now, next.generation.0), (revision + 1, revision + 1));
                    mine += 1;
                }
            }
        });
    }
    racers.join_all().await;
    let last = bench.store().await.fleet().await.unwrap();
    assert_eq!((last.revision, last.value.generation), (160, Generation(160)));
}

fn report(host: &str, images_total: u64) -> WorkerReport {
    WorkerReport {
        id: WorkerId::from(host.to_owned()),
        host: host.to_owned(),
        state: WorkerState::Ready,
        device: "cpu".to_owned(),
        generation: Some(Generation(3)),
        loaded: Vec::new(),
        preparation: None,
        problem: None,
        images_per_second: 1.5,
        parts_per_second: 0.5,
        images_total,
        started_at: Timestamp(1),
        reported_at: Timestamp(2),
    }
}

/// Reports are listed by id, renewed, removed, and gone when their time is over.
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
