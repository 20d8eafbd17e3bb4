//! Statements as parsed: names are not resolved, options not checked.

use datafusion::sql::sqlparser::ast::{Expr, Query};
use iceberg::spec::Transform;
use weir_base::options::Position;

use super::cursor::{Name, WrittenOption};
use super::types::SqlType;

/// One statement with its place.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) position: Position,
    pub(crate) kind: StatementKind,
}

#[derive(Debug, Clone)]
pub(crate) enum StatementKind {
    CreateCatalog {
        name: Name,
        if_not_exists: bool,
        options: Vec<WrittenOption>,
    },
    CreateDatabase {
        name: Name,
        if_not_exists: bool,
        options: Vec<WrittenOption>,
    },
    CreateTable(Box<CreateTable>),
    CreateView(Box<CreateView>),
    Drop {
        object: Object,
        name: Name,
        if_exists: bool,
        temporary: bool,
    },
    UseCatalog(Name),
    UseDatabase(Name),
    Set(WrittenOption),
    Reset(Option<(String, Position)>),
    ShowSettings,
    Insert(Box<Insert>),
    Change(Box<RowChange>),
    StatementSet(Vec<Insert>),
    Query(Box<QueryText>),
    /// EXPLAIN ANALYZE: the query is run, and what its operators did is shown.
    Analyze(Box<QueryText>),
    Explain(Box<Statement>),
    Show(Show),
    Describe(Describe),
    Call(Box<Call>),
}

/// A CALL.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// `[catalog.]system.procedure`.
    pub(crate) name: Name,
    pub(crate) arguments: Vec<Argument>,
}

/// An argument of a CALL.
#[derive(Debug, Clone)]
pub(crate) struct Argument {
    /// `None`: it is known by its place.
    pub(crate) name: Option<String>,
    pub(crate) value: CallValue,
    pub(crate) position: Position,
}

/// A constant in a CALL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallValue {
    Text(String),
    Number(String),
    Boolean(bool),
    /// As if it were not given.
    Null,
    Timestamp(String),
    Array(Vec<CallValue>),
    /// Keys and values in turn.
    Map(Vec<CallValue>),
}

/// What DROP and SHOW CREATE name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Object {
    Catalog,
    Database,
    Table,
    View,
    LogicalTable,
}

/// A CREATE TABLE.
#[derive(Debug, Clone)]
pub(crate) struct CreateTable {
    pub(crate) name: Name,
    pub(crate) temporary: bool,
    pub(crate) if_not_exists: bool,
    pub(crate) columns: Vec<Column>,
    pub(crate) watermark: Option<Watermark>,
    pub(crate) primary_key: Vec<String>,
    pub(crate) comment: Option<String>,
    pub(crate) partitioned_by: Vec<Partition>,
    pub(crate) options: Vec<WrittenOption>,
    pub(crate) like: Option<Like>,
    /// The query of AS, which fills the table.
    pub(crate) query: Option<QueryText>,
}

/// One column of a CREATE TABLE.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) position: Position,
    pub(crate) comment: Option<String>,
    pub(crate) kind: ColumnText,
}

#[derive(Debug, Clone)]
pub(crate) enum ColumnText {
    Physical(SqlType),
    Metadata { ty: SqlType, key: Option<String>, virtual_column: bool },
    Computed(String),
}

/// `WATERMARK FOR column AS expression`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watermark {
    pub(crate) column: String,
    pub(crate) expression: String,
}

/// One element of PARTITIONED BY.
#[derive(Debug, Clone)]
pub(crate) struct Partition {
    pub(crate) column: String,
    pub(crate) transform: Transform,
    pub(crate) position: Position,
}

/// `LIKE table (…)`: what is taken over.
#[derive(Debug, Clone)]
pub(crate) struct Like {
    pub(crate) table: Name,
    pub(crate) constraints: Merge,
    pub(crate) partitions: Merge,
    pub(crate) generated: Merge,
    pub(crate) metadata: Merge,
    pub(crate) options: Merge,
    pub(crate) watermarks: Merge,
}

/// How one part of the LIKE table and of the new one come together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Merge {
    /// Taken over; the same name in both is an error.
    Including,
    /// Left out.
    Excluding,
    /// Taken over; the new table wins.
    Overwriting,
}

/// A CREATE VIEW.
#[derive(Debug, Clone)]
pub(crate) struct CreateView {
    pub(crate) name: Name,
    pub(crate) temporary: bool,
    pub(crate) if_not_exists: bool,
    pub(crate) columns: Vec<String>,
    pub(crate) comment: Option<String>,
    pub(crate) query: QueryText,
    /// What makes it a logical table.
    pub(crate) logical: Option<Logical>,
}

/// The other side of a logical table, whose stream side is the query of its view.
#[derive(Debug, Clone)]
pub(crate) struct Logical {
    /// What batch jobs and queries read.
    pub(crate) batch: QueryText,
    /// The column of `TIME`, to which a period applies.
    pub(crate) time: Option<(String, Position)>,
}

/// An INSERT INTO or INSERT OVERWRITE.
#[derive(Debug, Clone)]
pub(crate) struct Insert {
    pub(crate) target: Name,
    pub(crate) overwrite: bool,
    pub(crate) hint: Vec<WrittenOption>,
    pub(crate) partition: Vec<PartitionValue>,
    pub(crate) columns: Vec<(String, Position)>,
    pub(crate) query: QueryText,
}

/// One element of `PARTITION (…)`.
#[derive(Debug, Clone)]
pub(crate) struct PartitionValue {
    pub(crate) column: String,
    /// A constant; `None`: the query gives it.
    pub(crate) value: Option<String>,
    pub(crate) position: Position,
}

/// A DELETE or an UPDATE.
#[derive(Debug, Clone)]
pub(crate) struct RowChange {
    pub(crate) target: Name,
    /// `SELECT *, <new values> FROM <target> [WHERE …]`.
    pub(crate) query: QueryText,
    /// The columns that get the new values; `None`: the rows go.
    pub(crate) set: Option<Vec<(String, Position)>>,
}

/// Which version of a table is read.
#[derive(Debug, Clone)]
pub(crate) enum AsOf {
    /// The one that was current at a time.
    Time(Expr),
    /// A snapshot.
    Snapshot(Expr),
    /// A form that only other systems have.
    Other,
}

/// A table of which a version is read.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) as_of: AsOf,
    /// Its alias, or the last part of its name.
    pub(crate) known_as: String,
}

/// A LOOKUP hint.
#[derive(Debug, Clone)]
pub(crate) struct LookupHint {
    pub(crate) options: Vec<WrittenOption>,
    pub(crate) position: Position,
}

/// A query; tables that carry an OPTIONS hint are named `<name>#hint<n>` in it, and those of a version `…#as_of<n>`.
#[derive(Debug, Clone)]
pub(crate) struct QueryText {
    pub(crate) text: String,
    pub(crate) query: Box<Query>,
    /// Options by the `n` of `#hint<n>`.
    pub(crate) hints: Vec<Vec<WrittenOption>>,
    /// Versions by the `n` of `#as_of<n>`.
    pub(crate) versions: Vec<Version>,
    /// Types by the `n` of the type name `weir_type_<n>`.
    pub(crate) types: Vec<SqlType>,
    /// What LOOKUP hints say of lookup tables.
    pub(crate) lookup_hints: Vec<LookupHint>,
    /// Hints that are known and do nothing, for warnings.
    pub(crate) idle_hints: Vec<(String, Position)>,
    pub(crate) position: Position,
}

/// What SHOW shows.
#[derive(Debug, Clone)]
pub(crate) enum Show {
    Catalogs,
    CurrentCatalog,
    Databases,
    CurrentDatabase,
    Tables { database: Option<Name>, pattern: Option<Pattern> },
    Views,
    Columns { table: Name },
    Functions,
    Connectors,
    Procedures,
    Create(Object, Name),
}

/// `[NOT] LIKE 'pattern'`.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    pub(crate) negated: bool,
    pub(crate) like: String,
}

/// What DESCRIBE describes.
#[derive(Debug, Clone)]
pub(crate) enum Describe {
    Table(Name),
    Catalog(Name),
    Connector(String, Position),
}
