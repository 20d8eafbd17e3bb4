//! What a lookup table is: rows by key, for joins `FOR SYSTEM_TIME AS OF` the processing time.
//!
//! A connector answers keys, whole batches of them at once, and may be able to give all of its rows, or gives only those: a dictionary, which is
//! rewritten as a whole and has versions. What is the same for all of them is not its business: the operator that asks caches, retries, waits and
//! joins, as [`LookupOptions`] say.

mod declared;
mod options;
mod schedule;
mod sieve;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::logical_expr::Expr;
use futures::stream::BoxStream;

use crate::error::ConnectorError;

pub use declared::LOOKUP_OPTIONS;
pub use options::{Ability, Cache, Full, LookupOptions, Partial, Preload};
pub use schedule::Reload;
pub use sieve::sifted;

/// A lookup table as a connector opens it, and how it is asked.
pub type LookupParts = (Arc<dyn Lookup>, LookupOptions);

/// The keys of one request.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Which columns of [`Lookup::schema`] the keys are of, as [`Lookup::keys`] chose them.
    pub columns: Vec<usize>,
    /// Their values, one array a column, of the column's type: no two keys are the same, and none has a NULL.
    pub values: Vec<ArrayRef>,
}

impl Keys {
    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.first().map_or(0, |values| values.len())
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The answer to a request.
#[derive(Debug, Clone)]
pub struct Found {
    /// Rows of [`Lookup::schema`]. The key columns of a row hold the key that it was found by.
    pub rows: RecordBatch,
    /// For each row the number of its key in the request; never falls. A key without a row is a miss.
    pub keys: Vec<u32>,
}

/// All rows of a table, in batches.
pub type Rows = BoxStream<'static, Result<RecordBatch, ConnectorError>>;

/// All rows of one version of a table.
pub struct Load {
    /// What names the version, to people and to the next [`Lookup::load`]; `None` if the table has no versions.
    pub version: Option<String>,
    /// The rows. Where rows are found by keys too, those of one key come in one batch.
    pub rows: Rows,
    /// How many lines of its files were left out so far, because options of the format say so; `None` if it has no lines, or nobody counts them.
    pub skipped: Option<Arc<AtomicU64>>,
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Load").field("version", &self.version).finish_non_exhaustive()
    }
}

/// Memory that a load holds, of whatever budget: given back when this is dropped.
pub struct Charge(Box<dyn FnMut(u64) -> bool + Send + Sync>);

impl Charge {
    /// One that takes so many bytes more with each call of `take`, or says that there is no room.
    pub fn new(take: impl FnMut(u64) -> bool + Send + Sync + 'static) -> Self {
        Self(Box::new(take))
    }

    /// One that counts nothing.
    #[must_use]
    pub fn free() -> Self {
        Self::new(|_bytes| true)
    }

    /// Takes so many bytes more; false if there is no room for them.
    #[must_use]
    pub fn take(&mut self, bytes: u64) -> bool {
        (self.0)(bytes)
    }
}

impl fmt::Debug for Charge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Charge")
    }
}

/// What a look for the newest version of a table gives.
#[derive(Debug)]
pub enum Newest {
    /// It is the one that is known.
    Known,
    /// Somebody is writing it, and there was another before: only where one is known.
    BeingWritten,
    /// Here it is.
    Rows(Load),
}

impl Newest {
    /// The rows, if there are new ones.
    #[must_use]
    pub fn rows(self) -> Option<Load> {
        match self {
            Self::Rows(load) => Some(load),
            Self::Known | Self::BeingWritten => None,
        }
    }
}

/// Some columns of `schema`, by their numbers.
#[must_use]
pub fn columns_of(schema: &Schema, columns: &[usize]) -> SchemaRef {
    let fields = columns.iter().filter_map(|column| schema.fields().get(*column)).cloned();
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
}

/// A table that answers keys. Making it does no I/O.
#[async_trait]
pub trait Lookup: fmt::Debug + Send + Sync {
    /// The columns it gives, in declared order.
    fn schema(&self) -> SchemaRef;

    /// The same table in these of its columns alone, by their numbers, which rise. Values of the others are not looked at, as far as the connector can
    /// tell them apart. Loads may leave out rows that do not fulfil all of `filters`, conditions on some of these columns by their names, and need not.
    fn narrowed(&self, columns: &[usize], filters: &[Expr]) -> Arc<dyn Lookup>;

    /// Which of the columns `equal`, which a join compares with `=`, a request is to give: the join checks the others itself.
    ///
    /// # Errors
    /// It cannot be asked by these columns; a sentence that says by which it can.
    fn keys(&self, equal: &[usize]) -> Result<Vec<usize>, String>;

    /// The rows of `keys`.
    ///
    /// # Errors
    /// A server that cannot be reached or is not well (transient), which is asked again; one that refuses, or values that are no rows of this
    /// table (user), which end the job.
    async fn get(&self, keys: &Keys) -> Result<Found, ConnectorError>;

    /// All rows as they are now, read by up to `parallelism` readers, unless `known` names the version that the table has now. What is held until the
    /// last row, beside the rows that are given, goes on `charge`. Only for tables whose [`Ability::can_load`].
    ///
    /// # Errors
    /// As [`Self::get`]; the stream gives those of reading. A version whose rows are not those of [`Self::schema`].
    async fn load(&self, parallelism: usize, known: Option<&str>, charge: Charge) -> Result<Newest, ConnectorError>;
}
