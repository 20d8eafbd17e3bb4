//! Tables that other engines write and change.

use std::time::Duration;

use crate::support::Workdir;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/foreign");
/// Sixty queries, each by a process of its own.
const LIMIT: Duration = Duration::from_secs(600);

#[tokio::test]
async fn tables_of_pyiceberg_and_files_of_duckdb_are_read_as_they_read_them() {
    let output = Workdir::new().program(SCRIPT, ["check", "pyiceberg", "--weir", env!("CARGO_BIN_EXE_weir")]).output(LIMIT).await.succeeded();
    assert!(output.stdout.ends_with("60 of 60 answers are right\n"), "{}", output.stdout);
}
