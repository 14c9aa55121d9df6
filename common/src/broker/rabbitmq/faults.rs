//! The table of RabbitMQ errors and what is done about each.

use lapin::protocol::{AMQPError, AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::{Error, ErrorKind};

use crate::broker::BrokerError;

/// An error and the server's message.
#[derive(Debug, Clone)]
pub(super) struct RabbitMqFault {
    pub(super) kind: FaultKind,
    said: String,
}

/// The kinds of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum FaultKind {
    /// No connection is possible, or the network ended it.
    Unreachable,
    /// No data for too long, or no answer in time.
    Silent,
    /// The server ended the connection or channel, for example because it stops or a virtual host is deleted.
    Ended,
    /// The server has a problem of its own: a cluster without majority, a dead queue process, no resources.
    Trouble,
    /// A part was rejected although its queue has room: the queue has no leader for now, or this channel still uses the
    /// previous one.
    NotTaken,
    /// The queue or exchange was deleted.
    Missing,
    /// User or password is wrong.
    LoginRefused,
    /// The virtual host does not exist, is not this user's, or is at its connection limit.
    HostRefused,
    /// The user lacks a permission.
    PermissionRefused,
    /// A queue of this name has settings that this program cannot use.
    OtherSettings,
    /// RabbitMQ is short of memory or disk and accepts nothing.
    Alarm,
    /// A message was not stored safely in time, although the server answers.
    NotStored,
    /// The server does not speak AMQP 0.9.1, or not as RabbitMQ does.
    NotRabbitMq,
    /// The queue is at its limit.
    Full,
    /// A bug: this program sent an invalid request.
    Mistake,
}

/// What is done about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Declare queues and exchanges again and retry on the same connection.
    RetryHere,
    /// Retry on a new connection.
    Reconnect,
    /// Fail at once: an immediate retry is useless.
    Refuse,
    /// Fail at once: this program has a bug.
    Bug,
}

impl FaultKind {
    /// Returns what is done about it.
    pub(super) fn remedy(self) -> Remedy {
        match self {
            Self::Missing => Remedy::RetryHere,
            Self::Unreachable | Self::Silent | Self::Ended | Self::Trouble | Self::NotTaken => {
                Remedy::Reconnect
            }
            Self::LoginRefused
            | Self::HostRefused
            | Self::PermissionRefused
            | Self::OtherSettings
            | Self::Alarm
            | Self::NotStored
            | Self::NotRabbitMq
            | Self::Full => Remedy::Refuse,
            Self::Mistake => Remedy::Bug,
        }
    }
}

impl RabbitMqFault {
    pub(super) fn new(kind: FaultKind, said: impl Into<String>) -> Self {
        Self { kind, said: said.into() }
    }

    /// No answer came in time.
    pub(super) fn silent() -> Self {
        Self::new(FaultKind::Silent, "it did not answer in time")
    }

    /// Returns what is done about it.
    pub(super) fn remedy(&self) -> Remedy {
        self.kind.remedy()
    }

    /// Returns whether a retry may succeed within the time of one call.
    pub(super) fn is_transient(&self) -> bool {
        match self.remedy() {
            Remedy::RetryHere | Remedy::Reconnect => true,
            Remedy::Refuse | Remedy::Bug => false,
        }
    }

    /// Returns the message.
    pub(super) fn said(&self) -> &str {
        &self.said
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all else tells of itself")]
impl From<Error> for RabbitMqFault {
    fn from(error: Error) -> Self {
        let said = match error.kind() {
            // The server's message, without lapin's prefix.
            ErrorKind::ProtocolError(protocol) => protocol.get_message().to_string(),
            _ => error.to_string(),
        };
        Self::new(kind_of(&error), said)
    }
}

impl From<RabbitMqFault> for BrokerError {
    fn from(fault: RabbitMqFault) -> Self {
        if fault.kind == FaultKind::Full {
            return Self::Full;
        }
        match fault.remedy() {
            Remedy::RetryHere | Remedy::Reconnect => Self::Unavailable(fault.said),
            Remedy::Refuse => Self::Refused(fault.said),
            Remedy::Bug => Self::Malformed(fault.said),
        }
    }
}

/// The table of errors of lapin and the server. lapin may add kinds: a new connection is the safe answer to them.
fn kind_of(error: &Error) -> FaultKind {
    match error.kind() {
        ErrorKind::IOError(_) | ErrorKind::RuntimeShutdownError(_) => FaultKind::Unreachable,
        ErrorKind::MissingHeartbeatError => FaultKind::Silent,
        ErrorKind::InvalidChannel(_)
        | ErrorKind::InvalidChannelState(..)
        | ErrorKind::InvalidConnectionState(_) => FaultKind::Ended,
        ErrorKind::ChannelsLimitReached => FaultKind::Trouble,
        ErrorKind::InvalidProtocolVersion(_) | ErrorKind::ParsingError(_) => FaultKind::NotRabbitMq,
        ErrorKind::AuthProviderError(_) => FaultKind::LoginRefused,
        ErrorKind::SerialisationError(_) | ErrorKind::FutureCompleted | ErrorKind::NoDefaultRuntime => {
            FaultKind::Mistake
        }
        ErrorKind::ProtocolError(said) => kind_said(said),
        _ => FaultKind::Ended,
    }
}

/// The table of AMQP's reply codes. Where one code means several things, its text decides.
fn kind_said(error: &AMQPError) -> FaultKind {
    let text = error.get_message().as_str();
    match error.kind() {
        AMQPErrorKind::Soft(soft) => match soft {
            // While connecting, or for an operation on a channel.
            AMQPSoftError::ACCESSREFUSED if text.contains("Login was refused") => FaultKind::LoginRefused,
            AMQPSoftError::ACCESSREFUSED => FaultKind::PermissionRefused,
            AMQPSoftError::NOTFOUND if is_down(text) => FaultKind::Trouble,
            AMQPSoftError::NOTFOUND | AMQPSoftError::NOROUTE => FaultKind::Missing,
            AMQPSoftError::PRECONDITIONFAILED if text.contains("inequivalent arg") => {
                FaultKind::OtherSettings
            }
            AMQPSoftError::PRECONDITIONFAILED if text.contains("larger than") => FaultKind::Mistake,
            // An acknowledgement that came too late, or for another channel's message.
            AMQPSoftError::PRECONDITIONFAILED => FaultKind::Ended,
            AMQPSoftError::RESOURCELOCKED | AMQPSoftError::NOCONSUMERS => FaultKind::Trouble,
            AMQPSoftError::CONTENTTOOLARGE => FaultKind::Mistake,
        },
        AMQPErrorKind::Hard(hard) => match hard {
            AMQPHardError::CONNECTIONFORCED => FaultKind::Ended,
            AMQPHardError::NOTALLOWED | AMQPHardError::INVALIDPATH => FaultKind::HostRefused,
            AMQPHardError::RESOURCEERROR | AMQPHardError::INTERNALERROR => FaultKind::Trouble,
            // A channel that ends during use may look so to the server; a new connection helps.
            AMQPHardError::CHANNELERROR | AMQPHardError::UNEXPECTEDFRAME => FaultKind::Ended,
            AMQPHardError::FRAMEERROR
            | AMQPHardError::SYNTAXERROR
            | AMQPHardError::COMMANDINVALID
            | AMQPHardError::NOTIMPLEMENTED => FaultKind::Mistake,
        },
    }
}

/// RabbitMQ also says "not found" for an existing queue whose process or node is down.
fn is_down(text: &str) -> bool {
    ["down", "inaccessible", "stopped by supervisor", "unavailable"].iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn soft(error: AMQPSoftError, text: &str) -> Error {
        ErrorKind::ProtocolError(AMQPError::new(AMQPErrorKind::Soft(error), text.into())).into()
    }

    fn hard(error: AMQPHardError, text: &str) -> Error {
        ErrorKind::ProtocolError(AMQPError::new(AMQPErrorKind::Hard(error), text.into())).into()
    }

    /// Texts of RabbitMQ 3.10.
    #[test]
    fn every_error_has_its_remedy() {
        for (error, kind, remedy) in [
            (
                io::Error::from(io::ErrorKind::ConnectionRefused).into(),
                FaultKind::Unreachable,
                Remedy::Reconnect,
            ),
            (ErrorKind::MissingHeartbeatError.into(), FaultKind::Silent, Remedy::Reconnect),
            (ErrorKind::ChannelsLimitReached.into(), FaultKind::Trouble, Remedy::Reconnect),
            (ErrorKind::InvalidChannel(3).into(), FaultKind::Ended, Remedy::Reconnect),
            (ErrorKind::FutureCompleted.into(), FaultKind::Mistake, Remedy::Bug),
            (
                soft(
                    AMQPSoftError::ACCESSREFUSED,
                    "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see \
                     the broker logfile.",
                ),
                FaultKind::LoginRefused,
                Remedy::Refuse,
            ),
            (
                soft(
                    AMQPSoftError::ACCESSREFUSED,
                    "ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'u'",
                ),
                FaultKind::PermissionRefused,
                Remedy::Refuse,
            ),
            (
                soft(AMQPSoftError::NOTFOUND, "NOT_FOUND - no queue 'q' in vhost '/'"),
                FaultKind::Missing,
                Remedy::RetryHere,
            ),
            (
                soft(
                    AMQPSoftError::NOTFOUND,
                    "NOT_FOUND - queue 'q' in vhost '/' process is stopped by supervisor",
                ),
                FaultKind::Trouble,
                Remedy::Reconnect,
            ),
            (
                soft(
                    AMQPSoftError::PRECONDITIONFAILED,
                    "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received \
                     'quorum' but current is 'classic'",
                ),
                FaultKind::OtherSettings,
                Remedy::Refuse,
            ),
            (
                soft(AMQPSoftError::PRECONDITIONFAILED, "PRECONDITION_FAILED - unknown delivery tag 3"),
                FaultKind::Ended,
                Remedy::Reconnect,
            ),
            (
                soft(
                    AMQPSoftError::PRECONDITIONFAILED,
                    "PRECONDITION_FAILED - message size 200 is larger than configured max size 100",
                ),
                FaultKind::Mistake,
                Remedy::Bug,
            ),
            (
                hard(AMQPHardError::NOTALLOWED, "NOT_ALLOWED - vhost fleet not found"),
                FaultKind::HostRefused,
                Remedy::Refuse,
            ),
            (
                hard(AMQPHardError::CONNECTIONFORCED, "CONNECTION_FORCED - vhost 'fleet' is deleted"),
                FaultKind::Ended,
                Remedy::Reconnect,
            ),
            (hard(AMQPHardError::INTERNALERROR, "INTERNAL_ERROR"), FaultKind::Trouble, Remedy::Reconnect),
            (hard(AMQPHardError::FRAMEERROR, "FRAME_ERROR"), FaultKind::Mistake, Remedy::Bug),
        ] {
            let fault = RabbitMqFault::from(error);
            assert_eq!((fault.kind, fault.remedy()), (kind, remedy), "{}", fault.said());
        }
    }

    #[test]
    fn callers_are_told_by_remedy() {
        let told = |kind| BrokerError::from(RabbitMqFault::new(kind, "why"));
        assert!(matches!(told(FaultKind::Full), BrokerError::Full));
        assert!(matches!(told(FaultKind::Missing), BrokerError::Unavailable(_)));
        assert!(matches!(told(FaultKind::NotTaken), BrokerError::Unavailable(_)));
        assert!(matches!(told(FaultKind::Alarm), BrokerError::Refused(why) if why == "why"));
        assert!(matches!(told(FaultKind::Mistake), BrokerError::Malformed(_)));
    }
}
