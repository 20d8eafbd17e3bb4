//! Lookup joins: `JOIN d FOR SYSTEM_TIME AS OF t.proctime ON …`.
//!
//! A table as of a time of each row becomes a scan of a [`Marker`] while DataFusion reads the query; afterwards [`join::replace_markers`]
//! turns each join with a marker into a [`crate::lookup_join::LookupJoin`]. What LOOKUP hints say is in [`hint`]; [`computed`] puts computed columns
//! over those of the connector, [`order`] sees to it that changes stay in their order. Of a finished job [`narrow`] finds out what it needs of each table, with the
//! [`conditions`] that its joins put on them.

mod computed;
mod conditions;
mod hint;
mod join;
mod narrow;
mod order;

use std::borrow::Cow;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::plan_err;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, LogicalPlan, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::sqlparser::ast::{Expr as AstExpr, FunctionArguments};
use weir_base::options::{OptionBag, Position};
use weir_catalog::{LakeCatalog, LakeTable};
use weir_connectors::iceberg::IcebergDictionary;
use weir_connectors::lookup::{Cache, LookupParts};
use weir_connectors::registry::Role;
use weir_connectors::table::TablePath;

pub(super) use hint::Hints;
pub(super) use join::replace_markers;
pub(crate) use narrow::narrow;
pub(super) use order::keep_order;

use hint::OfTable;

use super::resolve::{Found, Planning, find, hint_bag, no_versions, source_key};
use crate::error::SqlError;
use crate::lookup_join::{LookupJoin, LookupTable, Taken};
use crate::parse::WrittenOption;
use crate::parse::ast::AsOf;

/// The time of each row that a lookup table is read as of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RowTime {
    /// A column; its name may have parts.
    Column(Vec<String>),
    /// `PROCTIME()` itself.
    Now,
}

impl RowTime {
    /// The time that `as_of` names, if it is one of each row.
    pub(super) fn of(as_of: &AsOf) -> Option<Self> {
        let AsOf::Time(time) = as_of else { return None };
        match time {
            AstExpr::Identifier(name) => Some(Self::Column(vec![name.value.clone()])),
            AstExpr::CompoundIdentifier(parts) => Some(Self::Column(parts.iter().map(|part| part.value.clone()).collect())),
            AstExpr::Function(function) if function.name.to_string().eq_ignore_ascii_case("PROCTIME") => match &function.args {
                FunctionArguments::List(list) if list.args.is_empty() => Some(Self::Now),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Stands for a lookup table in a plan that is not finished.
#[derive(Debug)]
pub(super) struct Marker {
    table: Arc<LookupTable>,
    indexes: Vec<Arc<LookupTable>>,
    time: RowTime,
    at: Position,
}

#[async_trait]
impl TableProvider for Marker {
    fn schema(&self) -> SchemaRef {
        self.table.lookup.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        None
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        plan_err!("a lookup table cannot be scanned")
    }
}

impl Planning<'_> {
    /// A lookup table as a query names it: with the options of its OPTIONS hint, `known_as` the alias by which LOOKUP hints name it.
    pub(super) async fn lookup(
        &mut self,
        path: &TablePath,
        written: Option<&[WrittenOption]>,
        (time, known_as, hints): (RowTime, &str, &mut Hints),
        at: Position,
    ) -> Result<Arc<dyn TableProvider>, SqlError> {
        let hint = hints.of(known_as);
        let (table, names) = self.lookup_table(path, written, &hint, at).await?;
        let mut indexes = Vec::with_capacity(names.len());
        for name in names {
            let index = named_beside(path, &name);
            indexes.push(self.lookup_table(&index, None, &hint.of_index(), at).await?.0);
        }
        if std::iter::once(&table).chain(&indexes).all(|table| matches!(table.options.cache, Cache::Full(_))) {
            self.warnings.extend(hint.without_requests(path));
        }
        Ok(Arc::new(Marker { table, indexes, time, at }))
    }

    /// The lookup table of the job that `path` is with these options and hints, a known one or a new one; with the names of its indexes.
    async fn lookup_table(
        &mut self,
        path: &TablePath,
        written: Option<&[WrittenOption]>,
        hint: &OfTable,
        at: Position,
    ) -> Result<(Arc<LookupTable>, Vec<String>), SqlError> {
        let (written, (lookup, options)) = self.lookup_parts(path, written, hint, at).await?;
        let object = format!("Table '{path}'");
        let asking = hint.asking(&self.session.settings);
        hint::check(&object, &options, &asking, at)?;
        let indexes = options.indexes.clone();
        let key = source_key(path, &written);
        if let Some((_, table)) = self.lookups.iter().find(|(known, table)| *known == key && table.asking == asking) {
            return Ok((Arc::clone(table), indexes));
        }
        let (mut id, mut number) = (path.table.clone(), 1);
        while self.lookups.iter().any(|(_, table)| table.id == id) {
            number += 1;
            id = format!("{}#{number}", path.table);
        }
        let table = Arc::new(LookupTable { id, path: path.clone(), lookup, options, asking, taken: Taken::default() });
        self.lookups.push((key, Arc::clone(&table)));
        Ok((table, indexes))
    }

    /// The table that `path` is, with all options that are said of it.
    async fn lookup_parts(
        &mut self,
        path: &TablePath,
        written: Option<&[WrittenOption]>,
        hint: &OfTable,
        at: Position,
    ) -> Result<(OptionBag, LookupParts), SqlError> {
        match find(self.session, path, at).await? {
            Found::View(_) => Err(no_versions(path, at).into()),
            Found::Lake(lake, table) => self.dictionary(path, (&lake.catalog, *table, &[]), (hint_bag(path, written), hint)),
            Found::Declared(table) => {
                let mut def = table.with_hint(written);
                if let Some(link) = &table.link {
                    let lake = link.load(path, at).await?;
                    self.warnings.extend(link.differences(path, &lake)?);
                    let stored = def.stored();
                    let columns: Vec<&str> = stored.columns.iter().map(|column| column.name.as_str()).collect();
                    let (options, parts) = self.dictionary(path, (&link.catalog, lake, &columns), (link.looking_up(path, written), hint))?;
                    return Ok((options, computed::over(&self.base, &def, parts, at)?));
                }
                let connector = self.session.registry.for_role(&def, Role::Lookup)?;
                hint.put_into(&mut def.options);
                let mut opened = connector.lookup(&def.stored(), &self.session.file_systems)?;
                // A table that is kept as a whole sends no requests: what SET says of these is not about it.
                if !matches!(opened.value.1.cache, Cache::Full(_)) && self.session.settings.put_lookup_batches(&mut def.options) {
                    opened = connector.lookup(&def.stored(), &self.session.file_systems)?;
                }
                self.warnings.extend(opened.warnings);
                let parts = computed::over(&self.base, &def, opened.value, at)?;
                Ok((def.options, parts))
            }
        }
    }

    /// A table of a lake, in the columns that are named, in all of them if none are.
    fn dictionary(
        &mut self,
        path: &TablePath,
        (catalog, table, columns): (&Arc<dyn LakeCatalog>, LakeTable, &[&str]),
        (mut options, hint): (OptionBag, &OfTable),
    ) -> Result<(OptionBag, LookupParts), SqlError> {
        hint.put_into(&mut options);
        let opened = IcebergDictionary::open(catalog, &table.id, &options)?;
        self.warnings.extend(opened.warnings);
        let parts = opened.value.of(table, &path.to_string(), columns)?;
        Ok((options, parts))
    }
}

/// The lookup join that a node is.
fn as_lookup(node: &LogicalPlan) -> Option<&LookupJoin> {
    let LogicalPlan::Extension(extension) = node else { return None };
    extension.node.as_any().downcast_ref()
}

/// The table that `name` is in an option of the table `path`: of the same database, unless its own is named.
fn named_beside(path: &TablePath, name: &str) -> TablePath {
    let mut parts = name.rsplitn(3, '.').map(str::to_owned);
    let mut next = |default: &str| parts.next().unwrap_or_else(|| default.to_owned());
    let (table, database) = (next(name), next(&path.database));
    TablePath { catalog: next(&path.catalog), database, table }
}
