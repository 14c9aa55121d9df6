//! The behaviours of every [`Store`], each as a test for every implementation.
//!
//! [`store_contract!`](crate::store_contract) generates the tests. Each behaviour gets a [`Bench`], which makes stores;
//! two stores of one bench share their data, like two processes of a fleet.
#![expect(clippy::unwrap_used, reason = "these are tests, which fail by panicking")]

pub mod fleet;
pub mod replays;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::samples::{failed, keyed_record, record, result};
use common::ids::JobId;
use common::messages::{ImageOutcome, Job, JobFailure, JobRecord, JobStatus, PartId, StageTimes, Timestamp};
use common::store::{Acceptance, Store, Stored, Wanted};

/// Far longer than any operation here takes.
const SOON: Duration = Duration::from_secs(30);

/// The largest error of a reading of a store's clock, on a busy machine.
const CLOCK_ERROR: Duration = Duration::from_millis(100);

/// Makes stores that share their data, which is empty at first.
#[async_trait::async_trait]
pub trait Bench: Send + Sync {
    /// Creates another process's handle to the store.
    async fn store(&self) -> Arc<dyn Store>;
}

fn id(record: &JobRecord, index: u32) -> PartId {
    PartId { job: record.id, index }
}

/// Under the current revision of the fleet's state.
async fn put(store: &Arc<dyn Store>, record: &JobRecord) -> Acceptance {
    let fleet = store.fleet().await.unwrap().revision;
    store.put_job(record, fleet).await.unwrap()
}

async fn accept(store: &Arc<dyn Store>, record: &JobRecord) {
    assert_eq!(put(store, record).await, Acceptance::Accepted);
}

async fn wait(store: &Arc<dyn Store>, job: JobId, limit: Duration) -> Option<Job> {
    store.wait(store.watch(job), limit).await.unwrap()
}

async fn status(store: &Arc<dyn Store>, record: &JobRecord) -> JobStatus {
    let job = store.job(record.id).await.unwrap().expect("the job is known");
    assert_eq!(job.record, *record);
    job.status
}

fn labels(job: &Job) -> Vec<String> {
    let JobStatus::Done { outcomes, .. } = &job.status else { panic!("not done: {job:?}") };
    let label = |outcome: &ImageOutcome| match outcome {
        ImageOutcome::Classified { best, .. } => best.label.clone(),
        ImageOutcome::Rejected(error) => error.code.to_string(),
    };
    outcomes.iter().map(label).collect()
}

fn is_overdue(status: &JobStatus) -> bool {
    matches!(status, JobStatus::Failed { failure: JobFailure::DeadlineExceeded, .. })
}

/// Waits until the job is unknown.
async fn until_forgotten(store: &Arc<dyn Store>, record: &JobRecord) {
    let looking = async {
        while store.job(record.id).await.unwrap().is_some() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, looking).await.expect("the job is forgotten soon");
}

/// Queued, processing, done; the answer is in the order of the request, and the same for all processes.
pub async fn a_job_goes_from_queued_to_done(bench: impl Bench) {
    let (store, other) = (bench.store().await, bench.store().await);
    store.can_write().await.unwrap();
    let record = record(3);
    assert_eq!(store.job(record.id).await.unwrap(), None);
    accept(&store, &record).await;
    assert_eq!(status(&other, &record).await, JobStatus::Queued);
    assert_eq!(other.begin_part(id(&record, 1)).await.unwrap(), Wanted::Yes);
    assert_eq!(status(&store, &record).await, JobStatus::Processing);
    for index in [2, 0, 1] {
        assert_eq!(status(&store, &record).await, JobStatus::Processing);
        let result = result(index, &format!("label {index}"));
        assert_eq!(other.put_part(id(&record, index), &result).await.unwrap(), Stored::First);
    }
    let job = store.job(record.id).await.unwrap().unwrap();
    let bad = "undecodable_image";
    assert_eq!(labels(&job), ["label 0", bad, "label 1", bad, "label 2", bad]);
    let JobStatus::Done { outcomes, times } = job.status else { panic!("it is done") };
    let ImageOutcome::Classified { scores, .. } = &outcomes[0] else { panic!("it is classified") };
    assert_eq!((scores.len(), times), (2, StageTimes { queue: 1, decode: 2, inference: 3 }));
}

/// The first result stays, whatever comes later.
pub async fn the_first_result_of_a_part_stays(bench: impl Bench) {
    let store = bench.store().await;
    let record = record(2);
    accept(&store, &record).await;
    for (index, label, stored) in
        [(0, "first", Stored::First), (0, "later", Stored::Ignored), (1, "first", Stored::First)]
    {
        assert_eq!(store.put_part(id(&record, index), &result(index, label)).await.unwrap(), stored);
    }
    assert_eq!(store.put_part(id(&record, 1), &result(1, "later")).await.unwrap(), Stored::Ignored);
    assert_eq!(store.put_part(id(&record, 2), &result(2, "none")).await.unwrap(), Stored::Ignored);
    let labels = labels(&store.job(record.id).await.unwrap().unwrap());
    assert_eq!((labels[0].as_str(), labels[2].as_str(), labels.len()), ("first", "first", 4));
}

/// Sixteen workers race with results of the same part: one is first, and stays.
pub async fn of_racing_results_one_is_first(bench: impl Bench) {
    let store = bench.store().await;
    let record = record(1);
    accept(&store, &record).await;
    let mut racers = JoinSet::new();
    for number in 0..16 {
        let store = bench.store().await;
        let part = id(&record, 0);
        racers.spawn(async move {
            let label = format!("label {number}");
            (store.put_part(part, &result(0, &label)).await.unwrap() == Stored::First).then_some(label)
        });
    }
    let winners: Vec<String> = racers.join_all().await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(labels(&store.job(record.id).await.unwrap().unwrap())[0], winners[0]);
}

/// A job whose part failed has failed.
pub async fn a_failed_part_fails_its_job(bench: impl Bench) {
    let store = bench.store().await;
    let record = record(2);
    accept(&store, &record).await;
    store.put_part(id(&record, 0), &result(0, "dog")).await.unwrap();
    store.put_part(id(&record, 1), &failed(JobFailure::ModelUnavailable)).await.unwrap();
    let ended = status(&store, &record).await;
    assert!(matches!(ended, JobStatus::Failed { failure: JobFailure::ModelUnavailable, .. }), "{ended:?}");
}

/// It is not begun twice as if new, and not begun when it is not wanted any more.
pub async fn a_part_is_wanted_until_it_has_a_result(bench: impl Bench) {
    let store = bench.store().await;
    let record = record(2);
    assert_eq!(store.begin_part(id(&record, 0)).await.unwrap(), Wanted::No);
    accept(&store, &record).await;
    assert_eq!(store.begin_part(id(&record, 0)).await.unwrap(), Wanted::Yes);
    assert_eq!(store.begin_part(id(&record, 0)).await.unwrap(), Wanted::Yes);
    assert_eq!(store.begin_part(id(&record, 2)).await.unwrap(), Wanted::No);
    store.put_part(id(&record, 0), &result(0, "dog")).await.unwrap();
    assert_eq!(store.begin_part(id(&record, 0)).await.unwrap(), Wanted::No);
    assert_eq!(store.begin_part(id(&record, 1)).await.unwrap(), Wanted::Yes);
}

/// All waiters wake at once, in this process and in others.
pub async fn everybody_who_waits_wakes_when_the_last_result_comes(bench: impl Bench) {
    let store = bench.store().await;
    let record = record(2);
    accept(&store, &record).await;
    let mut waiting = JoinSet::new();
    for number in 0..8 {
        let store = if number % 2 == 0 { Arc::clone(&store) } else { bench.store().await };
        let job = record.id;
        waiting.spawn(async move { wait(&store, job, SOON).await.unwrap() });
    }
    sleep(Duration::from_millis(100)).await;
    let worker = bench.store().await;
    worker.put_part(id(&record, 0), &result(0, "dog")).await.unwrap();
    worker.put_part(id(&record, 1), &result(1, "cat")).await.unwrap();
    let begin = Instant::now();
    for job in waiting.join_all().await {
        assert_eq!(labels(&job)[2], "cat");
    }
    assert!(begin.elapsed() < Duration::from_millis(900), "they were not woken: {:?}", begin.elapsed());
}

/// A wait ends at its limit with the current state, and at once for an unknown or finished job.
pub async fn a_wait_ends_at_its_limit(bench: impl Bench) {
    let store = bench.store().await;
    let record = record(1);
    assert_eq!(wait(&store, record.id, SOON).await, None);
    accept(&store, &record).await;
    let begin = Instant::now();
    let limit = Duration::from_millis(150);
    let job = wait(&store, record.id, limit).await.unwrap();
    assert_eq!(job.status, JobStatus::Queued);
    assert!(begin.elapsed() >= limit && begin.elapsed() < SOON);
    store.put_part(id(&record, 0), &result(0, "dog")).await.unwrap();
    let job = timeout(SOON, wait(&store, record.id, SOON * 2)).await.expect("it is finished");
    assert!(job.unwrap().is_finished());
}

/// A thousand jobs end while a thousand tasks wait for them: each gets its own answer.
pub async fn a_thousand_waits_get_their_own_answers(bench: impl Bench) {
    let (store, worker) = (bench.store().await, bench.store().await);
    let mut waiting = JoinSet::new();
    for number in 0..1000 {
        let (store, worker) = (Arc::clone(&store), Arc::clone(&worker));
        waiting.spawn(async move {
            let record = record(1);
            accept(&store, &record).await;
            let label = format!("label {number}");
            let answer = result(0, &label);
            let (job, _) =
                tokio::join!(wait(&store, record.id, SOON), worker.put_part(id(&record, 0), &answer));
            assert_eq!(labels(&job.unwrap())[0], label);
        });
    }
    timeout(SOON, waiting.join_all()).await.expect("all are answered");
}

/// A watch that began before a job is stored sees an end that comes before the wait.
pub async fn a_watch_of_a_new_job_does_not_miss_its_end(bench: impl Bench) {
    let (store, worker) = (bench.store().await, bench.store().await);
    for _ in 0..20 {
        let record = record(1);
        let watch = store.watch(record.id);
        accept(&store, &record).await;
        let watch = watch.of_new_job(record.clone());
        worker.put_part(id(&record, 0), &result(0, "dog")).await.unwrap();
        let begin = Instant::now();
        let job = store.wait(watch, SOON).await.unwrap().unwrap();
        assert_eq!(Some(&job), store.job(record.id).await.unwrap().as_ref());
        assert_eq!(labels(&job)[0], "dog");
        assert!(begin.elapsed() < Duration::from_millis(900), "it was not heard of: {:?}", begin.elapsed());
    }
}

/// A cancelled job is unknown at once, its waiters learn it, and its parts are not wanted.
pub async fn a_cancelled_job_is_unknown(bench: impl Bench) {
    let (store, other) = (bench.store().await, bench.store().await);
    let record = keyed_record(1, "key", 1);
    accept(&store, &record).await;
    let job = record.id;
    let waiting = tokio::spawn(async move { wait(&other, job, SOON).await });
    sleep(Duration::from_millis(50)).await;
    assert!(store.cancel_job(record.id).await.unwrap());
    assert_eq!(timeout(SOON, waiting).await.expect("it wakes").unwrap(), None);
    assert!(!store.cancel_job(record.id).await.unwrap());
    assert_eq!(store.job(record.id).await.unwrap(), None);
    assert_eq!(store.begin_part(id(&record, 0)).await.unwrap(), Wanted::No);
    assert_eq!(store.put_part(id(&record, 0), &result(0, "dog")).await.unwrap(), Stored::Ignored);
    assert_eq!(store.reopen_part(id(&record, 0), Timestamp::now()).await.unwrap(), None);
    assert_eq!(store.begin_try(id(&record, 0), 0).await.unwrap(), 1);
    store.confirm_job(record.id).await.unwrap();
    assert_eq!(store.job(record.id).await.unwrap(), None);
    accept(&store, &keyed_record(1, "key", 2)).await;
}

/// A withdrawn job is unknown and its key free, unless another request with its key was told of it.
pub async fn a_withdrawn_job_is_unknown_unless_somebody_was_told_of_it(bench: impl Bench) {
    let store = bench.store().await;
    let refused = keyed_record(1, "refused", 1);
    accept(&store, &refused).await;
    store.withdraw_job(refused.id).await.unwrap();
    assert_eq!(store.job(refused.id).await.unwrap(), None);
    accept(&store, &keyed_record(1, "refused", 2)).await;

    let queued = keyed_record(1, "queued", 3);
    accept(&store, &queued).await;
    store.confirm_job(queued.id).await.unwrap();
    store.withdraw_job(queued.id).await.unwrap();
    assert!(store.job(queued.id).await.unwrap().is_some());

    let done = keyed_record(1, "done", 4);
    accept(&store, &done).await;
    store.put_part(id(&done, 0), &result(0, "dog")).await.unwrap();
    store.withdraw_job(done.id).await.unwrap();
    assert!(store.job(done.id).await.unwrap().is_some());
    store.withdraw_job(JobId::random()).await.unwrap();
}

/// The same key with the same request gives the same job, with another request none.
pub async fn an_idempotency_key_belongs_to_one_request(bench: impl Bench) {
    let store = bench.store().await;
    let first = keyed_record(1, "key", 1);
    accept(&store, &first).await;
    // A repetition by the same process, which did not get the answer.
    accept(&store, &first).await;
    let again = keyed_record(1, "key", 1);
    assert_eq!(put(&store, &again).await, Acceptance::InProgress(first.id));
    store.confirm_job(first.id).await.unwrap();
    assert_eq!(put(&store, &again).await, Acceptance::SameRequest(first.id));
    assert_eq!(store.job(again.id).await.unwrap(), None);
    assert_eq!(put(&store, &keyed_record(1, "key", 2)).await, Acceptance::OtherRequest);
    accept(&store, &keyed_record(1, "other key", 2)).await;
}

/// A job that was never confirmed but has ended needs no further work.
pub async fn an_ended_job_is_not_in_progress(bench: impl Bench) {
    let store = bench.store().await;
    let first = keyed_record(1, "key", 1);
    accept(&store, &first).await;
    store.put_part(id(&first, 0), &result(0, "dog")).await.unwrap();
    let again = keyed_record(1, "key", 1);
    assert_eq!(put(&store, &again).await, Acceptance::SameRequest(first.id));
}

/// Sixteen requests with one key race: one is accepted, the others get its job.
pub async fn of_racing_requests_with_one_key_one_is_accepted(bench: impl Bench) {
    let mut racers = JoinSet::new();
    for _ in 0..16 {
        let store = bench.store().await;
        racers.spawn(async move {
            let record = keyed_record(1, "key", 1);
            (record.id, put(&store, &record).await)
        });
    }
    let outcomes = racers.join_all().await;
    let accepted: Vec<JobId> =
        outcomes.iter().filter(|(_, what)| *what == Acceptance::Accepted).map(|(job, _)| *job).collect();
    assert_eq!(accepted.len(), 1);
    let told = outcomes.iter().filter(|(_, what)| *what == Acceptance::InProgress(accepted[0]));
    assert_eq!(told.count(), 15);
}

/// After its deadline a job has failed; waiters learn it then, and a late result changes nothing.
pub async fn a_job_ends_at_its_deadline(bench: impl Bench) {
    let store = bench.store().await;
    store.can_write().await.unwrap();
    let record = JobRecord { deadline: store.now().after(Duration::from_millis(300)), ..record(2) };
    accept(&store, &record).await;
    store.put_part(id(&record, 0), &result(0, "dog")).await.unwrap();
    let job = timeout(SOON, wait(&store, record.id, SOON * 2)).await.expect("it ends").unwrap();
    assert!(is_overdue(&job.status), "{job:?}");
    assert!(store.now().after(CLOCK_ERROR) >= record.deadline);
    assert_eq!(store.begin_part(id(&record, 1)).await.unwrap(), Wanted::No);
    assert_eq!(store.put_part(id(&record, 1), &result(1, "cat")).await.unwrap(), Stored::Ignored);
    assert!(is_overdue(&status(&store, &record).await));
}

/// A finished job is kept for its retention from then on, and its key with it.
pub async fn a_finished_job_is_kept_for_its_retention(bench: impl Bench) {
    let store = bench.store().await;
    let retention = Duration::from_millis(1500);
    let record = JobRecord { retention, ..keyed_record(1, "key", 1) };
    accept(&store, &record).await;
    // Until it ends it is kept, although its retention is shorter than this.
    sleep(Duration::from_millis(1600)).await;
    let begin = Instant::now();
    store.put_part(id(&record, 0), &result(0, "dog")).await.unwrap();
    assert!(status(&store, &record).await != JobStatus::Processing);
    until_forgotten(&store, &record).await;
    assert!(begin.elapsed() >= retention - Duration::from_millis(20));
    accept(&store, &keyed_record(1, "key", 2)).await;
}

/// A finished job can be expired earlier than its retention, and its key with it; an unfinished one cannot.
pub async fn a_finished_job_can_be_forgotten_sooner(bench: impl Bench) {
    let (store, other) = (bench.store().await, bench.store().await);
    let (finished, unfinished, unknown) = (keyed_record(1, "key", 1), record(2), record(1));
    for record in [&finished, &unfinished] {
        accept(&store, record).await;
        store.put_part(id(record, 0), &result(0, "dog")).await.unwrap();
    }
    let (begin, span) = (Instant::now(), Duration::from_millis(300));
    other.forget_after(&[unknown.id, unfinished.id, finished.id], span).await.unwrap();
    assert!(matches!(status(&store, &finished).await, JobStatus::Done { .. }));
    until_forgotten(&store, &finished).await;
    assert!(begin.elapsed() >= span - Duration::from_millis(20));
    accept(&store, &keyed_record(1, "key", 2)).await;
    assert_eq!(status(&store, &unfinished).await, JobStatus::Processing);
    assert_eq!(store.put_part(id(&unfinished, 1), &result(1, "cat")).await.unwrap(), Stored::First);
}

/// An unfinished job is kept until its deadline and then for its retention.
pub async fn an_unfinished_job_is_kept_past_its_deadline(bench: impl Bench) {
    let store = bench.store().await;
    let deadline = store.now().after(Duration::from_millis(200));
    let record = JobRecord { deadline, retention: Duration::from_millis(300), ..record(1) };
    accept(&store, &record).await;
    store.begin_try(id(&record, 0), 0).await.unwrap();
    until_forgotten(&store, &record).await;
    assert!(store.now().after(CLOCK_ERROR) >= deadline.after(Duration::from_millis(290)));
}

/// The store's clock advances, and all processes that have called the store read the same time.
pub async fn the_stores_clock_goes_on(bench: impl Bench) {
    let (store, other) = (bench.store().await, bench.store().await);
    store.fleet().await.unwrap();
    other.fleet().await.unwrap();
    assert!(store.clock_offset().is_some());
    let (begin, moment) = (Instant::now(), store.now());
    assert!(other.now().since(moment) < CLOCK_ERROR && moment.since(other.now()) < CLOCK_ERROR);
    sleep(Duration::from_millis(300)).await;
    let gone = store.now().since(moment);
    assert!(gone + CLOCK_ERROR >= Duration::from_millis(300) && gone <= begin.elapsed() + CLOCK_ERROR);
}

/// Generates a test of every behaviour. `$bench` is an expression of type `impl Bench`.
#[macro_export]
macro_rules! store_contract {
    ($bench:expr) => {
        $crate::behaviours! { $crate::store, $bench,
            a_job_goes_from_queued_to_done
            the_first_result_of_a_part_stays
            of_racing_results_one_is_first
            a_failed_part_fails_its_job
            a_part_is_wanted_until_it_has_a_result
            everybody_who_waits_wakes_when_the_last_result_comes
            a_wait_ends_at_its_limit
            a_thousand_waits_get_their_own_answers
            a_watch_of_a_new_job_does_not_miss_its_end
            a_cancelled_job_is_unknown
            a_withdrawn_job_is_unknown_unless_somebody_was_told_of_it
            an_idempotency_key_belongs_to_one_request
            an_ended_job_is_not_in_progress
            of_racing_requests_with_one_key_one_is_accepted
            a_job_ends_at_its_deadline
            a_finished_job_is_kept_for_its_retention
            a_finished_job_can_be_forgotten_sooner
            an_unfinished_job_is_kept_past_its_deadline
            the_stores_clock_goes_on
        }
        $crate::behaviours! { $crate::store::replays, $bench,
            tries_are_counted_until_the_result
            a_failed_part_can_be_reopened
            the_index_of_a_reopened_part_is_never_anothers
            an_overdue_job_can_be_reopened
        }
        $crate::behaviours! { $crate::store::fleet, $bench,
            the_fleets_state_is_replaced_by_who_saw_it
            a_replacement_that_comes_too_late_changes_nothing
            no_revision_is_given_twice
            a_state_of_a_newer_release_is_refused_by_name
            a_job_is_put_under_the_state_that_its_model_was_chosen_from
            of_racing_replacements_exactly_one_happens
            a_workers_report_lasts_its_time
        }
    };
}
