//! The events that Debezium, Canal, Maxwell and GoldenGate document, and the rows that they are; what is no change, and what is a bad one.

use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use arrow_cast::display::array_value_to_string;
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use proptest::prelude::*;
use weir_base::options::{OptionBag, Problems};

use super::{ChangeFactory, ROW_KIND, canal, debezium, maxwell, ogg};
use crate::format::{Decoded, Decoder, Format, FormatFactory};

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect::<Vec<_>>()))
}

fn open(factory: ChangeFactory, schema: &SchemaRef, options: &[(&str, &str)]) -> Result<Box<dyn Format>, Problems> {
    let mut bag = OptionBag::new("Table 'c.d.t'");
    for (key, value) in options {
        bag.insert(format!("f.{key}"), *value, None);
    }
    let format = factory.open("f.", &mut bag, schema);
    bag.finish("kafka", &[], &[]).map(|_| format.expect("no problem, so there is a format"))
}

/// A decoder of `columns`, the kind of each row last.
fn decoder(factory: ChangeFactory, columns: &[(&str, DataType)], options: &[(&str, &str)]) -> Box<dyn Decoder> {
    let declared = schema(columns);
    let kind = Field::new(ROW_KIND, DataType::Utf8, false);
    let wanted = declared.fields().iter().map(|field| Field::clone(field)).chain([kind]).collect::<Vec<_>>();
    open(factory, &declared, options).expect("format").decoder(&Arc::new(Schema::new(wanted)))
}

/// Each row as its kind and its values.
fn shown(batch: &RecordBatch) -> Vec<String> {
    let value =
        |column: &Arc<dyn Array>, row| if column.is_null(row) { "NULL".to_owned() } else { array_value_to_string(column, row).expect("display") };
    let line = |row| {
        let kind = value(batch.columns().last().expect("kind"), row);
        let values: Vec<String> = batch.columns().iter().take(batch.num_columns() - 1).map(|column| value(column, row)).collect();
        format!("{kind} {}", values.join(" "))
    };
    (0..batch.num_rows()).map(line).collect()
}

/// The rows of `messages`, none of which is bad.
fn rows(factory: ChangeFactory, columns: &[(&str, DataType)], options: &[(&str, &str)], messages: &[&str]) -> Vec<String> {
    let mut decoder = decoder(factory, columns, options);
    let mut rows = 0;
    for message in messages {
        rows += match decoder.push(message.as_bytes()) {
            Decoded::Row => 1,
            Decoded::Rows(rows) => rows,
            Decoded::Nothing => 0,
            other => panic!("{message}: {other:?}"),
        };
        assert_eq!(decoder.rows(), rows);
    }
    shown(&decoder.take().expect("batch"))
}

/// Why `message` is bad.
fn reason(factory: ChangeFactory, columns: &[(&str, DataType)], message: &str) -> String {
    let mut decoder = decoder(factory, columns, &[]);
    let Decoded::Failed(bad) = decoder.push(message.as_bytes()) else { panic!("{message}") };
    assert_eq!(decoder.take().expect("batch").num_rows(), 0, "a bad message leaves nothing");
    bad.located()
}

fn customers() -> Vec<(&'static str, DataType)> {
    vec![("id", DataType::Int64), ("first_name", DataType::Utf8), ("email", DataType::Utf8)]
}

/// An event of the MySQL connector, as its documentation shows them.
fn debezium_event(before: &str, after: &str, op: &str) -> String {
    format!(
        r#"{{"before":{before},"after":{after},"source":{{"version":"2.7.3.Final","connector":"mysql","name":"mysql-server-1","ts_ms":1465581029100,"ts_us":1465581029100000,"snapshot":"false","db":"inventory","sequence":null,"table":"customers","server_id":223344,"gtid":null,"file":"mysql-bin.000003","pos":484,"row":0,"thread":7,"query":"UPDATE customers SET first_name='Anne Marie' WHERE id=1004"}},"transaction":{{"id":"mysql-bin.000003:484","total_order":1,"data_collection_order":1}},"op":"{op}","ts_ms":1465581029523}}"#
    )
}

const ANNE: &str = r#"{"id":1004,"first_name":"Anne","last_name":"Kretchmar","email":"annek@noanswer.org"}"#;
const ANNE_MARIE: &str = r#"{"id":1004,"first_name":"Anne Marie","last_name":"Kretchmar","email":"annek@noanswer.org"}"#;

#[test]
fn debezium_events_are_rows_with_their_kinds() {
    let messages = [
        debezium_event("null", ANNE, "r"),
        debezium_event("null", ANNE, "c"),
        debezium_event(ANNE, ANNE_MARIE, "u"),
        debezium_event(ANNE_MARIE, "null", "d"),
    ];
    let expected = [
        "+I 1004 Anne annek@noanswer.org",
        "+I 1004 Anne annek@noanswer.org",
        "-U 1004 Anne annek@noanswer.org",
        "+U 1004 Anne Marie annek@noanswer.org",
        "-D 1004 Anne Marie annek@noanswer.org",
    ];
    assert_eq!(rows(debezium(), &customers(), &[], &messages.each_ref().map(String::as_str)), expected);
    let wrapped =
        messages.each_ref().map(|message| format!(r#"{{"schema":{{"type":"struct","fields":[{{"field":"before"}}]}},"payload":{message}}}"#));
    assert_eq!(rows(debezium(), &customers(), &[("schema-include", "true")], &wrapped.each_ref().map(String::as_str)), expected);
}

#[test]
fn what_a_large_change_takes_in_the_columns_is_known_at_once() {
    let list = DataType::List(Arc::new(Field::new("element", DataType::Int64, true)));
    let mut decoder = decoder(debezium(), &[("a", list)], &[]);
    let small = debezium_event("null", r#"{"a":[]}"#, "c");
    let large = debezium_event("null", &format!(r#"{{"a":[{}]}}"#, vec!["1"; 10_000].join(",")), "c");
    assert_eq!((decoder.push(small.as_bytes()), decoder.push(large.as_bytes())), (Decoded::Row, Decoded::Row));
    assert!(decoder.bytes() >= 80_000, "{}", decoder.bytes());
}

#[test]
fn what_debezium_says_of_schemas_transactions_and_tombstones_is_no_row() {
    let messages = [
        // A tombstone, without and with a schema around it.
        "null",
        // A change of the schema.
        r#"{"source":{"connector":"mysql","db":"inventory","table":"customers"},"ts_ms":1691555793911,"databaseName":"inventory","schemaName":null,"ddl":"ALTER TABLE customers ADD middle_name varchar(2000)","tableChanges":[{"type":"ALTER","id":"\"inventory\".\"customers\"","table":{"defaultCharsetName":"utf8mb4","primaryKeyColumnNames":["id"],"columns":[]}}]}"#,
        // The borders of a transaction.
        r#"{"status":"BEGIN","id":"0e4d5dcd-a33b-11ed-80f1-02010a22a99e:10","ts_ms":1486500577125,"event_count":null,"data_collections":null}"#,
        r#"{"status":"END","id":"0e4d5dcd-a33b-11ed-80f1-02010a22a99e:10","ts_ms":1486500577691,"event_count":2,"data_collections":[{"data_collection":"s1.a","event_count":1}]}"#,
        // A message that was written into the log of PostgreSQL.
        r#"{"op":"m","ts_ms":1723115240065,"source":{"connector":"postgresql"},"message":{"prefix":"foo","content":"Ymfy"}}"#,
    ];
    assert_eq!(rows(debezium(), &customers(), &[], &messages), [""; 0]);
    assert_eq!(rows(debezium(), &customers(), &[("schema-include", "true")], &[r#"{"schema":null,"payload":null}"#]), [""; 0]);
}

#[test]
fn debezium_events_that_are_no_changes_say_why() {
    let why = |message: &str| reason(debezium(), &customers(), message);
    let hint = "please check the Postgres table has been set REPLICA IDENTITY to FULL level";
    assert!(why(&debezium_event("null", ANNE, "u")).starts_with("The \"before\" field of \"UPDATE\" message is null, if you are using"));
    assert!(why(&debezium_event("null", "null", "d")).ends_with(hint));
    assert_eq!(why(&debezium_event("null", "null", "c")), "the message has no \"after\"");
    assert_eq!(why(&debezium_event("null", "null", "x")), "unknown \"op\" value 'x'");
    assert_eq!(why(&debezium_event("null", "null", "t")), "the table was truncated, which cannot be told as changes of its rows");
    assert_eq!(why("{}"), "there is no \"op\", which says what happened");
    assert_eq!(why(&debezium_event("null", r#"{"id":"x"}"#, "c")), "column 'after.id': 'x' is not a number");
    assert_eq!(why(&format!(r#"{{"schema":{{}},"payload":{}}}"#, debezium_event("null", ANNE, "c"))), "there is no \"op\", which says what happened");
}

#[test]
fn canal_messages_hold_several_rows_and_only_what_has_changed() {
    let products = [("id", DataType::Int32), ("name", DataType::Utf8), ("description", DataType::Utf8), ("weight", DataType::Float64)];
    let message = |kind: &str, data: &str, old: &str, database: &str| {
        format!(
            r#"{{"data":{data},"database":"{database}","es":1589373560000,"id":9,"isDdl":false,"mysqlType":{{"id":"INTEGER","name":"VARCHAR(255)","description":"VARCHAR(512)","weight":"FLOAT"}},"old":{old},"pkNames":["id"],"sql":"","sqlType":{{"id":4,"name":12,"description":12,"weight":7}},"table":"products","ts":1589373560798,"type":"{kind}"}}"#
        )
    };
    let (scooter, jacket) = (
        r#"{"id":"111","name":"scooter","description":"Big 2-wheel scooter","weight":"5.18"}"#,
        r#"{"id":"112","name":"jacket","description":null,"weight":"0.2"}"#,
    );
    let ddl = r#"{"data":null,"database":"inventory","es":1589373515000,"id":4,"isDdl":true,"mysqlType":null,"old":null,"pkNames":null,"sql":"ALTER TABLE products ADD c INT","sqlType":null,"table":"products","ts":1589373515477,"type":"ALTER"}"#;
    let messages = [
        ddl.to_owned(),
        message("INSERT", &format!("[{scooter},{jacket}]"), "null", "inventory"),
        message("UPDATE", &format!("[{scooter},{jacket}]"), r#"[{"weight":"5.15"},{"description":"water resistent","weight":null}]"#, "inventory"),
        message("DELETE", &format!("[{jacket}]"), "null", "inventory"),
        message("INSERT", &format!("[{scooter}]"), "null", "elsewhere"),
    ];
    let expected = [
        "+I 111 scooter Big 2-wheel scooter 5.18",
        "+I 112 jacket NULL 0.2",
        "-U 111 scooter Big 2-wheel scooter 5.15",
        "+U 111 scooter Big 2-wheel scooter 5.18",
        "-U 112 jacket water resistent NULL",
        "+U 112 jacket NULL 0.2",
        "-D 112 jacket NULL 0.2",
    ];
    let options = [("database.include", "inv.*"), ("table.include", "products|orders")];
    assert_eq!(rows(canal(), &products, &options, &messages.each_ref().map(String::as_str)), expected);
    let why = |message: &str| reason(canal(), &products, message);
    assert_eq!(why(&message("UPDATE", &format!("[{scooter}]"), "null", "d")), "The \"old\" field of \"UPDATE\" message is null");
    assert_eq!(why(&message("UPDATE", &format!("[{scooter}]"), "[{},{}]", "d")), "the message has no \"data\"");
    assert_eq!(why(&message("INSERT", "null", "null", "d")), "the message has no \"data\"");
    assert_eq!(why(&message("TRUNCATE", "null", "null", "d")), "the table was truncated, which cannot be told as changes of its rows");
    assert_eq!(why(&message("REPLACE", "null", "null", "d")), "unknown \"type\" value 'REPLACE'");
    assert_eq!(why(&message("INSERT", r#"[{"id":"1"},{"id":"x"}]"#, "null", "d")), "column 'data[1].id': 'x' is not a number");
    let text = open(canal(), &schema(&products), &[("table.include", "a(")]).expect_err("no pattern").to_string();
    assert!(text.contains("Invalid value for option 'f.table.include': 'a(' is not a regular expression"), "{text}");
}

#[test]
fn maxwell_messages_are_rows_and_those_about_schemas_and_bootstraps_are_not() {
    let columns = [
        ("id", DataType::Int64),
        ("m", DataType::Decimal128(10, 4)),
        ("c", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ("comment", DataType::Utf8),
    ];
    let messages = [
        r#"{"database":"test","table":"e","type":"insert","ts":1477053217,"xid":23396,"commit":true,"position":"master.000006:800911","server_id":23042,"thread_id":108,"primary_key":[1,"2016-10-21 05:33:37.523000"],"primary_key_columns":["id","c"],"data":{"id":1,"m":4.2341,"c":"2016-10-21 05:33:37.523000","comment":"I am a creature of light."}}"#,
        r#"{"database":"test","table":"e","type":"update","ts":1477053234,"xid":23397,"xoffset":1,"data":{"id":1,"m":5.444,"c":"2016-10-21 05:33:54.631000","comment":null},"old":{"m":4.2341,"c":"2016-10-21 05:33:37.523000","comment":"I am a creature of light."}}"#,
        r#"{"database":"test","table":"e","type":"update","ts":1477053235,"xid":23398,"commit":true,"data":{"id":1,"m":5.444,"c":null,"comment":"x"},"old":{"comment":null}}"#,
        r#"{"database":"test","table":"e","type":"delete","ts":1477053236,"xid":23399,"commit":true,"data":{"id":1,"m":5.444,"c":null,"comment":"x"}}"#,
        r#"{"type":"table-create","database":"test","table":"e","def":{"database":"test","charset":"utf8mb4","table":"e","columns":[{"type":"bigint","name":"id","signed":true}],"primary-key":["id"]},"ts":1477053126000,"sql":"create table test.e ( ... )","position":"master.000006:800050"}"#,
        r#"{"type":"database-drop","database":"test","ts":1477053126552,"sql":"drop database test"}"#,
        r#"{"database":"test","table":"e","type":"bootstrap-start","ts":1450557744,"data":{}}"#,
        r#"{"database":"test","table":"e","type":"bootstrap-insert","ts":1450557744,"data":{"id":7,"comment":"boots"}}"#,
        r#"{"database":"test","table":"e","type":"bootstrap-complete","ts":1450557744,"data":{}}"#,
    ];
    let expected = [
        "+I 1 4.2341 2016-10-21T05:33:37.523 I am a creature of light.",
        "-U 1 4.2341 2016-10-21T05:33:37.523 I am a creature of light.",
        "+U 1 5.4440 2016-10-21T05:33:54.631 NULL",
        "-U 1 5.4440 NULL NULL",
        "+U 1 5.4440 NULL x",
        "-D 1 5.4440 NULL x",
        "+I 7 NULL NULL boots",
    ];
    assert_eq!(rows(maxwell(), &columns, &[], &messages), expected);
    assert_eq!(reason(maxwell(), &columns, r#"{"type":"update","data":{"id":1}}"#), "The \"old\" field of \"UPDATE\" message is null");
    assert_eq!(reason(maxwell(), &columns, r#"{"type":"upsert","data":{"id":1}}"#), "unknown \"type\" value 'upsert'");
}

#[test]
fn golden_gate_messages_are_rows() {
    let columns = [("id", DataType::Int64), ("name", DataType::Utf8), ("weight", DataType::Float64)];
    let message = |op: &str, rows: &str| {
        format!(
            r#"{{"table":"GG.PRODUCTS","op_type":"{op}","op_ts":"2020-05-13 13:39:35.766000","current_ts":"2020-05-13 13:39:35.766000","pos":"00000000000000000000143","tokens":{{"txid":"0.1"}},"primary_keys":["id"],{rows}}}"#
        )
    };
    let messages = [
        message("I", r#""before":null,"after":{"id":111,"name":"scooter","description":"Big 2-wheel scooter","weight":5.15}"#),
        message("U", r#""before":{"id":111,"name":"scooter","weight":5.15},"after":{"id":111,"name":"scooter","weight":5.18}"#),
        message("D", r#""before":{"id":111,"name":"scooter","weight":5.18},"after":null"#),
    ];
    let expected = ["+I 111 scooter 5.15", "-U 111 scooter 5.15", "+U 111 scooter 5.18", "-D 111 scooter 5.18"];
    assert_eq!(rows(ogg(), &columns, &[], &messages.each_ref().map(String::as_str)), expected);
    let why = |op: &str, rows: &str| reason(ogg(), &columns, &message(op, rows));
    assert_eq!(why("U", r#""after":{"id":1}"#), "The \"before\" field of \"UPDATE\" message is null");
    assert_eq!(why("D", r#""before":null"#), "The \"before\" field of \"DELETE\" message is null");
    assert_eq!(why("T", r#""before":null"#), "the table was truncated, which cannot be told as changes of its rows");
}

#[test]
fn tolerance_skips_bad_events_and_reads_bad_fields_as_null() {
    let mut decoder = decoder(debezium(), &customers(), &[("ignore-parse-errors", "true")]);
    assert!(
        matches!(decoder.push(debezium_event("null", ANNE, "u").as_bytes()), Decoded::Skipped(bad) if bad.tolerated_by.as_deref() == Some("f.ignore-parse-errors"))
    );
    assert_eq!(decoder.push(debezium_event("null", r#"{"id":"x","first_name":"A"}"#, "c").as_bytes()), Decoded::Row);
    assert_eq!(shown(&decoder.take().expect("batch")), ["+I NULL A NULL"]);
    assert_eq!(decoder.field_errors(), 1);
}

#[test]
fn rows_without_any_column_are_counted() {
    let declared = schema(&customers());
    let mut decoder = open(debezium(), &declared, &[]).expect("format").decoder(&Arc::new(Schema::empty()));
    assert_eq!(decoder.push(debezium_event(ANNE, ANNE_MARIE, "u").as_bytes()), Decoded::Rows(2));
    assert_eq!(decoder.take().expect("batch").num_rows(), 2);
}

proptest! {
    /// Each row before an update is the one after the last change of its key, whatever the updates touch and where batches end.
    #[test]
    fn partial_rows_before_an_update_are_completed(changes in prop::collection::vec((0_i64..3, any::<[bool; 2]>(), any::<[Option<u8>; 2]>(), any::<bool>()), 1..40)) {
        let columns = [("k", DataType::Int64), ("a", DataType::Int64), ("b", DataType::Int64)];
        let mut decoder = decoder(maxwell(), &columns, &[]);
        let text = |value: Option<u8>| value.map_or("null".to_owned(), |value| value.to_string());
        let line = |kind: &str, key: i64, values: [Option<u8>; 2]| format!("{kind} {key} {}", values.map(|value| value.map_or("NULL".to_owned(), |value| value.to_string())).join(" "));
        let mut state = [[None; 2]; 3];
        let (mut found, mut expected) = (Vec::new(), Vec::new());
        for (key, touched, values, ends) in changes {
            let slot = usize::try_from(key).expect("small");
            let before = state[slot];
            for column in 0..2 {
                if touched[column] {
                    state[slot][column] = values[column];
                }
            }
            let old: Vec<String> = (0..2).filter(|column| touched[*column]).map(|column| format!(r#""{}":{}"#, ["a", "b"][column], text(before[column]))).collect();
            let message = format!(r#"{{"type":"update","data":{{"k":{key},"a":{},"b":{}}},"old":{{{}}}}}"#, text(state[slot][0]), text(state[slot][1]), old.join(","));
            prop_assert_eq!(decoder.push(message.as_bytes()), Decoded::Rows(2));
            expected.push(line("-U", key, before));
            expected.push(line("+U", key, state[slot]));
            if ends {
                found.extend(shown(&decoder.take().expect("batch")));
            }
        }
        found.extend(shown(&decoder.take().expect("batch")));
        prop_assert_eq!(found, expected);
    }
}
