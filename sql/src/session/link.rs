//! Tables with `'connector' = 'iceberg'`: declared in one place, kept in an Iceberg catalog that the declaration describes.
//!
//! Nothing is looked up when such a table is declared. A query finds the table in its catalog, and only the start of a job that writes to it
//! creates it. Its declared columns are what queries see; what it really is decides everything else.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::Field;
use weir_base::options::{OptionBag, Position, Problem, Problems};
use weir_catalog::{CatalogError, LakeCatalog, LakeTable, TableId, TableSpec, planned_table};
use weir_connectors::iceberg::{TableLink, TableWith, is_of_upkeep, is_without_effect};
use weir_connectors::registry::Opened;
use weir_connectors::table::{ColumnKind, TablePath};

use super::lake_ddl::{Says, check_new, differences, table_spec};
use super::objects::Declared;
use super::run::Run;
use super::{Session, StatementResult};
use crate::error::{NOT_FOUND, SqlError};
use crate::parse::WrittenOption;
use crate::parse::ast::Insert;
use crate::planner::resolve::hint_bag;

/// The table of a lake that a declared table stands for.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) catalog: Arc<dyn LakeCatalog>,
    pub(crate) catalog_options: OptionBag,
    pub(crate) id: TableId,
    pub(crate) with: TableWith,
    /// What the declaration says, with the properties that it names.
    spec: TableSpec,
}

impl Link {
    /// The table as it is now.
    pub(crate) async fn load(&self, path: &TablePath, at: Position) -> Result<LakeTable, SqlError> {
        match self.find(path).await? {
            Some(table) => Ok(table),
            None => {
                let what = format!("its table '{}' does not exist, and nothing is created here: a job that writes to it creates it.", self.target());
                Err(Problem::new(NOT_FOUND, format!("Table '{path}'"), what).at(Some(at)).into())
            }
        }
    }

    /// The table as it is now, or as a job would create it.
    pub(crate) async fn load_or_plan(&self, path: &TablePath) -> Result<LakeTable, SqlError> {
        match self.find(path).await? {
            Some(table) => Ok(table),
            None => planned_table(self.catalog.as_ref(), &self.id, &self.new_table()).map_err(|source| self.not_created(source)),
        }
    }

    async fn find(&self, path: &TablePath) -> Result<Option<LakeTable>, SqlError> {
        match self.catalog.load(&self.id).await {
            Ok(table) => Ok(Some(table)),
            Err(CatalogError::NotFound(_)) => Ok(None),
            Err(source) => Err(SqlError::Catalog { what: format!("table '{path}' cannot be loaded"), source }),
        }
    }

    /// What the table has otherwise than the declaration says.
    pub(crate) fn differences(&self, path: &TablePath, table: &LakeTable) -> Result<Vec<Problem>, SqlError> {
        let mut spec = self.spec.clone();
        // What is said of upkeep is said of the jobs that use the declaration, and counts for them.
        spec.properties.retain(|key, _| !is_of_upkeep(key) || is_without_effect(key));
        differences(&format!("Table '{path}'"), &spec, Says::Something, &table.metadata)
    }

    /// Creates the table, and its database, unless they are there; gives what to tell.
    pub(super) async fn create(&self, path: &TablePath) -> Result<Option<String>, SqlError> {
        if self.find(path).await?.is_some() {
            return Ok(None);
        }
        let (database, new) = (&self.id.database, self.new_table());
        check_new(&format!("Table '{path}'"), &new, |_| None)?;
        let fine = |result: Result<(), CatalogError>| match result {
            Ok(()) | Err(CatalogError::AlreadyExists(_)) => Ok(()),
            Err(source) => Err(source),
        };
        if !self.catalog.database_exists(database).await.map_err(|source| self.not_created(source))? {
            fine(self.catalog.create_database(database, &BTreeMap::new()).await).map_err(|source| self.not_created(source))?;
        }
        let created = self.catalog.create(&self.id, &new).await;
        fine(created.map(|_| ())).map_err(|source| self.not_created(source))?;
        Ok(Some(format!("Table '{}' created.", self.target())))
    }

    fn new_table(&self) -> TableSpec {
        TableSpec { properties: self.with.stored_properties(), ..self.spec.clone() }
    }

    fn not_created(&self, source: CatalogError) -> SqlError {
        SqlError::Catalog { what: format!("table '{}' cannot be created", self.target()), source }
    }

    fn target(&self) -> String {
        format!("{}.{}", self.catalog.name(), self.id)
    }

    /// Options of a read, those of `hint` over those of the declaration.
    pub(crate) fn reading(&self, path: &TablePath, hint: Option<&[WrittenOption]>) -> OptionBag {
        self.with.reading(&hint_bag(path, hint))
    }

    /// Options of lookups, those of `hint` over those of the declaration.
    pub(crate) fn looking_up(&self, path: &TablePath, hint: Option<&[WrittenOption]>) -> OptionBag {
        self.with.looking_up(&hint_bag(path, hint))
    }

    /// Options of a write, those of `hint` over those of the declaration.
    pub(crate) fn writing(&self, path: &TablePath, hint: &[WrittenOption]) -> OptionBag {
        self.with.writing(&hint_bag(path, Some(hint)))
    }
}

impl Session {
    /// The table that a declaration with `'connector' = 'iceberg'` stands for; every problem of the declaration.
    pub(super) fn link(&self, declared: &Declared, at: Position, warnings: &mut Vec<Problem>) -> Result<Link, SqlError> {
        let def = &declared.def;
        let object = def.options.object();
        let mut problems = Vec::new();
        for column in &def.columns {
            if let ColumnKind::Metadata { key, .. } = &column.kind {
                let what = format!("Invalid metadata key '{key}' in column '{}'.", column.name);
                problems.push(Problem::new(NOT_FOUND, object, what).hint("Connector 'iceberg' has no metadata columns.").at(Some(at)));
            }
        }
        let physical = def.columns.iter().filter(|column| column.kind == ColumnKind::Physical);
        let fields: Vec<Field> = physical.map(|column| Field::new(&column.name, column.data_type.clone(), column.nullable)).collect();
        let spec = table_spec(object, fields, &def.primary_key, &declared.partitioned_by).map_err(|problem| problems.push(problem.at(Some(at)))).ok();
        let link = match TableLink::open(&def.options, &def.path, &self.parts.file_systems) {
            Ok(Opened { value, warnings: found }) => {
                warnings.extend(found);
                match self.parts.objects.shared(Arc::clone(&value.catalog), &value.catalog_options) {
                    Ok(catalog) => Some(TableLink { catalog, ..value }),
                    Err(problem) => {
                        problems.push(problem);
                        None
                    }
                }
            }
            Err(found) => {
                problems.extend(found.as_slice().to_vec());
                None
            }
        };
        match (link, spec) {
            (Some(TableLink { catalog, catalog_options, id, with }), Some(spec)) if problems.is_empty() => {
                let spec = TableSpec { properties: with.properties.clone(), location: with.location.clone(), ..spec };
                Ok(Link { catalog, catalog_options, id, with, spec })
            }
            _ => Err(Problems::new(problems).into()),
        }
    }

    /// Creates the target of an INSERT if it is a table with `'connector' = 'iceberg'` that is not there yet.
    pub(super) async fn create_linked(&self, insert: &Insert, scope: &super::Scope, run: &mut Run) -> Result<Option<StatementResult>, SqlError> {
        let path = scope.table(&insert.target);
        let Some((_, link)) = self.parts.objects.link(&path) else { return Ok(None) };
        self.before_lake_create(run).await?;
        Ok(link.create(&path).await?.map(StatementResult::Message))
    }
}
