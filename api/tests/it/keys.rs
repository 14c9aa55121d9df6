//! Which keys are valid, and their rights.

use std::sync::Arc;

use api::{Parts, ServeError};
use clap::{Args, Command, FromArgMatches as _};
use common::broker::BrokerLimits;
use common::broker::in_process::InProcessBroker;
use common::package::Catalog;
use common::store::in_memory::InMemoryStore;
use reqwest::Method;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::harness::{Answer, KEY, Server, body};

#[tokio::test]
async fn without_the_right_key_there_is_nothing_under_classifier() {
    let (server, worker) = Server::ready(&[]).await;
    let routes = [
        (Method::POST, "/classifier/predictions"),
        (Method::GET, "/classifier/predictions/x"),
        (Method::DELETE, "/classifier/predictions/x"),
        (Method::PUT, "/classifier/prediction-service/pets"),
        (Method::GET, "/classifier/prediction-service"),
        (Method::GET, "/classifier/prediction-service/rollouts/1"),
        (Method::POST, "/classifier/prediction-service/rollback"),
        (Method::GET, "/classifier/models"),
        (Method::GET, "/classifier/dead-letters"),
        (Method::POST, "/classifier/dead-letters/replay"),
        (Method::DELETE, "/classifier/dead-letters"),
    ];
    for (method, path) in routes {
        for key in [None, Some(""), Some("wrong"), Some("test-key2"), Some("test-ke")] {
            let mut request = server
                .client
                .request(method.clone(), format!("http://{}{path}", server.address))
                .json(&body(&["dog"]));
            if let Some(key) = key {
                request = request.header("X-API-Key", key);
            }
            let answer = Answer::of(request).await;
            let problem = answer.is_problem(401, "wrong_api_key", "");
            assert_eq!(problem["detail"], "wrong api key");
            assert!(answer.header("www-authenticate").contains("X-API-Key"));
        }
    }
    assert!(worker.seen.lock().unwrap().is_empty());
    server.still_answers().await;
}

#[tokio::test]
async fn what_is_open_needs_no_key() {
    let (server, _worker) = Server::ready(&[]).await;
    for path in ["/health/live", "/health/ready", "/metrics", "/openapi.json", "/docs/", "/redoc"] {
        let answer = Answer::of(server.client.get(format!("http://{}{path}", server.address))).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    }
}

#[tokio::test]
async fn an_admin_key_is_then_the_only_one_that_changes_the_fleet() {
    let server = Server::bare(&["--admin-api-key", "root,root2"]).await;
    let _worker = server.add_worker("w1").await;
    for request in [
        server.put("/classifier/prediction-service/pets"),
        server.post("/classifier/prediction-service/rollback"),
        server.post("/classifier/dead-letters/replay"),
        server.delete("/classifier/dead-letters"),
    ] {
        Answer::of(request).await.is_problem(403, "admin_key_required", "X_ADMIN_API_KEY");
    }
    let with = |method, path: &str, key| {
        server.client.request(method, format!("http://{}{path}", server.address)).header("X-API-Key", key)
    };
    let swap = with(Method::PUT, "/classifier/prediction-service/pets", "root2");
    assert_eq!(Answer::of(swap).await.status, 200);
    server.still_answers().await;
    for key in ["root", KEY] {
        assert_eq!(Answer::of(with(Method::GET, "/classifier/prediction-service", key)).await.status, 200);
    }
}

async fn start_error(words: &[&str]) -> ServeError {
    let words = ["program"].into_iter().chain(words.iter().copied());
    let matches =
        api::config::Config::augment_args(Command::new("program")).try_get_matches_from(words).unwrap();
    let limits =
        BrokerLimits { max_parts: 1, max_bytes: None, call_timeout: std::time::Duration::from_secs(1) };
    let parts = Parts {
        config: api::config::Config::from_arg_matches(&matches).unwrap(),
        broker: InProcessBroker::new(limits),
        store: InMemoryStore::new(),
        catalog: Catalog::new("nowhere"),
        metrics: Arc::new(String::new),
        declared: None,
        workers: api::WorkersAt::Elsewhere,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    api::serve(listener, parts, CancellationToken::new()).await.unwrap_err()
}

#[tokio::test]
async fn without_a_key_the_server_refuses_to_start_and_names_the_variable() {
    for words in
        [&["--api-key", ""][..], &["--api-key", " , "], &["--api-key", "", "--admin-api-key", "root"]]
    {
        let error = start_error(words).await;
        assert!(matches!(error, ServeError::NoApiKey), "{error}");
        assert!(error.to_string().contains("X_API_KEY"), "{error}");
    }
}

#[tokio::test]
async fn settings_that_do_not_fit_together_are_all_told() {
    let words =
        ["--api-key", "k", "--max-images", "0", "--part-max-bytes", "99999999", "--max-bytes-in-flight", "1"];
    let error = start_error(&words).await.to_string();
    for variable in ["API_MAX_IMAGES", "API_PART_MAX_BYTES", "API_MAX_BYTES_IN_FLIGHT"] {
        assert!(error.contains(variable), "{error}");
    }
}
