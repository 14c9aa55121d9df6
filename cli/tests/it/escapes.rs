//! Labels and names with control characters are escaped.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Output};

/// Runs the command against a server that gives this answer to every request.
fn run(words: &[&str], status: &str, body: &'static str) -> Output {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut line, mut length) = (String::new(), 0);
            while stream.read_line(&mut line).unwrap() > 2 {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            stream.read_exact(&mut vec![0; length]).unwrap();
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
        }
    });
    Command::new(env!("CARGO_BIN_EXE_classifier"))
        .args([words[0], "--url", &url])
        .args(&words[1..])
        .env_clear()
        .env("X_API_KEY", "key")
        .output()
        .unwrap()
}

fn check(words: &[&str], status: &str, body: &'static str, shown: &str) {
    let output = run(words, status, body);
    let all = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(all).unwrap();
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{words:?}: {text:?}");
    assert!(text.contains(shown), "{words:?}: {text:?}");
}

#[test]
fn escapes_in_what_a_server_says_are_shown_and_not_sent() {
    let image = concat!(env!("CARGO_MANIFEST_DIR"), "/../demo/images/01_is_2.png");
    let answer = r#"{"code": 200, "response": {"model": "m", "results": [
        {"image_id": 0, "max_score": 0.5, "label": "\u001b[2Jcat\u009b31m"}]}}"#;
    check(&["predict", image], "200 OK", answer, "\\u{1b}[2Jcat\\u{9b}31m");
    check(&["predict", image, "--json"], "200 OK", answer, "\\u001b[2Jcat\\u009b31m");
    let letters = r#"{"response": [{"id": "\u001b]0;x\u0007", "prediction_id": "p", "positions": [0], "image_bytes": 1, "model": "m@v",
        "reason": "died\u001b[1m"}]}"#;
    check(&["dead-letters", "list"], "200 OK", letters, "died\\u{1b}[1m");
    let refused = r#"{"code": "x", "detail": "no model \u001b[31mred"}"#;
    check(&["swap", "digits"], "404 Not Found", refused, "no model \\u{1b}[31mred");
}
