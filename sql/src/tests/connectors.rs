//! Connectors that have the options and metadata of real ones and move no rows.

use std::sync::Arc;

use arrow_array::{RecordBatch, UInt64Array};
use arrow_schema::{DataType, SchemaRef, TimeUnit};
use async_trait::async_trait;
use weir_base::memory::MemoryBudget;
use weir_base::options::{OptionDecl, Problem, Problems, ValueType};
use weir_connectors::ConnectorError;
use weir_connectors::batch::BatchTable;
use weir_connectors::lookup::{Ability, Charge, Found, Keys, LOOKUP_OPTIONS, Lookup, LookupOptions, LookupParts, Newest};
use weir_connectors::registry::{Connector, MetadataKey, Opened, Registry, Role};
use weir_connectors::sink::{Distribution, SinkCommitter, SinkWriter, StreamSink, WriterContext};
use weir_connectors::source::{Cut, SplitEnumerator, SplitId, SplitPosition, SplitReader, StreamSource};
use weir_connectors::table::TableDef;
use weir_fs::FileSystems;

const MODES: ValueType = ValueType::Enum(&["earliest-offset", "latest-offset", "group-offsets", "timestamp", "specific-offsets"]);
const KAFKA: &[OptionDecl] = &[
    OptionDecl::new("connector", ValueType::String, "Name of the connector.").required(),
    OptionDecl::new("topic", ValueType::List, "Topics."),
    OptionDecl::new("topic-pattern", ValueType::String, "Pattern of topics."),
    OptionDecl::new("properties.bootstrap.servers", ValueType::String, "Brokers.").required(),
    OptionDecl::new("properties.*", ValueType::String, "Client options."),
    OptionDecl::new("format", ValueType::String, "Format of values."),
    OptionDecl::new("value.format", ValueType::String, "Format of values."),
    OptionDecl::new("value.json.ignore-parse-errors", ValueType::Boolean, "Tolerates bad messages."),
    OptionDecl::new("scan.startup.mode", MODES, "Start.").default("group-offsets"),
    OptionDecl::new("scan.startup.timestamp-millis", ValueType::Integer { min: 0, max: i64::MAX }, "Start time."),
    OptionDecl::new("scan.bounded.mode", ValueType::Enum(&["unbounded", "latest-offset"]), "End.").default("unbounded"),
    OptionDecl::new("lookup.async.batch.linger", ValueType::Duration, "Wait for a batch."),
    OptionDecl::new("auto-compact", ValueType::Boolean, "Compaction."),
    OptionDecl::new("compact.delta.commits", ValueType::Integer { min: 1, max: i64::MAX }, "Commits between compactions."),
    OptionDecl::new("lookup.partial-cache.expire-after-write", ValueType::Duration, "Life of an entry.").deprecated(&["lookup.cache.ttl"]),
];
const KV: &[OptionDecl] = LOOKUP_OPTIONS;
const NOTHING: &[OptionDecl] = &[OptionDecl::new("connector", ValueType::String, "Name of the connector.").required()];
const FILES: &[OptionDecl] = &[
    OptionDecl::new("connector", ValueType::String, "Name of the connector.").required(),
    OptionDecl::new("auto-compaction", ValueType::Boolean, "Merges files."),
];

/// `kafka` (source), `filesystem` and `print` (sinks), `kv` (a lookup table whose key is its first column).
pub(super) fn registry() -> Arc<Registry> {
    Arc::new(Registry::new(vec![
        Arc::new(Fake { name: "kafka", options: KAFKA, role: Role::Source }),
        Arc::new(Fake { name: "filesystem", options: FILES, role: Role::Sink }),
        Arc::new(Fake { name: "print", options: NOTHING, role: Role::Sink }),
        Arc::new(Fake { name: "kv", options: KV, role: Role::Lookup }),
    ]))
}

#[derive(Debug)]
struct Fake {
    name: &'static str,
    options: &'static [OptionDecl],
    role: Role,
}

impl Fake {
    fn check(&self, table: &TableDef) -> Result<Vec<Problem>, Problems> {
        const COMPACT: &[OptionDecl] = &[OptionDecl::new("auto-compact", ValueType::Boolean, "Compaction.")];
        let mut bag = table.options.fresh();
        for decl in self.options {
            match decl.ty {
                _ if decl.key.contains('*') => drop(bag.prefixed("properties.")),
                ValueType::Boolean => drop(bag.boolean(decl)),
                ValueType::Integer { .. } => drop(bag.integer(decl)),
                ValueType::Duration => drop(bag.duration(decl)),
                ValueType::Enum(_) => drop(bag.choice(decl)),
                ValueType::List => drop(bag.list(decl)),
                ValueType::String | ValueType::Double | ValueType::MemorySize => drop(bag.string(decl)),
            }
        }
        if bag.contains("topic") && bag.contains("topic-pattern") {
            bag.error("OPT-006", "topic", "Option 'topic' and 'topic-pattern' shouldn't be set together.");
        }
        if bag.peek("scan.startup.mode") == Some("timestamp") && !bag.contains("scan.startup.timestamp-millis") {
            bag.error("OPT-005", "scan.startup.mode", "'scan.startup.timestamp-millis' is required in 'timestamp' startup mode but missing.");
        }
        if bag.contains("compact.delta.commits") && bag.peek("auto-compact") == Some("false") {
            bag.warn("OPT-008", "compact.delta.commits", "'compact.delta.commits' has no effect because 'auto-compact' is 'false'.");
        }
        bag.finish(self.name, &self.options.iter().collect::<Vec<_>>(), &[("iceberg", COMPACT)])
    }
}

/// A lookup table that answers nothing.
#[derive(Debug)]
struct FakeLookup {
    schema: SchemaRef,
}

#[async_trait]
impl Lookup for FakeLookup {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn keys(&self, equal: &[usize]) -> Result<Vec<usize>, String> {
        if equal.contains(&0) { Ok(vec![0]) } else { Err("it is looked up by its first column.".to_owned()) }
    }

    async fn get(&self, _keys: &Keys) -> Result<Found, ConnectorError> {
        Err(ConnectorError::internal("a fake has no rows"))
    }

    async fn load(&self, _parallelism: usize, _known: Option<&str>, _charge: Charge) -> Result<Newest, ConnectorError> {
        Err(ConnectorError::internal("a fake has no rows"))
    }
}

impl Connector for Fake {
    fn name(&self) -> &'static str {
        self.name
    }

    fn doc(&self) -> &'static str {
        "A fake for tests."
    }

    fn options(&self) -> &'static [OptionDecl] {
        self.options
    }

    fn metadata(&self) -> Vec<MetadataKey> {
        if self.role == Role::Sink {
            return Vec::new();
        }
        let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        vec![
            MetadataKey { key: "partition", data_type: DataType::Int32, writable: false, doc: "Partition." },
            MetadataKey { key: "offset", data_type: DataType::Int64, writable: false, doc: "Offset." },
            MetadataKey { key: "timestamp", data_type: time, writable: true, doc: "Time." },
        ]
    }

    fn supports(&self, role: Role) -> bool {
        self.role == role
    }

    fn source(&self, table: &TableDef, _file_systems: &FileSystems) -> Result<Opened<Arc<dyn StreamSource>>, Problems> {
        let warnings = self.check(table)?;
        let bounded = table.options.peek("scan.bounded.mode") == Some("latest-offset");
        Ok(Opened { value: Arc::new(FakeSource { schema: table.source_schema(), bounded }), warnings })
    }

    fn scan(&self, table: &TableDef, _file_systems: &FileSystems) -> Result<Opened<Arc<dyn BatchTable>>, Problems> {
        Err(Problem::new("CON-002", table.options.object(), "No scan.").into())
    }

    fn sink(&self, table: &TableDef, _file_systems: &FileSystems) -> Result<Opened<Arc<dyn StreamSink>>, Problems> {
        let warnings = self.check(table)?;
        Ok(Opened { value: Arc::new(FakeSink { schema: table.sink_schema() }), warnings })
    }

    fn lookup(&self, table: &TableDef, _file_systems: &FileSystems) -> Result<Opened<LookupParts>, Problems> {
        let mut bag = table.options.fresh();
        bag.string(&NOTHING[0]);
        let options = LookupOptions::pull(&mut bag, Ability { most_keys: 1_000, can_load: true, watch: None });
        let known: Vec<&OptionDecl> = NOTHING.iter().chain(KV).collect();
        let warnings = bag.finish(self.name, &known, &[])?;
        let lookup: Arc<dyn Lookup> = Arc::new(FakeLookup { schema: table.source_schema() });
        Ok(Opened { value: (lookup, options.expect("nothing is wrong")), warnings })
    }
}

#[derive(Debug)]
struct FakeSource {
    schema: SchemaRef,
    bounded: bool,
}

#[async_trait]
impl StreamSource for FakeSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn is_bounded(&self) -> bool {
        self.bounded
    }

    async fn enumerator(&self, _restored: Option<&Cut>) -> Result<Box<dyn SplitEnumerator>, ConnectorError> {
        Err(ConnectorError::internal("a fake has no splits"))
    }

    async fn reader(
        &self,
        _split: &SplitId,
        _from: &SplitPosition,
        _projection: &[usize],
        _budget: &MemoryBudget,
    ) -> Result<Box<dyn SplitReader>, ConnectorError> {
        Err(ConnectorError::internal("a fake has no splits"))
    }
}

#[derive(Debug)]
struct FakeSink {
    schema: SchemaRef,
}

#[async_trait]
impl StreamSink for FakeSink {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn distribution(&self) -> Distribution {
        Distribution::None
    }

    fn writers(&self) -> Option<usize> {
        None
    }

    fn route(&self, batch: &RecordBatch) -> Result<UInt64Array, ConnectorError> {
        Ok(UInt64Array::from(vec![0; batch.num_rows()]))
    }

    fn writer(&self, _context: WriterContext) -> Result<Box<dyn SinkWriter>, ConnectorError> {
        Err(ConnectorError::internal("a fake writes nothing"))
    }

    fn committer(&self) -> Option<Arc<dyn SinkCommitter>> {
        None
    }
}
