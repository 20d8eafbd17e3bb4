//! The module of `examples/company-format` and its messages, beside the same steps in native code.

use std::process::Command;
use std::sync::{Arc, LazyLock};

use arrow_array::Array as _;
use arrow_array::builder::{Int64Builder, StringBuilder};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use weir_base::options::OptionBag;
use weir_connectors::format::{FormatFactory, SQL_TYPE, wasm::WasmFactory};
use weir_fs::FileSystems;

use crate::MESSAGES;
use crate::cases::{Case, runtime};
use crate::support::datasets::packed;

/// Events of one item.
pub(crate) fn case() -> Case {
    let folder = tempfile::tempdir().expect("folder");
    let module = folder.path().join("company_format.wasm");
    let built =
        Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/company-format/build")).arg(&module).status().expect("its build script");
    assert!(built.success(), "scripts/setup test installs a Rust that builds modules");
    let columns = [
        ("order_id", DataType::Int64, "BIGINT"),
        ("placed_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), "TIMESTAMP_LTZ(3)"),
        ("customer", DataType::Utf8, "STRING"),
        ("line", DataType::Int32, "INT"),
        ("article", DataType::Utf8, "STRING"),
        ("pieces", DataType::Int32, "INT"),
        ("price", DataType::Decimal128(10, 2), "DECIMAL(10, 2)"),
    ];
    let column =
        |(name, data_type, sql): (&str, _, &str)| Field::new(name, data_type, true).with_metadata([(SQL_TYPE.to_owned(), sql.to_owned())].into());
    let schema = Arc::new(Schema::new(columns.map(column).to_vec()));
    let mut bag = OptionBag::new("Table 'bench'");
    bag.insert("f.module", module.display().to_string(), None);
    let format = WasmFactory.open("f.", &mut bag, &schema).expect("format");
    runtime().block_on(format.prepare(&FileSystems::default())).expect("module");
    let messages = packed((0..MESSAGES).map(order_event));
    Case::new("wasm", format, &schema, messages).beside("native", with_native_steps)
}

fn order_event(id: u64) -> Vec<u8> {
    let field = |tag: u8, value: &[u8]| [&[tag], &u16::try_from(value.len()).expect("short").to_be_bytes()[..], value].concat();
    let item = [field(1, b"bulb E27, warm white"), field(2, &[0, 4]), field(3, &399_u32.to_be_bytes())].concat();
    let customer = format!("customer number {id}");
    let body = [field(1, &id.to_be_bytes()), field(2, &1_769_860_800_123_u64.to_be_bytes()), field(3, customer.as_bytes()), field(4, &item)].concat();
    let sum = crc32(&body);
    [b"AO\x01", &u32::try_from(body.len()).expect("short").to_be_bytes()[..], &body, &sum.to_be_bytes()].concat()
}

/// A table of 256 remainders, as the module has it.
fn crc32(bytes: &[u8]) -> u32 {
    static TABLE: LazyLock<Vec<u32>> = LazyLock::new(|| {
        let step = |sum: u32| sum >> 1 ^ (0xedb8_8320 & (sum & 1).wrapping_neg());
        (0..256).map(|byte| (0..8).fold(byte, |sum, _bit| step(sum))).collect()
    });
    let table = TABLE.as_slice();
    !bytes.iter().fold(!0, |sum: u32, byte| sum >> 8 ^ table[usize::from(sum.to_le_bytes()[0] ^ byte)])
}

/// Takes the messages apart as the module does, into builders.
fn with_native_steps(messages: &[&[u8]]) {
    let number = |bytes: &[u8]| bytes.iter().fold(0_i64, |number, byte| number << 8 | i64::from(*byte));
    let (mut numbers, mut texts) = (Int64Builder::new(), StringBuilder::new());
    for message in messages {
        let (body, sum) = message[7..].split_at(message.len() - 11);
        assert_eq!(number(sum), i64::from(crc32(body)));
        let mut rest = vec![(false, body)];
        while let Some((of_item, mut fields)) = rest.pop() {
            while let [tag, high, low, more @ ..] = fields {
                let (value, behind) = more.split_at(usize::from(u16::from_be_bytes([*high, *low])));
                match (of_item, tag) {
                    (false, 4) => rest.push((true, value)),
                    (false, 3) | (true, 1) => texts.append_value(std::str::from_utf8(value).expect("text")),
                    _ => numbers.append_value(number(value)),
                }
                fields = behind;
            }
        }
    }
    assert_eq!(texts.finish().len(), messages.len() * 2);
}
