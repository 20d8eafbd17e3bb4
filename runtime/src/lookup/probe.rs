//! One task of a lookup join: rows in, their keys looked up, in an index first if there is one, and joined rows out.

use std::sync::Arc;

use arrow_array::RecordBatch;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_expr::PhysicalExpr;
use futures::{StreamExt, TryStreamExt, stream};
use weir_base::memory::{MemoryBudget, Reservation, Use};

use super::index::{Hops, Index, found};
use super::join::{Joiner, Joining};
use super::keys::{BatchKeys, Codec};
use super::resolve::{Question, Questions, Resolutions, resolve, size};
use super::state::LookupState;

/// What all tasks of an operator share.
#[derive(Debug)]
pub(super) struct Operator {
    pub(super) state: Arc<LookupState>,
    /// Where the keys of rows are found first.
    pub(super) index: Option<Arc<Index>>,
    /// The keys, over the input: those of the index, if there is one.
    pub(super) keys: Vec<Arc<dyn PhysicalExpr>>,
    pub(super) joiner: Joiner,
    /// Rows keep their order, whatever is said of the tables.
    pub(super) in_order: bool,
    pub(super) budget: MemoryBudget,
}

impl Operator {
    /// The rows of `input` with the answers to their keys.
    fn resolved(self: &Arc<Self>, input: SendableRecordBatchStream) -> Resolutions<RecordBatch> {
        let ordered = |state: &LookupState| self.in_order || state.table.asking.ordered;
        let in_order = ordered(&self.state);
        let Some(index) = &self.index else { return resolve(&self.state, self.questions(input, &self.state.keys), in_order, &self.budget) };
        let of_index = resolve(&index.state, self.questions(input, &index.state.keys), ordered(&index.state), &self.budget);
        let (index, codec, budget) = (Arc::clone(index), Arc::clone(&self.state.keys), self.budget.clone());
        let rows = of_index.map_ok(move |found| stream::iter(Hops::new(&index, &codec, &budget, found))).try_flatten();
        resolve(&self.state, rows.boxed(), in_order, &self.budget).map_ok(found).boxed()
    }

    fn questions(self: &Arc<Self>, input: SendableRecordBatchStream, codec: &Arc<Codec>) -> Questions<RecordBatch> {
        let (operator, codec) = (Arc::clone(self), Arc::clone(codec));
        let question = move |batch: RecordBatch| {
            let columns = operator.keys.iter().map(|key| key.evaluate(&batch).and_then(|value| value.into_array(batch.num_rows())));
            let keys = BatchKeys::try_new(&codec, columns.collect::<DataFusionResult<Vec<_>>>()?)?;
            Ok(Question { bytes: size(&batch), about: batch, keys })
        };
        let rows = input.try_filter(|batch| std::future::ready(batch.num_rows() > 0));
        rows.map(move |batch| question(batch?)).boxed()
    }
}

/// A running task.
pub(super) struct Probe {
    operator: Arc<Operator>,
    resolved: Resolutions<RecordBatch>,
    /// Rows that are being joined.
    joining: Option<Joining>,
    /// The rows that were given last.
    given: Reservation,
}

impl Probe {
    pub(super) fn new(operator: Arc<Operator>, input: SendableRecordBatchStream) -> Self {
        let resolved = operator.resolved(input);
        let given = operator.budget.reservation(Use::Lookups);
        Self { operator, resolved, joining: None, given }
    }

    /// The next joined rows; `None` after the last ones.
    pub(super) async fn next(&mut self) -> DataFusionResult<Option<RecordBatch>> {
        self.given.resize(0);
        loop {
            if let Some(joining) = &mut self.joining {
                if let Some(rows) = self.operator.joiner.next(joining)? {
                    self.given.resize(size(&rows));
                    return Ok(Some(rows));
                }
                self.joining = None;
            }
            match self.resolved.try_next().await? {
                Some(resolved) => self.joining = Some(Joining::new(resolved)),
                None => return Ok(None),
            }
        }
    }
}
