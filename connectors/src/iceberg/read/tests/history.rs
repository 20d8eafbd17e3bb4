//! A table made by hand: its files are written here, its manifests by the crate, its metadata lies in memory. The data has a store of its
//! own, so that what is read of it can be counted.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, FormatVersion, MAIN_BRANCH, ManifestFile, ManifestListWriter,
    ManifestWriterBuilder, Operation, PartitionSpec, PrimitiveType, Schema, Snapshot, SnapshotReference, SnapshotRetention, SortOrder, Struct,
    Summary, TableMetadata, TableMetadataBuilder, Transform, Type, UnboundPartitionField,
};
use object_store::ObjectStoreExt;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;
use uuid::Uuid;
use weir_catalog::lake::{LakeTable, TableId};
use weir_fs::FileSystems;

use super::super::options::ReadOptions;
use super::super::physical_rules;
use super::super::provider::IcebergTable;
use super::super::snapshot::Version;
use crate::error::ConnectorError;
use crate::iceberg::types::{conform_batch, file_schema, plain_schema};

/// A table and its past.
pub(super) struct History {
    _folder: TempDir,
    pub(super) file_systems: FileSystems,
    pub(super) metadata: TableMetadata,
    location: String,
    data: String,
    written: usize,
    manifests: Vec<ManifestFile>,
}

impl History {
    /// An empty table.
    pub(super) fn new(schema: Schema, partitions: &[(&str, Transform)], version: FormatVersion) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let location = format!("file://{}/t", folder.path().display());
        // The ids of a first schema would be given anew, those of a second one are kept.
        let nothing = Schema::builder().build().expect("schema");
        let spec = PartitionSpec::unpartition_spec().into_unbound();
        let builder = TableMetadataBuilder::new(nothing, spec, SortOrder::unsorted_order(), location.clone(), version, HashMap::new());
        let metadata = builder.and_then(TableMetadataBuilder::build).expect("metadata").metadata;
        let data = format!("memory://history-{}", Uuid::new_v4());
        let file_systems = FileSystems::new(BTreeMap::new());
        let mut table = Self { _folder: folder, file_systems, metadata, location, data, written: 0, manifests: Vec::new() };
        table.evolve(schema);
        if !partitions.is_empty() {
            table.repartition(partitions);
        }
        table
    }

    pub(super) fn change(&mut self, change: impl FnOnce(TableMetadataBuilder) -> iceberg::Result<TableMetadataBuilder>) {
        let builder = self.metadata.clone().into_builder(Some(format!("{}/metadata/m.json", self.location)));
        self.metadata = change(builder).and_then(TableMetadataBuilder::build).expect("metadata").metadata;
    }

    /// Gives the table another schema.
    pub(super) fn evolve(&mut self, schema: Schema) {
        self.change(|builder| builder.add_schema(schema)?.set_current_schema(-1));
    }

    /// Gives the table another partition spec.
    pub(super) fn repartition(&mut self, partitions: &[(&str, Transform)]) {
        let spec = spec_of(self.metadata.current_schema(), partitions);
        self.change(|builder| builder.add_default_partition_spec(spec.into_unbound()));
    }

    pub(super) fn table(&self) -> LakeTable {
        LakeTable {
            catalog: "c".into(),
            id: TableId { database: "d".to_owned(), table: "t".to_owned() },
            metadata: Arc::new(self.metadata.clone()),
            metadata_location: format!("{}/metadata/m.json", self.location),
            file_io: self.file_systems.file_io(),
        }
    }

    /// Stores bytes as the next file; gives its path.
    pub(super) async fn store(&mut self, bytes: Vec<u8>, ending: &str) -> String {
        self.written += 1;
        let path = format!("{}/data/{:05}.{ending}", self.data, self.written);
        let location = self.file_systems.resolve(&path).expect("resolves");
        location.store.put(&location.path, Bytes::from(bytes).into()).await.expect("stored");
        path
    }

    /// Writes rows in the table's present columns as a data file of a partition.
    pub(super) async fn write(&mut self, batch: &RecordBatch, partition: Struct, rows_in_group: usize) -> DataFile {
        let schema = self.metadata.current_schema().clone();
        let with_ids = file_schema(&schema).expect("schema");
        let bytes = parquet(&conform_batch(batch, &with_ids).expect("conforms"), rows_in_group);
        self.add(bytes, Some(&schema), partition).await
    }

    /// Stores a Parquet file and describes it; with bounds of the leaves of `schema`, if one is given.
    pub(super) async fn add(&mut self, bytes: Vec<u8>, schema: Option<&Schema>, partition: Struct) -> DataFile {
        let footer = footer(&bytes);
        let (size, rows) = (bytes.len() as u64, u64::try_from(footer.file_metadata().num_rows()).expect("rows"));
        let path = self.store(bytes, "parquet").await;
        let mut file = DataFileBuilder::default();
        file.content(DataContentType::Data).file_path(path).file_format(DataFileFormat::Parquet).partition(partition);
        file.partition_spec_id(self.metadata.default_partition_spec_id()).record_count(rows).file_size_in_bytes(size);
        if let Some(schema) = schema {
            describe(&mut file, schema, &footer);
        }
        file.build().expect("data file")
    }

    /// Makes the newest manifest an encrypted one, as far as the manifest lists of later snapshots say.
    pub(super) fn encrypt_manifest(&mut self) -> String {
        let manifest = self.manifests.last_mut().expect("a manifest");
        manifest.key_metadata = Some(vec![1, 2, 3]);
        manifest.manifest_path.clone()
    }

    /// Commits files of the present partition spec as a snapshot on `main`; gives its id.
    pub(super) async fn commit(&mut self, data: Vec<DataFile>, deletes: Vec<DataFile>) -> i64 {
        self.commit_as(Operation::Append, data, deletes).await
    }

    /// The same as a snapshot of another kind.
    pub(super) async fn commit_as(&mut self, operation: Operation, data: Vec<DataFile>, deletes: Vec<DataFile>) -> i64 {
        let id = 1_000 + i64::try_from(self.metadata.snapshots().count()).expect("small");
        let io = self.file_systems.file_io();
        let sequence = self.metadata.next_sequence_number();
        for (files, of_deletes) in [(data, false), (deletes, true)] {
            if files.is_empty() {
                continue;
            }
            let output = io.new_output(format!("{}/metadata/{id}-{of_deletes}.avro", self.location)).expect("output");
            let spec = self.metadata.default_partition_spec().as_ref().clone();
            let builder = ManifestWriterBuilder::new(output, Some(id), self.metadata.current_schema().clone(), spec);
            let mut writer = match (self.metadata.format_version(), of_deletes) {
                (FormatVersion::V1, _) => builder.build_v1(),
                (FormatVersion::V2, false) => builder.build_v2_data(),
                (FormatVersion::V2, true) => builder.build_v2_deletes(),
                (FormatVersion::V3, false) => builder.build_v3_data(),
                (FormatVersion::V3, true) => builder.build_v3_deletes(),
            };
            for file in files {
                writer.add_file(file, sequence).expect("added");
            }
            self.manifests.push(writer.write_manifest_file().await.expect("manifest"));
        }
        let list = format!("{}/metadata/snap-{id}.avro", self.location);
        let output = io.new_output(&list).expect("output").writer().await.expect("writer");
        let parent = self.metadata.current_snapshot_id();
        let mut writer = match self.metadata.format_version() {
            FormatVersion::V1 => ManifestListWriter::v1(output, id, parent),
            FormatVersion::V2 => ManifestListWriter::v2(output, id, parent, sequence),
            FormatVersion::V3 => ManifestListWriter::v3(output, id, parent, sequence, Some(self.metadata.next_row_id())),
        };
        writer.add_manifests(self.manifests.clone().into_iter()).expect("manifests");
        let rows = writer.next_row_id().map(|next| (self.metadata.next_row_id(), next - self.metadata.next_row_id()));
        writer.close().await.expect("list");
        // The manifests of later snapshots carry the numbers that this list has given them.
        let read = io.new_input(&list).expect("input").read().await.expect("read");
        let parsed = iceberg::spec::ManifestList::parse_with_version(&read, self.metadata.format_version()).expect("parsed");
        self.manifests = parsed.entries().to_vec();
        let snapshot = Snapshot::builder()
            .with_snapshot_id(id)
            .with_parent_snapshot_id(parent)
            .with_sequence_number(sequence)
            .with_timestamp_ms(self.metadata.last_updated_ms().max(1_700_000_000_000) + 1_000)
            .with_manifest_list(list)
            .with_summary(Summary { operation, additional_properties: HashMap::new() })
            .with_schema_id(self.metadata.current_schema_id());
        let snapshot = match rows {
            Some((first, added)) => snapshot.with_row_range(first, added).build(),
            None => snapshot.build(),
        };
        self.change(|builder| builder.set_branch_snapshot(snapshot, MAIN_BRANCH));
        id
    }

    /// Names a snapshot.
    pub(super) fn tag(&mut self, name: &str, snapshot: i64) {
        let reference = SnapshotReference::new(snapshot, SnapshotRetention::Tag { max_ref_age_ms: None });
        self.change(|builder| builder.set_ref(name, reference));
    }

    /// A session that knows the table as `t`, read as `version` says.
    pub(super) fn session(&self, version: Version, partitions: usize) -> Result<SessionContext, ConnectorError> {
        let context = session(partitions);
        self.register(&context, version)?;
        Ok(context)
    }

    /// Makes the table as it is now known as `t`.
    pub(super) fn register(&self, context: &SessionContext, version: Version) -> Result<(), ConnectorError> {
        let options = ReadOptions { version, ..ReadOptions::default() };
        let provider = IcebergTable::new("c.d.t", self.table(), options, self.file_systems.clone())?;
        context.register_table("t", Arc::new(provider)).expect("registers");
        Ok(())
    }

    /// The rows of a query over the table as it is now.
    pub(super) async fn query(&self, sql: &str) -> Vec<RecordBatch> {
        self.try_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub(super) async fn try_query(&self, sql: &str) -> datafusion::error::Result<Vec<RecordBatch>> {
        let context = self.session(Version::Branch(None), 2).expect("session");
        context.sql(sql).await?.collect().await
    }

    /// The rows of a query as text, one line each, in order of the text.
    pub(super) async fn rows(&self, sql: &str) -> Vec<String> {
        lines(&self.query(sql).await)
    }

    /// Requests to the store of the data so far, and bytes that they have read.
    pub(super) fn read_so_far(&self) -> (u64, u64) {
        self.read_of("memory")
    }

    /// The same for the store of the metadata.
    pub(super) fn metadata_read_so_far(&self) -> (u64, u64) {
        self.read_of("file")
    }

    fn read_of(&self, scheme: &str) -> (u64, u64) {
        let counts = self.file_systems.io_counts().into_iter().filter(|counts| counts.scheme == scheme);
        let reads = counts.filter(|counts| matches!(counts.operation, weir_fs::Operation::Get | weir_fs::Operation::GetRanges));
        reads.fold((0, 0), |(requests, bytes), counts| (requests + counts.requests, bytes + counts.bytes))
    }
}

/// A session as Weir's, with optimizer rules of Weir's.
pub(super) fn session(partitions: usize) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(partitions).set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false);
    let state = SessionStateBuilder::new().with_config(config).with_default_features().with_physical_optimizer_rules(physical_rules()).build();
    SessionContext::new_with_state(state)
}

fn spec_of(schema: &Schema, partitions: &[(&str, Transform)]) -> PartitionSpec {
    let mut spec = PartitionSpec::builder(Arc::new(schema.clone()));
    for (source, transform) in partitions {
        let source_id = schema.field_id_by_name(source).expect("source");
        let name = format!("{}_{transform}", source.replace('.', "_")).replace(['[', ']'], "");
        spec = spec.add_unbound_field(UnboundPartitionField { source_id, field_id: None, name, transform: *transform }).expect("field");
    }
    spec.build().expect("spec")
}

/// A Parquet file with these rows.
pub(super) fn parquet(batch: &RecordBatch, rows_in_group: usize) -> Vec<u8> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(rows_in_group))
        .set_data_page_row_count_limit(2_000)
        .set_write_batch_size(500)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).expect("writer");
    writer.write(batch).expect("writes");
    writer.into_inner().expect("bytes")
}

/// The metadata of a Parquet file.
pub(super) fn footer(bytes: &[u8]) -> Arc<ParquetMetaData> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::copy_from_slice(bytes)).expect("parquet");
    Arc::clone(reader.metadata())
}

/// Sizes of all leaves; counts and bounds of whole numbers and texts that are in no list or map.
fn describe(file: &mut DataFileBuilder, schema: &Schema, footer: &ParquetMetaData) {
    let (mut sizes, mut values, mut nulls) = (HashMap::new(), HashMap::new(), HashMap::new());
    let (mut lower, mut upper): (HashMap<i32, Datum>, HashMap<i32, Datum>) = (HashMap::new(), HashMap::new());
    for (index, leaf) in footer.file_metadata().schema_descr().columns().iter().enumerate() {
        let id = leaf.self_type().get_basic_info().id();
        for group in footer.row_groups() {
            let column = group.column(index);
            *sizes.entry(id).or_insert(0) += u64::try_from(column.compressed_size()).expect("size");
            if leaf.max_rep_level() > 0 {
                continue;
            }
            *values.entry(id).or_insert(0) += u64::try_from(column.num_values()).expect("count");
            let Some(statistics) = column.statistics() else { continue };
            *nulls.entry(id).or_insert(0) += statistics.null_count_opt().unwrap_or(0);
            let Some(Type::Primitive(primitive)) = schema.field_by_id(id).map(|field| field.field_type.as_ref()) else { continue };
            if !matches!(primitive, PrimitiveType::Int | PrimitiveType::Long | PrimitiveType::String | PrimitiveType::Date) {
                continue;
            }
            let datum = |bytes: Option<&[u8]>| Datum::try_from_bytes(bytes?, primitive.clone()).ok();
            if let (Some(min), Some(max)) = (datum(statistics.min_bytes_opt()), datum(statistics.max_bytes_opt())) {
                let low = lower.entry(id).or_insert_with(|| min.clone());
                *low = if min < *low { min } else { low.clone() };
                let high = upper.entry(id).or_insert_with(|| max.clone());
                *high = if max > *high { max } else { high.clone() };
            }
        }
    }
    file.column_sizes(sizes).value_counts(values).null_value_counts(nulls).lower_bounds(lower).upper_bounds(upper);
}

/// Rows of a plain schema from JSON objects.
pub(super) fn batch(schema: &Schema, rows: &[serde_json::Value]) -> RecordBatch {
    let plain = plain_schema(&file_schema(schema).expect("schema"));
    let mut decoder = arrow_json::ReaderBuilder::new(Arc::clone(&plain)).with_batch_size(rows.len().max(1)).build_decoder().expect("decoder");
    decoder.serialize(rows).expect("rows");
    let read = decoder.flush().expect("flushes").unwrap_or_else(|| RecordBatch::new_empty(Arc::clone(&plain)));
    conform_batch(&read, &plain).expect("conforms")
}

/// Rows as text, one line each, in order of the text.
pub(super) fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let options = arrow_cast::display::FormatOptions::default().with_null("NULL");
    let mut lines = Vec::new();
    for batch in batches {
        let columns: Vec<_> =
            batch.columns().iter().map(|column| arrow_cast::display::ArrayFormatter::try_new(column, &options).expect("shown")).collect();
        for row in 0..batch.num_rows() {
            lines.push(columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|"));
        }
    }
    lines.sort();
    lines
}

/// A number for a longer run by hand.
#[expect(clippy::disallowed_methods, reason = "a longer run by hand is asked for in the environment")]
pub(super) fn number_of(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
