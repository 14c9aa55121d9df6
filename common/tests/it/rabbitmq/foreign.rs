//! Messages and queues of other programs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::broker::rabbitmq::{RabbitMqBroker, RabbitMqConfig};
use common::broker::{Broker, BrokerError, BrokerLimits, WhichLetters};
use common::ids::JobId;
use common::messages::{PartId, Timestamp, WIRE_VERSION};
use lapin::options::{
    BasicGetOptions, BasicPublishOptions, BasicRejectOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use testing::broker::{take, until_depth};
use testing::samples::{images_mut, part};
use testing::{shared_rabbitmq, unique_prefix};

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
    let named = part(JobId::random(), 4).id;
    send(&channel, &queue, b"no part at all", None).await;
    send(&channel, &queue, b"no part, with a name", Some(named)).await;
    until_depth(&broker, |depth| depth.waiting == 2).await;
    let sound = part(JobId::random(), 0);
    broker.publish(sound.clone()).await.unwrap();

    let mut consumer = broker.consume(1).await.unwrap();
    assert_eq!(take(&mut consumer).await.part, sound);
    until_depth(&broker, |depth| depth.dead_letters == 2).await;
    let letters = broker.dead_letters(10).await.unwrap();
    assert!(letters[0].reason.starts_with("the message is not a part"), "{letters:?}");
    assert_eq!((letters[0].id, letters[0].bytes, &letters[0].part), (None, 14, &None));
    assert_eq!((letters[1].id, &letters[1].part), (Some(named), &None));
    // They cannot be replayed, but dropped: one by its id, the other because it has none.
    for which in [WhichLetters::Of(named), WhichLetters::Unidentified] {
        let mut taken = broker.take_dead_letters(which).await.unwrap();
        assert_eq!(taken.len(), 1, "{which:?}");
        let taken = taken.pop().expect("it is taken out");
        assert!(taken.part.is_none() && taken.letter.part.is_none());
        taken.acknowledge.ack().await.unwrap();
    }
    until_depth(&broker, |depth| depth.dead_letters == 0).await;
}

/// A map with the two keys of every version, and others that this release does not know.
#[tokio::test]
async fn a_part_of_an_unknown_shape_goes_back_as_it_was() {
    let (config, _, broker) = broker().await;
    let queue = format!("{}.parts", config.prefix);
    let channel = channel().await;
    let id = part(JobId::random(), 4).id;
    let deadline = Timestamp::now().after(Duration::from_secs(60)).0;
    let newer: BTreeMap<&str, u64> =
        [("wire", u64::from(WIRE_VERSION) + 1), ("deadline", deadline), ("tensors", 3)].into();
    let bytes = rmp_serde::to_vec_named(&newer).unwrap();
    send(&channel, &queue, &bytes, Some(id)).await;
    let mut consumer = broker.consume(4).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(1), consumer.next()).await.is_err());
    consumer.stop().await.unwrap();

    until_depth(&broker, |depth| depth.waiting == 1 && depth.dead_letters == 0).await;
    let got = channel.basic_get(queue.into(), BasicGetOptions::default()).await.unwrap().unwrap();
    let kept = got.properties.message_id().as_ref().map(ToString::to_string);
    assert_eq!((&got.data, kept), (&bytes, Some(id.to_string())));
    // The server counts what is requeued to the head. It came many times, and at most the last time is counted: it had
    // arrived when the consumer stopped.
    let count = got.properties.headers().as_ref().and_then(|headers| headers.inner().get("x-delivery-count"));
    assert!(matches!(count, None | Some(AMQPValue::LongLongInt(0 | 1))), "{count:?}");
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
    assert_eq!((letters[0].id, letters[0].reason.as_str()), (Some(one.id), "rejected"));
    assert_eq!(broker.take_dead_letters(WhichLetters::Of(one.id)).await.unwrap()[0].part, Some(one));
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
async fn a_queue_with_another_limit_is_used_as_it_is() {
    let (config, _, _) = broker().await;
    let limits = BrokerLimits { max_parts: 2, max_bytes: Some(1), call_timeout: Duration::from_secs(20) };
    let other = RabbitMqBroker::connect(RabbitMqConfig { limits, ..config }).await.unwrap();
    for index in 0..5 {
        other.publish(part(JobId::random(), index)).await.unwrap();
    }
}

#[tokio::test]
async fn a_queue_is_full_at_its_limit_in_bytes() {
    let config = super::config(shared_rabbitmq().url());
    let limits = BrokerLimits { max_parts: 1_000, max_bytes: Some(100_000), ..config.limits };
    let broker = RabbitMqBroker::connect(RabbitMqConfig { limits, ..config.clone() }).await.unwrap();
    let large = |index| {
        let mut part = part(JobId::random(), index);
        images_mut(&mut part)[0].bytes = vec![7; 30_000].into();
        part
    };
    // Rejected once there are more bytes than the limit.
    for index in 0..4 {
        broker.publish(large(index)).await.unwrap();
    }
    let refused = broker.publish(large(4)).await;
    assert!(matches!(refused, Err(BrokerError::Full)), "{refused:?}");

    // A process without such a limit uses the queue as it is.
    let other = RabbitMqBroker::connect(config).await.unwrap();
    let refused = other.publish(large(5)).await;
    assert!(matches!(refused, Err(BrokerError::Full)), "{refused:?}");
    let mut consumer = other.consume(4).await.unwrap();
    for _ in 0..4 {
        take(&mut consumer).await.acknowledge.ack().await.unwrap();
    }
    other.publish(large(6)).await.unwrap();
}

/// The queue's own limit applies, and its delivery limit may differ too.
#[tokio::test]
async fn a_queue_with_other_limits_is_full_at_its_own_limit() {
    let config = super::config(shared_rabbitmq().url());
    let queue = format!("{}.parts", config.prefix);
    let dead = format!("{}.dead", config.prefix);
    let text = |value: &str| AMQPValue::LongString(value.into());
    let options: BTreeMap<_, _> = [
        ("x-queue-type".into(), text("quorum")),
        ("x-max-length".into(), AMQPValue::LongInt(3)),
        ("x-overflow".into(), text("reject-publish")),
        ("x-delivery-limit".into(), AMQPValue::LongInt(7)),
        ("x-dead-letter-exchange".into(), text(&dead)),
        ("x-dead-letter-strategy".into(), text("at-least-once")),
    ]
    .into();
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel().await.queue_declare(queue.into(), durable, options.into()).await.unwrap();

    let broker = RabbitMqBroker::connect(config).await.unwrap();
    for index in 0..4 {
        broker.publish(part(JobId::random(), index)).await.unwrap();
    }
    let refused = broker.publish(part(JobId::random(), 4)).await;
    assert!(matches!(refused, Err(BrokerError::Full)), "{refused:?}");
}

#[tokio::test]
async fn an_address_that_leads_nowhere_is_an_error_in_bounded_time() {
    let limits = BrokerLimits { max_parts: 1, max_bytes: None, call_timeout: Duration::from_millis(300) };
    for url in ["amqp://127.0.0.1:1/%2f", "no address", "amqps://guest:guest@127.0.0.1/%2f"] {
        let config = RabbitMqConfig { url: url.to_owned(), prefix: unique_prefix(), limits };
        assert!(RabbitMqBroker::connect(config).await.is_err(), "{url}");
    }
}

/// Declares a queue as other programs do.
pub(super) async fn declare_classic(queue: &str) {
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel().await.queue_declare(queue.into(), durable, FieldTable::default()).await.unwrap();
}
