//! The tables that a query names: found, opened for what the query is, and made into providers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_schema::Schema;
use datafusion::catalog::{TableProvider, view::ViewTable};
use datafusion::common::{DFSchema, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, ident};
use datafusion::sql::sqlparser::ast::ExprWithAlias;
use iceberg::spec::TableMetadataRef;
use weir_base::options::{OptionBag, Position, Problem};
use weir_catalog::{CatalogError, LakeCatalog, LakeTable, TableId};
use weir_connectors::iceberg::{IcebergScan, IcebergStream, MetadataTable, ROW_KIND, is_streaming, past_column, row_limit, tells_changes};
use weir_connectors::letters::{ERROR_MODE, without_letters};
use weir_connectors::registry::Role;
use weir_connectors::source::StreamSource;
use weir_connectors::table::{ColumnKind, TableDef, TablePath};

use super::state::{StatementTables, statement_state};
use super::stream_table::{LakeStream, StreamProvider};
use super::{Planned, logical_tables, lookup, places, plan_query, time_travel};
use crate::error::{NOT_FOUND, NOT_YET, SqlError, missing_column, plan_error};
use crate::lookup_join::LookupTable;
use crate::parse::ast::QueryText;
use crate::parse::{ExpressionText, WrittenOption, parse_expression, split_marks};
use crate::plan::StreamTable;
use crate::session::SessionParts;
use crate::session::link::Link;
use crate::session::objects::{Declared, Entry, Lake, Scope, View, missing};

/// What a query is planned for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A streaming job: stream tables are read as streams.
    Stream,
    /// A batch query: what can be read as a whole is.
    Batch,
}

/// The planning of one job or one query: the session, and the sources met so far, so that one table is one source.
#[derive(Debug)]
pub(crate) struct Planning<'a> {
    pub(crate) session: &'a SessionParts,
    pub(crate) base: SessionState,
    pub(crate) purpose: Purpose,
    pub(crate) sources: Vec<(SourceKey, StreamTable)>,
    /// The lookup tables met so far.
    pub(crate) lookups: Vec<(SourceKey, Arc<LookupTable>)>,
    pub(crate) warnings: Vec<Problem>,
    /// For EXPLAIN: a table that a job would create is planned as it would be.
    pub(crate) only_shown: bool,
    /// Of each INSERT so far the target and the tables that it follows, by UUID: against rows that come back.
    pub(crate) circles: Vec<(Option<String>, BTreeSet<String>)>,
    /// Names of views being planned, against a view in itself.
    open_views: Vec<TablePath>,
    /// The tables of lakes met so far, for messages about columns that they once had.
    lakes: Vec<(TablePath, TableMetadataRef)>,
}

/// Two uses of a table with the same options are one source.
pub(crate) type SourceKey = (TablePath, BTreeMap<String, String>);

/// What a name stands for.
pub(crate) enum Found {
    Declared(Arc<Declared>),
    View(Arc<View>),
    Lake(Box<Lake>, Box<LakeTable>),
}

impl<'a> Planning<'a> {
    pub(crate) fn new(session: &'a SessionParts, purpose: Purpose) -> Self {
        let base = session.base.clone();
        Self {
            session,
            base,
            purpose,
            sources: Vec::new(),
            lookups: Vec::new(),
            warnings: Vec::new(),
            only_shown: false,
            circles: Vec::new(),
            open_views: Vec::new(),
            lakes: Vec::new(),
        }
    }

    /// The sources met so far, in order.
    pub(crate) fn stream_tables(&self) -> Vec<StreamTable> {
        self.sources.iter().map(|(_, table)| table.clone()).collect()
    }

    /// The error of a query about a column that is not there; with what has become of it, if one of the tables once had it.
    pub(super) fn column_error(&self, error: &DataFusionError, query: &QueryText) -> SqlError {
        let at = places::of_column(query, error);
        let past = missing_column(error).and_then(|column| {
            self.lakes.iter().find_map(|(path, metadata)| past_column(&path.to_string(), metadata, column).map(|past| (column, past)))
        });
        match past {
            Some((column, past)) => Problem::new(NOT_FOUND, "Query", format!("Column '{column}' not found.")).hint(past).at(Some(at)).into(),
            None => plan_error(error, "Query", at),
        }
    }

    pub(crate) fn note_idle_hints(&mut self, query: &QueryText) {
        for (name, at) in &query.idle_hints {
            let problem = Problem::warning("OPT-008", "Query", format!("The hint {name} has no effect yet."));
            self.warnings.push(problem.at(Some(*at)));
        }
    }

    /// A provider for each name in a query.
    pub(super) async fn tables(
        &mut self,
        references: &[TableReference],
        query: &QueryText,
        scope: &Scope,
        hints: &mut lookup::Hints,
    ) -> Result<StatementTables, SqlError> {
        let mut tables = StatementTables::new();
        for reference in references {
            let (name, hint, version) = split_marks(reference.table());
            let marked = full_path(scope, reference, reference.table());
            let path = full_path(scope, reference, name);
            let at = places::of_table(query, reference);
            let hint = hint.and_then(|number| query.hints.get(number)).map(Vec::as_slice);
            let provider = match version.and_then(|number| query.versions.get(number)) {
                None => self.provider(&path, hint, at).await?,
                Some(version) => match lookup::RowTime::of(&version.as_of) {
                    Some(time) => {
                        self.hints_are_allowed(&path, hint)?;
                        self.lookup(&path, hint, (time, &version.known_as, hints), at).await?
                    }
                    None => {
                        let version = time_travel::option(&self.base, query, &version.as_of, &path, at)?;
                        self.version(&path, hint, version, at).await?
                    }
                },
            };
            tables.insert(marked, provider);
        }
        Ok(tables)
    }

    /// A table as of a version that the query names.
    async fn version(
        &mut self,
        path: &TablePath,
        hint: Option<&[WrittenOption]>,
        version: WrittenOption,
        at: Position,
    ) -> Result<Arc<dyn TableProvider>, SqlError> {
        let is_lake = match self.session.objects.entry(path) {
            Some(Entry::Table(table)) => table.link.is_some(),
            Some(Entry::View(_)) => false,
            None => true,
        };
        if !is_lake {
            return Err(no_versions(path, at).into());
        }
        let options: Vec<WrittenOption> = hint.unwrap_or_default().iter().cloned().chain([version]).collect();
        self.hints_are_allowed(path, hint)?;
        self.opened(path, Some(&options), at).await
    }

    async fn provider(&mut self, path: &TablePath, hint: Option<&[WrittenOption]>, at: Position) -> Result<Arc<dyn TableProvider>, SqlError> {
        self.hints_are_allowed(path, hint)?;
        self.opened(path, hint, at).await
    }

    fn hints_are_allowed(&self, path: &TablePath, hint: Option<&[WrittenOption]>) -> Result<(), SqlError> {
        if let Some([first, ..]) = hint
            && !self.session.settings.hints_allowed()
        {
            let what = "OPTIONS hints are switched off by 'table.dynamic-table-options.enabled' = 'false'.";
            return Err(Problem::new(NOT_YET, format!("Table '{path}'"), what).at(Some(first.position)).into());
        }
        Ok(())
    }

    async fn opened(&mut self, path: &TablePath, hint: Option<&[WrittenOption]>, at: Position) -> Result<Arc<dyn TableProvider>, SqlError> {
        if let Some(metadata) = self.metadata_table(path, hint, at).await? {
            return Ok(metadata);
        }
        match find(self.session, path, at).await? {
            Found::View(view) => {
                if let Some(option) = hint.and_then(<[WrittenOption]>::first) {
                    let what = "it is a view, and a view takes no OPTIONS hint.";
                    return Err(Problem::new(NOT_YET, format!("{} '{path}'", view.object().kind()), what).at(Some(option.position)).into());
                }
                self.view(&view).await
            }
            Found::Declared(table) => match &table.link {
                Some(link) => self.linked(&table.def, link, hint, at).await,
                None => self.declared(&table.with_hint(hint), at).await,
            },
            Found::Lake(lake, table) => self.of_lake(path, &lake.catalog, *table, &hint_bag(path, hint), at),
        }
    }

    async fn view(&mut self, view: &View) -> Result<Arc<dyn TableProvider>, SqlError> {
        if self.open_views.contains(&view.path) {
            return Err(Problem::new(NOT_YET, format!("View '{}'", view.path), "its query contains the view itself.").into());
        }
        self.open_views.push(view.path.clone());
        let planned = plan_view(self, view).await;
        self.open_views.pop();
        Ok(Arc::new(ViewTable::new(planned?.plan, Some(view.query.text.clone()))))
    }

    async fn declared(&mut self, def: &TableDef, at: Position) -> Result<Arc<dyn TableProvider>, SqlError> {
        let registry = &self.session.registry;
        let connector = registry.of(def)?;
        let plan = if self.purpose == Purpose::Batch && connector.supports(Role::Scan) {
            let opened = connector.scan(&def.stored(), &self.session.file_systems)?;
            self.warnings.extend(opened.warnings);
            let provider = opened.value.provider().await?;
            if def.stores_all() {
                return Ok(provider);
            }
            scan(&def.path, provider, at)?
        } else {
            let table = self.stream_table(def)?;
            let (schema, row_kind) = (table.source.schema(), table.source.row_kind());
            let provider: Arc<dyn TableProvider> = Arc::new(StreamProvider { table, schema, lake: None });
            if def.stores_all() {
                return Ok(provider);
            }
            let plan = with_computed(&self.base, def, scan(&def.path, provider, at)?, row_kind, at)?;
            return Ok(Arc::new(ViewTable::new(plan, None)));
        };
        Ok(Arc::new(ViewTable::new(with_computed(&self.base, def, plan, None, at)?, None)))
    }

    fn stream_table(&mut self, def: &TableDef) -> Result<StreamTable, SqlError> {
        let key = source_key(&def.path, &def.options);
        if let Some(known) = self.known_source(&key) {
            return Ok(known);
        }
        let connector = self.session.registry.for_role(def, Role::Source)?;
        let for_query = without_letters(&def.options).filter(|_| self.purpose == Purpose::Batch);
        let opened = match for_query {
            Some(options) => {
                let what = "only a job writes dead letters: messages that cannot be read are left out of this query, and counted.";
                let position = def.options.position(ERROR_MODE.key);
                self.warnings.push(Problem::warning("OPT-008", def.options.object(), what).at(position));
                connector.source(&TableDef { options, ..def.clone() }, &self.session.file_systems)?
            }
            None => connector.source(def, &self.session.file_systems)?,
        };
        self.warnings.extend(opened.warnings);
        Ok(self.add_source(key, opened.value))
    }

    fn add_source(&mut self, key: SourceKey, source: Arc<dyn StreamSource>) -> StreamTable {
        let path = key.0.clone();
        let same_name = self.sources.iter().filter(|(_, table)| table.path.table == path.table).count();
        let id = if same_name == 0 { path.table.clone() } else { format!("{}#{}", path.table, same_name + 1) };
        let table = StreamTable { id, path, source };
        self.sources.push((key, table.clone()));
        table
    }

    /// The declared columns of a table that is kept in a lake.
    async fn linked(
        &mut self,
        def: &TableDef,
        link: &Link,
        hint: Option<&[WrittenOption]>,
        at: Position,
    ) -> Result<Arc<dyn TableProvider>, SqlError> {
        let table = link.load(&def.path, at).await?;
        self.warnings.extend(link.differences(&def.path, &table)?);
        let provider = self.of_lake(&def.path, &link.catalog, table, &link.reading(&def.path, hint), at)?;
        let declared = def.columns.iter().map(|column| &column.name);
        if declared.eq(provider.schema().fields().iter().map(|field| field.name())) {
            return Ok(provider);
        }
        let plan = scan(&def.path, provider, at)?;
        Ok(Arc::new(ViewTable::new(with_computed(&self.base, def, plan, None, at)?, None)))
    }

    /// A table of a lake: as it is now, or, in a job that asks for it, the stream of what its commits add.
    fn of_lake(
        &mut self,
        path: &TablePath,
        catalog: &Arc<dyn LakeCatalog>,
        table: LakeTable,
        options: &OptionBag,
        at: Position,
    ) -> Result<Arc<dyn TableProvider>, SqlError> {
        let options = &self.session.settings.reading(options, self.purpose == Purpose::Stream);
        self.lakes.push((path.clone(), Arc::clone(&table.metadata)));
        if is_streaming(options) {
            return self.lake_stream(path, catalog, &table, options, at);
        }
        let opened = IcebergScan::open(catalog, &table.id, options)?;
        self.warnings.extend(opened.warnings);
        let provider: Arc<dyn TableProvider> = opened.value.provider_of(table)?;
        let Some(rows) = row_limit(options) else { return Ok(provider) };
        let limited = LogicalPlanBuilder::from(scan(path, provider, at)?).limit(0, Some(rows)).and_then(LogicalPlanBuilder::build);
        Ok(Arc::new(ViewTable::new(limited.map_err(|error| plan_error(&error, &format!("Table '{path}'"), at))?, None)))
    }

    fn lake_stream(
        &mut self,
        path: &TablePath,
        catalog: &Arc<dyn LakeCatalog>,
        table: &LakeTable,
        options: &OptionBag,
        at: Position,
    ) -> Result<Arc<dyn TableProvider>, SqlError> {
        if self.purpose == Purpose::Batch {
            let what = "with 'streaming' = 'true' it is an unbounded stream.";
            let hint = "Read it with INSERT INTO in a job, or as it is now, with /*+ OPTIONS('streaming'='false') */.";
            return Err(Problem::new(NOT_YET, format!("Table '{path}'"), what).hint(hint).at(Some(at)).into());
        }
        let key = source_key(path, options);
        let lake = LakeStream { uuid: table.metadata.uuid().to_string(), row_kind: tells_changes(options).then_some(ROW_KIND) };
        let table = match self.known_source(&key) {
            Some(known) => known,
            None => {
                let opened = IcebergStream::open(catalog, table, options, self.base.config().target_partitions())?;
                self.warnings.extend(opened.warnings);
                self.add_source(key, Arc::new(opened.value))
            }
        };
        let schema = table.source.schema();
        Ok(Arc::new(StreamProvider { table, schema, lake: Some(lake) }))
    }

    fn known_source(&self, key: &SourceKey) -> Option<StreamTable> {
        self.sources.iter().find(|(known, _)| known == key).map(|(_, table)| table.clone())
    }
}

/// That a table has no versions that AS OF could name.
pub(super) fn no_versions(path: &TablePath, at: Position) -> Problem {
    Problem::new(NOT_YET, format!("Table '{path}'"), "AS OF can only follow the name of an Iceberg table.").at(Some(at))
}

pub(super) fn source_key(path: &TablePath, options: &OptionBag) -> SourceKey {
    (path.clone(), options.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}

/// The options of a hint, as a bag of the table.
pub(crate) fn hint_bag(path: &TablePath, hint: Option<&[WrittenOption]>) -> OptionBag {
    let mut bag = OptionBag::new(format!("Table '{path}'"));
    for option in hint.unwrap_or_default() {
        bag.insert(option.key.clone(), option.value.clone(), Some(option.position));
    }
    bag
}

impl Declared {
    /// The definition with the options of a hint over its own.
    pub(crate) fn with_hint(&self, hint: Option<&[WrittenOption]>) -> TableDef {
        let mut def = self.def.clone();
        for option in hint.unwrap_or_default() {
            def.options.insert(option.key.clone(), option.value.clone(), Some(option.position));
        }
        def
    }
}

fn full_path(scope: &Scope, reference: &TableReference, table: &str) -> TablePath {
    let parts = [reference.catalog(), reference.schema(), Some(table)];
    scope.path(&parts.into_iter().flatten().map(str::to_owned).collect::<Vec<_>>())
}

/// What a name stands for; an error that suggests another name if for nothing.
pub(crate) async fn find(session: &SessionParts, path: &TablePath, at: Position) -> Result<Found, SqlError> {
    match session.objects.entry(path) {
        Some(Entry::Table(table)) => return Ok(Found::Declared(Arc::clone(table))),
        Some(Entry::View(view)) => return Ok(Found::View(Arc::clone(view))),
        None => {}
    }
    let Some(lake) = session.objects.lake(&path.catalog, at)? else {
        let known: Vec<&str> = session.objects.temporary.keys().chain(session.objects.permanent.keys()).map(|path| path.table.as_str()).collect();
        return Err(missing_table(path, known).at(Some(at)).into());
    };
    let id = TableId { database: path.database.clone(), table: path.table.clone() };
    match lake.catalog.load(&id).await {
        Ok(table) => Ok(Found::Lake(Box::new(lake.clone()), Box::new(table))),
        Err(CatalogError::NotFound(_)) => {
            if let Some(planned) = session.objects.planned.get(path) {
                return Ok(Found::Lake(Box::new(lake.clone()), Box::new(planned.clone())));
            }
            // Only for a suggestion: a failure here must not hide that the table is missing.
            let names = lake.catalog.tables(&path.database).await.unwrap_or_default();
            Err(missing_table(path, names.iter().map(String::as_str)).at(Some(at)).into())
        }
        Err(source) => Err(SqlError::Catalog { what: format!("table '{path}' cannot be loaded"), source }),
    }
}

/// That a name stands for no table, with the nearest of `known`.
pub(crate) fn missing_table<'a>(path: &TablePath, known: impl IntoIterator<Item = &'a str>) -> Problem {
    let problem = missing("Table", &path.table, "it does not exist.", known);
    let problem = Problem { object: format!("Table '{path}'").into(), ..problem };
    if path.table.contains('$') { problem.hint(format!("Metadata tables are ${}.", MetadataTable::names().join(", $"))) } else { problem }
}

/// The plan of a view's query, its columns renamed; of a logical table, that of the side which is wanted, within the period.
pub(crate) async fn plan_view(planning: &mut Planning<'_>, view: &View) -> Result<Planned, SqlError> {
    let Some(logical) = &view.logical else { return plan_side(planning, view, &view.query).await };
    let streaming = planning.purpose == Purpose::Stream && !planning.session.settings.batch_mode();
    let planned = plan_side(planning, view, if streaming { &view.query } else { &logical.batch }).await?;
    logical_tables::within_period(&planning.session.settings, view, logical, planned)
}

/// The plan of one query of a view, its columns renamed.
pub(crate) async fn plan_side(planning: &mut Planning<'_>, view: &View, query: &QueryText) -> Result<Planned, SqlError> {
    let planned = plan_query(planning, query, &view.scope).await?;
    if view.columns.is_empty() {
        return Ok(planned);
    }
    let columns = planned.plan.schema().columns();
    let object = format!("{} '{}'", view.object().kind(), view.path);
    if columns.len() != view.columns.len() {
        let what = format!("it names {} columns, but its query gives {}.", view.columns.len(), columns.len());
        return Err(Problem::new(crate::error::PLAN, object, what).at(Some(query.position)).into());
    }
    let renamed = columns.into_iter().zip(&view.columns).map(|(column, name)| Expr::Column(column).alias(name));
    let plan = LogicalPlanBuilder::from(planned.plan).project(renamed.collect::<Vec<_>>()).and_then(LogicalPlanBuilder::build);
    Ok(Planned { plan: plan.map_err(|error| plan_error(&error, &object, query.position))?, state: planned.state })
}

fn scan(path: &TablePath, provider: Arc<dyn TableProvider>, at: Position) -> Result<LogicalPlan, SqlError> {
    let name = TableReference::full(path.catalog.clone(), path.database.clone(), path.table.clone());
    let plan = LogicalPlanBuilder::scan(name, provider_as_source(provider), None).and_then(LogicalPlanBuilder::build);
    plan.map_err(|error| plan_error(&error, &format!("Table '{path}'"), at))
}

/// Puts the computed columns over a scan of the others; `row_kind` is a column that is not declared.
fn with_computed(base: &SessionState, def: &TableDef, input: LogicalPlan, row_kind: Option<&str>, at: Position) -> Result<LogicalPlan, SqlError> {
    let object = format!("Table '{}'", def.path);
    let mut columns = Vec::with_capacity(def.columns.len());
    for column in &def.columns {
        let value = match &column.kind {
            ColumnKind::Computed(text) => computed(base, text, input.schema(), &object, at)?.alias(&column.name),
            ColumnKind::Physical | ColumnKind::Metadata { .. } => ident(&column.name),
        };
        columns.push(value);
    }
    columns.extend(row_kind.map(ident));
    let plan = LogicalPlanBuilder::from(input).project(columns).and_then(LogicalPlanBuilder::build);
    plan.map_err(|error| plan_error(&error, &object, at))
}

/// The expression of a computed column over the columns of `schema`.
pub(crate) fn computed(base: &SessionState, text: &str, schema: &DFSchema, object: &str, at: Position) -> Result<Expr, SqlError> {
    logical(base, parse_expression(text)?, schema).map_err(|error| plan_error(&error, object, at))
}

/// An expression over the columns of `schema`.
pub(super) fn logical(base: &SessionState, parsed: ExpressionText, schema: &DFSchema) -> Result<Expr, DataFusionError> {
    let state = statement_state(base, StatementTables::new(), &parsed.types, ("", ""));
    state.create_logical_expr_from_sql_expr(ExprWithAlias { expr: parsed.expression, alias: None }, schema)
}

/// The type and nullability of a computed column.
pub(crate) fn computed_type(
    base: &SessionState,
    text: &str,
    columns: &Schema,
    object: &str,
    at: Position,
) -> Result<(arrow_schema::DataType, bool), SqlError> {
    let schema = DFSchema::try_from(columns.clone()).map_err(|error| plan_error(&error, object, at))?;
    let expression = computed(base, text, &schema, object, at)?;
    let (_, field) = expression.to_field(&schema).map_err(|error| plan_error(&error, object, at))?;
    Ok((field.data_type().clone(), field.is_nullable()))
}
