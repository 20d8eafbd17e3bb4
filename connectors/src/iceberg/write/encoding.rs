//! How each column is encoded: dictionaries only where they pay, delta for whole numbers and times.
//!
//! A dictionary on a column of many values costs one and a half to two times the CPU and makes the file larger; on one of few values it is
//! the best there is. Which is which is learned from the first rows a sink sees, and kept for its later epochs.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use parquet::basic::Encoding;
use parquet::file::properties::WriterProperties;

use super::metrics::{LeafMetrics, MetricsMode};
use super::options::ParquetSettings;
use crate::iceberg::leaves::{Leaf, leaf_arrays};

/// The encoding of one leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeafEncoding {
    Dictionary,
    Delta,
    Plain,
}

/// Rows that are looked at.
const SAMPLE: usize = 4_096;
/// Rows from which a decision is kept.
const ENOUGH: usize = 1_024;
/// Largest share of distinct values for which a dictionary pays.
const TEXT_SHARE: f64 = 0.25;
const NUMBER_SHARE: f64 = 0.02;

/// What has been learned about the columns of a sink.
#[derive(Debug, Default)]
pub(super) struct LearnedEncodings(Mutex<Option<Arc<[LeafEncoding]>>>);

impl LearnedEncodings {
    /// The encodings to use for a file that begins with `batch`.
    pub(super) fn of(&self, batch: &RecordBatch, leaves: &[LeafMetrics]) -> Arc<[LeafEncoding]> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref() {
            return Arc::clone(known);
        }
        let learned: Arc<[LeafEncoding]> = learn(batch, leaves.iter().map(|known| &known.leaf)).into();
        if batch.num_rows() >= ENOUGH {
            *known = Some(Arc::clone(&learned));
        }
        learned
    }
}

/// Decides for each leaf from the first rows of `batch`.
pub(super) fn learn<'a>(batch: &RecordBatch, leaves: impl Iterator<Item = &'a Leaf>) -> Vec<LeafEncoding> {
    let sample = batch.slice(0, batch.num_rows().min(SAMPLE));
    leaves.zip(leaf_arrays(sample.columns())).map(|(leaf, values)| choose(&leaf.data_type, &values)).collect()
}

fn choose(data_type: &DataType, values: &ArrayRef) -> LeafEncoding {
    let share = |text: bool| if text { TEXT_SHARE } else { NUMBER_SHARE };
    match data_type {
        DataType::Boolean => LeafEncoding::Plain,
        DataType::Utf8 | DataType::Binary | DataType::FixedSizeBinary(_) => few(values, share(true)).unwrap_or(LeafEncoding::Plain),
        DataType::Float32 | DataType::Float64 => few(values, share(false)).unwrap_or(LeafEncoding::Plain),
        // Longer decimals are byte arrays in Parquet, for which there is no delta.
        DataType::Decimal128(precision, _) if *precision > 18 => few(values, share(false)).unwrap_or(LeafEncoding::Plain),
        _ => few(values, share(false)).unwrap_or(LeafEncoding::Delta),
    }
}

/// A dictionary, if the values are few; a column of nulls alone counts as one of few values.
fn few(values: &ArrayRef, share: f64) -> Option<LeafEncoding> {
    let rows = values.len() - values.null_count();
    let distinct = distinct(values)?;
    (distinct <= 1 || distinct as f64 <= rows as f64 * share).then_some(LeafEncoding::Dictionary)
}

fn distinct(values: &ArrayRef) -> Option<usize> {
    let valid = |index: &usize| values.is_valid(*index);
    let rows = 0..values.len();
    Some(match values.data_type() {
        DataType::Utf8 => values.as_string::<i32>().iter().flatten().collect::<HashSet<_>>().len(),
        DataType::Binary => values.as_binary::<i32>().iter().flatten().collect::<HashSet<_>>().len(),
        _ => {
            let data = values.to_data();
            let width = data.data_type().primitive_width().or(match data.data_type() {
                DataType::FixedSizeBinary(width) => usize::try_from(*width).ok(),
                _ => None,
            })?;
            let bytes = data.buffers().first()?.as_slice();
            let value = |index: usize| bytes.get((data.offset() + index) * width..(data.offset() + index + 1) * width);
            rows.filter(valid).filter_map(value).collect::<HashSet<_>>().len()
        }
    })
}

/// The writer properties of a file.
pub(super) fn writer_properties(settings: &ParquetSettings, leaves: &[LeafMetrics], encodings: &[LeafEncoding]) -> WriterProperties {
    let whole_bounds = leaves.iter().any(|known| known.mode == MetricsMode::Full);
    let mut builder = WriterProperties::builder()
        .set_compression(settings.compression)
        .set_max_row_group_row_count(None)
        .set_max_row_group_bytes(Some(settings.row_group_bytes))
        .set_data_page_size_limit(settings.page_bytes)
        .set_data_page_row_count_limit(settings.page_rows)
        .set_dictionary_page_size_limit(settings.dictionary_bytes)
        .set_dictionary_enabled(false);
    if whole_bounds {
        builder = builder.set_statistics_truncate_length(None);
    }
    for (known, encoding) in leaves.iter().zip(encodings) {
        let path = known.leaf.path.clone();
        builder = match encoding {
            LeafEncoding::Dictionary => builder.set_column_dictionary_enabled(path, true),
            LeafEncoding::Delta => builder.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED),
            LeafEncoding::Plain => builder,
        };
    }
    for (column, enabled) in &settings.bloom_filters {
        let parts: Vec<&str> = column.split('.').collect();
        if let Some(known) = leaves.iter().find(|known| known.leaf.path.parts().iter().map(String::as_str).eq(parts.iter().copied())) {
            builder = builder.set_column_bloom_filter_enabled(known.leaf.path.clone(), *enabled);
        }
    }
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iceberg::leaves::leaves;
    use arrow_array::{Int64Array, StringArray};
    use arrow_schema::{Field, Schema};

    fn batch(rows: usize) -> RecordBatch {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("kind", DataType::Utf8, true),
            Field::new("uuid", DataType::Utf8, true),
            Field::new("shard", DataType::Int64, true),
        ]);
        let number = |index: usize| i64::try_from(index).expect("small");
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values((0..rows).map(number))),
            Arc::new(StringArray::from_iter_values((0..rows).map(|index| format!("kind-{}", index % 7)))),
            Arc::new(StringArray::from_iter_values((0..rows).map(|index| format!("{index:032x}")))),
            Arc::new(Int64Array::from_iter_values((0..rows).map(|index| number(index % 4)))),
        ];
        RecordBatch::try_new(Arc::new(schema), columns).expect("batch")
    }

    #[test]
    fn only_columns_of_few_values_get_a_dictionary() {
        let batch = batch(8_192);
        let got = learn(&batch, leaves(batch.schema_ref()).iter());
        assert_eq!(got, [LeafEncoding::Delta, LeafEncoding::Dictionary, LeafEncoding::Plain, LeafEncoding::Dictionary]);
    }

    #[test]
    fn a_decision_from_a_handful_of_rows_is_not_kept() {
        let learned = LearnedEncodings::default();
        let few = batch(3);
        let known: Vec<LeafMetrics> =
            leaves(few.schema_ref()).into_iter().map(|leaf| LeafMetrics { leaf, mode: MetricsMode::Counts, primitive: None }).collect();
        assert_eq!(learned.of(&few, &known)[1], LeafEncoding::Plain);
        assert_eq!(learned.of(&batch(5_000), &known)[1], LeafEncoding::Dictionary);
        assert_eq!(learned.of(&few, &known)[1], LeafEncoding::Dictionary, "kept from now on");
    }
}
