//! The order in which requests come and are answered, for those that another one shall overtake.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

/// How long a request waits to be overtaken: there may be no other, or it may wait for this one.
const LONGEST: Duration = Duration::from_millis(250);

/// Numbers requests as they come, and knows the latest of those that were answered.
#[derive(Debug, Default)]
pub(super) struct Order {
    arrived: AtomicU64,
    answered: watch::Sender<u64>,
}

impl Order {
    /// The place of a request that comes now.
    pub(super) fn arrive(self: &Arc<Self>) -> Turn {
        Turn { number: self.arrived.fetch_add(1, Ordering::Relaxed) + 1, order: Arc::clone(self) }
    }
}

/// The place of a request; when it is dropped, the request is answered.
#[derive(Debug)]
pub(super) struct Turn {
    order: Arc<Order>,
    number: u64,
}

impl Turn {
    /// Waits until a request that came later is answered, for a quarter of a second at most.
    pub(super) async fn overtaken(&self) {
        let mut answered = self.order.answered.subscribe();
        let overtaken = answered.wait_for(|latest| *latest > self.number);
        // Where nobody came there is nothing to be overtaken by; the sender is in `self`.
        _ = tokio::time::timeout(LONGEST, overtaken).await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.order.answered.send_if_modified(|latest| {
            let is_latest = self.number > *latest;
            if is_latest {
                *latest = self.number;
            }
            is_latest
        });
    }
}
