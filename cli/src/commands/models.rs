//! `classifier models`: what could be served.

use clap::Args;
use comfy_table::{Cell, Color};
use serde::Deserialize;

use crate::client::{Client, Method};
use crate::config::{KeyKind, ServerConfig};
use crate::exit::Exit;
use crate::output;

/// Options of the command.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Print the server's JSON instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerConfig,
}

/// A row of the list.
#[derive(Debug, Deserialize)]
struct Listing {
    name: String,
    active: bool,
    version: Option<String>,
    input_shape: Option<Vec<usize>>,
    classes: Option<Vec<String>>,
    problems: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// No server, or a refused key.
pub async fn run(arguments: Arguments) -> anyhow::Result<Exit> {
    let client = Client::new(&arguments.server, KeyKind::Reader)?;
    let answer = client.call(Method::GET, &["classifier", "models"]).send().await?;
    if arguments.json {
        output::json(&answer.body["response"])?;
        return Ok(Exit::Done);
    }
    let listings: Vec<Listing> = answer.response()?;
    let mut table = output::table(&["model", "version", "input", "classes", "state"]);
    for listing in listings {
        let shape = listing.input_shape.unwrap_or_default();
        let sizes: Vec<_> = shape.iter().map(ToString::to_string).collect();
        let state = match (listing.active, listing.problems.as_slice()) {
            (true, _) => Cell::new("active").fg(Color::Green),
            (false, []) => Cell::new(""),
            (false, problems) => Cell::new(problems.join("\n")).fg(Color::Red),
        };
        let classes = listing.classes.map_or_else(String::new, |classes| classes.len().to_string());
        let version = listing.version.as_deref().map_or("-", output::short_version);
        table.add_row([
            Cell::new(listing.name),
            Cell::new(version),
            Cell::new(sizes.join("×")),
            Cell::new(classes),
            state,
        ]);
    }
    output::line(&table.to_string())?;
    Ok(Exit::Done)
}
