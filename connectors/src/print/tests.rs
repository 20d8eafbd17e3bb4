//! The print connector as a whole.

use std::io;
use std::sync::{Arc, Mutex};

use arrow_array::{Int64Array, RecordBatch, StringArray};
use weir_base::memory::MemoryBudget;

use super::{Out, Print, PrintConnector, settings};
use crate::registry::{Connector, Role};
use crate::sink::{IntentLog, StreamSink, WriterContext};
use crate::table::{ColumnDef, ColumnKind, TableDef, TablePath};
use crate::{ConnectorError, registry};
use arrow_schema::DataType;
use weir_base::options::OptionBag;

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("lock").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct NoFiles;

#[async_trait::async_trait]
impl IntentLog for NoFiles {
    async fn record(&self, _paths: &[String]) -> Result<(), ConnectorError> {
        Err(ConnectorError::internal("print makes no files"))
    }
}

fn table(options: &[(&str, &str)]) -> TableDef {
    let mut bag = OptionBag::new("Table 'c.d.t'");
    for (key, value) in options {
        bag.insert(*key, *value, None);
    }
    let column = |name: &str, data_type| ColumnDef {
        name: name.to_owned(),
        data_type,
        nullable: true,
        kind: ColumnKind::Physical,
        sql_type: String::new(),
        comment: None,
    };
    let path = TablePath { catalog: "c".to_owned(), database: "d".to_owned(), table: "t".to_owned() };
    TableDef { path, columns: vec![column("a", DataType::Int64), column("b", DataType::Utf8)], primary_key: vec![], options: bag }
}

fn context(partition: usize, partitions: usize) -> WriterContext {
    WriterContext {
        job: "j".to_owned(),
        sink: "s".to_owned(),
        epoch: 1,
        attempt: "a".to_owned(),
        partition,
        partitions,
        budget: MemoryBudget::new(1_000),
        intents: Arc::new(NoFiles),
    }
}

#[tokio::test]
async fn rows_are_printed_as_flink_prints_them() {
    let buffer = Buffer::default();
    let schema = table(&[]).sink_schema();
    let columns: Vec<arrow_array::ArrayRef> = vec![Arc::new(Int64Array::from(vec![Some(1), None])), Arc::new(StringArray::from(vec!["x, y", ""]))];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).expect("batch");
    for (identifier, partitions) in [(None, 1), (Some("id"), 1), (Some("id"), 3), (None, 3)] {
        let sink = Print { schema: Arc::clone(&schema), identifier: identifier.map(str::to_owned), out: Out::new(Box::new(buffer.clone())) };
        let mut writer = sink.writer(context(partitions - 1, partitions)).expect("writer");
        writer.write(batch.clone()).await.expect("written");
        assert!(writer.finish().await.expect("finished").is_empty(), "nothing waits for a commit");
    }
    let text = String::from_utf8(buffer.0.lock().expect("lock").clone()).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    let expected = [
        "+I[1, x, y]",
        "+I[null, ]",
        "id> +I[1, x, y]",
        "id> +I[null, ]",
        "id:3> +I[1, x, y]",
        "id:3> +I[null, ]",
        "3> +I[1, x, y]",
        "3> +I[null, ]",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn options_are_checked_all_together() {
    let opened =
        settings(&table(&[("connector", "print"), ("print-identifier", "x"), ("standard-error", "TRUE"), ("sink.parallelism", "2")])).expect("fine");
    assert_eq!((opened.value.identifier.as_deref(), opened.value.standard_error), (Some("x"), true));
    assert_eq!(opened.warnings.iter().map(|warning| warning.code).collect::<Vec<_>>(), ["OPT-008"]);
    let problems = settings(&table(&[("connector", "print"), ("standard-eror", "true"), ("standard-error", "yes"), ("sink.parallelism", "0")]));
    let text = problems.expect_err("three problems").to_string();
    for part in [
        "[OPT-003] Table 'c.d.t': Invalid value for option 'standard-error': 'yes' is not a boolean.",
        "[OPT-007] Table 'c.d.t': 'sink.parallelism' must be >= 1, but is 0.",
        "[OPT-001] Table 'c.d.t': Unsupported options found for 'print': 'standard-eror'.\n  Did you mean 'standard-error'?",
    ] {
        assert!(text.contains(part), "{part}\nnot in\n{text}");
    }
}

#[test]
fn every_connector_is_found_by_its_name_and_declares_each_option_once() {
    let registry = registry();
    for connector in registry.iter() {
        let found = registry.of(&table(&[("connector", connector.name())])).expect("found");
        assert_eq!(found.name(), connector.name());
        let mut keys: Vec<&str> = connector.options().iter().map(|option| option.key).collect();
        assert!(keys.contains(&"connector"), "{}", connector.name());
        keys.sort_unstable();
        assert!(keys.windows(2).all(|pair| pair[0] != pair[1]), "{keys:?}");
    }
    let text = registry.of(&table(&[("connector", "pirnt")])).expect_err("unknown").to_string();
    assert!(text.contains("[CON-001] Table 'c.d.t': Cannot discover a connector using option 'connector'='pirnt'. Did you mean 'print'?"), "{text}");
    let reading = registry.for_role(&table(&[("connector", "print")]), Role::Scan).expect_err("a sink").to_string();
    assert!(reading.contains("[CON-002] Table 'c.d.t': Connector 'print' can only be used as a sink. It cannot be used as a source."), "{reading}");
    assert!(!PrintConnector.supports(Role::Source));
}
