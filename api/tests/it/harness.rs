//! A server on a free port, and helpers to call it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::config::Config;
use api::{Parts, WorkersAt};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Command, FromArgMatches as _};
use common::broker::in_process::InProcessBroker;
use common::broker::{Broker, BrokerLimits};
use common::package::Catalog;
use common::store::Store;
use common::store::in_memory::InMemoryStore;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::faults::{SwitchedBroker, SwitchedStore};
use crate::worker::TestWorker;

pub(crate) const KEY: &str = "test-key";

const PACKAGE: &str = r#"{"model_name": "m", "img_preproc_type": "no_prepro", "output_postproc_type": "argmax",
    "image_preproc_config": {"input_shape": [2, 2, 3]}, "output_config": {"output_classes": ["cat", "dog"]}}"#;

/// Models of every test: their names tell the fake worker how to take a swap to them.
const MODELS: [&str; 5] = ["pets", "pets_v2", "unservable", "broken", "never"];

pub(crate) struct Server {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) client: reqwest::Client,
    pub(crate) broker: Arc<SwitchedBroker>,
    pub(crate) store: Arc<SwitchedStore>,
    pub(crate) models: tempfile::TempDir,
    pub(crate) stop: CancellationToken,
    pub(crate) served: JoinHandle<Result<(), api::ServeError>>,
}

/// An answer, parsed.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, text: response.text().await.unwrap() }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}")).to_str().unwrap()
    }

    /// Checks an error against its row of the table.
    pub(crate) fn is_problem(&self, status: u16, code: &str, says: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let body = self.json();
        assert_eq!(body["status"], status, "{body}");
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(body["type"], format!("/redoc#error-{code}"));
        assert!(!body["title"].as_str().unwrap().is_empty());
        let detail = body["detail"].as_str().unwrap();
        assert!(detail.contains(says), "{detail:?} does not say {says:?}");
        body
    }
}

/// The default settings, with these arguments of a command line.
pub(crate) fn config(words: &[&str]) -> Config {
    let words = ["program", "--api-key", KEY].into_iter().chain(words.iter().copied());
    let matches = Config::augment_args(Command::new("program")).try_get_matches_from(words).unwrap();
    Config::from_arg_matches(&matches).unwrap()
}

/// Creates a folder with valid packages.
fn models() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in MODELS {
        add_package(folder.path(), name, PACKAGE);
    }
    folder
}

pub(crate) fn add_package(folder: &Path, name: &str, config: &str) {
    std::fs::create_dir(folder.join(name)).unwrap();
    std::fs::write(folder.join(name).join(format!("{name}.hdf5")), name).unwrap();
    std::fs::write(folder.join(name).join(format!("{name}_config.json")), config).unwrap();
}

impl Server {
    /// A server alone: no worker, no model.
    pub(crate) async fn bare(words: &[&str]) -> Self {
        Self::with_queue(words, 1000).await
    }

    pub(crate) async fn with_queue(words: &[&str], max_parts: u32) -> Self {
        Self::with_parts(words, max_parts, |_| {}).await
    }

    /// A server alone with changed components.
    pub(crate) async fn changed(words: &[&str], change: impl FnOnce(&mut Parts)) -> Self {
        Self::with_parts(words, 1000, change).await
    }

    async fn with_parts(words: &[&str], max_parts: u32, change: impl FnOnce(&mut Parts)) -> Self {
        let limits = BrokerLimits { max_parts, max_bytes: None, call_timeout: Duration::from_secs(5) };
        let broker = SwitchedBroker::new(InProcessBroker::new(limits));
        let store = SwitchedStore::new(InMemoryStore::new());
        let models = models();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let mut parts = Parts {
            config: config(words),
            broker: broker.clone(),
            store: store.clone(),
            catalog: Catalog::new(models.path()),
            metrics: Arc::new(|| "# rendered\n".to_owned()),
            declared: None,
            workers: WorkersAt::Elsewhere,
        };
        change(&mut parts);
        let served = tokio::spawn(api::serve(listener, parts, stop.clone()));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { address, client, broker, store, models, stop, served }
    }

    /// A server with a worker and the model `pets`.
    pub(crate) async fn ready(words: &[&str]) -> (Self, TestWorker) {
        let server = Self::bare(words).await;
        let worker = server.add_worker("w1").await;
        server.swap("pets").await;
        (server, worker)
    }

    pub(crate) async fn add_worker(&self, name: &str) -> TestWorker {
        TestWorker::start(name, self.broker.clone() as Arc<dyn Broker>, self.store.clone() as Arc<dyn Store>)
            .await
    }

    pub(crate) async fn swap(&self, model: &str) {
        let answer = Answer::of(self.put(&format!("/classifier/prediction-service/{model}"))).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    /// A request with the key.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address)).header("X-API-Key", KEY)
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// Returns the API's description.
    pub(crate) async fn description(&self) -> Value {
        Answer::of(self.get("/openapi.json")).await.json()
    }

    pub(crate) fn put(&self, path: &str) -> RequestBuilder {
        self.request(Method::PUT, path)
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    pub(crate) fn delete(&self, path: &str) -> RequestBuilder {
        self.request(Method::DELETE, path)
    }

    /// A request for predictions on these images.
    pub(crate) fn predict(&self, images: &[&str]) -> RequestBuilder {
        self.post("/classifier/predictions").json(&body(images))
    }

    /// Fails unless the server still classifies.
    pub(crate) async fn still_answers(&self) {
        let answer = Answer::of(self.predict(&["dog"])).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.json()["response"]["results"][0]["label"], "dog");
    }
}

pub(crate) fn encode(image: &str) -> String {
    STANDARD.encode(image)
}

/// Returns the JSON document for these images, with ids from 0.
pub(crate) fn body(images: &[&str]) -> Value {
    let images: Vec<Value> = images
        .iter()
        .enumerate()
        .map(|(id, image)| json!({"image_id": id, "img_base64": encode(image)}))
        .collect();
    json!({"images": images})
}
