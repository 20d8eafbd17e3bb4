//! Results of statements and queries as text.

use std::io::Write;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_cast::pretty::pretty_format_batches_with_options;
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use weir_sql::StatementResult;

use crate::cli::ResultFormat;
use crate::failure::Failure;
use crate::output::{cell, line};

/// Prints messages and tables; queries are not run here.
pub(super) fn print_results(results: Vec<StatementResult>, format: ResultFormat) -> Result<(), Failure> {
    for result in results {
        match result {
            StatementResult::Message(text) => line(&text)?,
            // A plan is read as text, not in a frame.
            StatementResult::Text(text) if format == ResultFormat::Table => line(text.trim_end())?,
            StatementResult::Text(text) => table(one_cell(text)?, format)?,
            StatementResult::Table(batch) => table(batch, format)?,
            StatementResult::Query(_) | StatementResult::Call(_) => {
                return Err(Failure::internal("a statement that has yet to be run came where only its result can be printed"));
            }
        }
    }
    Ok(())
}

pub(super) fn table(batch: RecordBatch, format: ResultFormat) -> Result<(), Failure> {
    let mut printer = ResultPrinter::new(batch.schema(), format);
    printer.batch(batch)?;
    printer.finish()
}

/// A text as a result of one row, for programs.
fn one_cell(text: String) -> Result<RecordBatch, Failure> {
    let column: ArrayRef = Arc::new(StringArray::from(vec![text]));
    RecordBatch::try_from_iter([("result", column)]).map_err(|error| unprintable(&error))
}

/// Prints the batches of one result. Aligned columns need all rows first; the other forms print as rows come.
pub(super) struct ResultPrinter {
    schema: SchemaRef,
    format: ResultFormat,
    kept: Vec<RecordBatch>,
    begun: bool,
}

impl ResultPrinter {
    /// A printer for rows of `schema`.
    pub(super) fn new(schema: SchemaRef, format: ResultFormat) -> Self {
        Self { schema, format, kept: Vec::new(), begun: false }
    }

    /// Takes rows.
    pub(super) fn batch(&mut self, batch: RecordBatch) -> Result<(), Failure> {
        match self.format {
            ResultFormat::Table => {
                self.kept.push(batch);
                Ok(())
            }
            ResultFormat::Csv => self.csv(&batch),
            ResultFormat::Json => json(&batch),
        }
    }

    /// Ends the result.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        match self.format {
            ResultFormat::Table => {
                if self.kept.is_empty() {
                    self.kept.push(RecordBatch::new_empty(self.schema));
                }
                let rows: usize = self.kept.iter().map(RecordBatch::num_rows).sum();
                let cells: Result<Vec<_>, _> = self.kept.iter().map(cells).collect();
                let table = cells.and_then(|cells| pretty_format_batches_with_options(&cells, &options())).map_err(|error| unprintable(&error))?;
                line(&format!("{table}\n{rows} row{}", if rows == 1 { "" } else { "s" }))
            }
            ResultFormat::Csv => self.csv(&RecordBatch::new_empty(self.schema.clone())),
            ResultFormat::Json => Ok(()),
        }
    }

    fn csv(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        if !self.begun {
            self.begun = true;
            let names: Vec<String> = self.schema.fields().iter().map(|field| quoted(field.name())).collect();
            line(&names.join(","))?;
        }
        let formatters: Result<Vec<_>, _> = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options())).collect();
        let formatters = formatters.map_err(|error| unprintable(&error))?;
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = formatters.iter().map(|formatter| quoted(&formatter.value(row).to_string())).collect();
            line(&cells.join(","))?;
        }
        Ok(())
    }
}

/// Every cell as text that a terminal may have: the data may be anybody's.
fn cells(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let options = options();
    let text = |column: &ArrayRef| -> Result<ArrayRef, ArrowError> {
        let formatter = ArrayFormatter::try_new(column, &options)?;
        let cells = (0..column.len()).map(|row| Some(cell(&formatter.value(row).to_string()).into_owned()));
        Ok(Arc::new(cells.collect::<StringArray>()))
    };
    let columns: Result<Vec<_>, _> = batch.columns().iter().map(text).collect();
    let schema = batch.schema();
    let fields = schema.fields().iter().map(|field| Field::new(cell(field.name()), DataType::Utf8, true));
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns?, &rows)
}

fn json(batch: &RecordBatch) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let mut writer = arrow_json::WriterBuilder::new().with_explicit_nulls(true).build::<_, arrow_json::writer::LineDelimited>(&mut out);
    writer.write(batch).and_then(|()| writer.finish()).map_err(|error| unprintable(&error))?;
    drop(writer);
    out.flush().map_err(|error| Failure::internal(format!("standard output: {error}")))
}

/// Timestamps as SQL writes them.
const TIMESTAMP: &str = "%Y-%m-%d %H:%M:%S%.f";
/// The same in UTC.
const TIMESTAMP_LTZ: &str = "%Y-%m-%d %H:%M:%S%.fZ";

fn options() -> FormatOptions<'static> {
    let options = FormatOptions::default().with_null("NULL").with_display_error(true);
    options.with_timestamp_format(Some(TIMESTAMP)).with_timestamp_tz_format(Some(TIMESTAMP_LTZ))
}

/// RFC 4180: quotes around what holds a comma, a quote or a line break.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

fn unprintable(error: &ArrowError) -> Failure {
    Failure::internal(format!("a result cannot be printed: {error}"))
}

#[cfg(test)]
mod tests {
    use arrow_array::{BinaryArray, Int64Array, StructArray};

    use super::*;

    #[test]
    fn a_table_shows_no_control_characters_of_its_data_nested_or_not() {
        let text: ArrayRef = Arc::new(StringArray::from(vec![Some("\x1b[2Ja\tb"), None]));
        let bytes: ArrayRef = Arc::new(BinaryArray::from_opt_vec(vec![Some(b"\x1b\x00".as_slice()), None]));
        let field = Arc::new(Field::new("s", DataType::Utf8, true));
        let nested: ArrayRef = Arc::new(StructArray::from(vec![(field, Arc::clone(&text))]));
        let number: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let batch = RecordBatch::try_from_iter([("a\tb", text), ("b", bytes), ("n", nested), ("i", number)]).expect("batch");
        let shown = pretty_format_batches_with_options(&[cells(&batch).expect("cells")], &options()).expect("table").to_string();
        assert!(!shown.contains(|character: char| character.is_control() && character != '\n'), "{shown:?}");
        for part in [r"a\tb", r"\x1b[2Ja\tb", r"{s: \x1b[2Ja\tb}", "1b00", "NULL", "| 2"] {
            assert!(shown.contains(part), "`{part}` is not in:\n{shown}");
        }
        let none = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &RecordBatchOptions::new().with_row_count(Some(2)));
        assert_eq!(cells(&none.expect("no columns")).expect("cells").num_rows(), 2);
    }
}
