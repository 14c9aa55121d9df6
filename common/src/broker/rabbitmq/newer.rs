//! Gives a part of a newer release back to its queue.

use std::sync::Arc;
use std::time::Duration;

use lapin::message::Delivery as Received;
use tokio::time::sleep;

use super::in_hand::InHand;
use super::publisher::{Message, Publisher};
use crate::broker::Acknowledge as _;
use crate::broker::newer::Header;

/// A newer part in hand, and the message that it goes back as.
pub(super) struct NewerPart {
    hand: Box<InHand>,
    header: Header,
    message: Message,
}

impl NewerPart {
    pub(super) fn new(hand: Box<InHand>, header: Header, queue: &str, received: &Received) -> Self {
        Self { hand, header, message: Message::again(queue, received) }
    }

    /// Gives it back after a pause, without holding up anybody; drops it when nobody wants it any more.
    ///
    /// It is published once more and the old one acknowledged: what is merely given back comes to the head
    /// of a quorum queue, before everything else, and is counted against the queue's limit of deliveries.
    pub(super) fn give_back(self, publisher: Arc<Publisher>, pause: Duration) {
        tokio::spawn(async move {
            if !self.header.is_over() {
                sleep(pause).await;
                if publisher.publish(self.message).await.is_err() {
                    // A full queue, say: dropped, it goes back to its old position.
                    return;
                }
            }
            // A failure means that the channel has ended, and the part went back with it.
            let _ = self.hand.ack().await;
        });
    }
}
