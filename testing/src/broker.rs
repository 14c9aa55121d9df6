//! The behaviours of every [`Broker`], each as a test for every implementation.
//!
//! [`broker_contract!`](crate::broker_contract) generates the tests. Each behaviour gets a [`Bench`], which makes
//! brokers; two brokers of one bench share their queue, like two processes of a fleet.
#![expect(clippy::unwrap_used, reason = "these are tests, which fail by panicking")]

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::samples::part;
use common::broker::{
    Broker, BrokerError, Consumer, DeadPart, Delivery, Hint, MAX_DEAD_LETTER_BYTES, QueueDepth, WhichLetters,
};
use common::ids::{Generation, JobId};
use common::messages::{EncodedImage, Part, PartId, Payload, Timestamp, WIRE_VERSION};

/// Far longer than any operation here takes.
const SOON: Duration = Duration::from_secs(30);

/// Makes brokers that share one queue, which is empty at first and has at most [`MAX_PARTS`] parts.
#[async_trait::async_trait]
pub trait Bench: Send + Sync {
    /// Creates another process's handle to the queue.
    async fn broker(&self) -> Arc<dyn Broker>;
}

/// The limit of the queues of a bench.
pub const MAX_PARTS: u32 = 1_500;

/// Returns the next delivery, which must come soon.
///
/// # Panics
/// It does not come.
pub async fn take(consumer: &mut Box<dyn Consumer>) -> Delivery {
    let next = timeout(SOON, consumer.next()).await.expect("a part comes soon");
    next.expect("the consumer works").expect("the consumer was not stopped")
}

/// Waits until the queue has this state.
///
/// # Panics
/// It does not get it soon.
pub async fn until_depth(broker: &Arc<dyn Broker>, wanted: impl Fn(QueueDepth) -> bool) {
    let mut depth = QueueDepth::default();
    let looking = async {
        loop {
            depth = broker.depth().await.expect("the broker answers");
            if wanted(depth) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let done = timeout(SOON, looking).await;
    assert!(done.is_ok(), "the queue stays at {depth:?}");
}

async fn publish(broker: &Arc<dyn Broker>, count: u32) -> Vec<Part> {
    let parts: Vec<Part> = (0..count).map(|index| part(JobId::random(), index)).collect();
    for one in &parts {
        broker.publish(one.clone()).await.expect("there is room");
    }
    parts
}

fn ids(parts: &[Part]) -> Vec<PartId> {
    parts.iter().map(|part| part.id).collect()
}

/// Byte for byte, with attempt 1, in order.
pub async fn parts_arrive_as_they_were_published_and_in_order(bench: impl Bench) {
    let (broker, worker) = (bench.broker().await, bench.broker().await);
    broker.can_publish().await.unwrap();
    let parts = publish(&broker, 20).await;
    let mut consumer = worker.consume(3).await.unwrap();
    for expected in &parts {
        let delivery = take(&mut consumer).await;
        assert_eq!((&delivery.part, delivery.attempt), (expected, 1));
        delivery.acknowledge.ack().await.unwrap();
    }
    consumer.stop().await.unwrap();
    until_depth(&broker, |depth| depth == QueueDepth::default()).await;
}

/// A waiting consumer gets a part that is published later.
pub async fn a_waiting_consumer_is_woken(bench: impl Bench) {
    let broker = bench.broker().await;
    let mut consumer = bench.broker().await.consume(1).await.unwrap();
    let waiting = tokio::spawn(async move { take(&mut consumer).await.part.id });
    tokio::task::yield_now().await;
    let parts = publish(&broker, 1).await;
    assert_eq!(waiting.await.unwrap(), parts[0].id);
}

/// A cancelled wait takes no part with it.
pub async fn a_wait_that_is_given_up_loses_no_part(bench: impl Bench) {
    let broker = bench.broker().await;
    let mut consumer = broker.consume(1).await.unwrap();
    let parts: Vec<Part> = (0..50).map(|index| part(JobId::random(), index)).collect();
    for expected in &parts {
        assert!(timeout(Duration::from_millis(1), consumer.next()).await.is_err());
        let (published, given_up) = tokio::join!(
            broker.publish(expected.clone()),
            timeout(Duration::from_micros(300), consumer.next())
        );
        published.unwrap();
        let delivery = match given_up {
            Ok(next) => next.unwrap().unwrap(),
            Err(_) => take(&mut consumer).await,
        };
        assert_eq!(delivery.part.id, expected.id);
        delivery.acknowledge.ack().await.unwrap();
    }
}

/// If it is dropped, for example because its task died, it comes back with the next attempt.
pub async fn a_part_is_delivered_again_when_its_worker_drops_it(bench: impl Bench) {
    let broker = bench.broker().await;
    let parts = publish(&broker, 1).await;
    let mut consumer = broker.consume(1).await.unwrap();
    for attempt in 1..=5 {
        let delivery = take(&mut consumer).await;
        assert_eq!((delivery.part.id, delivery.attempt), (parts[0].id, attempt));
        drop(delivery);
    }
}

/// If it is requeued, it comes back with the next attempt, also to another consumer.
pub async fn a_requeued_part_is_delivered_again(bench: impl Bench) {
    let broker = bench.broker().await;
    let parts = publish(&broker, 1).await;
    let mut first = broker.consume(1).await.unwrap();
    take(&mut first).await.acknowledge.requeue().await.unwrap();
    first.stop().await.unwrap();
    let mut second = bench.broker().await.consume(1).await.unwrap();
    let again = take(&mut second).await;
    assert_eq!((&again.part, again.attempt > 1), (&parts[0], true));
}

/// An acknowledged part never comes back, also if its worker ends.
pub async fn an_acknowledged_part_is_gone(bench: impl Bench) {
    let broker = bench.broker().await;
    publish(&broker, 2).await;
    let mut consumer = broker.consume(2).await.unwrap();
    take(&mut consumer).await.acknowledge.ack().await.unwrap();
    let second = take(&mut consumer).await;
    drop(consumer);
    second.acknowledge.ack().await.unwrap();
    until_depth(&broker, |depth| depth == QueueDepth::default()).await;
    let mut consumer = broker.consume(2).await.unwrap();
    assert!(timeout(Duration::from_millis(200), consumer.next()).await.is_err());
}

/// A part that comes back is delivered before those that were published after it.
pub async fn what_comes_back_keeps_its_place(bench: impl Bench) {
    let broker = bench.broker().await;
    let parts = publish(&broker, 5).await;
    let mut consumer = broker.consume(1).await.unwrap();
    take(&mut consumer).await.acknowledge.requeue().await.unwrap();
    let mut order = Vec::new();
    for _ in &parts {
        let delivery = take(&mut consumer).await;
        order.push(delivery.part.id);
        delivery.acknowledge.ack().await.unwrap();
    }
    assert_eq!(order, ids(&parts));
}

/// A worker holds at most its prefetch; the rest is for others.
pub async fn a_worker_holds_no_more_than_its_prefetch(bench: impl Bench) {
    let broker = bench.broker().await;
    let parts = publish(&broker, 5).await;
    let mut greedy = broker.consume(2).await.unwrap();
    let first = take(&mut greedy).await;
    let second = take(&mut greedy).await;
    assert!(timeout(Duration::from_millis(200), greedy.next()).await.is_err());
    until_depth(&broker, |depth| depth.waiting == 3 && depth.consumers == 1).await;
    first.acknowledge.ack().await.unwrap();
    let third = take(&mut greedy).await;
    assert_eq!([second.part.id, third.part.id], ids(&parts)[1..3]);
}

/// After a stop: nothing new; parts that were not returned go to others; returned ones can be acknowledged.
pub async fn a_stopped_consumer_gives_back_what_it_did_not_hand_out(bench: impl Bench) {
    let broker = bench.broker().await;
    let parts = publish(&broker, 6).await;
    let mut leaving = broker.consume(4).await.unwrap();
    let in_hand = take(&mut leaving).await;
    leaving.stop().await.unwrap();
    assert!(timeout(SOON, leaving.next()).await.expect("it does not wait").unwrap().is_none());
    until_depth(&broker, |depth| depth.waiting == 5).await;
    in_hand.acknowledge.ack().await.unwrap();
    until_depth(&broker, |depth| depth.consumers == 0).await;

    let mut staying = bench.broker().await.consume(10).await.unwrap();
    let mut seen = HashSet::new();
    for _ in 0..5 {
        let delivery = take(&mut staying).await;
        seen.insert(delivery.part.id);
        delivery.acknowledge.ack().await.unwrap();
    }
    assert_eq!(seen, ids(&parts)[1..].iter().copied().collect());
    until_depth(&broker, |depth| depth.waiting == 0).await;
}

/// A consumer that is dropped without a stop takes no parts with it.
pub async fn a_dropped_consumer_gives_back_everything(bench: impl Bench) {
    let broker = bench.broker().await;
    let parts = publish(&broker, 4).await;
    let mut lost = broker.consume(3).await.unwrap();
    let in_hand = take(&mut lost).await;
    drop(lost);
    drop(in_hand);
    until_depth(&broker, |depth| depth.waiting == 4 && depth.consumers == 0).await;
    let mut consumer = broker.consume(4).await.unwrap();
    let mut seen = HashSet::new();
    for _ in &parts {
        let delivery = take(&mut consumer).await;
        seen.insert(delivery.part.id);
        delivery.acknowledge.ack().await.unwrap();
    }
    assert_eq!(seen, ids(&parts).into_iter().collect());
}

/// A full queue refuses new parts; no accepted one is dropped, and free room is used again.
pub async fn a_full_queue_refuses_and_keeps_what_it_has(bench: impl Bench) {
    let broker = bench.broker().await;
    let job = JobId::random();
    let mut accepted = 0;
    let refused = loop {
        match broker.publish(part(job, accepted)).await {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted <= MAX_PARTS, "more than {MAX_PARTS} parts are accepted");
    };
    assert!(matches!(refused, BrokerError::Full), "{refused}");
    assert_eq!(accepted, MAX_PARTS);

    let mut consumer = broker.consume(100).await.unwrap();
    for index in 0..accepted {
        let delivery = take(&mut consumer).await;
        assert_eq!(delivery.part.id, PartId { job, index });
        delivery.acknowledge.ack().await.unwrap();
    }
    until_depth(&broker, |depth| depth.waiting == 0).await;
    broker.publish(part(job, accepted)).await.unwrap();
    assert_eq!(take(&mut consumer).await.part.id.index, accepted);
}

/// A part that is published twice is delivered twice.
pub async fn the_same_part_may_be_published_twice(bench: impl Bench) {
    let broker = bench.broker().await;
    let one = part(JobId::random(), 0);
    broker.publish(one.clone()).await.unwrap();
    broker.publish(one.clone()).await.unwrap();
    let mut consumer = broker.consume(2).await.unwrap();
    assert_eq!(take(&mut consumer).await.part, one);
    assert_eq!(take(&mut consumer).await.part, one);
}

/// A thousand parts of many publishers, three workers that sometimes fail: each part is done, and none by two at once.
pub async fn many_publishers_and_workers_lose_nothing(bench: impl Bench) {
    const PUBLISHERS: u32 = 20;
    const EACH: u32 = 50;
    let broker = bench.broker().await;
    let mut publishers = JoinSet::new();
    for _ in 0..PUBLISHERS {
        let broker = Arc::clone(&broker);
        publishers.spawn(async move { ids(&publish(&broker, EACH).await) });
    }
    let mut workers = JoinSet::new();
    for _ in 0..3 {
        let broker = bench.broker().await;
        workers.spawn(async move {
            let mut consumer = broker.consume(8).await.unwrap();
            let mut done = Vec::new();
            while let Ok(next) = timeout(Duration::from_secs(2), consumer.next()).await {
                let delivery = next.unwrap().unwrap();
                if delivery.attempt == 1 && delivery.part.id.index % 7 == 0 {
                    drop(delivery);
                } else {
                    done.push(delivery.part.id);
                    delivery.acknowledge.ack().await.unwrap();
                }
            }
            done
        });
    }
    let published: Vec<PartId> = publishers.join_all().await.concat();
    let done: Vec<PartId> = workers.join_all().await.concat();
    assert_eq!(done.len(), published.len());
    assert_eq!(done.into_iter().collect::<HashSet<_>>(), published.into_iter().collect());
    until_depth(&broker, |depth| depth == QueueDepth::default()).await;
}

/// Two workers share the waiting parts.
pub async fn two_workers_share_the_work(bench: impl Bench) {
    let broker = bench.broker().await;
    let mut one = bench.broker().await.consume(2).await.unwrap();
    let mut other = bench.broker().await.consume(2).await.unwrap();
    until_depth(&broker, |depth| depth.consumers == 2).await;
    let parts = publish(&broker, 4).await;
    let hands = [take(&mut one).await, take(&mut one).await, take(&mut other).await, take(&mut other).await];
    let seen: HashSet<PartId> = hands.iter().map(|delivery| delivery.part.id).collect();
    assert_eq!(seen, ids(&parts).into_iter().collect());
}

/// All listeners get a hint; later listeners do not.
pub async fn a_hint_reaches_every_listener(bench: impl Bench) {
    let (broker, other) = (bench.broker().await, bench.broker().await);
    broker.broadcast(Hint::FleetChanged(Generation(1))).await.unwrap();
    let mut listeners =
        [broker.listen().await.unwrap(), broker.listen().await.unwrap(), other.listen().await.unwrap()];
    for generation in [2, 3] {
        let hint = Hint::FleetChanged(Generation(generation));
        broker.broadcast(hint).await.unwrap();
        for listener in &mut listeners {
            assert_eq!(timeout(SOON, listener.next()).await.expect("a hint comes soon").unwrap(), hint);
        }
    }
}

/// They are listed oldest first, with an operator's details, and stay.
pub async fn dead_letters_are_listed_and_stay(bench: impl Bench) {
    let (broker, operator) = (bench.broker().await, bench.broker().await);
    let parts: Vec<Part> = (0..5).map(|index| part(JobId::random(), index)).collect();
    for (number, one) in parts.iter().enumerate() {
        broker.dead_letter(one.clone(), &format!("reason {number}")).await.unwrap();
    }
    for _ in 0..3 {
        let letters = operator.dead_letters(3).await.unwrap();
        assert_eq!(letters.iter().filter_map(|letter| letter.id).collect::<Vec<_>>(), ids(&parts)[..3]);
        assert_eq!(letters[1].reason, "reason 1");
        let DeadPart { positions, model, client } = letters[1].part.as_ref().unwrap();
        assert_eq!((letters[1].bytes, &positions[..], client), (8, &[2, 3][..], &None));
        assert_eq!(*model, parts[1].model);
    }
    assert_eq!(operator.dead_letters(100).await.unwrap().len(), 5);
    until_depth(&broker, |depth| depth.dead_letters == 5 && depth.waiting == 0).await;
}

/// Taken one by one or all together; acknowledged ones are deleted, others come back.
pub async fn dead_letters_can_be_taken_out(bench: impl Bench) {
    let broker = bench.broker().await;
    let parts: Vec<Part> = (0..4).map(|index| part(JobId::random(), index)).collect();
    for one in &parts {
        broker.dead_letter(one.clone(), "why").await.unwrap();
    }
    let unknown = PartId { job: JobId::random(), index: 0 };
    for nothing in [WhichLetters::Of(unknown), WhichLetters::Unidentified] {
        assert!(broker.take_dead_letters(nothing).await.unwrap().is_empty());
    }

    let mut named = broker.take_dead_letters(WhichLetters::Of(parts[2].id)).await.unwrap();
    assert_eq!(named.len(), 1);
    let named = named.remove(0);
    assert_eq!(named.part.as_ref(), Some(&parts[2]));
    assert_eq!((named.letter.id, named.letter.reason.as_str()), (Some(parts[2].id), "why"));
    broker.publish(parts[2].clone()).await.unwrap();
    named.acknowledge.ack().await.unwrap();
    until_depth(&broker, |depth| depth.dead_letters == 3 && depth.waiting == 1).await;

    let all = broker.take_dead_letters(WhichLetters::All).await.unwrap();
    assert_eq!(all.len(), 3);
    until_depth(&broker, |depth| depth.dead_letters == 0).await;
    let mut rest = all.into_iter();
    rest.next().unwrap().acknowledge.requeue().await.unwrap();
    // The caller dies: what it had taken comes back.
    drop(rest);
    until_depth(&broker, |depth| depth.dead_letters == 3).await;
    let letters = broker.dead_letters(10).await.unwrap();
    let left: HashSet<PartId> = letters.iter().filter_map(|letter| letter.id).collect();
    assert_eq!(left, [parts[0].id, parts[1].id, parts[3].id].into());
}

/// Beyond the limit a letter is refused, and the first ones are still there. Once some are dropped there is room.
pub async fn dead_letters_are_bounded_by_bytes_and_the_oldest_stay(bench: impl Bench) {
    const LARGE: usize = 10 << 20;
    let broker = bench.broker().await;
    let bytes = Bytes::from(vec![7; LARGE]);
    let letter = |index| {
        let image = EncodedImage { position: 0, bytes: bytes.clone() };
        Part { payload: Payload::Images(vec![image]), ..part(JobId::random(), index) }
    };
    let most = usize::try_from(MAX_DEAD_LETTER_BYTES).unwrap() / LARGE + 2;
    let (mut kept, mut refused) = (Vec::new(), None);
    for index in 0..u32::try_from(most).unwrap() {
        let letter = letter(index);
        match broker.dead_letter(letter.clone(), "large").await {
            Ok(()) => kept.push(letter.id),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    assert!(matches!(refused, Some(BrokerError::Full)), "{refused:?} after {}", kept.len());
    assert!(kept.len() > 8, "{}", kept.len());
    let first =
        broker.take_dead_letters(WhichLetters::Of(kept[0])).await.unwrap().pop().expect("the oldest stays");
    first.acknowledge.ack().await.unwrap();
    for id in &kept[1..3] {
        let taken = broker.take_dead_letters(WhichLetters::Of(*id)).await.unwrap().pop().expect("it stays");
        taken.acknowledge.ack().await.unwrap();
    }
    until_depth(&broker, |depth| depth.dead_letters == kept.len() as u64 - 3).await;
    broker.dead_letter(letter(0), "there is room").await.unwrap();
}

/// A part of a newer release blocks no other part, stays for a newer worker, and is no dead letter.
pub async fn a_newer_part_goes_back_and_lets_others_pass(bench: impl Bench) {
    let broker = bench.broker().await;
    let job = JobId::random();
    let newer = [0, 1, 2].map(|index| Part { wire: WIRE_VERSION + 1, ..part(job, index) });
    for one in &newer {
        broker.publish(one.clone()).await.unwrap();
    }
    let sound = publish(&broker, 5).await;
    let mut consumer = broker.consume(1).await.unwrap();
    for expected in &sound {
        let delivery = take(&mut consumer).await;
        assert_eq!(&delivery.part, expected);
        delivery.acknowledge.ack().await.unwrap();
    }
    assert!(timeout(Duration::from_millis(300), consumer.next()).await.is_err());
    consumer.stop().await.unwrap();
    until_depth(&broker, |depth| depth.waiting == 3 && depth.dead_letters == 0).await;
}

/// An expired part of a newer release is forgotten.
pub async fn a_newer_part_past_its_deadline_is_dropped(bench: impl Bench) {
    let broker = bench.broker().await;
    let late = Part { wire: WIRE_VERSION + 1, deadline: Timestamp(1), ..part(JobId::random(), 0) };
    broker.publish(late).await.unwrap();
    let mut consumer = broker.consume(1).await.unwrap();
    assert!(timeout(Duration::from_millis(300), consumer.next()).await.is_err());
    consumer.stop().await.unwrap();
    until_depth(&broker, |depth| depth == QueueDepth::default()).await;
}

/// Stopping again, or with nothing to return, ends at once.
pub async fn a_consumer_may_be_stopped_again(bench: impl Bench) {
    let mut consumer = bench.broker().await.consume(1).await.unwrap();
    for _ in 0..2 {
        timeout(SOON, consumer.stop()).await.expect("it does not wait").unwrap();
        assert!(timeout(SOON, consumer.next()).await.expect("it does not wait").unwrap().is_none());
    }
}

/// The checks work at any time, whether or not a part was ever published.
pub async fn many_may_ask_whether_parts_are_taken(bench: impl Bench) {
    let broker = bench.broker().await;
    let mut asking = JoinSet::new();
    for _ in 0..100 {
        let broker = Arc::clone(&broker);
        asking.spawn(async move { broker.can_publish().await });
    }
    for answer in asking.join_all().await {
        answer.unwrap();
    }
    until_depth(&broker, |depth| depth == QueueDepth::default()).await;
}

/// Generates a test of every behaviour. `$bench` is an expression of type `impl Bench`.
#[macro_export]
macro_rules! broker_contract {
    ($bench:expr) => {
        $crate::behaviours! { $crate::broker, $bench,
            parts_arrive_as_they_were_published_and_in_order
            a_waiting_consumer_is_woken
            a_wait_that_is_given_up_loses_no_part
            a_part_is_delivered_again_when_its_worker_drops_it
            a_requeued_part_is_delivered_again
            an_acknowledged_part_is_gone
            what_comes_back_keeps_its_place
            a_worker_holds_no_more_than_its_prefetch
            a_stopped_consumer_gives_back_what_it_did_not_hand_out
            a_dropped_consumer_gives_back_everything
            a_full_queue_refuses_and_keeps_what_it_has
            the_same_part_may_be_published_twice
            many_publishers_and_workers_lose_nothing
            two_workers_share_the_work
            a_hint_reaches_every_listener
            dead_letters_are_listed_and_stay
            dead_letters_can_be_taken_out
            dead_letters_are_bounded_by_bytes_and_the_oldest_stay
            a_newer_part_goes_back_and_lets_others_pass
            a_newer_part_past_its_deadline_is_dropped
            a_consumer_may_be_stopped_again
            many_may_ask_whether_parts_are_taken
        }
    };
}
