//! The table: a catalog in a file, and metadata of files that are not there.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use iceberg::TableUpdate;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, Literal, MAIN_BRANCH, ManifestListWriter, ManifestWriterBuilder, Operation,
    PartitionSpecRef, PrimitiveType, Schema, Snapshot, SnapshotReference, SnapshotRetention, Struct, Summary,
};
use weir_base::memory::MemoryBudget;
use weir_catalog::{LakeCatalog, TableId};
use weir_fs::FileSystems;
use weir_sql::{Mode, Outcome as Ran, Script, Session, SessionOptions};

use crate::Outcome;
use crate::queries::table_start;

const DAYS: usize = 125;
const BUCKETS: usize = 16;
const RECORDS: u64 = 100_000;
const SNAPSHOT: i64 = 5_000_000_001;
const COLUMNS: &str = "id BIGINT, ts TIMESTAMP(6), pos BIGINT, session BIGINT, shop STRING, country STRING, status STRING, amount DOUBLE, \
     price DECIMAL(12, 2), quantity INT, paid BOOLEAN, day_of_order DATE";

/// Where the table is.
#[derive(Debug)]
pub(crate) struct Table {
    folder: PathBuf,
}

/// What was made.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) manifests: usize,
    pub(crate) files: usize,
    pub(crate) bytes: i64,
}

impl Table {
    pub(crate) fn new(folder: &Path) -> Outcome<Self> {
        std::fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.canonicalize()? })
    }

    /// A new session that knows the catalog.
    pub(crate) async fn session(&self, budget: &MemoryBudget) -> Outcome<Session> {
        let mut session = Session::new(SessionOptions {
            registry: Arc::new(weir_connectors::registry()),
            file_systems: FileSystems::default(),
            job_file: None,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            budget: budget.clone(),
            before_create: None,
        });
        let folder = self.folder.display();
        let options = format!("'type' = 'iceberg', 'catalog-type' = 'sql', 'uri' = 'sqlite:{folder}/catalog.db', 'warehouse' = 'file://{folder}'");
        run(&mut session, &format!("CREATE CATALOG lake WITH ({options});")).await?;
        Ok(session)
    }

    /// The catalog, and the table's name in it.
    pub(crate) fn place(session: &Session) -> Outcome<(Arc<dyn LakeCatalog>, TableId)> {
        Ok(session.lake_table("lake.bench.orders")?)
    }

    /// Where the table's metadata is.
    pub(crate) async fn metadata(&self) -> Outcome<String> {
        let session = self.session(&MemoryBudget::new(1 << 30)).await?;
        let (catalog, id) = Self::place(&session)?;
        Ok(catalog.load(&id).await?.metadata_location)
    }

    /// Makes the table unless it is there.
    pub(crate) async fn make(&self, manifests: usize, files: usize) -> Outcome<Made> {
        let mut session = self.session(&MemoryBudget::new(1 << 30)).await?;
        let (catalog, id) = Self::place(&session)?;
        if catalog.load(&id).await.is_err() {
            let create = format!("CREATE TABLE lake.bench.orders ({COLUMNS}) PARTITIONED BY (days(ts), bucket(16, id));");
            run(&mut session, &format!("CREATE DATABASE lake.bench; {create}")).await?;
            self.fill(catalog.as_ref(), &id, manifests, files).await?;
        }
        let table = catalog.load(&id).await?;
        let snapshot = table.metadata.current_snapshot().ok_or("no snapshot")?;
        let all = weir_catalog::read::manifests(&table, snapshot).await?;
        let files = all.iter().filter_map(|manifest| manifest.added_files_count).map(|count| count as usize).sum();
        Ok(Made { manifests: all.len(), files, bytes: all.iter().map(|manifest| manifest.manifest_length).sum() })
    }

    async fn fill(&self, catalog: &dyn LakeCatalog, id: &TableId, manifests: usize, files: usize) -> Outcome<()> {
        let table = catalog.load(id).await?;
        let (schema, spec) = (table.metadata.current_schema().clone(), table.metadata.default_partition_spec().clone());
        let location = table.metadata.location().to_owned();
        let mut written = Vec::with_capacity(manifests);
        for manifest in 0..manifests {
            let output = table.file_io.new_output(format!("{location}/metadata/m{manifest:05}.avro"))?;
            let builder = ManifestWriterBuilder::new(output, Some(SNAPSHOT), schema.clone(), spec.as_ref().clone());
            let mut writer = builder.build_v2_data();
            for file in 0..files {
                writer.add_file(data_file(&location, &schema, &spec, (manifest, file), files)?, 1)?;
            }
            written.push(writer.write_manifest_file().await?);
        }
        let list = format!("{location}/metadata/snap-{SNAPSHOT}.avro");
        let output = table.file_io.new_output(&list)?.writer().await?;
        let mut writer = ManifestListWriter::v2(output, SNAPSHOT, None, 1);
        writer.add_manifests(written.into_iter())?;
        writer.close().await?;
        let snapshot = Snapshot::builder()
            .with_snapshot_id(SNAPSHOT)
            .with_parent_snapshot_id(None)
            .with_sequence_number(1)
            .with_timestamp_ms(chrono::Utc::now().timestamp_millis())
            .with_manifest_list(list)
            .with_summary(Summary { operation: Operation::Append, additional_properties: HashMap::new() })
            .with_schema_id(table.metadata.current_schema_id())
            .build();
        let retention = SnapshotRetention::Branch { min_snapshots_to_keep: None, max_snapshot_age_ms: None, max_ref_age_ms: None };
        let reference = SnapshotReference::new(SNAPSHOT, retention);
        let updates = vec![TableUpdate::AddSnapshot { snapshot }, TableUpdate::SetSnapshotRef { ref_name: MAIN_BRANCH.to_owned(), reference }];
        catalog.commit(&table, Vec::new(), updates).await?;
        Ok(())
    }
}

async fn run(session: &mut Session, sql: &str) -> Outcome<Ran> {
    Ok(session.run(&Script::parse(sql)?, Mode::Run).await?)
}

/// A file of a day and a bucket, with metrics of every column. Manifests follow the days.
fn data_file(location: &str, schema: &Schema, spec: &PartitionSpecRef, (manifest, file): (usize, usize), files: usize) -> Outcome<DataFile> {
    let day = i64::try_from(manifest * DAYS / 1_000)?;
    let number = i64::try_from(manifest * files + file)?;
    let midnight = table_start() + day * 86_400;
    let (days, bucket) = (i32::try_from(midnight / 86_400)?, i32::try_from(file % BUCKETS)?);
    let path = format!("{location}/data/ts_day={day:04}/id_bucket={bucket}/00000-{number}-0d9f2c51-7f61-4d1e-9c55-{number:012x}.parquet");
    let (mut sizes, mut values, mut nulls, mut nans) = (HashMap::new(), HashMap::new(), HashMap::new(), HashMap::new());
    let (mut lower, mut upper) = (HashMap::new(), HashMap::new());
    for field in schema.as_struct().fields() {
        let primitive = field.field_type.as_primitive_type().ok_or("a plain column")?;
        sizes.insert(field.id, 50_000 + u64::try_from(number)? % 10_000);
        values.insert(field.id, RECORDS);
        nulls.insert(field.id, u64::try_from(number)? % 7 * u64::from(field.name == "status"));
        if matches!(primitive, PrimitiveType::Double) {
            nans.insert(field.id, 0);
        }
        let whole = |low: i64, high: i64| -> Outcome<(Datum, Datum)> { Ok((Datum::long(low), Datum::long(high))) };
        let (low, high) = match field.name.as_str() {
            "id" => whole(number % 50, 1_000_000 - number % 50)?,
            "ts" => (Datum::timestamp_micros(midnight * 1_000_000), Datum::timestamp_micros((midnight + 86_399) * 1_000_000)),
            "pos" => whole(number * 1_000, number * 1_000 + 999)?,
            "session" => whole(number * 7_919 % 10_000, i64::MAX - number)?,
            "amount" => (Datum::double(0.5), Datum::double(9_999.5)),
            "price" => (Datum::decimal_from_str("0.01")?, Datum::decimal_from_str("99999.99")?),
            "quantity" => (Datum::int(1), Datum::int(i32::try_from(number % 100)? + 1)),
            "paid" => (Datum::bool(false), Datum::bool(true)),
            "day_of_order" => (Datum::date(days), Datum::date(days)),
            name => (Datum::string(format!("{name}-a{}", number % 97)), Datum::string(format!("{name}-z{}", number % 89))),
        };
        lower.insert(field.id, low);
        upper.insert(field.id, high);
    }
    let bytes = sizes.values().sum::<u64>() + 5_000;
    let mut built = DataFileBuilder::default();
    built.content(DataContentType::Data).file_path(path).file_format(DataFileFormat::Parquet).partition_spec_id(spec.spec_id());
    built.partition(Struct::from_iter([Some(Literal::date(days)), Some(Literal::int(bucket))])).record_count(RECORDS).file_size_in_bytes(bytes);
    built.column_sizes(sizes).value_counts(values).null_value_counts(nulls).nan_value_counts(nans).lower_bounds(lower).upper_bounds(upper);
    built.split_offsets(Some(vec![4]));
    Ok(built.build()?)
}
