//! Sums over columns of a snapshot, or of some of its files, without the rows that deletes hide: the same before and after a rewrite.
//!
//! Integers and decimals are added exactly, in 256 bits. Floats are not: their sum depends on the order of the rows, and is told as such.

use std::fmt;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Decimal128Type, Decimal256Type, DecimalType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_buffer::i256;
use arrow_schema::DataType;
use futures::{StreamExt, TryStreamExt, stream};
use iceberg::spec::Snapshot;
use weir_base::options::closest;
use weir_catalog::lake::LakeTable;
use weir_fs::FileSystems;

use super::read::{SnapshotRows, TableColumns};
use crate::error::ConnectorError;

/// Files read at the same time.
const FILES_AT_ONCE: usize = 4;

/// The sum of one column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sum {
    /// Exact: the digits, and how many of them are behind the point.
    Exact(i256, i8),
    /// Of floats, as the order of the rows has it.
    Float(f64),
    /// More than 256 bits.
    TooLarge,
}

impl Sum {
    /// Whether two sums can be of the same rows in another order. Floats may differ in their last digits.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => a.total_cmp(b).is_eq() || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()),
            (a, b) => a == b,
        }
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(digits, 0) => write!(f, "{digits}"),
            Self::Exact(digits, scale) => f.write_str(&Decimal256Type::format_decimal(*digits, u8::MAX, *scale)),
            Self::Float(sum) => write!(f, "~{sum}"),
            Self::TooLarge => f.write_str("too large"),
        }
    }
}

/// One column of [`Sums`].
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnSum {
    /// Name.
    pub column: String,
    /// Rows in which it is null.
    pub nulls: u64,
    /// The sum of the others.
    pub sum: Sum,
}

/// What rows add up to.
#[derive(Debug, Clone, PartialEq)]
pub struct Sums {
    /// Rows.
    pub rows: u64,
    /// The columns that were asked for, in that order.
    pub columns: Vec<ColumnSum>,
}

impl Sums {
    /// Whether both can be of the same rows.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        let columns = || self.columns.iter().zip(&other.columns);
        self.rows == other.rows
            && self.columns.len() == other.columns.len()
            && columns().all(|(a, b)| a.column == b.column && a.nulls == b.nulls && a.sum.agrees_with(&b.sum))
    }

    fn add(&mut self, batch: &RecordBatch) {
        self.rows += batch.num_rows() as u64;
        for (column, array) in self.columns.iter_mut().zip(batch.columns()) {
            column.nulls += array.null_count() as u64;
            column.sum = plus(column.sum, sum_of(array));
        }
    }

    fn plus(mut self, other: &Self) -> Self {
        self.rows += other.rows;
        for (column, more) in self.columns.iter_mut().zip(&other.columns) {
            column.nulls += more.nulls;
            column.sum = plus(column.sum, more.sum);
        }
        self
    }
}

/// Adds up columns of a table.
#[derive(Debug)]
pub struct SumReader {
    name: String,
    table: LakeTable,
    file_systems: FileSystems,
    columns: TableColumns,
    nothing: Sums,
}

impl SumReader {
    /// A reader of these columns of `table`, which messages call `name`.
    ///
    /// # Errors
    /// Columns that the table does not have, or that are no numbers (user), with the nearest that are.
    pub fn try_new(name: &str, table: &LakeTable, file_systems: &FileSystems, columns: &[String]) -> Result<Self, ConnectorError> {
        let all = TableColumns::of(name, &table.metadata, table.metadata.current_schema())?;
        let numbers = || all.schema.fields().iter().filter(|field| zero_of(field.data_type()).is_some());
        let (mut wanted, mut sums) = (Vec::new(), Vec::new());
        for column in columns {
            let found = all.schema.fields().iter().position(|field| field.name() == column);
            let (Some(index), Some(zero)) = (found, found.and_then(|index| zero_of(all.schema.field(index).data_type()))) else {
                let what = if found.is_some() { "is no number" } else { "does not exist" };
                let names: Vec<&str> = numbers().map(|field| field.name().as_str()).collect();
                let near = closest(column, names.iter().copied()).first().map(|near| format!(" Did you mean '{near}'?")).unwrap_or_default();
                return Err(ConnectorError::user(format!(
                    "Table '{name}': column '{column}' {what}.{near} Columns with a sum: {}.",
                    names.join(", ")
                )));
            };
            wanted.push(index);
            sums.push(ColumnSum { column: column.clone(), nulls: 0, sum: zero });
        }
        let columns = all.project(&wanted).map_err(|error| ConnectorError::internal(error.to_string()))?;
        let nothing = Sums { rows: 0, columns: sums };
        Ok(Self { name: name.to_owned(), table: table.clone(), file_systems: file_systems.clone(), columns, nothing })
    }

    /// The sums over `files` of a snapshot, over all of them if none are named. `done` is told how many of how many files are done.
    ///
    /// # Errors
    /// Files that the snapshot does not have, or that cannot be read.
    pub async fn of(&self, snapshot: &Snapshot, files: Option<&[String]>, done: impl Fn(usize, usize)) -> Result<Sums, ConnectorError> {
        let rows = SnapshotRows::of_columns(&self.name, &self.table, snapshot, &self.file_systems, self.columns.clone()).await?;
        let paths: Vec<String> = files.map_or_else(|| rows.paths().map(str::to_owned).collect(), <[String]>::to_vec);
        let all = paths.len();
        let reads = paths.into_iter().map(|path| self.of_file(&rows, path)).collect::<Vec<_>>();
        let mut reads = stream::iter(reads).buffered(FILES_AT_ONCE);
        let (mut sums, mut count) = (self.nothing.clone(), 0);
        while let Some(more) = reads.try_next().await? {
            sums = sums.plus(&more);
            count += 1;
            done(count, all);
        }
        Ok(sums)
    }

    async fn of_file(&self, rows: &SnapshotRows, path: String) -> Result<Sums, ConnectorError> {
        let mut sums = self.nothing.clone();
        let mut batches = rows.of(&path).await?;
        while let Some(batch) = batches.next().await.transpose()? {
            sums.add(&batch);
        }
        Ok(sums)
    }
}

/// The sum of no rows; `None` for a type that has no sum.
fn zero_of(data_type: &DataType) -> Option<Sum> {
    match data_type {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Some(Sum::Exact(i256::ZERO, 0)),
        DataType::Decimal128(_, scale) => Some(Sum::Exact(i256::ZERO, *scale)),
        DataType::Float32 | DataType::Float64 => Some(Sum::Float(0.0)),
        _ => None,
    }
}

/// The sum of an array of one of the types that have one.
fn sum_of(array: &ArrayRef) -> Sum {
    match array.data_type() {
        DataType::Int8 => exact::<Int8Type>(array, 0),
        DataType::Int16 => exact::<Int16Type>(array, 0),
        DataType::Int32 => exact::<Int32Type>(array, 0),
        DataType::Int64 => exact::<Int64Type>(array, 0),
        DataType::Decimal128(_, scale) => {
            let values = array.as_primitive::<Decimal128Type>().iter().flatten();
            let sum = values.map(i256::from_i128).try_fold(i256::ZERO, i256::checked_add);
            sum.map_or(Sum::TooLarge, |sum| Sum::Exact(sum, *scale))
        }
        DataType::Float32 => Sum::Float(array.as_primitive::<Float32Type>().iter().flatten().map(f64::from).sum()),
        DataType::Float64 => Sum::Float(array.as_primitive::<Float64Type>().iter().flatten().sum()),
        _ => Sum::TooLarge,
    }
}

/// An array has less than 2^32 rows of 64 bits, whose sum 128 bits hold.
fn exact<T: ArrowPrimitiveType>(array: &ArrayRef, scale: i8) -> Sum
where
    T::Native: Into<i64>,
{
    let sum: i128 = array.as_primitive::<T>().iter().flatten().map(|value| i128::from(value.into())).sum();
    Sum::Exact(i256::from_i128(sum), scale)
}

fn plus(a: Sum, b: Sum) -> Sum {
    match (a, b) {
        (Sum::Exact(a, scale), Sum::Exact(b, other)) if scale == other => a.checked_add(b).map_or(Sum::TooLarge, |sum| Sum::Exact(sum, scale)),
        (Sum::Float(a), Sum::Float(b)) => Sum::Float(a + b),
        _ => Sum::TooLarge,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Decimal128Array, Float64Array, Int64Array};

    use super::*;

    #[test]
    fn sums_are_exact_where_the_type_would_overflow() {
        let longs: ArrayRef = Arc::new(Int64Array::from(vec![Some(i64::MAX), None, Some(i64::MAX), Some(1)]));
        let twice = plus(sum_of(&longs), sum_of(&longs));
        assert_eq!(twice.to_string(), "36893488147419103230");
        let greatest = "9".repeat(38).parse::<i128>().expect("fits");
        let decimals = Decimal128Array::from(vec![greatest; 3]).with_precision_and_scale(38, 2).expect("fits");
        let sum = sum_of(&(Arc::new(decimals) as ArrayRef));
        assert_eq!(sum.to_string(), format!("2{}.97", "9".repeat(36)));
        assert_eq!(plus(sum, Sum::Exact(i256::from_i128(-5), 2)).to_string(), format!("2{}.92", "9".repeat(36)));
        assert_eq!(plus(Sum::Exact(i256::MAX, 0), Sum::Exact(i256::ONE, 0)), Sum::TooLarge);
    }

    #[test]
    fn floats_agree_within_their_last_digits_and_exact_sums_only_if_they_are_equal() {
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.1, 0.2, 0.3]));
        assert!(sum_of(&floats).to_string().starts_with('~'));
        assert!(Sum::Float(0.1 + 0.2 + 0.3).agrees_with(&Sum::Float(0.3 + 0.2 + 0.1)));
        assert!(!Sum::Float(1.0).agrees_with(&Sum::Float(1.000_001)));
        assert!(Sum::Float(f64::NAN).agrees_with(&Sum::Float(f64::NAN)));
        assert!(!Sum::Exact(i256::ONE, 0).agrees_with(&Sum::Exact(i256::ZERO, 0)));
    }
}
