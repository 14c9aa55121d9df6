//! `classifier load`: an open-loop load generator.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::client::{Client, Method};
use crate::config::{KeyKind, ServerConfig};
use crate::exit::Exit;
use crate::images::{self, Numbered};
use crate::output;
use crate::usage::UsageError;

pub mod request;
pub mod tally;

use request::{Ended, Sender};
use tally::Tally;

/// What `--help` shows below the options.
pub const EXAMPLES: &str = "Examples:
  classifier load demo/images --rate 50 --duration 30
  classifier load demo/images --rate 20 --duration 60 & classifier swap digits_small

Requests are sent on schedule, regardless of whether earlier ones were answered. Latency is measured
from the scheduled time, so it includes the delay of a server that falls behind.

Requests are counted as
  answered     a result for every image,
  refused      not accepted: 429 or 503 (queue full, out of service),
  failed       any other error,
  lost         no answer, or accepted and never answered,
  duplicated   two results for one image, or one prediction for two requests,
  wrong model  another package than --model, or an older generation than an answer had before the
               request was sent.
Exits with 1 if any was failed, lost, duplicated or of a wrong model, or if none was answered.";

/// Options of the command.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Image files, or folders with images. They are sent in turn.
    #[arg(required = true, value_name = "IMAGES")]
    images: Vec<PathBuf>,
    /// Requests per second.
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
    /// Duration of the load, in seconds.
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
    duration: f64,
    /// Images per request.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    /// Concurrent requests. Further ones wait for a connection, and their latency includes that.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Seconds after which an accepted request without an answer is lost.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    timeout: u64,
    /// Request this package, and count answers of any other as wrong.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerConfig,
}

/// Runs the command.
///
/// # Errors
/// Wrong usage, or the server cannot be reached at the start.
pub async fn run(arguments: Arguments) -> anyhow::Result<Exit> {
    let usable = |number: f64| number.is_finite() && number > 0.0;
    if !usable(arguments.rate) || !usable(arguments.duration) || arguments.duration > 1e6 {
        return Err(UsageError("--rate and --duration must be numbers above 0".to_owned()).into());
    }
    let client = Client::new(&arguments.server, KeyKind::Reader)?;
    let files = images::collect(&arguments.images)?;
    let files = files.iter().map(fs::read).collect::<Result<Vec<_>, _>>()?;
    let files: Vec<Arc<[u8]>> = files.into_iter().map(Into::into).collect();
    client.call(Method::GET, &["classifier", "prediction-service"]).send().await?;

    let sender = Arc::new(Sender {
        client,
        model: arguments.model.clone(),
        limit: Duration::from_secs(arguments.timeout),
        newest_generation: 0.into(),
    });
    let gate = Arc::new(Semaphore::new(arguments.connections.into()));
    let period = Duration::from_secs_f64(1.0 / arguments.rate);
    let end = Duration::from_secs_f64(arguments.duration);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "both are above 0")]
    let count = (arguments.rate * arguments.duration).ceil() as u64;
    let bar = output::progress(count, "sending");

    let (started, mut tally, mut requests) = (Instant::now(), Tally::default(), JoinSet::<Ended>::new());
    let batch = usize::from(arguments.batch);
    for number in 0_u32.. {
        let scheduled = period * number;
        if scheduled >= end {
            break;
        }
        tokio::time::sleep_until((started + scheduled).into()).await;
        let first = number as usize * batch;
        let images: Vec<Numbered> = (first..first + batch)
            .map(|number| Numbered { number, bytes: Arc::clone(&files[number % files.len()]) })
            .collect();
        let (sender, gate) = (Arc::clone(&sender), Arc::clone(&gate));
        requests.spawn(async move {
            let _connection = gate.acquire_owned().await;
            sender.send(&images, started + scheduled).await
        });
        while let Some(ended) = requests.try_join_next() {
            tally.add(ended?);
            bar.inc(1);
        }
    }
    while let Some(ended) = requests.join_next().await {
        tally.add(ended?);
        bar.inc(1);
    }
    bar.finish_and_clear();

    let report = tally.report(started.elapsed());
    if arguments.json {
        output::json(&report)?;
    } else {
        output::line(&report.to_string())?;
    }
    Ok(Exit::done_if(report.is_clean()))
}
