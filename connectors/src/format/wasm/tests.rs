//! What modules may say and do: answers as bytes, through a module that gives every message back; and modules that misbehave.

mod answers;
mod limits;

use std::sync::Arc;

use arrow_array::{Array as _, RecordBatch};
use arrow_cast::display::array_value_to_string;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use weir_base::options::{OptionBag, Problems};
use weir_fs::FileSystems;

use super::WasmFactory;
use crate::error::ConnectorError;
use crate::format::{Decoder, Format, FormatFactory};

/// What every module of the tests has: 16 pages of memory, messages at 65536.
const COMMON: &str = r#"
  (memory (export "memory") 16)
  (func (export "weir_abi_version") (result i32) i32.const 1)
  (func (export "weir_alloc") (param i32) (result i32) i32.const 65536)
  (func (export "weir_open") (param i32 i32) (result i64) i64.const 0)
  (func $echo (param $at i32) (param $size i32) (result i64)
    (i64.or (i64.shl (i64.extend_i32_u (local.get $at)) (i64.const 32)) (i64.extend_i32_u (local.get $size))))
"#;

/// A module whose `weir_decode` is `body`.
fn module(body: &str) -> String {
    format!("(module {COMMON} (func (export \"weir_decode\") (param $at i32) (param $size i32) (result i64) {body}))")
}

/// The module that gives every message back as its answer.
fn echo() -> String {
    module("(call $echo (local.get $at) (local.get $size))")
}

fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(fields.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect::<Vec<_>>()))
}

fn open(module: &str, options: &[(&str, &str)], schema: &SchemaRef) -> Result<Box<dyn Format>, Problems> {
    let mut bag = OptionBag::new("Table 'c.d.t'");
    bag.insert("wasm.module", module, None);
    for (key, value) in options {
        bag.insert(format!("wasm.{key}"), *value, None);
    }
    let format = WasmFactory.open("wasm.", &mut bag, schema);
    bag.finish("kafka", &[], &[]).map(|_| format.expect("no problem, so there is a format"))
}

/// Opens and prepares a format with the module that `text` means.
async fn prepared(text: &str, options: &[(&str, &str)], schema: &SchemaRef) -> Result<Box<dyn Format>, ConnectorError> {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("module.wasm");
    std::fs::write(&file, wat::parse_str(text).expect("a module in text form")).expect("written");
    let format = open(&file.display().to_string(), options, schema).expect("options");
    format.prepare(&FileSystems::default()).await?;
    Ok(format)
}

async fn decoder(text: &str, options: &[(&str, &str)], schema: &SchemaRef) -> Box<dyn Decoder> {
    prepared(text, options, schema).await.expect("a module that can be used").decoder(schema)
}

/// The values of a batch, row after row.
fn values(batch: &RecordBatch) -> Vec<Vec<String>> {
    let value = |column: &arrow_array::ArrayRef, row| {
        if column.is_null(row) { "NULL".to_owned() } else { array_value_to_string(column, row).expect("display") }
    };
    (0..batch.num_rows()).map(|row| batch.columns().iter().map(|column| value(column, row)).collect()).collect()
}

/// The reason of a start that is refused.
async fn refused(text: &str) -> String {
    prepared(text, &[], &schema(&[("a", DataType::Int32)])).await.expect_err("a module that cannot be used").to_string()
}

#[tokio::test]
async fn a_module_without_the_interface_is_refused_with_its_name_what_is_missing_and_what_to_do() {
    let without = |name: &str| {
        let lines: Vec<&str> = COMMON.lines().filter(|line| !line.contains(&format!("\"{name}\""))).collect();
        echo().replace(COMMON, &lines.join("\n"))
    };
    for (name, wanted) in [("weir_abi_version", "() -> i32"), ("weir_alloc", "(i32) -> i32"), ("weir_open", "(i32, i32) -> i64")] {
        let text = refused(&without(name)).await;
        assert!(text.contains(&format!("it does not export the function '{name}': {wanted}. The page 'Your own format'")), "{text}");
        assert!(text.contains("Table 'c.d.t': module '/") && text.contains("module.wasm'"), "{text}");
    }
    for (module, phrase) in [
        (without("memory"), "it does not export its memory as 'memory'."),
        (echo().replace("\"weir_decode\"", "\"decode\""), "it does not export the function 'weir_decode': (i32, i32) -> i64."),
        (
            echo().replace("(func (export \"weir_alloc\") (param i32)", "(func (export \"weir_alloc\") (param i64)"),
            "its function 'weir_alloc' is (i64) -> i32, and must be (i32) -> i32.",
        ),
        (
            echo().replace("(export \"weir_alloc\")", "").replace("i64.const 0)", "i64.const 0)\n (global (export \"weir_alloc\") i32 i32.const 1)"),
            "its export 'weir_alloc' is no function",
        ),
        (
            echo().replace("(result i32) i32.const 1)", "(result i32) i32.const 2)"),
            "it is made for version 2 of the interface, and this Weir speaks version 1",
        ),
        (
            echo().replace("(module", "(module (import \"env\" \"now\" (func (result i64)))"),
            "it imports 'now' from 'env', and a module is given nothing to import: build it so that nothing is left undefined",
        ),
        (
            echo().replace("(module", "(module (import \"wasi_snapshot_preview1\" \"fd_write\" (func))"),
            "build it for wasm32-unknown-unknown instead of WASI",
        ),
        (echo().replace("(result i64) i64.const 0)", "(result i64) i64.const 0x1000000004)"), "it refuses the columns: \0\0\0\0"),
        (echo().replace("(result i64) i64.const 0)", "(result i64) i64.const 0x7fffffff00000004)"), "lies outside of its memory of 1048576 bytes"),
        (echo().replace("(memory (export \"memory\") 16)", "(memory (export \"memory\") 2000)"), "it does not start:"),
        (
            module("unreachable").replace("(func $echo", "(start $boot) (func $boot (loop (br 0))) (func $echo"),
            "it does not start: the module has not come to an end with 'wasm.fuel' = '100000000'",
        ),
        (echo().replace("i32.const 65536)", "i32.const 1048575)"), "the module has no room for 65536 bytes: 'weir_alloc' gives 1048575"),
    ] {
        let text = refused(&module).await;
        assert!(text.contains(phrase), "{phrase}\nnot in\n{text}");
    }
}

#[tokio::test]
async fn what_is_no_module_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("module.wasm");
    std::fs::write(&file, b"no module").expect("written");
    let columns = schema(&[("a", DataType::Int32)]);
    let file_systems = FileSystems::default();
    for (module, phrase) in [
        (file.display().to_string(), "it is no WebAssembly module that can be run here"),
        (format!("{}.not", file.display()), "cannot be read: read of `"),
    ] {
        let format = open(&module, &[], &columns).expect("options");
        let error = format.prepare(&file_systems).await.expect_err(phrase).to_string();
        assert!(error.contains(phrase) && error.contains("Table 'c.d.t'"), "{error}");
    }
    std::fs::File::create(&file).and_then(|file| file.set_len((64 << 20) + 1)).expect("a large file");
    let error = open(&file.display().to_string(), &[], &columns).expect("options").prepare(&file_systems).await.expect_err("too large").to_string();
    assert!(error.contains("has 67108865 bytes, and a module may have 67108864"), "{error}");
}

#[test]
fn declarations_that_it_cannot_serve_are_refused() {
    let columns = schema(&[("a", DataType::Int32)]);
    for (options, phrase) in [
        (&[("memory", "1 kb")][..], "'wasm.memory' must be >= 64 kb and <= 4 gb, but is 1024 bytes."),
        (&[("fuel", "1")], "'wasm.fuel' must be >= 1000, but is 1."),
        (&[("time", "1 s")], "Unsupported options found for 'kafka': 'wasm.time'."),
    ] {
        let text = open("/m.wasm", options, &columns).expect_err(phrase).to_string();
        assert!(text.contains(phrase), "{phrase}\nnot in\n{text}");
    }
    let nothing = open("/m.wasm", &[], &schema(&[])).expect_err("no column").to_string();
    assert!(nothing.contains("[CON-003] Table 'c.d.t': Format 'wasm' needs a column that it fills."), "{nothing}");
    let month = schema(&[("a", DataType::Interval(arrow_schema::IntervalUnit::YearMonth))]);
    assert!(open("/m.wasm", &[], &month).expect_err("a type").to_string().contains("cannot read column 'a'"));
}

/// A module that refuses the columns with the very text that it was given.
#[tokio::test]
async fn a_module_is_told_the_columns_and_which_of_them_are_used() {
    let asks = echo().replace("(param i32 i32) (result i64) i64.const 0)", "(param i32 i32) (result i64) (call $echo (local.get 0) (local.get 1)))");
    let sql = |name: &str, data_type, text: &str| {
        Field::new(name, data_type, true).with_metadata([(crate::format::SQL_TYPE.to_owned(), text.to_owned())].into())
    };
    let columns = Arc::new(Schema::new(vec![sql("a\tb", DataType::Int64, "BIGINT"), sql("c", DataType::Decimal128(10, 2), "DECIMAL(10, 2)")]));
    let error = prepared(&asks, &[], &columns).await.expect_err("it refuses").to_string();
    assert!(error.ends_with("it refuses the columns: a\\tb\tBIGINT\twanted\nc\tDECIMAL(10, 2)\twanted\n."), "{error}");
    assert_eq!(super::schema::text(&columns, &columns.project(&[1]).expect("columns")), "a\\tb\tBIGINT\tunused\nc\tDECIMAL(10, 2)\twanted\n");
}
