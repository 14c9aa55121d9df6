//! Documents of other releases, and invalid ones.

use std::time::Duration;

use common::fleet::{FleetState, WorkerReport, WorkerState};
use common::ids::{Generation, Revision};
use common::messages::{JobFailure, JobStatus, PartEnd, PartId, PartResult};
use common::store::redis::{RedisConfig, RedisStore};
use common::store::{Acceptance, Store, StoreError};
use testing::samples::{record, report, result};
use testing::{RedisServer, shared_redis, unique_prefix};

struct Bench {
    server: &'static RedisServer,
    prefix: String,
    store: std::sync::Arc<RedisStore>,
}

impl Bench {
    async fn new() -> Self {
        let (server, prefix) = (shared_redis(), unique_prefix());
        let config =
            RedisConfig { url: server.url(), prefix: prefix.clone(), call_timeout: Duration::from_secs(20) };
        Self { server, prefix, store: RedisStore::connect(config).await.unwrap() }
    }

    /// Writes a field as another program would.
    fn write(&self, key: &str, field: &str, value: &str) {
        self.server.command(&["HSET", &format!("{{{}}}:{key}", self.prefix), field, value]).unwrap();
    }
}

fn refusal<T: std::fmt::Debug>(outcome: Result<T, StoreError>) -> String {
    let Err(StoreError::Refused(text)) = outcome else { panic!("{outcome:?}") };
    text
}

#[tokio::test]
async fn a_report_that_cannot_be_read_hides_no_other() {
    let bench = Bench::new().await;
    bench.store.report_worker(&report("a", 1), Duration::from_secs(60)).await.unwrap();
    for (worker, json) in [("b", "no json"), ("c", "{}"), ("d", r#"{"version": 2, "of": "another form"}"#)] {
        bench.write("workers", worker, json);
        bench
            .server
            .command(&["ZADD", &format!("{{{}}}:workers:until", bench.prefix), "inf", worker])
            .unwrap();
    }
    for _ in 0..2 {
        assert_eq!(bench.store.workers().await.unwrap(), [report("a", 1)]);
    }
}

#[tokio::test]
async fn a_value_that_only_a_newer_release_knows_hides_only_itself() {
    let bench = Bench::new().await;
    let json = serde_json::to_string(&report("a", 1)).unwrap();
    let newer = json.replacen("\"ready\"", "\"dreaming\"", 1).replacen('{', r#"{"mood": "calm","#, 1);
    assert!(newer.contains("dreaming"));
    bench.write("workers", "a", &newer);
    bench.server.command(&["ZADD", &format!("{{{}}}:workers:until", bench.prefix), "inf", "a"]).unwrap();
    let expected = WorkerReport { state: WorkerState::Unknown, ..report("a", 1) };
    assert_eq!(bench.store.workers().await.unwrap(), [expected]);
}

#[tokio::test]
async fn a_newer_state_of_the_fleet_is_refused_by_name_and_garbage_is_not_understood() {
    let bench = Bench::new().await;
    let state = FleetState { generation: Generation(3), ..FleetState::default() };
    let revision = bench.store.replace_fleet(Revision::NONE, &state, None).await.unwrap().done().unwrap();
    bench.write("fleet", "state", r#"{"version": 7, "everything": "else"}"#);
    let text = refusal(bench.store.fleet().await);
    let known = FleetState::VERSION.to_string();
    assert!(text.contains("version 7") && text.contains(&known) && text.contains("upgrade"), "{text}");
    bench.write("fleet", "state", "no json");
    assert!(matches!(bench.store.fleet().await, Err(StoreError::Malformed(_))));
    // As releases before 0.2 wrote it.
    let old = r#"{"generation":3,"active":null,"previous":null,"rollout":null}"#;
    bench.write("fleet", "state", old);
    let found = bench.store.fleet().await.unwrap();
    assert_eq!((found.revision, found.value), (revision, state));
}

#[tokio::test]
async fn a_newer_job_is_refused_by_name_and_garbage_is_not_understood() {
    let bench = Bench::new().await;
    let job = record(1);
    bench.store.put_job(&job, Revision::NONE).await.unwrap();
    let key = format!("job:{}", job.id);
    bench.write(&key, "version", "9");
    bench.write(&key, "result:0", "of another form");
    let text = refusal(bench.store.job(job.id).await);
    assert!(text.contains("version 9") && text.contains("upgrade"), "{text}");
    bench.write(&key, "version", "1");
    assert!(matches!(bench.store.job(job.id).await, Err(StoreError::Malformed(_))));
}

/// Jobs of the previous release have no version, and only the current number of parts.
#[tokio::test]
async fn a_job_of_the_release_before_goes_on() {
    let bench = Bench::new().await;
    let job = record(2);
    let part = |index| PartId { job: job.id, index };
    bench.store.put_job(&job, Revision::NONE).await.unwrap();
    let key = format!("{{{}}}:job:{}", bench.prefix, job.id);
    bench.server.command(&["HDEL", &key, "version", "split"]).unwrap();
    // It reopened the second part, whose new index was the next free one.
    let failure =
        PartResult { end: PartEnd::Failed(JobFailure::Internal, "a bug".to_owned()), ..result(1, "") };
    bench.store.put_part(part(1), &failure).await.unwrap();
    bench.server.command(&["HSET", &key, "successor:1", "2", "parts", "3"]).unwrap();

    let later = job.deadline.after(Duration::from_secs(60));
    assert_eq!(bench.store.reopen_part(part(1), later).await.unwrap(), Some(part(2)));
    bench.store.put_part(part(0), &failure).await.unwrap();
    let reopened = bench.store.reopen_part(part(0), later).await.unwrap().unwrap();
    assert!(reopened.index > 2, "index 2 is the other's: {reopened}");
    bench.store.put_part(part(2), &result(1, "cat")).await.unwrap();
    bench.store.put_part(reopened, &result(0, "dog")).await.unwrap();
    let status = bench.store.job(job.id).await.unwrap().unwrap().status;
    assert!(matches!(status, JobStatus::Done { .. }), "{status:?}");
    assert_eq!(bench.store.put_job(&job, Revision::NONE).await.unwrap(), Acceptance::Accepted);
}
