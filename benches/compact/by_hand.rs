//! The same work by hand: one thread, the parquet crate, files on the local disk, flushed to it at their end.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

use crate::ours::TARGET;
use crate::{Outcome, Way};

pub(crate) fn run(folder: &Path, way: Way) -> Outcome<()> {
    let out = folder.join("by-hand");
    std::fs::create_dir_all(&out)?;
    let mut inputs: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder.join("lake/shop/orders/data"))? {
        let path = entry?.path();
        if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("weir-compact-")) {
            inputs.push(path);
        }
    }
    inputs.sort_unstable();
    match way {
        Way::Copy => copy(&inputs, &out)?,
        Way::Decode => decode(&inputs, &out)?,
    }
    Ok(std::fs::remove_dir_all(out)?)
}

fn copy(inputs: &[PathBuf], out: &Path) -> Outcome<()> {
    let mut open: Option<SerializedFileWriter<BufWriter<File>>> = None;
    let mut files = 0;
    for input in inputs {
        let file = File::open(input)?;
        let footer = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required).parse_and_finish(&file)?;
        if open.as_ref().is_some_and(|writer| writer.bytes_written() as u64 >= TARGET)
            && let Some(full) = open.take()
        {
            flushed(full.into_inner()?)?;
        }
        let mut writer = match open.take() {
            Some(writer) => writer,
            None => {
                files += 1;
                let schema = footer.file_metadata().schema_descr().root_schema_ptr();
                SerializedFileWriter::new(BufWriter::new(File::create(out.join(format!("{files}.parquet")))?), schema, Arc::default())?
            }
        };
        for (number, group) in footer.row_groups().iter().enumerate() {
            let mut row_group = writer.next_row_group()?;
            for (leaf, chunk) in group.columns().iter().enumerate() {
                let close = ColumnCloseResult {
                    bytes_written: chunk.byte_range().1,
                    rows_written: u64::try_from(group.num_rows())?,
                    metadata: chunk.clone(),
                    bloom_filter: None,
                    column_index: footer.column_index().and_then(|index| index.get(number)?.get(leaf)).cloned(),
                    offset_index: footer.offset_index().and_then(|index| index.get(number)?.get(leaf)).cloned(),
                };
                row_group.append_column(&file, close)?;
            }
            row_group.close()?;
        }
        open = Some(writer);
    }
    open.map_or(Ok(()), |last| flushed(last.into_inner()?))
}

fn flushed(file: BufWriter<File>) -> Outcome<()> {
    Ok(file.into_inner()?.sync_all()?)
}

/// Dictionaries for the columns of few values, delta for ids and times, zstd 1: what suits these rows best.
fn properties() -> WriterProperties {
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap_or_default()))
        .set_max_row_group_row_count(None)
        .set_max_row_group_bytes(Some(32 << 20))
        .set_dictionary_enabled(false)
        .set_column_encoding("id".into(), Encoding::DELTA_BINARY_PACKED)
        .set_column_encoding("user_id".into(), Encoding::DELTA_BINARY_PACKED)
        .set_column_encoding("ts".into(), Encoding::DELTA_BINARY_PACKED);
    for column in ["kind", "agent"] {
        builder = builder.set_column_dictionary_enabled(column.into(), true);
    }
    builder.build()
}

fn decode(inputs: &[PathBuf], out: &Path) -> Outcome<()> {
    let mut open: Option<ArrowWriter<BufWriter<File>>> = None;
    let mut files = 0;
    for input in inputs {
        for batch in ParquetRecordBatchReaderBuilder::try_new(File::open(input)?)?.with_batch_size(8_192).build()? {
            let batch = batch?;
            let mut writer = match open.take() {
                Some(writer) => writer,
                None => {
                    files += 1;
                    let file = BufWriter::new(File::create(out.join(format!("{files}.parquet")))?);
                    ArrowWriter::try_new(file, batch.schema(), Some(properties()))?
                }
            };
            writer.write(&batch)?;
            if writer.bytes_written() as u64 >= TARGET {
                flushed(writer.into_inner()?)?;
            } else {
                open = Some(writer);
            }
        }
    }
    open.map_or(Ok(()), |last| flushed(last.into_inner()?))
}
