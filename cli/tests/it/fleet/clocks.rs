//! Workers whose clocks are off by minutes.

use reqwest::StatusCode;

use super::client::{Client, images};
use super::programs::{Fleet, Settings, Start, eventually};

/// Much shorter than the clock offsets.
const DEADLINE: Settings<'static> = &[("API_JOB_DEADLINE", "30")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_whose_clock_is_off_fails_no_job_and_reports_the_offset() {
    let mut fleet = Fleet::new();
    let api = fleet.api(DEADLINE);
    let client = Client::new([api.url()]);
    for minutes in [5.0, -5.0] {
        let start = Start { clock_minutes: Some(minutes), settings: DEADLINE, ..Start::default() };
        let mut worker = fleet.worker(start);
        client.workers_are_ready(1).await;
        for model in ["blue", "green"] {
            let answer = client.swap(0, model).await.unwrap();
            assert_eq!(answer.status, StatusCode::OK, "{minutes} minutes: {}", answer.body);
            for _ in 0..5 {
                let answer = client.predict(&images(), &[("prefer", "wait=20")]).await.unwrap();
                assert_eq!(answer.fault(&images()), None, "{minutes} minutes");
            }
        }
        let offset = eventually("the worker tells how far its clock is off", async || {
            client.fleet().await?["workers"][0]["clock_offset_seconds"].as_f64()
        })
        .await;
        assert!((offset - 60.0 * minutes).abs() < 10.0, "{offset} s of {minutes} minutes");
        assert!(tokio::task::block_in_place(|| worker.stop()).success());
    }
}
