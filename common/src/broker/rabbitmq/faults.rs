//! The one table of what goes wrong with RabbitMQ and what is done about it.

use lapin::protocol::{AMQPError, AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::{Error, ErrorKind};

use crate::broker::BrokerError;

/// Something that went wrong, and what was said about it.
#[derive(Debug, Clone)]
pub(super) struct RabbitMqFault {
    pub(super) kind: FaultKind,
    said: String,
}

/// Every kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum FaultKind {
    /// No connection can be made, or the network ended it.
    Unreachable,
    /// Nothing was heard for too long, or no answer came in time.
    Silent,
    /// The server ended the connection or the channel, as when it stops or a virtual host is deleted.
    Ended,
    /// The server has trouble of its own: a cluster without majority, a queue process that died, no
    /// resources.
    Trouble,
    /// A part was not taken although its queue has room: the queue has no leader for now, or this channel
    /// still speaks to the last one.
    NotTaken,
    /// The queue or exchange does not exist, being deleted.
    Missing,
    /// The user or the password is wrong.
    LoginRefused,
    /// The virtual host does not exist, is not this user's, or is at a limit of its connections.
    HostRefused,
    /// The user may not do this.
    PermissionRefused,
    /// A queue of this name has settings that this program cannot use.
    OtherSettings,
    /// RabbitMQ is short of memory or disk and takes nothing.
    Alarm,
    /// What was sent was not stored safely in time, although the server answers.
    NotStored,
    /// The other side does not speak AMQP 0.9.1, or not as RabbitMQ does.
    NotRabbitMq,
    /// The queue holds as many parts as it may.
    Full,
    /// This program asked for something that it should not have.
    Mistake,
}

/// What is done about a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Declare queues and exchanges anew and try again on the same connection.
    RetryHere,
    /// Try again on a new connection.
    Reconnect,
    /// Say so at once: trying again now is of no use.
    Refuse,
    /// Say so at once and mend this program.
    Bug,
}

impl FaultKind {
    /// What is done about it.
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

    /// What is done about it.
    pub(super) fn remedy(&self) -> Remedy {
        self.kind.remedy()
    }

    /// Returns whether another attempt may go better within the time of one call.
    pub(super) fn is_transient(&self) -> bool {
        match self.remedy() {
            Remedy::RetryHere | Remedy::Reconnect => true,
            Remedy::Refuse | Remedy::Bug => false,
        }
    }

    /// What was said.
    pub(super) fn said(&self) -> &str {
        &self.said
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all else tells of itself")]
impl From<Error> for RabbitMqFault {
    fn from(error: Error) -> Self {
        let said = match error.kind() {
            // What the server said, without what lapin calls it.
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

/// The table for what lapin and the server say. lapin may add kinds: a new connection is the safe answer to them.
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

/// The table for AMQP's reply codes, whose text says more where one code means several things.
fn kind_said(error: &AMQPError) -> FaultKind {
    let text = error.get_message().as_str();
    match error.kind() {
        AMQPErrorKind::Soft(soft) => match soft {
            // Of a connection that is being made, or of an operation on a channel.
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
            // A channel that ends while it is used may look so to the server; a new connection is sound.
            AMQPHardError::CHANNELERROR | AMQPHardError::UNEXPECTEDFRAME => FaultKind::Ended,
            AMQPHardError::FRAMEERROR
            | AMQPHardError::SYNTAXERROR
            | AMQPHardError::COMMANDINVALID
            | AMQPHardError::NOTIMPLEMENTED => FaultKind::Mistake,
        },
    }
}

/// RabbitMQ also says "not found" of a queue that is there and whose process or node is down.
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

    /// Texts as RabbitMQ 3.10 sends them.
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
