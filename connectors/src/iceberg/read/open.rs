//! One split of a file as a stream of batches in the scan's columns.
//!
//! Row groups are read one after the other, so that a filter that has learned something meanwhile (TopK, the build side of a join) still
//! saves those that follow. Within a row group the columns of filters are read first, and the others only where rows are left.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::{ArrowError, DataType, Fields, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::DynamicFilterPhysicalExpr;
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion::physical_plan::metrics::Count;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use parquet::arrow::arrow_reader::{ArrowPredicate, RowFilter, RowSelection};
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::errors::ParquetError;
use roaring::RoaringTreemap;
use weir_catalog::lake::LakeTable;

use super::columns::TableColumns;
use super::condition::{Condition, Known};
use super::condition_of;
use super::deletes::equality::{EqualityGroup, KeyColumns};
use super::deletes::positions::kept;
use super::facts::{LeafMetrics, OfFile, Specs, is_ordered};
use super::files::columns::FileColumns;
use super::files::recipe::{RowMaker, Wanted};
use super::files::statistics::FileStatistics;
use super::files::store::{FileBytes, FileCounts};
use super::files::{TableFiles, footer, leaves};
use super::need::Need;
use super::order::Order;
use super::planning::FileTask;
use super::splits::Split;
use super::want;
use crate::error::ConnectorError;

/// What is the same for all files of a scan.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub(super) table: LakeTable,
    pub(super) files: TableFiles,
    pub(super) specs: Arc<Specs>,
    pub(super) types: Arc<HashMap<i32, DataType>>,
    /// The columns to give.
    pub(super) columns: TableColumns,
    /// What of each of them is wanted.
    pub(super) needs: Vec<Need>,
    /// Filters over these columns that every row which is wanted passes.
    pub(super) filters: Vec<Arc<dyn PhysicalExpr>>,
    /// What the first rows are wanted by, if it is known.
    pub(super) order: Option<Order>,
    pub(super) batch_rows: usize,
    pub(super) counts: Counts,
}

/// What a scan tells of its work.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    /// Files and row groups that were left out while the query ran.
    pub(super) late_files: Count,
    pub(super) row_groups: Count,
    /// Rows in pages that were left out.
    pub(super) page_rows: Count,
    /// Rows that deletes took away.
    pub(super) deleted_rows: Count,
    pub(super) files: FileCounts,
}

impl Reading {
    /// The columns with ids.
    pub(super) fn fields(&self) -> &Fields {
        self.columns.with_ids.fields()
    }

    fn condition(&self) -> Condition {
        condition_of::all(&self.filters, self.fields())
    }

    /// The splits in the order in which they are best read.
    pub(super) fn in_order(&self, splits: Vec<Split>) -> Vec<Split> {
        let Some(order) = &self.order else { return splits };
        order.sorted(splits, |split| {
            let file = &split.task.file;
            let leaves = LeafMetrics::of(file.all(), [order.leaf], &self.types);
            OfFile::new(file, &self.specs, &leaves).facts(order.leaf)
        })
    }

    /// Opens a split.
    pub(super) async fn open(self: Arc<Self>, split: Split) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let (condition, file) = (self.condition(), &split.task.file);
        let leaves = LeafMetrics::of(file.all(), condition.leaves(), &self.types);
        if !condition.may_match(&OfFile::new(file, &self.specs, &leaves)) {
            self.counts.late_files.add(1);
            return Ok(stream::empty().boxed());
        }
        let opened = Arc::new(OpenFile::open(Arc::clone(&self), &split).await.map_err(external)?);
        let groups = opened.groups_in(&split);
        let batches = stream::iter(groups).map(move |group| Arc::clone(&opened).group(group)).try_flatten();
        Ok(batches.boxed())
    }
}

/// A file about to be read.
struct OpenFile {
    reading: Arc<Reading>,
    task: Arc<FileTask>,
    bytes: FileBytes,
    columns: FileColumns,
    /// Leaves of the output and of keys of deletes.
    chosen: BTreeSet<usize>,
    rows: RowMaker,
    deleted: Option<RoaringTreemap>,
    keys: Vec<Keys>,
}

/// The equality deletes of a group, ready for a file.
struct Keys {
    group: Arc<EqualityGroup>,
    columns: KeyColumns,
    rows: RowMaker,
}

/// A row group, or a part of one, and the number of its first row.
#[derive(Debug, Clone)]
struct Group {
    number: usize,
    first_row: u64,
    rows: u64,
    /// Which of its rows; all if that is not said.
    part: Option<RowSelection>,
}

impl OpenFile {
    async fn open(reading: Arc<Reading>, split: &Split) -> Result<Self, ConnectorError> {
        let task = Arc::clone(&split.task);
        let (file, files) = (&task.file, &reading.files);
        let path = file.path();
        let unreadable = |error| files.unreadable(path, error);
        let bytes = files.open(path, file.bytes())?;
        let picks_rows = !reading.filters.is_empty() || !task.deletes.positions.is_empty();
        let load = || async {
            let footer = files.footer(&bytes, footer::length(file), picks_rows).await?;
            FileColumns::try_new(&footer, &reading.columns.naming)
        };
        let columns = match &split.shared {
            Some(shared) => shared.get_or_try_init(load).await.cloned(),
            None => load().await,
        };
        let columns = columns.map_err(unreadable)?;

        let mut key_columns = Vec::new();
        for group in &task.deletes.equality {
            key_columns.push((Arc::clone(group), group.columns(&reading.table.metadata, files)?));
        }
        let size = |leaf| columns.size(leaf);
        let mut chosen = leaves::choose(reading.fields(), &reading.needs, &columns.row, &size);
        for (_, keys) in &key_columns {
            chosen.extend(leaves::choose(&keys.fields, &keys.needs, &columns.row, &size));
        }
        let wrong = |what: String| files.wrong(path, &what);
        let wanted = Wanted { fields: reading.fields(), needs: &reading.needs, schema: &reading.columns.schema };
        let missing = |id| missing(&reading, &task, id);
        let rows = RowMaker::try_new(wanted, &columns.row, &chosen, &missing).map_err(wrong)?;
        let mut keys = Vec::new();
        for (group, columns_of) in key_columns {
            let wanted = Wanted { fields: &columns_of.fields, needs: &columns_of.needs, schema: &columns_of.schema };
            let rows = RowMaker::try_new(wanted, &columns.row, &chosen, &missing).map_err(wrong)?;
            keys.push(Keys { group, columns: columns_of, rows });
        }
        let mut deleted: Option<RoaringTreemap> = None;
        for positions in &task.deletes.positions {
            if let Some(rows) = positions.rows_of(path, files).await? {
                *deleted.get_or_insert_default() |= rows.as_ref();
            }
        }
        for keys in &keys {
            keys.group.read(&keys.columns, files).await?;
        }
        Ok(Self { task: Arc::clone(&task), bytes, columns, chosen, rows, deleted, keys, reading })
    }

    /// The row groups whose middle is in the split, in the order in which they are read.
    fn groups_in(&self, split: &Split) -> Vec<Group> {
        let mut first_row = 0;
        let mut groups = Vec::new();
        for (number, group) in self.columns.metadata.metadata().row_groups().iter().enumerate() {
            let rows = u64::try_from(group.num_rows()).unwrap_or(0);
            let start = group.columns().first().map_or(0, |column| column.byte_range().0);
            let middle = start + u64::try_from(group.compressed_size()).unwrap_or(0) / 2;
            if split.range.contains(&middle) {
                groups.push(Group { number, first_row, rows, part: None });
            }
            first_row += rows;
        }
        match &self.reading.order {
            Some(order) => {
                let statistics = self.statistics();
                let sorted = order.sorted(groups, |group| statistics.group_facts(group.number, order.leaf));
                self.with_first_page(sorted, order, &statistics)
            }
            None => groups,
        }
    }

    /// Cuts the page that may hold the first rows off the first row group, if a filter knows nothing yet: it learns from that page.
    fn with_first_page(&self, groups: Vec<Group>, order: &Order, statistics: &FileStatistics<'_>) -> Vec<Group> {
        let waits = self.reading.filters.iter().any(|filter| !says_something(filter));
        let Some((first, others)) = groups.split_first().filter(|_| waits) else { return groups };
        let Some(page) = statistics.first_page(first.number, order) else { return groups };
        let rows = usize::try_from(first.rows).unwrap_or(usize::MAX);
        let rest = [0..page.start, page.end..rows];
        let parts = [RowSelection::from_consecutive_ranges([page].into_iter(), rows), RowSelection::from_consecutive_ranges(rest.into_iter(), rows)];
        parts.into_iter().map(|part| Group { part: Some(part), ..first.clone() }).chain(others.iter().cloned()).collect()
    }

    /// What the footer and the page index say.
    fn statistics(&self) -> FileStatistics<'_> {
        let file = &self.task.file;
        let ordered = |id: i32, data_type: &DataType| is_ordered(data_type, file.nans(id));
        let has_value = |id| missing(&self.reading, &self.task, id).is_some();
        FileStatistics::new(self.columns.metadata.metadata(), &self.columns.row, &self.reading.types, &ordered, &has_value)
    }

    /// The rows of a row group.
    fn group(self: Arc<Self>, group: Group) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let reading = &self.reading;
        let filters: Vec<Arc<dyn PhysicalExpr>> = reading.filters.iter().filter(|filter| says_something(filter)).cloned().collect();
        let condition = condition_of::all(&filters, reading.fields());
        let Some(selection) = self.selection(&group, &condition) else { return Ok(stream::empty().boxed()) };
        let schema = self.columns.metadata.parquet_schema();
        let mut builder = ParquetRecordBatchStreamBuilder::new_with_metadata(self.bytes.clone(), self.columns.metadata.clone())
            .with_row_groups(vec![group.number])
            .with_batch_size(reading.batch_rows)
            .with_projection(ProjectionMask::leaves(schema, self.chosen.iter().copied()));
        if let Some(selection) = selection {
            builder = builder.with_row_selection(selection);
        }
        let predicates: Result<Vec<_>, ConnectorError> = filters.into_iter().map(|filter| self.predicate(filter)).collect();
        let predicates: Vec<Box<dyn ArrowPredicate>> = predicates.map_err(external)?.into_iter().flatten().collect();
        if !predicates.is_empty() {
            // What filters have read is kept for the output by default. The reader takes a struct of one leaf for a plain column there, and fails.
            builder = builder.with_row_filter(RowFilter::new(predicates)).with_max_predicate_cache_size(0);
        }
        let read = builder.build().map_err(|error| self.unreadable(error))?;
        let (file, mut rows) = (Arc::clone(&self), self.rows.clone());
        let mut keys: Vec<RowMaker> = self.keys.iter().map(|keys| keys.rows.clone()).collect();
        let batches = read.map(move |batch| {
            let batch = batch.map_err(|error| file.unreadable(error))?;
            file.made(&batch, &mut rows, &mut keys).map_err(|error| external(file.wrong(&error)))
        });
        Ok(batches.boxed())
    }

    /// Which rows of a row group may be wanted and are not deleted by number. `None`: none. `Some(None)`: all.
    fn selection(&self, group: &Group, condition: &Condition) -> Option<Option<RowSelection>> {
        let counts = &self.reading.counts;
        let statistics = self.statistics();
        if !statistics.group_may_match(group.number, condition) {
            counts.row_groups.add(1);
            return None;
        }
        let pages = statistics.pages_that_may_match(group.number, condition);
        let stay = self.deleted.as_ref().and_then(|deleted| kept(deleted, group.first_row, group.rows));
        let mut selection = group.part.clone();
        for (some, count) in [(pages, &counts.page_rows), (stay, &counts.deleted_rows)] {
            let Some(some) = some else { continue };
            count.add(match &group.part {
                Some(part) => part.row_count() - part.intersection(&some).row_count(),
                None => some.skipped_row_count(),
            });
            selection = Some(selection.map_or_else(|| some.clone(), |before| before.intersection(&some)));
        }
        match selection {
            Some(selection) if !selection.selects_any() => None,
            selection => Some(selection),
        }
    }

    /// The filter as the reader applies it; `None` if there is nothing else to read that it could save.
    fn predicate(&self, filter: Arc<dyn PhysicalExpr>) -> Result<Option<Box<dyn ArrowPredicate>>, ConnectorError> {
        let reading = &self.reading;
        let mut needs = vec![Need::presence(); reading.fields().len()];
        let mut read = vec![false; reading.fields().len()];
        for column in collect_columns(&filter) {
            if let Some(read) = read.get_mut(column.index()) {
                *read = true;
            }
        }
        want::add(&filter, Need::Whole, &reading.columns.schema, &mut needs);
        let pairs = reading.fields().iter().zip(reading.columns.schema.fields()).zip(needs).zip(&read).filter(|(_, read)| **read);
        let (mut fields, mut plain, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
        for (((field, without_id), need), _) in pairs {
            fields.push(Arc::clone(field));
            plain.push(Arc::clone(without_id));
            wanted.push(need);
        }
        let fields = Fields::from(fields);
        let schema: SchemaRef = Arc::new(Schema::new(plain));
        let chosen = leaves::choose(&fields, &wanted, &self.columns.row, &|leaf| self.columns.size(leaf));
        if chosen.is_superset(&self.chosen) {
            return Ok(None);
        }
        let of_file = Wanted { fields: &fields, needs: &wanted, schema: &schema };
        let missing = |id| missing(reading, &self.task, id);
        let rows =
            RowMaker::try_new(of_file, &self.columns.row, &chosen, &missing).map_err(|what| reading.files.wrong(self.task.file.path(), &what))?;
        let expression = reassign_expr_columns(filter, &schema)
            .map_err(|error| ConnectorError::internal(format!("a filter cannot be read by its columns: {error}")))?;
        let mask = ProjectionMask::leaves(self.columns.metadata.parquet_schema(), chosen);
        Ok(Some(Box::new(Predicate { mask, rows, expression })))
    }

    /// The rows of a batch without those that newer deletes name.
    fn made(&self, batch: &RecordBatch, rows: &mut RowMaker, keys: &mut [RowMaker]) -> Result<RecordBatch, ArrowError> {
        let made = rows.make(batch)?;
        let mut stay: Option<BooleanArray> = None;
        for (keys, maker) in self.keys.iter().zip(keys) {
            let Some(deleted) = keys.group.read_rows() else { continue };
            let kept = deleted.kept(&keys.columns, &maker.make(batch)?, self.task.file.sequence())?;
            stay = Some(match stay {
                Some(before) => BooleanArray::new(before.values() & kept.values(), None),
                None => kept,
            });
        }
        match stay {
            Some(stay) => {
                let left = arrow_select::filter::filter_record_batch(&made, &stay)?;
                self.reading.counts.deleted_rows.add(made.num_rows() - left.num_rows());
                Ok(left)
            }
            None => Ok(made),
        }
    }

    fn unreadable(&self, error: ParquetError) -> DataFusionError {
        external(self.reading.files.unreadable(self.task.file.path(), error))
    }

    fn wrong(&self, error: &ArrowError) -> ConnectorError {
        self.reading.files.wrong(self.task.file.path(), &error.to_string())
    }
}

/// The value of a column for a file that lacks it.
fn missing(reading: &Reading, task: &FileTask, id: i32) -> Option<ScalarValue> {
    task.constants.get(&id).or_else(|| reading.columns.defaults.get(&id)).cloned()
}

/// A dynamic filter that lets everything pass so far is not worth a pass over its columns.
fn says_something(filter: &Arc<dyn PhysicalExpr>) -> bool {
    match filter.downcast_ref::<DynamicFilterPhysicalExpr>() {
        Some(dynamic) => dynamic.current().is_ok_and(|now| !matches!(want::literal(&now), Some(ScalarValue::Boolean(Some(true))))),
        None => true,
    }
}

fn external(error: ConnectorError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// A filter over rows of the table, applied to what is read of a file.
struct Predicate {
    mask: ProjectionMask,
    rows: RowMaker,
    expression: Arc<dyn PhysicalExpr>,
}

impl ArrowPredicate for Predicate {
    fn projection(&self) -> &ProjectionMask {
        &self.mask
    }

    fn evaluate(&mut self, batch: RecordBatch) -> Result<BooleanArray, ArrowError> {
        let rows = self.rows.make(&batch)?;
        let failed = |error: DataFusionError| ArrowError::ExternalError(Box::new(error));
        let passed = self.expression.evaluate(&rows).and_then(|value| value.into_array(rows.num_rows())).map_err(failed)?;
        Ok(passed.as_boolean().clone())
    }
}
