//! Tables, writers and intents for tests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use arrow_array::RecordBatch;
use async_trait::async_trait;
use iceberg::spec::{FormatVersion, PartitionSpec, Schema, SortOrder, TableMetadata, TableMetadataBuilder, Transform, UnboundPartitionField};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;
use weir_base::memory::MemoryBudget;
use weir_base::options::OptionBag;
use weir_catalog::lake::{LakeTable, TableId};
use weir_fs::FileSystems;

use crate::error::ConnectorError;
use crate::iceberg::types::conform_batch;
use crate::iceberg::write::options::WriteOptions;
use crate::iceberg::write::plan::WritePlan;
use crate::iceberg::write::writer::IcebergWriter;
use crate::iceberg::write::written::WrittenFile;
use crate::sink::{IntentLog, SinkWriter, WriterContext};

/// Remembers paths; fails on command.
#[derive(Debug, Default)]
pub(super) struct Intents {
    pub(super) paths: Mutex<Vec<String>>,
    pub(super) broken: bool,
}

#[async_trait]
impl IntentLog for Intents {
    async fn record(&self, paths: &[String]) -> Result<(), ConnectorError> {
        if self.broken {
            return Err(ConnectorError::transient("the intents cannot be stored"));
        }
        for path in paths {
            assert!(!std::path::Path::new(&local(path)).exists(), "{path} was there before it was announced");
        }
        self.paths.lock().expect("lock").extend_from_slice(paths);
        Ok(())
    }
}

pub(super) fn local(uri: &str) -> String {
    uri.strip_prefix("file://").expect("a local file").to_owned()
}

/// A table in a folder of its own.
pub(super) struct Fixture {
    pub(super) folder: TempDir,
    pub(super) table: LakeTable,
    pub(super) plan: Arc<WritePlan>,
    pub(super) intents: Arc<Intents>,
}

impl Fixture {
    pub(super) fn new(schema: Schema, partitions: &[(&str, Transform)], properties: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let location = format!("file://{}/t", folder.path().display());
        let mut spec = PartitionSpec::builder(Arc::new(schema.clone()));
        for (source, transform) in partitions {
            let source_id = schema.field_id_by_name(source).expect("source");
            let name = format!("{}_{transform}", source.replace('.', "_")).replace(['[', ']'], "");
            spec = spec.add_unbound_field(UnboundPartitionField { source_id, field_id: None, name, transform: *transform }).expect("field");
        }
        let spec = spec.build().expect("spec");
        let properties: HashMap<String, String> = properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let metadata: TableMetadata =
            TableMetadataBuilder::new(schema, spec.into_unbound(), SortOrder::unsorted_order(), location.clone(), FormatVersion::V2, properties)
                .expect("builder")
                .build()
                .expect("metadata")
                .metadata;
        let file_systems = FileSystems::new(std::collections::BTreeMap::new());
        let table = LakeTable {
            catalog: "c".into(),
            id: TableId { database: "d".to_owned(), table: "t".to_owned() },
            metadata: Arc::new(metadata),
            metadata_location: format!("{location}/metadata/0.json"),
            file_io: file_systems.file_io(),
        };
        let (options, _) =
            WriteOptions::parse(&OptionBag::new("Table 'c.d.t'"), table.metadata.properties(), table.metadata.location()).expect("options");
        let plan = Arc::new(WritePlan::try_new("c.d.t".to_owned(), &table, file_systems, &options).expect("plan"));
        Self { folder, table, plan, intents: Arc::new(Intents::default()) }
    }

    pub(super) fn context(&self, budget: &MemoryBudget) -> WriterContext {
        WriterContext {
            job: "my job".to_owned(),
            sink: "s1".to_owned(),
            epoch: 7,
            attempt: "a0".to_owned(),
            partition: 0,
            partitions: 1,
            budget: budget.clone(),
            intents: Arc::<Intents>::clone(&self.intents),
        }
    }

    pub(super) fn writer(&self, budget: &MemoryBudget) -> Box<IcebergWriter> {
        Box::new(IcebergWriter::new(Arc::clone(&self.plan), self.context(budget), None))
    }

    /// Writes batches in one epoch; the files come as their committables say.
    pub(super) async fn write(&self, batches: &[RecordBatch], budget: &MemoryBudget) -> Vec<WrittenFile> {
        let mut writer = self.writer(budget);
        for batch in batches {
            writer.write(batch.clone()).await.expect("writes");
        }
        let committables = writer.finish().await.expect("finishes");
        committables.into_iter().map(|committable| serde_json::from_value(committable.payload).expect("payload")).collect()
    }

    /// The rows of a file in the table's plain schema.
    pub(super) fn read(&self, file: &WrittenFile) -> RecordBatch {
        let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(local(&file.path)).expect("file")).expect("parquet");
        let batches: Vec<RecordBatch> =
            reader.build().expect("reader").map(|batch| conform_batch(&batch.expect("batch"), &self.plan.schema).expect("conforms")).collect();
        arrow_select::concat::concat_batches(&self.plan.schema, &batches).expect("one batch")
    }

    /// Every file below the table's folder.
    pub(super) fn files_on_disk(&self) -> Vec<String> {
        fn walk(folder: &std::path::Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.expect("entry").path();
                if path.is_dir() { walk(&path, found) } else { found.push(format!("file://{}", path.display())) }
            }
        }
        let mut found = Vec::new();
        walk(self.folder.path(), &mut found);
        found.sort();
        found
    }
}
