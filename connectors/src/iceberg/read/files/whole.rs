//! All rows of a file in some columns, for files that are small: deletes.

use arrow_array::RecordBatch;
use arrow_schema::{Fields, SchemaRef};
use futures::TryStreamExt;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};

use super::columns::{FileColumns, Naming};
use super::recipe::{RowMaker, Wanted};
use super::store::TableFiles;
use super::{footer, leaves};
use crate::error::ConnectorError;
use crate::iceberg::read::listed::ListedFile;
use crate::iceberg::read::need::Need;
use crate::iceberg::types::plain_schema;

impl TableFiles {
    /// All rows of `file` in the columns `fields`, which carry ids, of which `needs` is wanted.
    pub(in crate::iceberg::read) async fn read_all(
        &self,
        file: &ListedFile,
        fields: &Fields,
        needs: &[Need],
    ) -> Result<Vec<RecordBatch>, ConnectorError> {
        let path = file.path();
        let unreadable = |error| self.unreadable(path, error);
        let bytes = self.open(path, file.bytes())?;
        let footer = self.footer(&bytes, footer::length(file), false).await.map_err(unreadable)?;
        let columns = FileColumns::try_new(&footer, &Naming::Current(fields.clone())).map_err(unreadable)?;
        let chosen = leaves::choose(fields, needs, &columns.row, &|_| 0);
        let schema: SchemaRef = plain_schema(&arrow_schema::Schema::new(fields.clone()));
        let wanted = Wanted { fields, needs, schema: &schema };
        let mut maker = RowMaker::try_new(wanted, &columns.row, &chosen, &|_| None).map_err(|what| self.wrong(path, &what))?;
        let mask = ProjectionMask::leaves(columns.metadata.parquet_schema(), chosen);
        let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(bytes, columns.metadata).with_projection(mask);
        let batches: Vec<RecordBatch> = builder.build().map_err(unreadable)?.try_collect().await.map_err(unreadable)?;
        batches.iter().map(|batch| maker.make(batch).map_err(|error| self.wrong(path, &error.to_string()))).collect()
    }
}
