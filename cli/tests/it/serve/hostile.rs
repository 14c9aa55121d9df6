//! Invalid and malicious images: each only causes an error of its own entry.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::server::{Call, Image, Server, demo_images, prediction_body};

/// Images that cannot be classified, with a description.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let sound = demo_images().remove(0).bytes;
    // A GIF whose header declares four billion pixels.
    let bomb = [
        b"GIF89a".as_slice(),
        &[0xff, 0xff, 0xff, 0xff, 0x80, 0, 0],
        &[0; 6],
        b",\0\0\0\0\xff\xff\xff\xff\0\x02",
    ];
    vec![
        ("empty", Vec::new()),
        ("text", b"this is no image".to_vec()),
        ("a PNG's first bytes", sound[..20].to_vec()),
        ("a JPEG's first bytes", vec![0xff, 0xd8, 0xff, 0xe0]),
        ("a bomb", bomb.concat()),
        ("a page", b"<!DOCTYPE html><html></html>".to_vec()),
    ]
}

#[tokio::test]
async fn a_hostile_image_spoils_neither_its_batch_nor_the_server() {
    let server = Server::start(&["--model", "digits"]).await;
    for (what, bytes) in hostile() {
        let mut images = demo_images();
        images.truncate(3);
        images[1] = Image { path: PathBuf::new(), bytes };
        let answer = server.predict(&images).await;
        assert_eq!(answer.status, 200, "{what}: {}", answer.body);
        let results = answer.body["response"]["results"].as_array().unwrap();
        assert_eq!((&results[0]["label"], &results[2]["label"]), (&json!("2"), &json!("5")), "{what}");
        assert_eq!(results[1]["image_id"], 1);
        assert!(results[1]["error"]["code"].is_string(), "{what}: {}", results[1]);
        assert!(results[1].get("label").is_none(), "{what}: {}", results[1]);
    }
}

#[tokio::test]
async fn a_request_of_bad_images_alone_is_refused_with_a_reason_for_each() {
    let server = Server::start(&["--model", "digits"]).await;
    let images: Vec<_> =
        hostile().into_iter().map(|(_, bytes)| Image { path: PathBuf::new(), bytes }).collect();
    let answer = server.predict(&images).await;
    assert_eq!(answer.status, 422, "{}", answer.body);
    let results = answer.body["results"].as_array().unwrap();
    assert_eq!(results.len(), images.len());
    assert!(results.iter().all(|result| result["error"]["detail"].is_string()), "{}", answer.body);
}

#[tokio::test]
async fn bodies_of_the_wrong_shape_are_refused_and_the_server_goes_on() {
    let server = Server::start(&["--model", "digits"]).await;
    let wrong: [(Value, u16); 5] = [
        (json!({}), 422),
        (json!([]), 422),
        (json!({"images": []}), 422),
        (json!({"images": [{"image_id": "x", "img_base64": ""}]}), 422),
        (json!({"images": [{"image_id": 0}]}), 422),
    ];
    for (body, status) in wrong {
        let answer = server.call(Call::post("/classifier/predictions").body(&body)).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
        assert!(answer.body["detail"].is_string(), "{body}: {}", answer.body);
    }
    let sound =
        server.call(Call::post("/classifier/predictions").body(&prediction_body(&demo_images()))).await;
    assert_eq!(sound.status, 200, "{}", sound.body);
}
