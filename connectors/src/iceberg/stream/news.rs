//! Commits of this process, told to the streams of this process: a job that follows a table which it writes itself, or which another job
//! beside it writes, need not wait for its next look at the catalog.
//!
//! It is a hint only. A stream that hears nothing looks every `monitor-interval` all the same.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use tokio::sync::watch;

/// Commits by UUID of the table, as far as somebody waits for them.
type Tables = Mutex<HashMap<String, watch::Sender<u64>>>;

fn tables() -> &'static Tables {
    static TABLES: OnceLock<Tables> = OnceLock::new();
    TABLES.get_or_init(Tables::default)
}

/// Tells all streams over the table with this UUID that it has a new snapshot.
pub(in crate::iceberg) fn announce(uuid: &str) {
    let mut tables = tables().lock().unwrap_or_else(PoisonError::into_inner);
    tables.retain(|_, listeners| listeners.receiver_count() > 0);
    if let Some(listeners) = tables.get(uuid) {
        listeners.send_modify(|commits| *commits += 1);
    }
}

/// Hears of commits to the table with this UUID from now on.
pub(super) fn listen(uuid: &str) -> watch::Receiver<u64> {
    let mut tables = tables().lock().unwrap_or_else(PoisonError::into_inner);
    tables.entry(uuid.to_owned()).or_insert_with(|| watch::channel(0).0).subscribe()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_commit_is_heard_by_those_who_listen_and_to_no_other_table() {
        let (mut one, mut two) = (listen("news-1"), listen("news-2"));
        announce("news-1");
        one.changed().await.expect("told");
        assert!(!two.has_changed().expect("open"));
        drop(one);
        announce("news-2");
        assert!(two.has_changed().expect("open") && !tables().lock().expect("whole").contains_key("news-1"));
        two.changed().await.expect("told");
    }
}
