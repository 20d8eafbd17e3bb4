//! A rewrite is killed at every request to the store, one after the other; recovery leaves only what the table needs.

use weir_catalog::upkeep::{Journal, Keeper};

use super::support::{Lake, now, request, rows};
use crate::{Compactor, Quiet, Request};

fn keeper(fence: u64) -> Keeper {
    Keeper::Job { job: "job".to_owned(), sink: "s".to_owned(), branch: None, fence }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewrite_that_is_killed_at_any_request_loses_no_row_and_leaves_no_file() {
    for decode_all in [false, true] {
        let mut lake = Lake::in_folders().await;
        let wanted = Request { decode_all, ..request(false) };
        let (mut id, mut fence, mut landed, mut last) = (0, 0, 0, false);
        for nth in 1.. {
            while lake.live().await.0.len() < 5 {
                lake.append(&rows(id..id + 10)).await;
                id += 10;
            }
            fence += 2;
            let killed = lake
                .killed_at(nth, async |catalog| {
                    let journal = Journal::new(&catalog, &catalog.load(&lake.id).await.expect("table"), keeper(fence - 1));
                    let compactor = Compactor::new(&catalog, &lake.id, weir_base::memory::MemoryBudget::new(256 << 20), journal);
                    compactor.compact_once(&wanted, now(), &Quiet).await.expect("compacts");
                })
                .await;
            let recovered = Journal::new(&lake.catalog, &lake.table().await, keeper(fence)).recover(now()).await.expect("recovers");
            assert_eq!(lake.orphans().await, Vec::<String>::new(), "killed at request {nth}, {recovered:?}");
            assert_eq!(lake.number("SELECT count(*) FROM orders").await, id, "killed at request {nth}");
            landed += u32::from(lake.live().await.0.len() == 1);
            last = !killed;
            if last {
                break;
            }
        }
        assert!(last && landed >= 1);
    }
}
