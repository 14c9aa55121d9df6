//! The commands' own settings; those of API and worker are in their crates.

use std::env;
use std::time::Duration;

use api::config::Keys;
use clap::Args;
use common::broker::BrokerLimits;

use crate::usage::UsageError;

/// The server that a command calls. The key comes only from the environment, so that it appears in no process list and
/// in no shell history.
#[derive(Debug, Clone, Args)]
pub struct ServerConfig {
    /// Address of the server (CLASSIFIER_URL, default `http://127.0.0.1:5050`). Only plain http is supported: on an
    /// untrusted network, put a proxy with TLS in front of the server. The key is read from X_API_KEY.
    #[arg(long, env = "CLASSIFIER_URL", default_value = "http://127.0.0.1:5050", value_name = "URL")]
    pub url: String,
}

/// Queue and store of `classifier serve`.
#[derive(Debug, Clone, Args)]
pub struct QueueConfig {
    /// Most parts of jobs that wait for the worker (QUEUE_MAX_PARTS, default 2000). Beyond it a request gets 429. A
    /// higher value absorbs longer bursts and takes memory: a part has up to a few MiB.
    #[arg(long, env = "QUEUE_MAX_PARTS", default_value_t = 2000,
        value_parser = clap::value_parser!(u32).range(1..))]
    pub queue_max_parts: u32,

    /// Most bytes of parts that wait for the worker or are in its hands (QUEUE_MAX_BYTES, default 256 MiB). Beyond it a
    /// request gets 429. All of it is memory of this process.
    #[arg(long, env = "QUEUE_MAX_BYTES", default_value_t = 256 << 20,
        value_parser = clap::value_parser!(u64).range(1..))]
    pub queue_max_bytes: u64,

    /// Most bytes of memory for jobs and their results (STORE_MAX_BYTES, default 128 MiB). Beyond it, results that a
    /// client already has are deleted early, except those with an idempotency key. If that is not enough, a request
    /// gets 503.
    #[arg(long, env = "STORE_MAX_BYTES", default_value_t = 128 << 20)]
    pub store_max_bytes: usize,
}

impl QueueConfig {
    /// Returns the limits of the broker. Inside one process a call that takes seconds is a bug.
    #[must_use]
    pub fn broker_limits(&self) -> BrokerLimits {
        BrokerLimits {
            max_parts: self.queue_max_parts,
            max_bytes: Some(self.queue_max_bytes),
            call_timeout: Duration::from_secs(10),
        }
    }
}

/// Which of the two keys a command needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// Predicts and reads: `X_API_KEY`.
    Reader,
    /// Changes the fleet: `X_ADMIN_API_KEY`, or `X_API_KEY` where that is not set.
    Admin,
}

/// Returns the key for a command: the first one, without its name.
///
/// # Errors
/// No variable has a key.
pub fn key(kind: KeyKind) -> Result<String, UsageError> {
    let variables: &[&str] = match kind {
        KeyKind::Reader => &["X_API_KEY", "X_ADMIN_API_KEY"],
        KeyKind::Admin => &["X_ADMIN_API_KEY", "X_API_KEY"],
    };
    variables.iter().find_map(|name| first_key(&env::var(name).ok()?)).ok_or_else(|| {
        UsageError("no key: set the environment variable X_API_KEY to the server's key".to_owned())
    })
}

fn first_key(text: &str) -> Option<String> {
    let Ok(keys) = text.parse::<Keys>();
    keys.all().first().map(|key| key.secret().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_keys_the_first_is_sent() {
        assert_eq!(first_key("new, old"), Some("new".to_owned()));
        assert_eq!(first_key(" , old"), Some("old".to_owned()));
        assert_eq!(first_key(" ,"), None);
        assert_eq!(first_key("mobile:new,old"), Some("new".to_owned()));
        assert_eq!(first_key(":a:b"), Some("a:b".to_owned()));
    }
}
