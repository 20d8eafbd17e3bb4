//! Tables without partitions, and what holds for every writer.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use weir_base::Classified;
use weir_base::ErrorKind;
use weir_base::memory::{MemoryBudget, Use};

use super::fixture::{Fixture, Intents, local};
use super::rows::{Numbers, every_type, random_batch};
use crate::sink::SinkWriter;

fn roomy() -> MemoryBudget {
    MemoryBudget::new(1 << 30)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_comes_back_as_it_was_written() {
    for codec in ["zstd", "snappy", "gzip", "lz4", "uncompressed"] {
        let fixture = Fixture::new(every_type(), &[], &[("write.parquet.compression-codec", codec)]);
        let batch = random_batch(&fixture.plan.schema, 3_000, 0, &mut Numbers(42));
        let budget = roomy();
        let files = fixture.write(&[batch.slice(0, 1_000), batch.slice(1_000, 2_000)], &budget).await;
        assert_eq!(files.len(), 1, "{codec}");
        assert_eq!(files[0].records, 3_000);
        assert_eq!(files[0].bytes, std::fs::metadata(local(&files[0].path)).expect("file").len());
        let got = fixture.read(&files[0]);
        for (index, field) in fixture.plan.schema.fields().iter().enumerate() {
            assert_eq!(got.column(index), batch.column(index), "{codec} {}", field.name());
        }
        assert_eq!(budget.used_for(Use::Writers), 0, "everything is given back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_carry_field_ids_at_every_level() {
    let fixture = Fixture::new(every_type(), &[], &[]);
    let files = fixture.write(&[random_batch(&fixture.plan.schema, 10, 0, &mut Numbers(1))], &roomy()).await;
    let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(local(&files[0].path)).expect("file")).expect("parquet");
    let ids: Vec<i32> = reader.parquet_schema().columns().iter().map(|column| column.self_type().get_basic_info().id()).collect();
    let expected: Vec<i32> = fixture.plan.leaves.iter().map(|known| known.leaf.id).collect();
    assert_eq!(ids, expected);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_file_is_begun_at_the_target_size() {
    let fixture = Fixture::new(every_type(), &[], &[("write.target-file-size-bytes", "200 kb"), ("write.parquet.row-group-size-bytes", "50 kb")]);
    let mut numbers = Numbers(3);
    let batches: Vec<_> = (0..8).map(|part| random_batch(&fixture.plan.schema, 4_096, part * 4_096, &mut numbers)).collect();
    let files = fixture.write(&batches, &roomy()).await;
    assert!(files.len() > 2, "{}", files.len());
    let mut ids = BTreeSet::new();
    for file in &files {
        assert!(file.bytes < 1 << 20, "{}", file.bytes);
        ids.extend(fixture.read(file).column(0).as_primitive::<Int64Type>().values().iter().copied());
    }
    assert_eq!(ids.len(), 8 * 4_096);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_group_ends_early_when_memory_is_short() {
    let fixture = Fixture::new(every_type(), &[], &[("write.parquet.row-group-size-bytes", "1 gb")]);
    let mut numbers = Numbers(4);
    let batches: Vec<_> = (0..20).map(|part| random_batch(&fixture.plan.schema, 8_192, part * 8_192, &mut numbers)).collect();
    let budget = MemoryBudget::new(48 << 20);
    let files = fixture.write(&batches, &budget).await;
    let file = files[0].to_data_file(&fixture.table.metadata).expect("data file");
    assert!(file.split_offsets().is_some_and(|offsets| offsets.len() > 1), "{:?}", file.split_offsets());
    assert!(budget.peak() <= budget.limit(), "{} of {}", budget.peak(), budget.limit());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_epoch_leaves_no_files() {
    let fixture = Fixture::new(every_type(), &[], &[("write.target-file-size-bytes", "10 kb")]);
    let mut writer = fixture.writer(&roomy());
    for part in 0..4 {
        writer.write(random_batch(&fixture.plan.schema, 9_000, part, &mut Numbers(5))).await.expect("writes");
    }
    assert!(!fixture.intents.paths.lock().expect("lock").is_empty());
    writer.abort().await;
    assert_eq!(fixture.files_on_disk(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_was_announced_under_its_name() {
    let fixture = Fixture::new(every_type(), &[], &[("write.target-file-size-bytes", "10 kb")]);
    let mut numbers = Numbers(6);
    let batches: Vec<_> = (0..3).map(|part| random_batch(&fixture.plan.schema, 9_000, part * 9_000, &mut numbers)).collect();
    let files = fixture.write(&batches, &roomy()).await;
    let mut written: Vec<String> = files.into_iter().map(|file| file.path).collect();
    written.sort();
    let mut announced = fixture.intents.paths.lock().expect("lock").clone();
    announced.sort();
    assert_eq!(written, announced);
    assert_eq!(written, fixture.files_on_disk());
    assert!(written[0].ends_with("/t/data/my_20job-s1-7-a0-0-0.parquet"), "{}", written[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_intent_there_is_no_file() {
    let mut fixture = Fixture::new(every_type(), &[], &[]);
    fixture.intents = Arc::new(Intents { broken: true, ..Intents::default() });
    let mut writer = fixture.writer(&roomy());
    writer.write(random_batch(&fixture.plan.schema, 10, 0, &mut Numbers(7))).await.expect("only waits");
    let error = writer.finish().await.expect_err("no intent");
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert_eq!(fixture.files_on_disk(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_without_rows_gives_nothing() {
    let fixture = Fixture::new(every_type(), &[], &[]);
    assert_eq!(fixture.write(&[], &roomy()).await, []);
    assert_eq!(fixture.files_on_disk(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_null_in_a_required_column_is_the_users_error() {
    let fixture = Fixture::new(every_type(), &[], &[]);
    let batch = random_batch(&fixture.plan.schema, 10, 0, &mut Numbers(8));
    let mut columns = batch.columns().to_vec();
    columns[0] = Arc::new(arrow_array::Int64Array::from(vec![None; 10]));
    let fields: Vec<_> = batch.schema().fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    let batch = arrow_array::RecordBatch::try_new(Arc::new(arrow_schema::Schema::new(fields)), columns).expect("batch");
    let error = fixture.writer(&roomy()).write(batch).await.expect_err("id is required");
    assert_eq!(error.kind(), ErrorKind::User);
    assert!(error.to_string().contains("c.d.t") && error.to_string().contains("id"), "{error}");
}
