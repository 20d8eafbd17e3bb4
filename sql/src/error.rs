//! What goes wrong in the front end.

use datafusion::common::{Diagnostic, SchemaError, Span};
use datafusion::error::DataFusionError;
use weir_base::options::{Position, Problem, Problems, closest};
use weir_base::{Classified, ErrorKind};
use weir_catalog::CatalogError;
use weir_connectors::ConnectorError;
use weir_connectors::iceberg::{MetadataTableError, StreamError};

/// Code of a thing that does not exist.
pub(crate) const NOT_FOUND: &str = "SQL-002";
/// Code of a thing that exists already.
pub(crate) const EXISTS: &str = "SQL-003";
/// Code of what Weir cannot do yet.
pub(crate) const NOT_YET: &str = "SQL-004";
/// Code of types that do not fit.
pub(crate) const TYPES: &str = "SQL-005";
/// Code of a query that cannot be planned.
pub(crate) const PLAN: &str = "SQL-006";

/// An error of the front end.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// What the user wrote is wrong: every problem of the statement.
    #[error("{0}")]
    Problems(#[from] Problems),
    /// A lake catalog failed.
    #[error("{what}: {source}")]
    Catalog {
        /// What was being done.
        what: String,
        /// Why it failed.
        #[source]
        source: CatalogError,
    },
    /// A connector failed, or the runtime's check before a CREATE did.
    #[error("{0}")]
    Connector(#[from] ConnectorError),
    /// A defect in Weir.
    #[error("{0}")]
    Internal(String),
}

impl From<StreamError> for SqlError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Options(problems) => Self::Problems(problems),
            StreamError::Table(error) => Self::Connector(error),
        }
    }
}

impl From<MetadataTableError> for SqlError {
    fn from(error: MetadataTableError) -> Self {
        match error {
            MetadataTableError::Options(problems) => Self::Problems(problems),
            MetadataTableError::Table(error) => Self::Connector(error),
        }
    }
}

impl From<Problem> for SqlError {
    fn from(problem: Problem) -> Self {
        Self::Problems(problem.into())
    }
}

impl Classified for SqlError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Problems(_) => ErrorKind::User,
            Self::Catalog { source, .. } => source.kind(),
            Self::Connector(error) => error.kind(),
            Self::Internal(_) => ErrorKind::Internal,
        }
    }
}

/// DataFusion's error about a query as a problem of the statement at `statement`; a more exact place is taken from the error if it has one.
pub(crate) fn plan_error(error: &DataFusionError, object: &str, statement: Position) -> SqlError {
    let at = error.diagnostic().and_then(place_of).unwrap_or(statement);
    SqlError::from(describe(root(error), object).at(Some(at)))
}

/// The name of the column that an error says is not there.
pub(crate) fn missing_column(error: &DataFusionError) -> Option<&str> {
    let DataFusionError::SchemaError(schema, _) = root(error) else { return None };
    if let SchemaError::FieldNotFound { field, .. } = schema.as_ref() { Some(&field.name) } else { None }
}

/// The error below its contexts.
pub(crate) fn root(error: &DataFusionError) -> &DataFusionError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => root(inner),
        DataFusionError::Shared(inner) => root(inner),
        DataFusionError::Collection(all) => all.first().map_or(error, root),
        other => other,
    }
}

fn place_of(diagnostic: &Diagnostic) -> Option<Position> {
    let Span { start, .. } = diagnostic.span?;
    (start.line > 0).then_some(Position { line: start.line, column: start.column })
}

fn describe(error: &DataFusionError, object: &str) -> Problem {
    match error {
        DataFusionError::SchemaError(schema, _) => match schema.as_ref() {
            SchemaError::FieldNotFound { field, valid_fields } => {
                let names: Vec<&str> = valid_fields.iter().map(|column| column.name.as_str()).collect();
                let problem = Problem::new(NOT_FOUND, object, format!("Column '{}' not found.", field.flat_name().replace('"', "")));
                let near = closest(&field.name, names.iter().copied());
                if let Some(near) = near.first() {
                    return problem.suggest(Some(format!("Did you mean '{near}'?")));
                }
                if names.is_empty() { problem } else { problem.hint(format!("Columns are {}.", names.join(", "))) }
            }
            SchemaError::AmbiguousReference { field } => {
                Problem::new(PLAN, object, format!("Column '{}' is ambiguous.", field.name)).hint("Put the table's name before it.")
            }
            SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
                Problem::new(PLAN, object, format!("The column name '{name}' occurs twice.")).hint("Give one of them another name with AS.")
            }
        },
        DataFusionError::NotImplemented(text) => Problem::new(NOT_YET, object, sentence(text)),
        other => {
            let text = other.strip_backtrace();
            let text = text.strip_prefix("Error during planning: ").unwrap_or(&text);
            match text.split_once("\nDid you mean ") {
                Some((what, near)) => Problem::new(PLAN, object, sentence(what)).suggest(Some(format!("Did you mean {near}"))),
                None => Problem::new(PLAN, object, sentence(text)),
            }
        }
    }
}

fn sentence(text: &str) -> String {
    let text = text.trim().trim_end_matches('.');
    format!("{text}.")
}
