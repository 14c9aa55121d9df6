//! Messages and queues that this program did not make.

use std::time::Duration;

use common::broker::contract::{take, until_depth};
use common::broker::rabbitmq::{RabbitMqBroker, RabbitMqConfig};
use common::broker::{Broker, BrokerLimits};
use common::ids::JobId;
use common::messages::{Part, PartId, WIRE_VERSION};
use common::testing::samples::part;
use common::testing::{shared_rabbitmq, unique_prefix};
use lapin::options::{BasicGetOptions, BasicPublishOptions, BasicRejectOptions, QueueDeleteOptions};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use std::sync::Arc;

async fn channel() -> Channel {
    let url = shared_rabbitmq().url();
    let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
    connection.create_channel().await.unwrap()
}

async fn send(channel: &Channel, queue: &str, bytes: &[u8], id: Option<PartId>) {
    let mut properties = BasicProperties::default();
    if let Some(id) = id {
        properties = properties.with_message_id(id.to_string().into());
    }
    let options = BasicPublishOptions::default();
    channel.basic_publish("".into(), queue.into(), options, bytes, properties).await.unwrap().await.unwrap();
}

async fn broker() -> (RabbitMqConfig, Arc<RabbitMqBroker>, Arc<dyn Broker>) {
    let config = super::config(shared_rabbitmq().url());
    let broker = RabbitMqBroker::connect(config.clone()).await.unwrap();
    (config, Arc::clone(&broker), broker)
}

#[tokio::test]
async fn what_cannot_be_read_is_put_aside_and_the_work_goes_on() {
    let (config, _, broker) = broker().await;
    let queue = format!("{}.parts", config.prefix);
    let channel = channel().await;
    let newer = Part { wire: WIRE_VERSION + 1, ..part(JobId::random(), 4) };
    send(&channel, &queue, b"no part at all", None).await;
    send(&channel, &queue, &rmp_serde::to_vec_named(&newer).unwrap(), Some(newer.id)).await;
    until_depth(&broker, |depth| depth.waiting == 2).await;
    let sound = part(JobId::random(), 0);
    broker.publish(sound.clone()).await.unwrap();

    let mut consumer = broker.consume(1).await.unwrap();
    assert_eq!(take(&mut consumer).await.part, sound);
    until_depth(&broker, |depth| depth.dead_letters == 2).await;
    let letters = broker.dead_letters(10).await.unwrap();
    assert!(letters[0].reason.starts_with("the message is not a part"), "{letters:?}");
    assert_eq!((letters[0].image_bytes, letters[0].model.as_str()), (14, "unreadable"));
    assert!(letters[1].reason.contains("wire version 2 is newer than 1"), "{letters:?}");
    assert_eq!(letters[1].id, newer.id);
    assert!(broker.exhume(None).await.unwrap().is_empty());
    until_depth(&broker, |depth| depth.dead_letters == 2).await;
}

#[tokio::test]
async fn dead_letters_of_the_servers_own_can_be_read() {
    let (config, _, broker) = broker().await;
    let one = part(JobId::random(), 0);
    broker.publish(one.clone()).await.unwrap();
    let channel = channel().await;
    let queue = format!("{}.parts", config.prefix);
    let got = channel.basic_get(queue.into(), BasicGetOptions::default()).await.unwrap().unwrap();
    got.reject(BasicRejectOptions::default()).await.unwrap();

    until_depth(&broker, |depth| depth.dead_letters == 1).await;
    let letters = broker.dead_letters(10).await.unwrap();
    assert_eq!((letters[0].id, letters[0].reason.as_str()), (one.id, "rejected"));
    assert_eq!(broker.exhume(Some(one.id)).await.unwrap()[0].part, one);
}

#[tokio::test]
async fn a_queue_that_was_deleted_is_made_again() {
    let (config, _, broker) = broker().await;
    let queue = format!("{}.parts", config.prefix);
    channel().await.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
    let one = part(JobId::random(), 0);
    broker.publish(one.clone()).await.unwrap();
    let mut consumer = broker.consume(1).await.unwrap();
    assert_eq!(take(&mut consumer).await.part, one);
}

#[tokio::test]
async fn a_queue_with_another_bound_is_used_as_it_is() {
    let (config, _, _) = broker().await;
    let limits = BrokerLimits { max_parts: 2, call_timeout: Duration::from_secs(20) };
    let other = RabbitMqBroker::connect(RabbitMqConfig { limits, ..config }).await.unwrap();
    for index in 0..5 {
        other.publish(part(JobId::random(), index)).await.unwrap();
    }
}

#[tokio::test]
async fn an_address_that_leads_nowhere_is_an_error_in_bounded_time() {
    let limits = BrokerLimits { max_parts: 1, call_timeout: Duration::from_millis(300) };
    for url in ["amqp://127.0.0.1:1/%2f", "no address", "amqp://guest:wrong@127.0.0.1/%2f"] {
        let config = RabbitMqConfig { url: url.to_owned(), prefix: unique_prefix(), limits };
        assert!(RabbitMqBroker::connect(config).await.is_err(), "{url}");
    }
}
