//! A running `classifier serve`, and calls to it.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The server's key.
pub(crate) const KEY: &str = "serve-test-key";

/// Timeout of every wait.
const PATIENCE: Duration = Duration::from_secs(120);

/// The root of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The command `classifier`, with the environment that it needs and no other settings.
pub(crate) fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_classifier"));
    command
        .args(words)
        .current_dir(repository())
        .env_clear()
        .env("X_API_KEY", KEY)
        .env("TENSORFLOW_DIR", repository().join(".cache/tensorflow"));
    command
}

/// A server of its own, which ends when it is dropped.
pub(crate) struct Server {
    process: Child,
    /// Returns its port.
    pub(crate) url: String,
    /// What it printed of a model before its address.
    pub(crate) said: Vec<String>,
    /// The call that it printed for a model.
    pub(crate) curl: String,
    http: reqwest::Client,
}

impl Server {
    /// Starts `classifier serve` on a free port with the repository's models folder.
    pub(crate) async fn start(words: &[&str]) -> Self {
        Self::start_with(&repository().join("models"), words).await
    }

    /// Starts it with another models folder.
    pub(crate) async fn start_with(models: &Path, words: &[&str]) -> Self {
        Self::spawn(command(&["serve", "--listen", "127.0.0.1:0"]).args(words).env("MODELS_DIR", models))
            .await
    }

    /// Starts it with a model and without a key; its temporary files are in `rest`.
    pub(crate) async fn of_model(words: &[&str], rest: &Path) -> Self {
        let mut command = command(&["serve", "--listen", "127.0.0.1:0"]);
        Self::spawn(command.args(words).env_remove("X_API_KEY").env("TMPDIR", rest)).await
    }

    async fn spawn(command: &mut Command) -> Self {
        let mut process = command.env("LOG_FILTER", "error").stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.as_mut().unwrap()).lines().map(Result::unwrap);
        let mut said = Vec::new();
        let url = loop {
            let line = lines.next().unwrap_or_else(|| panic!("it ended without listening: {said:?}"));
            match line.strip_prefix("listening on ") {
                Some(url) => break url.to_owned(),
                None => said.push(line),
            }
        };
        let is_of_a_model = !command.get_envs().any(|(name, value)| name == "X_API_KEY" && value.is_some());
        let curl = if is_of_a_model { lines.next().unwrap() } else { String::new() };
        drop(lines);
        let http = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap();
        let server = Self { process, url, said, curl, http };
        let until = Instant::now() + PATIENCE;
        while server.call(Call::get("/health/ready")).await.status != 200 {
            assert!(Instant::now() < until, "it did not get ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server
    }

    /// Returns the key that it made for a model.
    pub(crate) fn key(&self) -> String {
        let (_, rest) = self.curl.split_once("X-API-Key: ").unwrap();
        rest.split_once('\'').unwrap().0.to_owned()
    }

    /// Makes a call.
    pub(crate) async fn call(&self, call: Call) -> Answer {
        self.send(call).await.unwrap()
    }

    /// Makes a call, which may run beside others, and may fail.
    pub(crate) fn send(&self, call: Call) -> impl Future<Output = reqwest::Result<Answer>> + use<> {
        let mut request = self.http.request(call.method, format!("{}{}", self.url, call.path));
        if let Some(key) = call.key {
            request = request.header("x-api-key", key);
        }
        if let Some(body) = call.body {
            request = request.header("content-type", "application/json").body(body);
        }
        async move {
            let response = request.send().await?;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let text = |value: &reqwest::header::HeaderValue| value.to_str().unwrap().to_owned();
            let headers = headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
            let body = serde_json::from_slice(&response.bytes().await?).unwrap_or(Value::Null);
            Ok(Answer { status, headers, body })
        }
    }

    /// Classifies images with the active model.
    pub(crate) async fn predict(&self, images: &[Image]) -> Answer {
        self.call(Call::post("/classifier/predictions").body(&prediction_body(images))).await
    }

    /// Waits until the fleet has this state.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_so(&self.call(Call::get("/classifier/prediction-service")).await.body["response"]) {
            assert!(Instant::now() < until, "waited in vain until {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Sends SIGTERM and returns the exit code.
    pub(crate) async fn stop(&mut self) -> Option<i32> {
        self.terminate();
        self.ended().await
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }

    /// Waits for its end and returns the exit code.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < until, "it did not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A call that is not sent yet.
pub(crate) struct Call {
    method: reqwest::Method,
    path: String,
    key: Option<String>,
    body: Option<String>,
}

impl Call {
    fn new(method: reqwest::Method, path: &str) -> Self {
        Self { method, path: path.to_owned(), key: Some(KEY.to_owned()), body: None }
    }

    pub(crate) fn get(path: &str) -> Self {
        Self::new(reqwest::Method::GET, path)
    }

    pub(crate) fn post(path: &str) -> Self {
        Self::new(reqwest::Method::POST, path)
    }

    pub(crate) fn put(path: &str) -> Self {
        Self::new(reqwest::Method::PUT, path)
    }

    pub(crate) fn key(mut self, key: Option<&str>) -> Self {
        self.key = key.map(str::to_owned);
        self
    }

    pub(crate) fn body(mut self, body: &Value) -> Self {
        self.body = Some(body.to_string());
        self
    }
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: HashMap<String, String>,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// An image file.
#[derive(Clone)]
pub(crate) struct Image {
    /// The file, for the demo's images.
    pub(crate) path: PathBuf,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
}

/// The demo's images by name.
pub(crate) fn demo_images() -> Vec<Image> {
    let folder = repository().join("demo/images");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| Image { bytes: std::fs::read(&path).unwrap(), path }).collect()
}

/// The body that classifies these images, numbered from 0.
pub(crate) fn prediction_body(images: &[Image]) -> Value {
    let entry =
        |(id, image): (usize, &Image)| json!({"image_id": id, "img_base64": STANDARD.encode(&image.bytes)});
    json!({"images": images.iter().enumerate().map(entry).collect::<Vec<_>>()})
}

/// Returns how many labels of an answer about the demo's images are the digits in the file names.
pub(crate) fn right_labels(answer: &Answer) -> usize {
    let results = answer.body["response"]["results"].as_array().unwrap();
    let expected =
        |path: &Path| path.file_stem().unwrap().to_str().unwrap().rsplit('_').next().unwrap().to_owned();
    results
        .iter()
        .zip(demo_images())
        .filter(|(result, image)| result["label"] == expected(&image.path))
        .count()
}
