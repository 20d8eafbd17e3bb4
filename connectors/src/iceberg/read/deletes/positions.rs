//! Position deletes and deletion vectors: which rows of a data file are gone.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_schema::{DataType, Field, Fields};
use iceberg::spec::DataFileFormat;
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use roaring::RoaringTreemap;
use tokio::sync::OnceCell;
use weir_catalog::delete_files::FILE_PATH_ID;

use super::vector;
use crate::error::ConnectorError;
use crate::iceberg::read::files::TableFiles;
use crate::iceberg::read::listed::ListedFile;
use crate::iceberg::read::need::Need;

/// Field id of the column `pos` in position deletes.
const POSITION_ID: i32 = FILE_PATH_ID - 1;

/// A file of position deletes, or a deletion vector; read once for all data files that it is about.
#[derive(Debug)]
pub(in crate::iceberg::read) struct PositionFile {
    pub(super) file: ListedFile,
    pub(super) read: OnceCell<HashMap<String, Arc<RoaringTreemap>>>,
}

impl PositionFile {
    /// The rows of the data file `path` that it hides, by number.
    pub(in crate::iceberg::read) async fn rows_of(&self, path: &str, files: &TableFiles) -> Result<Option<Arc<RoaringTreemap>>, ConnectorError> {
        let read = self.read.get_or_try_init(|| self.load(files)).await?;
        Ok(read.get(path).map(Arc::clone))
    }

    async fn load(&self, files: &TableFiles) -> Result<HashMap<String, Arc<RoaringTreemap>>, ConnectorError> {
        match self.file.format() {
            DataFileFormat::Parquet => self.load_rows(files).await,
            DataFileFormat::Puffin => self.load_vector(files).await,
            other => Err(files.refused(self.file.path(), &format!("position deletes in {other} are not read, only those in Parquet and Puffin"))),
        }
    }

    async fn load_rows(&self, files: &TableFiles) -> Result<HashMap<String, Arc<RoaringTreemap>>, ConnectorError> {
        let with_id = |name: &str, id: i32, data_type| {
            Field::new(name, data_type, false).with_metadata(HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())]))
        };
        let fields = Fields::from(vec![with_id("file_path", FILE_PATH_ID, DataType::Utf8), with_id("pos", POSITION_ID, DataType::Int64)]);
        let mut rows: HashMap<String, RoaringTreemap> = HashMap::new();
        for batch in files.read_all(&self.file, &fields, &[Need::Whole, Need::Whole]).await? {
            let (paths, positions) = (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<Int64Type>());
            for row in 0..batch.num_rows() {
                let path = paths.value(row);
                let negative = || files.wrong(self.file.path(), &format!("it deletes row {} of a file", positions.value(row)));
                let position = u64::try_from(positions.value(row)).map_err(|error| negative().with_source(error))?;
                match rows.get_mut(path) {
                    Some(known) => known.insert(position),
                    None => rows.entry(path.to_owned()).or_default().insert(position),
                };
            }
        }
        Ok(rows.into_iter().map(|(path, rows)| (path, Arc::new(rows))).collect())
    }

    async fn load_vector(&self, files: &TableFiles) -> Result<HashMap<String, Arc<RoaringTreemap>>, ConnectorError> {
        let path = self.file.path();
        let wrong = |what: &str| files.wrong(path, &format!("its deletion vector cannot be read: {what}"));
        let place = self.file.blob().and_then(|(start, length)| Some((u64::try_from(start).ok()?, u64::try_from(length).ok()?)));
        let (start, length) = place.ok_or_else(|| wrong("its manifest does not say where it is"))?;
        let target = self.file.target().ok_or_else(|| wrong("its manifest does not say of which data file it is"))?;
        let bytes = files.open(path, self.file.bytes())?;
        let blob = bytes.range(start..start + length).await.map_err(|error| files.unreadable(path, error))?;
        let rows = vector::positions(&blob).map_err(|what| wrong(&what))?;
        Ok(HashMap::from([(target.to_owned(), Arc::new(rows))]))
    }
}

/// The rows of a row group, which begins at `first` in its file and has `count` rows, that are not `deleted`; `None` if that is all of them.
pub(in crate::iceberg::read) fn kept(deleted: &RoaringTreemap, first: u64, count: u64) -> Option<RowSelection> {
    let mut selectors = Vec::new();
    let mut next = first;
    let length = |from: u64, to: u64| usize::try_from(to - from).unwrap_or(usize::MAX);
    let mut positions = deleted.iter();
    positions.advance_to(first);
    for position in positions.take_while(|position| *position < first + count) {
        if position > next {
            selectors.push(RowSelector::select(length(next, position)));
        }
        selectors.push(RowSelector::skip(1));
        next = position + 1;
    }
    if selectors.is_empty() {
        return None;
    }
    selectors.push(RowSelector::select(length(next, first + count)));
    Some(selectors.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_that_stay_are_counted_from_the_row_groups_own_beginning() {
        let deleted: RoaringTreemap = [3, 10, 11, 19, 25].into_iter().collect();
        let selected = kept(&deleted, 10, 10).expect("some are deleted");
        assert_eq!((selected.row_count(), selected.skipped_row_count()), (7, 3));
        let rows: Vec<RowSelector> = selected.into();
        assert_eq!(rows.first(), Some(&RowSelector::skip(2)));
        assert!(kept(&deleted, 100, 10).is_none());
    }
}
