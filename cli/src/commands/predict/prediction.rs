//! One request until its end: full queues are waited for, `202`s are followed.

use std::time::{Duration, Instant};

use super::ImageResult;
use crate::client::{Answer, Client, ClientError, Method, Problem, StatusCode};

/// How long a status call asks the server to wait for news.
const POLL: Duration = Duration::from_secs(20);

/// What is asked of every image.
#[derive(Debug)]
pub struct Question {
    /// Where.
    pub client: Client,
    /// A package other than the active one.
    pub model: Option<String>,
    /// How many labels for each image.
    pub top_k: Option<u32>,
    /// When to give up.
    pub limit: Duration,
}

impl Question {
    /// Sends a body and waits for the results of its images.
    ///
    /// # Errors
    /// The server refused the request, ended it without results, or did neither in time.
    pub async fn ask(&self, body: &str) -> Result<Vec<ImageResult>, ClientError> {
        let until = Instant::now() + self.limit;
        let mut answer = self.submit(body, until).await?;
        while answer.status == StatusCode::ACCEPTED {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(refused("timeout", &format!("there was no answer within {:?}", self.limit)));
            }
            let location = answer.header("location").unwrap_or_default().to_owned();
            let wait = left.min(POLL).as_secs().max(1).to_string();
            answer = self.client.follow(Method::GET, &location).query("wait", &wait).send().await?;
        }
        results(&answer)
    }

    /// Sends until it is accepted: a queue that is full now may have room when the server says so.
    async fn submit(&self, body: &str, until: Instant) -> Result<Answer, ClientError> {
        loop {
            let mut call =
                self.client.call(Method::POST, &["classifier", "predictions"]).body(body.to_owned());
            if let Some(model) = &self.model {
                call = call.query("model", model);
            }
            if let Some(top_k) = self.top_k {
                call = call.query("top_k", &top_k.to_string());
            }
            match call.send().await {
                Err(ClientError::Refused(problem)) => {
                    let pause = Duration::from_secs(problem.retry_after.unwrap_or(1).max(1));
                    if !matches!(problem.status, 429 | 503) || Instant::now() + pause >= until {
                        return Err(ClientError::Refused(problem));
                    }
                    tokio::time::sleep(pause).await;
                }
                other => return other,
            }
        }
    }
}

fn results(answer: &Answer) -> Result<Vec<ImageResult>, ClientError> {
    // Where every image was bad, `results` may stand beside `detail` instead of under `response`.
    let inner = &answer.body["response"]["results"];
    let list = if inner.is_array() { inner } else { &answer.body["results"] };
    serde_json::from_value(list.clone())
        .map_err(|error| refused("unexpected_answer", &format!("the answer could not be read: {error}")))
}

fn refused(code: &str, detail: &str) -> ClientError {
    ClientError::Refused(Problem { code: code.to_owned(), detail: detail.to_owned(), ..Problem::default() })
}
