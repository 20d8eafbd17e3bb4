//! Connectors that have the options and metadata of real ones and move no rows.

use std::sync::Arc;

use arrow_array::{RecordBatch, UInt64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::logical_expr::Expr;
use weir_base::memory::MemoryBudget;
use weir_base::options::{OptionBag, OptionDecl, Problem, Problems, ValueType};
use weir_connectors::ConnectorError;
use weir_connectors::batch::BatchTable;
use weir_connectors::iceberg::ROW_KIND;
use weir_connectors::lookup::{Ability, Charge, Found, Keys, LOOKUP_OPTIONS, Lookup, LookupOptions, LookupParts, Newest, columns_of};
use weir_connectors::registry::{Connector, MetadataKey, Opened, Registry, Role};
use weir_connectors::sink::{Distribution, SinkCommitter, SinkWriter, StreamSink, WriterContext};
use weir_connectors::source::{Cut, SplitEnumerator, SplitId, SplitPosition, SplitReader, StreamSource};
use weir_connectors::table::{ColumnDef, ColumnKind, TableDef, TablePath};
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

/// `kafka` (source; of changes, with the format `debezium-json`), `filesystem` and `print` (sinks, by their primary key), `kv` (a lookup table whose key is its first column).
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

    fn narrowed(&self, columns: &[usize], _filters: &[Expr]) -> Arc<dyn Lookup> {
        Arc::new(Self { schema: columns_of(&self.schema, columns) })
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
        let changes = table.options.peek("format") == Some("debezium-json");
        let kind = changes.then(|| Arc::new(Field::new(ROW_KIND, DataType::Utf8, false)));
        let fields: Vec<_> = table.source_schema().fields().iter().cloned().chain(kind).collect();
        Ok(Opened { value: Arc::new(FakeSource { schema: Arc::new(Schema::new(fields)), bounded, changes }), warnings })
    }

    fn scan(&self, table: &TableDef, _file_systems: &FileSystems) -> Result<Opened<Arc<dyn BatchTable>>, Problems> {
        Err(Problem::new("CON-002", table.options.object(), "No scan.").into())
    }

    fn sink(&self, table: &TableDef, _file_systems: &FileSystems) -> Result<Opened<Arc<dyn StreamSink>>, Problems> {
        let warnings = self.check(table)?;
        let schema = table.sink_schema();
        let key = table.primary_key.iter().map(|name| schema.index_of(name).expect("a column")).collect();
        Ok(Opened { value: Arc::new(FakeSink { schema, key }), warnings })
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
    /// It has a column of kinds.
    changes: bool,
}

#[async_trait]
impl StreamSource for FakeSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn row_kind(&self) -> Option<&'static str> {
        self.changes.then_some(ROW_KIND)
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
    /// The primary key.
    key: Vec<usize>,
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

    fn key(&self) -> Vec<usize> {
        self.key.clone()
    }

    fn writer(&self, _context: WriterContext) -> Result<Box<dyn SinkWriter>, ConnectorError> {
        Err(ConnectorError::internal("a fake writes nothing"))
    }

    fn committer(&self) -> Option<Arc<dyn SinkCommitter>> {
        None
    }
}

/// What Redis is told of a table, and the columns of the target by which a row takes the place of another.
#[test]
fn redis_puts_rows_by_its_key_and_the_part_of_it_wherever_the_column_of_kinds_stands() {
    let column = |name: &str| ColumnDef {
        name: name.to_owned(),
        data_type: if name == "score" { DataType::Float64 } else { DataType::Utf8 },
        nullable: true,
        kind: match name {
            "kind" => ColumnKind::Metadata { key: "row-kind".to_owned(), virtual_column: false },
            _ => ColumnKind::Physical,
        },
        sql_type: if name == "score" { "DOUBLE" } else { "STRING" }.to_owned(),
        comment: None,
    };
    let cases: [(&str, &[&str], &[usize]); 6] = [
        ("set", &["k", "v"], &[0]),
        ("set", &["kind", "k", "v"], &[1]),
        ("hmset", &["k", "kind", "v"], &[0]),
        ("hset", &["k", "kind", "f", "v"], &[0, 2]),
        ("hset", &["k", "f", "v", "kind"], &[0, 1]),
        ("zadd", &["kind", "k", "score", "m"], &[1, 3]),
    ];
    for (command, columns, key) in cases {
        let mut options = OptionBag::new("Table 'c.d.t'");
        for (key, value) in [("connector", "redis"), ("host", "h"), ("command", command)] {
            options.insert(key, value, None);
        }
        let path = TablePath { catalog: "c".to_owned(), database: "d".to_owned(), table: "t".to_owned() };
        let table = TableDef { path, columns: columns.iter().map(|name| column(name)).collect(), primary_key: Vec::new(), options };
        let registry = weir_connectors::registry();
        let sink = registry.of(&table).and_then(|redis| redis.sink(&table, &FileSystems::default())).expect("a sink").value;
        assert_eq!(sink.key(), key, "{command} {columns:?}");
    }
}
