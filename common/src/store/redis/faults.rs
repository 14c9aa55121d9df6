//! The table of Redis errors and what is done about each.

use redis::{ErrorKind, RedisError};

use crate::store::StoreError;

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Retry on the same server after a pause.
    Retry,
    /// The server is not the right one any more, or the connection is broken: connect again, and resolve the address
    /// again.
    Reconnect,
    /// The server will certainly refuse until an operator fixes it: fail at once.
    Refuse,
    /// A bug, or invalid stored data.
    Bug,
}

/// The error codes of servers. An unknown code is a refusal with its text.
const CODES: [(&str, Remedy); 23] = [
    // It loads its data after a start.
    ("LOADING", Remedy::Retry),
    // Another script runs for too long.
    ("BUSY", Remedy::Retry),
    // Keys are migrating between nodes of a cluster.
    ("TRYAGAIN", Remedy::Retry),
    // The scripts were flushed between loading one and running it.
    ("NOSCRIPT", Remedy::Retry),
    // It is a replica: after a failover, or always.
    ("READONLY", Remedy::Reconnect),
    // A replica that lost its master and must not answer with old data.
    ("MASTERDOWN", Remedy::Reconnect),
    // Another node of the cluster has the key.
    ("MOVED", Remedy::Reconnect),
    ("ASK", Remedy::Reconnect),
    ("REDIRECT", Remedy::Reconnect),
    // The node does not see most of its cluster.
    ("CLUSTERDOWN", Remedy::Reconnect),
    // It became a replica during the call.
    ("UNBLOCKED", Remedy::Reconnect),
    // Memory is full, and Redis must not evict.
    ("OOM", Remedy::Refuse),
    // It cannot save to its disk.
    ("MISCONF", Remedy::Refuse),
    // Too few replicas are connected.
    ("NOREPLICAS", Remedy::Refuse),
    // The user lacks a permission.
    ("NOPERM", Remedy::Refuse),
    ("NOAUTH", Remedy::Refuse),
    ("WRONGPASS", Remedy::Refuse),
    // It has no password and accepts only connections of its own host.
    ("DENIED", Remedy::Refuse),
    ("NOPROTO", Remedy::Refuse),
    // A key has a value of another type, which another program wrote.
    ("WRONGTYPE", Remedy::Bug),
    ("CROSSSLOT", Remedy::Bug),
    ("EXECABORT", Remedy::Bug),
    ("NOTBUSY", Remedy::Bug),
];

/// Errors without a code (`ERR`), by a part of their text.
const TEXTS: [(&str, Remedy); 11] = [
    // The server closes such a connection.
    ("max number of clients", Remedy::Reconnect),
    ("DB index is out of range", Remedy::Refuse),
    ("invalid DB index", Remedy::Refuse),
    ("SELECT is not allowed", Remedy::Refuse),
    ("without any password configured", Remedy::Refuse),
    ("no password is set", Remedy::Refuse),
    // Missing permissions within a script, in the words of 7.0 and of 7.2.
    ("executing the script can't", Remedy::Refuse),
    ("ACL failure in script", Remedy::Refuse),
    ("unknown command", Remedy::Refuse),
    // Other errors within a script.
    ("user_script", Remedy::Bug),
    ("Error running script", Remedy::Bug),
];

/// A classified error of Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RedisFault {
    pub(super) remedy: Remedy,
    /// Whether the server said so; otherwise there was no answer.
    pub(super) is_answer: bool,
    /// The error message.
    pub(super) text: String,
}

impl RedisFault {
    pub(super) fn of(error: &RedisError) -> Self {
        // A pipeline fails with its first error; the later ones follow from it.
        if let Some((_, first)) = error.clone().into_server_errors().as_deref().and_then(<[_]>::first) {
            return Self::answered(first.code(), first.details().unwrap_or_default());
        }
        let remedy = match error.kind() {
            ErrorKind::Io => Remedy::Reconnect,
            ErrorKind::AuthenticationFailed | ErrorKind::RESP3NotSupported => Remedy::Refuse,
            ErrorKind::Server(_) | ErrorKind::Extension => {
                // The crate wraps the server's error.
                return Self::answered(error.code().unwrap_or_default(), &error.to_string());
            }
            ErrorKind::Parse
            | ErrorKind::UnexpectedReturnType
            | ErrorKind::InvalidClientConfig
            | ErrorKind::Client
            | ErrorKind::MasterNameNotFoundBySentinel
            | ErrorKind::NoValidReplicasFoundBySentinel
            | ErrorKind::EmptySentinelList
            | ErrorKind::ClusterConnectionNotFound
            | _ => Remedy::Bug,
        };
        Self { remedy, is_answer: false, text: error.to_string() }
    }

    /// There was no answer.
    pub(super) fn silence() -> Self {
        Self { remedy: Remedy::Reconnect, is_answer: false, text: "it does not answer".to_owned() }
    }

    fn answered(code: &str, details: &str) -> Self {
        // The script's hash is removed: it is of no use to readers, and would make one error look like many.
        let details = details.split(" script: ").next().unwrap_or_default().trim();
        let text = if details.is_empty() { code.to_owned() } else { format!("{code} {details}") };
        Self { remedy: remedy(code, details), is_answer: true, text }
    }
}

impl From<RedisFault> for StoreError {
    fn from(fault: RedisFault) -> Self {
        match fault.remedy {
            Remedy::Retry | Remedy::Reconnect => Self::Unavailable(fault.text),
            Remedy::Refuse => Self::Refused(fault.text),
            Remedy::Bug => Self::Malformed(fault.text),
        }
    }
}

fn remedy(code: &str, details: &str) -> Remedy {
    let by_code = |code: &str| CODES.iter().find(|(known, _)| *known == code).map(|(_, remedy)| *remedy);
    // Before 7.0 an error within a script came as `ERR Error running script (...): @user_script: 7: -OOM ...`.
    let within = || details.split_whitespace().filter_map(|word| word.strip_prefix('-')).find_map(by_code);
    let by_text = || TEXTS.iter().find(|(piece, _)| details.contains(piece)).map(|(_, remedy)| *remedy);
    match code {
        "ERR" => within().or_else(by_text).unwrap_or(Remedy::Refuse),
        _ => by_code(code).unwrap_or(Remedy::Refuse),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a server sends it, without the leading `-`.
    fn fault(line: &str) -> RedisFault {
        let (code, details) = line.split_once(' ').unwrap_or((line, ""));
        RedisFault::answered(code, details)
    }

    /// Texts of Redis 6.0 to 7.4 and Valkey 8.
    #[test]
    fn every_error_of_a_server_has_its_remedy() {
        for (remedy, line) in [
            (Remedy::Retry, "LOADING Redis is loading the dataset in memory"),
            (
                Remedy::Retry,
                "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
            ),
            (Remedy::Retry, "TRYAGAIN Multiple keys request during rehashing of slot"),
            (Remedy::Retry, "NOSCRIPT No matching script. Please use EVAL."),
            (Remedy::Reconnect, "READONLY You can't write against a read only replica."),
            (
                Remedy::Reconnect,
                "READONLY You can't write against a read only replica. script: 60b5, on @user_script:1.",
            ),
            (
                Remedy::Reconnect,
                "ERR Error running script (call to f_60b5): @user_script:1: @user_script: 1: -READONLY You can't write against a read only replica.",
            ),
            (
                Remedy::Reconnect,
                "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            ),
            (Remedy::Reconnect, "MOVED 3999 127.0.0.1:6381"),
            (Remedy::Reconnect, "ASK 3999 127.0.0.1:6381"),
            (Remedy::Reconnect, "REDIRECT 127.0.0.1:6381"),
            (Remedy::Reconnect, "CLUSTERDOWN Hash slot not served"),
            (Remedy::Reconnect, "CLUSTERDOWN The cluster is down"),
            (
                Remedy::Reconnect,
                "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
            ),
            (Remedy::Reconnect, "ERR max number of clients reached"),
            (Remedy::Reconnect, "ERR max number of clients + cluster connections reached"),
            (Remedy::Refuse, "OOM command not allowed when used memory > 'maxmemory'."),
            (
                Remedy::Refuse,
                "OOM command not allowed when used memory > 'maxmemory'. script: 60b5, on @user_script:1.",
            ),
            (
                Remedy::Refuse,
                "ERR Error running script (call to f_60b5): @user_script:1: @user_script: 1: -OOM command not allowed when used memory > 'maxmemory'.",
            ),
            (
                Remedy::Refuse,
                "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that may modify the data set are disabled, because this instance is configured to report errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB error.",
            ),
            (Remedy::Refuse, "MISCONF Errors writing to the AOF file: No space left on device"),
            (
                Remedy::Refuse,
                "MISCONF Errors writing to the AOF file: No space left on device script: 60b5, on @user_script:1.",
            ),
            (
                Remedy::Refuse,
                "ERR Error running script (call to f_60b5): @user_script:1: @user_script: 1: -MISCONF Errors writing to the AOF file: No space left on device",
            ),
            (Remedy::Refuse, "NOREPLICAS Not enough good replicas to write."),
            (Remedy::Refuse, "NOPERM this user has no permissions to run the 'evalsha' command"),
            (Remedy::Refuse, "NOPERM User u has no permissions to run the 'evalsha' command"),
            (
                Remedy::Refuse,
                "ERR The user executing the script can't run this command or subcommand script: 60b5, on @user_script:1.",
            ),
            (
                Remedy::Refuse,
                "ERR ACL failure in script: User u has no permissions to run the 'hset' command script: 60b5, on @user_script:1.",
            ),
            (Remedy::Refuse, "NOAUTH Authentication required."),
            (Remedy::Refuse, "WRONGPASS invalid username-password pair or user is disabled."),
            (
                Remedy::Refuse,
                "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
            ),
            (Remedy::Refuse, "DENIED Redis is running in protected mode because protected mode is enabled"),
            (Remedy::Refuse, "ERR DB index is out of range"),
            (Remedy::Refuse, "ERR SELECT is not allowed in cluster mode"),
            (Remedy::Refuse, "ERR unknown command 'EVALSHA', with args beginning with: "),
            (Remedy::Refuse, "SOMETHING that no server says today"),
            (Remedy::Bug, "WRONGTYPE Operation against a key holding the wrong kind of value"),
            (Remedy::Bug, "CROSSSLOT Keys in request don't hash to the same slot"),
            (
                Remedy::Bug,
                "ERR user_script:1: attempt to compare nil with number script: dbad, on @user_script:1.",
            ),
            (
                Remedy::Bug,
                "ERR Error running script (call to f_dbad): @user_script:1: user_script:1: attempt to compare nil with number",
            ),
        ] {
            assert_eq!(fault(line).remedy, remedy, "{line}");
        }
    }

    #[test]
    fn what_was_not_heard_is_asked_anew_and_what_was_not_understood_is_a_bug() {
        let broken = RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert_eq!(RedisFault::of(&broken).remedy, Remedy::Reconnect);
        let parse = RedisError::from((ErrorKind::Parse, "not a number"));
        assert_eq!(RedisFault::of(&parse).remedy, Remedy::Bug);
        assert!(!RedisFault::silence().is_answer);
    }

    #[test]
    fn one_fault_in_two_scripts_has_one_text() {
        let text = "OOM command not allowed when used memory > 'maxmemory'.";
        for script in ["1111", "2222"] {
            assert_eq!(fault(&format!("{text} script: {script}, on @user_script:9.")).text, text);
        }
    }

    #[test]
    fn no_code_stands_twice() {
        for (index, (code, _)) in CODES.iter().enumerate() {
            assert!(CODES[..index].iter().all(|(other, _)| other != code), "{code}");
        }
    }
}
