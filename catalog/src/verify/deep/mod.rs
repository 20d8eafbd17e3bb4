//! Files against what manifests say of them: rows, bounds and nulls.
//!
//! A footer that proves what a manifest says is enough. Where it says nothing, or something else, the pages of that column are read and decide. Columns
//! within lists and maps, and those whose field id a file does not tell, are left out.

mod column;
mod metrics;
mod values;

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use iceberg::spec::{DataFileFormat, TableMetadata};
use parquet::arrow::async_reader::ParquetObjectReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use weir_base::{Classified, ErrorKind};
use weir_fs::{FileSystems, FsError, Location, kind_of};

use super::{Progress, Step};
use crate::error::CatalogError;
use crate::read::LiveFile;

/// Files looked at at the same time.
const AT_ONCE: usize = 16;

/// Bytes at the end of a file that are fetched at first.
const FOOTER: usize = 64 << 10;

/// What a deep look has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deep {
    /// Footers that were read.
    pub footers: usize,
    /// Columns of files that were compared.
    pub columns: usize,
    /// Column chunks whose pages had to be read.
    pub chunks: usize,
    /// Files that are not Parquet, or encrypted, and were not opened.
    pub others: usize,
}

/// What came of one file.
#[derive(Debug, Default)]
struct Looked {
    columns: usize,
    chunks: usize,
    problems: Vec<String>,
}

/// Compares files with what their manifests say.
///
/// # Errors
/// The store's, but for files that are damaged.
pub(super) async fn check(
    file_systems: &FileSystems,
    metadata: &TableMetadata,
    files: &[&LiveFile],
    progress: &dyn Progress,
) -> Result<(Deep, Vec<String>), CatalogError> {
    let is_open = |live: &&&LiveFile| live.file.file_format() == DataFileFormat::Parquet && live.file.key_metadata().is_none();
    let wanted: Vec<&LiveFile> = files.iter().filter(is_open).copied().collect();
    let all = wanted.len();
    let mut deep = Deep { others: files.len() - all, ..Deep::default() };
    let mut problems = Vec::new();
    let looks = wanted.into_iter().map(|live| one(file_systems, metadata, live)).collect::<Vec<_>>();
    let mut looks = futures::stream::iter(looks).buffered(AT_ONCE);
    while let Some(looked) = looks.try_next().await? {
        deep.footers += 1;
        deep.columns += looked.columns;
        deep.chunks += looked.chunks;
        problems.extend(looked.problems);
        progress.at(Step::Footers, deep.footers, all);
    }
    Ok((deep, problems))
}

async fn one(file_systems: &FileSystems, metadata: &TableMetadata, live: &LiveFile) -> Result<Looked, CatalogError> {
    let (path, bytes) = (live.file.file_path(), live.file.file_size_in_bytes());
    let location = file_systems.resolve(path).map_err(|error| CatalogError::caused(error.kind(), format!("file `{path}`: {error}"), error))?;
    let footer = match footer(&location, bytes).await {
        Ok(footer) => Arc::new(footer),
        Err(error) => return damaged(path, "its footer cannot be read", error),
    };
    let mut looked = Looked::default();
    let rows = u64::try_from(footer.file_metadata().num_rows()).unwrap_or(0);
    if rows != live.file.record_count() {
        looked.problems.push(format!("file `{path}` has {rows} rows, but the table says {}", live.file.record_count()));
    }
    for column in metrics::columns(&footer, &live.file, rows) {
        looked.columns += 1;
        let verdict = metrics::by_footer(&column, &footer);
        let mut wrong = verdict.wrong;
        if !verdict.open.is_empty() {
            let mut seen = Vec::new();
            for group in &verdict.open {
                looked.chunks += 1;
                match column::read(&location, &footer, *group, column.leaf).await {
                    Ok(found) => seen.push(found),
                    Err(error) => return damaged(path, "its pages cannot be read", error),
                }
            }
            wrong.extend(metrics::by_data(&column, &footer, &verdict.open, &seen));
        }
        let name = metadata.current_schema().name_by_field_id(column.id).map_or_else(|| format!("id {}", column.id), str::to_owned);
        looked.problems.extend(wrong.into_iter().map(|wrong| format!("file `{path}`, column `{name}`: {wrong}")));
    }
    Ok(looked)
}

async fn footer(location: &Location, bytes: u64) -> Result<ParquetMetaData, ParquetError> {
    let mut reader = ParquetObjectReader::new(Arc::clone(&location.store), location.path.clone()).with_file_size(bytes);
    ParquetMetaDataReader::new().with_prefetch_hint(Some(FOOTER)).load_and_finish(&mut reader, bytes).await
}

/// A file that is damaged is a finding; a store that fails is an error.
fn damaged(path: &str, what: &str, error: ParquetError) -> Result<Looked, CatalogError> {
    match kind_of_parquet(&error) {
        Some(kind) if kind != ErrorKind::User => Err(CatalogError::caused(kind, format!("file `{path}`: {what}: {error}"), error)),
        _ => Ok(Looked { problems: vec![format!("file `{path}`: {what}: {error}")], ..Looked::default() }),
    }
}

/// What a store says; `None` for an error of the format.
fn kind_of_parquet(error: &ParquetError) -> Option<ErrorKind> {
    let ParquetError::External(source) = error else { return None };
    let store = source.downcast_ref::<object_store::Error>().map(kind_of);
    store.or_else(|| source.downcast_ref::<FsError>().map(Classified::kind))
}
