//! CREATE CATALOG, CREATE TABLE and CREATE VIEW outside of lakes, and DROP.

use std::sync::Arc;

use arrow_schema::Schema;
use weir_base::options::{OptionBag, Position, Problem, Problems, closest};
use weir_catalog::{CatalogError, TableId};
use weir_connectors::registry::{Connector, Role, is_linked};
use weir_connectors::table::{ColumnDef, ColumnKind, TableDef, TablePath};

use super::lake_ddl::missing_partition_column;
use super::objects::{DEFAULT_CATALOG, Declared, Entry, Lake, View, missing};
use super::run::Run;
use super::{Outcome, Session};
use crate::error::{EXISTS, NOT_FOUND, NOT_YET, SqlError, TYPES};
use crate::parse::ast::{Column, ColumnText, CreateTable, CreateView, Like, Merge, Object};
use crate::parse::{Name, WrittenOption, unsupported};
use crate::planner::implicit_cast::is_implicit;
use crate::planner::logical_tables;
use crate::planner::resolve::{Found, Planning, Purpose, computed_type, find, plan_view};
use crate::settings::Validation;

impl Session {
    pub(super) fn create_catalog(
        &mut self,
        name: &Name,
        if_not_exists: bool,
        options: &[WrittenOption],
        warnings: &mut Vec<Problem>,
    ) -> Result<Option<String>, SqlError> {
        let catalog = name.parts.first().cloned().unwrap_or_default();
        let object = format!("Catalog '{catalog}'");
        if catalog == DEFAULT_CATALOG || self.parts.objects.lakes.contains_key(&catalog) {
            if if_not_exists {
                return Ok(None);
            }
            return Err(Problem::new(EXISTS, object, "it exists already.").at(Some(name.position)).into());
        }
        let bag = bag_of(&object, options);
        match bag.peek("type") {
            Some("iceberg") => {}
            Some(other) => {
                let what = format!("Invalid value for option 'type': '{other}'. Expected one of: [iceberg].");
                let near = closest(other, ["iceberg"]).first().map(|near| format!("Did you mean '{near}'?"));
                return Err(Problem::new("OPT-004", object, what).suggest(near).at(bag.position("type")).into());
            }
            None => {
                let what = "One or more required options are missing: 'type'.";
                return Err(Problem::new("OPT-002", object, what).hint("Write 'type' = 'iceberg'.").at(Some(name.position)).into());
            }
        }
        let opened = weir_catalog::open(&catalog, &mut bag.fresh(), &self.parts.file_systems)?;
        warnings.extend(opened.warnings);
        let shared = self.parts.objects.shared(opened.catalog, &bag)?;
        let lake = Lake { catalog: shared, options: bag, default_database: opened.default_database };
        self.parts.objects.lakes.insert(catalog.clone(), lake);
        Ok(Some(format!("Catalog '{catalog}' created.")))
    }

    pub(super) async fn create_table(&mut self, table: &CreateTable, run: &mut Run, outcome: &mut Outcome) -> Result<Option<String>, SqlError> {
        let path = self.parts.scope.table(&table.name);
        let in_lake = self.parts.objects.lake(&path.catalog, table.name.position)?.cloned();
        if let (Some(lake), false) = (in_lake, table.temporary) {
            return Ok(self.create_lake_table(table, &path, &lake, run, outcome).await?.map(|(_, message)| message));
        }
        if self.taken(&path, table.temporary, table.if_not_exists, table.name.position)? {
            return Ok(None);
        }
        if path.catalog == DEFAULT_CATALOG && !self.parts.objects.databases.contains(&path.database) {
            let known: Vec<&str> = self.parts.objects.databases.iter().map(String::as_str).collect();
            let name = format!("{}.{}", path.catalog, path.database);
            return Err(missing("Database", &name, "it does not exist.", known).at(Some(table.name.position)).into());
        }
        let mut declared = self.declare(table, &path).await?;
        if is_linked(&declared.def) {
            declared.link = Some(self.link(&declared, table.name.position, &mut outcome.warnings)?);
            run.look_again();
        } else {
            outcome.warnings.extend(self.validate(&declared.def)?);
        }
        let objects = &mut self.parts.objects;
        let map = if table.temporary { &mut objects.temporary } else { &mut objects.permanent };
        map.insert(path.clone(), Entry::Table(Arc::new(declared)));
        Ok(Some(format!("Table '{path}' created.")))
    }

    /// Whether the name is taken; an error unless that is allowed.
    fn taken(&self, path: &TablePath, temporary: bool, allowed: bool, at: Position) -> Result<bool, Problems> {
        let map = if temporary { &self.parts.objects.temporary } else { &self.parts.objects.permanent };
        match map.get(path) {
            None => Ok(false),
            Some(_) if allowed => Ok(true),
            Some(entry) => Err(Problem::new(EXISTS, format!("{} '{path}'", entry.object().kind()), "it exists already.").at(Some(at)).into()),
        }
    }

    /// The declaration that a CREATE TABLE makes, LIKE carried out, types of computed columns found.
    async fn declare(&self, table: &CreateTable, path: &TablePath) -> Result<Declared, SqlError> {
        let object = format!("Table '{path}'");
        let mut declared = Declared {
            def: TableDef {
                path: path.clone(),
                columns: Vec::new(),
                primary_key: table.primary_key.clone(),
                options: bag_of(&object, &table.options),
            },
            comment: table.comment.clone(),
            watermark: table.watermark.clone(),
            partitioned_by: table.partitioned_by.clone(),
            temporary: table.temporary,
            link: None,
        };
        let mut inherited = Vec::new();
        if let Some(like) = &table.like {
            inherited = self.take_over(like, &mut declared, &object).await?;
        }
        let mut problems = Vec::new();
        let mut columns = inherited;
        for column in &table.columns {
            let position = columns.iter().position(|known: &ColumnDef| known.name == column.name);
            if let (Some(index), Some(like)) = (position, &table.like) {
                if !may_replace(&column.kind, like) {
                    let what = format!("Column '{}' is in the LIKE table already.", column.name);
                    problems.push(Problem::new(EXISTS, &object, what).at(Some(column.position)));
                    continue;
                }
                columns.remove(index);
            }
            match self.column(column, &columns, table, &object) {
                Ok(column) => columns.push(column),
                Err(SqlError::Problems(found)) => problems.extend(found.as_slice().to_vec()),
                Err(other) => return Err(other),
            }
        }
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        for key in declared.def.primary_key.iter().filter(|key| !names.contains(&key.as_str())) {
            problems.push(unknown_column("PRIMARY KEY", key, &names, &object, table.name.position));
        }
        problems.extend(declared.partitioned_by.iter().filter_map(|partition| missing_partition_column(partition, &names, &object)));
        for column in columns.iter_mut().filter(|column| declared.def.primary_key.contains(&column.name)) {
            column.nullable = false;
        }
        if !problems.is_empty() {
            return Err(Problems::new(problems).into());
        }
        declared.def.columns = columns;
        Ok(declared)
    }

    fn column(&self, column: &Column, before: &[ColumnDef], table: &CreateTable, object: &str) -> Result<ColumnDef, SqlError> {
        let (ty, kind) = match &column.kind {
            ColumnText::Physical(ty) => (ty.clone(), ColumnKind::Physical),
            ColumnText::Metadata { ty, key, virtual_column } => {
                let key = key.clone().unwrap_or_else(|| column.name.clone());
                (ty.clone(), ColumnKind::Metadata { key, virtual_column: *virtual_column })
            }
            ColumnText::Computed(text) => {
                // Every other column of the table may be named, also one that is declared later.
                let later = table.columns.iter().filter_map(|other| match &other.kind {
                    ColumnText::Physical(ty) | ColumnText::Metadata { ty, .. } => Some((other.name.clone(), ty.data_type.clone(), ty.nullable)),
                    ColumnText::Computed(_) => None,
                });
                let earlier = before.iter().filter(|other| !matches!(other.kind, ColumnKind::Computed(_)));
                let mut fields: Vec<arrow_schema::Field> =
                    earlier.map(|other| arrow_schema::Field::new(&other.name, other.data_type.clone(), other.nullable)).collect();
                for (name, data_type, nullable) in later {
                    if !fields.iter().any(|field| *field.name() == name) {
                        fields.push(arrow_schema::Field::new(name, data_type, nullable));
                    }
                }
                let (data_type, nullable) = computed_type(&self.parts.base, text, &Schema::new(fields), object, column.position)?;
                let sql_type = crate::parse::types::sql_type_of(&data_type);
                let kind = ColumnKind::Computed(text.clone());
                return Ok(ColumnDef { name: column.name.clone(), data_type, nullable, kind, sql_type, comment: column.comment.clone() });
            }
        };
        Ok(ColumnDef {
            name: column.name.clone(),
            data_type: ty.data_type,
            nullable: ty.nullable,
            kind,
            sql_type: ty.text,
            comment: column.comment.clone(),
        })
    }

    /// Takes over what LIKE says; gives the columns.
    async fn take_over(&self, like: &Like, declared: &mut Declared, object: &str) -> Result<Vec<ColumnDef>, SqlError> {
        let path = self.parts.scope.table(&like.table);
        let base = match find(&self.parts, &path, like.table.position).await? {
            Found::Declared(base) => base.as_ref().clone(),
            Found::Lake(_, table) => super::lake_ddl::as_declared(&path, &table)?,
            Found::View(_) => {
                return Err(Problem::new(NOT_YET, object, format!("'{path}' is a view; LIKE takes a table.")).at(Some(like.table.position)).into());
            }
        };
        if like.options != Merge::Excluding {
            for (key, value) in base.def.options.iter() {
                if declared.def.options.contains(key) {
                    if like.options == Merge::Including {
                        let what = format!("Option '{key}' is in the LIKE table already.");
                        return Err(Problem::new(EXISTS, object, what).at(declared.def.options.position(key)).into());
                    }
                } else {
                    declared.def.options.insert(key, value, None);
                }
            }
        }
        if like.constraints != Merge::Excluding && declared.def.primary_key.is_empty() {
            declared.def.primary_key.clone_from(&base.def.primary_key);
        }
        if like.partitions != Merge::Excluding && declared.partitioned_by.is_empty() {
            declared.partitioned_by.clone_from(&base.partitioned_by);
        }
        if like.watermarks != Merge::Excluding && declared.watermark.is_none() {
            declared.watermark.clone_from(&base.watermark);
        }
        let keep = |column: &ColumnDef| match column.kind {
            ColumnKind::Physical => true,
            ColumnKind::Metadata { .. } => like.metadata != Merge::Excluding,
            ColumnKind::Computed(_) => like.generated != Merge::Excluding,
        };
        Ok(base.def.columns.into_iter().filter(keep).collect())
    }

    /// Checks a declaration with its connector, for every role that the connector has.
    fn validate(&self, def: &TableDef) -> Result<Vec<Problem>, SqlError> {
        if self.parts.settings.validation() == Validation::Lazy {
            return Ok(Vec::new());
        }
        let connector = self.parts.registry.of(def)?;
        check_metadata(connector.as_ref(), def)?;
        let file_systems = &self.parts.file_systems;
        let mut failures: Vec<Problems> = Vec::new();
        let mut warnings = None;
        let mut keep = |result: Result<Vec<Problem>, Problems>| match result {
            Ok(found) => warnings = warnings.take().or(Some(found)),
            Err(problems) => failures.push(problems),
        };
        if connector.supports(Role::Source) {
            keep(connector.source(def, file_systems).map(|opened| opened.warnings));
        }
        if connector.supports(Role::Sink) {
            keep(connector.sink(def, file_systems).map(|opened| opened.warnings));
        }
        if connector.supports(Role::Scan) {
            keep(connector.scan(&def.stored(), file_systems).map(|opened| opened.warnings));
        }
        if connector.supports(Role::Lookup) {
            keep(connector.lookup(&def.stored(), file_systems).map(|opened| opened.warnings));
        }
        // A table that can be used in one role is fine: nobody knows yet what it is for.
        match (warnings, failures.into_iter().next()) {
            (Some(warnings), _) => Ok(warnings),
            (None, Some(problems)) => Err(problems.into()),
            (None, None) => Ok(Vec::new()),
        }
    }

    pub(super) async fn create_view(&mut self, view: &CreateView, warnings: &mut Vec<Problem>) -> Result<Option<String>, SqlError> {
        let path = self.parts.scope.table(&view.name);
        let at = view.name.position;
        let kind = if view.logical.is_some() { Object::LogicalTable.kind() } else { Object::View.kind() };
        if self.parts.objects.lake(&path.catalog, at)?.is_some() && !view.temporary {
            let problem = Problem::new(NOT_YET, format!("{kind} '{path}'"), "an Iceberg catalog can hold no views yet.");
            return Err(problem.hint("Create it as TEMPORARY, or with a name in default_catalog.").at(Some(at)).into());
        }
        if self.taken(&path, view.temporary, view.if_not_exists, at)? {
            return Ok(None);
        }
        let new = View {
            path: path.clone(),
            columns: view.columns.clone(),
            comment: view.comment.clone(),
            query: view.query.clone(),
            logical: view.logical.clone(),
            scope: self.parts.scope.clone(),
            temporary: view.temporary,
        };
        let mut planning = Planning::new(&self.parts, Purpose::Batch);
        if let Err(wrong) = plan_view(&mut planning, &new).await {
            // A view of streams is for jobs only.
            planning = Planning::new(&self.parts, Purpose::Stream);
            if plan_view(&mut planning, &new).await.is_err() {
                return Err(wrong);
            }
        }
        warnings.append(&mut planning.warnings);
        if let Some(logical) = &new.logical {
            logical_tables::check(&self.parts, &new, logical).await?;
        }
        let objects = &mut self.parts.objects;
        let map = if view.temporary { &mut objects.temporary } else { &mut objects.permanent };
        map.insert(path.clone(), Entry::View(Arc::new(new)));
        Ok(Some(format!("{kind} '{path}' created.")))
    }

    pub(super) async fn drop_object(&mut self, object: Object, name: &Name, if_exists: bool, temporary: bool) -> Result<Option<String>, SqlError> {
        match object {
            Object::Table | Object::View | Object::LogicalTable => self.drop_table(object, name, if_exists, temporary).await,
            Object::Database => self.drop_database(name, if_exists).await,
            Object::Catalog => {
                let catalog = name.parts.first().cloned().unwrap_or_default();
                if self.parts.scope.catalog == catalog {
                    return Err(unsupported(format!("Catalog '{catalog}' is in use: USE another one first."), name.position).into());
                }
                if self.parts.objects.lakes.remove(&catalog).is_none() && !if_exists {
                    return Err(missing("Catalog", &catalog, "it does not exist.", self.parts.objects.catalog_names())
                        .at(Some(name.position))
                        .into());
                }
                Ok(Some(format!("Catalog '{catalog}' dropped from the session; what it holds stays.")))
            }
        }
    }

    async fn drop_table(&mut self, object: Object, name: &Name, if_exists: bool, temporary: bool) -> Result<Option<String>, SqlError> {
        let path = self.parts.scope.table(name);
        let wanted = object.kind();
        let gone = |kind: &str| Ok(Some(format!("{kind} '{path}' dropped.")));
        let objects = &mut self.parts.objects;
        let map = if temporary || objects.temporary.contains_key(&path) { &mut objects.temporary } else { &mut objects.permanent };
        match map.get(&path) {
            Some(entry) if entry.object() != object => {
                let kind = entry.object().kind();
                let what = format!("it is a {}: use DROP {}.", kind.to_lowercase(), kind.to_uppercase());
                return Err(Problem::new(NOT_FOUND, format!("{wanted} '{path}'"), what).at(Some(name.position)).into());
            }
            Some(_) => {
                map.remove(&path);
                return gone(wanted);
            }
            None => {}
        }
        let not_there = Problem::new(NOT_FOUND, format!("{wanted} '{path}'"), "it does not exist.").at(Some(name.position));
        let lake = self.parts.objects.lake(&path.catalog, name.position)?;
        let (Some(lake), Object::Table, false) = (lake, object, temporary) else {
            return if if_exists { Ok(None) } else { Err(not_there.into()) };
        };
        let id = TableId { database: path.database.clone(), table: path.table.clone() };
        match lake.catalog.drop_table(&id).await {
            Ok(()) => gone("Table"),
            Err(CatalogError::NotFound(_)) if if_exists => Ok(None),
            Err(CatalogError::NotFound(_)) => Err(not_there.into()),
            Err(source) => Err(SqlError::Catalog { what: format!("table '{path}' cannot be dropped"), source }),
        }
    }

    async fn drop_database(&mut self, name: &Name, if_exists: bool) -> Result<Option<String>, SqlError> {
        let (catalog, database) = self.parts.scope.database(name);
        let full = format!("{catalog}.{database}");
        let object = format!("Database '{full}'");
        if let Some(lake) = self.parts.objects.lake(&catalog, name.position)? {
            return match lake.catalog.drop_database(&database).await {
                Ok(()) => Ok(Some(format!("Database '{full}' dropped."))),
                Err(CatalogError::NotFound(_)) if if_exists => Ok(None),
                Err(source) => Err(SqlError::Catalog { what: format!("database '{full}' cannot be dropped"), source }),
            };
        }
        let objects = &mut self.parts.objects;
        if objects.permanent.keys().any(|path| path.database == database) {
            return Err(Problem::new(EXISTS, object, "it is not empty: drop its tables first.").at(Some(name.position)).into());
        }
        if !objects.databases.remove(&database) && !if_exists {
            return Err(Problem::new(NOT_FOUND, object, "it does not exist.").at(Some(name.position)).into());
        }
        Ok(Some(format!("Database '{full}' dropped.")))
    }
}

/// The options of a statement as a bag of the object.
pub(super) fn bag_of(object: &str, options: &[WrittenOption]) -> OptionBag {
    let mut bag = OptionBag::new(object);
    for option in options {
        bag.insert(option.key.clone(), option.value.clone(), Some(option.position));
    }
    bag
}

fn may_replace(kind: &ColumnText, like: &Like) -> bool {
    match kind {
        ColumnText::Physical(_) => false,
        ColumnText::Metadata { .. } => like.metadata == Merge::Overwriting,
        ColumnText::Computed(_) => like.generated == Merge::Overwriting,
    }
}

/// That a column which `clause` names is none of `columns`.
pub(super) fn unknown_column(clause: &str, name: &str, columns: &[&str], object: &str, at: Position) -> Problem {
    let near = closest(name, columns.iter().copied()).first().map(|near| format!("Did you mean '{near}'?"));
    Problem::new(NOT_FOUND, object, format!("Column '{name}' of {clause} does not exist.")).suggest(near).at(Some(at))
}

/// Checks that metadata columns have keys of the connector and types that the keys convert to.
fn check_metadata(connector: &dyn Connector, def: &TableDef) -> Result<(), Problems> {
    let known = connector.metadata();
    let mut problems = Vec::new();
    for column in &def.columns {
        let ColumnKind::Metadata { key, virtual_column } = &column.kind else { continue };
        let object = def.options.object();
        let Some(found) = known.iter().find(|candidate| candidate.key == key) else {
            let what = format!("Invalid metadata key '{key}' in column '{}'.", column.name);
            let near = closest(key, known.iter().map(|candidate| candidate.key)).first().map(|near| format!("Did you mean '{near}'?"));
            let keys: Vec<&str> = known.iter().map(|candidate| candidate.key).collect();
            let problem = Problem::new(NOT_FOUND, object, what).suggest(near);
            problems.push(if keys.is_empty() {
                problem.hint(format!("Connector '{}' has no metadata columns.", connector.name()))
            } else {
                problem.hint(format!("Metadata keys of '{}' are {}.", connector.name(), keys.join(", ")))
            });
            continue;
        };
        let fits = is_implicit(&found.data_type, &column.data_type) || is_implicit(&column.data_type, &found.data_type);
        if !fits {
            let real = crate::parse::types::sql_type_of(&found.data_type);
            let what = format!("Metadata column '{}' has the type {}, but '{key}' is {real}.", column.name, column.sql_type);
            problems.push(Problem::new(TYPES, object, what));
        }
        if !found.writable && !virtual_column && !connector.supports(Role::Source) {
            let what = format!("Metadata column '{}' cannot be written: declare it VIRTUAL.", column.name);
            problems.push(Problem::new(NOT_YET, object, what));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Problems::new(problems)) }
}
