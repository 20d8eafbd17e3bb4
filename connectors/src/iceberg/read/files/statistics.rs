//! What a footer and a page index say of row groups and pages, as [`Facts`] about leaves. Pure.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use arrow_schema::DataType;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use parquet::basic::Type as PhysicalType;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;

use super::columns::FileColumn;
use crate::iceberg::read::condition::{Condition, Facts, Known};
use crate::iceberg::read::order::Order;
use crate::iceberg::read::values::of_statistics;

/// A leaf that conditions may be about: as it is in the file, and as it is read.
#[derive(Debug, Clone)]
struct KnownLeaf {
    number: usize,
    stored: DataType,
    read: DataType,
    physical: PhysicalType,
    /// Whether it is inside a list or a map.
    repeated: bool,
}

/// The leaves of a file about which statistics are believed.
#[derive(Debug)]
pub(in crate::iceberg::read) struct FileStatistics<'a> {
    metadata: &'a ParquetMetaData,
    leaves: BTreeMap<i32, KnownLeaf>,
    /// Columns that the file lacks and that are null in all its rows.
    absent: Vec<i32>,
}

impl<'a> FileStatistics<'a> {
    /// Those of a file with the columns `row`, for the leaves of `types`. `is_ordered` says whether bounds of a leaf hold for all its values,
    /// `has_value` whether a column that the file lacks has a value nevertheless.
    pub(in crate::iceberg::read) fn new(
        metadata: &'a ParquetMetaData,
        row: &FileColumn,
        types: &HashMap<i32, DataType>,
        is_ordered: &dyn Fn(i32, &DataType) -> bool,
        has_value: &dyn Fn(i32) -> bool,
    ) -> Self {
        let stored: HashMap<i32, &FileColumn> = row.all_leaves().into_iter().filter_map(|leaf| Some((leaf.id?, leaf))).collect();
        let schema = metadata.file_metadata().schema_descr();
        let known = |(id, read): (&i32, &DataType)| {
            let leaf = stored.get(id)?;
            let number = leaf.leaves.start;
            let column = schema.columns().get(number)?;
            let (physical, repeated) = (column.physical_type(), column.max_rep_level() > 0);
            is_ordered(*id, read).then(|| (*id, KnownLeaf { number, stored: leaf.data_type.clone(), read: read.clone(), physical, repeated }))
        };
        let absent = types.keys().filter(|id| !stored.contains_key(id) && !has_value(**id)).copied().collect();
        Self { metadata, leaves: types.iter().filter_map(known).collect(), absent }
    }

    /// Whether a row group can have rows that meet the condition.
    pub(in crate::iceberg::read) fn group_may_match(&self, group: usize, condition: &Condition) -> bool {
        self.metadata.row_groups().get(group).is_none_or(|metadata| condition.may_match(&OfGroup { file: self, metadata }))
    }

    /// What is known of a leaf in a row group.
    pub(in crate::iceberg::read) fn group_facts(&self, group: usize, leaf: i32) -> Vec<Facts> {
        self.metadata.row_groups().get(group).map(|metadata| OfGroup { file: self, metadata }.facts(leaf)).unwrap_or_default()
    }

    /// The rows of a row group in pages that can have rows that meet the condition; `None` if that is all of them.
    pub(in crate::iceberg::read) fn pages_that_may_match(&self, group: usize, condition: &Condition) -> Option<RowSelection> {
        let mut selected: Option<RowSelection> = None;
        for part in condition.conjuncts() {
            let Some(rows) = part.only_leaf().and_then(|leaf| self.pages_of(group, leaf, part)) else { continue };
            selected = Some(match selected {
                Some(before) => before.intersection(&rows),
                None => rows,
            });
        }
        selected.filter(|rows| rows.skipped_row_count() > 0)
    }

    /// The rows in pages of one leaf that can meet a condition on it alone.
    fn pages_of(&self, group: usize, leaf: i32, condition: &Condition) -> Option<RowSelection> {
        let selector = |(rows, facts): (Range<usize>, Facts)| {
            let count = rows.len();
            if condition.may_match(&OfPage { leaf, facts }) { RowSelector::select(count) } else { RowSelector::skip(count) }
        };
        Some(self.pages(group, leaf)?.into_iter().map(selector).collect::<Vec<_>>().into())
    }

    /// The rows of the page that may hold the first rows of a row group; `None` if nothing tells.
    pub(in crate::iceberg::read) fn first_page(&self, group: usize, order: &Order) -> Option<Range<usize>> {
        let pages = order.sorted(self.pages(group, order.leaf)?, |(_, facts)| vec![facts.clone()]);
        pages.into_iter().next().map(|(rows, _)| rows)
    }

    /// The pages of a leaf: their rows, and what is known of them.
    fn pages(&self, group: usize, leaf: i32) -> Option<Vec<(Range<usize>, Facts)>> {
        // Within lists, writers take a page for one of nulls only that has as many nulls as rows.
        let known = self.leaves.get(&leaf).filter(|known| !known.repeated)?;
        let index = self.metadata.column_index()?.get(group)?.get(known.number)?;
        let pages = self.metadata.offset_index()?.get(group)?.get(known.number)?.page_locations();
        let rows = usize::try_from(self.metadata.row_groups().get(group)?.num_rows()).ok()?;
        let starts: Vec<usize> = pages.iter().filter_map(|page| usize::try_from(page.first_row_index).ok()).collect();
        let ends = starts.iter().skip(1).copied().chain([rows]);
        Some(starts.iter().zip(ends).enumerate().map(|(page, (start, end))| (*start..end, page_facts(known, index, page))).collect())
    }
}

struct OfGroup<'a> {
    file: &'a FileStatistics<'a>,
    metadata: &'a RowGroupMetaData,
}

impl Known for OfGroup<'_> {
    fn all(&self, leaf: i32, test: &dyn Fn(&Facts) -> bool) -> bool {
        if self.file.absent.contains(&leaf) {
            return test(&Facts { all_null: true, ..Facts::default() });
        }
        let Some(known) = self.file.leaves.get(&leaf) else { return true };
        let column = self.metadata.column(known.number);
        let Some(statistics) = column.statistics() else { return true };
        let nulls = statistics.null_count_opt();
        let values = u64::try_from(column.num_values()).ok();
        let bound = |bytes: Option<&[u8]>| of_statistics(bytes?, known.physical, &known.stored, &known.read);
        // Old writers compared texts and decimals by signed bytes.
        let is_in_order = !statistics.is_min_max_deprecated() || matches!(known.physical, PhysicalType::INT32 | PhysicalType::INT64);
        test(&Facts {
            min: bound(statistics.min_bytes_opt()).filter(|_| is_in_order),
            max: bound(statistics.max_bytes_opt()).filter(|_| is_in_order),
            no_nulls: nulls == Some(0),
            all_null: nulls.is_some() && nulls == values,
            buckets: None,
        })
    }
}

struct OfPage {
    leaf: i32,
    facts: Facts,
}

impl Known for OfPage {
    fn all(&self, leaf: i32, test: &dyn Fn(&Facts) -> bool) -> bool {
        leaf != self.leaf || test(&self.facts)
    }
}

fn page_facts(leaf: &KnownLeaf, index: &ColumnIndexMetaData, page: usize) -> Facts {
    let of = |bytes: &[u8]| of_statistics(bytes, leaf.physical, &leaf.stored, &leaf.read);
    let (min, max) = match index {
        ColumnIndexMetaData::INT32(pages) => {
            (pages.min_value(page).and_then(|min| of(&min.to_le_bytes())), pages.max_value(page).and_then(|max| of(&max.to_le_bytes())))
        }
        ColumnIndexMetaData::INT64(pages) => {
            (pages.min_value(page).and_then(|min| of(&min.to_le_bytes())), pages.max_value(page).and_then(|max| of(&max.to_le_bytes())))
        }
        ColumnIndexMetaData::FLOAT(pages) => {
            (pages.min_value(page).and_then(|min| of(&min.to_le_bytes())), pages.max_value(page).and_then(|max| of(&max.to_le_bytes())))
        }
        ColumnIndexMetaData::DOUBLE(pages) => {
            (pages.min_value(page).and_then(|min| of(&min.to_le_bytes())), pages.max_value(page).and_then(|max| of(&max.to_le_bytes())))
        }
        ColumnIndexMetaData::BYTE_ARRAY(pages) | ColumnIndexMetaData::FIXED_LEN_BYTE_ARRAY(pages) => {
            (pages.min_value(page).and_then(of), pages.max_value(page).and_then(of))
        }
        ColumnIndexMetaData::BOOLEAN(_) | ColumnIndexMetaData::INT96(_) | ColumnIndexMetaData::NONE => (None, None),
    };
    // A column without an index, as of times of 96 bits, panics when asked for its nulls.
    let known = !matches!(index, ColumnIndexMetaData::NONE);
    Facts { min, max, no_nulls: known && index.null_count(page) == Some(0), all_null: known && index.is_null_page(page), buckets: None }
}
