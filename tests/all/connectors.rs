//! The jobs of the book's pages about connectors, as they stand there.

use crate::formats::{job_of, run_page_on};
use crate::orders::{LIMIT, answer, run};
use crate::support::{Row, Workdir};

#[tokio::test]
async fn the_job_of_the_page_on_kafka_runs() {
    let headers = vec![("trace".to_owned(), b"7f".to_vec())];
    let first = Row { key: Some(b"s1".to_vec()), headers, ..Row::new(0, r#"{"url":"/","ms":12}"#) };
    let second = Row { key: Some(b"s2".to_vec()), ..Row::new(0, r#"{"url":"/cart"}"#) };
    let (folder, job) = run_page_on(Workdir::new(), "kafka", "clicks", vec![first, second]).await;
    assert_eq!(answer(&folder, &job, "SELECT * FROM lake.db.clicks ORDER BY place").await, "s1,/,12,0,0,7f\ns2,/cart,NULL,0,1,NULL");
}

#[tokio::test]
async fn the_job_of_the_page_on_files_reads_the_newest_folder_that_is_complete() {
    let folder = Workdir::new();
    for (day, rate) in [("2026-01-30", "1.1"), ("2026-01-31", "1.2"), ("2026-02-01", "1.3")] {
        std::fs::create_dir_all(folder.path(&format!("rates/dt={day}"))).unwrap();
        folder.write(&format!("rates/dt={day}/rates.csv"), &format!("EUR,{rate}\n"));
    }
    folder.write("rates/dt=2026-01-30/_SUCCESS", "");
    folder.write("rates/dt=2026-01-31/_SUCCESS", "");
    let payments = [r#"{"id":1,"currency":"EUR"}"#, r#"{"id":2,"currency":"SEK"}"#].map(|payment| Row::new(0, payment));
    let (folder, job) = run_page_on(folder, "filesystem", "payments", payments.into()).await;
    assert_eq!(answer(&folder, &job, "SELECT * FROM lake.db.payments ORDER BY id").await, "1,1.2000,2026-01-31\n2,NULL,NULL");
}

#[tokio::test]
async fn the_job_of_the_page_on_generated_rows_prints_what_the_page_shows() {
    let folder = Workdir::new();
    let root = folder.path("page.sql").parent().unwrap().display().to_string();
    let file = folder.write("page.sql", &job_of("small-connectors").replace("file:///data/", &format!("file://{root}/")));
    let printed = folder.weir(run(&file)).output(LIMIT).await.succeeded().stdout;
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/src/small-connectors.md")).unwrap();
    let shown = page.split_once("```text\n").unwrap().1.split_once("```").unwrap().0;
    let rows: String = printed.lines().filter(|line| line.starts_with("order>")).map(|line| format!("{line}\n")).collect();
    assert_eq!(rows, shown);
}
