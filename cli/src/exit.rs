//! How a command can end.

use std::io;
use std::process::ExitCode;

use common::config::WrongSetting;

use crate::client::ClientError;
use crate::usage::UsageError;

/// What `--help` says of the exit codes.
pub const HELP: &str = "Exit codes:
  0  done
  1  the answer is no: an image was not classified, a swap was refused, a package has faults, …
  2  wrong usage, or a setting is missing
  3  the server is out of reach
  4  the server refused the key";

/// The exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Done,
    /// The command ran; what it was to do or to find did not come true.
    No,
    /// Wrong usage, or a setting is missing.
    Usage,
    /// The server is out of reach.
    Unreachable,
    /// The server refused the key.
    WrongKey,
}

impl Exit {
    /// The code for an error. A reader that closed the pipe has seen what it wanted.
    #[must_use]
    pub fn of(error: &anyhow::Error) -> Self {
        for cause in error.chain() {
            if let Some(client) = cause.downcast_ref::<ClientError>() {
                return match client {
                    ClientError::Unreachable { .. } => Self::Unreachable,
                    ClientError::WrongKey { .. } => Self::WrongKey,
                    ClientError::Refused(_) | ClientError::NotThisService { .. } => Self::No,
                };
            }
            if cause.is::<UsageError>() || cause.is::<WrongSetting>() {
                return Self::Usage;
            }
            if cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) {
                return Self::Done;
            }
        }
        Self::No
    }

    /// [`Exit::Done`] where `fine`, else [`Exit::No`].
    #[must_use]
    pub fn done_if(fine: bool) -> Self {
        if fine { Self::Done } else { Self::No }
    }
}

impl From<Exit> for u8 {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => 0,
            Exit::No => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 3,
            Exit::WrongKey => 4,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(u8::from(exit))
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn the_cause_decides_however_deep_it_is() {
        let unreachable = ClientError::Unreachable { url: "http://x".to_owned(), reason: "no".to_owned() };
        let error = Err::<(), _>(unreachable).context("swapping").context("again").unwrap_err();
        assert_eq!(Exit::of(&error), Exit::Unreachable);
        assert_eq!(Exit::of(&UsageError("no".to_owned()).into()), Exit::Usage);
        assert_eq!(Exit::of(&io::Error::from(io::ErrorKind::BrokenPipe).into()), Exit::Done);
        assert_eq!(Exit::of(&io::Error::from(io::ErrorKind::NotFound).into()), Exit::No);
        assert_eq!(Exit::of(&anyhow::anyhow!("anything else")), Exit::No);
    }
}
