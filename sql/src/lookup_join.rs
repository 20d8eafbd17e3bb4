//! The lookup join in a logical plan: each row of the input gets the rows of a lookup table that have its key at the time it is worked on.
//!
//! The node has one input. What the table is, and how it is asked, is in [`LookupTable`]; whoever runs the plan makes an operator of it.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use datafusion::common::{Column, DFSchema, DFSchemaRef, JoinType, plan_err};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore, build_join_schema};
use weir_connectors::lookup::{Cache, Lookup, LookupOptions};
use weir_connectors::table::TablePath;

/// How a lookup operator waits for answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asking {
    /// The most keys on their way at a time.
    pub capacity: usize,
    /// How long a key may take, waiting and retries included.
    pub timeout: Duration,
    /// Rows leave in the order in which they came.
    pub ordered: bool,
    /// Keys without a row are asked for again.
    pub on_miss: Option<MissRetry>,
}

/// Asking again for keys without a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissRetry {
    /// Wait before each try.
    pub delay: Duration,
    /// Tries after the first one.
    pub attempts: u32,
}

/// A lookup table of a job or query.
#[derive(Debug)]
pub struct LookupTable {
    /// Its id in the job: the table's name, with `#2` and so on behind it for other options.
    pub id: String,
    /// The declaration's name.
    pub path: TablePath,
    /// The table.
    pub lookup: Arc<dyn Lookup>,
    /// How it is asked, by its declaration.
    pub options: LookupOptions,
    /// How answers are waited for.
    pub asking: Asking,
    /// What is taken of it.
    pub taken: Taken,
}

/// What a job takes of a lookup table, where that is not all of it; for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// The names of its columns, in order; none: all of them.
    pub columns: Vec<String>,
    /// What the rows fulfil that are loaded; none: all rows are.
    pub filters: Vec<String>,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, taken) in [("columns", &self.columns), ("filters", &self.filters)].iter().filter(|(_, taken)| !taken.is_empty()) {
            write!(f, ", {what}=[{}]", taken.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Display for LookupTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe(f, self.asking.ordered)
    }
}

impl LookupTable {
    /// Writes how it is asked by a join whose rows keep their order, or need not.
    fn describe(&self, f: &mut fmt::Formatter<'_>, ordered: bool) -> fmt::Result {
        match &self.options.cache {
            Cache::None => f.write_str("cache=NONE")?,
            Cache::Partial(_) => f.write_str("cache=PARTIAL")?,
            Cache::Full(_) => return write!(f, "cache=FULL{}", self.taken),
        }
        let (options, asking) = (&self.options, &self.asking);
        if options.is_async {
            let order = if ordered { "ordered" } else { "unordered" };
            write!(f, ", async {order}, capacity={}, batch={}", asking.capacity, options.batch)?;
        } else {
            f.write_str(", sync")?;
        }
        if let Some(MissRetry { delay, attempts }) = &asking.on_miss {
            write!(f, ", misses asked {attempts} times more after {delay:?}")?;
        }
        if options.hash {
            f.write_str(", hash")?;
        }
        write!(f, "{}", self.taken)
    }
}

/// Another lookup table, whose rows have keys of the rows that are wanted.
#[derive(Debug, Clone)]
pub struct IndexLookup {
    /// The index.
    pub table: Arc<LookupTable>,
    /// Its columns that it is asked by.
    pub columns: Vec<usize>,
    /// Its columns that hold the keys of rows, one for each of [`LookupKey::columns`], of the same types.
    pub row_key: Vec<usize>,
}

/// Two are equal if they ask the same table for the same.
impl PartialEq for IndexLookup {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.table, &other.table) && self.columns == other.columns && self.row_key == other.row_key
    }
}

/// By what a lookup table is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct LookupKey {
    /// The keys, over the input, of the types of the columns that they are of: of `index`, if there is one, else of the table.
    pub keys: Vec<Expr>,
    /// The table's columns that its rows are found by.
    pub columns: Vec<usize>,
    /// Where the keys of the rows are found first.
    pub index: Option<IndexLookup>,
}

/// A join with a lookup table.
#[derive(Debug, Clone)]
pub struct LookupJoin {
    /// The table.
    pub table: Arc<LookupTable>,
    /// What is joined to it.
    pub input: LogicalPlan,
    /// By what it is asked.
    pub key: LookupKey,
    /// Inner, or left: rows without a match stay.
    pub join_type: JoinType,
    /// Of a left join: what a row of the table must fulfil besides to match, over the output.
    pub residual: Option<Expr>,
    /// Rows leave in the order in which they came, whatever is said of the tables: they change each other.
    pub in_order: bool,
    right: DFSchemaRef,
    schema: DFSchemaRef,
}

impl LookupJoin {
    /// What plans call it.
    pub const NAME: &str = "LookupJoin";

    /// A join of `input` with all columns of `table`, which are called as `right` says. [`Self::narrowed`] takes some of them.
    ///
    /// # Errors
    /// Columns of the same name on both sides.
    pub fn try_new(
        table: Arc<LookupTable>,
        input: LogicalPlan,
        key: LookupKey,
        join_type: JoinType,
        residual: Option<Expr>,
        right: DFSchemaRef,
    ) -> DataFusionResult<Self> {
        let schema = Arc::new(build_join_schema(input.schema(), &right, &join_type)?);
        Ok(Self { table, input, key, join_type, residual, in_order: false, right, schema })
    }

    /// The same for rows that change each other.
    pub(crate) fn in_order(self) -> Self {
        Self { in_order: true, ..self }
    }

    /// The same with another key and another residual condition.
    pub(crate) fn asking_for(self, key: LookupKey, residual: Option<Expr>) -> Self {
        Self { key, residual, ..self }
    }

    /// The same with `table`, which is its own in these of its columns alone, by their numbers; `key` is by theirs.
    ///
    /// # Errors
    /// A condition of the join on one of the others.
    pub(crate) fn narrowed(&self, table: Arc<LookupTable>, columns: &[usize], key: LookupKey) -> DataFusionResult<Self> {
        let field = |column: &usize| {
            let (qualifier, field) = self.right.qualified_field(*column);
            (qualifier.cloned(), Arc::clone(field))
        };
        let right = DFSchema::new_with_metadata(columns.iter().map(field).collect(), self.right.metadata().clone())?;
        let join = Self::try_new(table, self.input.clone(), key, self.join_type, self.residual.clone(), Arc::new(right))?;
        Ok(Self { in_order: self.in_order, ..join })
    }

    /// Writes how a table is asked by this join.
    fn describe(&self, f: &mut fmt::Formatter<'_>, table: &LookupTable) -> fmt::Result {
        table.describe(f, self.in_order || table.asking.ordered)
    }
}

/// Two nodes are equal if they ask the same table of the plan for the same.
impl PartialEq for LookupJoin {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.table, &other.table)
            && self.key == other.key
            && self.join_type == other.join_type
            && self.residual == other.residual
            && self.in_order == other.in_order
            && self.right == other.right
            && self.input == other.input
    }
}

impl Eq for LookupJoin {}

impl PartialOrd for LookupJoin {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl Hash for LookupJoin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.table.id.hash(state);
        self.key.keys.hash(state);
        self.key.columns.hash(state);
        self.input.hash(state);
    }
}

impl UserDefinedLogicalNodeCore for LookupJoin {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.key.keys.clone()
    }

    /// Conditions on the input alone go below: a row that is dropped need not be looked up.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.right.fields().iter().map(|field| field.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LookupJoin: {} {}, on=[", self.join_type, self.table.path)?;
        let right = self.right.columns();
        let LookupKey { keys, columns, index } = &self.key;
        let name = |column: &usize| match index {
            Some(IndexLookup { table, .. }) => table.lookup.schema().fields().get(*column).map(|field| format!("{}.{}", table.id, field.name())),
            None => right.get(*column).map(Column::flat_name),
        };
        let asked = index.as_ref().map_or(columns, |index| &index.columns);
        let pairs: Vec<String> = keys.iter().zip(asked).map(|(key, column)| format!("{} = {key}", name(column).unwrap_or_default())).collect();
        write!(f, "{}]", pairs.join(", "))?;
        if let Some(index) = index {
            write!(f, ", through {} (", index.table.path)?;
            self.describe(f, &index.table)?;
            f.write_str(")")?;
        }
        if let Some(residual) = &self.residual {
            write!(f, ", if={residual}")?;
        }
        f.write_str(", ")?;
        self.describe(f, &self.table)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> DataFusionResult<Self> {
        let (Some(input), true) = (inputs.pop(), inputs.is_empty()) else { return plan_err!("a lookup join has one input") };
        let key = LookupKey { keys: exprs, ..self.key.clone() };
        let join = Self::try_new(Arc::clone(&self.table), input, key, self.join_type, self.residual.clone(), Arc::clone(&self.right))?;
        Ok(Self { in_order: self.in_order, ..join })
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let input = self.input.schema();
        let of_residual = self.residual.iter().flat_map(Expr::column_refs).filter_map(|column| input.maybe_index_of_column(column));
        let mut needed: Vec<usize> = output_columns.iter().copied().filter(|column| *column < input.fields().len()).chain(of_residual).collect();
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }
}
