//! The 22 queries of TPC-H on Iceberg tables give DuckDB's answers on the same files.

#[path = "../../benches/tpch/trial/mod.rs"]
mod trial;

use trial::lake::Lake;
use trial::queries::QUERIES;
use trial::{compare, duck};

const SCALE: f64 = 0.01;
const THREADS: usize = 2;
/// More than the queries need: this test is about answers.
const MEMORY: u64 = 1 << 30;

#[tokio::test]
async fn all_queries_of_tpc_h_give_the_answers_of_duckdb() {
    let folder = tempfile::tempdir().unwrap();
    let mut lake = Lake::create(folder.path(), THREADS, MEMORY).await.unwrap();
    lake.fill(SCALE).await.unwrap();
    let queries: Vec<String> = QUERIES.iter().map(|query| query.at(SCALE)).collect();
    let request = duck::Request { threads: THREADS, tables: lake.files().await.unwrap(), queries: queries.clone(), runs: 1 };
    let answers = duck::ask(&request).unwrap();
    let mut rows = 0;
    for ((query, text), wanted) in QUERIES.iter().zip(&queries).zip(&answers) {
        let given = lake.ask(text).await.unwrap_or_else(|error| panic!("query {}: {error}", query.number));
        let differs = compare::difference(&given, wanted).unwrap();
        assert_eq!(differs, None, "query {}", query.number);
        assert_eq!(wanted.seconds.len(), request.runs);
        rows += wanted.rows.len();
    }
    assert!(rows > 500, "{rows} rows in all: the answers say little");
}
