//! A raw connection, for requests that no well-behaved client sends.

use std::io::ErrorKind;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::net::TcpStream;

use crate::harness::{KEY, body};

pub(crate) struct Connection(TcpStream);

/// The head of a request for predictions.
pub(crate) fn head(framing: &str) -> String {
    format!(
        "POST /classifier/predictions HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n\
         Content-Type: application/json\r\n{framing}\r\n\r\n"
    )
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    pub(crate) async fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            self.0.writable().await.unwrap();
            match self.0.try_write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
            }
        }
    }

    /// Returns the next bytes; `None` once the connection has ended.
    pub(crate) async fn receive(&mut self) -> Vec<u8> {
        let mut buffer = [0; 4096];
        loop {
            self.0.readable().await.unwrap();
            match self.0.try_read(&mut buffer) {
                Ok(count) => return buffer[..count].to_vec(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return Vec::new(),
            }
        }
    }

    pub(crate) async fn until_ended(&mut self) {
        while !self.receive().await.is_empty() {}
    }

    /// Reads an answer with a Content-Length: status and body.
    pub(crate) async fn answer(&mut self) -> (u16, Value) {
        let mut received = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&received).into_owned();
            if let Some((head, rest)) = text.split_once("\r\n\r\n") {
                let lower = head.to_ascii_lowercase();
                let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
                let length: usize = length.unwrap().parse().unwrap();
                if rest.len() >= length {
                    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                    return (status, serde_json::from_str(&rest[..length]).unwrap());
                }
            }
            let more = self.receive().await;
            assert!(!more.is_empty(), "the connection ended within {text:?}");
            received.extend(more);
        }
    }

    /// After a refusal the same connection answers the next request.
    pub(crate) async fn still_answers(&mut self) {
        let json = body(&["dog"]).to_string();
        self.send(head(&format!("Content-Length: {}", json.len())).as_bytes()).await;
        self.send(json.as_bytes()).await;
        let (status, answer) = self.answer().await;
        assert_eq!((status, &answer["response"]["results"][0]["label"]), (200, &Value::from("dog")));
    }
}
