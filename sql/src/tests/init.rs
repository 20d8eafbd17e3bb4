//! `--init`, the hook before the first lake object, and the settings of a job.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use weir_base::memory::MemoryBudget;
use weir_catalog::LakeCatalog;
use weir_connectors::ConnectorError;
use weir_fs::FileSystems;

use super::{connectors, session};
use crate::lake::BeforeCreate;
use crate::parse::Script;
use crate::plan::JobSettings;
use crate::session::{Mode, Session, SessionOptions};

const JOB: &str = "
    SET 'pipeline.name' = 'shop';
    CREATE TABLE orders (id BIGINT) WITH ('connector' = 'kafka', 'topic' = 'orders', 'properties.bootstrap.servers' = 'x:1', 'format' = 'json');
    CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'memory');
    CREATE DATABASE IF NOT EXISTS lake.shop;
    CREATE TABLE IF NOT EXISTS lake.shop.orders (id BIGINT);
    INSERT INTO lake.shop.orders SELECT * FROM orders;";

fn parsed() -> Script {
    Script::parse(JOB).expect("the job")
}

#[tokio::test]
async fn init_creates_nothing_in_a_lake_and_runs_no_insert() {
    let mut session = session();
    let outcome = session.run(&parsed(), Mode::Init).await.expect("init");
    assert!(outcome.job.is_none());
    let catalog = session.catalog("lake").expect("catalog");
    assert_eq!(catalog.databases().await.expect("databases"), Vec::<String>::new());
    let warnings: Vec<String> = outcome.warnings.iter().map(ToString::to_string).collect();
    assert!(warnings.iter().any(|text| text.contains("Database 'lake.shop': it does not exist, and nothing is created here")), "{warnings:?}");
    assert_eq!(session.job_settings().name, "shop");
}

#[derive(Debug, Default)]
struct Counter {
    calls: AtomicUsize,
    refuse: bool,
}

#[async_trait]
impl BeforeCreate for Counter {
    async fn check(&self, settings: &JobSettings, catalogs: &[Arc<dyn LakeCatalog>]) -> Result<(), ConnectorError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        assert_eq!((settings.name.as_str(), catalogs.len()), ("shop", 1));
        for catalog in catalogs {
            assert!(catalog.databases().await.expect("databases").is_empty(), "nothing was created before the check");
        }
        if self.refuse { Err(ConnectorError::user("the table of the checkpoint is gone")) } else { Ok(()) }
    }
}

fn hooked(hook: Arc<dyn BeforeCreate>) -> Session {
    Session::new(SessionOptions {
        registry: connectors::registry(),
        file_systems: FileSystems::default(),
        job_file: None,
        budget: MemoryBudget::new(1 << 30),
        cores: 1,
        before_create: Some(hook),
    })
}

#[tokio::test]
async fn the_runtime_is_asked_once_before_anything_is_created() {
    let hook = Arc::new(Counter::default());
    let mut session = hooked(Arc::<Counter>::clone(&hook));
    let outcome = session.run(&parsed(), Mode::Run).await.expect("run");
    assert_eq!(hook.calls.load(Ordering::SeqCst), 1);
    assert_eq!(outcome.job.expect("a job").inserts.len(), 1);
    session.run(&Script::parse("SELECT * FROM lake.shop.orders").expect("query"), Mode::Run).await.expect("the table is there");
}

/// Which job and which catalogs were to be looked at, call by call.
#[derive(Debug, Default)]
struct Asked(Mutex<Vec<(String, Vec<String>)>>);

#[async_trait]
impl BeforeCreate for Asked {
    async fn check(&self, settings: &JobSettings, catalogs: &[Arc<dyn LakeCatalog>]) -> Result<(), ConnectorError> {
        let names = catalogs.iter().map(|catalog| catalog.name().to_owned()).collect();
        self.0.lock().expect("not poisoned").push((settings.name.clone(), names));
        Ok(())
    }
}

#[tokio::test]
async fn every_catalog_is_looked_at_before_its_first_create_and_after_a_drop_under_the_name_that_the_job_will_have() {
    let script = "
        CREATE CATALOG a WITH ('type' = 'iceberg', 'catalog-type' = 'memory', 'warehouse' = 'memory://asked/a');
        CREATE DATABASE a.d;
        CREATE TABLE a.d.one (id BIGINT);
        CREATE TABLE a.d.two (id BIGINT);
        CREATE CATALOG b WITH ('type' = 'iceberg', 'catalog-type' = 'memory', 'warehouse' = 'memory://asked/b');
        CREATE DATABASE b.d;
        CREATE TABLE b.d.one (id BIGINT);
        DROP TABLE b.d.one;
        CREATE TABLE b.d.one (id BIGINT);
        SET 'pipeline.name' = 'late';";
    let asked = Arc::new(Asked::default());
    let mut session = hooked(Arc::<Asked>::clone(&asked));
    session.run(&Script::parse(script).expect("parsed"), Mode::Run).await.expect("run");
    let calls = asked.0.lock().expect("not poisoned").clone();
    let call = |catalogs: &[&str]| ("late".to_owned(), catalogs.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    assert_eq!(calls, [call(&["a"]), call(&["a", "b"]), call(&["a", "b"])]);
}

#[tokio::test]
async fn a_refusal_of_the_runtime_keeps_everything_from_being_created() {
    let hook = Arc::new(Counter { refuse: true, ..Counter::default() });
    let mut session = hooked(Arc::<Counter>::clone(&hook));
    let error = session.run(&parsed(), Mode::Run).await.expect_err("refused").to_string();
    assert_eq!(error, "the table of the checkpoint is gone");
    assert!(session.catalog("lake").expect("catalog").databases().await.expect("databases").is_empty());
}

#[tokio::test]
async fn a_stream_cannot_be_queried_without_a_leaf_factory_and_says_what_to_do() {
    let mut session = session();
    session.run(&parsed(), Mode::Run).await.expect("run");
    let outcome = session.run(&Script::parse("SELECT id FROM orders").expect("query"), Mode::Run).await.expect("planned");
    let crate::StatementResult::Query(query) = &outcome.results[0] else { panic!("a query") };
    let error = query.state.create_physical_plan(&query.plan).await.expect_err("no factory").to_string();
    assert!(error.contains("'default_catalog.default_database.orders' is an unbounded stream; read it with INSERT INTO"), "{error}");
}

#[tokio::test]
async fn a_job_is_explained_before_its_tables_exist_and_nothing_is_created() {
    let linked = JOB.replace(
        "INSERT INTO lake.shop.orders SELECT * FROM orders;",
        "CREATE TABLE copies (id BIGINT)
           WITH ('connector' = 'iceberg', 'catalog-name' = 'lake', 'catalog-type' = 'memory', 'catalog-database' = 'shop');
         EXECUTE STATEMENT SET BEGIN INSERT INTO lake.shop.orders SELECT * FROM orders; INSERT INTO copies SELECT * FROM orders; END;",
    );
    let mut session = session();
    let outcome = session.run(&Script::parse(&linked).expect("the job"), Mode::Explain).await.expect("explained");
    let Some(crate::StatementResult::Text(text)) = outcome.results.last() else { panic!("a text") };
    assert!(text.contains("sink 'orders': lake.shop.orders") && text.contains("sink 'copies': default_catalog.default_database.copies"), "{text}");
    assert_eq!(session.catalog("lake").expect("catalog").databases().await.expect("databases"), Vec::<String>::new());
    let error = session.run(&Script::parse("SELECT * FROM copies").expect("query"), Mode::Run).await.expect_err("missing").to_string();
    assert!(error.contains("its table 'lake.shop.copies' does not exist, and nothing is created here"), "{error}");
}

#[tokio::test]
async fn the_runtime_is_asked_before_a_linked_table_is_created_and_its_refusal_counts() {
    let linked = JOB.replace("CREATE DATABASE IF NOT EXISTS lake.shop;", "").replace(
        "CREATE TABLE IF NOT EXISTS lake.shop.orders (id BIGINT);",
        "CREATE TABLE copies (id BIGINT)
           WITH ('connector' = 'iceberg', 'catalog-name' = 'lake', 'catalog-type' = 'memory', 'catalog-database' = 'shop');",
    );
    let script = Script::parse(&linked.replace("INTO lake.shop.orders", "INTO copies")).expect("the job");
    let hook = Arc::new(Counter { refuse: true, ..Counter::default() });
    let mut session = hooked(Arc::<Counter>::clone(&hook));
    let error = session.run(&script, Mode::Run).await.expect_err("refused").to_string();
    assert_eq!((error.as_str(), hook.calls.load(Ordering::SeqCst)), ("the table of the checkpoint is gone", 1));
    let catalog = Arc::clone(session.catalog("lake").expect("catalog"));
    assert!(catalog.databases().await.expect("databases").is_empty());

    let hook = Arc::new(Counter::default());
    let mut session = hooked(Arc::<Counter>::clone(&hook));
    let outcome = session.run(&script, Mode::Run).await.expect("run");
    assert_eq!(hook.calls.load(Ordering::SeqCst), 1);
    assert_eq!(outcome.job.expect("a job").inserts.len(), 1);
    let (catalog, id) = session.lake_table("copies").expect("a linked table is known by its declared name");
    assert_eq!(catalog.load(&id).await.expect("created").id.to_string(), "shop.copies");
    assert!(session.lake_table("orders").expect_err("a stream").to_string().contains("it is no Iceberg table"));
}
