//! SHOW and DESCRIBE.

use arrow_array::RecordBatch;
use weir_base::options::{Position, Problem, closest};
use weir_base::secret::shown;
use weir_connectors::registry::ICEBERG as ICEBERG_NAME;
use weir_connectors::table::{ColumnKind, TablePath};

use super::objects::{Declared, Entry};
use super::results::{list_of, table_of};
use super::{Session, StatementResult, ddl_text, lake_ddl};
use crate::docs::{ICEBERG, ICEBERG_DOC, option_rows};
use crate::error::{NOT_FOUND, SqlError};
use crate::parse::Name;
use crate::parse::ast::{Describe, Object, Pattern, Show};
use crate::parse::types::sql_type_of;
use crate::planner::resolve::{Found, Planning, Purpose, find, plan_view};
use crate::procedures::PROCEDURES;
use crate::session::objects::{DEFAULT_CATALOG, View, missing};

impl Session {
    pub(super) async fn show(&self, show: &Show, at: Position) -> Result<StatementResult, SqlError> {
        match show {
            Show::Create(object, name) => Ok(StatementResult::Text(self.show_create(*object, name).await?)),
            listed => Ok(StatementResult::Table(self.list(listed, at).await?)),
        }
    }

    async fn list(&self, show: &Show, at: Position) -> Result<RecordBatch, SqlError> {
        let objects = &self.parts.objects;
        match show {
            Show::Catalogs => list_of("catalog name", objects.catalog_names().into_iter().map(str::to_owned)),
            Show::CurrentCatalog => list_of("current catalog name", [self.parts.scope.catalog.clone()]),
            Show::CurrentDatabase => list_of("current database name", [self.parts.scope.database.clone()]),
            Show::Databases => {
                let catalog = &self.parts.scope.catalog;
                match objects.lake(catalog, at)? {
                    None => list_of("database name", objects.databases.iter().cloned()),
                    Some(lake) => {
                        let failed = |source| SqlError::Catalog { what: format!("databases of '{catalog}' cannot be listed"), source };
                        list_of("database name", lake.catalog.databases().await.map_err(failed)?)
                    }
                }
            }
            Show::Tables { database, pattern } => {
                let names = self.table_names(database.as_ref(), at).await?;
                list_of("table name", names.into_iter().filter(|name| pattern.as_ref().is_none_or(|pattern| pattern.matches(name))))
            }
            Show::Views => {
                let here = |path: &TablePath| path.catalog == self.parts.scope.catalog && path.database == self.parts.scope.database;
                let entries = objects.temporary.iter().chain(&objects.permanent);
                let views = entries.filter(|(path, entry)| here(path) && matches!(entry, Entry::View(_)));
                list_of("view name", views.map(|(path, _)| path.table.clone()))
            }
            Show::Columns { table } => self.describe_table(table).await,
            Show::Functions => {
                let state = &self.parts.base;
                let all = state.scalar_functions().keys().chain(state.aggregate_functions().keys()).chain(state.window_functions().keys());
                let mut names: Vec<String> = all.filter(|name| !name.starts_with("weir_")).cloned().collect();
                names.sort_unstable();
                names.dedup();
                list_of("function name", names)
            }
            Show::Connectors => {
                let connectors = self.parts.registry.iter().map(|connector| (connector.name(), connector.doc()));
                let mut rows: Vec<_> = connectors.chain([(ICEBERG_NAME, ICEBERG_DOC)]).collect();
                rows.sort_unstable();
                let rows: Vec<_> = rows.into_iter().map(|(name, doc)| vec![Some(name.to_owned()), Some(doc.to_owned())]).collect();
                table_of(&["connector", "description"], &rows)
            }
            Show::Procedures => {
                let rows: Vec<_> = PROCEDURES.iter().map(|declared| vec![Some(declared.name.to_owned()), Some(declared.doc.to_owned())]).collect();
                table_of(&["procedure", "description"], &rows)
            }
            Show::Create(..) => Err(SqlError::Internal("SHOW CREATE gives a text".to_owned())),
        }
    }

    async fn table_names(&self, database: Option<&Name>, at: Position) -> Result<Vec<String>, SqlError> {
        let scope = &self.parts.scope;
        let (catalog, database) = database.map_or_else(|| (scope.catalog.clone(), scope.database.clone()), |name| scope.database(name));
        let objects = &self.parts.objects;
        let entries = objects.temporary.keys().chain(objects.permanent.keys());
        let mut names: Vec<String> =
            entries.filter(|path| path.catalog == catalog && path.database == database).map(|path| path.table.clone()).collect();
        if let Some(lake) = objects.lake(&catalog, at)? {
            let failed = |source| SqlError::Catalog { what: format!("tables of '{catalog}.{database}' cannot be listed"), source };
            names.extend(lake.catalog.tables(&database).await.map_err(failed)?);
        } else if !objects.databases.contains(&database) {
            let known: Vec<&str> = objects.databases.iter().map(String::as_str).collect();
            return Err(missing("Database", &format!("{catalog}.{database}"), "it does not exist.", known).at(Some(at)).into());
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    async fn show_create(&self, object: Object, name: &Name) -> Result<String, SqlError> {
        if object == Object::Catalog {
            let catalog = name.parts.first().map(String::as_str).unwrap_or_default();
            if catalog == DEFAULT_CATALOG {
                let what = "it is always there and is not created.";
                return Err(Problem::new(NOT_FOUND, format!("Catalog '{catalog}'"), what).at(Some(name.position)).into());
            }
            return match self.parts.objects.lake(catalog, name.position)? {
                Some(lake) => Ok(ddl_text::catalog(catalog, &lake.options)),
                None => Err(SqlError::Internal(format!("catalog '{catalog}' has no options"))),
            };
        }
        let path = self.parts.scope.table(name);
        match (find(&self.parts, &path, name.position).await?, object) {
            (Found::View(view), _) if view.object() == object => Ok(ddl_text::view(&view)),
            (Found::Declared(table), Object::Table) => Ok(ddl_text::table(&table)),
            (Found::Lake(_, table), Object::Table) => Ok(ddl_text::table(&lake_ddl::as_declared(&path, &table)?)),
            (Found::View(view), _) => Err(wrong_kind(object, view.object(), &path, name)),
            (Found::Declared(_) | Found::Lake(..), _) => Err(wrong_kind(object, Object::Table, &path, name)),
        }
    }

    pub(super) async fn describe(&self, what: &Describe, at: Position) -> Result<RecordBatch, SqlError> {
        match what {
            Describe::Table(name) => self.describe_table(name).await,
            Describe::Catalog(name) => {
                let catalog = name.parts.first().map(String::as_str).unwrap_or_default();
                let mut rows = vec![vec![Some("name".to_owned()), Some(catalog.to_owned())]];
                match self.parts.objects.lake(catalog, at)? {
                    None => rows.push(vec![Some("type".to_owned()), Some("generic_in_memory".to_owned())]),
                    Some(lake) => {
                        rows.extend(lake.options.iter().map(|(key, value)| vec![Some(key.to_owned()), Some(shown(key, value).into_owned())]))
                    }
                }
                table_of(&["info name", "info value"], &rows)
            }
            Describe::Connector(name, at) => self.describe_connector(name, *at),
        }
    }

    async fn describe_table(&self, name: &Name) -> Result<RecordBatch, SqlError> {
        let path = self.parts.scope.table(name);
        let rows = match find(&self.parts, &path, name.position).await? {
            Found::Declared(table) => column_rows(&table),
            Found::Lake(_, table) => column_rows(&lake_ddl::as_declared(&path, &table)?),
            Found::View(view) => self.view_rows(&view).await?,
        };
        table_of(&["name", "type", "null", "key", "extras", "watermark", "comment"], &rows)
    }

    async fn view_rows(&self, view: &View) -> Result<Vec<Vec<Option<String>>>, SqlError> {
        let mut planning = Planning::new(&self.parts, Purpose::Batch);
        let planned = plan_view(&mut planning, view).await?;
        let row = |field: &arrow_schema::Field| {
            vec![Some(field.name().clone()), Some(sql_type_of(field.data_type())), Some(nullable(field.is_nullable())), None, None, None, None]
        };
        Ok(planned.plan.schema().fields().iter().map(|field| row(field)).collect())
    }

    fn describe_connector(&self, name: &str, at: Position) -> Result<RecordBatch, SqlError> {
        let registry = &self.parts.registry;
        let columns = ["option", "required", "default", "type", "description"];
        if name == ICEBERG_NAME {
            let rows = ICEBERG.iter().flat_map(|(_, _, options)| option_rows(options)).collect::<Vec<_>>();
            return table_of(&columns, &rows);
        }
        let Some(connector) = registry.iter().find(|connector| connector.name() == name) else {
            let names = registry.names();
            let near = closest(name, names.iter().copied()).first().map(|near| format!("Did you mean '{near}'?"));
            let problem = Problem::new("CON-001", format!("Connector '{name}'"), "it does not exist.").suggest(near);
            return Err(problem.hint(format!("Available: {}.", names.join(", "))).at(Some(at)).into());
        };
        table_of(&columns, &option_rows(connector.options()))
    }
}

fn wrong_kind(wanted: Object, found: Object, path: &TablePath, name: &Name) -> SqlError {
    let what = format!("it is a {}: use SHOW CREATE {}.", found.kind().to_lowercase(), found.kind().to_uppercase());
    Problem::new(NOT_FOUND, format!("{} '{path}'", wanted.kind()), what).at(Some(name.position)).into()
}

fn nullable(nullable: bool) -> String {
    if nullable { "TRUE" } else { "FALSE" }.to_owned()
}

fn column_rows(table: &Declared) -> Vec<Vec<Option<String>>> {
    let key = (!table.def.primary_key.is_empty()).then(|| format!("PRI({})", table.def.primary_key.join(", ")));
    table
        .def
        .columns
        .iter()
        .map(|column| {
            let extras = match &column.kind {
                ColumnKind::Physical => None,
                ColumnKind::Metadata { key, virtual_column } => {
                    Some(format!("METADATA FROM '{key}'{}", if *virtual_column { " VIRTUAL" } else { "" }))
                }
                ColumnKind::Computed(expression) => Some(format!("AS {expression}")),
            };
            let watermark =
                table.watermark.as_ref().filter(|watermark| watermark.column == column.name).map(|watermark| watermark.expression.clone());
            vec![
                Some(column.name.clone()),
                Some(column.sql_type.clone()),
                Some(nullable(column.nullable)),
                key.clone().filter(|_| table.def.primary_key.contains(&column.name)),
                extras,
                watermark,
                column.comment.clone(),
            ]
        })
        .collect()
}

impl Pattern {
    /// SQL's LIKE: `%` any text, `_` any one character.
    pub(super) fn matches(&self, name: &str) -> bool {
        like(&self.like.chars().collect::<Vec<_>>(), &name.chars().collect::<Vec<_>>()) != self.negated
    }
}

fn like(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('%', rest)) => (0..=text.len()).any(|skipped| like(rest, text.get(skipped..).unwrap_or_default())),
        Some((wanted, rest)) => text.split_first().is_some_and(|(found, text)| (*wanted == '_' || wanted == found) && like(rest, text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_patterns_match_as_in_sql() {
        let matches = |pattern: &str, name: &str| Pattern { negated: false, like: pattern.to_owned() }.matches(name);
        assert!(matches("ord%", "orders") && matches("%", "") && matches("o_d%s", "orders"));
        assert!(!matches("ord", "orders") && !matches("_", ""));
        assert!(Pattern { negated: true, like: "x%".to_owned() }.matches("orders"));
    }
}
