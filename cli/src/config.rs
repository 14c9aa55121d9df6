//! What the commands that talk to a server take from the environment.

use std::env;

use clap::Args;

use crate::exit::UsageError;

/// Which server a command talks to. The key comes from the environment alone, so that it stands in no
/// list of processes and in no shell's history.
#[derive(Debug, Clone, Args)]
pub struct ServerConfig {
    /// Address of the server, plain http: put a proxy that speaks TLS in front of it where the network
    /// is not trusted. The key is read from X_API_KEY.
    #[arg(long, env = "CLASSIFIER_URL", default_value = "http://127.0.0.1:5050", value_name = "URL")]
    pub url: String,
}

/// Which of the two keys a command needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// Predicts and reads: `X_API_KEY`.
    Reader,
    /// Changes the fleet: `X_ADMIN_API_KEY`, or `X_API_KEY` where that is not set.
    Admin,
}

/// The key for a command; of several, separated by commas, the first.
///
/// # Errors
/// No variable holds one.
pub fn key(kind: KeyKind) -> Result<String, UsageError> {
    let variables: &[&str] = match kind {
        KeyKind::Reader => &["X_API_KEY", "X_ADMIN_API_KEY"],
        KeyKind::Admin => &["X_ADMIN_API_KEY", "X_API_KEY"],
    };
    variables
        .iter()
        .find_map(|name| first_key(&env::var(name).ok()?))
        .ok_or_else(|| UsageError("no key: set the environment variable X_API_KEY to the server's key".to_owned()))
}

fn first_key(text: &str) -> Option<String> {
    text.split(',').map(str::trim).find(|key| !key.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_keys_the_first_is_sent() {
        assert_eq!(first_key("new, old"), Some("new".to_owned()));
        assert_eq!(first_key(" , old"), Some("old".to_owned()));
        assert_eq!(first_key(" ,"), None);
    }
}
