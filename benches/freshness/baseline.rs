//! What the catalog takes by itself: a commit that changes one property of a table, and a look at the table after it.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use iceberg::TableUpdate;
use weir_base::options::OptionBag;
use weir_catalog::{LakeCatalog, TableId};
use weir_fs::FileSystems;

use crate::Outcome;

/// How often each is done.
const TIMES: usize = 100;

/// What it took, each time.
#[derive(Debug, Default)]
pub(crate) struct Bare {
    pub(crate) commits: Vec<Duration>,
    /// By another client, which must read the metadata.
    pub(crate) looks: Vec<Duration>,
    pub(crate) idle_looks: Vec<Duration>,
}

/// Measures on the first table of the run in `folder`.
pub(crate) fn measured(folder: &Path) -> Outcome<Bare> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let (writer, reader) = (catalog(folder)?, catalog(folder)?);
        let id = TableId { database: "bench".to_owned(), table: "one".to_owned() };
        let mut bare = Bare::default();
        let mut table = writer.load(&id).await?;
        for number in 0..TIMES {
            let updates = HashMap::from([("x.bench".to_owned(), number.to_string())]);
            let began = Instant::now();
            table = writer.commit(&table, Vec::new(), vec![TableUpdate::SetProperties { updates }]).await?;
            bare.commits.push(began.elapsed());
            for looks in [&mut bare.looks, &mut bare.idle_looks] {
                let began = Instant::now();
                let seen = reader.load(&id).await?;
                looks.push(began.elapsed());
                if seen.metadata_location != table.metadata_location {
                    return Err("a look has not seen the last commit".into());
                }
            }
        }
        Ok(bare)
    })
}

fn catalog(folder: &Path) -> Outcome<Arc<dyn LakeCatalog>> {
    let here = folder.display();
    let mut options = OptionBag::new("Catalog 'lake'");
    let (uri, warehouse) = (format!("sqlite:{here}/catalog.db"), format!("file://{here}/warehouse"));
    for (key, value) in [("type", "iceberg"), ("catalog-type", "sql"), ("uri", uri.as_str()), ("warehouse", warehouse.as_str())] {
        options.insert(key, value, None);
    }
    Ok(weir_catalog::open("lake", &mut options, &FileSystems::new(BTreeMap::new()))?.catalog)
}
