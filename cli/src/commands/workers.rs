//! `classifier workers`: each worker, its model and throughput.

use std::time::Duration;

use api::wire::fleet::{FleetView, RolloutWorkerView, WorkerView};
use clap::Args;
use comfy_table::Color;

use crate::client::{Client, Method};
use crate::config::{KeyKind, ServerConfig};
use crate::exit::Exit;
use crate::output;

/// Smaller clock offsets are not shown, in seconds. Deadlines use the store's clock in any case.
const NOTABLE_OFFSET: f64 = 1.0;

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
    let answer = client.call(Method::GET, &["classifier", "prediction-service"]).send().await?;
    if arguments.json {
        output::json(&answer.body["response"])?;
        return Ok(Exit::Done);
    }
    let fleet: FleetView = answer.response()?;
    output::line(&head(&fleet))?;
    let mut table =
        output::table(&["worker", "state", "device", "generation", "loaded", "images/s", "images", "up for"]);
    for worker in &fleet.workers {
        let color = if worker.state == "ready" { Color::Green } else { Color::Yellow };
        let loaded = worker.loaded.iter().map(|model| {
            format!("{} {} ({})", model.model, output::short_version(&model.version), model.role)
        });
        table.add_row([
            output::cell(&worker.id),
            output::cell(&worker.state).fg(color),
            output::cell(&worker.device),
            output::cell(worker.generation.map_or_else(|| "-".to_owned(), |number| number.to_string())),
            output::cell(loaded.collect::<Vec<_>>().join("\n")),
            output::cell(format!("{:.1}", worker.images_per_second)),
            output::cell(worker.images_total),
            output::cell(span(worker.uptime_seconds)),
        ]);
    }
    output::print(&table)?;
    for remark in fleet.workers.iter().flat_map(remarks) {
        output::line(&remark)?;
    }
    Ok(Exit::Done)
}

/// Returns a worker's progress in a rollout as a line.
#[must_use]
pub fn progress(worker: &RolloutWorkerView) -> String {
    let detail = worker.detail.as_ref().map_or_else(String::new, |detail| format!(" ({detail})"));
    format!("{}: {}{detail}", worker.id, worker.state)
}

/// Returns the problems of a worker, one per line.
fn remarks(worker: &WorkerView) -> Vec<String> {
    let mut remarks = Vec::new();
    if let Some(problem) = &worker.problem {
        remarks.push(format!("{} takes no jobs: {problem}", worker.id));
    }
    if let Some(offset) = worker.clock_offset_seconds.filter(|offset| offset.abs() >= NOTABLE_OFFSET) {
        let side = if offset > 0.0 { "ahead of" } else { "behind" };
        remarks.push(format!("{}: its clock is {:.1} s {side} the store's", worker.id, offset.abs()));
    }
    remarks
}

/// Returns the lines above the table.
fn head(fleet: &FleetView) -> String {
    let mut text = match (&fleet.model, &fleet.version, fleet.generation) {
        (Some(model), Some(version), Some(generation)) => {
            format!("active model: {model} {} (generation {generation})", output::short_version(version))
        }
        (Some(model), _, _) => format!("active model: {model}"),
        (None, _, _) => "no model is active: `classifier swap NAME` chooses one".to_owned(),
    };
    if let Some(queue) = &fleet.queue {
        text.push_str(&format!("; {} parts waiting, {} dead letters", queue.waiting, queue.dead_letters));
    }
    if let Some(rollout) = &fleet.rollout {
        text.push_str(&format!("\nrollout of {}: {}", rollout.model, rollout.phase));
        for worker in &rollout.workers {
            text.push_str(&format!("\n  {}", progress(worker)));
        }
    }
    text
}

/// Formats a duration in its two largest units.
fn span(seconds: f64) -> String {
    let seconds = Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        (_, _, _) => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_why_a_worker_takes_no_jobs_and_whose_clock_is_off() {
        let worker = |problem: Option<&str>, clock_offset_seconds| WorkerView {
            id: "w".to_owned(),
            host: "h".to_owned(),
            state: "starting".to_owned(),
            device: "cpu".to_owned(),
            generation: None,
            problem: problem.map(str::to_owned),
            clock_offset_seconds,
            loaded: Vec::new(),
            images_per_second: 0.0,
            images_total: 0,
            uptime_seconds: 0.0,
            last_seen_seconds: 0.0,
        };
        let told = |problem, offset| remarks(&worker(problem, offset)).join("; ");
        assert_eq!(told(None, Some(0.4)), "");
        assert_eq!(told(Some("no such file"), None), "w takes no jobs: no such file");
        assert_eq!(told(None, Some(-130.04)), "w: its clock is 130.0 s behind the store's");
        assert_eq!(told(None, Some(2.0)), "w: its clock is 2.0 s ahead of the store's");
    }

    #[test]
    fn a_span_is_told_in_its_two_largest_units() {
        for (seconds, text) in
            [(5.9, "5 s"), (65.0, "1 min 5 s"), (3725.0, "1 h 2 min"), (90_000.0, "1 d 1 h"), (-1.0, "0 s")]
        {
            assert_eq!(span(seconds), text);
        }
    }
}
