//! The API's description of itself.

use std::collections::BTreeSet;

use crate::harness::{Answer, Server};

#[tokio::test]
async fn the_description_lists_every_route_and_its_errors() {
    let server = Server::bare(&[]).await;
    let document = Answer::of(server.get("/openapi.json")).await.json();
    let mut found = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            found.insert(format!("{method} {path}"));
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{method} {path}");
            let open = !path.starts_with("/classifier");
            assert_eq!(operation["responses"].get("401").is_none(), open, "{method} {path}");
        }
    }
    let expected = [
        "delete /classifier/dead-letters",
        "delete /classifier/predictions/{id}",
        "get /classifier/dead-letters",
        "get /classifier/models",
        "get /classifier/prediction-service",
        "get /classifier/prediction-service/rollouts/{generation}",
        "get /classifier/predictions/{id}",
        "get /health/live",
        "get /health/ready",
        "get /metrics",
        "post /classifier/dead-letters/replay",
        "post /classifier/prediction-service/rollback",
        "post /classifier/predictions",
        "put /classifier/prediction-service/{model_name}",
    ];
    assert_eq!(found, expected.into_iter().map(str::to_owned).collect());
}

#[tokio::test]
async fn every_reference_in_the_description_leads_somewhere() {
    let server = Server::bare(&[]).await;
    let text = Answer::of(server.get("/openapi.json")).await.text;
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let references: Vec<&str> =
        text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(references.len() > 10);
    for reference in references {
        assert!(document.pointer(reference).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn the_pages_load_nothing_from_elsewhere() {
    let server = Server::bare(&[]).await;
    for path in ["/redoc", "/docs/", "/docs/swagger-initializer.js"] {
        let page = Answer::of(server.get(path)).await;
        assert_eq!(page.status, 200, "{path}");
        for word in ["src=\"http", "src=\"//", "href=\"http", "href=\"//", "@import", "url(http"] {
            assert!(!page.text.contains(word), "{path} has {word}");
        }
    }
}

#[tokio::test]
async fn the_readable_page_has_every_route_and_every_error() {
    let server = Server::bare(&[]).await;
    let page = Answer::of(server.get("/redoc")).await;
    assert!(page.header("content-type").starts_with("text/html"));
    for anchor in [
        "id=\"post-classifier-predictions\"",
        "id=\"put-classifier-prediction-service--model-name-\"",
        "id=\"error-no_active_model\"",
        "id=\"error-queue_full\"",
        "id=\"schema-PredictionAnswer\"",
        "id=\"schema-Problem\"",
    ] {
        assert!(page.text.contains(anchor), "{anchor}");
    }
    let anchors: BTreeSet<&str> =
        page.text.split(" id=\"").skip(1).map(|r| r.split('"').next().unwrap()).collect();
    for link in page.text.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(anchors.contains(link), "#{link} leads nowhere");
    }
}
