//! The description of parameters, keys and links is correct, as code generators use it.

use serde_json::{Value, json};

use crate::harness::{Answer, Server, body};

/// Returns the schema of a parameter of an operation.
fn schema<'a>(document: &'a Value, method: &str, path: &str, name: &str) -> &'a Value {
    let parameters = document["paths"][path][method]["parameters"].as_array().unwrap();
    &parameters.iter().find(|parameter| parameter["name"] == name).unwrap()["schema"]
}

#[tokio::test]
async fn no_parameter_is_described_as_null() {
    let server = Server::bare(&[]).await;
    let document = server.description().await;
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(parameter["schema"]["type"].is_string(), "{method} {path}: {parameter}");
                seen += 1;
            }
        }
    }
    assert!(seen > 10, "{seen}");
}

#[tokio::test]
async fn calls_that_need_no_key_say_so() {
    let server = Server::bare(&[]).await;
    let document = server.description().await;
    assert_eq!(document["security"], json!([{"api_key": []}]));
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let expected = if path.starts_with("/classifier") { Value::Null } else { json!([]) };
            assert_eq!(operation["security"], expected, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn numbers_are_taken_as_far_as_described_and_no_further() {
    let (server, _worker) = Server::ready(&[]).await;
    let document = server.description().await;
    let made = Answer::of(server.predict(&["dog"])).await;
    let read = format!("/classifier/predictions/{}", made.header("x-prediction-id"));
    let largest = |method, path, name| schema(&document, method, path, name)["maximum"].as_f64().unwrap();
    let top_k = largest("post", "/classifier/predictions", "top_k");
    let wait = largest("get", "/classifier/predictions/{id}", "wait");
    for (most, beyond) in [(0.0, 200), (1.0, 422)] {
        let path = format!("/classifier/predictions?top_k={}", top_k + most);
        let answer = Answer::of(server.post(&path).json(&body(&["dog"]))).await;
        assert_eq!(answer.status, beyond, "{path}: {}", answer.text);
        let path = format!("{read}?wait={}", wait + most);
        let answer = Answer::of(server.get(&path)).await;
        assert_eq!(answer.status, beyond, "{path}: {}", answer.text);
    }
}

#[tokio::test]
async fn names_of_models_are_described_as_they_are_parsed() {
    let server = Server::bare(&[]).await;
    let document = server.description().await;
    for schema in [
        schema(&document, "post", "/classifier/predictions", "model"),
        schema(&document, "put", "/classifier/prediction-service/{model_name}", "model_name"),
    ] {
        let (least, most) = (schema["minLength"].as_u64().unwrap(), schema["maxLength"].as_u64().unwrap());
        assert_eq!((least, most), (1, 128));
        assert_eq!(schema["pattern"], "^[A-Za-z0-9_-][A-Za-z0-9_.-]*$");
    }
    // The pattern in words: the allowed first and later characters.
    for (name, status) in [
        ("a".repeat(128), 404),
        ("a".repeat(129), 422),
        ("-_9.z".to_owned(), 404),
        (".a".to_owned(), 422),
        ("a%20b".to_owned(), 422),
        ("%C3%A4".to_owned(), 422),
    ] {
        let answer = Answer::of(server.put(&format!("/classifier/prediction-service/{name}"))).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.text);
    }
}

#[tokio::test]
async fn readiness_lists_the_values_of_strict() {
    let server = Server::bare(&[]).await;
    let document = server.description().await;
    let values = schema(&document, "get", "/health/ready", "strict")["enum"].as_array().unwrap();
    assert_eq!(values.len(), 5);
    for value in values {
        let path = format!("/health/ready?strict={}", value.as_str().unwrap());
        assert_ne!(Answer::of(server.get(&path)).await.status, 422, "{path}");
    }
}

#[tokio::test]
async fn an_answer_is_linked_to_the_calls_that_go_on_with_it() {
    let (server, worker) = Server::ready(&[]).await;
    let document = server.description().await;
    let paths = document["paths"].as_object().unwrap();
    let operation = |id: &Value| {
        let of_item = |(path, item): (&String, &Value)| {
            let found = item.as_object()?.values().any(|operation| operation["operationId"] == *id);
            found.then(|| path.clone())
        };
        paths.iter().find_map(of_item).unwrap_or_else(|| panic!("no operation {id}"))
    };
    let follow = |answer: &Answer, link: &Value| {
        let (name, expression) = link["parameters"].as_object().unwrap().iter().next().unwrap();
        let expression = expression.as_str().unwrap();
        let value = match expression.strip_prefix("$response.header.") {
            Some(header) => answer.header(&header.to_lowercase()).to_owned(),
            None => {
                let pointer = expression.strip_prefix("$response.body#").unwrap();
                answer.json().pointer(pointer).unwrap().to_string()
            }
        };
        operation(&link["operationId"]).replace(&format!("{{{name}}}"), &value)
    };

    let create = &document["paths"]["/classifier/predictions"]["post"]["responses"];
    let done = Answer::of(server.predict(&["dog"])).await;
    let path = follow(&done, &create["200"]["links"]["read_prediction"]);
    assert_eq!(Answer::of(server.get(&path)).await.status, 200, "{path}");
    let path = follow(&done, &create["200"]["links"]["delete_prediction"]);
    assert_eq!(Answer::of(server.delete(&path)).await.status, 204, "{path}");
    let pending = Answer::of(server.predict(&["slow"]).header("Prefer", "respond-async")).await;
    let path = follow(&pending, &create["202"]["links"]["read_prediction"]);
    assert_eq!(Answer::of(server.get(&path)).await.status, 202, "{path}");
    worker.gate.add_permits(1);

    let swap = &document["paths"]["/classifier/prediction-service/{model_name}"]["put"]["responses"];
    let swapping = server.put("/classifier/prediction-service/never").header("Prefer", "respond-async");
    let path = follow(&Answer::of(swapping).await, &swap["202"]["links"]["read_rollout"]);
    assert_eq!(Answer::of(server.get(&path)).await.status, 200, "{path}");
    let back = &document["paths"]["/classifier/prediction-service/rollback"]["post"]["responses"];
    assert_eq!(back["202"]["links"], swap["202"]["links"]);
}

#[tokio::test]
async fn what_errors_carry_beside_the_sentence_is_described() {
    let (server, _worker) = Server::ready(&[]).await;
    let document = server.description().await;
    let members = document["components"]["schemas"]["Problem"]["properties"].as_object().unwrap();
    for request in [
        server.put("/classifier/prediction-service/broken"),
        server.put("/classifier/prediction-service/unservable"),
        server.predict(&["bad"]),
        Server::bare(&[]).await.get("/health/ready?strict"),
    ] {
        let answer = Answer::of(request).await;
        assert!(answer.status.is_client_error() || answer.status.is_server_error(), "{}", answer.text);
        for member in answer.json().as_object().unwrap().keys() {
            assert!(members.contains_key(member), "`{member}` of {}", answer.text);
        }
    }
}

#[tokio::test]
async fn a_form_takes_images_under_any_name_that_a_header_holds() {
    let (server, _worker) = Server::ready(&[]).await;
    let document = server.description().await;
    let content = &document["paths"]["/classifier/predictions"]["post"]["requestBody"]["content"];
    let form = &content["multipart/form-data"]["schema"];
    assert_eq!((&form["required"], &form["minProperties"]), (&Value::Null, &json!(1)));
    let part =
        "--XX\r\nContent-Disposition: form-data; name=\"000\"; filename=\"a.png\"\r\n\r\ndog\r\n--XX--\r\n";
    let post = |body: &'static str| {
        let request = server.post("/classifier/predictions");
        Answer::of(request.header("Content-Type", "multipart/form-data; boundary=XX").body(body))
    };
    let named = post(part).await;
    assert_eq!(named.status, 200, "{}", named.text);
    post("--XX--\r\n").await.is_problem(422, "no_images", "");
    assert_eq!(form["additionalProperties"], json!({"type": "string", "format": "binary"}));
    assert_eq!(form["propertyNames"]["pattern"], r"^[^\u0000-\u001f\u007f]*$");
}

#[tokio::test]
async fn the_pages_have_their_icons() {
    let server = Server::bare(&[]).await;
    for (page, folder) in [("/redoc", "/"), ("/docs/", "/docs/")] {
        let text = Answer::of(server.get(page)).await.text;
        let icon = text.split("rel=\"icon\"").nth(1).and_then(|rest| rest.split("href=\"").nth(1));
        let address = icon.and_then(|rest| rest.split('"').next()).unwrap_or_else(|| panic!("{page}"));
        let answer =
            server.get(&format!("{folder}{}", address.trim_start_matches("./"))).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{page}: {address}");
        assert_eq!(answer.headers()["content-type"], "image/png", "{page}: {address}");
    }
}
