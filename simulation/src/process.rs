//! API processes and workers: the real code, each with its own links to the servers.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use clap::{Args as _, Command, FromArgMatches as _, Parser as _};
use images::decode::DecodeLimits;
use serde_json::Value;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use worker::pipeline::Pipeline;
use worker::run::Worker;

use crate::broker::client::SimulatedBroker;
use crate::engine::{Loader, catalog};
use crate::link::{Life, Link, Pulse};
use crate::options::Fix;
use crate::plan::Server;
use crate::random::Random;
use crate::store::client::SimulatedStore;
use crate::world::World;

/// The key of clients and operators.
const KEY: &str = "key";

/// The deadline of jobs. Short, to keep runs short.
pub const JOB_DEADLINE: Duration = Duration::from_secs(40);

/// What every process has.
#[derive(Clone)]
pub struct Ties {
    /// Its state.
    pub pulse: Arc<Pulse>,
    /// Its link to the broker.
    pub to_broker: Arc<Link>,
    /// Its link to the store.
    pub to_store: Arc<Link>,
    /// Its connection id at the broker.
    pub connection: u64,
}

impl Ties {
    fn new(world: &World) -> Self {
        let pulse = Pulse::new();
        let connection = world.next_process();
        let link = |door: &Arc<_>, what_for| {
            let random = Random::new(world.plan.seed, connection * 16 + what_for);
            Link::new(Arc::clone(&pulse), Arc::clone(door), world.options, random)
        };
        let (to_broker, to_store) = (link(&world.broker.door, 2), link(&world.store.door, 3));
        Self { pulse, to_broker, to_store, connection }
    }

    /// Returns its link to this server.
    #[must_use]
    pub fn to(&self, server: Server) -> &Link {
        match server {
            Server::Broker => &self.to_broker,
            Server::Store => &self.to_store,
        }
    }

    fn broker(&self, world: &World) -> Arc<SimulatedBroker> {
        let (server, link) = (Arc::clone(&world.broker), Arc::clone(&self.to_broker));
        SimulatedBroker::new(server, link, world.options, self.connection)
    }

    fn store(&self, world: &World) -> Arc<SimulatedStore> {
        SimulatedStore::new(Arc::clone(&world.store), Arc::clone(&self.to_store))
    }
}

/// An API process.
#[derive(Clone)]
pub struct ApiProcess {
    /// Its links.
    pub ties: Ties,
    router: Router,
    stop: CancellationToken,
}

/// An answer of an API process.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, or null.
    pub body: Value,
}

impl Answer {
    /// Returns the code of an error.
    #[must_use]
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoReply {
    /// The process is dead, or died during the request.
    Lost,
    /// It did not answer in time.
    Late,
}

impl ApiProcess {
    /// Starts an API process.
    ///
    /// # Panics
    /// The settings are invalid.
    #[must_use]
    pub fn start(world: &World) -> Self {
        let ties = Ties::new(world);
        let stop = CancellationToken::new();
        let parts = api::Parts {
            config: api_config(),
            broker: ties.broker(world),
            store: ties.store(world),
            catalog: catalog(),
            metrics: Arc::new(String::new),
            declared: None,
            workers: api::WorkersAt::Elsewhere,
        };
        let router = api::process::router(parts, &stop).expect("the settings are right");
        Self { ties, router, stop }
    }

    /// Sends a request and waits this long, as a client does.
    ///
    /// # Errors
    /// [`NoReply`].
    pub async fn ask(&self, request: Request<Body>, patience: Duration) -> Result<Answer, NoReply> {
        let pulse = &self.ties.pulse;
        if pulse.life() == Life::Dead {
            return Err(NoReply::Lost);
        }
        let answered = async {
            pulse.beat().await;
            let response = match self.router.clone().oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            let (head, body) = response.into_parts();
            let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
            pulse.beat().await;
            let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            Answer { status: head.status, headers: head.headers, body }
        };
        tokio::select! {
            biased;
            () = pulse.death() => Err(NoReply::Lost),
            answer = timeout(patience, answered) => answer.map_err(|_| NoReply::Late),
        }
    }

    /// Kills it.
    pub fn kill(&self) {
        self.ties.pulse.set(Life::Dead);
        self.stop.cancel();
    }
}

/// Creates a request with the key.
///
/// # Panics
/// The path is invalid.
#[must_use]
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).header("x-api-key", KEY);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    request.header("content-type", "application/json").body(body).expect("the path is sound")
}

/// A worker.
#[derive(Clone)]
pub struct WorkerProcess {
    /// Its links.
    pub ties: Ties,
    task: AbortHandle,
}

impl WorkerProcess {
    /// Starts a worker.
    #[must_use]
    pub fn start(world: &World) -> Self {
        let ties = Ties::new(world);
        let parts = worker::run::Parts {
            broker: ties.broker(world),
            store: ties.store(world),
            catalog: catalog(),
            loader: Arc::new(Loader),
        };
        let pipeline = Pipeline::inline(DecodeLimits::default());
        let mut worker = Worker::with_pipeline(&worker_config(), parts, pipeline);
        if !world.options.has(Fix::ShortPatience) {
            worker = worker.with_patience(JOB_DEADLINE);
        }
        let task = tokio::spawn(worker.work(CancellationToken::new())).abort_handle();
        Self { ties, task }
    }

    /// Kills it.
    pub fn kill(&self) {
        self.ties.pulse.set(Life::Dead);
        self.task.abort();
    }
}

thread_local! {
    static API_CONFIG: RefCell<Option<api::config::Config>> = const { RefCell::new(None) };
    static WORKER_CONFIG: RefCell<Option<worker::config::Config>> = const { RefCell::new(None) };
}

fn api_config() -> api::config::Config {
    let deadline = format!("--job-deadline={}", JOB_DEADLINE.as_secs());
    let words = ["api", "--api-key", KEY, "--part-max-images=2", "--answered-retention=3600", &deadline];
    let parse = || {
        let matches = api::config::Config::augment_args(Command::new("api")).try_get_matches_from(words);
        let matches = matches.expect("the words are settings");
        api::config::Config::from_arg_matches(&matches).expect("the words are settings")
    };
    API_CONFIG.with_borrow_mut(|config| config.get_or_insert_with(parse).clone())
}

fn worker_config() -> worker::config::Config {
    let words = ["worker", "--prefetch=4"];
    let parse = || worker::config::Program::try_parse_from(words).expect("the words are settings").worker;
    WORKER_CONFIG.with_borrow_mut(|config| config.get_or_insert_with(parse).clone())
}
