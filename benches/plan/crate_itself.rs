//! The Iceberg crate's own planning, over the same file systems. Its `Table` keeps manifests up to 32 MiB, which is its default.

use futures::TryStreamExt;
use iceberg::TableIdent;
use iceberg::expr::{Predicate, Reference};
use iceberg::spec::Datum;
use iceberg::table::StaticTable;
use weir_fs::FileSystems;

use crate::Outcome;
use crate::queries::{Filter, HOUR, ID, POSITIONS, Query};
use crate::report::{Measured, measured};
use crate::table::Table;

/// Loads the table once, and finds its files each time.
pub(crate) async fn files(table: &Table, query: &Query) -> Outcome<Measured> {
    let location = Box::pin(table.metadata()).await?;
    let io = FileSystems::default().file_io();
    let name = TableIdent::from_strs(["bench", "orders"])?;
    let mut loaded: Option<StaticTable> = None;
    let plan = async || {
        let known = match loaded.take() {
            Some(known) => known,
            None => StaticTable::from_metadata_file(&location, name.clone(), io.clone()).await?,
        };
        let table = loaded.insert(known);
        let scan = match query.filter {
            Some(filter) => table.scan().with_filter(predicate(filter)),
            None => table.scan(),
        };
        let tasks: Vec<_> = scan.build()?.plan_files().await?.try_collect().await?;
        Ok(tasks.len() as u64)
    };
    measured(plan, || 0).await
}

fn predicate(filter: Filter) -> Predicate {
    let time = |seconds: i64| Datum::timestamp_micros(seconds * 1_000_000);
    let column = Reference::new;
    match filter {
        Filter::HourAndId => column("ts")
            .greater_than_or_equal_to(time(HOUR.start))
            .and(column("ts").less_than(time(HOUR.end)))
            .and(column("id").equal_to(Datum::long(ID))),
        Filter::Position => column("pos")
            .greater_than_or_equal_to(Datum::long(*POSITIONS.start()))
            .and(column("pos").less_than_or_equal_to(Datum::long(*POSITIONS.end()))),
    }
}
