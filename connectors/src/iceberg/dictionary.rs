//! An Iceberg table in lookup joins: all rows of its newest snapshot, in the columns that it had when the query was planned.

use std::sync::Arc;

use arrow_schema::{FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::{StreamExt, TryStreamExt};
use weir_base::options::{OptionBag, OptionDecl, Problem, Problems};
use weir_catalog::lake::{LakeCatalog, LakeTable, TableId};

use super::read::{Chosen, IcebergScan, read_error, row_limit};
use super::stream::MONITOR_INTERVAL;
use crate::error::ConnectorError;
use crate::lookup::{Ability, Charge, Found, Keys, LOOKUP_OPTIONS, Load, Lookup, LookupOptions, LookupParts, Newest, columns_of};
use crate::registry::Opened;

/// How an Iceberg table is looked up, as options say.
#[derive(Debug)]
pub struct IcebergDictionary {
    scan: IcebergScan,
    options: LookupOptions,
}

impl IcebergDictionary {
    /// Lookups in the table `id` by options of lookups and of reading. Does no I/O.
    ///
    /// # Errors
    /// Every problem of the options.
    pub fn open(catalog: &Arc<dyn LakeCatalog>, id: &TableId, options: &OptionBag) -> Result<Opened<Self>, Problems> {
        let (mut of_lookup, mut of_read) = (OptionBag::new(options.object()), OptionBag::new(options.object()));
        for (key, value) in options.iter() {
            let bag = if is_of_lookup(key) { &mut of_lookup } else { &mut of_read };
            bag.insert(key, value, options.position(key));
        }
        if row_limit(&of_read).is_some() {
            let what = "'limit' does not go with a lookup join, which needs all rows.";
            return Err(Problem::new("OPT-006", options.object(), what).at(options.position("limit")).into());
        }
        match (pull(&of_lookup), IcebergScan::open(catalog, id, &of_read)) {
            (Ok(Opened { value: options, mut warnings }), Ok(Opened { value: scan, warnings: more })) => {
                warnings.extend(more);
                Ok(Opened { value: Self { scan, options }, warnings })
            }
            (Err(problems), Ok(_)) | (Ok(_), Err(problems)) => Err(problems),
            (Err(problems), Err(more)) => Err(problems.merge(more)),
        }
    }

    /// The lookup table that `table` is, called `name`, in the columns `columns`; in all of them if none are named.
    ///
    /// # Errors
    /// A snapshot, branch, tag or column that the table does not have; columns that cannot be read.
    pub fn of(self, table: LakeTable, name: &str, columns: &[&str]) -> Result<LookupParts, ConnectorError> {
        let schema = self.scan.provider_of(table)?.schema();
        let places = columns.iter().map(|column| schema.index_of(column)).collect::<Result<Vec<_>, _>>();
        let schema = match columns {
            [] => Ok(schema),
            _ => places.and_then(|places| schema.project(&places)).map(Arc::new),
        };
        let schema = schema.map_err(|error| ConnectorError::user(format!("Table '{name}': not all of its columns are there.")).with_source(error))?;
        Ok((Arc::new(Snapshots { scan: Arc::new(self.scan), name: name.to_owned(), schema, filters: Vec::new() }), self.options))
    }
}

/// Whether an option of an Iceberg table is about looking it up.
pub(super) fn is_of_lookup(key: &str) -> bool {
    key == MONITOR_INTERVAL.key || key.starts_with("lookup.")
}

/// Pulls those options, out of a bag of nothing else.
pub(super) fn pull(options: &OptionBag) -> Result<Opened<LookupOptions>, Problems> {
    let mut bag = options.fresh();
    let watch = bag.duration(&MONITOR_INTERVAL).filter(|watch| !watch.is_zero());
    if bag.contains(MONITOR_INTERVAL.key) && watch.is_none() {
        bag.error("OPT-007", MONITOR_INTERVAL.key, format!("'{}' must be > 0, but is 0.", MONITOR_INTERVAL.key));
    }
    let lookup = watch.and_then(|watch| LookupOptions::pull(&mut bag, Ability::dictionary(watch)));
    let known: Vec<&OptionDecl> = LOOKUP_OPTIONS.iter().chain([&MONITOR_INTERVAL]).collect();
    let object = bag.object().to_owned();
    let warnings = bag.finish("iceberg", &known, &[])?;
    // Whoever gave nothing has said why, and `finish` has failed.
    let value = lookup.ok_or_else(|| Problem::new("OPT-003", object, "the declaration could not be checked."))?;
    Ok(Opened { value, warnings })
}

/// The rows of a table by its snapshots.
#[derive(Debug)]
struct Snapshots {
    scan: Arc<IcebergScan>,
    /// What queries call the table.
    name: String,
    /// The columns that are read, as the table had them when the query was planned.
    schema: SchemaRef,
    /// Conditions on them: files without a row that fulfils all of them are not read.
    filters: Vec<Expr>,
}

impl Snapshots {
    /// Where the columns are among those of `now`.
    fn places(&self, now: &Schema) -> Result<Vec<usize>, ConnectorError> {
        let wrong = |what: String| ConnectorError::user(format!("Table '{}': {what}.", self.name));
        let place = |field: &FieldRef| {
            let index = now.index_of(field.name()).map_err(|_missing| wrong(format!("its column '{}' is no longer there", field.name())))?;
            let found = now.field(index);
            if found.data_type() != field.data_type() {
                return Err(wrong(format!("its column '{}' was {} and is {} now", field.name(), field.data_type(), found.data_type())));
            }
            let may_be_null = found.is_nullable() && !field.is_nullable();
            if may_be_null { Err(wrong(format!("its column '{}' may be NULL now", field.name()))) } else { Ok(index) }
        };
        self.schema.fields().iter().map(place).collect()
    }
}

/// What a snapshot is called.
fn version(chosen: &Chosen) -> String {
    chosen.snapshot.as_ref().map_or_else(|| "no snapshot".to_owned(), |snapshot| format!("snapshot {}", snapshot.snapshot_id()))
}

#[async_trait]
impl Lookup for Snapshots {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn narrowed(&self, columns: &[usize], filters: &[Expr]) -> Arc<dyn Lookup> {
        let schema = columns_of(&self.schema, columns);
        Arc::new(Self { scan: Arc::clone(&self.scan), name: self.name.clone(), schema, filters: filters.to_vec() })
    }

    fn keys(&self, equal: &[usize]) -> Result<Vec<usize>, String> {
        Ok(equal.to_vec())
    }

    async fn get(&self, _keys: &Keys) -> Result<Found, ConnectorError> {
        Err(ConnectorError::internal(format!("Table '{}' is not asked for keys, but loaded", self.name)))
    }

    async fn load(&self, parallelism: usize, known: Option<&str>, _charge: Charge) -> Result<Newest, ConnectorError> {
        let table = self.scan.load().await?;
        let version = version(&self.scan.chosen(&table)?);
        if known == Some(version.as_str()) {
            return Ok(Newest::Known);
        }
        let provider = self.scan.provider_of(table)?;
        let places = self.places(&provider.schema())?;
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(parallelism.max(1)));
        let plan = provider.scan(&context.state(), Some(&places), &self.filters, None).await.map_err(read_error)?;
        let rows = execute_stream(plan, context.task_ctx()).map_err(read_error)?;
        Ok(Newest::Rows(Load { version: Some(version), rows: rows.map_err(read_error).boxed(), skipped: None }))
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::RecordBatch;
    use arrow_schema::{DataType, Field};
    use datafusion::logical_expr::{col, lit};

    use super::super::tests::{Lake, bag, commit};
    use super::*;

    /// The ids that a load gives, and their version; `None` if that is `known`.
    async fn loaded(lookup: &Arc<dyn Lookup>, known: Option<&str>) -> Option<(usize, String)> {
        let load = lookup.load(2, known, Charge::free()).await.expect("loaded").rows()?;
        let batches: Vec<RecordBatch> = load.rows.try_collect().await.expect("read");
        assert!(batches.iter().all(|batch| batch.schema() == lookup.schema()));
        Some((batches.iter().map(RecordBatch::num_rows).sum(), load.version.expect("a version")))
    }

    #[tokio::test]
    async fn each_snapshot_is_a_version_and_is_loaded_once() {
        let lake = Lake::new(&[], &[]).await;
        let opened = IcebergDictionary::open(&lake.catalog, &lake.table.id, &bag(&[("monitor-interval", "5 s")])).expect("fine");
        let (lookup, options) = opened.value.of(lake.table.clone(), "lake.shop.orders", &["kind", "id"]).expect("a table");
        assert_eq!(lookup.schema().fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>(), ["kind", "id"]);
        assert!(matches!(options.cache, crate::lookup::Cache::Full(_)));
        assert_eq!(loaded(&lookup, None).await, Some((0, "no snapshot".to_owned())));
        let sink = lake.sink(&[]);
        commit(&sink, 1, 0, 100).await;
        let (rows, first) = loaded(&lookup, Some("no snapshot")).await.expect("a new version");
        assert_eq!(rows, 100);
        assert_eq!(loaded(&lookup, Some(&first)).await, None);
        commit(&sink, 2, 100, 150).await;
        let (rows, second) = loaded(&lookup, Some(&first)).await.expect("a new version");
        assert!(rows == 150 && second != first && second.starts_with("snapshot "), "{first} {second}");
        assert_eq!(lookup.keys(&[0, 1]), Ok(vec![0, 1]), "any columns are a key");
    }

    #[tokio::test]
    async fn a_narrowed_table_reads_its_columns_alone_and_no_file_without_a_row_that_its_filters_want() {
        let lake = Lake::new(&[], &[]).await;
        let sink = lake.sink(&[]);
        commit(&sink, 1, 0, 100).await;
        commit(&sink, 2, 100, 150).await;
        let opened = IcebergDictionary::open(&lake.catalog, &lake.table.id, &bag(&[])).expect("fine");
        let (lookup, _) = opened.value.of(lake.table.clone(), "lake.shop.orders", &[]).expect("a table");
        let (id, all) = (lookup.schema().index_of("id").expect("id"), lookup.schema().fields().len());
        assert!(all > 1);
        let narrow = lookup.narrowed(&[id], &[]);
        assert_eq!(narrow.schema().fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>(), ["id"]);
        assert_eq!(loaded(&narrow, None).await.expect("rows").0, 150);
        for (filter, rows) in [(col("id").gt_eq(lit(100_i64)), 50), (col("id").lt(lit(100_i64)), 100), (col("id").lt(lit(0_i64)), 0)] {
            let pruned = lookup.narrowed(&[id], std::slice::from_ref(&filter));
            assert_eq!(loaded(&pruned, None).await.expect("rows").0, rows, "{filter}");
        }
    }

    #[tokio::test]
    async fn a_version_of_other_columns_is_refused_with_what_has_become_of_them() {
        let lake = Lake::new(&[], &[]).await;
        let scan = Arc::new(IcebergScan::new(Arc::clone(&lake.catalog), lake.table.id.clone()));
        let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("kind", DataType::Utf8, true)]));
        let table = Snapshots { scan, name: "c.d.t".to_owned(), schema, filters: Vec::new() };
        let now = |fields: [(&str, DataType, bool); 2]| {
            let fields = fields.map(|(name, data_type, nullable)| Field::new(name, data_type, nullable));
            table.places(&Schema::new(fields.to_vec())).map_err(|error| error.to_string())
        };
        assert_eq!(now([("kind", DataType::Utf8, false), ("id", DataType::Int64, false)]), Ok(vec![1, 0]));
        for (fields, wanted) in [
            ([("id", DataType::Int64, false), ("sort", DataType::Utf8, true)], "its column 'kind' is no longer there"),
            ([("id", DataType::Int32, false), ("kind", DataType::Utf8, true)], "its column 'id' was Int64 and is Int32 now"),
            ([("id", DataType::Int64, true), ("kind", DataType::Utf8, true)], "its column 'id' may be NULL now"),
        ] {
            assert_eq!(now(fields), Err(format!("Table 'c.d.t': {wanted}.")));
        }
    }
}
