//! Parses Redis's URL and refuses URLs that can never work.

use std::time::Duration;

use redis::io::tcp::TcpSettings;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion, RedisError};

use crate::store::StoreError;

const EXPECTED: &str = "`redis://user:password@host:port/database`, where `/ ? # @ %` in user and password are \
                        written `%2F %3F %23 %40 %25`";

/// Why these settings can never work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the Redis URL {0}")]
pub struct UnusableUrl(String);

impl UnusableUrl {
    pub(super) fn from_client(error: RedisError) -> Self {
        Self(format!("cannot be used ({error}), expected {EXPECTED}"))
    }
}

impl From<UnusableUrl> for StoreError {
    fn from(error: UnusableUrl) -> Self {
        Self::Refused(error.to_string())
    }
}

/// Parses a URL. Every part of it is applied or refused, never ignored.
pub(super) fn parse(url: &str, call_timeout: Duration) -> Result<ConnectionInfo, UnusableUrl> {
    let unusable = |fault: &str| UnusableUrl(format!("{fault}, expected {EXPECTED}"));
    let (scheme, rest) = url.trim().split_once("://").ok_or_else(|| unusable("names no scheme"))?;
    let is_socket = match scheme.to_ascii_lowercase().as_str() {
        "redis" | "valkey" => false,
        "unix" | "redis+unix" | "valkey+unix" => true,
        "rediss" | "valkeys" => {
            return Err(UnusableUrl(format!(
                "asks for TLS (`{scheme}://`), which this program does not speak: expected `redis://`, on a \
                 network where nobody else listens"
            )));
        }
        _ => return Err(unusable(&format!("has the scheme `{scheme}`"))),
    };
    if !is_socket {
        check_authority(rest, unusable)?;
    }
    // The parser's errors do not repeat the input, which may contain a password.
    let parsed = redis::parse_redis_url(url.trim()).ok_or_else(|| unusable("cannot be read"))?;
    if !is_socket && parsed.host_str().is_none_or(str::is_empty) {
        return Err(unusable("names no host"));
    }
    if parsed.port() == Some(0) {
        return Err(unusable("names the port 0"));
    }
    if parsed.fragment().is_some() || (!is_socket && parsed.query().is_some()) {
        return Err(unusable("has a part after `?` or `#`, which would be ignored"));
    }
    let info = parsed
        .into_connection_info()
        .map_err(|error: RedisError| unusable(&format!("cannot be used ({error})")))?;
    match info.addr() {
        ConnectionAddr::Tcp(..) | ConnectionAddr::Unix(_) => {}
        ConnectionAddr::TcpTls { .. } => return Err(unusable("asks for TLS")),
        _ => return Err(unusable("names an address of an unknown kind")),
    }
    if info.redis_settings().db() < 0 {
        return Err(unusable("names a database below 0"));
    }
    // No delay for small commands, and TCP keepalive: the system must notice a dead peer also on a connection without
    // waiting callers.
    let tcp = TcpSettings::default().set_nodelay(true).set_user_timeout(call_timeout);
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
    Ok(info.set_tcp_settings(tcp).set_redis_settings(settings))
}

/// Refuses several hosts, which the parser would read as one strange host name.
fn check_authority(rest: &str, unusable: impl Fn(&str) -> UnusableUrl) -> Result<(), UnusableUrl> {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    if hosts.contains(',') {
        return Err(unusable("names several hosts"));
    }
    if hosts.is_empty() || hosts.starts_with(':') {
        return Err(unusable("names no host"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        parse(url, Duration::from_secs(1)).expect_err(url).to_string()
    }

    #[test]
    fn what_can_never_work_is_refused_by_its_fault() {
        for (url, fault) in [
            ("", "names no scheme"),
            ("localhost:6379", "names no scheme"),
            ("http://localhost:6379", "the scheme `http`"),
            ("amqp://localhost", "the scheme `amqp`"),
            ("rediss://localhost:6379/0", "asks for TLS"),
            ("REDISS://localhost:6379/0", "asks for TLS"),
            ("valkeys://localhost:6379/0", "asks for TLS"),
            ("redis://", "names no host"),
            ("redis:///0", "names no host"),
            ("redis://:6379/0", "names no host"),
            ("redis://user:word@/0", "names no host"),
            ("redis://localhost:0/0", "the port 0"),
            ("redis://localhost:65536/0", "cannot be read"),
            ("redis://localhost:x/0", "cannot be read"),
            ("redis://local host/0", "cannot be read"),
            ("redis://one:6379,two:6379/0", "several hosts"),
            ("redis://user:word@one,two/0", "several hosts"),
            ("redis://localhost/x", "database number"),
            ("redis://localhost/1/2", "database number"),
            ("redis://localhost/-1", "a database below 0"),
            ("redis://localhost/0?ssl=true", "which would be ignored"),
            ("redis://localhost/0#insecure", "which would be ignored"),
            ("redis://0.0.0.0/0", "wildcard"),
        ] {
            let text = refusal(url);
            assert!(text.contains(fault), "`{url}`: {text}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        for url in [
            "redis://u:secret@a,b/0",
            "redis://u:secret@h:0/0",
            "redis://u:secret@h:x/0",
            "redis://u:sec/ret@h",
        ] {
            assert!(!refusal(url).contains("sec"), "{url}");
        }
    }

    #[test]
    fn user_password_host_port_and_database_are_read() {
        let info = parse("redis://me:a%2Fb@example.org:6380/7", Duration::from_secs(1)).unwrap();
        assert_eq!(*info.addr(), ConnectionAddr::Tcp("example.org".to_owned(), 6380));
        let settings = info.redis_settings();
        assert_eq!((settings.username(), settings.password(), settings.db()), (Some("me"), Some("a/b"), 7));
        for url in [
            "redis://localhost",
            "valkey://[::1]:6379/0",
            "unix:///run/redis.sock?db=1",
            "redis://:word@host",
        ] {
            parse(url, Duration::from_secs(1)).unwrap();
        }
    }
}
