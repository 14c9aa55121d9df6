//! `classifier predict`: classifies image files.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::wire::predictions::{ImageProblem, ImageResult, Score};
use clap::Args;
use comfy_table::Color;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::client::{Client, ClientError, Refusal};
use crate::config::{KeyKind, ServerConfig};
use crate::exit::Exit;
use crate::images::{self, Numbered, RequestLimits};
use crate::output;
use prediction::Question;

pub mod prediction;

/// What `--help` shows below the options.
pub const EXAMPLES: &str = "Examples:
  classifier predict cat.jpg dog.png          one row for each image
  classifier predict photos/ --top-k 3        every image below a folder, three labels each
  classifier predict cat.jpg --json | jq -r '.[].label'";

/// Concurrent requests.
const REQUESTS_AT_ONCE: usize = 4;

/// Bytes of image files in one request. Servers accept more, but smaller requests spread over more workers.
const REQUEST_BYTES: u64 = 8 << 20;

/// Options of the command.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Image files, or folders with images.
    #[arg(required = true, value_name = "IMAGES")]
    images: Vec<PathBuf>,
    /// Also show the best K labels of each image.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    top_k: Option<u32>,
    /// Ask this package instead of the active one.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Images in one request.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    /// Seconds after which an image without an answer counts as failed.
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    timeout: u64,
    /// Print a JSON list instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerConfig,
}

/// One image's row.
#[derive(Debug, Clone, Default, Serialize)]
struct Row {
    image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_score: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Vec<Score>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scores: Vec<Score>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ImageProblem>,
}

/// Runs the command.
///
/// # Errors
/// Wrong usage, no server, a refused key. Errors of single images are in their rows.
pub async fn run(arguments: Arguments) -> anyhow::Result<Exit> {
    let client = Client::new(&arguments.server, KeyKind::Reader)?;
    let paths = images::collect(&arguments.images)?;
    let mut rows: Vec<Row> =
        paths.iter().map(|path| Row { image: path.display().to_string(), ..Row::default() }).collect();
    let sizes: Vec<u64> = paths.iter().map(|path| fs::metadata(path).map_or(0, |m| m.len())).collect();
    let limits = RequestLimits { images: arguments.batch.into(), bytes: REQUEST_BYTES };
    let question = Arc::new(Question {
        client,
        model: arguments.model.clone(),
        top_k: arguments.top_k,
        limit: Duration::from_secs(arguments.timeout),
    });

    let bar = output::progress(paths.len() as u64, "classifying");
    let gate = Arc::new(Semaphore::new(REQUESTS_AT_ONCE));
    let mut requests = JoinSet::new();
    for range in images::requests(&sizes, limits) {
        // Files are read one request at a time, so that a large folder does not fill the memory.
        let permit = Arc::clone(&gate).acquire_owned().await?;
        while let Some(finished) = requests.try_join_next() {
            fill(&mut rows, finished?)?;
        }
        let (mut batch, count) = (Vec::new(), range.len() as u64);
        for number in range {
            match fs::read(&paths[number]) {
                Ok(bytes) => batch.push(Numbered { number, bytes: bytes.into() }),
                Err(error) => rows[number].error = Some(image_error("unreadable_file", &error.to_string())),
            }
        }
        let (question, bar) = (Arc::clone(&question), bar.clone());
        requests.spawn(async move {
            let numbers: Vec<usize> = batch.iter().map(|image| image.number).collect();
            let answer =
                if batch.is_empty() { Ok(Vec::new()) } else { question.ask(&images::body(&batch)).await };
            bar.inc(count);
            drop(permit);
            (numbers, answer)
        });
    }
    while let Some(finished) = requests.join_next().await {
        fill(&mut rows, finished?)?;
    }
    bar.finish_and_clear();

    if arguments.json {
        output::json(&rows)?;
    } else {
        show(&rows)?;
    }
    Ok(Exit::done_if(rows.iter().all(|row| row.error.is_none())))
}

/// Adds the answer of one request to the rows of its images. An unreachable server ends the command; a refused request
/// is its images' error.
fn fill(
    rows: &mut [Row],
    (numbers, answer): (Vec<usize>, Result<Vec<ImageResult>, ClientError>),
) -> Result<(), ClientError> {
    let missing = match answer {
        Ok(results) => {
            for result in results {
                let number = usize::try_from(result.image_id).ok();
                let Some(row) = number.and_then(|number| rows.get_mut(number)) else { continue };
                row.label = result.label;
                row.max_score = result.max_score;
                row.labels = result.labels;
                row.scores = result.scores.unwrap_or_default();
                row.error = result.error;
            }
            image_error("no_result", "the server's answer has no result for this image")
        }
        Err(ClientError::Refused(Refusal { problem, .. })) => image_error(&problem.code, &problem.detail),
        Err(error) => return Err(error),
    };
    for number in numbers {
        if rows[number].label.is_none() && rows[number].error.is_none() {
            rows[number].error = Some(missing.clone());
        }
    }
    Ok(())
}

fn image_error(code: &str, detail: &str) -> ImageProblem {
    ImageProblem { code: code.to_owned(), detail: detail.to_owned() }
}

fn show(rows: &[Row]) -> anyhow::Result<()> {
    let with_labels = rows.iter().any(|row| row.labels.is_some());
    let with_scores = rows.iter().any(|row| !row.scores.is_empty());
    let with_errors = rows.iter().any(|row| row.error.is_some());
    let mut heads = vec!["image", "label", "score"];
    heads.extend(with_labels.then_some("labels"));
    heads.extend(with_scores.then_some("best labels"));
    heads.extend(with_errors.then_some("error"));
    let mut table = output::table(&heads);
    for row in rows {
        let mut cells = vec![
            output::cell(&row.image),
            output::cell(row.label.as_deref().unwrap_or("-")),
            output::cell(row.max_score.map_or_else(|| "-".to_owned(), |score| format!("{score:.4}"))),
        ];
        if with_labels {
            cells.push(output::cell(row.labels.as_deref().map_or_else(String::new, listed)));
        }
        if with_scores {
            cells.push(output::cell(listed(&row.scores)));
        }
        if with_errors {
            let text = row.error.as_ref().map_or_else(String::new, |e| format!("{}: {}", e.code, e.detail));
            cells.push(output::cell(text).fg(Color::Red));
        }
        table.add_row(cells);
    }
    output::print(&table)?;
    Ok(())
}

fn listed(scores: &[Score]) -> String {
    let list: Vec<_> = scores.iter().map(|score| format!("{} {:.4}", score.label, score.score)).collect();
    list.join(", ")
}

#[cfg(test)]
mod tests {
    use api::wire::problem::Problem;

    use super::*;

    fn rows(count: usize) -> Vec<Row> {
        vec![Row::default(); count]
    }

    #[test]
    fn each_image_gets_its_own_outcome_and_none_is_left_without() {
        let mut rows = rows(3);
        let results: Vec<ImageResult> = serde_json::from_str(
            r#"[{"image_id": 2, "label": "cat", "max_score": 0.5}, {"image_id": 0, "error":
            {"code": "undecodable_image", "detail": "no"}}, {"image_id": 99, "label": "x", "max_score": 1}]"#,
        )
        .unwrap();
        fill(&mut rows, (vec![0, 1, 2], Ok(results))).unwrap();
        assert_eq!(rows[0].error.as_ref().unwrap().code, "undecodable_image");
        assert_eq!(rows[1].error.as_ref().unwrap().code, "no_result");
        assert_eq!(rows[2].label.as_deref(), Some("cat"));
    }

    #[test]
    fn a_refused_request_is_its_images_error_and_a_lost_server_ends_the_command() {
        let mut rows = rows(2);
        let problem = Problem { code: "no_active_model".to_owned(), ..Problem::default() };
        let refusal = Refusal { problem: Box::new(problem), retry_after: None };
        fill(&mut rows, (vec![1], Err(ClientError::Refused(refusal)))).unwrap();
        assert!(rows[0].error.is_none());
        assert_eq!(rows[1].error.as_ref().unwrap().code, "no_active_model");
        let lost = ClientError::Unreachable { url: String::new(), reason: String::new() };
        assert!(fill(&mut rows, (vec![0], Err(lost))).is_err());
    }
}
