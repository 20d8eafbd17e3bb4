//! A copy is pruned as well as a file whose rows were written anew: by what our reader fetches for one row of it.

use weir_fs::IoCounts;

use super::support::{Lake, request, rows};
use crate::{Report, Request};

/// Rows of each of ten files.
const EACH: i64 = 20_000;

/// A table of ten files with pages of a thousand rows, after one rewrite.
async fn rewritten(decode_all: bool) -> (Lake, Report) {
    let properties = [("write.parquet.page-row-limit", "1000"), ("write.parquet.compression-codec", "uncompressed")];
    let mut lake = Lake::new(&[], &properties).await;
    for part in 0..10 {
        lake.append(&rows(part * EACH..(part + 1) * EACH)).await;
    }
    let report = lake.compact(&Request { decode_all, ..request(false) }).await;
    (lake, report)
}

/// Bytes that a query fetches, of data and of what leads to it.
async fn fetched(lake: &Lake, sql: &str, answer: i64) -> u64 {
    let read = || lake.catalog.file_systems().io_counts().iter().filter(|counts| is_read(counts)).map(|counts| counts.bytes).sum::<u64>();
    // Manifests and footers are kept for the next query; what is compared is the data.
    assert_eq!(lake.number(sql).await, answer);
    let before = read();
    assert_eq!(lake.number(sql).await, answer);
    read() - before
}

fn is_read(counts: &IoCounts) -> bool {
    counts.operation.as_str().starts_with("get")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_row_of_a_copy_takes_no_more_bytes_than_one_of_a_file_that_was_written_anew() {
    let ((copied, report), (decoded, other)) = (rewritten(false).await, rewritten(true).await);
    assert_eq!((report.copied, report.files_after, other.decoded, other.files_after), (1, 1, 1, 1));
    let bytes = other.bytes_after;
    for (sql, answer) in [
        ("SELECT count(v) FROM orders WHERE id = 54321", 1),
        ("SELECT count(v) FROM orders WHERE id BETWEEN 100000 AND 100099", 100),
        ("SELECT count(kind) FROM orders WHERE id = -1", 0),
    ] {
        let (of_copy, anew) = (fetched(&copied, sql, answer).await, fetched(&decoded, sql, answer).await);
        assert!(of_copy <= anew + anew / 4 + (4 << 10), "{sql}: {of_copy} bytes of the copy, {anew} of the other");
        assert!(of_copy < bytes / 20, "{sql}: {of_copy} bytes of {bytes}");
    }
}
