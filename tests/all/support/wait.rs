//! Waiting for a condition, instead of sleeping for as long as it usually takes.

use std::time::{Duration, Instant};

/// Asks `question` again and again until it gives a value. Panics, naming `what`, when it has not within `limit`.
pub(crate) async fn until<T>(what: &str, limit: Duration, mut question: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = question().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
