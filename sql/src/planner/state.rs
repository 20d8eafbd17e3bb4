//! The DataFusion session that plans one statement: names are case-sensitive, strings are `Utf8`, the statement's tables are at hand.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, FieldRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::datatype::DataTypeExt;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::prelude::SessionConfig;
use datafusion::sql::sqlparser::ast::{DataType as AstType, ExactNumberInfo, TimezoneInfo};
use weir_connectors::table::TablePath;

use super::functions;
use super::text_casts::TextCasts;
use super::unnest::UnnestPlanner;
use crate::parse::TYPE_PLACEHOLDER;
use crate::parse::types::SqlType;
use crate::settings::Settings;

/// Tables of one statement: by full name, the last part as written in the statement (a hint's mark included).
pub(crate) type StatementTables = HashMap<TablePath, Arc<dyn TableProvider>>;

/// The state that every statement's state is made from, as the settings say.
pub(crate) fn base_state(parallelism: usize, settings: &Settings) -> SessionState {
    let mut state = default_state(parallelism);
    let config = state.config_mut();
    config.options_mut().optimizer.prefer_hash_join = settings.hash_joins();
    config.set_extension(Arc::new(settings.spill_to()));
    state
}

fn default_state(parallelism: usize) -> SessionState {
    let mut config = SessionConfig::new().with_target_partitions(parallelism.max(1)).with_create_default_catalog_and_schema(false);
    let options = config.options_mut();
    options.sql_parser.enable_ident_normalization = false;
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.collect_spans = true;
    options.execution.parquet.schema_force_view_types = false;
    let mut state = SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .with_analyzer_rule(Arc::new(TextCasts))
        .with_physical_optimizer_rules(weir_connectors::iceberg::physical_rules())
        .build();
    functions::register(&mut state);
    state
}

/// A state that knows `tables` and the types of the statement's casts.
pub(crate) fn statement_state(base: &SessionState, tables: StatementTables, types: &[SqlType], current: (&str, &str)) -> SessionState {
    let mut config = base.config().clone();
    let catalog = &mut config.options_mut().catalog;
    current.0.clone_into(&mut catalog.default_catalog);
    current.1.clone_into(&mut catalog.default_schema);
    let mut state = SessionStateBuilder::new_from_existing(base.clone())
        .with_config(config)
        .with_catalog_list(Arc::new(Tables { tables: Arc::new(tables), catalog: None, database: None }))
        .with_type_planner(Arc::new(CastTypes(types.iter().map(|ty| ty.data_type.clone()).collect())))
        .with_relation_planners(vec![Arc::new(UnnestPlanner)])
        .build();
    // Building registers every function with its aliases in no order, and an alias of DataFusion's may then hide a function of ours.
    functions::register(&mut state);
    state
}

/// The catalogs, one catalog or one database of a statement's tables.
#[derive(Debug, Clone)]
struct Tables {
    tables: Arc<StatementTables>,
    catalog: Option<String>,
    database: Option<String>,
}

impl CatalogProviderList for Tables {
    fn register_catalog(&self, _name: String, _catalog: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        self.tables.keys().map(|path| path.catalog.clone()).collect()
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        Some(Arc::new(Self { catalog: Some(name.to_owned()), ..self.clone() }))
    }
}

impl CatalogProvider for Tables {
    fn schema_names(&self) -> Vec<String> {
        self.tables.keys().filter(|path| Some(&path.catalog) == self.catalog.as_ref()).map(|path| path.database.clone()).collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        Some(Arc::new(Self { database: Some(name.to_owned()), ..self.clone() }))
    }
}

#[async_trait]
impl SchemaProvider for Tables {
    fn table_names(&self) -> Vec<String> {
        self.tables.keys().filter(|path| Some(&path.database) == self.database.as_ref()).map(|path| path.table.clone()).collect()
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        Ok(self.find(name))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.find(name).is_some()
    }
}

impl Tables {
    fn find(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        let path = TablePath { catalog: self.catalog.clone()?, database: self.database.clone()?, table: name.to_owned() };
        self.tables.get(&path).cloned()
    }
}

/// Types of casts: the placeholders that the parser put in, and the few type names of typed literals (`DATE '…'`, `TIMESTAMP '…'`).
#[derive(Debug)]
struct CastTypes(Vec<DataType>);

impl TypePlanner for CastTypes {
    fn plan_type_field(&self, sql_type: &AstType) -> DataFusionResult<Option<FieldRef>> {
        let data_type = match sql_type {
            AstType::Custom(name, _) => {
                let name = name.to_string();
                name.strip_prefix(TYPE_PLACEHOLDER).and_then(|number| number.parse::<usize>().ok()).and_then(|number| self.0.get(number)).cloned()
            }
            AstType::Timestamp(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
                let unit = if precision.unwrap_or(6) <= 6 { TimeUnit::Microsecond } else { TimeUnit::Nanosecond };
                Some(DataType::Timestamp(unit, None))
            }
            AstType::Time(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => Some(DataType::Time64(TimeUnit::Microsecond)),
            AstType::Decimal(ExactNumberInfo::None) => Some(DataType::Decimal128(10, 0)),
            _ => None,
        };
        Ok(data_type.map(DataTypeExt::into_nullable_field_ref))
    }
}
