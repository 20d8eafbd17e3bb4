//! Which data files may hold rows for which a predicate is true: decided as reads decide it, by partition values and metrics. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::DataType;
use datafusion::catalog::Session;
use datafusion::logical_expr::Expr;
use iceberg::spec::TableMetadata;
use weir_catalog::read::SlimFile;

use super::columns::TableColumns;
use super::condition::Condition;
use super::condition_of;
use super::facts::{LeafMetrics, OfFile, Specs, leaf_types};
use super::listed::ListedFile;
use super::listed::of_entries::of_slim;
use super::provider::IcebergTable;
use super::snapshot_rows::read_error;
use crate::error::ConnectorError;

/// Leaves out data files that hold no row for which a predicate is true, as far as the table's metadata tells.
///
/// Columns are known by their field ids, so that a filter holds for every later state of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct FileFilter {
    condition: Condition,
    types: Arc<HashMap<i32, DataType>>,
}

impl FileFilter {
    /// The filter of predicates that must all be true, over the columns that the table `name` has now. One that the scan of a query would not
    /// understand leaves out nothing.
    ///
    /// # Errors
    /// Types that cannot be read.
    pub fn try_new(name: &str, metadata: &TableMetadata, predicates: &[Expr], state: &dyn Session) -> Result<Self, ConnectorError> {
        let columns = TableColumns::of(name, metadata, metadata.current_schema())?;
        let predicates = IcebergTable::physical(predicates, &columns.schema, state).map_err(read_error)?;
        let fields = columns.with_ids.fields();
        Ok(Self { condition: condition_of::all(&predicates, fields), types: Arc::new(leaf_types(fields)) })
    }

    /// Whether there can be a file that it leaves out.
    #[must_use]
    pub fn leaves_out_any(&self) -> bool {
        self.condition.rules_out_any()
    }

    /// Whether a data file of the table with this metadata may hold such a row.
    pub fn of(&self, metadata: &TableMetadata) -> impl Fn(&SlimFile) -> bool + use<> {
        let leaves = self.condition.leaves();
        let lookout =
            Lookout { condition: self.condition.clone(), specs: Arc::new(Specs::of(metadata, &self.types)), types: Arc::clone(&self.types) };
        move |slim| of_slim(slim, &leaves).is_none_or(|file| lookout.concerns(&file))
    }
}

/// What tells whether a file may hold rows that a statement is about.
pub(super) struct Lookout {
    pub(super) condition: Condition,
    pub(super) specs: Arc<Specs>,
    pub(super) types: Arc<HashMap<i32, DataType>>,
}

impl Lookout {
    /// Whether the file may hold such a row.
    pub(super) fn concerns(&self, file: &ListedFile) -> bool {
        let leaves = LeafMetrics::of(file.all(), self.condition.leaves(), &self.types);
        self.condition.may_match(&OfFile::new(file, &self.specs, &leaves))
    }
}
