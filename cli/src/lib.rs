//! The command `classifier`: serves, calls and administers image classifiers.
//!
//! Reading order: [`arguments`] defines the command line, [`commands`] has a file for each command, [`dispatch`] runs
//! one, [`exit`] has the exit codes, [`config`] the settings, [`client`] calls a server, [`images`] reads files,
//! [`unpackaged`] understands a model without a package, and [`output`] writes results.

pub mod arguments;
pub mod client;
pub mod commands;
pub mod config;
pub mod dispatch;
pub mod exit;
pub mod images;
pub mod output;
pub mod unpackaged;
pub mod usage;
mod words;

use std::process::ExitCode;

use common::program::parse_settings;

/// Parses the command line and runs the command.
#[must_use]
pub fn main() -> ExitCode {
    let command = parse_settings::<arguments::Arguments>().command;
    let serves = matches!(command, arguments::Command::Serve(_));
    let exit = dispatch::run(command).unwrap_or_else(|error| {
        let exit = exit::Exit::of(&error);
        if exit != exit::Exit::Done {
            output::complain(&error);
        }
        exit
    });
    if serves {
        // Regardless of the threads of its worker.
        common::program::leave(exit.into());
    }
    exit.into()
}
