//! Returns a part of a newer release to its queue.

use std::sync::Arc;
use std::time::Duration;

use lapin::message::Delivery as Received;
use tokio::time::sleep;

use super::in_hand::InHand;
use super::publisher::{Message, Publisher};
use crate::broker::Acknowledge as _;
use crate::broker::newer::Header;

/// A delivered newer part, and the message that is published for it.
pub(super) struct NewerPart {
    hand: Box<InHand>,
    header: Header,
    message: Message,
}

impl NewerPart {
    pub(super) fn new(hand: Box<InHand>, header: Header, queue: &str, received: &Received) -> Self {
        Self { hand, header, message: Message::again(queue, received) }
    }

    /// Gives it back after a pause, without blocking; drops it if it has expired.
    ///
    /// It is published again and the old message acknowledged: a requeued message would come to the head of a quorum
    /// queue, before everything else, and count against the queue's delivery limit.
    pub(super) fn give_back(self, publisher: Arc<Publisher>, pause: Duration) {
        tokio::spawn(async move {
            if !self.header.is_over() {
                sleep(pause).await;
                if publisher.publish(self.message).await.is_err() {
                    // For example a full queue: the part is dropped and goes back to its old position.
                    return;
                }
            }
            // A failure means that the channel has ended, and the part went back with it.
            let _ = self.hand.ack().await;
        });
    }
}
