//! All times are those of the store's clock, whatever this host's clock says.

use std::time::Duration;

use common::messages::Timestamp;
use common::store::Store;
use common::store::redis::{RedisConfig, RedisStore};
use testing::{shared_redis, unique_prefix};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

fn config(url: String) -> RedisConfig {
    RedisConfig { url, prefix: unique_prefix(), call_timeout: Duration::from_secs(20) }
}

#[tokio::test]
async fn the_first_call_learns_the_clock() {
    let store = RedisStore::new(config(shared_redis().url())).unwrap();
    assert_eq!(store.clock_offset(), None);
    store.fleet().await.unwrap();
    let offset = store.clock_offset().unwrap();
    assert!(offset.abs() < 5_000, "server and test share a clock: {offset}");
}

/// A fake Redis without data, whose clock is five minutes ahead of this host's.
async fn serve(client: TcpStream) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let mut line = String::new();
    loop {
        let mut words = Vec::new();
        line.clear();
        if client.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        for _ in 0..line[1..].trim_end().parse().unwrap_or(0) {
            line.clear();
            client.read_line(&mut line).await?;
            let mut word = vec![0; line[1..].trim_end().parse::<usize>().unwrap_or(0) + 2];
            client.read_exact(&mut word).await?;
            words.push(String::from_utf8_lossy(&word).trim_end().to_owned());
        }
        let answer = match words[0].as_str() {
            "TIME" => {
                let seconds = (Timestamp::now().0 / 1000 + 300).to_string();
                format!("*2\r\n${}\r\n{seconds}\r\n$1\r\n0\r\n", seconds.len())
            }
            "HMGET" => "*2\r\n$-1\r\n$-1\r\n".to_owned(),
            _ => "+OK\r\n".to_owned(),
        };
        client.write_all(answer.as_bytes()).await?;
    }
}

#[tokio::test]
async fn a_host_whose_clock_is_minutes_behind_uses_the_stores_clock() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://127.0.0.1:{}/0", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(serve(client));
        }
    });
    let store = RedisStore::new(config(url)).unwrap();
    store.fleet().await.unwrap();
    let (host, offset) = (Timestamp::now(), store.clock_offset().unwrap());
    let ahead = store.now().since(host);
    assert!((295..=305).contains(&ahead.as_secs()), "{ahead:?}");
    assert!((-305_000..=-295_000).contains(&offset), "{offset}");
}
