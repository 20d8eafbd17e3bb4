//! How rows become messages of a change log: one that came is an insert, one that went a delete. An update is a delete and an insert.

use super::dialects::Tool;
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
        let kind = match self.kind.and_then(|kind| columns.get(kind)) {
            Some(Cells { values: Values::Utf8(kinds), .. }) => kinds.value(row),
            _ => "+I",
        };
        let came = match kind {
            "+I" | "+U" => true,
            "-U" | "-D" => false,
            other => return Err(Fault::field(format!("{} is no kind of row: +I, -U, +U or -D", quoted(other.as_bytes())))),
        };
        let (before, behind) = self.tool.frame(came);
        let values = columns.iter().enumerate().filter(|(index, _)| self.kind != Some(*index)).map(|(_, column)| column);
        out.extend_from_slice(before);
        self.json.object(values, row, out)?;
        out.extend_from_slice(behind);
        Ok(true)
    }
}
