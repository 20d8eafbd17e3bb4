//! The columns of a table as they are read.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema as ArrowSchema, SchemaRef};
use datafusion::common::ScalarValue;
use iceberg::spec::{DEFAULT_SCHEMA_NAME_MAPPING, NameMapping, Schema, TableMetadata};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;

use super::facts::leaf_types;
use super::files::columns::Naming;
use super::values::of_literal;
use crate::error::ConnectorError;
use crate::iceberg::FILE_COLUMN;
use crate::iceberg::types::{file_schema, plain_schema};

/// The field id that the Iceberg specification reserves for the path of a row's file (`_file`).
pub(super) const FILE_ID: i32 = i32::MAX - 1;

/// Some columns of a table, and how they are found in its files.
#[derive(Debug, Clone)]
pub(in crate::iceberg) struct TableColumns {
    /// The columns as they are given.
    pub(in crate::iceberg) schema: SchemaRef,
    /// The same with field ids.
    pub(in crate::iceberg) with_ids: SchemaRef,
    /// How columns of files without ids are found.
    pub(super) naming: Naming,
    /// Values of leaves in files from before the leaves (`initial-default`, format version 3), by id.
    pub(super) defaults: Arc<HashMap<i32, ScalarValue>>,
}

impl TableColumns {
    /// All columns of one of the schemas of the table `name`.
    ///
    /// # Errors
    /// Types that cannot be read, a name mapping that is none.
    pub(in crate::iceberg) fn of(name: &str, metadata: &TableMetadata, schema: &Schema) -> Result<Self, ConnectorError> {
        let with_ids = file_schema(schema)?;
        let naming = match metadata.properties().get(DEFAULT_SCHEMA_NAME_MAPPING) {
            Some(text) => {
                let mapping: NameMapping = serde_json::from_str(text).map_err(|error| {
                    let what = format!("its property '{DEFAULT_SCHEMA_NAME_MAPPING}' is no name mapping ({error}). Correct it, or remove it");
                    ConnectorError::user(format!("Table '{name}': {what}.")).with_source(error)
                })?;
                Naming::Mapped(Arc::new(mapping))
            }
            None => Naming::Current(with_ids.fields().clone()),
        };
        let default = |(id, data_type): (i32, _)| {
            let value = schema.field_by_id(id)?.initial_default.as_ref()?.as_primitive_literal()?;
            Some((id, of_literal(&value, &data_type)?))
        };
        let defaults = Arc::new(leaf_types(with_ids.fields()).into_iter().filter_map(default).collect());
        Ok(Self { schema: plain_schema(&with_ids), with_ids, naming, defaults })
    }

    /// The columns, and one more at the end for the path of the file.
    pub(super) fn with_file(mut self) -> Self {
        let field = Field::new(FILE_COLUMN, DataType::Utf8, true);
        let add = |schema: &SchemaRef, field: Field| {
            let fields: Vec<FieldRef> = schema.fields().iter().cloned().chain([Arc::new(field)]).collect();
            Arc::new(ArrowSchema::new(fields))
        };
        self.schema = add(&self.schema, field.clone());
        let id = HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), FILE_ID.to_string())]);
        self.with_ids = add(&self.with_ids, field.with_metadata(id));
        self
    }

    /// Some of the columns.
    ///
    /// # Errors
    /// Numbers that are no column's.
    pub(in crate::iceberg) fn project(&self, columns: &[usize]) -> Result<Self, ArrowError> {
        let (schema, with_ids) = (self.schema.project(columns)?, self.with_ids.project(columns)?);
        Ok(Self { schema: Arc::new(schema), with_ids: Arc::new(with_ids), ..self.clone() })
    }
}
