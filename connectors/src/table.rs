//! A table as DDL declares it.

use std::fmt;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use weir_base::options::OptionBag;

/// `catalog.database.table`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TablePath {
    /// Name given by CREATE CATALOG, or `default_catalog`.
    pub catalog: String,
    /// Database (namespace) in it.
    pub database: String,
    /// Table name.
    pub table: String,
}

impl fmt::Display for TablePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.catalog, self.database, self.table)
    }
}

/// What a column is filled from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnKind {
    /// A field of the record.
    Physical,
    /// `METADATA [FROM 'key'] [VIRTUAL]`.
    Metadata {
        /// Key of the connector, such as `offset`.
        key: String,
        /// Read only: not part of the sink schema.
        virtual_column: bool,
    },
    /// `AS expr`; the SQL text of the expression. The planner computes it, no connector sees it.
    Computed(String),
}

/// One column of a declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDef {
    /// Column name.
    pub name: String,
    /// Arrow type, as section 10 of the DDL contract maps it.
    pub data_type: DataType,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// What it is filled from.
    pub kind: ColumnKind,
    /// The SQL type as declared, such as `DECIMAL(10, 2)`.
    pub sql_type: String,
    /// COMMENT.
    pub comment: Option<String>,
}

/// A declared table: what CREATE TABLE says, hints merged into the options.
#[derive(Debug, Clone)]
pub struct TableDef {
    /// Full name.
    pub path: TablePath,
    /// Columns in order.
    pub columns: Vec<ColumnDef>,
    /// Columns of PRIMARY KEY … NOT ENFORCED.
    pub primary_key: Vec<String>,
    /// WITH and hints. Use [`OptionBag::fresh`] to pull from.
    pub options: OptionBag,
}

impl TableDef {
    /// Whether no column is computed.
    #[must_use]
    pub fn stores_all(&self) -> bool {
        self.columns.iter().all(|column| !matches!(column.kind, ColumnKind::Computed(_)))
    }

    /// The table without its computed columns, as connectors see it that give rows.
    #[must_use]
    pub fn stored(&self) -> Self {
        let mut stored = self.clone();
        stored.columns.retain(|column| !matches!(column.kind, ColumnKind::Computed(_)));
        stored
    }

    /// What a source delivers: physical and metadata columns in declared order.
    #[must_use]
    pub fn source_schema(&self) -> SchemaRef {
        self.schema_of(|column| !matches!(column.kind, ColumnKind::Computed(_)))
    }

    /// What a sink takes: physical columns and metadata columns that are not VIRTUAL.
    #[must_use]
    pub fn sink_schema(&self) -> SchemaRef {
        self.schema_of(|column| match &column.kind {
            ColumnKind::Physical => true,
            ColumnKind::Metadata { virtual_column, .. } => !virtual_column,
            ColumnKind::Computed(_) => false,
        })
    }

    fn schema_of(&self, wanted: impl Fn(&ColumnDef) -> bool) -> SchemaRef {
        let fields: Vec<Field> = self
            .columns
            .iter()
            .filter(|column| wanted(column))
            .map(|column| Field::new(&column.name, column.data_type.clone(), column.nullable))
            .collect();
        Arc::new(Schema::new(fields))
    }
}
