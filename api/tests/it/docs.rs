//! The API's documentation pages.

use std::collections::BTreeSet;

use testing::samples::images;

use crate::harness::{Answer, Server};

#[tokio::test]
async fn the_description_lists_every_route_and_its_errors() {
    let server = Server::bare(&[]).await;
    let document = server.description().await;
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

#[tokio::test]
async fn nothing_that_is_sent_is_taken_for_something_else() {
    let (server, _worker) = Server::ready(&[]).await;
    for request in [
        server.predict(&["dog"]),
        server.predict(&["bad"]),
        server.get("/classifier/nothing"),
        server.delete("/health/live"),
        server.get("/health/live"),
        server.get("/metrics"),
        server.get("/openapi.json"),
        server.get("/docs/"),
        server.get("/docs/swagger-ui.css"),
        server.get("/redoc"),
        server.client.get(format!("http://{}/classifier/models", server.address)),
    ] {
        let answer = Answer::of(request).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
}

#[tokio::test]
async fn pages_say_what_they_may_load_and_that_nobody_frames_them() {
    let server = Server::bare(&[]).await;
    for path in ["/docs/", "/redoc"] {
        let page = Answer::of(server.get(path)).await;
        let policy = page.header("content-security-policy");
        for rule in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(rule), "{path}: {policy}");
        }
        let scripts = policy.split(';').find(|rule| rule.trim().starts_with("script-src")).unwrap();
        assert_eq!(scripts.trim(), "script-src 'self'", "{path}");
        assert!(page.text.contains("<meta name=\"viewport\""), "{path}");
        // What the policy does not allow would not run.
        for script in page.text.split("<script").skip(1) {
            assert!(
                script.contains("src=") || script.starts_with(" type=\"application/json\""),
                "{path}: {script}"
            );
        }
    }
}

fn operations(document: &serde_json::Value) -> Vec<(String, &serde_json::Value)> {
    let paths = document["paths"].as_object().unwrap();
    let of_path = |(path, item): (&String, &'static str)| format!("{item} {path}");
    let mut all = Vec::new();
    for (path, item) in paths {
        for method in ["get", "post", "put", "delete"] {
            if let Some(operation) = item.get(method) {
                all.push((of_path((path, method)), operation));
            }
        }
    }
    all
}

#[tokio::test]
async fn every_operation_has_a_name_of_its_own() {
    let server = Server::bare(&[]).await;
    let document = server.description().await;
    let mut seen = BTreeSet::new();
    for (what, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(seen.insert(id), "{what}: `{id}` stands twice");
    }
}

#[tokio::test]
async fn bodies_are_described_as_generators_of_clients_understand_them() {
    let server = Server::bare(&[]).await;
    let document = server.description().await;
    let content = &document["paths"]["/classifier/predictions"]["post"]["requestBody"]["content"];
    for kind in ["image/*", "application/octet-stream"] {
        let schema = &content[kind]["schema"];
        assert_eq!((&schema["type"], &schema["format"]), (&"string".into(), &"binary".into()), "{kind}");
    }
    let form = &content["multipart/form-data"]["schema"];
    let form = match form["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => form,
    };
    assert_eq!(form["type"], "object");
    assert_eq!(form["properties"]["images"]["type"], "array");
    assert_eq!(form["properties"]["images"]["items"]["format"], "binary");
}

#[tokio::test]
async fn every_error_has_an_example_of_its_own_status() {
    let server = Server::bare(&[]).await;
    let document = server.description().await;
    let mut examples = 0;
    for (what, operation) in operations(&document) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let Some(problem) = response["content"].get("application/problem+json") else { continue };
            let found = problem["examples"].as_object().unwrap_or_else(|| panic!("{what} {status}"));
            assert!(!found.is_empty(), "{what} {status}");
            for (code, example) in found {
                assert_eq!(&example["value"]["code"], code, "{what} {status}");
                assert_eq!(example["value"]["status"].to_string(), *status, "{what} {code}");
                assert!(example["value"]["detail"].as_str().unwrap().len() > 10, "{what} {code}");
                examples += 1;
            }
        }
    }
    assert!(examples > 60, "{examples}");
}

#[tokio::test]
async fn the_codes_of_images_are_a_closed_list() {
    let server = Server::bare(&[]).await;
    let document = server.description().await;
    let code = &document["components"]["schemas"]["ImageProblem"]["properties"]["code"];
    let code = match code["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => code,
    };
    let codes: BTreeSet<&str> =
        code["enum"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
    for code in ["undecodable_image", "invalid_base64", "image_too_large", "not_an_image"] {
        assert!(codes.contains(code), "{code} is not in {codes:?}");
    }
}

#[tokio::test]
async fn what_the_page_fills_in_classifies_an_image_at_the_first_click() {
    use base64::Engine as _;

    let (server, worker) = Server::ready(&[]).await;
    let document = server.description().await;
    let create = &document["paths"]["/classifier/predictions"]["post"];
    let json = &create["requestBody"]["content"]["application/json"];
    let example = json
        .get("example")
        .unwrap_or_else(|| document.pointer("/components/schemas/PredictionRequest/example").unwrap());
    let query: Vec<String> = create["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|parameter| parameter["in"] == "query" && !parameter["example"].is_null())
        .map(|parameter| format!("{}={}", parameter["name"].as_str().unwrap(), parameter["example"]))
        .collect();
    let path = format!("/classifier/predictions?{}", query.join("&"));
    let answer = Answer::of(server.post(&path).json(example)).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    let sent = images(&worker.seen.lock().unwrap()[0])[0].bytes.clone();
    let encoded = base64::engine::general_purpose::STANDARD.encode(&sent);
    assert!(sent.starts_with(b"\x89PNG\r\n\x1a\n") && sent.ends_with(b"IEND\xaeB`\x82"), "{encoded}");
}

#[tokio::test]
async fn behind_a_path_prefix_every_address_has_it() {
    let prefixes: [(&[&str], Option<&str>, &str); 5] = [
        (&[], None, ""),
        (&[], Some("/ml/v1"), "/ml/v1"),
        (&[], Some("/ml/"), "/ml"),
        (&["--path-prefix", "/set"], None, "/set"),
        (&[], Some("//evil.example/\"<"), ""),
    ];
    for (words, header, prefix) in prefixes {
        let (server, worker) = Server::ready(words).await;
        let ask = |request: reqwest::RequestBuilder| match header {
            Some(value) => Answer::of(request.header("X-Forwarded-Prefix", value)),
            None => Answer::of(request.header("X-Other", "x")),
        };
        let pending = ask(server.predict(&["slow"]).header("Prefer", "respond-async")).await;
        let there = format!("{prefix}/classifier/predictions/{}", pending.header("x-prediction-id"));
        assert_eq!(pending.header("location"), there);
        assert_eq!(pending.json()["response"]["status_url"], there);
        worker.gate.add_permits(1);

        let swap = server.put("/classifier/prediction-service/never").header("Prefer", "respond-async");
        let swapping = ask(swap).await;
        let there = format!("{prefix}/classifier/prediction-service/rollouts/2");
        assert_eq!(swapping.header("location"), there);
        assert_eq!(swapping.json()["response"]["status_url"], there);
        let busy = ask(server.put("/classifier/prediction-service/pets_v2")).await;
        assert_eq!((busy.status.as_u16(), busy.header("location")), (409, there.as_str()));

        let document = ask(server.get("/openapi.json")).await.json();
        let expected = if prefix.is_empty() { "/" } else { prefix };
        assert_eq!(document["servers"][0]["url"], expected);
        let page = ask(server.get("/docs")).await;
        assert!(page.status.is_success() || page.header("location") == format!("{prefix}/docs/"));
        let initializer = ask(server.get("/docs/swagger-initializer.js")).await.text;
        assert!(initializer.contains("\"../openapi.json\""), "{initializer}");
    }
}
