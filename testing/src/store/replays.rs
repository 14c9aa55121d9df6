//! Retries of parts: counted tries, and parts that are reopened for another result.

use std::time::Duration;

use super::{Bench, SOON, accept, id, is_overdue, labels, status, wait};
use crate::samples::{failed, record, result};
use common::messages::{JobFailure, JobRecord, JobStatus};
use common::store::{Stored, Wanted};

/// Tries are counted per image, taken back one by one, and deleted with the part's result.
pub async fn tries_are_counted_until_the_result(bench: impl Bench) {
    let (store, other) = (bench.store().await, bench.store().await);
    let record = record(11);
    accept(&store, &record).await;
    for count in 1..=3 {
        assert_eq!(store.begin_try(id(&record, 1), 2).await.unwrap(), count);
    }
    assert_eq!(other.begin_try(id(&record, 1), 2).await.unwrap(), 4);
    assert_eq!(store.begin_try(id(&record, 1), 3).await.unwrap(), 1);
    assert_eq!(store.begin_try(id(&record, 10), 2).await.unwrap(), 1);
    other.end_try(id(&record, 1), 2).await.unwrap();
    other.end_try(id(&record, 1), 2).await.unwrap();
    assert_eq!(store.begin_try(id(&record, 1), 2).await.unwrap(), 3, "two of four were taken back");
    store.end_try(id(&record, 0), 0).await.unwrap();
    assert_eq!(store.begin_try(id(&record, 0), 0).await.unwrap(), 1, "there was nothing to take back");
    store.put_part(id(&record, 1), &result(1, "dog")).await.unwrap();
    assert_eq!(store.begin_try(id(&record, 1), 2).await.unwrap(), 1);
    assert_eq!(store.begin_try(id(&record, 1), 2).await.unwrap(), 1);
    assert_eq!(store.begin_try(id(&record, 10), 2).await.unwrap(), 2);
}

/// A part without a result keeps its index; one with an error gets a new one, whose outcome counts.
pub async fn a_failed_part_can_be_reopened(bench: impl Bench) {
    let store = bench.store().await;
    let record = record(2);
    accept(&store, &record).await;
    let later = record.deadline.after(Duration::from_secs(60));
    let reopen = async |index| store.reopen_part(id(&record, index), later).await.unwrap();
    assert_eq!(reopen(0).await, Some(id(&record, 0)));
    assert_eq!(reopen(7).await, None);
    store.put_part(id(&record, 0), &failed(JobFailure::Internal)).await.unwrap();
    store.put_part(id(&record, 1), &result(1, "cat")).await.unwrap();
    assert!(matches!(status(&store, &record).await, JobStatus::Failed { .. }));

    assert_eq!(reopen(0).await, Some(id(&record, 2)));
    assert_eq!(reopen(0).await, Some(id(&record, 2)), "done twice, it makes room once");
    assert_eq!(status(&store, &record).await, JobStatus::Processing);
    assert_eq!(store.begin_part(id(&record, 2)).await.unwrap(), Wanted::Yes);
    assert_eq!(store.put_part(id(&record, 2), &failed(JobFailure::Internal)).await.unwrap(), Stored::First);

    assert_eq!(reopen(0).await, Some(id(&record, 4)));
    assert_eq!(store.put_part(id(&record, 3), &result(1, "nobody's")).await.unwrap(), Stored::Ignored);
    assert_eq!(store.put_part(id(&record, 4), &result(0, "dog")).await.unwrap(), Stored::First);
    let job = wait(&store, record.id, SOON).await.unwrap();
    assert_eq!((labels(&job)[0].as_str(), labels(&job)[2].as_str()), ("dog", "cat"));
}

/// The index of a reopened part depends only on the part that it follows: a store that comes back with older data never
/// assigns it to another part.
pub async fn the_index_of_a_reopened_part_is_never_anothers(bench: impl Bench) {
    let store = bench.store().await;
    let mut seen = Vec::new();
    for order in [[0, 1], [1, 0]] {
        let record = record(2);
        accept(&store, &record).await;
        for index in order {
            store.put_part(id(&record, index), &failed(JobFailure::Internal)).await.unwrap();
        }
        let mut given = [0; 2];
        for index in order {
            let part = store.reopen_part(id(&record, index), record.deadline).await.unwrap().unwrap();
            given[index as usize] = part.index;
        }
        for index in [0, 1] {
            let part = id(&record, given[index as usize]);
            assert_eq!(store.begin_part(part).await.unwrap(), Wanted::Yes);
            let label = format!("label {index}");
            assert_eq!(store.put_part(part, &result(index, &label)).await.unwrap(), Stored::First);
        }
        let labels = labels(&store.job(record.id).await.unwrap().unwrap());
        assert_eq!((labels[0].as_str(), labels[2].as_str()), ("label 0", "label 1"));
        seen.push(given);
    }
    assert_eq!(seen[0], seen[1]);
}

/// A job that its deadline ended gets a new deadline.
pub async fn an_overdue_job_can_be_reopened(bench: impl Bench) {
    let store = bench.store().await;
    let record = JobRecord { deadline: store.now(), ..record(1) };
    accept(&store, &record).await;
    assert!(is_overdue(&status(&store, &record).await));
    let later = store.now().after(Duration::from_secs(60));
    assert_eq!(store.reopen_part(id(&record, 0), later).await.unwrap(), Some(id(&record, 0)));
    assert_eq!(status(&store, &record).await, JobStatus::Queued);
    assert_eq!(store.put_part(id(&record, 0), &result(0, "dog")).await.unwrap(), Stored::First);
    assert!(matches!(status(&store, &record).await, JobStatus::Done { .. }));
}
