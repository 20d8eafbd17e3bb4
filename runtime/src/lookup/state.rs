//! What lives on between epochs: for each lookup table of a job its kept rows and its counters.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_row::Rows;
use arrow_schema::ArrowError;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::LogicalPlan;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use weir_base::memory::MemoryBudget;
use weir_connectors::ConnectorError;
use weir_connectors::lookup::{Cache, Preload};
use weir_sql::lookup_join::{LookupJoin, LookupTable};

use super::answers::Answers;
use super::cache::PartialCache;
use super::fetch::Part;
use super::full::{FullCache, Loader};
use super::keys::{BatchKeys, Codec};
use super::metrics::Counters;
use crate::status::LookupStatus;

/// The lookup tables of a job, by id and key columns. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Lookups {
    budget: MemoryBudget,
    states: States,
}

type States = Arc<Mutex<BTreeMap<(String, Vec<usize>), Arc<LookupState>>>>;

impl Lookups {
    pub(crate) fn new(budget: &MemoryBudget) -> Self {
        Self { budget: budget.clone(), states: States::default() }
    }

    /// The budget that they are charged to.
    pub(super) fn budget(&self) -> &MemoryBudget {
        &self.budget
    }

    /// The state of a table that is looked up by `columns`, for plans of up to `tasks` tasks.
    pub(super) fn of(&self, table: &Arc<LookupTable>, columns: &[usize], tasks: usize) -> DataFusionResult<Arc<LookupState>> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (table.id.clone(), columns.to_vec());
        if let Some(state) = states.get(&key) {
            return Ok(Arc::clone(state));
        }
        let state = Arc::new(LookupState::try_new(table, columns, &self.budget, tasks)?);
        states.insert(key, Arc::clone(&state));
        Ok(state)
    }

    /// What is kept of tables with a FULL cache.
    pub(crate) fn status(&self) -> Vec<LookupStatus> {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.values().filter_map(|state| state.status()).collect()
    }

    /// Loads what the joins of `plan` want loaded before the first row.
    pub(crate) async fn load(&self, plan: &LogicalPlan, tasks: usize) -> DataFusionResult<()> {
        let mut states = Vec::new();
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::Extension(extension) = node
                && let Some(join) = extension.node.as_any().downcast_ref::<LookupJoin>()
            {
                states.push(self.of(&join.table, &join.key.columns, tasks)?);
                if let Some(index) = &join.key.index {
                    states.push(self.of(&index.table, &index.columns, tasks)?);
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        let loads = states.iter().map(|state| state.ready());
        futures::future::try_join_all(loads).await.map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(())
    }
}

/// What is kept of a table.
#[derive(Debug)]
pub(super) enum Kept {
    Nothing,
    Partial(PartialCache),
    Full(FullCache),
}

/// A lookup table of a job.
#[derive(Debug)]
pub(super) struct LookupState {
    pub(super) table: Arc<LookupTable>,
    /// Its key columns.
    pub(super) columns: Vec<usize>,
    pub(super) keys: Arc<Codec>,
    pub(super) kept: Kept,
    pub(super) counters: Counters,
    loader: Loader,
    ready: OnceCell<()>,
}

impl LookupState {
    pub(super) fn try_new(table: &Arc<LookupTable>, columns: &[usize], budget: &MemoryBudget, tasks: usize) -> Result<Self, ArrowError> {
        let schema = table.lookup.schema();
        let types = columns.iter().filter_map(|column| schema.fields().get(*column)).map(|field| field.data_type());
        let keys = Arc::new(Codec::try_new(types)?);
        let kept = match &table.options.cache {
            Cache::None => Kept::Nothing,
            Cache::Partial(options) => Kept::Partial(PartialCache::try_new(options, &schema, budget, tasks)?),
            Cache::Full(options) => Kept::Full(FullCache::new(options)),
        };
        let loader = Loader { table: Arc::clone(table), columns: columns.to_vec(), keys: Arc::clone(&keys), budget: budget.clone() };
        let counters = Counters::new(&table.path.to_string());
        Ok(Self { table: Arc::clone(table), columns: columns.to_vec(), keys, kept, counters, loader, ready: OnceCell::new() })
    }

    fn status(&self) -> Option<LookupStatus> {
        let Kept::Full(cache) = &self.kept else { return None };
        let schema = self.table.lookup.schema();
        let keys = self.columns.iter().filter_map(|column| schema.fields().get(*column)).map(|field| field.name().clone());
        Some(cache.status(&self.table, keys.collect()))
    }

    /// Returns when rows may be joined: what is to be loaded first is there.
    pub(super) async fn ready(&self) -> Result<(), ConnectorError> {
        let Some(preload) = &self.table.options.preload else { return Ok(()) };
        let load = async {
            match &self.kept {
                Kept::Nothing => Ok(()),
                Kept::Partial(cache) => self.warm(cache, preload).await,
                Kept::Full(cache) => cache.start(&self.loader, preload, &self.counters).await,
            }
        };
        self.ready.get_or_try_init(|| load).await.copied()
    }

    /// Fills a PARTIAL cache, as far as its bounds go.
    async fn warm(&self, cache: &PartialCache, preload: &Preload) -> Result<(), ConnectorError> {
        let Cache::Partial(bounds) = &self.table.options.cache else { return Ok(()) };
        let most_rows = preload.max_rows.into_iter().chain(bounds.max_rows).min().unwrap_or(u64::MAX);
        let most_bytes = preload.max_bytes.into_iter().chain(bounds.max_bytes).min().unwrap_or(u64::MAX).min(self.loader.budget.limit() / 4);
        let now = Instant::now();
        let mut rows = 0;
        self.loader
            .each(
                preload,
                None,
                |_| true,
                |batch, keys| {
                    rows += batch.num_rows() as u64;
                    let encoded = cache.encode(batch.columns()).map_err(|error| self.unreadable(error))?;
                    let mut of_key: Vec<Vec<usize>> = vec![Vec::new(); keys.len()];
                    for (row, key) in keys.of_row.iter().enumerate() {
                        if let Some(of_key) = of_key.get_mut(*key as usize) {
                            of_key.push(row);
                        }
                    }
                    for ((hash, key), rows) in keys.hashed().zip(of_key) {
                        cache.put(hash, key, &bytes_of(&encoded, &rows), now);
                    }
                    Ok(rows < most_rows && cache.size().1 < most_bytes)
                },
            )
            .await?;
        self.counters.kept(cache.size());
        Ok(())
    }

    /// Keeps what `keys`, by hash and bytes, have: the rows of `parts`, by number of the key.
    pub(super) fn keep<'k>(&self, keys: impl Iterator<Item = (u64, &'k [u8])>, parts: &[Part]) -> Result<(), ConnectorError> {
        let Kept::Partial(cache) = &self.kept else { return Ok(()) };
        let now = Instant::now();
        let keys: Vec<(u64, &[u8])> = keys.collect();
        let mut missing = vec![true; keys.len()];
        for part in parts {
            let encoded = cache.encode(part.rows.columns()).map_err(|error| self.unreadable(error))?;
            for rows in (0..part.keys.len()).collect::<Vec<_>>().chunk_by(|one, other| part.keys.get(*one) == part.keys.get(*other)) {
                let Some(key) = rows.first().and_then(|row| part.keys.get(*row)).map(|key| *key as usize) else { continue };
                if let (Some((hash, bytes)), Some(missing)) = (keys.get(key), missing.get_mut(key)) {
                    *missing = false;
                    cache.put(*hash, bytes, &bytes_of(&encoded, rows), now);
                }
            }
        }
        if cache.missing {
            for ((hash, key), _) in keys.iter().zip(&missing).filter(|(_, missing)| **missing) {
                cache.put(*hash, key, &[], now);
            }
        }
        self.counters.kept(cache.size());
        Ok(())
    }

    fn unreadable(&self, error: ArrowError) -> ConnectorError {
        ConnectorError::internal(format!("Table '{}': rows that cannot be kept", self.table.path)).with_source(error)
    }
}

fn bytes_of<'a>(encoded: &'a Rows, rows: &[usize]) -> Vec<&'a [u8]> {
    rows.iter().map(|row| encoded.row(*row).data()).collect()
}

/// Answers what is known of the keys of a batch; the other keys stay open. Gives the bytes that were made for it.
pub(super) fn answer_known(state: &LookupState, keys: &BatchKeys, answers: &mut Answers) -> Result<u64, ConnectorError> {
    match &state.kept {
        Kept::Nothing => Ok(0),
        Kept::Partial(cache) => {
            let hits = cache.get(keys, Instant::now());
            if hits.is_empty() {
                return Ok(0);
            }
            let rows = cache.decode(&hits).map_err(|error| state.unreadable(error))?;
            let bytes = rows.get_array_memory_size() as u64;
            let source = answers.add_source(rows);
            for (key, found) in (0..).zip(&hits.of_key) {
                if let Some((from, rows)) = found {
                    answers.set(key, (*from..from + rows).map(|row| (source, row)));
                }
            }
            Ok(bytes)
        }
        Kept::Full(cache) => {
            let table = cache.rows(&state.table)?;
            for batch in table.batches() {
                answers.add_source(batch.clone());
            }
            table.each(keys, |key, places| answers.set(key as u32, places.iter().rev().map(|(batch, row)| (*batch as u32, *row as u32))));
            Ok(answers.bytes())
        }
    }
}
