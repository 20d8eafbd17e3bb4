//! Where four tools put what in their messages, and what their operations mean.

use regex::bytes::Regex;

use crate::format::columns::{Fault, quoted};

/// A tool that writes change logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    Debezium,
    Canal,
    Maxwell,
    Ogg,
}

/// Where a tool puts what. The names of the fields of a message.
#[derive(Debug)]
pub(super) struct Layout {
    /// The row after the change, or a list of them.
    pub(super) after: &'static str,
    /// The row before.
    pub(super) before: &'static str,
    /// Both are lists.
    pub(super) lists: bool,
    /// The row before has only the columns that were changed.
    pub(super) partial: bool,
    /// What happened.
    pub(super) operation: &'static str,
    /// More fields that [`Tool::meaning`] looks at.
    pub(super) more: &'static [&'static str],
}

/// What a message means for the rows of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nothing: a transaction, a change of the schema.
    Nothing,
    Insert,
    Update,
    Delete,
}

/// Which databases and tables are wanted, by their whole names.
#[derive(Debug, Clone, Default)]
pub(super) struct Include {
    pub(super) database: Option<Regex>,
    pub(super) table: Option<Regex>,
}

/// The change of a row in Avro. What is no change has a schema, and mostly a topic, of its own; the fields that tell it are read as text.
pub(super) static DEBEZIUM_AVRO: Layout =
    Layout { after: "after", before: "before", lists: false, partial: false, operation: "op", more: &["ddl", "status"] };

impl Tool {
    pub(super) fn layout(self) -> &'static Layout {
        match self {
            Self::Debezium => {
                &Layout { after: "after", before: "before", lists: false, partial: false, operation: "op", more: &["ddl", "status", "tableChanges"] }
            }
            Self::Canal => {
                &Layout { after: "data", before: "old", lists: true, partial: true, operation: "type", more: &["isDdl", "database", "table"] }
            }
            Self::Maxwell => &Layout { after: "data", before: "old", lists: false, partial: true, operation: "type", more: &[] },
            Self::Ogg => &Layout { after: "after", before: "before", lists: false, partial: false, operation: "op_type", more: &[] },
        }
    }

    /// What an operation means; `more` are the values of [`Layout::more`], `None` for NULL or missing.
    pub(super) fn meaning(self, operation: Option<&[u8]>, more: &[Option<&[u8]>], include: &Include) -> Result<Meaning, Fault> {
        match (self, operation) {
            (Self::Debezium, Some(b"c" | b"r")) | (Self::Ogg, Some(b"I")) => Ok(Meaning::Insert),
            (Self::Debezium, Some(b"u")) | (Self::Ogg, Some(b"U")) => Ok(Meaning::Update),
            (Self::Debezium, Some(b"d")) | (Self::Ogg, Some(b"D")) => Ok(Meaning::Delete),
            // A message that was written into the log by hand.
            (Self::Debezium, Some(b"m")) => Ok(Meaning::Nothing),
            (Self::Debezium, Some(b"t")) | (Self::Ogg, Some(b"T")) => Err(truncated()),
            // Changes of the schema, and the begin and end of a transaction, which may stand in the same topic.
            (Self::Debezium, None) if more.iter().any(Option::is_some) => Ok(Meaning::Nothing),
            (Self::Canal, Some(kind)) => canal(kind, more, include),
            (Self::Maxwell, Some(kind)) => maxwell(kind),
            (_, operation) => Err(self.unknown(operation)),
        }
    }

    fn unknown(self, operation: Option<&[u8]>) -> Fault {
        let field = self.layout().operation;
        match operation {
            Some(operation) => Fault::syntax(format!("unknown \"{field}\" value {}", quoted(operation))),
            None => Fault::syntax(format!("there is no \"{field}\", which says what happened")),
        }
    }

    /// What to say of an operation whose row before the change is missing.
    pub(super) fn no_before(self, meaning: Meaning) -> Fault {
        let what = if meaning == Meaning::Delete { "DELETE" } else { "UPDATE" };
        let hint = if self == Self::Debezium {
            ", if you are using Debezium Postgres Connector, please check the Postgres table has been set REPLICA IDENTITY to FULL level"
        } else {
            ""
        };
        Fault::syntax(format!("The \"{}\" field of \"{what}\" message is null{hint}", self.layout().before))
    }
}

fn canal(kind: &[u8], more: &[Option<&[u8]>], include: &Include) -> Result<Meaning, Fault> {
    let [is_ddl, database, table] = [0, 1, 2].map(|place| more.get(place).copied().flatten());
    let wanted = |pattern: &Option<Regex>, name: Option<&[u8]>| pattern.as_ref().is_none_or(|pattern| pattern.is_match(name.unwrap_or_default()));
    if !wanted(&include.database, database) || !wanted(&include.table, table) {
        return Ok(Meaning::Nothing);
    }
    match kind {
        b"INSERT" => Ok(Meaning::Insert),
        b"UPDATE" => Ok(Meaning::Update),
        b"DELETE" => Ok(Meaning::Delete),
        b"TRUNCATE" => Err(truncated()),
        b"CREATE" | b"ALTER" | b"ERASE" | b"QUERY" | b"RENAME" | b"CINDEX" | b"DINDEX" | b"TRANSACTIONBEGIN" | b"TRANSACTIONEND" => {
            Ok(Meaning::Nothing)
        }
        _ if is_ddl == Some(b"true") => Ok(Meaning::Nothing),
        _ => Err(Tool::Canal.unknown(Some(kind))),
    }
}

fn maxwell(kind: &[u8]) -> Result<Meaning, Fault> {
    match kind {
        b"insert" | b"bootstrap-insert" => Ok(Meaning::Insert),
        b"update" => Ok(Meaning::Update),
        b"delete" => Ok(Meaning::Delete),
        b"bootstrap-start"
        | b"bootstrap-complete"
        | b"table-create"
        | b"table-alter"
        | b"table-drop"
        | b"database-create"
        | b"database-alter"
        | b"database-drop" => Ok(Meaning::Nothing),
        _ => Err(Tool::Maxwell.unknown(Some(kind))),
    }
}

fn truncated() -> Fault {
    Fault::syntax("the table was truncated, which cannot be told as changes of its rows")
}
