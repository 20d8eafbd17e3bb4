//! Dead-letter tables: made by the job, refused where they cannot be one, and left out of queries.

use std::sync::Arc;

use weir_base::memory::MemoryBudget;
use weir_base::options::Problem;
use weir_fs::FileSystems;

use crate::parse::Script;
use crate::session::{Mode, Session, SessionOptions};
use crate::{Outcome, SqlError, StatementResult};

/// A session with the real connectors.
fn session() -> Session {
    Session::new(SessionOptions {
        registry: Arc::new(weir_connectors::registry()),
        file_systems: FileSystems::default(),
        job_file: Some("/jobs/orders.sql".into()),
        budget: MemoryBudget::new(1 << 30),
        cores: 2,
        before_create: None,
    })
}

/// A job whose source names `table` for its dead letters.
fn job(table: &str) -> String {
    format!(
        "CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'memory');
        CREATE DATABASE IF NOT EXISTS lake.shop;
        CREATE TABLE IF NOT EXISTS lake.shop.orders (id BIGINT);
        CREATE VIEW seen AS SELECT 1 AS one;
        CREATE TABLE shown (id BIGINT) WITH ('connector' = 'print');
        CREATE TABLE orders (id BIGINT) WITH ('connector' = 'kafka', 'topic' = 'orders', 'properties.bootstrap.servers' = 'x:1',
          'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset', 'format' = 'json',
          'error.mode' = 'dead-letter', 'error.table' = '{table}');"
    )
}

const INSERT: &str = "INSERT INTO lake.shop.orders SELECT * FROM orders;";

async fn run(session: &mut Session, text: &str, mode: Mode) -> Result<Outcome, SqlError> {
    session.run(&Script::parse(text).expect("the script"), mode).await
}

async fn tables(session: &Session) -> Vec<String> {
    session.catalog("lake").expect("catalog").tables("shop").await.expect("tables")
}

#[tokio::test]
async fn a_job_makes_the_table_that_is_not_there_and_takes_it_the_next_time() {
    let mut session = session();
    let text = format!("{}{INSERT}", job("lake.shop.errors"));
    for script in [text.as_str(), INSERT] {
        let planned = run(&mut session, script, Mode::Run).await.expect("run").job.expect("a job");
        let sinks: Vec<&str> = planned.inserts.iter().map(|insert| insert.sink_id.as_str()).collect();
        assert_eq!(sinks, ["orders", "errors"]);
        assert_eq!(tables(&session).await, ["errors", "orders"]);
    }
    let described = run(&mut session, "DESCRIBE lake.shop.errors", Mode::Run).await.expect("described");
    let text = format!("{:?}", described.results);
    for part in ["headers", "MAP<STRING, BYTES>", "raw", "BYTES", "error", "TIMESTAMP_LTZ(6)"] {
        assert!(text.contains(part), "`{part}` is not in {text}");
    }
}

#[tokio::test]
async fn explain_shows_the_table_that_the_job_would_make_and_makes_none() {
    let mut session = session();
    run(&mut session, &job("lake.shop.errors"), Mode::Run).await.expect("run");
    let explained = run(&mut session, INSERT, Mode::Explain).await.expect("explained");
    let [StatementResult::Text(text)] = explained.results.as_slice() else { panic!("{:?}", explained.results) };
    assert!(text.contains("sink 'errors': lake.shop.errors"), "{text}");
    assert_eq!(tables(&session).await, ["orders"]);
}

#[tokio::test]
async fn a_name_that_can_be_no_dead_letter_table_is_told_for_what_it_is() {
    for (table, phrases) in [
        ("lak.shop.errors", &["Catalog 'lak': it does not exist.", "Did you mean 'lake'?"][..]),
        ("lake.shopp.errors", &["table 'lake.shopp.errors' of 'error.table' cannot be created", "shopp"]),
        (
            "errors",
            &[
                "[SQL-002] Table 'default_catalog.default_database.orders': 'error.table' = 'errors' is 'default_catalog.default_database.errors', and that \
                 catalog has no Iceberg tables.",
                "Name it as catalog.database.table in an Iceberg catalog, such as 'lake.db.errors'",
            ],
        ),
        (
            "seen",
            &[
                "'default_catalog.default_database.seen' of 'error.table' is a view.",
                "the job creates it as CREATE TABLE IF NOT EXISTS seen (job STRING,",
            ],
        ),
        ("shown", &["'default_catalog.default_database.shown' of 'error.table' is not an Iceberg table."]),
    ] {
        let mut session = session();
        let error = run(&mut session, &format!("{}{INSERT}", job(table)), Mode::Run).await.expect_err(table);
        let text = weir_base::error::chain(&error);
        for phrase in phrases {
            assert!(text.contains(phrase), "`{phrase}` is not in\n{text}");
        }
        assert_eq!(tables(&session).await, ["orders"]);
    }
}

#[tokio::test]
async fn a_query_has_no_place_for_dead_letters_and_says_so() {
    let mut session = session();
    run(&mut session, &job("lake.shop.errors"), Mode::Run).await.expect("run");
    let outcome = run(&mut session, "SELECT * FROM orders", Mode::Run).await.expect("planned");
    let warnings: Vec<String> = outcome.warnings.iter().map(Problem::to_string).collect();
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    let said =
        "Table 'default_catalog.default_database.orders': only a job writes dead letters: messages that cannot be read are left out of this query";
    assert!(warning.contains("[OPT-008]") && warning.contains(said), "{warning}");
    assert_eq!(tables(&session).await, ["orders"]);
}
