//! Is what a manifest says of a column true, as the footer or the pages of its file have it? Pure.

use std::cmp::Ordering;

use iceberg::spec::{DataFile, Datum};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescriptor;

use super::column::Seen;
use super::values::datum;

/// What a manifest says of one column of a file.
#[derive(Debug, Clone)]
pub(super) struct Said {
    /// Field id.
    pub(super) id: i32,
    /// Number of the leaf in the file.
    pub(super) leaf: usize,
    values: Option<u64>,
    nulls: Option<u64>,
    lower: Option<Datum>,
    upper: Option<Datum>,
    rows: u64,
}

/// What a footer decides.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) wrong: Vec<String>,
    /// Row groups whose pages have to decide the rest.
    pub(super) open: Vec<usize>,
}

/// The columns of a file of `rows` rows about which its manifest says something that can be compared.
///
/// Counts of fields of structs are not: some writers count only those of structs that are there.
pub(super) fn columns(footer: &ParquetMetaData, file: &DataFile, rows: u64) -> Vec<Said> {
    let leaves = footer.file_metadata().schema_descr().columns().iter().enumerate();
    let flat = leaves.filter(|(_, column)| column.max_rep_level() == 0 && column.self_type().get_basic_info().has_id());
    let said = flat.map(|(leaf, column)| {
        let id = column.self_type().get_basic_info().id();
        let is_top = column.path().parts().len() == 1;
        Said {
            id,
            leaf,
            values: file.value_counts().get(&id).copied().filter(|_| is_top),
            nulls: file.null_value_counts().get(&id).copied().filter(|_| is_top),
            lower: file.lower_bounds().get(&id).cloned(),
            upper: file.upper_bounds().get(&id).cloned(),
            rows,
        }
    });
    said.filter(|said| said.values.is_some() || said.nulls.is_some() || said.lower.is_some() || said.upper.is_some()).collect()
}

/// What the footer says of the column.
pub(super) fn by_footer(said: &Said, footer: &ParquetMetaData) -> Verdict {
    let mut verdict = Verdict::default();
    if let Some(values) = said.values.filter(|values| *values != said.rows) {
        verdict.wrong.push(format!("the table counts {values} values, but the file has {} rows", said.rows));
    }
    let chunks: Vec<_> = footer.row_groups().iter().filter_map(|group| group.columns().get(said.leaf)).collect();
    let nulls = chunks.iter().map(|chunk| chunk.statistics().and_then(Statistics::null_count_opt)).collect::<Option<Vec<u64>>>();
    if let (Some(told), Some(counted)) = (said.nulls, nulls.as_ref().map(|nulls| nulls.iter().sum::<u64>()))
        && told != counted
    {
        verdict.wrong.push(format!("the table counts {told} nulls, but the file's footer {counted}"));
    }
    let has_bounds = said.lower.is_some() || said.upper.is_some();
    for (group, chunk) in chunks.iter().enumerate() {
        let statistics = chunk.statistics();
        let nulls = statistics.and_then(Statistics::null_count_opt);
        let counted = said.nulls.is_none() || nulls.is_some();
        let is_empty = nulls.is_some_and(|nulls| i64::try_from(nulls).is_ok_and(|nulls| nulls >= chunk.num_values()));
        // The bounds of very old writers were made with the wrong order of bytes.
        let known = statistics.filter(|statistics| !statistics.is_min_max_deprecated());
        let (least, greatest) = (known.and_then(Statistics::min_bytes_opt), known.and_then(Statistics::max_bytes_opt));
        let proven = !has_bounds || is_empty || said.holds(chunk.column_descr(), least, greatest);
        if !(counted && proven) {
            verdict.open.push(group);
        }
    }
    verdict
}

/// What the pages of the `open` row groups say, of which `seen` was read, beside the footer for the others.
pub(super) fn by_data(said: &Said, footer: &ParquetMetaData, open: &[usize], seen: &[Seen]) -> Vec<String> {
    let mut wrong = Vec::new();
    let chunks = footer.row_groups().iter().filter_map(|group| group.columns().get(said.leaf));
    let footers = chunks.enumerate().map(|(group, chunk)| match open.iter().position(|one| *one == group) {
        Some(index) => seen.get(index).map(|seen| seen.nulls),
        None => chunk.statistics().and_then(Statistics::null_count_opt),
    });
    let is_in_footer = footer
        .row_groups()
        .iter()
        .all(|group| group.columns().get(said.leaf).and_then(|chunk| chunk.statistics()).and_then(Statistics::null_count_opt).is_some());
    if let (Some(told), Some(counted), false) = (said.nulls, footers.sum::<Option<u64>>(), is_in_footer)
        && told != counted
    {
        wrong.push(format!("the table counts {told} nulls, but the file has {counted}"));
    }
    let Some(column) = footer.file_metadata().schema_descr().columns().get(said.leaf) else { return wrong };
    for seen in seen {
        wrong.extend(said.outside(column, seen));
    }
    wrong.dedup();
    wrong
}

impl Said {
    /// Whether all values between `least` and `greatest` are within the bounds.
    fn holds(&self, column: &ColumnDescriptor, least: Option<&[u8]>, greatest: Option<&[u8]>) -> bool {
        let within = |bound: &Option<Datum>, value: Option<&[u8]>, beyond: Ordering| {
            bound.as_ref().is_none_or(|bound| {
                let value = value.and_then(|value| datum(value, column, bound.data_type()));
                value.is_some_and(|value| value.partial_cmp(bound).is_some_and(|order| order != beyond))
            })
        };
        within(&self.lower, least, Ordering::Less) && within(&self.upper, greatest, Ordering::Greater)
    }

    /// Values that were read and lie outside of the bounds; nothing for those that cannot be compared.
    fn outside(&self, column: &ColumnDescriptor, seen: &Seen) -> Option<String> {
        let (least, greatest) = seen.extremes.as_ref()?;
        let beyond = |bound: &Option<Datum>, value: &[u8], wrong: Ordering, which: &str| {
            let bound = bound.as_ref()?;
            let value = datum(value, column, bound.data_type())?;
            (value.partial_cmp(bound)? == wrong).then(|| format!("the table's {which} bound is {bound}, but the file has {value}"))
        };
        beyond(&self.lower, least, Ordering::Less, "lower").or_else(|| beyond(&self.upper, greatest, Ordering::Greater, "upper"))
    }
}
