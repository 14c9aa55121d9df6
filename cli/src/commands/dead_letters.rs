//! `classifier dead-letters`: what no worker could finish.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use crate::client::Client;
use crate::config::{KeyKind, ServerConfig};
use crate::exit::Exit;
use crate::output;

/// What `--help` shows below the options.
pub const EXAMPLES: &str = "Examples:
  classifier dead-letters list
  classifier dead-letters replay              all of them, once their cause is mended
  classifier dead-letters drop 5f0c…/0        one of them, by the id that `list` shows";

/// Options of the command.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    server: ServerConfig,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show them; they stay.
    List {
        /// Print the server's JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Queue them again, with a new deadline.
    Replay {
        /// Which; all where left out.
        id: Option<String>,
    },
    /// Forget them.
    Drop {
        /// Which.
        #[arg(required_unless_present = "all")]
        id: Option<String>,
        /// All of them.
        #[arg(long, conflicts_with = "id")]
        all: bool,
    },
}

/// A row of the list.
#[derive(Debug, Deserialize)]
struct DeadLetter {
    id: String,
    positions: Vec<u32>,
    image_bytes: u64,
    model: String,
    reason: String,
}

/// Runs the command.
///
/// # Errors
/// No server, a refused key, or the server's refusal.
pub async fn run(arguments: Arguments) -> anyhow::Result<Exit> {
    let path = ["classifier", "dead-letters"];
    match arguments.action {
        Action::List { json } => {
            let client = Client::new(&arguments.server, KeyKind::Reader)?;
            let answer = client.call(Method::GET, &path).send().await?;
            if json {
                output::json(&answer.body["response"])?;
            } else {
                show(&answer.response::<List>()?.dead_letters)?;
            }
        }
        Action::Replay { id } => {
            let client = Client::new(&arguments.server, KeyKind::Admin)?;
            let mut call = client.call(Method::POST, &["classifier", "dead-letters", "replay"]);
            if let Some(id) = id {
                call = call.query("id", &id);
            }
            tell(&call.send().await?.body["response"])?;
        }
        Action::Drop { id, .. } => {
            let client = Client::new(&arguments.server, KeyKind::Admin)?;
            let mut call = client.call(Method::DELETE, &path);
            if let Some(id) = id {
                call = call.query("id", &id);
            }
            tell(&call.send().await?.body["response"])?;
        }
    }
    Ok(Exit::Done)
}
