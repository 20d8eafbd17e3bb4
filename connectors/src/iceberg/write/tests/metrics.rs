//! Metrics of files against what the rows say.

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use iceberg::spec::{DataFile, Datum, PrimitiveType};
use weir_base::memory::MemoryBudget;

use super::fixture::Fixture;
use super::rows::{Numbers, every_type, random_batch};

async fn written(properties: &[(&str, &str)]) -> (RecordBatch, DataFile) {
    let fixture = Fixture::new(every_type(), &[], properties);
    let batch = random_batch(&fixture.plan.schema, 5_000, -20, &mut Numbers(11));
    let files = fixture.write(&[batch.slice(0, 2_000), batch.slice(2_000, 3_000)], &MemoryBudget::new(1 << 30)).await;
    (batch, files[0].to_data_file(&fixture.table.metadata).expect("data file"))
}

fn id(name: &str) -> i32 {
    // Builders number the fields of a new table anew, level by level: names are what stays.
    let fixture = Fixture::new(every_type(), &[], &[]);
    fixture.table.metadata.current_schema().field_id_by_name(name).expect("field")
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_and_bounds_hold_for_plain_and_nested_columns() {
    let (batch, file) = written(&[("write.parquet.row-group-size-bytes", "20 kb")]).await;
    assert!(file.split_offsets().is_some_and(|offsets| offsets.len() > 1 && offsets[0] == 4));
    assert_eq!(file.value_counts()[&id("id")], 5_000);
    assert_eq!(file.null_value_counts()[&id("s")], batch.column_by_name("s").expect("s").null_count() as u64);
    assert_eq!(file.lower_bounds()[&id("id")], Datum::long(-20_i64));
    assert_eq!(file.upper_bounds()[&id("id")], Datum::long(4_979_i64));

    let money = batch.column_by_name("money").expect("money").as_primitive::<Decimal128Type>();
    let decimal = |value: Option<i128>| {
        let bytes = value.expect("a value").to_be_bytes();
        Datum::try_from_bytes(&bytes, PrimitiveType::Decimal { precision: 10, scale: 2 }).expect("decimal")
    };
    assert_eq!(file.lower_bounds()[&id("money")], decimal(money.iter().flatten().min()));
    assert_eq!(file.upper_bounds()[&id("money")], decimal(money.iter().flatten().max()));
    let big = batch.column_by_name("big").expect("big").as_primitive::<Decimal128Type>();
    let bytes = big.iter().flatten().min().expect("a value").to_be_bytes();
    let least = Datum::try_from_bytes(&bytes, PrimitiveType::Decimal { precision: 30, scale: 5 }).expect("decimal");
    assert_eq!(file.lower_bounds()[&id("big")], least);

    let row = batch.column_by_name("row").expect("row").as_struct();
    let inner = row.column(1).as_struct();
    let visible = |index: &usize| row.is_valid(*index) && inner.is_valid(*index) && inner.column(1).is_valid(*index);
    let floats = inner.column(1).as_primitive::<Float64Type>();
    let seen: Vec<f64> = (0..batch.num_rows()).filter(visible).map(|index| floats.value(index)).collect();
    let least = seen.iter().copied().filter(|value| !value.is_nan()).fold(f64::INFINITY, f64::min);
    assert_eq!(file.lower_bounds()[&id("row.inner.x")], Datum::double(least));
    assert_eq!(file.null_value_counts()[&id("row.inner.x")], (batch.num_rows() - seen.len()) as u64);
    assert!(file.nan_value_counts()[&id("d")] > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nans_are_counted_and_never_bounds() {
    let (batch, file) = written(&[]).await;
    let floats = batch.column_by_name("d").expect("d").as_primitive::<Float64Type>();
    let nans = floats.iter().flatten().filter(|value| value.is_nan()).count() as u64;
    assert!(nans > 0);
    assert_eq!(file.nan_value_counts()[&id("d")], nans);
    assert!(!file.upper_bounds()[&id("d")].is_nan());
    assert!(!file.nan_value_counts().contains_key(&id("s")));
}

#[tokio::test(flavor = "multi_thread")]
async fn text_bounds_are_cut_and_still_hold() {
    let (batch, file) = written(&[("write.metadata.metrics.default", "truncate(3)")]).await;
    let texts: Vec<&str> = batch.column_by_name("s").expect("s").as_string::<i32>().iter().flatten().collect();
    let (least, most) = (texts.iter().min().expect("texts"), texts.iter().max().expect("texts"));
    let lower = file.lower_bounds()[&id("s")].to_human_string();
    assert!(lower.chars().count() <= 3 && lower.as_str() <= *least);
    // The largest texts begin with the last character there is: there may be nothing above them.
    if let Some(upper) = file.upper_bounds().get(&id("s")) {
        assert!(upper.to_human_string().as_str() >= *most);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn modes_decide_what_is_kept() {
    let (_, file) = written(&[
        ("write.metadata.metrics.default", "counts"),
        ("write.metadata.metrics.column.id", "full"),
        ("write.metadata.metrics.column.s", "none"),
    ])
    .await;
    assert_eq!(file.lower_bounds().keys().copied().collect::<Vec<_>>(), [id("id")]);
    assert!(!file.value_counts().contains_key(&id("s")) && !file.column_sizes().contains_key(&id("s")));
    assert!(file.value_counts().contains_key(&id("ts")));
    assert!(!file.value_counts().contains_key(&id("names.element")), "values of lists are not rows");
    assert!(file.column_sizes().contains_key(&id("names.element")));
}

#[tokio::test(flavor = "multi_thread")]
async fn full_bounds_are_whole() {
    let (batch, file) = written(&[("write.metadata.metrics.default", "full")]).await;
    let texts = batch.column_by_name("s").expect("s").as_string::<i32>();
    let most = texts.iter().flatten().max().expect("texts");
    assert_eq!(file.upper_bounds()[&id("s")], Datum::string(most));
    let ids = batch.column(0).as_primitive::<Int64Type>();
    assert_eq!(file.record_count(), ids.len() as u64);
}
