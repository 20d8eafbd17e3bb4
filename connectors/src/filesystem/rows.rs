//! The rows of one file, in the columns of the table.

use std::fmt;
use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use datafusion::common::ScalarValue;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use parquet::arrow::async_reader::ParquetObjectReader;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::errors::ParquetError;
use weir_base::options::OptionBag;
use weir_base::{Classified, ErrorKind, compute};
use weir_fs::transfer::{Place, pieces};
use weir_fs::{FsError, kind_of};

use super::counts::Skipped;
use super::files::DataFile;
use crate::error::ConnectorError;
use crate::format::{Decoded, Decoder, FormatFactory};
use crate::lookup::{Rows, columns_of};

/// Rows of a batch of a Parquet file.
const BATCH_ROWS: usize = 8_192;
/// Bytes of a file of lines that are fetched, and decoded, at a time.
const PIECE: u64 = 1 << 20;
/// The longest line.
const LONGEST_LINE: usize = 64 << 20;

/// What files are.
#[derive(Clone)]
pub(super) enum Kind {
    Parquet,
    /// Each line is a message of a format, whose options are among `options`, behind `prefix`.
    Lines {
        factory: Arc<dyn FormatFactory>,
        prefix: String,
        options: Box<OptionBag>,
    },
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parquet => f.write_str("parquet"),
            Self::Lines { factory, .. } => f.write_str(factory.name()),
        }
    }
}

/// How the files of a table are read.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    /// The table's name.
    pub(super) table: String,
    /// Its folder.
    pub(super) place: Place,
    /// The columns that were declared.
    pub(super) schema: SchemaRef,
    /// Those that are read.
    pub(super) wanted: SchemaRef,
    pub(super) kind: Kind,
}

impl Reading {
    /// The rows of `file`; `skipped` counts lines that are left out.
    pub(super) async fn open(&self, file: DataFile, skipped: Skipped) -> Result<Rows, ConnectorError> {
        let place = if file.path.is_empty() { self.place.clone() } else { self.place.child(&file.path).map_err(|error| self.failed(error))? };
        match &self.kind {
            Kind::Parquet => self.parquet(&place, &file).await,
            Kind::Lines { factory, prefix, options } => {
                let in_file = self.schema.fields().iter().filter(|field| !file.partition.iter().any(|(key, _)| key == field.name()));
                let in_file: SchemaRef = Arc::new(Schema::new(in_file.cloned().collect::<Vec<_>>()));
                let format = factory.open(prefix, &mut options.fresh(), &in_file);
                let format = format.ok_or_else(|| ConnectorError::internal(format!("Table '{}': its format is no longer right", self.table)))?;
                let decoded = self.decoded(&in_file);
                let fit = Fit::try_new(&self.wanted, &decoded, &file).map_err(|what| self.wrong(&place, &what))?;
                Ok(self.lines(place, file.size, (format.decoder(&decoded), skipped), fit))
            }
        }
    }

    /// Those columns of a file of lines that are wanted.
    fn decoded(&self, in_file: &SchemaRef) -> SchemaRef {
        let wanted: Vec<usize> = (0..in_file.fields().len()).filter(|column| self.wanted.index_of(in_file.field(*column).name()).is_ok()).collect();
        columns_of(in_file, &wanted)
    }

    async fn parquet(&self, place: &Place, file: &DataFile) -> Result<Rows, ConnectorError> {
        let location = place.location();
        let reader = ParquetObjectReader::new(Arc::clone(&location.store), location.path.clone()).with_file_size(file.size);
        let builder = ParquetRecordBatchStreamBuilder::new(reader).await.map_err(|error| self.unreadable(place, error))?;
        let found = Arc::clone(builder.schema());
        let fit = Fit::try_new(&self.wanted, &found, file).map_err(|what| self.wrong(place, &what))?;
        let mask = ProjectionMask::roots(builder.parquet_schema(), fit.roots(&found));
        let rows = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(|error| self.unreadable(place, error))?;
        let (reading, place) = (self.clone(), place.clone());
        let fitted = rows.map(move |batch| match batch {
            Ok(batch) => fit.rows(&batch).map_err(|what| reading.wrong(&place, &what)),
            Err(error) => Err(reading.unreadable(&place, error)),
        });
        Ok(fitted.boxed())
    }

    fn lines(&self, place: Place, size: u64, (decoder, skipped): (Box<dyn Decoder>, Skipped), fit: Fit) -> Rows {
        let reading = self.clone();
        let failed = self.clone();
        // The last line may have no end.
        let end = stream::once(std::future::ready(Ok(Bytes::from_static(b"\n"))));
        let read: BoxStream<'static, _> = pieces(&place, size, PIECE).map_err(move |error| failed.failed(error)).chain(end).boxed();
        let batches = stream::try_unfold((read, Lines::new(decoder)), move |(mut read, mut lines)| {
            let (reading, place, counted) = (reading.clone(), place.clone(), skipped.clone());
            async move {
                let Some(piece) = read.try_next().await? else { return Ok(None) };
                let decode = move || lines.decode(&piece).map(|batch| (batch, lines));
                let decoded = compute::run("lines of a lookup table", decode).await;
                let decoded = decoded.map_err(|error| ConnectorError::internal("lines that could not be decoded").with_source(error))?;
                let (batch, mut lines) = decoded.map_err(|what| reading.wrong(&place, &what))?;
                counted.add(std::mem::take(&mut lines.skips));
                if let Some(skipped) = lines.skipped.take() {
                    tracing::warn!(
                        table = reading.table,
                        file = place.uri(),
                        skipped,
                        "line of a lookup table skipped, as may be later ones of the file"
                    );
                }
                Ok(Some(((batch, place), (read, lines))))
            }
        });
        let reading = self.clone();
        batches.and_then(move |(batch, place)| std::future::ready(fit.rows(&batch).map_err(|what| reading.wrong(&place, &what)))).boxed()
    }

    /// That a file is not what the table says.
    fn wrong(&self, place: &Place, what: &str) -> ConnectorError {
        ConnectorError::user(format!("Table '{}': file '{}': {what}.", self.table, place.uri()))
    }

    fn unreadable(&self, place: &Place, error: ParquetError) -> ConnectorError {
        let of_store = match &error {
            ParquetError::External(cause) => cause.downcast_ref::<object_store::Error>().map(kind_of),
            _ => None,
        };
        let what = format!("Table '{}': file '{}' cannot be read as Parquet: {error}.", self.table, place.uri());
        ConnectorError::new(of_store.unwrap_or(ErrorKind::User), what).with_source(error)
    }

    pub(super) fn failed(&self, error: FsError) -> ConnectorError {
        ConnectorError::new(error.kind(), format!("Table '{}': {error}.", self.table)).with_source(error)
    }
}

/// Where the columns of a table come from.
#[derive(Debug)]
struct Fit {
    schema: SchemaRef,
    columns: Vec<Origin>,
}

#[derive(Debug)]
enum Origin {
    /// The column of the file that has this name.
    File(String),
    /// The folder that the file is in.
    Folder(ScalarValue),
}

impl Fit {
    /// From a file that has the columns `found`; what is wrong if it does not have those of `schema`.
    fn try_new(schema: &SchemaRef, found: &Schema, file: &DataFile) -> Result<Self, String> {
        let origin = |field: &Arc<Field>| {
            if let Some((_, value)) = file.partition.iter().find(|(key, _)| key == field.name()) {
                return Ok(Origin::Folder(folder_value(field, value.as_deref())?));
            }
            let Ok(there) = found.field_with_name(field.name()) else {
                let names: Vec<&str> = found.fields().iter().map(|field| field.name().as_str()).collect();
                return Err(format!("it has no column '{}'; it has: {}", field.name(), names.join(", ")));
            };
            let (is, wanted) = (there.data_type(), field.data_type());
            if becomes(is, wanted) {
                Ok(Origin::File(field.name().clone()))
            } else {
                Err(format!("its column '{}' is {is}, not {wanted}", field.name()))
            }
        };
        Ok(Self { schema: Arc::clone(schema), columns: schema.fields().iter().map(origin).collect::<Result<_, _>>()? })
    }

    /// The numbers of the columns of the file that are read.
    fn roots(&self, found: &Schema) -> Vec<usize> {
        let name = |origin: &Origin| match origin {
            Origin::File(name) => found.index_of(name).ok(),
            Origin::Folder(_) => None,
        };
        self.columns.iter().filter_map(name).collect()
    }

    fn rows(&self, batch: &RecordBatch) -> Result<RecordBatch, String> {
        let exact = CastOptions { safe: false, ..CastOptions::default() };
        let column = |(origin, field): (&Origin, &Arc<Field>)| match origin {
            Origin::Folder(value) => value.to_array_of_size(batch.num_rows()).map_err(|error| error.to_string()),
            Origin::File(name) => {
                let column = batch.column_by_name(name).ok_or_else(|| format!("column '{name}' was not read"))?;
                let cast = cast_with_options(column, field.data_type(), &exact);
                cast.map_err(|error| format!("column '{name}': {error}"))
            }
        };
        let columns = self.columns.iter().zip(self.schema.fields()).map(column).collect::<Result<Vec<_>, _>>()?;
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &rows).map_err(|error| error.to_string())
    }
}

fn folder_value(field: &Field, value: Option<&str>) -> Result<ScalarValue, String> {
    let data_type = field.data_type();
    let value = match value {
        Some(text) => ScalarValue::try_from_string(text.to_owned(), data_type).map_err(|_other| text.to_owned()),
        None => ScalarValue::try_from(data_type).map_err(|_other| "NULL".to_owned()),
    };
    value.map_err(|text| format!("the value '{text}' of its folder is no {data_type}, which column '{}' is", field.name()))
}

/// Whether values of type `is` are those of type `wanted` in another form, or may be, which each value then shows. Of times, what is finer than
/// the wanted unit is cut off.
fn becomes(is: &DataType, wanted: &DataType) -> bool {
    let is_text = |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let are_bytes = |data_type: &DataType| matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView);
    let scale = |data_type: &DataType| match data_type {
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) => Some(*scale),
        _ => None,
    };
    match (is, wanted) {
        (DataType::Dictionary(_, values), _) => becomes(values, wanted),
        (DataType::Float32, DataType::Float64) => true,
        (DataType::Timestamp(_, one), DataType::Timestamp(_, other)) => one.is_some() == other.is_some(),
        (is, wanted) if is.is_integer() => wanted.is_integer(),
        (is, wanted) if is_text(is) => is_text(wanted),
        (is, wanted) if are_bytes(is) => are_bytes(wanted),
        (is, wanted) if scale(is).is_some() => scale(wanted) >= scale(is),
        (is, wanted) => is.equals_datatype(wanted),
    }
}

/// Lines as messages of a format.
struct Lines {
    decoder: Box<dyn Decoder>,
    /// The beginning of a line.
    begun: Vec<u8>,
    number: u64,
    /// What was wrong with the first line that was skipped, until it is told.
    skipped: Option<String>,
    has_skipped: bool,
    /// Lines that were skipped, until they are counted.
    skips: u64,
}

impl Lines {
    fn new(decoder: Box<dyn Decoder>) -> Self {
        Self { decoder, begun: Vec::new(), number: 0, skipped: None, has_skipped: false, skips: 0 }
    }

    /// The rows of the lines that end in `piece`.
    fn decode(&mut self, piece: &[u8]) -> Result<RecordBatch, String> {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            match part.strip_suffix(b"\n") {
                Some(line) if self.begun.is_empty() => self.line(line)?,
                Some(line) => {
                    let mut begun = std::mem::take(&mut self.begun);
                    begun.extend_from_slice(line);
                    self.line(&begun)?;
                }
                None => self.begun.extend_from_slice(part),
            }
        }
        if self.begun.len() > LONGEST_LINE {
            return Err(format!("line {} has more than {LONGEST_LINE} bytes", self.number + 1));
        }
        self.decoder.take().map_err(|error| error.to_string())
    }

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        self.number += 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Ok(());
        }
        match self.decoder.push(line) {
            Decoded::Failed(bad) => {
                let remedy = bad.tolerated_by.as_ref().map(|option| format!(". '{option}' = 'true' leaves such lines out")).unwrap_or_default();
                Err(format!("line {}: {}{remedy}", self.number, bad.located()))
            }
            Decoded::Full => Err(format!("line {}: it does not fit into one batch with those before it", self.number)),
            Decoded::Waits => Err(format!("line {}: its schema is in a registry, which files do not ask", self.number)),
            Decoded::Skipped(bad) => {
                self.skips += 1;
                if !std::mem::replace(&mut self.has_skipped, true) {
                    self.skipped = Some(format!("line {}: {}", self.number, bad.located()));
                }
                Ok(())
            }
            Decoded::Row | Decoded::Rows(_) | Decoded::Nothing => Ok(()),
        }
    }
}
