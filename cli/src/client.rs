//! The HTTP client for a server.

use std::time::Duration;

use anyhow::Context as _;
use api::wire::problem::Problem;
use reqwest::Url;
pub use reqwest::header::HeaderMap;
use reqwest::header::{HeaderName, RETRY_AFTER};
pub use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::{self, KeyKind, ServerConfig};
use crate::usage::UsageError;

/// Timeout of a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Timeout of a call beyond the time that it asks the server to wait.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Calls one server with one key.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    key: String,
}

/// Why a call failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// There is no answer, or not in time.
    #[error("the server at {url} is out of reach: {reason}")]
    Unreachable {
        /// The address.
        url: String,
        /// The error.
        reason: String,
    },
    /// The server refused the key.
    #[error("the server refused the key: {detail}")]
    WrongKey {
        /// The server's message.
        detail: String,
    },
    /// The server refused the request.
    #[error("{0}")]
    Refused(Refusal),
    /// Another service answered.
    #[error("{url} answered {status} without this service's body: is the address right?")]
    NotThisService {
        /// The address.
        url: String,
        /// Its status.
        status: u16,
    },
}

/// A refused request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Refusal {
    /// Why, with the status of the answer.
    pub problem: Box<Problem>,
    /// Seconds after which a retry makes sense.
    pub retry_after: Option<u64>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Problem { detail, problems, .. } = &*self.problem;
        write!(f, "{detail}")?;
        let mut untold = problems.iter().flatten().filter(|problem| !detail.contains(*problem));
        untold.try_for_each(|problem| write!(f, "\n  - {problem}"))
    }
}

/// A successful answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// 2xx, or 422 with results.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; `null` without one.
    pub body: Value,
}

impl Answer {
    /// Returns the value under `response`.
    ///
    /// # Errors
    /// It has another form than this version of the command expects.
    pub fn response<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        serde_json::from_value(self.body["response"].clone()).context(
            "the server's answer has an unexpected form: do server and command have the same version?",
        )
    }

    /// Returns a header's text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Client {
    /// Creates a client for a server, with the key of this `kind` from the environment.
    ///
    /// # Errors
    /// The address is invalid, or there is no key.
    pub fn new(server: &ServerConfig, kind: KeyKind) -> anyhow::Result<Self> {
        Self::with_key(server, &config::key(kind)?)
    }

    /// Creates a client for a server, with this key.
    ///
    /// # Errors
    /// The address is invalid, or the key cannot be sent.
    pub fn with_key(server: &ServerConfig, key: &str) -> anyhow::Result<Self> {
        let base = Url::parse(&server.url)
            .ok()
            .filter(|url| url.scheme() == "http" && url.has_host())
            .ok_or_else(|| {
                UsageError(format!(
                    "the server's address is {:?}, expected one such as http://127.0.0.1:5050",
                    server.url
                ))
            })?;
        if key.parse::<reqwest::header::HeaderValue>().is_err() {
            return Err(
                UsageError("the key has characters that are not allowed in a header".to_owned()).into()
            );
        }
        let http = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).no_proxy().build()?;
        Ok(Self { http, base, key: key.to_owned() })
    }

    /// Creates a call to the path of these segments.
    #[must_use]
    pub fn call(&self, method: Method, path: &[&str]) -> Call<'_> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        Call { client: self, method, url, headers: HeaderMap::new(), body: None, limit: CALL_TIMEOUT }
    }

    /// Creates a call to an address from the server, such as a `Location`. It stays on this server.
    #[must_use]
    pub fn follow(&self, method: Method, location: &str) -> Call<'_> {
        let mut url = self.base.clone();
        if let Ok(there) = self.base.join(location) {
            url.set_path(there.path());
            url.set_query(there.query());
        }
        Call { client: self, method, url, headers: HeaderMap::new(), body: None, limit: CALL_TIMEOUT }
    }
}

/// A call that is not sent yet.
#[derive(Debug)]
pub struct Call<'a> {
    client: &'a Client,
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Option<String>,
    limit: Duration,
}

impl Call<'_> {
    /// Adds a query parameter.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.url.query_pairs_mut().append_pair(name, value);
        self
    }

    /// Sets the JSON body.
    #[must_use]
    pub fn body(mut self, json: String) -> Self {
        self.body = Some(json);
        self
    }

    /// Asks the server to wait this long for the result.
    #[must_use]
    pub fn wait(mut self, span: Duration) -> Self {
        if let Ok(value) = format!("wait={}", span.as_secs()).parse() {
            self.headers.insert(HeaderName::from_static("prefer"), value);
        }
        self.limit = CALL_TIMEOUT + span;
        self
    }

    /// Sends the call.
    ///
    /// # Errors
    /// [`ClientError`], for every status that is not successful.
    pub async fn send(self) -> Result<Answer, ClientError> {
        let shown = self.url.to_string();
        let unreachable = |error: reqwest::Error| ClientError::Unreachable {
            url: shown.clone(),
            reason: innermost(&error),
        };
        let mut request = self
            .client
            .http
            .request(self.method, self.url)
            .header("x-api-key", &self.client.key)
            .headers(self.headers)
            .timeout(self.limit);
        if let Some(body) = self.body {
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().await.map_err(unreachable)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.map_err(unreachable)?;
        read(status, headers, &bytes)
            .map_err(|()| ClientError::NotThisService { url: shown, status: status.as_u16() })?
    }
}

/// Parses an answer or an error; `None` if it is neither.
fn read(status: StatusCode, headers: HeaderMap, bytes: &[u8]) -> Result<Result<Answer, ClientError>, ()> {
    let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(bytes).map_err(|_| ())? };
    // A 422 in which all images failed still has a result for each.
    let has_results = body["response"]["results"].is_array() || body["results"].is_array();
    if status.is_success() || has_results {
        return Ok(Ok(Answer { status, headers, body }));
    }
    let mut problem: Problem = serde_json::from_value(body).map_err(|_| ())?;
    problem.status = status.as_u16();
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return Ok(Err(ClientError::WrongKey { detail: problem.detail }));
    }
    let retry_after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Ok(Err(ClientError::Refused(Refusal { problem: Box::new(problem), retry_after })))
}

/// The innermost cause is the system's error; reqwest's wrappers repeat the address.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(url: &str) -> Client {
        let (http, base) = (reqwest::Client::new(), Url::parse(url).unwrap());
        Client { http, base, key: "key".to_owned() }
    }

    #[test]
    fn paths_and_queries_are_escaped() {
        let client = client("http://host:1/prefix/");
        let call = client.call(Method::GET, &["classifier", "a/b c"]).query("model", "x&y");
        assert_eq!(call.url.as_str(), "http://host:1/prefix/classifier/a%2Fb%20c?model=x%26y");
    }

    #[test]
    fn a_location_never_leads_to_another_server() {
        let client = client("http://host:1");
        for (location, url) in [
            ("/classifier/predictions/5", "http://host:1/classifier/predictions/5"),
            ("http://elsewhere:9/classifier/predictions/5?x=1", "http://host:1/classifier/predictions/5?x=1"),
        ] {
            assert_eq!(client.follow(Method::GET, location).url.as_str(), url);
        }
    }

    #[test]
    fn errors_are_told_apart_by_status_and_body() {
        let read = |status: u16, body: &str| {
            read(StatusCode::from_u16(status).unwrap(), HeaderMap::new(), body.as_bytes())
        };
        assert!(matches!(read(401, r#"{"detail": "wrong api key"}"#), Ok(Err(ClientError::WrongKey { .. }))));
        assert!(read(404, "<html>").is_err());
        assert!(read(404, "{}").is_err());
        assert!(read(422, r#"{"detail": "x", "results": []}"#).unwrap().is_ok());
        assert!(read(204, "").unwrap().is_ok());
        let Ok(Err(ClientError::Refused(refusal))) =
            read(422, r#"{"detail": "no", "code": "package_invalid", "problems": ["a", "b"]}"#)
        else {
            panic!("not refused")
        };
        assert_eq!(refusal.to_string(), "no\n  - a\n  - b");
        assert_eq!(refusal.problem.status, 422);
    }
}
