//! The store of a fleet: Redis, 6 or newer.
//!
//! A job is one hash, an idempotency key another that names its job, the fleet's state a third. What
//! has to happen at once is a script (`scripts`); `wake` tells those who wait.
//!
//! Redis must be told to keep what it is given: `appendonly yes`, so that jobs survive its restart, and
//! `maxmemory-policy noeviction`, so that it refuses new ones instead of forgetting accepted ones.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{Client, ErrorKind, FromRedisValue, IntoConnectionInfo as _, RedisError, ScriptInvocation};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

use crate::fleet::{FleetState, WorkerReport};
use crate::ids::{JobId, WorkerId};
use crate::messages::{Job, JobRecord, PartId, PartResult, Progress, Timestamp};
use crate::patience::persist;
use crate::store::watch::{Watch, Watched};
use crate::store::{Acceptance, Revised, Store, StoreError, Stored, Wanted};

use scripts::Scripts;

mod scripts;
mod wake;

/// How often one who waits reads the job although nobody woke it.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Most bytes of a result that is sent with the news that its job has ended: a score and its label for each
/// image of a part, and some more.
const TOLD_WITH_THE_END: usize = 4096;

/// Longest time for one attempt to connect.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// Between two attempts of a connection to come back; commands try again themselves.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);

/// Lua counts in doubles, exactly up to 2^53 milliseconds: 285,000 years.
const LAST_MOMENT: u64 = 1 << 52;

/// Which Redis, and how to use it.
#[derive(Clone)]
pub struct RedisConfig {
    /// `redis://user:password@host:port/database`.
    pub url: String,
    /// Start of the name of every key.
    pub prefix: String,
    /// Longest time for any one call.
    pub call_timeout: Duration,
}

/// Jobs, results and the fleet's state in Redis.
pub struct RedisStore {
    connection: ConnectionManager,
    keys: Keys,
    call_timeout: Duration,
    scripts: Scripts,
    watched: Arc<Watched>,
    listening: JoinHandle<()>,
}

/// Names of keys. The prefix stands in braces, so that a Redis Cluster keeps them on one node, where
/// scripts can reach them together.
struct Keys {
    jobs: String,
    idempotency: String,
    ends: String,
    fleet: String,
    workers: String,
    worker_ends: String,
}

impl Keys {
    fn new(prefix: &str) -> Self {
        let name = |tail: &str| format!("{{{prefix}}}:{tail}");
        Self {
            jobs: name("job:"),
            idempotency: name("idempotency:"),
            ends: name("ended"),
            fleet: name("fleet"),
            workers: name("workers"),
            worker_ends: name("workers:until"),
        }
    }

    fn job(&self, job: JobId) -> String {
        format!("{}{job}", self.jobs)
    }

    fn tries(&self, job: JobId) -> String {
        format!("{}{job}:tries", self.jobs)
    }
}

/// What Redis holds of a job.
struct Found {
    job: Job,
    /// From now until the latest deadline.
    left: Duration,
}

impl RedisStore {
    /// Connects.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when Redis did not answer within the call timeout,
    /// [`StoreError::Malformed`] for a URL that is none.
    pub async fn connect(config: RedisConfig) -> Result<Arc<Self>, StoreError> {
        let RedisConfig { url, prefix, call_timeout } = config;
        let unusable = |error: RedisError| {
            StoreError::Malformed(format!(
                "the Redis URL: {error}, expected `redis://user:password@host:port/database`"
            ))
        };
        // Small commands must not wait for each other's acknowledgements; a peer that is gone must be
        // noticed by the system, since commands that time out leave the connection as it is.
        let tcp = TcpSettings::default().set_nodelay(true).set_user_timeout(call_timeout);
        let info = url.into_connection_info().map_err(unusable)?.set_tcp_settings(tcp);
        let client = Client::open(info).map_err(unusable)?;
        let manager = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_LIMIT.min(call_timeout)))
            .set_response_timeout(Some(call_timeout))
            .set_number_of_retries(1)
            .set_min_delay(RECONNECT_PAUSE)
            .set_max_delay(RECONNECT_PAUSE);
        let connection =
            client.get_connection_manager_lazy(manager).map_err(|error| misunderstood_or_away(&error))?;
        let keys = Keys::new(&prefix);
        let watched = Arc::<Watched>::default();
        let listening = tokio::spawn(wake::listen(client, keys.ends.clone(), Arc::clone(&watched)));
        let scripts = Scripts::new();
        let store = Self { connection, keys, call_timeout, scripts, watched, listening };
        store.ping().await?;
        Ok(Arc::new(store))
    }

    /// Sends a command, again and again while Redis is away. Every command may be repeated.
    async fn call<T, F>(&self, command: impl Fn(ConnectionManager) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let attempt =
            async || command(self.connection.clone()).await.map_err(|error| misunderstood_or_away(&error));
        let is_transient = |error: &StoreError| match error {
            StoreError::Unavailable(_) => true,
            StoreError::Malformed(_) => false,
        };
        persist(self.call_timeout, attempt, is_transient).await.map_err(|error| {
            error.unwrap_or_else(|| StoreError::Unavailable("it did not answer in time".to_owned()))
        })
    }

    async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, StoreError> {
        self.call(|mut connection| async move { script.invoke_async(&mut connection).await }).await
    }

    async fn read(&self, job: JobId) -> Result<Option<Found>, StoreError> {
        // The clock first: what is missing although the deadline has passed can not come any more.
        let mut pipeline = redis::pipe();
        pipeline.cmd("TIME").cmd("HGETALL").arg(self.keys.job(job));
        let pipeline = &pipeline;
        let ((seconds, micros), fields): ((u64, u64), HashMap<String, Vec<u8>>) =
            self.call(|mut connection| async move { pipeline.query_async(&mut connection).await }).await?;
        if fields.is_empty() {
            return Ok(None);
        }
        let now = Timestamp(seconds * 1000 + micros / 1000);
        let progress = progress(&fields)?;
        let left = progress.deadline.since(now);
        let record = unpack(fields.get("record").map_or(&[], Vec::as_slice))?;
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
    async fn ping(&self) -> Result<(), StoreError> {
        self.call(|mut connection| async move { redis::cmd("PING").query_async(&mut connection).await }).await
    }

    async fn put_job(&self, record: &JobRecord, fleet: u64) -> Result<Acceptance, StoreError> {
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
        script.arg(record.id.to_string()).arg(pack(record)?).arg(record.parts);
        script.arg(record.deadline.0.min(LAST_MOMENT)).arg(milliseconds(record.retention));
        script.arg(request).arg(&self.keys.jobs).arg(fleet);
        let (what, owner): (String, String) = self.run(&script).await?;
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
        self.run(&self.scripts.confirm_job.key(self.keys.job(job))).await
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
            // A little more than what is left, since milliseconds are rounded down.
            look_at = now + LOOK_AGAIN.min(left + Duration::from_millis(1));
        }
    }

    async fn cancel_job(&self, job: JobId) -> Result<bool, StoreError> {
        let mut script = self.scripts.cancel_job.key(self.keys.job(job));
        script.key(self.keys.tries(job)).arg(job.to_string()).arg(&self.keys.ends);
        self.run(&script).await
    }

    async fn forget_after(&self, jobs: &[JobId], span: Duration) -> Result<(), StoreError> {
        let mut script = self.scripts.forget_after.prepare_invoke();
        script.arg(milliseconds(span));
        for job in jobs {
            script.key(self.keys.job(*job));
        }
        self.run(&script).await
    }

    async fn begin_part(&self, part: PartId) -> Result<Wanted, StoreError> {
        let mut script = self.scripts.begin_part.key(self.keys.job(part.job));
        let wanted: bool = self.run(script.arg(part.index)).await?;
        Ok(if wanted { Wanted::Yes } else { Wanted::No })
    }

    async fn put_part(&self, part: PartId, result: &PartResult) -> Result<Stored, StoreError> {
        let mut script = self.scripts.put_part.key(self.keys.job(part.job));
        script.key(self.keys.tries(part.job));
        script.arg(part.job.to_string()).arg(part.index).arg(pack(result)?);
        script.arg(&self.keys.ends).arg(TOLD_WITH_THE_END);
        let first: bool = self.run(&script).await?;
        Ok(if first { Stored::First } else { Stored::Ignored })
    }

    async fn begin_try(&self, part: PartId, position: u32) -> Result<u32, StoreError> {
        let mut script = self.scripts.begin_try.key(self.keys.job(part.job));
        script.key(self.keys.tries(part.job));
        self.run(script.arg(part.index).arg(position).arg(token())).await
    }

    async fn end_try(&self, part: PartId, position: u32) -> Result<(), StoreError> {
        let mut script = self.scripts.end_try.key(self.keys.tries(part.job));
        self.run(script.arg(part.index).arg(position).arg(token())).await
    }

    async fn reopen_part(&self, part: PartId, deadline: Timestamp) -> Result<Option<PartId>, StoreError> {
        let mut script = self.scripts.reopen_part.key(self.keys.job(part.job));
        let index: i64 = self.run(script.arg(part.index).arg(deadline.0.min(LAST_MOMENT))).await?;
        Ok(u32::try_from(index).ok().map(|index| PartId { job: part.job, index }))
    }

    async fn fleet(&self) -> Result<Revised<FleetState>, StoreError> {
        let mut command = redis::cmd("HMGET");
        command.arg(&self.keys.fleet).arg("revision").arg("state");
        let command = &command;
        let (revision, state): (Option<u64>, Option<Vec<u8>>) =
            self.call(|mut connection| async move { command.query_async(&mut connection).await }).await?;
        let value = match state {
            Some(json) => from_json(&json)?,
            None => FleetState::default(),
        };
        Ok(Revised { revision: revision.unwrap_or(0), value })
    }

    async fn replace_fleet(&self, revision: u64, next: &FleetState) -> Result<Option<u64>, StoreError> {
        let mut script = self.scripts.replace_fleet.key(&self.keys.fleet);
        let revision: i64 = self.run(script.arg(revision).arg(to_json(next)?).arg(token())).await?;
        Ok(u64::try_from(revision).ok())
    }

    async fn report_worker(&self, report: &WorkerReport, ttl: Duration) -> Result<(), StoreError> {
        let mut script = self.scripts.report_worker.key(&self.keys.workers);
        script.key(&self.keys.worker_ends).arg(report.id.as_str()).arg(to_json(report)?);
        self.run(script.arg(milliseconds(ttl))).await
    }

    async fn remove_worker(&self, worker: &WorkerId) -> Result<(), StoreError> {
        let mut script = self.scripts.remove_worker.key(&self.keys.workers);
        self.run(script.key(&self.keys.worker_ends).arg(worker.as_str())).await
    }

    async fn workers(&self) -> Result<Vec<WorkerReport>, StoreError> {
        let mut script = self.scripts.workers.key(&self.keys.workers);
        let reports: Vec<Vec<u8>> = self.run(script.key(&self.keys.worker_ends)).await?;
        let mut reports =
            reports.iter().map(|json| from_json(json)).collect::<Result<Vec<WorkerReport>, _>>()?;
        reports.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(reports)
    }
}

fn progress(fields: &HashMap<String, Vec<u8>>) -> Result<Progress, StoreError> {
    let number = |name: &str| {
        let text = fields.get(name).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let number = text.and_then(|text| text.parse::<u64>().ok());
        number.ok_or_else(|| malformed("a job", &format!("`{name}` is not a number")))
    };
    let mut results = Vec::new();
    for (name, bytes) in fields {
        if let Some(index) = name.strip_prefix("result:").and_then(|index| index.parse().ok()) {
            results.push((index, unpack(bytes)?));
        }
    }
    results.sort_by_key(|(index, _)| *index);
    Ok(Progress {
        begun: fields.contains_key("begun"),
        parts: u32::try_from(number("parts")?).unwrap_or(u32::MAX),
        deadline: Timestamp(number("deadline")?),
        results,
    })
}

/// Names one call, so that its repetition is known as such.
fn token() -> String {
    Uuid::new_v4().to_string()
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX).min(LAST_MOMENT)
}

fn misunderstood_or_away(error: &RedisError) -> StoreError {
    if matches!(error.kind(), ErrorKind::Parse | ErrorKind::UnexpectedReturnType) {
        StoreError::Malformed(error.to_string())
    } else {
        StoreError::Unavailable(error.to_string())
    }
}

fn malformed(what: &str, fault: &dyn Display) -> StoreError {
    StoreError::Malformed(format!("{what}: {fault}"))
}

fn pack(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    rmp_serde::to_vec_named(value).map_err(|fault| malformed("a job", &fault))
}

fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    rmp_serde::from_slice(bytes).map_err(|fault| malformed("a job", &fault))
}

/// The fleet's documents are JSON, so that an operator can read them.
fn to_json(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|fault| malformed("the fleet's state", &fault))
}

fn from_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(json).map_err(|fault| malformed("the fleet's state", &fault))
}
