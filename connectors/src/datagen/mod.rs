//! The datagen connector: rows out of nothing, for examples and tests.
//!
//! A row is a pure function of the table's columns, its number and the moment at which the job first began; so a job that restarts reads
//! the same rows again, and positions mean what they mean for Kafka. `columns` turns options into generators, `generate` makes arrays,
//! `source` and `scan` are the stream and the batch over them.

mod columns;
mod generate;
mod scan;
mod source;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow_schema::SchemaRef;
use weir_base::options::{OptionBag, OptionDecl, Problem, Problems, ValueType};
use weir_fs::FileSystems;

use crate::batch::BatchTable;
use crate::lookup::LookupParts;
use crate::registry::{CONNECTOR, Connector, MetadataKey, Opened, Role, cannot_be};
use crate::sink::StreamSink;
use crate::source::StreamSource;
use crate::table::TableDef;
use columns::Columns;
use generate::Generator;

const ROWS_PER_SECOND: OptionDecl = OptionDecl::new(
    "rows-per-second",
    ValueType::Integer { min: 1, max: i64::MAX },
    "Rows in a second, over all splits. A batch query does not wait.",
)
.default("10000");
const NUMBER_OF_ROWS: OptionDecl = OptionDecl::new(
    "number-of-rows",
    ValueType::Integer { min: 0, max: i64::MAX },
    "Rows in all. Without it, and without a sequence, the table has no end.",
);
const PARALLELISM: OptionDecl =
    OptionDecl::new("scan.parallelism", ValueType::Integer { min: 1, max: 1_024 }, "Splits: row n is in split n modulo their number.").default("1");

const OPTIONS: &[OptionDecl] = &[
    CONNECTOR,
    ROWS_PER_SECOND,
    NUMBER_OF_ROWS,
    PARALLELISM,
    columns::KIND,
    columns::MIN,
    columns::MAX,
    columns::START,
    columns::END,
    columns::LENGTH,
    columns::VAR_LEN,
    columns::MAX_PAST,
    columns::NULL_RATE,
];

/// The datagen connector.
#[derive(Debug, Clone, Copy, Default)]
pub struct DatagenConnector;

/// A validated declaration: what rows there are.
#[derive(Debug, Clone)]
struct Rows {
    schema: SchemaRef,
    generators: Arc<Vec<Generator>>,
    rate: i64,
    splits: i64,
    /// Rows in all, if the table ends.
    total: Option<i64>,
}

impl Rows {
    /// Rows of split `split` among the first `total` rows.
    fn of_split(&self, total: i64, split: i64) -> i64 {
        let after_first = total.saturating_sub(split).saturating_sub(1);
        if after_first < 0 { 0 } else { after_first / self.splits + 1 }
    }
}

fn open(table: &TableDef) -> Result<Opened<Rows>, Problems> {
    let mut bag = table.options.fresh();
    bag.string(&CONNECTOR);
    let rows = pull(table, &mut bag);
    let object = bag.object().to_owned();
    let known: Vec<&OptionDecl> = OPTIONS.iter().collect();
    let warnings = bag.finish("datagen", &known, &[])?;
    // Whoever gave nothing has reported why, and `finish` has failed.
    let value = rows.ok_or_else(|| Problem::new("OPT-003", object, "the declaration could not be checked."))?;
    Ok(Opened { value, warnings })
}

/// Pulls everything before it gives up on anything, so that all problems are found.
fn pull(table: &TableDef, bag: &mut OptionBag) -> Option<Rows> {
    let rate = bag.integer(&ROWS_PER_SECOND);
    let splits = bag.integer(&PARALLELISM);
    let limit = if bag.contains(NUMBER_OF_ROWS.key) { bag.integer(&NUMBER_OF_ROWS).map(Some) } else { Some(None) };
    let columns = Columns::pull(table, bag);
    let (limit, columns) = (limit?, columns?);
    let total = limit.into_iter().chain(columns.shortest_sequence).min();
    Some(Rows { schema: table.source_schema(), generators: Arc::new(columns.generators), rate: rate?, splits: splits?, total })
}

impl Connector for DatagenConnector {
    fn name(&self) -> &'static str {
        "datagen"
    }

    fn doc(&self) -> &'static str {
        "Makes rows of random values or sequences, the same ones in each run."
    }

    fn options(&self) -> &'static [OptionDecl] {
        OPTIONS
    }

    fn metadata(&self) -> Vec<MetadataKey> {
        Vec::new()
    }

    fn supports(&self, role: Role) -> bool {
        matches!(role, Role::Source | Role::Scan)
    }

    fn source(&self, table: &TableDef, _file_systems: &FileSystems) -> Result<Opened<Arc<dyn StreamSource>>, Problems> {
        let Opened { value, warnings } = open(table)?;
        Ok(Opened { value: Arc::new(source::DatagenSource::new(value, table.options.object())), warnings })
    }

    fn scan(&self, table: &TableDef, _file_systems: &FileSystems) -> Result<Opened<Arc<dyn BatchTable>>, Problems> {
        let Opened { value, warnings } = open(table)?;
        let Some(total) = value.total else {
            let what = "'number-of-rows' is required in a batch query but missing: the table has no end.";
            return Err(Problem::new("OPT-005", table.options.object(), what).at(table.options.position("connector")).into());
        };
        Ok(Opened { value: Arc::new(scan::DatagenTable::new(value, total)), warnings })
    }

    fn sink(&self, table: &TableDef, _file_systems: &FileSystems) -> Result<Opened<Arc<dyn StreamSink>>, Problems> {
        Err(cannot_be(self, table, Role::Sink))
    }

    fn lookup(&self, table: &TableDef, _file_systems: &FileSystems) -> Result<Opened<LookupParts>, Problems> {
        Err(cannot_be(self, table, Role::Lookup))
    }
}
