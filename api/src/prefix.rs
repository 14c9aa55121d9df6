//! The path prefix that a proxy strips from requests.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::header::LOCATION;
use axum::middleware::Next;
use axum::response::Response;

/// The header in which a proxy names the stripped prefix.
const FORWARDED_PREFIX: &str = "x-forwarded-prefix";

/// Longest prefix, in bytes.
const MAX_LENGTH: usize = 256;

/// A path such as `/ml/v1`, or nothing. It begins with one slash and does not end with one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prefix(Arc<str>);

impl Prefix {
    /// Returns the path as clients see it.
    pub(crate) fn before(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// Returns the prefix, or `/` without one.
    pub(crate) fn root(&self) -> &str {
        if self.0.is_empty() { "/" } else { &self.0 }
    }

    /// Reads the proxy's header. An invalid path is ignored: anyone may send the header.
    fn of(headers: &HeaderMap) -> Option<Self> {
        headers.get(FORWARDED_PREFIX)?.to_str().ok()?.parse().ok()
    }
}

impl FromStr for Prefix {
    type Err = InvalidPrefix;

    fn from_str(text: &str) -> Result<Self, InvalidPrefix> {
        let path = text.trim().trim_end_matches('/');
        let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'/' | b'-' | b'_' | b'.' | b'~' | b'%');
        let is_path = path.starts_with('/') && !path.contains("//") && path.bytes().all(plain);
        if path.is_empty() || (is_path && path.len() <= MAX_LENGTH) {
            return Ok(Self(path.into()));
        }
        Err(InvalidPrefix)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Not a valid path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the prefix is no path, expected one such as /ml/v1")]
pub struct InvalidPrefix;

/// Gives every request its [`Prefix`], and adds it to the `Location` of the answer.
pub(crate) async fn follow(State(set): State<Prefix>, mut request: Request, next: Next) -> Response {
    let prefix = Prefix::of(request.headers()).unwrap_or(set);
    request.extensions_mut().insert(prefix.clone());
    let mut response = next.run(request).await;
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    if let Some(path) = location.filter(|path| path.starts_with('/'))
        && let Ok(value) = HeaderValue::from_str(&prefix.before(path))
    {
        response.headers_mut().insert(LOCATION, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_path_and_nothing_else() {
        for (text, expected) in
            [("", ""), ("/", ""), ("/ml", "/ml"), (" /ml/v1/ ", "/ml/v1"), ("/a%20b", "/a%20b")]
        {
            assert_eq!(text.parse::<Prefix>().unwrap().to_string(), expected, "{text:?}");
        }
        for text in
            ["ml", "//evil.example", "/a//b", "/a b", "/a\"", "http://x/", "/a\u{e9}", &"/a".repeat(200)]
        {
            assert!(text.parse::<Prefix>().is_err(), "{text:?}");
        }
    }
}
