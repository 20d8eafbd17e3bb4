//! Files as a lookup table.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use datafusion::logical_expr::Expr;
use futures::{StreamExt, TryStreamExt, stream};
use weir_fs::transfer::walk;
use weir_fs::{Kind, Status};

use super::counts::Skipped;
use super::files::{Choice, Listed, choose};
use super::options::Settings;
use super::rows;
use crate::error::ConnectorError;
use crate::lookup::{Charge, Found, Keys, Load, Lookup, Newest, columns_of};

/// Folders that are listed at a time.
const LISTINGS: usize = 4;

/// A folder of files, whose rows are loaded as a whole whenever there is a new version of them.
#[derive(Debug, Clone)]
pub(super) struct FileDictionary {
    settings: Arc<Settings>,
}

impl FileDictionary {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings: Arc::new(settings) }
    }

    /// What is there now, if the last version read was `known`.
    async fn choice(&self, known: Option<&str>) -> Result<Choice, ConnectorError> {
        let Settings { rules, reading } = self.settings.as_ref();
        let failed = |error| reading.failed(error);
        let told = |what: String| ConnectorError::transient(format!("Table '{}': '{}': {what}.", reading.table, reading.place.uri()));
        let Some(here) = reading.place.stat().await.map_err(failed)? else { return Err(told("nothing is there".to_owned())) };
        let found = match here.kind {
            Kind::File => vec![here],
            Kind::Folder | Kind::Other => walk(&reading.place, LISTINGS).try_collect().await.map_err(failed)?,
        };
        let listed = |found: Status| Listed {
            path: reading.place.relative(&found.path).to_owned(),
            size: found.size,
            modified: found.modified,
            e_tag: found.e_tag,
        };
        let files: Vec<Listed> = found.into_iter().filter(|found| found.kind == Kind::File && !found.unfinished).map(listed).collect();
        choose(&files, rules, known).map_err(told)
    }

    /// That the files are still those of the version `name`, now that they are read.
    async fn check_still(self, name: String) -> Result<(), ConnectorError> {
        match self.choice(Some(&name)).await? {
            Choice::Version { name: now, .. } if now == name => Ok(()),
            Choice::Version { .. } | Choice::BeingWritten => {
                let reading = &self.settings.reading;
                let what = "it was written while it was read";
                Err(ConnectorError::transient(format!("Table '{}': '{}': {what}.", reading.table, reading.place.uri())))
            }
        }
    }
}

#[async_trait]
impl Lookup for FileDictionary {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.settings.reading.wanted)
    }

    /// All files are read, whatever is wanted of their rows.
    fn narrowed(&self, columns: &[usize], _filters: &[Expr]) -> Arc<dyn Lookup> {
        let mut settings = self.settings.as_ref().clone();
        settings.reading.wanted = columns_of(&settings.reading.wanted, columns);
        Arc::new(Self::new(settings))
    }

    fn keys(&self, equal: &[usize]) -> Result<Vec<usize>, String> {
        Ok(equal.to_vec())
    }

    async fn get(&self, _keys: &Keys) -> Result<Found, ConnectorError> {
        Err(ConnectorError::internal(format!("Table '{}' is not asked for keys, but loaded", self.settings.reading.table)))
    }

    async fn load(&self, parallelism: usize, known: Option<&str>, _charge: Charge) -> Result<Newest, ConnectorError> {
        let Choice::Version { name, files } = self.choice(known).await? else { return Ok(Newest::BeingWritten) };
        if known == Some(name.as_str()) {
            return Ok(Newest::Known);
        }
        let settings = Arc::clone(&self.settings);
        let skipped = Skipped::new(&settings.reading.table);
        let of_load = matches!(settings.reading.kind, rows::Kind::Lines { .. }).then(|| skipped.of_load());
        let opened = stream::iter(files).then(move |file| {
            let (settings, skipped) = (Arc::clone(&settings), skipped.clone());
            async move { settings.reading.open(file, skipped).await }
        });
        let rows = opened.try_flatten_unordered(parallelism.max(1));
        let checked = stream::once(self.clone().check_still(name.clone())).filter_map(|still| std::future::ready(still.err().map(Err)));
        Ok(Newest::Rows(Load { version: Some(name), rows: rows.chain(checked).boxed(), skipped: of_load }))
    }
}
