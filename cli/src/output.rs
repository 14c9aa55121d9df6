//! Results go to stdout, everything else to stderr.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use comfy_table::{Cell, ContentArrangement, Table, TableComponent, presets};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

/// Writes a line, or several, to stdout. Control characters are escaped.
///
/// # Errors
/// stdout is closed.
pub fn line(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", shown(text))
}

/// Writes a value to stdout as JSON.
///
/// # Errors
/// stdout is closed.
pub fn json(value: &impl Serialize) -> io::Result<()> {
    // JSON itself escapes only the older control characters.
    let mut text = String::new();
    for character in serde_json::to_string_pretty(value)?.chars() {
        match character {
            '\n' => text.push(character),
            steering if steering.is_control() => text.push_str(&format!("\\u{:04x}", u32::from(steering))),
            plain => text.push(plain),
        }
    }
    writeln!(io::stdout().lock(), "{text}")
}

/// Writes a table to stdout. Its cells are made by [`cell`].
///
/// # Errors
/// stdout is closed.
pub fn print(table: &Table) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{table}")
}

/// Creates a table cell with this text. Control characters are escaped.
pub fn cell(text: impl ToString) -> Cell {
    Cell::new(shown(&text.to_string()))
}

/// Returns the text with control characters escaped as in Rust, except line breaks and tabs: a label, a file name or a
/// server's answer must not control the terminal.
#[must_use]
pub fn shown(text: &str) -> Cow<'_, str> {
    let steers = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut visible = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if steers(character) { visible.extend(character.escape_default()) } else { visible.push(character) }
    }
    Cow::Owned(visible)
}

/// Creates a table with these column heads. It is as wide as the terminal, and of any width elsewhere.
#[must_use]
pub fn table(heads: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::UTF8_HORIZONTAL_ONLY)
        .remove_style(TableComponent::HorizontalLines)
        .remove_style(TableComponent::MiddleIntersections)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(heads);
    table
}

/// Writes a note to stderr.
pub fn note(text: &str) {
    // An error is ignored: stderr is closed.
    let _ = writeln!(io::stderr().lock(), "{}", shown(text));
}

/// Writes an error with its causes to stderr.
pub fn complain(error: &anyhow::Error) {
    let head = if io::stderr().is_terminal() { "\x1b[1;31merror:\x1b[0m" } else { "error:" };
    // As in `note`.
    let _ = writeln!(io::stderr().lock(), "{head} {}", shown(&format!("{error:#}")));
}

/// Creates a progress bar on stderr that counts to `length`; hidden where stderr is not a terminal. It appears after half
/// a second, so that quick commands show none.
#[must_use]
pub fn progress(length: u64, what: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), target());
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}, {eta} left") {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar
}

/// Creates a spinner with a text on stderr; hidden where stderr is not a terminal.
#[must_use]
pub fn spinner(text: &str) -> ProgressBar {
    let spinner = ProgressBar::with_draw_target(None, target());
    spinner.set_message(text.to_owned());
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}

/// Creates a group of spinners, one below the other.
#[must_use]
pub fn spinners() -> MultiProgress {
    MultiProgress::with_draw_target(target())
}

fn target() -> ProgressDrawTarget {
    if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() }
}

/// Returns the first 12 digits of a version.
#[must_use]
pub fn short_version(version: &str) -> &str {
    version.get(..12).unwrap_or(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_steer_a_terminal_is_shown() {
        assert_eq!(shown("a cat\tand\na dog, naïve 猫"), "a cat\tand\na dog, naïve 猫");
        assert_eq!(shown("\x1b[2J\x1b]0;title\x07"), "\\u{1b}[2J\\u{1b}]0;title\\u{7}");
        assert_eq!(shown("\u{9b}31m\r\u{7f}"), "\\u{9b}31m\\r\\u{7f}");
        assert!(!cell("\x1b[31mred").content().contains('\x1b'));
    }
}
