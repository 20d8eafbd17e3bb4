//! CREATE DATABASE and CREATE TABLE in a lake catalog, and the comparison of what is declared with what exists.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_schema::{Field, FieldRef, Schema};
use iceberg::arrow::schema_to_arrow_schema;
use iceberg::spec::{TableMetadata, Transform};
use weir_base::options::{Position, Problem, Problems};
use weir_base::secret::shown;
use weir_catalog::properties::is_allowed;
use weir_catalog::{CatalogError, LakeTable, PartitionColumn, TableId, TableSpec, lake_schema, planned_table};
use weir_connectors::iceberg::{TableWith, wrong_order_of_new};
use weir_connectors::table::{ColumnDef, ColumnKind, TableDef, TablePath};
use weir_fs::aliases::is_alias_key;

use super::create::{bag_of, unknown_column};
use super::objects::{DEFAULT_CATALOG, Declared, Lake};
use super::run::Run;
use super::{Mode, Outcome, Session};
use crate::error::{EXISTS, NOT_FOUND, NOT_YET, SqlError};
use crate::parse::ast::{ColumnText, CreateTable, Partition};
use crate::parse::types::sql_type_of;
use crate::parse::{Name, WrittenOption};

impl Session {
    pub(super) async fn create_database(
        &mut self,
        name: &Name,
        if_not_exists: bool,
        options: &[WrittenOption],
        run: &mut Run,
        outcome: &mut Outcome,
    ) -> Result<Option<String>, SqlError> {
        let (catalog, database) = self.parts.scope.database(name);
        let full = format!("{catalog}.{database}");
        let exists = || Problem::new(EXISTS, format!("Database '{full}'"), "it exists already.").at(Some(name.position));
        let Some(lake) = self.parts.objects.lake(&catalog, name.position)?.cloned() else {
            debug_assert_eq!(catalog, DEFAULT_CATALOG, "every other name is a lake or an error");
            return match self.parts.objects.databases.insert(database) {
                true => Ok(Some(format!("Database '{full}' created."))),
                false if if_not_exists => Ok(None),
                false => Err(exists().into()),
            };
        };
        let failed = |source| SqlError::Catalog { what: format!("database '{full}' cannot be created"), source };
        if run.mode != Mode::Run {
            // Nothing is made, but a mistake in the name should not wait for the first query.
            if !lake.catalog.database_exists(&database).await.map_err(failed)? {
                outcome.warnings.push(not_created(format!("Database '{full}'")));
            }
            return Ok(None);
        }
        self.before_lake_create(run).await?;
        let properties: BTreeMap<String, String> = options.iter().map(|option| (option.key.clone(), option.value.clone())).collect();
        if if_not_exists && lake.catalog.database_exists(&database).await.map_err(failed)? {
            return Ok(None);
        }
        match lake.catalog.create_database(&database, &properties).await {
            Ok(()) => Ok(Some(format!("Database '{full}' created."))),
            Err(CatalogError::AlreadyExists(_)) if if_not_exists => Ok(None),
            Err(CatalogError::AlreadyExists(_)) => Err(exists().into()),
            Err(source) => Err(failed(source)),
        }
    }

    pub(super) async fn create_lake_table(
        &mut self,
        table: &CreateTable,
        path: &TablePath,
        lake: &Lake,
        run: &mut Run,
        outcome: &mut Outcome,
    ) -> Result<Option<(LakeTable, String)>, SqlError> {
        let object = format!("Table '{path}'");
        let (spec, not_compacted) = Self::lake_spec(table, &object, &mut outcome.warnings)?;
        let id = TableId { database: path.database.clone(), table: path.table.clone() };
        if run.mode == Mode::Run {
            self.before_lake_create(run).await?;
        }
        let at = table.name.position;
        match lake.catalog.load(&id).await {
            Ok(existing) if table.if_not_exists || run.mode != Mode::Run => {
                outcome
                    .warnings
                    .extend(differences(&object, &spec, Says::Everything, &existing.metadata)?.into_iter().map(|problem| problem.at(Some(at))));
                return Ok(None);
            }
            Ok(_) => return Err(Problem::new(EXISTS, object, "it exists already.").hint("Write CREATE TABLE IF NOT EXISTS.").at(Some(at)).into()),
            Err(CatalogError::NotFound(_)) => {}
            Err(source) => return Err(SqlError::Catalog { what: format!("table '{path}' cannot be looked up"), source }),
        }
        if run.mode != Mode::Init {
            outcome.warnings.extend(not_compacted.map(|problem| problem.at(Some(at))));
        }
        if run.mode != Mode::Run {
            if run.mode == Mode::Explain {
                let planned = planned_table(lake.catalog.as_ref(), &id, &spec);
                let planned = planned.map_err(|source| SqlError::Catalog { what: format!("table '{path}' cannot be created"), source })?;
                self.parts.objects.planned.insert(path.clone(), planned);
            }
            outcome.warnings.push(not_created(object).at(Some(at)));
            return Ok(None);
        }
        let kept = spec.location.as_deref().and_then(|location| lake.catalog.file_systems().warning_of(location));
        outcome.warnings.extend(kept.map(|warning| warning.at(Some(at))));
        match lake.catalog.create(&id, &spec).await {
            Ok(made) => Ok(Some((made, format!("Table '{path}' created.")))),
            Err(CatalogError::AlreadyExists(_)) if table.if_not_exists => Ok(None),
            Err(source) => Err(SqlError::Catalog { what: format!("table '{path}' cannot be created"), source }),
        }
    }

    /// What a CREATE TABLE in a lake asks for, and what to tell if that is made; every problem of it.
    fn lake_spec(table: &CreateTable, object: &str, warnings: &mut Vec<Problem>) -> Result<(TableSpec, Option<Problem>), SqlError> {
        let at = Some(table.name.position);
        let mut problems = Vec::new();
        if let Some(like) = &table.like {
            problems.push(Problem::new(NOT_YET, object, "LIKE in an Iceberg catalog is not supported yet.").at(Some(like.table.position)));
        }
        if table.watermark.is_some() {
            problems.push(Problem::new(NOT_YET, object, "Creating table with watermark specs is not supported yet.").at(at));
        }
        let mut fields = Vec::with_capacity(table.columns.len());
        for column in &table.columns {
            let what = match &column.kind {
                ColumnText::Physical(ty) => {
                    let nullable = ty.nullable && !table.primary_key.contains(&column.name);
                    fields.push(Field::new(&column.name, ty.data_type.clone(), nullable));
                    continue;
                }
                ColumnText::Metadata { .. } => "Creating table with metadata columns is not supported yet.",
                ColumnText::Computed(_) => "Creating table with computed columns is not supported yet.",
            };
            problems.push(Problem::new(NOT_YET, object, what).hint(format!("It is column '{}'.", column.name)).at(Some(column.position)));
        }
        let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
        for key in table.primary_key.iter().filter(|key| !names.contains(&key.as_str())) {
            problems.push(unknown_column("PRIMARY KEY", key, &names, object, table.name.position));
        }
        problems.extend(table.partitioned_by.iter().filter_map(|partition| missing_partition_column(partition, &names, object)));
        let of_aliases = table.options.iter().filter(|option| is_alias_key(&option.key));
        problems.extend(of_aliases.map(|option| {
            let what = format!("'{}' cannot be stored in a table: what is written into an Iceberg catalog is read by every engine.", option.key);
            Problem::new(NOT_YET, object, what).hint("Put it into WITH of CREATE CATALOG, or SET it.").at(Some(option.position))
        }));
        let with = match TableWith::in_catalog(&bag_of(object, &table.options)) {
            Ok(opened) => {
                warnings.extend(opened.warnings);
                Some(opened.value)
            }
            Err(found) => {
                problems.extend(found.as_slice().to_vec());
                None
            }
        };
        let Some(with) = with.filter(|_| problems.is_empty()) else { return Err(Problems::new(problems).into()) };
        let mut spec = table_spec(object, fields, &table.primary_key, &table.partitioned_by).map_err(|problem| problem.at(at))?;
        spec.properties = with.stored_properties();
        let not_compacted = with.not_compacted(object);
        spec.location = with.location;
        let position = |key: &str| table.options.iter().find(|option| option.key == key).map(|option| option.position);
        check_new(object, &spec, position)?;
        Ok((spec, not_compacted))
    }
}

/// That what is said of a new table fits its columns.
pub(super) fn check_new(object: &str, spec: &TableSpec, position: impl Fn(&str) -> Option<Position>) -> Result<(), SqlError> {
    match wrong_order_of_new(&spec.properties, &spec.schema) {
        None => Ok(()),
        Some((key, what)) => Err(Problem::new("OPT-003", object, what).at(position(key)).into()),
    }
}

/// A table of these columns, without properties.
pub(crate) fn table_spec(object: &str, columns: Vec<Field>, primary_key: &[String], partitioned_by: &[Partition]) -> Result<TableSpec, Problem> {
    let schema = lake_schema(&Schema::new(columns), primary_key);
    let schema = schema.map_err(|error| Problem::new(crate::error::TYPES, object, format!("{error}.")))?;
    let partitioned_by = partitioned_by.iter().map(|part| PartitionColumn { source: part.column.clone(), transform: part.transform }).collect();
    Ok(TableSpec { schema, partitioned_by, properties: HashMap::new(), location: None })
}

fn not_created(object: String) -> Problem {
    Problem::warning(NOT_FOUND, object, "it does not exist, and nothing is created here: 'weir run' creates it.")
}

/// That a column of PARTITIONED BY is none of `columns`, nor in one of them.
pub(super) fn missing_partition_column(partition: &Partition, columns: &[&str], object: &str) -> Option<Problem> {
    let top = partition.column.split('.').next().unwrap_or_default();
    if columns.iter().any(|column| *column == top || *column == partition.column) {
        return None;
    }
    Some(unknown_column("PARTITIONED BY", &partition.column, columns, object, partition.position))
}

/// What a declaration says of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    /// All of it.
    Everything,
    /// Some of its columns, perhaps how it is partitioned.
    Something,
}

/// What an existing table has otherwise than its declaration says, as warnings.
pub(super) fn differences(object: &str, spec: &TableSpec, says: Says, existing: &TableMetadata) -> Result<Vec<Problem>, SqlError> {
    let mut warnings = Vec::new();
    let mut warn = |what: String| warnings.push(Problem::warning("CAT-001", object, what));
    let (declared, stored) = (arrow_of(&spec.schema)?, arrow_of(existing.current_schema())?);
    for field in declared.fields() {
        match stored.field_with_name(field.name()) {
            Err(_) => warn(format!("it exists without the declared column '{}'.", field.name())),
            Ok(found) if !same_type(field, found) => {
                let (declared, stored) = (sql_type_of(field.data_type()), sql_type_of(found.data_type()));
                warn(format!("column '{}' is declared as {declared}, but the table has {stored}.", field.name()));
            }
            Ok(found) if field.is_nullable() != found.is_nullable() => {
                let name = |nullable: bool| if nullable { "NULL" } else { "NOT NULL" };
                let (declared, stored) = (name(field.is_nullable()), name(found.is_nullable()));
                warn(format!("column '{}' is declared {declared}, but the table has {stored}.", field.name()));
            }
            Ok(_) => {}
        }
    }
    let undeclared = |field: &&FieldRef| says == Says::Everything && declared.field_with_name(field.name()).is_err();
    for field in stored.fields().iter().filter(undeclared) {
        warn(format!("it has the column '{}', which is not declared.", field.name()));
    }
    let stored_partitions: Vec<(String, Transform)> = partitions_of(existing);
    let declared_partitions: Vec<(String, Transform)> = spec.partitioned_by.iter().map(|part| (part.source.clone(), part.transform)).collect();
    if stored_partitions != declared_partitions && (says == Says::Everything || !declared_partitions.is_empty()) {
        let (declared, stored) = (partition_text(&declared_partitions), partition_text(&stored_partitions));
        warn(format!("it is declared as partitioned by ({declared}), but the table is partitioned by ({stored})."));
    }
    let mut properties: Vec<_> = spec.properties.iter().filter(|(key, _)| *key != "format-version").collect();
    properties.sort();
    for (key, value) in properties {
        let stored = existing.properties().get(key).map(String::as_str);
        if stored != Some(value.as_str()) {
            let show = |text: &str| format!("'{}'", shown(key, text));
            let stored = stored.map_or_else(|| "not set".to_owned(), show);
            warn(format!("'{key}' is declared as {}, but the table's is {stored}; the table's counts.", show(value)));
        }
    }
    Ok(warnings)
}

fn arrow_of(schema: &iceberg::spec::Schema) -> Result<Schema, SqlError> {
    schema_to_arrow_schema(schema).map_err(|error| SqlError::Internal(format!("schema of an Iceberg table: {error}")))
}

fn same_type(left: &Field, right: &Field) -> bool {
    sql_type_of(left.data_type()) == sql_type_of(right.data_type())
}

/// Source column and transform of each field of the default partition spec.
pub(super) fn partitions_of(metadata: &TableMetadata) -> Vec<(String, Transform)> {
    let schema = metadata.current_schema();
    let fields = metadata.default_partition_spec().fields();
    let name = |id: i32| schema.name_by_field_id(id).unwrap_or("?").to_owned();
    fields.iter().filter(|field| field.transform != Transform::Void).map(|field| (name(field.source_id), field.transform)).collect()
}

fn partition_text(partitions: &[(String, Transform)]) -> String {
    let texts: Vec<String> = partitions.iter().map(|(column, transform)| super::ddl_text::partition(column, *transform)).collect();
    texts.join(", ")
}

/// A table of a lake as if it had been declared: what DESCRIBE, SHOW CREATE TABLE and LIKE read.
pub(super) fn as_declared(path: &TablePath, table: &LakeTable) -> Result<Declared, SqlError> {
    let metadata = &table.metadata;
    let schema = metadata.current_schema();
    let arrow = arrow_of(schema)?;
    let mut columns = Vec::with_capacity(arrow.fields().len());
    for (field, stored) in arrow.fields().iter().zip(schema.as_struct().fields()) {
        columns.push(ColumnDef {
            name: field.name().clone(),
            data_type: plain(field.data_type()),
            nullable: field.is_nullable(),
            kind: ColumnKind::Physical,
            sql_type: sql_type_of(field.data_type()),
            comment: stored.doc.clone(),
        });
    }
    let primary_key = schema.identifier_field_ids().filter_map(|id| schema.name_by_field_id(id).map(str::to_owned)).collect();
    let mut options = bag_of(&format!("Table '{path}'"), &[]);
    options.insert("format-version", (metadata.format_version() as u8).to_string(), None);
    for (key, value) in metadata.properties().iter().filter(|(key, _)| !is_marker(key)) {
        options.insert(key.clone(), value.clone(), None);
    }
    let at = Position { line: 1, column: 1 };
    let partitioned_by = partitions_of(metadata).into_iter().map(|(column, transform)| Partition { column, transform, position: at }).collect();
    let def = TableDef { path: path.clone(), columns, primary_key, options };
    Ok(Declared { def, comment: None, watermark: None, partitioned_by, temporary: false, link: None })
}

/// Whether a property is what jobs note in a table, and nobody says in a statement.
fn is_marker(key: &str) -> bool {
    key.starts_with("weir.") && !is_allowed(key)
}

/// The type without the field ids that Iceberg leaves in its metadata.
fn plain(data_type: &arrow_schema::DataType) -> arrow_schema::DataType {
    use arrow_schema::DataType as T;
    let field = |field: &Field| Field::new(field.name(), plain(field.data_type()), field.is_nullable());
    match data_type {
        T::Struct(fields) => T::Struct(fields.iter().map(|inner| field(inner)).collect()),
        T::List(element) => T::List(Arc::new(field(element))),
        T::Map(entries, sorted) => T::Map(Arc::new(field(entries)), *sorted),
        other => other.clone(),
    }
}
