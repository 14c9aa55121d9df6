//! The command `classifier`: serves, asks and looks after image classifiers.
//!
//! Reading order: [`arguments`] is what can be typed, [`commands`] has a file for each command, [`dispatch`] runs one,
//! [`exit`] says how each can end, [`config`] is what the environment says, [`client`] talks to a
//! server, [`images`] reads files, [`output`] writes results.

pub mod arguments;
pub mod client;
pub mod commands;
pub mod config;
pub mod dispatch;
pub mod exit;
pub mod images;
pub mod output;
pub mod usage;

use std::process::ExitCode;

use common::program::parse_settings;

/// Reads the command line and does what it says.
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
        // Whatever its worker's threads still do.
        common::program::leave(exit.into());
    }
    exit.into()
}
