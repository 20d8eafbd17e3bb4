//! The tables in a lake of their own, written and asked through the engine.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use futures::TryStreamExt;
use weir_base::memory::MemoryBudget;
use weir_base::options::OptionBag;
use weir_catalog::read::data_files;
use weir_connectors::ConnectorError;
use weir_connectors::iceberg::IcebergSink;
use weir_connectors::sink::{IntentLog, SinkCommit, StreamSink, WriterContext};
use weir_fs::FileSystems;
use weir_runtime::run_query;
use weir_sql::{Mode, Script, Session, SessionOptions, StatementResult};

use super::Outcome;
use super::rows::{TABLES, Table};

/// Bytes of a data file: tables come in several files, as they do in life.
const FILE_BYTES: &str = "67108864";

/// A session on the lake.
#[derive(Debug)]
pub(crate) struct Lake {
    session: Session,
    budget: MemoryBudget,
}

/// Nobody has to clean up behind a benchmark.
#[derive(Debug)]
struct Forgotten;

#[async_trait]
impl IntentLog for Forgotten {
    async fn record(&self, _paths: &[String]) -> Result<(), ConnectorError> {
        Ok(())
    }
}

impl Lake {
    /// A lake in `folder` with the eight tables, without rows.
    pub(crate) async fn create(folder: &Path, threads: usize, memory: u64) -> Outcome<Self> {
        let budget = MemoryBudget::new(memory);
        let session = Session::new(SessionOptions {
            registry: Arc::new(weir_connectors::registry()),
            file_systems: FileSystems::default(),
            job_file: None,
            cores: threads,
            budget: budget.clone(),
            before_create: None,
        });
        let mut lake = Self { session, budget };
        let folder = folder.display();
        let catalog = format!("'uri' = 'sqlite:{folder}/catalog.db', 'warehouse' = 'file://{folder}/warehouse'");
        let mut script = format!("CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'sql', {catalog});\n");
        script.push_str("CREATE DATABASE lake.tpch; USE CATALOG lake; USE tpch;\n");
        for Table { name, columns, .. } in TABLES {
            script.push_str(&format!("CREATE TABLE {name} ({columns}) WITH ('write.target-file-size-bytes' = '{FILE_BYTES}');\n"));
        }
        Box::pin(lake.session.run(&Script::parse(&script)?, Mode::Run)).await?;
        Ok(lake)
    }

    /// Writes the rows of all tables, each as one snapshot.
    pub(crate) async fn fill(&self, scale: f64) -> Outcome<()> {
        for table in TABLES {
            self.fill_table(table, scale).await?;
        }
        Ok(())
    }

    async fn fill_table(&self, table: Table, scale: f64) -> Outcome<()> {
        let Table { name, batches, .. } = table;
        let (catalog, id) = self.session.lake_table(name)?;
        let loaded = catalog.load(&id).await?;
        let sink = IcebergSink::open(&catalog, &loaded, &OptionBag::new(name))?.value;
        let committer = sink.committer().ok_or("no committer")?;
        let context = WriterContext {
            job: "tpch".to_owned(),
            sink: name.to_owned(),
            epoch: 1,
            attempt: "a".to_owned(),
            partition: 0,
            partitions: 1,
            budget: self.budget.clone(),
            intents: Arc::new(Forgotten),
        };
        let mut writer = sink.writer(context)?;
        for batch in batches(scale, &sink.schema()) {
            writer.write(batch?).await?;
        }
        let commit = SinkCommit {
            incarnation: loaded.metadata.uuid().to_string(),
            commit_id: committer.next_commit_id(),
            previous_epoch: None,
            from: Default::default(),
            to: Default::default(),
            gaps: Vec::new(),
            committables: writer.finish().await?,
        };
        committer.commit("tpch", name, 1, &commit).await?;
        Ok(())
    }

    /// Runs a query.
    pub(crate) async fn ask(&mut self, sql: &str) -> Outcome<Vec<RecordBatch>> {
        let outcome = Box::pin(self.session.run(&Script::parse(sql)?, Mode::Run)).await?;
        let Some(StatementResult::Query(query)) = outcome.results.into_iter().next() else { return Err("that is no query".into()) };
        Ok(run_query(*query, &self.budget).await?.try_collect().await?)
    }

    /// The data files of all tables, as the local disk names them.
    pub(crate) async fn files(&self) -> Outcome<BTreeMap<String, Vec<String>>> {
        let mut files = BTreeMap::new();
        for table in TABLES {
            files.insert(table.name.to_owned(), self.files_of(table.name).await?);
        }
        Ok(files)
    }

    async fn files_of(&self, table: &str) -> Outcome<Vec<String>> {
        let (catalog, id) = self.session.lake_table(table)?;
        let live = data_files(&catalog.load(&id).await?, None).await?;
        Ok(live.iter().map(|live| live.file.file_path().trim_start_matches("file://").to_owned()).collect())
    }
}
