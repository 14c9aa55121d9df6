//! `classifier dead-letters`: images that no worker could classify.

use api::wire::dead_letters::{DeadLetterCount, DeadLetterView};
use clap::{Args, Subcommand};

use crate::client::{Answer, Client, Method};
use crate::config::{KeyKind, ServerConfig};
use crate::exit::Exit;
use crate::output;

/// What `--help` shows below the options.
pub const EXAMPLES: &str = "Examples:
  classifier dead-letters list
  classifier dead-letters replay              all of them, once the cause is fixed
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
    /// List the dead letters.
    List {
        /// Print the server's JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Queue dead letters again, with a new deadline.
    Replay {
        /// Id of the dead letter. Without it: all of them.
        id: Option<String>,
    },
    /// Delete dead letters.
    #[command(override_usage = "classifier dead-letters drop <ID | --all>")]
    Drop {
        /// Id of the dead letter.
        #[arg(required_unless_present = "all")]
        id: Option<String>,
        /// All of them.
        #[arg(long, conflicts_with = "id")]
        all: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// No server, a refused key, or the server's refusal.
pub async fn run(arguments: Arguments) -> anyhow::Result<Exit> {
    let path = ["classifier", "dead-letters"];
    match arguments.action {
        Action::List { json } => {
            let client = Client::new(&arguments.server, KeyKind::Admin)?;
            let answer = client.call(Method::GET, &path).send().await?;
            if json {
                output::json(&answer.body["response"])?;
            } else {
                show(&answer.response::<Vec<DeadLetterView>>()?)?;
            }
        }
        Action::Replay { id } => {
            let client = Client::new(&arguments.server, KeyKind::Admin)?;
            let mut call = client.call(Method::POST, &["classifier", "dead-letters", "replay"]);
            if let Some(id) = id {
                call = call.query("id", &id);
            }
            tell(&call.send().await?)?;
        }
        Action::Drop { id, .. } => {
            let client = Client::new(&arguments.server, KeyKind::Admin)?;
            let mut call = client.call(Method::DELETE, &path);
            if let Some(id) = id {
                call = call.query("id", &id);
            }
            tell(&call.send().await?)?;
        }
    }
    Ok(Exit::Done)
}

fn tell(answer: &Answer) -> anyhow::Result<()> {
    let count: DeadLetterCount = answer.response()?;
    let mut text = format!("{} replayed, {} dropped", count.replayed, count.dropped);
    if count.forgotten > 0 {
        text.push_str(&format!(
            ", {} kept: their predictions are forgotten, `drop` deletes them",
            count.forgotten
        ));
    }
    if count.unreadable > 0 {
        text.push_str(&format!(", {} kept: they are unreadable, `drop` deletes them", count.unreadable));
    }
    output::line(&text)?;
    Ok(())
}

fn show(letters: &[DeadLetterView]) -> anyhow::Result<()> {
    if letters.is_empty() {
        output::note("there are no dead letters");
        return Ok(());
    }
    let mut table = output::table(&["id", "images", "bytes", "model", "reason"]);
    for letter in letters {
        let positions: Vec<_> = letter.positions.iter().map(ToString::to_string).collect();
        let model = letter.model.split_once('@').map_or(letter.model.as_str(), |(name, _)| name);
        table.add_row([
            output::cell(&letter.id),
            output::cell(positions.join(", ")),
            output::cell(letter.image_bytes),
            output::cell(model),
            output::cell(&letter.reason),
        ]);
    }
    output::print(&table)?;
    Ok(())
}
