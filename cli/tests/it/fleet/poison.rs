//! An image that crashes every worker that tries it.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, StatusCode};

use super::client::{Client, Image, images};
use super::programs::{Fleet, eventually};

/// A white square as a BMP file: it crashes the fragile worker.
fn white_square() -> Image {
    let side = 64_u32;
    let pixels = side * side * 3;
    let mut file = b"BM".to_vec();
    file.extend((54 + pixels).to_le_bytes());
    file.extend([0; 4]);
    file.extend(54_u32.to_le_bytes());
    file.extend(40_u32.to_le_bytes());
    file.extend(side.to_le_bytes());
    file.extend(side.to_le_bytes());
    file.extend([1, 0, 24, 0]);
    file.extend([0; 24]);
    file.extend(vec![255; pixels as usize]);
    Image { base64: STANDARD.encode(file), digit: String::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_kills_its_worker_three_times_is_put_aside_and_can_be_replayed() {
    let mut fleet = Fleet::new();
    let switch = fleet.models().join("../workers-die");
    fs::write(&switch, "").unwrap();
    let settings = [("FRAGILE_DIES_WHILE", switch.to_str().unwrap().to_owned())];
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let api = fleet.api(&[]);
    let client = Client::new([api.url()]);
    let mut worker = fleet.fragile_worker(settings.as_slice());
    client.workers_are_ready(1).await;
    assert_eq!(client.swap(0, "blue").await.unwrap().status, StatusCode::OK);

    let mut batch = images();
    batch.truncate(5);
    batch[2] = white_square();
    let answered = Arc::new(AtomicBool::new(false));
    let asking = tokio::spawn({
        let (client, batch, answered) = (client.clone(), batch.clone(), answered.clone());
        async move {
            let answer = client.predict(&batch, &[("prefer", "wait=60")]).await.unwrap();
            answered.store(true, Ordering::SeqCst);
            answer
        }
    });
    // A supervisor, like the restart policy of a container.
    let mut deaths = 0;
    while !answered.load(Ordering::SeqCst) {
        if worker.has_ended() {
            deaths += 1;
            worker = fleet.fragile_worker(settings.as_slice());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let answer = asking.await.unwrap();
    assert_eq!(deaths, 3);
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let results = answer.body["response"]["results"].as_array().unwrap();
    for (position, image) in batch.iter().enumerate() {
        if position == 2 {
            assert_eq!(results[2]["error"]["code"], "image_crashed_worker", "{}", results[2]);
        } else {
            assert_eq!(results[position]["label"], format!("blue_{}", image.digit));
        }
    }

    let letters = client.get("/classifier/dead-letters").await.unwrap();
    let list = letters.body["response"].as_array().unwrap_or_else(|| panic!("{}", letters.body));
    assert_eq!(list.len(), 1, "{list:?}");
    assert_eq!(list[0]["positions"], serde_json::json!([2]));

    fs::remove_file(&switch).unwrap();
    let replay = (Method::POST, "/classifier/dead-letters/replay");
    let replayed = client.call(0, replay, &[], None).await.unwrap();
    assert_eq!(replayed.status, StatusCode::OK, "{}", replayed.body);
    let id = answer.header("x-prediction-id");
    let mended = eventually("the replay is answered", async || {
        let answer = client.poll(0, id, "1").await?;
        answer.body["response"]["results"][2]["label"].is_string().then_some(answer)
    })
    .await;
    assert_eq!(mended.body["response"]["results"][0], results[0]);
    let letters = client.get("/classifier/dead-letters").await.unwrap();
    assert_eq!(letters.body["response"], serde_json::json!([]));
}
