//! `weir verify` as users call it: what it proves, what it finds, and what it prints.

use crate::compaction::Lake;
use crate::orders::LIMIT;
use crate::support::Output;

impl Lake {
    async fn verify(&self, more: &[&str]) -> Output {
        let mut arguments = vec!["verify", "--init", self.init.to_str().unwrap(), "lake.shop.t"];
        arguments.extend(more);
        self.folder.weir(arguments).output(LIMIT).await
    }

    /// The path of one of the table's files.
    async fn file(&self) -> String {
        let path = self.sql("SELECT file_path FROM lake.shop.t$files ORDER BY file_path LIMIT 1").await;
        path.trim_start_matches("file://").to_owned()
    }
}

#[tokio::test]
async fn sums_are_the_same_on_both_sides_of_each_rewrite_and_at_the_snapshots_that_are_asked_for() {
    let lake = Lake::new().await;
    let before = lake.sql("SELECT snapshot_id FROM lake.shop.t$snapshots ORDER BY committed_at DESC LIMIT 1").await;
    lake.table("compact", &[]).await;
    lake.table("compact", &["--settle", "--min-input-files", "2"]).await;
    lake.sql("INSERT INTO lake.shop.t VALUES (100, 'z', DATE '2026-01-02')").await;
    let told = lake.verify(&["--deep", "--sum", "id", "--at", &before]).await.succeeded().stdout;
    assert!(told.contains("rewrites  3, the manifests of all were read") && told.contains("rows, nulls and bounds are those of the files"), "{told}");
    let line = |part: &str| told.lines().find(|line| line.contains(part)).unwrap_or_default().split_whitespace().collect::<Vec<_>>();
    assert_eq!(line("sum(id)"), ["sums", "rows", "sum(id)", "nulls(id)"]);
    assert_eq!(line("(now)")[3..], ["9", "128", "0"]);
    assert_eq!(line(&format!("snapshot {before} "))[2..], ["8", "28", "0"]);
    assert_eq!((line("6 files out")[5..].to_vec(), line("1 files in").len()), (vec!["6", "15", "0"], 8), "{told}");
    assert!(told.contains("all 3 rewrites: rows and sums are the same before and after"), "{told}");
}

#[tokio::test]
async fn a_file_that_is_gone_ends_with_the_code_of_wrong_data_unless_no_file_is_asked_for() {
    let lake = Lake::new().await;
    let file = lake.file().await;
    std::fs::remove_file(&file).expect("there");
    let found = lake.verify(&[]).await.failed_with(6);
    assert!(
        found.stdout.contains("NOT verified: 1 problem") && found.stdout.contains(&format!("file `file://{file}` is not there")),
        "{}",
        found.stdout
    );
    let told = lake.verify(&["--metadata-only"]).await.succeeded().stdout;
    assert!(told.contains("verified: epochs rise") && !told.contains("recorded size"), "{told}");
}

#[tokio::test]
async fn a_column_that_has_no_sum_is_refused_with_those_that_have() {
    let lake = Lake::new().await;
    for (arguments, code, says) in [
        (vec!["--sum", "di"], 3, "column 'di' does not exist. Did you mean 'id'? Columns with a sum: id."),
        (vec!["--sum", "s"], 3, "column 's' is no number."),
        (vec!["--sum", "id", "--at", "12"], 3, "no snapshot, branch or tag '12'"),
        (vec!["--at", "12"], 2, "--sum"),
        (vec!["--deep", "--metadata-only"], 2, "cannot be used with"),
    ] {
        let output = lake.verify(&arguments).await.failed_with(code);
        assert!(output.stderr.contains(says), "{}", output.stderr);
    }
}
