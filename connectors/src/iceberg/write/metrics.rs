//! Column metrics of a finished file, computed from its Parquet footer.
//!
//! Counts and bounds are kept for leaves outside lists and maps, as Iceberg's own writers do; sizes for every leaf. Bounds are cut to the
//! configured length: a lower bound by truncation, an upper bound by truncation and the next larger last character.

use std::collections::BTreeMap;

use iceberg::spec::{Datum, PrimitiveLiteral, PrimitiveType, Schema, Type};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;

use crate::iceberg::leaves::Leaf;

/// Which metrics of a column are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::iceberg) enum MetricsMode {
    /// None.
    None,
    /// Sizes and counts.
    Counts,
    /// With bounds of so many characters or bytes.
    Truncate(usize),
    /// With whole bounds.
    Full,
}

impl MetricsMode {
    /// `none`, `counts`, `truncate(16)`, `full`, in any case.
    pub(in crate::iceberg) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        match text.as_str() {
            "none" => Some(Self::None),
            "counts" => Some(Self::Counts),
            "full" => Some(Self::Full),
            _ => {
                let length: usize = text.strip_prefix("truncate(")?.strip_suffix(')')?.trim().parse().ok()?;
                (length > 0).then_some(Self::Truncate(length))
            }
        }
    }
}

/// The `write.metadata.metrics.*` properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MetricsConfig {
    pub(super) default: Option<MetricsMode>,
    pub(super) columns: Vec<(String, MetricsMode)>,
}

const COLUMNS_WITH_METRICS: usize = 100;

impl MetricsConfig {
    /// The mode of each leaf: the column's own, else the default given, else `truncate(16)` for the first hundred.
    pub(super) fn modes(&self, leaves: &[Leaf], schema: &Schema) -> Vec<MetricsMode> {
        let mode = |(index, leaf): (usize, &Leaf)| {
            let name = schema.name_by_field_id(leaf.id);
            let own = self.columns.iter().find(|(column, _)| Some(column.as_str()) == name).map(|(_, mode)| *mode);
            let inferred = if index < COLUMNS_WITH_METRICS { MetricsMode::Truncate(16) } else { MetricsMode::None };
            own.or(self.default).unwrap_or(inferred)
        };
        leaves.iter().enumerate().map(mode).collect()
    }
}

/// Metrics by field id.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ColumnMetrics {
    pub(super) sizes: BTreeMap<i32, u64>,
    pub(super) values: BTreeMap<i32, u64>,
    pub(super) nulls: BTreeMap<i32, u64>,
    pub(super) nans: BTreeMap<i32, u64>,
    pub(super) lower: BTreeMap<i32, Datum>,
    pub(super) upper: BTreeMap<i32, Datum>,
}

/// What is known about a leaf before a file is written.
#[derive(Debug, Clone)]
pub(super) struct LeafMetrics {
    pub(super) leaf: Leaf,
    pub(super) mode: MetricsMode,
    pub(super) primitive: Option<PrimitiveType>,
}

/// Pairs each leaf with its mode and Iceberg type.
pub(super) fn leaf_metrics(leaves: &[Leaf], schema: &Schema, config: &MetricsConfig) -> Vec<LeafMetrics> {
    let modes = config.modes(leaves, schema);
    let of = |(leaf, mode): (&Leaf, MetricsMode)| {
        let primitive = schema.field_by_id(leaf.id).and_then(|field| match field.field_type.as_ref() {
            Type::Primitive(primitive) => Some(primitive.clone()),
            Type::Struct(_) | Type::List(_) | Type::Map(_) => None,
        });
        LeafMetrics { leaf: leaf.clone(), mode, primitive }
    };
    leaves.iter().zip(modes).map(of).collect()
}

/// The metrics of a file. `nans` has one number for each leaf; leaves that are no floats have zero.
pub(super) fn collect(leaves: &[LeafMetrics], footer: &ParquetMetaData, nans: &[u64]) -> ColumnMetrics {
    let mut metrics = ColumnMetrics::default();
    for (index, known) in leaves.iter().enumerate() {
        if known.mode == MetricsMode::None {
            continue;
        }
        let id = known.leaf.id;
        let chunks: Vec<_> = footer.row_groups().iter().filter_map(|group| group.columns().get(index)).collect();
        let size = chunks.iter().map(|chunk| u64::try_from(chunk.compressed_size()).unwrap_or(0)).sum();
        metrics.sizes.insert(id, size);
        if known.leaf.repeated {
            continue;
        }
        metrics.values.insert(id, chunks.iter().map(|chunk| u64::try_from(chunk.num_values()).unwrap_or(0)).sum());
        let statistics: Option<Vec<&Statistics>> = chunks.iter().map(|chunk| chunk.statistics()).collect();
        let Some(statistics) = statistics else { continue };
        if let Some(nulls) = statistics.iter().map(|chunk| chunk.null_count_opt()).sum::<Option<u64>>() {
            metrics.nulls.insert(id, nulls);
        }
        if matches!(known.primitive, Some(PrimitiveType::Float | PrimitiveType::Double)) {
            metrics.nans.insert(id, nans.get(index).copied().unwrap_or(0));
        }
        if let Some(primitive) = &known.primitive {
            bounds(&mut metrics, id, primitive, known.mode, &statistics);
        }
    }
    metrics
}

/// A row group without bounds holds only nulls and NaNs, or values too odd to bound; then the file has a bound only if every group with
/// other values has one.
fn bounds(metrics: &mut ColumnMetrics, id: i32, primitive: &PrimitiveType, mode: MetricsMode, groups: &[&Statistics]) {
    let length = match mode {
        MetricsMode::None | MetricsMode::Counts => return,
        MetricsMode::Truncate(length) => Some(length),
        MetricsMode::Full => None,
    };
    let (mut lower, mut upper): (Option<Datum>, Option<Datum>) = (None, None);
    for group in groups {
        if let Some(found) = group.min_bytes_opt().and_then(|bytes| datum(bytes, group, primitive)) {
            lower = Some(lower.take().filter(|known| *known <= found).unwrap_or(found));
        }
        if let Some(found) = group.max_bytes_opt().and_then(|bytes| datum(bytes, group, primitive)) {
            upper = Some(upper.take().filter(|known| *known >= found).unwrap_or(found));
        }
    }
    if let Some(lower) = lower.map(|lower| cut_lower(lower, length)) {
        metrics.lower.insert(id, lower);
    }
    if let Some(upper) = upper.and_then(|upper| cut_upper(upper, length)) {
        metrics.upper.insert(id, upper);
    }
}

fn datum(bytes: &[u8], statistics: &Statistics, primitive: &PrimitiveType) -> Option<Datum> {
    let decimal = matches!(primitive, PrimitiveType::Decimal { .. });
    let bytes = match statistics {
        // Parquet keeps integers little-endian, Iceberg wants decimals big-endian.
        Statistics::Int32(_) | Statistics::Int64(_) if decimal => bytes.iter().rev().copied().collect(),
        _ => bytes.to_vec(),
    };
    Datum::try_from_bytes(&bytes, primitive.clone()).ok()
}

fn cut_lower(bound: Datum, length: Option<usize>) -> Datum {
    let Some(length) = length else { return bound };
    match (bound.data_type(), bound.literal()) {
        (PrimitiveType::String, PrimitiveLiteral::String(text)) => Datum::string(text.chars().take(length).collect::<String>()),
        (PrimitiveType::Binary, PrimitiveLiteral::Binary(bytes)) => Datum::binary(bytes.iter().copied().take(length)),
        _ => bound,
    }
}

/// `None` if there is no larger value of that length.
fn cut_upper(bound: Datum, length: Option<usize>) -> Option<Datum> {
    let Some(length) = length else { return Some(bound) };
    match (bound.data_type(), bound.literal()) {
        (PrimitiveType::String, PrimitiveLiteral::String(text)) if text.chars().count() > length => {
            next_text(text.chars().take(length).collect()).map(Datum::string)
        }
        (PrimitiveType::Binary, PrimitiveLiteral::Binary(bytes)) if bytes.len() > length => {
            next_bytes(bytes.iter().copied().take(length).collect()).map(Datum::binary)
        }
        _ => Some(bound),
    }
}

fn next_text(mut characters: Vec<char>) -> Option<String> {
    while let Some(last) = characters.pop() {
        let next = match u32::from(last) + 1 {
            0xD800 => char::from_u32(0xE000),
            code => char::from_u32(code),
        };
        if let Some(next) = next {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

fn next_bytes(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    while let Some(last) = bytes.pop() {
        if let Some(next) = last.checked_add(1) {
            bytes.push(next);
            return Some(bytes);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_parsed() {
        assert_eq!(MetricsMode::parse(" Truncate(8) "), Some(MetricsMode::Truncate(8)));
        assert_eq!(MetricsMode::parse("FULL"), Some(MetricsMode::Full));
        for bad in ["truncate", "truncate(0)", "truncate(x)", ""] {
            assert_eq!(MetricsMode::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_upper_bound_is_never_below_the_value_it_was_cut_from() {
        let cut = |text: &str| cut_upper(Datum::string(text), Some(2)).map(|bound| bound.to_human_string());
        assert_eq!(cut("ab"), Some("ab".to_owned()));
        assert_eq!(cut("abc"), Some("ac".to_owned()));
        assert_eq!(cut("a\u{10FFFF}c"), Some("b".to_owned()));
        assert_eq!(cut("a\u{D7FF}c"), Some("a\u{E000}".to_owned()));
        assert_eq!(cut("\u{10FFFF}\u{10FFFF}c"), None);
        assert_eq!(next_bytes(vec![1, 255, 255]), Some(vec![2]));
        assert_eq!(next_bytes(vec![255]), None);
        assert_eq!(cut_lower(Datum::string("äöü"), Some(2)), Datum::string("äö"));
    }
}
