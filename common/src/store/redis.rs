//! The store of a fleet: Redis, 6 or newer.
//!
//! A job is a hash, an idempotency key another one with its job's id, and the fleet's state a third (`keys`,
//! `documents`). Atomic changes are scripts (`scripts`), which may be sent again (`calls`) over one connection
//! (`link`). `faults` is the table of Redis errors, and `wake` wakes waiters.
//!
//! Redis needs `appendonly yes`, so that jobs survive its restart, and `maxmemory-policy noeviction`, so that it
//! refuses new jobs instead of deleting accepted ones.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::{Client, FromRedisValue, ScriptInvocation};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

use crate::fleet::{FleetState, WorkerReport};
use crate::ids::{JobId, Revision, WorkerId};
use crate::messages::{Job, JobRecord, PartId, PartResult, Timestamp};
use crate::store::watch::{Watch, Watched};
use crate::store::{Acceptance, Replacement, Revised, Store, StoreError, Stored, Wanted};

pub use address::UnusableUrl;
use calls::Call;
use documents::{malformed, pack, to_json};
use keys::Keys;
use link::Link;
use roll_call::RollCall;
use scripts::Scripts;

mod address;
mod calls;
mod documents;
mod faults;
mod keys;
mod link;
mod roll_call;
mod scripts;
mod troubles;
mod wake;

/// Poll interval of a waiter that is not woken.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Most bytes of a result that is published with its job's end: a score and a label for each image of a part, with some
/// reserve.
const TOLD_WITH_THE_END: usize = 4096;

/// Bytes of a result that is sent over the connection for large values.
const LARGE: usize = 1 << 16;

/// Timeout of the check whether Redis accepts jobs: callers want a quick answer with the true cause.
const PROBE_LIMIT: Duration = Duration::from_millis(1500);

/// How long the value that this check writes is kept.
const PROBE_KEPT: Duration = Duration::from_secs(60);

/// How long a cancellation is remembered in case its answer is lost: longer than a call.
const CANCEL_REMEMBERED: Duration = Duration::from_secs(120);

/// Lua's numbers are doubles, exact up to 2^53 milliseconds: 285,000 years.
const LAST_MOMENT: u64 = 1 << 52;

/// Which Redis, and how to use it.
#[derive(Clone)]
pub struct RedisConfig {
    /// `redis://user:password@host:port/database`.
    pub url: String,
    /// Prefix of every key.
    pub prefix: String,
    /// Timeout of every call.
    pub call_timeout: Duration,
}

/// Jobs, results and the fleet's state in Redis.
pub struct RedisStore {
    link: Link,
    /// For calls with large values: a reply of 32 MiB would keep all others of its connection waiting.
    bulk_link: Link,
    keys: Keys,
    call_timeout: Duration,
    scripts: Scripts,
    watched: Arc<Watched>,
    roll_call: RollCall,
    listening: JoinHandle<()>,
}

/// The fields of a job's hash.
struct Found {
    job: Job,
    /// From now until the latest deadline.
    left: Duration,
}

impl RedisStore {
    /// Creates a store for this address. The first call connects.
    ///
    /// # Errors
    /// The URL can never work.
    pub fn new(config: RedisConfig) -> Result<Arc<Self>, UnusableUrl> {
        let RedisConfig { url, prefix, call_timeout } = config;
        let info = address::parse(&url, call_timeout)?;
        let link = Link::new(&info, call_timeout)?;
        let client = Client::open(info).map_err(UnusableUrl::from_client)?;
        let keys = Keys::new(&prefix);
        let watched = Arc::<Watched>::default();
        let listening = wake::listen(client, keys.ends.clone(), link.clone(), Arc::clone(&watched));
        Ok(Arc::new(Self {
            bulk_link: link.beside(),
            link,
            keys,
            call_timeout,
            scripts: Scripts::new(),
            watched,
            roll_call: RollCall::default(),
            listening: tokio::spawn(listening),
        }))
    }

    /// Creates a store for this address, which was reached and accepts jobs.
    ///
    /// # Errors
    /// The URL can never work, or the store does not accept jobs.
    pub async fn connect(config: RedisConfig) -> Result<Arc<Self>, StoreError> {
        let store = Self::new(config)?;
        store.probe(store.call_timeout).await?;
        Ok(store)
    }

    /// Writes a value that is never read.
    async fn probe(&self, limit: Duration) -> Result<(), StoreError> {
        let mut script = self.scripts.can_write.key(&self.keys.probe);
        let call = Call { name: "can_write", limit };
        self.link.run(call, script.arg(milliseconds(PROBE_KEPT))).await
    }

    fn call(&self, name: &'static str) -> Call {
        Call { name, limit: self.call_timeout }
    }

    async fn run<T: FromRedisValue>(
        &self,
        name: &'static str,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, StoreError> {
        self.link.run(self.call(name), script).await
    }

    /// Returns whether the job was known and is cancelled.
    async fn forget(&self, job: JobId, when: &str) -> Result<bool, StoreError> {
        let mut script = self.scripts.cancel_job.key(self.keys.job(job));
        script.key(self.keys.tries(job)).key(self.keys.cancelled(job));
        script
            .arg(job.to_string())
            .arg(&self.keys.ends)
            .arg(token())
            .arg(milliseconds(CANCEL_REMEMBERED))
            .arg(when);
        self.run("cancel_job", &script).await
    }

    async fn read(&self, job: JobId) -> Result<Option<Found>, StoreError> {
        // The clock first: what is missing after the deadline cannot come any more.
        let mut pipeline = redis::pipe();
        pipeline.cmd("TIME").cmd("HGETALL").arg(self.keys.job(job));
        let (now, fields): (Timestamp, HashMap<String, Vec<u8>>) =
            self.bulk_link.timed(self.call("job"), &pipeline).await?;
        if fields.is_empty() {
            return Ok(None);
        }
        let (record, progress) = documents::job(&fields)?;
        let left = progress.deadline.since(now);
        Ok(Some(Found { job: Job::assemble(record, progress, now), left }))
    }
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

#[async_trait]
impl Store for RedisStore {
    fn now(&self) -> Timestamp {
        self.link.clock().now(Timestamp::now())
    }

    fn clock_offset(&self) -> Option<i64> {
        self.link.clock().offset(Timestamp::now())
    }

    async fn can_write(&self) -> Result<(), StoreError> {
        self.probe(PROBE_LIMIT.min(self.call_timeout)).await
    }

    async fn put_job(&self, record: &JobRecord, fleet: Revision) -> Result<Acceptance, StoreError> {
        let job = self.keys.job(record.id);
        let mut script = self.scripts.put_job.key(&job);
        script.key(&self.keys.fleet);
        let request: &[u8] = match &record.idempotency {
            Some(idempotency) => {
                script.key(format!("{}{}", self.keys.idempotency, idempotency.key));
                &idempotency.request
            }
            None => {
                script.key(&job);
                &[]
            }
        };
        script.arg(record.id.to_string()).arg(pack(record)?);
        script.arg(documents::JOB_VERSION).arg(record.parts);
        script.arg(record.deadline.0.min(LAST_MOMENT)).arg(milliseconds(record.retention));
        script.arg(request).arg(&self.keys.jobs).arg(fleet.number());
        let (what, owner): (String, String) = self.run("put_job", &script).await?;
        let owner = owner.parse().map_err(|fault| malformed("an idempotency key", &fault))?;
        match what.as_str() {
            "accepted" => Ok(Acceptance::Accepted),
            "same" => Ok(Acceptance::SameRequest(owner)),
            "in_progress" => Ok(Acceptance::InProgress(owner)),
            "fleet_changed" => Ok(Acceptance::FleetChanged),
            _ => Ok(Acceptance::OtherRequest),
        }
    }

    async fn confirm_job(&self, job: JobId) -> Result<(), StoreError> {
        self.run("confirm_job", &self.scripts.confirm_job.key(self.keys.job(job))).await
    }

    async fn job(&self, job: JobId) -> Result<Option<Job>, StoreError> {
        Ok(self.read(job).await?.map(|found| found.job))
    }

    fn watch(&self, job: JobId) -> Watch {
        self.watched.begin(job)
    }

    async fn wait(&self, mut watch: Watch, limit: Duration) -> Result<Option<Job>, StoreError> {
        let begun = Instant::now();
        let until = begun + limit;
        let mut look_at = if watch.is_of_new_job() { begun + LOOK_AGAIN } else { begun };
        loop {
            watch.woken_until(look_at.min(until)).await;
            if let Some(job) = watch.told() {
                return Ok(Some(job));
            }
            let Some(Found { job, left }) = self.read(watch.job()).await? else { return Ok(None) };
            let now = Instant::now();
            if job.is_finished() || now >= until {
                return Ok(Some(job));
            }
            // Slightly more than the rest, since milliseconds are rounded down.
            look_at = now + LOOK_AGAIN.min(left + Duration::from_millis(1));
        }
    }

    async fn cancel_job(&self, job: JobId) -> Result<bool, StoreError> {
        self.forget(job, "always").await
    }

    async fn withdraw_job(&self, job: JobId) -> Result<(), StoreError> {
        self.forget(job, "unless_told").await.map(|_| ())
    }

    async fn forget_after(&self, jobs: &[JobId], span: Duration) -> Result<(), StoreError> {
        let mut script = self.scripts.forget_after.prepare_invoke();
        script.arg(milliseconds(span));
        for job in jobs {
            script.key(self.keys.job(*job));
        }
        self.run("forget_after", &script).await
    }

    async fn begin_part(&self, part: PartId) -> Result<Wanted, StoreError> {
        let mut script = self.scripts.begin_part.key(self.keys.job(part.job));
        let wanted: bool = self.run("begin_part", script.arg(part.index)).await?;
        Ok(if wanted { Wanted::Yes } else { Wanted::No })
    }

    async fn put_part(&self, part: PartId, result: &PartResult) -> Result<Stored, StoreError> {
        let mut script = self.scripts.put_part.key(self.keys.job(part.job));
        script.key(self.keys.tries(part.job));
        let result = pack(result)?;
        let link = if result.len() > LARGE { &self.bulk_link } else { &self.link };
        script.arg(part.job.to_string()).arg(part.index).arg(result);
        script.arg(&self.keys.ends).arg(TOLD_WITH_THE_END);
        let first: bool = link.run(self.call("put_part"), &script).await?;
        Ok(if first { Stored::First } else { Stored::Ignored })
    }

    async fn begin_try(&self, part: PartId, position: u32) -> Result<u32, StoreError> {
        let mut script = self.scripts.begin_try.key(self.keys.job(part.job));
        script.key(self.keys.tries(part.job));
        self.run("begin_try", script.arg(part.index).arg(position).arg(token())).await
    }

    async fn end_try(&self, part: PartId, position: u32) -> Result<(), StoreError> {
        let mut script = self.scripts.end_try.key(self.keys.tries(part.job));
        self.run("end_try", script.arg(part.index).arg(position).arg(token())).await
    }

    async fn reopen_part(&self, part: PartId, deadline: Timestamp) -> Result<Option<PartId>, StoreError> {
        let mut script = self.scripts.reopen_part.key(self.keys.job(part.job));
        script.arg(part.index).arg(deadline.0.min(LAST_MOMENT));
        let index: i64 = self.run("reopen_part", &script).await?;
        Ok(u32::try_from(index).ok().map(|index| PartId { job: part.job, index }))
    }

    async fn fleet(&self) -> Result<Revised<FleetState>, StoreError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("TIME").cmd("HMGET").arg(&self.keys.fleet).arg("revision").arg("state");
        let (_, (revision, state)): (_, (Option<u64>, Option<Vec<u8>>)) =
            self.link.timed(self.call("fleet"), &pipeline).await?;
        let value = match state {
            Some(json) => documents::fleet(&json)?,
            None => FleetState::default(),
        };
        Ok(Revised { revision: revision.map_or(Revision::NONE, Revision::from_number), value })
    }

    async fn replace_fleet(
        &self,
        revision: Revision,
        next: &FleetState,
        not_after: Option<Timestamp>,
    ) -> Result<Replacement, StoreError> {
        let new = Revision::random();
        let mut script = self.scripts.replace_fleet.key(&self.keys.fleet);
        script.arg(revision.number()).arg(to_json(next)?).arg(new.number());
        script.arg(not_after.map_or(LAST_MOMENT, |last| last.0.min(LAST_MOMENT)));
        let what: String = self.run("replace_fleet", &script).await?;
        match what.as_str() {
            "done" => Ok(Replacement::Done(new)),
            "too_late" => Ok(Replacement::TooLate),
            _ => Ok(Replacement::Changed),
        }
    }

    async fn report_worker(&self, report: &WorkerReport, ttl: Duration) -> Result<(), StoreError> {
        let mut script = self.scripts.report_worker.key(&self.keys.workers);
        script.key(&self.keys.worker_ends).arg(report.id.as_str()).arg(to_json(report)?);
        self.run("report_worker", script.arg(milliseconds(ttl))).await
    }

    async fn remove_worker(&self, worker: &WorkerId) -> Result<(), StoreError> {
        let mut script = self.scripts.remove_worker.key(&self.keys.workers);
        self.run("remove_worker", script.key(&self.keys.worker_ends).arg(worker.as_str())).await
    }

    async fn workers(&self) -> Result<Vec<WorkerReport>, StoreError> {
        let mut script = self.scripts.workers.key(&self.keys.workers);
        let reports = self.run("workers", script.key(&self.keys.worker_ends)).await?;
        Ok(self.roll_call.read(reports))
    }
}

/// Unique id of a call, so that its repetition is recognized.
fn token() -> String {
    Uuid::new_v4().to_string()
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX).min(LAST_MOMENT)
}
