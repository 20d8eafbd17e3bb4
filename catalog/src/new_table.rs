//! From what a CREATE TABLE says to the metadata of a new table.

use std::collections::HashMap;
use std::sync::Arc;

use iceberg::spec::{FormatVersion, Schema, SortOrder, TableMetadata, TableMetadataBuilder, Transform, UnboundPartitionSpec};

use weir_base::Classified;
use weir_fs::FileSystems;

use crate::error::CatalogError;
use crate::lake::{LakeCatalog, LakeTable, PartitionColumn, TableId, TableSpec};
use crate::metadata_file::METADATA_PATH;
use crate::properties::{NEW_TABLE, check_properties};
use crate::schema::needs_version_three;

const FORMAT_VERSION: &str = "format-version";
const DATA_PATH: &str = "write.data.path";

/// The table that `spec` would make in `catalog`, without making it: what plans are made with before there is one. Unless the specification
/// gives a location, it is a placeholder that nothing can be written to.
///
/// # Errors
/// As the creation of the table, as far as the catalog is not asked.
pub fn planned_table(catalog: &dyn LakeCatalog, id: &TableId, spec: &TableSpec) -> Result<LakeTable, CatalogError> {
    let location = spec.location.clone().unwrap_or_else(|| format!("planned:///{}/{}", id.database, id.table));
    let metadata = NewTable::check(id, spec, catalog.file_systems())?.metadata(id, location)?;
    let metadata_location = format!("{}/metadata/planned.json", metadata.location());
    Ok(LakeTable {
        catalog: catalog.name().into(),
        id: id.clone(),
        metadata: Arc::new(metadata),
        metadata_location,
        file_io: catalog.file_systems().file_io(),
    })
}

/// A checked specification: what every catalog needs to create the table in its own way.
#[derive(Debug)]
pub(crate) struct NewTable {
    pub(crate) schema: Schema,
    pub(crate) partition_spec: UnboundPartitionSpec,
    pub(crate) format_version: FormatVersion,
    /// With our defaults, without `format-version`.
    pub(crate) properties: HashMap<String, String>,
}

impl NewTable {
    /// Checks `spec`; paths in it get the form in which metadata keeps them.
    ///
    /// # Errors
    /// Paths that no file system serves, unknown properties or format versions, columns that do not exist, transforms that do not fit, types that the format lacks.
    pub(crate) fn check(id: &TableId, spec: &TableSpec, file_systems: &FileSystems) -> Result<Self, CatalogError> {
        let named = |error: CatalogError| CatalogError::user(format!("table `{id}`: {error}"));
        check_properties(&spec.properties).map_err(named)?;
        let mut properties: HashMap<String, String> = NEW_TABLE.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        properties.extend(spec.properties.clone());
        for key in [DATA_PATH, METADATA_PATH] {
            let Some(path) = properties.get_mut(key) else { continue };
            *path = file_systems.for_metadata(path).map_err(|error| named(CatalogError::caused(error.kind(), format!("'{key}': {error}"), error)))?;
        }
        let format_version = format_version(properties.remove(FORMAT_VERSION).as_deref()).map_err(named)?;
        if format_version < FormatVersion::V3
            && let Some(column) = needs_version_three(&spec.schema)
        {
            let what = format!("column `{column}` has nanoseconds, which need 'format-version' = '3'; TIMESTAMP(6) fits version 2");
            return Err(named(CatalogError::user(what)));
        }
        let partition_spec = partition_spec(&spec.schema, &spec.partitioned_by).map_err(named)?;
        Ok(Self { schema: spec.schema.clone(), partition_spec, format_version, properties })
    }

    /// Metadata of the table at `location`, with fresh field ids and a new UUID.
    ///
    /// # Errors
    /// What the builder refuses.
    pub(crate) fn metadata(self, id: &TableId, location: String) -> Result<TableMetadata, CatalogError> {
        let unsorted = SortOrder::unsorted_order();
        TableMetadataBuilder::new(self.schema, self.partition_spec, unsorted, location, self.format_version, self.properties)
            .and_then(TableMetadataBuilder::build)
            .map(|built| built.metadata)
            .map_err(|error| CatalogError::user(format!("table `{id}` cannot be created: {}", error.message())))
    }
}

fn format_version(text: Option<&str>) -> Result<FormatVersion, CatalogError> {
    match text.map(str::trim) {
        None | Some("2") => Ok(FormatVersion::V2),
        Some("1") => Ok(FormatVersion::V1),
        Some("3") => Ok(FormatVersion::V3),
        Some(other) => Err(CatalogError::user(format!("'format-version' must be 1, 2 or 3, but is '{other}'"))),
    }
}

fn partition_spec(schema: &Schema, columns: &[PartitionColumn]) -> Result<UnboundPartitionSpec, CatalogError> {
    let mut builder = UnboundPartitionSpec::builder();
    for column in columns {
        let field =
            schema.field_by_name(&column.source).ok_or_else(|| CatalogError::user(format!("partition column `{}` does not exist", column.source)))?;
        column.transform.result_type(&field.field_type).map_err(|_unfit| {
            CatalogError::user(format!("column `{}` of type {} cannot be partitioned by {}", column.source, field.field_type, column.transform))
        })?;
        let refused = |error: iceberg::Error| CatalogError::user(format!("partitioning by `{}`: {}", column.source, error.message()));
        builder = builder.add_partition_field(field.id, field_name(column), column.transform).map_err(refused)?;
    }
    Ok(builder.build())
}

/// The names that Iceberg's own builder gives: the column for identity, else the column with the transform behind it.
///
/// A partition field is also a field of an Avro record in every manifest. The crate writes the name as it is, so characters that
/// Avro forbids, the dots of a nested column among them, become `_`.
fn field_name(column: &PartitionColumn) -> String {
    let suffix = match column.transform {
        Transform::Identity | Transform::Unknown => "",
        Transform::Bucket(_) => "_bucket",
        Transform::Truncate(_) => "_trunc",
        Transform::Year => "_year",
        Transform::Month => "_month",
        Transform::Day => "_day",
        Transform::Hour => "_hour",
        Transform::Void => "_null",
    };
    let mut name: String = column.source.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name + suffix
}

#[cfg(test)]
mod tests {
    use arrow_schema::{DataType, Field, Schema as ArrowSchema, TimeUnit};

    use super::*;
    use crate::schema::lake_schema;

    fn spec(partitioned_by: &[(&str, Transform)], properties: &[(&str, &str)]) -> TableSpec {
        let nested = DataType::Struct(vec![Arc::new(Field::new("ip", DataType::Utf8, true))].into());
        let columns = ArrowSchema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("s", DataType::Utf8, true),
            Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, None), true),
            Field::new("props", nested, true),
        ]);
        TableSpec {
            schema: lake_schema(&columns, &[]).expect("schema"),
            partitioned_by: partitioned_by
                .iter()
                .map(|(source, transform)| PartitionColumn { source: (*source).to_owned(), transform: *transform })
                .collect(),
            properties: properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            location: None,
        }
    }

    fn id() -> TableId {
        TableId { database: "d".to_owned(), table: "t".to_owned() }
    }

    fn created(spec: &TableSpec) -> Result<TableMetadata, CatalogError> {
        NewTable::check(&id(), spec, &FileSystems::default())?.metadata(&id(), "memory:///w/d/t".to_owned())
    }

    #[test]
    fn partition_fields_are_named_as_other_engines_name_them() {
        let by = [
            ("s", Transform::Identity),
            ("id", Transform::Bucket(16)),
            ("s", Transform::Truncate(4)),
            ("ts", Transform::Day),
            ("props.ip", Transform::Identity),
        ];
        let metadata = created(&spec(&by, &[])).expect("created");
        let names: Vec<&str> = metadata.default_partition_spec().fields().iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["s", "id_bucket", "s_trunc", "ts_day", "props_ip"]);
    }

    #[test]
    fn a_new_table_gets_our_defaults_unless_told_otherwise() {
        let metadata = created(&spec(&[], &[("write.metadata.previous-versions-max", "3")])).expect("created");
        assert_eq!(metadata.format_version(), FormatVersion::V2);
        assert_eq!(metadata.properties().get("write.parquet.compression-codec").map(String::as_str), Some("zstd"));
        assert_eq!(metadata.properties().get("write.metadata.previous-versions-max").map(String::as_str), Some("3"));
    }

    #[test]
    fn what_does_not_fit_is_said_with_its_column() {
        for (by, part) in [(("nope", Transform::Identity), "`nope`"), (("s", Transform::Day), "`s`"), (("props", Transform::Identity), "`props`")] {
            let error = created(&spec(&[by], &[])).expect_err("does not fit").to_string();
            assert!(error.contains(part), "{error}");
        }
        let error = created(&spec(&[], &[("format-version", "9")])).expect_err("version").to_string();
        assert!(error.contains("'9'"), "{error}");
    }
}
