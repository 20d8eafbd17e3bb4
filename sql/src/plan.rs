//! What the front end hands to the runtime.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use weir_catalog::LakeCatalog;
use weir_catalog::lake::LakeTable;
use weir_connectors::iceberg::FoundFiles;
use weir_connectors::sink::StreamSink;
use weir_connectors::source::StreamSource;
use weir_connectors::table::TablePath;

/// A stream table in a logical plan. Its provider's `scan` asks the [`LeafFactory`] in the session configuration's extensions for a leaf.
#[derive(Debug, Clone)]
pub struct StreamTable {
    /// Source id in the job: the table's name, with `#2` and so on behind it if another declaration has the same name.
    pub id: String,
    /// The declaration's name.
    pub path: TablePath,
    /// The source.
    pub source: Arc<dyn StreamSource>,
}

/// Makes the leaf of a stream table for one plan; put into `SessionConfig` with `with_extension`.
pub struct LeafFactory(pub Box<MakeLeaf>);

/// Makes a leaf that gives what is wanted of the table.
pub type MakeLeaf = dyn Fn(&StreamTable, Wanted<'_>) -> DataFusionResult<Arc<dyn ExecutionPlan>> + Send + Sync;

/// What a leaf gives of a stream table.
#[derive(Debug, Clone, Copy)]
pub enum Wanted<'a> {
    /// Its rows: these of its columns, all if `None`.
    Rows(Option<&'a Vec<usize>>),
    /// Its dead letters: these columns of [`weir_connectors::letters::letter_schema`], all if `None`.
    Letters(Option<&'a Vec<usize>>),
}

impl fmt::Debug for LeafFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeafFactory")
    }
}

/// One INSERT: a query whose rows, cast to the sink's schema by position, go to a sink.
#[derive(Debug, Clone)]
pub struct PlannedInsert {
    /// Sink id in the job: the table's last name and the option 'uid-suffix', with `-2` and so on behind it for a second INSERT of that id.
    pub sink_id: String,
    /// The target.
    pub target: TablePath,
    /// The sink.
    pub sink: Arc<dyn StreamSink>,
    /// Optimised plan; its output schema is `sink.schema()`.
    pub query: LogicalPlan,
    /// What must be run before the query is made a physical plan: a DELETE or UPDATE looks for its files.
    pub look: Option<Look>,
}

/// A scan that tells which files a DELETE or UPDATE is about.
#[derive(Debug, Clone)]
pub struct Look {
    /// Optimised plan: paths of files, and how many of their rows match.
    pub query: LogicalPlan,
    /// Where its rows go.
    pub found: FoundFiles,
}

/// A table that a CREATE TABLE … AS has made, before its rows are in it.
#[derive(Debug, Clone)]
pub struct CreatedTable {
    /// Name as it was written out in full.
    pub path: TablePath,
    /// Its catalog.
    pub catalog: Arc<dyn LakeCatalog>,
    /// As it was made.
    pub table: LakeTable,
}

/// Folders for rows that do not fit into memory (`io.tmp.dirs`), in the session configuration's extensions; none: the system's.
#[derive(Debug, Clone, Default)]
pub struct SpillTo(pub Vec<PathBuf>);

/// Settings of a job, from SET, with Weir's defaults.
#[derive(Debug, Clone)]
pub struct JobSettings {
    /// `pipeline.name`; the job file's stem by default.
    pub name: String,
    /// Whether the name was defaulted (warns).
    pub name_defaulted: bool,
    /// `execution.checkpointing.interval`, default 10 s.
    pub interval: Duration,
    /// `execution.checkpointing.dir` as a URI; `.weir/checkpoints` beside the job file by default.
    pub checkpoint_dir: String,
    /// Whether the directory was defaulted (warns).
    pub checkpoint_dir_defaulted: bool,
    /// `execution.checkpointing.timeout`, default 10 min: deadline of an epoch's checkpoint and commit.
    pub timeout: Duration,
    /// `execution.checkpointing.num-retained`, default 3.
    pub retained: usize,
    /// `parallelism.default`, default the cores of the process.
    pub parallelism: usize,
    /// Every SET key and value, for what has no field here.
    pub properties: BTreeMap<String, String>,
}

/// A streaming job: what `weir run` runs.
#[derive(Debug, Clone)]
pub struct JobPlan {
    /// Settings.
    pub settings: JobSettings,
    /// Sources, each read once however many queries use it.
    pub sources: Vec<StreamTable>,
    /// INSERTs in order of the file.
    pub inserts: Vec<PlannedInsert>,
    /// The table that the statement has made for its rows; it goes if they do not come.
    pub created: Option<CreatedTable>,
    /// The session that planned it: functions, configuration; physical plans are made from it, anew for each epoch.
    pub state: SessionState,
}

/// A batch query, planned and optimised.
#[derive(Debug, Clone)]
pub struct QueryPlan {
    /// Plan.
    pub plan: LogicalPlan,
    /// Columns of the result.
    pub schema: SchemaRef,
    /// The session that planned it.
    pub state: SessionState,
}
