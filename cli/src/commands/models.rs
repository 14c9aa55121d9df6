//! `classifier models`: the packages in the models folder.

use api::wire::models::ModelListing;
use clap::Args;
use comfy_table::Color;

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
    let listings: Vec<ModelListing> = answer.response()?;
    let mut table = output::table(&["model", "version", "input", "classes", "state"]);
    for listing in listings {
        let shape = listing.input_shape.map(|sizes| sizes.map(|size| size.to_string()).join("×"));
        let state = match (listing.active, listing.problems.as_slice()) {
            (true, _) => output::cell("active").fg(Color::Green),
            (false, []) => output::cell(""),
            (false, problems) => output::cell(problems.join("\n")).fg(Color::Red),
        };
        let classes = listing.classes.map_or_else(String::new, |classes| classes.len().to_string());
        let version = listing.version.as_deref().map_or("-", output::short_version);
        table.add_row([
            output::cell(listing.name),
            output::cell(version),
            output::cell(shape.unwrap_or_default()),
            output::cell(classes),
            state,
        ]);
    }
    output::print(&table)?;
    Ok(Exit::Done)
}
