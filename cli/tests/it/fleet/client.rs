//! A client that follows the contract: it retries with its idempotency key and polls after a `202`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::programs::{KEY, PATIENCE, eventually, repository};

/// One of the demo's images.
#[derive(Clone)]
pub(super) struct Image {
    /// Its file's bytes, in base64.
    pub(super) base64: String,
    /// The digit that both models recognize.
    pub(super) digit: String,
}

/// The demo's images, by file name, with the digit in the name.
pub(super) fn images() -> Vec<Image> {
    let folder = repository().join("demo/images");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
        .iter()
        .map(|path| Image {
            base64: STANDARD.encode(std::fs::read(path).unwrap()),
            digit: path.file_stem().unwrap().to_str().unwrap().rsplit('_').next().unwrap().to_owned(),
        })
        .collect()
}

/// The body of a request with these images, numbered from 0.
pub(super) fn body(images: &[Image]) -> Value {
    let list: Vec<_> = images
        .iter()
        .enumerate()
        .map(|(id, image)| json!({"image_id": id, "img_base64": image.base64}))
        .collect();
    json!({ "images": list })
}

/// An answer of the service.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HashMap<String, String>,
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(super) fn generation(&self) -> u64 {
        self.header("x-model-generation").parse().unwrap()
    }

    /// Returns whether this is the end of a job that the servers have lost: its deadline passed, or it is unknown.
    pub(super) fn is_lost(&self) -> bool {
        [StatusCode::GATEWAY_TIMEOUT, StatusCode::NOT_FOUND].contains(&self.status)
    }

    /// Returns why this is not the right answer for `images`: every label must be the image's digit as the model says
    /// it that the answer names.
    pub(super) fn fault(&self, images: &[Image]) -> Option<String> {
        let response = &self.body["response"];
        let model = response["model"].as_str().unwrap_or("?");
        let results = response["results"].as_array().map_or(&[][..], Vec::as_slice);
        if self.status != StatusCode::OK || results.len() != images.len() {
            return Some(format!("{} with {} results: {}", self.status, results.len(), self.body));
        }
        results.iter().zip(images).enumerate().find_map(|(position, (result, image))| {
            let right =
                result["image_id"] == position && result["label"] == format!("{model}_{}", image.digit);
            (!right).then(|| format!("result {position} of model {model} for a {}: {result}", image.digit))
        })
    }
}

/// Calls any of several API processes.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    urls: Arc<[String]>,
}

impl Client {
    pub(super) fn new(urls: impl IntoIterator<Item = String>) -> Self {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
        Self { http, urls: urls.into_iter().collect() }
    }

    /// Calls the API process number `via`.
    pub(super) async fn call(
        &self,
        via: usize,
        (method, path): (Method, &str),
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> reqwest::Result<Answer> {
        let url = format!("{}{path}", self.urls[via % self.urls.len()]);
        let mut request = self.http.request(method, url).header("x-api-key", KEY);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let headers =
            headers.iter().map(|(k, v)| (k.to_string(), v.to_str().unwrap_or("").to_owned())).collect();
        let body = response.bytes().await?;
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Ok(Answer { status, headers, body })
    }

    pub(super) async fn get(&self, path: &str) -> reqwest::Result<Answer> {
        self.call(0, (Method::GET, path), &[], None).await
    }

    /// Requests a prediction, without retries.
    pub(super) async fn predict(
        &self,
        images: &[Image],
        headers: &[(&str, &str)],
    ) -> reqwest::Result<Answer> {
        self.call(0, (Method::POST, "/classifier/predictions"), headers, Some(&body(images))).await
    }

    /// Requests a prediction with all means: retries through another process while there is no answer or one that
    /// allows a retry, with the same idempotency key, and polls until it is finished. `Err` says which rule the service
    /// broke.
    pub(super) async fn insist(&self, via: usize, images: &[Image], wait: &str) -> Result<Answer, String> {
        self.insist_unless(via, images, wait, || false).await
    }

    /// As [`Self::insist`], until it is given up.
    pub(super) async fn insist_unless(
        &self,
        via: usize,
        images: &[Image],
        wait: &str,
        is_given_up: impl Fn() -> bool,
    ) -> Result<Answer, String> {
        let key = uuid::Uuid::new_v4().to_string();
        let headers = [("idempotency-key", key.as_str()), ("prefer", wait)];
        let body = body(images);
        let until = Instant::now() + PATIENCE;
        let is_over = || Instant::now() > until || is_given_up();
        let mut turn = via;
        let mut accepted = loop {
            let call = (Method::POST, "/classifier/predictions");
            match self.call(turn, call, &headers, Some(&body)).await {
                Ok(answer) if !invites_retry(answer.status) => break answer,
                Ok(_) | Err(_) if !is_over() => {}
                other => return Err(format!("was never accepted: {other:?}")),
            }
            turn += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let id = accepted.header("x-prediction-id").to_owned();
        while accepted.status == StatusCode::ACCEPTED {
            if is_over() {
                return Err(format!("{id} has no answer: {}", accepted.body));
            }
            turn += 1;
            if let Some(answer) = self.poll(turn, &id, "2").await {
                accepted = answer;
            }
        }
        Ok(accepted)
    }

    /// Polls a prediction once; `None` if the process or its servers are out of reach.
    pub(super) async fn poll(&self, via: usize, id: &str, wait: &str) -> Option<Answer> {
        let path = format!("/classifier/predictions/{id}?wait={wait}");
        let answer = self.call(via, (Method::GET, &path), &[], None).await;
        match answer {
            Ok(answer) if !invites_retry(answer.status) => Some(answer),
            Ok(_) | Err(_) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                None
            }
        }
    }

    /// Returns the metrics of the process.
    pub(super) async fn metrics(&self) -> String {
        let response = self.http.get(format!("{}/metrics", self.urls[0])).send().await.unwrap();
        response.text().await.unwrap()
    }

    /// Swaps the model and waits for it.
    pub(super) async fn swap(&self, via: usize, model: &str) -> reqwest::Result<Answer> {
        let path = format!("/classifier/prediction-service/{model}");
        self.call(via, (Method::PUT, &path), &[], None).await
    }

    /// Returns the fleet's state from `GET prediction-service`.
    pub(super) async fn fleet(&self) -> Option<Value> {
        let answer = self.get("/classifier/prediction-service").await.ok()?;
        (answer.status == StatusCode::OK).then(|| answer.body["response"].clone())
    }

    /// Waits until this many workers are ready.
    pub(super) async fn workers_are_ready(&self, count: usize) -> Vec<Value> {
        eventually(&format!("{count} workers are ready"), async || {
            let fleet = self.fleet().await?;
            let workers = fleet["workers"].as_array()?.clone();
            let ready = workers.iter().filter(|worker| worker["state"] == "ready").count();
            (ready == count && workers.len() == count).then_some(workers)
        })
        .await
    }
}

/// Returns whether a status allows a retry.
fn invites_retry(status: StatusCode) -> bool {
    [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS, StatusCode::CONFLICT].contains(&status)
}
