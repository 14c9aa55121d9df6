//! The exit codes of the commands.

use std::io;
use std::process::ExitCode;

use common::config::WrongSetting;

use crate::client::ClientError;
use crate::usage::UsageError;

/// The section of `--help` on exit codes.
pub const HELP: &str = "Exit codes:
  0  done
  1  failed: an image was not classified, a swap was refused, a package is invalid, …
  2  wrong usage, or a setting is missing
  3  the server is out of reach
  4  the server refused the key";

/// The exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The command succeeded.
    Done,
    /// The command failed for another reason than those below.
    Failed,
    /// Wrong usage, or a setting is missing.
    Usage,
    /// The server is out of reach.
    Unreachable,
    /// The server refused the key.
    WrongKey,
}

impl Exit {
    /// Returns the exit code of an error. A closed pipe counts as success: its reader has seen enough.
    #[must_use]
    pub fn of(error: &anyhow::Error) -> Self {
        for cause in error.chain() {
            if let Some(client) = cause.downcast_ref::<ClientError>() {
                return match client {
                    ClientError::Unreachable { .. } => Self::Unreachable,
                    ClientError::WrongKey { .. } => Self::WrongKey,
                    ClientError::Refused(_) | ClientError::NotThisService { .. } => Self::Failed,
                };
            }
            if cause.is::<UsageError>() || cause.is::<WrongSetting>() {
                return Self::Usage;
            }
            if cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) {
                return Self::Done;
            }
        }
        Self::Failed
    }

    /// Returns [`Exit::Done`] if `fine`, else [`Exit::Failed`].
    #[must_use]
    pub fn done_if(fine: bool) -> Self {
        if fine { Self::Done } else { Self::Failed }
    }
}

impl From<Exit> for u8 {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
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
        assert_eq!(Exit::of(&io::Error::from(io::ErrorKind::NotFound).into()), Exit::Failed);
        assert_eq!(Exit::of(&anyhow::anyhow!("anything else")), Exit::Failed);
    }
}
