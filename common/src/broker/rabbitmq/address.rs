//! Parses RabbitMQ's address and refuses addresses that can never work.

use std::str::FromStr as _;

use lapin::uri::{AMQPScheme, AMQPUri};

/// Heartbeat timeout in seconds. With RabbitMQ's own 60 the parts of a frozen worker would be stuck for two minutes.
const HEARTBEAT: u16 = 10;

/// The form of an address.
const EXPECTED: &str = "expected `amqp://user:password@host:port/vhost`";

/// Parses the address of RabbitMQ.
///
/// # Errors
/// Why it can never work, without the password.
pub(super) fn parse(url: &str) -> Result<AMQPUri, String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(format!("the address has no scheme, {EXPECTED}"));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "amqp" => {}
        "amqps" => {
            // lapin without its TLS features would send user and password in plain text here.
            return Err(
                "`amqps` is not supported yet: this release does not speak TLS, expected `amqp`".to_owned()
            );
        }
        _ => return Err(format!("the scheme `{scheme}` is not RabbitMQ's, {EXPECTED}")),
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    if hosts.contains(',') {
        return Err(format!("`{hosts}` are several hosts, expected one"));
    }
    let (host, port) = split_port(hosts)?;
    if host.is_empty() {
        return Err(format!("the address names no host, {EXPECTED}"));
    }
    if port.is_some_and(|port| port.parse() == Ok(0_u16)) {
        return Err("port 0 cannot be connected to, expected 1 to 65535".to_owned());
    }
    let mut uri = AMQPUri::from_str(url).map_err(|fault| format!("{fault}, {EXPECTED}"))?;
    if uri.scheme != AMQPScheme::AMQP {
        return Err(format!("the scheme `{scheme}` is not plain AMQP, {EXPECTED}"));
    }
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        // The parser reads an IPv6 address as a missing host, and uses `localhost` instead.
        address.clone_into(&mut uri.authority.host);
    }
    uri.query.heartbeat.get_or_insert(HEARTBEAT);
    Ok(uri)
}

/// Splits off the host, in brackets if it is an IPv6 address, and the port.
fn split_port(hosts: &str) -> Result<(&str, Option<&str>), String> {
    if hosts.starts_with('[') {
        let end = hosts.find(']').ok_or_else(|| format!("`{hosts}` has no `]`, {EXPECTED}"))?;
        let (host, rest) = hosts.split_at(end + 1);
        return Ok((host, rest.strip_prefix(':')));
    }
    Ok(hosts.split_once(':').map_or((hosts, None), |(host, port)| (host, Some(port))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_never_work_is_refused_and_no_password_is_shown() {
        for (url, why) in [
            ("no address", "no scheme"),
            ("amqps://user:secret@host/%2f", "does not speak TLS"),
            ("AMQPS://user:secret@host/%2f", "does not speak TLS"),
            ("http://user:secret@host/", "`http` is not RabbitMQ's"),
            ("amqp://user:secret@one,two/%2f", "`one,two` are several hosts"),
            ("amqp://user:secret@one:5672,two:5672/%2f", "several hosts"),
            ("amqp://user:secret@:5672/%2f", "no host"),
            ("amqp://", "no host"),
            ("amqp:///vhost", "no host"),
            ("amqp://user:secret@host:0/", "port 0"),
            ("amqp://user:secret@host:70000/", "invalid port"),
            ("amqp://user:secret@host:port/", "invalid port"),
            ("amqp://user:secret@[::1/", "no `]`"),
            ("amqp://user:secret@host/?heartbeat=never", "invalid digit"),
        ] {
            let fault = parse(url).unwrap_err();
            assert!(fault.contains(why), "{url}: {fault}");
            assert!(!fault.contains("secret"), "{url}: {fault}");
        }
    }

    #[test]
    fn what_can_work_is_taken_as_it_is() {
        for (url, host, port, vhost) in [
            ("amqp://host", "host", 5672, "/"),
            ("amqp://guest:guest@127.0.0.1:1234/%2f", "127.0.0.1", 1234, "/"),
            ("amqp://user:a%40b@rabbit.example/fleet", "rabbit.example", 5672, "fleet"),
            ("amqp://[::1]:1234/%2f", "::1", 1234, "/"),
        ] {
            let uri = parse(url).unwrap();
            assert_eq!((uri.authority.host.as_str(), uri.authority.port), (host, port), "{url}");
            assert_eq!((uri.vhost.as_str(), uri.query.heartbeat), (vhost, Some(HEARTBEAT)), "{url}");
        }
        assert_eq!(parse("amqp://host/%2f?heartbeat=3").unwrap().query.heartbeat, Some(3));
    }
}
