//! `classifier swap` and `classifier rollback`: change the model of the fleet.

use std::collections::BTreeMap;
use std::time::Duration;

use api::wire::fleet::{FleetView, RolloutWorkerView, SwapPending};
use clap::Args;
use common::ids::ModelName;
use indicatif::{MultiProgress, ProgressBar};

use super::workers::progress;
use crate::client::{Answer, Call, Client, ClientError, Method, StatusCode};
use crate::config::{KeyKind, ServerConfig};
use crate::exit::Exit;
use crate::output;

/// What `--help` shows below the options.
pub const EXAMPLES: &str = "Examples:
  classifier swap digits_small                wait until every worker serves it
  classifier swap digits_small --wait 0       begin only; `classifier workers` shows the progress

The old model stays active until all workers have loaded and checked the new one. If one worker
fails, the old model stays. Needs X_ADMIN_API_KEY where the server has one.";

/// How often the workers' states are read.
const LOOK: Duration = Duration::from_millis(150);

/// Options of `swap`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Name of a package in the server's models folder.
    #[arg(value_parser = ModelName::parse)]
    name: ModelName,
    /// Seconds to wait for the fleet. After that the swap goes on without this command.
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    wait: u64,
    #[command(flatten)]
    server: ServerConfig,
}

/// Options of `rollback`.
#[derive(Debug, Args)]
pub struct RollbackArguments {
    /// Seconds to wait for the fleet. After that the swap goes on without this command.
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    wait: u64,
    #[command(flatten)]
    server: ServerConfig,
}

/// Runs `swap`.
///
/// # Errors
/// No server, a refused key, or a model that the fleet did not change to.
pub async fn run(arguments: Arguments) -> anyhow::Result<Exit> {
    let client = Client::new(&arguments.server, KeyKind::Admin)?;
    let path = ["classifier", "prediction-service", arguments.name.as_str()];
    change(&client, client.call(Method::PUT, &path), arguments.wait).await
}

/// Runs `rollback`.
///
/// # Errors
/// As [`run`].
pub async fn roll_back(arguments: RollbackArguments) -> anyhow::Result<Exit> {
    let client = Client::new(&arguments.server, KeyKind::Admin)?;
    let path = ["classifier", "prediction-service", "rollback"];
    change(&client, client.call(Method::POST, &path), arguments.wait).await
}

/// Sends the call and shows the workers' states until it is answered.
async fn change(client: &Client, call: Call<'_>, seconds: u64) -> anyhow::Result<Exit> {
    let lines = Lines::default();
    let answer = tokio::select! {
        biased;
        answer = call.wait(Duration::from_secs(seconds)).send() => answer,
        never = watch(client, &lines) => match never {},
    };
    lines.clear();
    tell(&answer?, &lines.troubles())
}

fn tell(answer: &Answer, troubles: &[String]) -> anyhow::Result<Exit> {
    if answer.status == StatusCode::ACCEPTED {
        let SwapPending { detail, .. } = answer.response()?;
        output::line(&format!("not yet: {detail}; `classifier workers` shows the progress"))?;
        troubles.iter().try_for_each(|trouble| output::line(&format!("  {trouble}")))?;
    } else {
        output::line(answer.body["response"].as_str().unwrap_or("Changed model"))?;
    }
    Ok(Exit::Done)
}

/// Polls the running rollout until it is dropped.
async fn watch(client: &Client, lines: &Lines) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(LOOK).await;
        let looked: Result<Answer, ClientError> =
            client.call(Method::GET, &["classifier", "prediction-service"]).send().await;
        // Errors are ignored: the call that changes the model reports them.
        let fleet = looked.ok().and_then(|answer| answer.response::<FleetView>().ok());
        if let Some(rollout) = fleet.and_then(|fleet| fleet.rollout) {
            for worker in rollout.workers {
                lines.show(&worker);
            }
        }
    }
}

/// A line per worker on a terminal.
struct Lines {
    all: MultiProgress,
    of: std::cell::RefCell<BTreeMap<String, ProgressBar>>,
}

impl Default for Lines {
    fn default() -> Self {
        Self { all: output::spinners(), of: std::cell::RefCell::default() }
    }
}

impl Lines {
    fn show(&self, worker: &RolloutWorkerView) {
        let mut of = self.of.borrow_mut();
        let line = of.entry(worker.id.clone()).or_insert_with(|| {
            let line = self.all.add(ProgressBar::new_spinner());
            line.enable_steady_tick(Duration::from_millis(120));
            line
        });
        line.set_message(output::shown(&progress(worker)).into_owned());
    }

    /// Returns the problems of workers that have not changed yet, as of the last poll.
    fn troubles(&self) -> Vec<String> {
        let lines: Vec<String> = self.of.borrow().values().map(ProgressBar::message).collect();
        lines.into_iter().filter(|line| line.contains(" (")).collect()
    }

    fn clear(&self) {
        self.of.borrow().values().for_each(ProgressBar::finish_and_clear);
    }
}
