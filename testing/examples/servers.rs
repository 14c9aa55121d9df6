//! Starts a RabbitMQ and a Redis on free ports with their own folders, configured as in docker-compose.yml, prints
//! their addresses as a line of JSON, and ends them when it is stopped or its standard input closes.

use std::io::Read as _;

use testing::{Durability, RabbitMqServer, RedisServer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let stop = common::program::stop_on_signals()?;
    let (rabbitmq, redis) = tokio::task::spawn_blocking(|| {
        (RabbitMqServer::start(), RedisServer::start_with(Durability::EverySecond))
    })
    .await?;
    let addresses = serde_json::json!({"rabbitmq": rabbitmq.url(), "redis": redis.url()});
    #[expect(clippy::print_stdout, reason = "the line is what the caller waits for")]
    {
        println!("{addresses}");
    }
    let closed = stop.clone();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        closed.cancel();
    });
    stop.cancelled().await;
    Ok(())
}
