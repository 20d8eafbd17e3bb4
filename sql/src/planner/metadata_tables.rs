//! Metadata tables of lake tables: `orders$snapshots` and its kin.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use weir_base::options::{OptionBag, Position, Problem};
use weir_catalog::{LakeCatalog, LakeTable};
use weir_connectors::iceberg::MetadataTable;
use weir_connectors::table::TablePath;

use super::resolve::{Found, Planning, find, hint_bag};
use crate::error::{NOT_FOUND, SqlError};
use crate::parse::WrittenOption;

impl Planning<'_> {
    /// The provider of a metadata table, if `path` names one.
    pub(super) async fn metadata_table(
        &mut self,
        path: &TablePath,
        hint: Option<&[WrittenOption]>,
        at: Position,
    ) -> Result<Option<Arc<dyn TableProvider>>, SqlError> {
        let Some((base, kind)) = MetadataTable::split(&path.table) else { return Ok(None) };
        let base = TablePath { table: base.to_owned(), ..path.clone() };
        let (catalog, table, options) = self.described(&base, path, hint, at).await?;
        let name = format!("{}.{}", catalog.name(), table.id);
        Ok(Some(kind.provider(&name, &table, &options, &mut self.warnings).await?))
    }

    /// The table that a metadata table is about.
    async fn described(
        &self,
        base: &TablePath,
        path: &TablePath,
        hint: Option<&[WrittenOption]>,
        at: Position,
    ) -> Result<(Arc<dyn LakeCatalog>, LakeTable, OptionBag), SqlError> {
        let refused = || {
            let what = format!("only Iceberg tables have metadata tables, and '{base}' is none.");
            SqlError::from(Problem::new(NOT_FOUND, format!("Table '{path}'"), what).at(Some(at)))
        };
        match find(self.session, base, at).await? {
            Found::Lake(lake, table) => Ok((Arc::clone(&lake.catalog), *table, hint_bag(path, hint))),
            Found::Declared(declared) => {
                let link = declared.link.as_ref().ok_or_else(refused)?;
                Ok((Arc::clone(&link.catalog), link.load(base, at).await?, hint_bag(path, hint)))
            }
            Found::View(_) => Err(refused()),
        }
    }
}
