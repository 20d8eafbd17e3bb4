//! Rows in an order while they are written anew.

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use iceberg::spec::Datum;
use weir_catalog::read::LiveFile;

use super::support::{Lake, local, request, rows};
use crate::policy::Options;
use crate::{Request, SortBy};

/// Ids from 0 to `count`, in no order.
fn shuffled(count: i64) -> impl Iterator<Item = i64> + Clone {
    (0..count).map(move |id| id * 7_919 % count)
}

async fn sort_by(lake: &Lake, text: &str) -> Option<SortBy> {
    SortBy::of(Some(text), &lake.table().await.metadata).expect("understood")
}

fn ids(live: &LiveFile) -> Vec<i64> {
    let file = std::fs::File::open(local(live.file.file_path())).expect("file");
    let batches = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).expect("a Parquet file").build().expect("reader");
    let ids = |batch: RecordBatch| batch.column(0).as_primitive::<Int64Type>().values().to_vec();
    batches.flat_map(|batch| ids(batch.expect("batch"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_settled_is_sorted_once_into_files_that_do_not_overlap_and_stays() {
    let mut lake = Lake::new(&[], &[("write.parquet.compression-codec", "uncompressed")]).await;
    let all: Vec<i64> = shuffled(60_000).collect();
    for part in all.chunks(10_000) {
        lake.append(&rows(part.iter().copied())).await;
    }
    lake.delete_ids([77_i64, 30_000].into_iter()).await;
    let before = lake.content().await;
    let sort = sort_by(&lake, "id DESC NULLS LAST, v").await;
    let wanted = request(true);
    let wanted = Request { sort, options: Options { target_bytes: 150_000, ..wanted.options }, ..wanted };
    let report = lake.compact(&wanted).await;
    assert_eq!((report.decoded, report.copied, report.files_before), (1, 0, 6));
    assert_eq!(lake.content().await, before);
    let (mut files, deletes) = lake.live().await;
    assert!(files.len() > 2 && deletes.is_empty(), "{} files", files.len());
    let metadata = lake.table().await.metadata;
    let order = metadata.sort_orders_iter().find(|order| order.order_id == 1).expect("the order is known to the table");
    assert_eq!((order.fields.len(), metadata.default_sort_order().is_unsorted()), (2, true), "and is not its own");
    files.sort_by_key(|live| std::cmp::Reverse(ids(live)[0]));
    let sorted: Vec<i64> = files.iter().flat_map(ids).collect();
    assert!(sorted.len() == 59_998 && sorted.windows(2).all(|two| two[0] > two[1]), "in order within files and from file to file");
    for live in &files {
        assert_eq!(live.file.sort_order_id(), Some(1));
        let ids = ids(live);
        assert_eq!(live.file.lower_bounds()[&1], Datum::long(ids[ids.len() - 1]));
    }
    assert_eq!(lake.compact(&wanted).await.commits, 0, "it is not sorted again");
    assert_eq!(lake.compact(&Request { sort: None, ..wanted }).await.commits, 0, "nor is the order lost");
    assert!(lake.orphans().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_the_table_is_taken_without_asking() {
    let mut lake = Lake::new(&[], &[]).await;
    for part in 0..6 {
        lake.append(&rows(shuffled(700).map(|id| id * 6 + part))).await;
    }
    let table = lake.table().await;
    assert_eq!(SortBy::of(None, &table.metadata).expect("nothing is wrong"), None);
    let order = "id ASC NULLS FIRST";
    sort_by(&lake, order).await.expect("columns").register(lake.catalog.as_ref(), &lake.id).await.expect("added");
    lake.catalog.commit(&lake.table().await, Vec::new(), vec![iceberg::TableUpdate::SetDefaultSortOrder { sort_order_id: 1 }]).await.expect("set");
    let metadata = lake.table().await.metadata;
    for text in [None, Some("table"), Some(" TABLE ")] {
        let sort = SortBy::of(text, &metadata).expect("the table has one");
        assert_eq!(sort.expect("an order").to_string(), order, "{text:?}");
    }
    let report = lake.compact(&Request { sort: SortBy::of(None, &metadata).expect("an order"), ..request(true) }).await;
    assert_eq!((report.decoded, report.files_after), (1, 1));
    let (files, _) = lake.live().await;
    assert_eq!(ids(&files[0]), (0..4_200).collect::<Vec<i64>>());
    assert_eq!(files[0].file.sort_order_id(), Some(1));
    assert_eq!(lake.table().await.metadata.sort_orders_iter().count(), 2, "unsorted, and this one");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_cannot_be_is_refused_with_the_column() {
    let lake = Lake::new(&[], &[]).await;
    let metadata = lake.table().await.metadata;
    for (text, part) in [
        ("kindd", "no column 'kindd'. Did you mean 'kind'?"),
        ("id, v DESC, id ASC", "column 'id' is named twice"),
        ("id DOWN", "'DOWN' behind column 'id'"),
        ("table", "no order of its own"),
    ] {
        let error = SortBy::of(Some(text), &metadata).expect_err("refused");
        assert!(error.to_string().contains(part) && error.to_string().contains(text), "{error}");
    }
}
