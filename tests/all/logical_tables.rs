//! One query, two jobs: a logical table read as a stream and from the table in which the stream is kept.

use crate::orders::{LIMIT, OrdersJob, Setting, answer, run, send};
use crate::support::Servers;

const PARTITIONS: u64 = 2;

#[tokio::test]
async fn the_stream_and_the_table_behind_it_give_the_same_rows_for_the_same_period() {
    let Setting { folder, topic, job } = Setting::on_disk(&Servers::shared().kafka(), PARTITIONS).await;
    send(&topic, PARTITIONS, 0..4_000).await;
    folder.weir(run(&job.write(&folder))).output(LIMIT).await.succeeded();
    let both = |name: &str| {
        let inserts = format!(
            "CREATE TABLE IF NOT EXISTS lake.shop.{name} (id BIGINT, event STRING, site STRING, ts TIMESTAMP(6), at STRING);
CREATE LOGICAL TABLE events
  WITH STREAM (SELECT id, event_type AS event, props.ref.site AS site, ts, p, o FROM orders)
       BATCH (SELECT id, event_type AS event, props.ref.site AS site, ts, p, o FROM lake.shop.orders)
  TIME ts;
INSERT INTO lake.shop.{name} SELECT id, event, site, ts, CONCAT(CAST(p AS STRING), '/', CAST(o AS STRING)) FROM events WHERE event <> 'view';"
        );
        OrdersJob { name: name.to_owned(), inserts, ..job.clone() }.write(&folder)
    };
    let period = ["--from", "2026-01-01 10:00:00.250", "--to", "2026-01-02 10:00:00.750"];
    let (streamed, kept) = (both("streamed"), both("kept"));
    for (mode, file) in [("streaming", &streamed), ("batch", &kept)] {
        let arguments = [&["run", file.to_str().unwrap(), "--mode", mode][..], &period].concat();
        folder.weir(arguments).output(LIMIT).await.succeeded();
    }
    let wanted = (0..4_000_u64).filter(|id| id % 4 != 0 && if id % 2 == 0 { id % 1_000 >= 250 } else { id % 1_000 < 750 }).count();
    let counted = answer(&folder, &kept, "SELECT count(*), count(DISTINCT id) FROM lake.shop.streamed").await;
    assert_eq!(counted, format!("{wanted},{wanted}"));
    for (left, right) in [("streamed", "kept"), ("kept", "streamed")] {
        let query = format!("SELECT count(*) FROM (SELECT * FROM lake.shop.{left} EXCEPT ALL SELECT * FROM lake.shop.{right}) x");
        assert_eq!(answer(&folder, &kept, &query).await, "0", "rows of {left} that {right} has not");
    }
    // The same period again is a job that is done; another is a job of its own.
    let arguments = [&["run", kept.to_str().unwrap(), "--mode", "batch"][..], &period].concat();
    let again = folder.weir(arguments).output(LIMIT).await.succeeded();
    assert!(again.stderr.contains("has been done already"), "{}", again.stderr);
    let reversed = ["run", kept.to_str().unwrap(), "--mode", "batch", "--from", "2026-01-02", "--to", "2026-01-01"];
    let told = folder.weir(reversed).output(LIMIT).await.failed_with(2).stderr;
    assert!(told.contains("The period is empty"), "{told}");
    let before = ["run", kept.to_str().unwrap(), "--mode", "batch", "--to", "2026-01-01"];
    folder.weir(before).output(LIMIT).await.succeeded();
    assert_eq!(answer(&folder, &kept, "SELECT count(*) FROM lake.shop.kept").await, wanted.to_string());
}

#[tokio::test]
async fn what_is_wrong_with_a_logical_table_is_told_before_anything_runs() {
    let Setting { folder, mut job, .. } = Setting::on_disk(&Servers::shared().kafka(), 1).await;
    folder.weir(run(&job.write(&folder))).output(LIMIT).await.succeeded();
    let unlike = "WITH STREAM (SELECT id, p FROM orders) BATCH (SELECT id, o AS p FROM lake.shop.orders)";
    let cases = [
        (unlike.to_owned(), "Column 2 is `p INT` in STREAM and `p BIGINT` in BATCH."),
        ("WITH STREAM (SELECT id FROM orders) BATCH (SELECT id, p FROM lake.shop.orders)".to_owned(), "STREAM gives 1 columns, BATCH 2."),
        ("WITH STREAM (SELECT id FROM orders) BATCH (SELECT id FROM lake.shop.orders) TIME id".to_owned(), "must be a DATE or a TIMESTAMP"),
        ("WITH STREAM (SELECT id FROM orders) BATCH (SELECT id FROM lake.shop.orders) TIME tss".to_owned(), "Column 'tss' of TIME not found."),
        ("WITH STREAM (SELECT id FROM orders".to_owned(), "This parenthesis is never closed."),
    ];
    for (sides, wanted) in cases {
        job.inserts = format!("CREATE LOGICAL TABLE events {sides};\nINSERT INTO lake.shop.orders (id) SELECT id FROM events;");
        let told = folder.weir(run(&job.write(&folder))).output(LIMIT).await.failed_with(2).stderr;
        assert!(told.contains(wanted), "{wanted} not in {told}");
    }
    job.inserts = "CREATE LOGICAL TABLE events WITH STREAM (SELECT id FROM orders) BATCH (SELECT id FROM lake.shop.orders);
INSERT INTO lake.shop.orders (id) SELECT id FROM events;"
        .to_owned();
    let file = job.write(&folder);
    let told = folder.weir(["run", file.to_str().unwrap(), "--from", "2026-01-01"]).output(LIMIT).await.failed_with(2).stderr;
    assert!(told.contains("does not say which column it applies to") && told.contains("Add TIME"), "{told}");
    job.bounded = false;
    job.inserts = "INSERT INTO lake.shop.orders SELECT * FROM orders;".to_owned();
    let file = job.write(&folder);
    let told = folder.weir(["run", file.to_str().unwrap(), "--mode", "batch"]).output(LIMIT).await.failed_with(2).stderr;
    assert!(told.contains("unbounded stream") && told.contains("'scan.bounded.mode'"), "{told}");
}
