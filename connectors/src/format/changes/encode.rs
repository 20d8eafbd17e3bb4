//! How rows become messages of a change log: one that came is an insert, one that went a delete. An update is a delete and an insert.

use arrow_schema::Fields;
use serde_json::{Value, json};

use super::dialects::Tool;
use crate::format::avro::{self, WriteAvro};
use crate::format::cells::{Cells, Values};
use crate::format::columns::{Fault, quoted};
use crate::format::encoder::WriteRow;
use crate::format::json::WriteJson;

/// Writes rows as changes.
#[derive(Debug)]
pub(super) struct WriteChange {
    pub(super) tool: Tool,
    pub(super) json: WriteJson,
    /// The column that says what a row is; without one it came.
    pub(super) kind: Option<usize>,
}

impl Tool {
    /// What stands around a row.
    fn frame(self, came: bool) -> (&'static [u8], &'static [u8]) {
        match (self, came) {
            (Self::Debezium, true) => (br#"{"before":null,"after":"#, br#","op":"c"}"#),
            (Self::Debezium, false) => (br#"{"before":"#, br#","after":null,"op":"d"}"#),
            (Self::Canal, true) => (br#"{"data":["#, br#"],"type":"INSERT"}"#),
            (Self::Canal, false) => (br#"{"data":["#, br#"],"type":"DELETE"}"#),
            (Self::Maxwell, true) => (br#"{"data":"#, br#","type":"insert"}"#),
            (Self::Maxwell, false) => (br#"{"data":"#, br#","type":"delete"}"#),
            (Self::Ogg, true) => (br#"{"before":null,"after":"#, br#","op_type":"I"}"#),
            (Self::Ogg, false) => (br#"{"before":"#, br#","after":null,"op_type":"D"}"#),
        }
    }
}

impl WriteRow for WriteChange {
    fn write(&self, columns: &[Cells<'_>], row: usize, out: &mut Vec<u8>) -> Result<bool, Fault> {
        let (before, behind) = self.tool.frame(came(columns, self.kind, row)?);
        out.extend_from_slice(before);
        self.json.object(values(columns, self.kind), row, out)?;
        out.extend_from_slice(behind);
        Ok(true)
    }
}

/// Writes rows as changes of Debezium in Avro.
#[derive(Debug)]
pub(in crate::format) struct WriteAvroChange {
    rows: WriteAvro,
    kind: Option<usize>,
}

impl WriteAvroChange {
    /// Writes rows of `columns`, of which that of the place `kind`, if there is one, says what a row is; with the text of the schema.
    ///
    /// # Errors
    /// The column that Avro has no form for, and why.
    pub(in crate::format) fn derived(columns: &Fields, kind: Option<usize>) -> Result<(String, Self), String> {
        // The envelope of Flink, where both rows have a type of their own.
        let row = |side: &str| avro::schema_of(&format!("{}_{side}", avro::RECORD), columns);
        let after = row("after")?;
        let rows = WriteAvro::try_new(&after.to_string(), columns)?;
        let field = |name: &str, ty: Value| json!({ "name": name, "type": ["null", ty], "default": null });
        let fields = [field("before", row("before")?), field("after", after), field("op", json!("string"))];
        let text = json!({ "type": "record", "name": avro::RECORD, "fields": fields }).to_string();
        avro::parse(&text, &[])?;
        Ok((text, Self { rows, kind }))
    }
}

impl WriteRow for WriteAvroChange {
    fn write(&self, columns: &[Cells<'_>], row: usize, out: &mut Vec<u8>) -> Result<bool, Fault> {
        // Branches of unions: NULL is the first.
        let (null, present) = (0, 1);
        let came = came(columns, self.kind, row)?;
        if came {
            avro::whole(null, out);
        }
        avro::whole(present, out);
        self.rows.record(values(columns, self.kind), row, out)?;
        if !came {
            avro::whole(null, out);
        }
        avro::whole(present, out);
        avro::sized(if came { b"c" } else { b"d" }, out);
        Ok(true)
    }
}

/// Whether a row is one that came; `kind` is the column that says so.
fn came(columns: &[Cells<'_>], kind: Option<usize>, row: usize) -> Result<bool, Fault> {
    let kind = match kind.and_then(|kind| columns.get(kind)) {
        Some(Cells { values: Values::Utf8(kinds), .. }) => kinds.value(row),
        _ => "+I",
    };
    match kind {
        "+I" | "+U" => Ok(true),
        "-U" | "-D" => Ok(false),
        other => Err(Fault::field(format!("{} is no kind of row: +I, -U, +U or -D", quoted(other.as_bytes())))),
    }
}

/// The columns without that of the kinds.
fn values<'a>(columns: &'a [Cells<'a>], kind: Option<usize>) -> impl Iterator<Item = &'a Cells<'a>> {
    columns.iter().enumerate().filter(move |(index, _)| kind != Some(*index)).map(|(_, column)| column)
}
