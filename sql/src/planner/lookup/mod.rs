//! Lookup joins: `JOIN d FOR SYSTEM_TIME AS OF t.proctime ON …`.
//!
//! A table as of a time of each row becomes a scan of a [`Marker`] while DataFusion reads the query; afterwards [`join::replace_markers`]
//! turns each join with a marker into a [`crate::lookup_join::LookupJoin`]. What LOOKUP hints say is in [`hint`].

mod hint;
mod join;

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
use weir_base::options::{Position, Problem};
use weir_connectors::lookup::check_cacheable;
use weir_connectors::registry::Role;
use weir_connectors::table::{ColumnKind, TableDef};

pub(super) use hint::Hints;
pub(super) use join::replace_markers;

use super::resolve::{Planning, source_key};
use crate::error::{NOT_YET, SqlError};
use crate::lookup_join::LookupTable;
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
    /// A lookup table as a query names it: `def` with the options of its OPTIONS hint, `known_as` the alias by which LOOKUP hints name it.
    pub(super) fn lookup(
        &mut self,
        mut def: TableDef,
        time: RowTime,
        (known_as, hints): (&str, &mut Hints),
        at: Position,
    ) -> Result<Arc<dyn TableProvider>, SqlError> {
        let object = format!("Table '{}'", def.path);
        let connector = self.session.registry.for_role(&def, Role::Lookup)?;
        if def.columns.iter().any(|column| matches!(column.kind, ColumnKind::Computed(_))) {
            let problem = Problem::new(NOT_YET, object, "a lookup table cannot have computed columns yet.");
            return Err(problem.hint("Compute them in the query.").at(Some(at)).into());
        }
        let settings = &self.session.settings;
        let hint = hints.of(known_as);
        hint.put_into(&mut def.options);
        settings.put_lookup_batches(&mut def.options);
        let opened = connector.lookup(&def, &self.session.file_systems)?;
        let (lookup, options) = opened.value;
        if let Some(what) = check_cacheable(&lookup.schema(), &options) {
            return Err(Problem::new(NOT_YET, object, what).at(def.options.position("lookup.cache").or(Some(at))).into());
        }
        let asking = hint.asking(settings);
        hint::check(&object, &options, &asking, at)?;
        self.warnings.extend(opened.warnings);
        let key = source_key(&def.path, &def.options);
        let known = self.lookups.iter().find(|(known, table)| *known == key && table.asking == asking);
        let table = match known {
            Some((_, table)) => Arc::clone(table),
            None => {
                let same_name = self.lookups.iter().filter(|(_, table)| table.path.table == def.path.table).count();
                let id = if same_name == 0 { def.path.table.clone() } else { format!("{}#{}", def.path.table, same_name + 1) };
                let table = Arc::new(LookupTable { id, path: def.path, lookup, options, asking });
                self.lookups.push((key, Arc::clone(&table)));
                table
            }
        };
        Ok(Arc::new(Marker { table, time, at }))
    }
}
