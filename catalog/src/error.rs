//! What goes wrong with catalogs and commits.

use std::fmt;

use weir_base::{Classified, ErrorKind};
use weir_fs::FsError;

/// An error of a catalog. The message names the catalog and the table.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The database or table does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The database or table exists already.
    #[error("{0}")]
    AlreadyExists(String),
    /// The table changed between our read and our swap; nothing of ours was committed.
    #[error("{0}")]
    Conflict(String),
    /// Others have changed what the commit was made from; nothing of ours was committed, and to try the same again is of no use.
    #[error("{0}")]
    Overtaken(String),
    /// The answer of a swap was lost: it may have happened or not.
    #[error("{message}")]
    OutcomeUnknown {
        /// What was asked of whom.
        message: String,
        /// Why there is no answer.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// Any other failure.
    #[error("{message}")]
    Other {
        /// Who must act.
        kind: ErrorKind,
        /// What failed.
        message: String,
        /// Its cause.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl CatalogError {
    /// An error of `kind` without a cause.
    #[must_use]
    pub fn other(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::Other { kind, message: message.into(), source: None }
    }

    /// An error that the user must mend.
    #[must_use]
    pub fn user(message: impl Into<String>) -> Self {
        Self::other(ErrorKind::User, message)
    }

    /// An error of `kind` with its cause.
    #[must_use]
    pub fn caused(kind: ErrorKind, message: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other { kind, message: message.into(), source: Some(source.into()) }
    }

    /// A lost answer with its cause.
    #[must_use]
    pub fn unknown(message: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::OutcomeUnknown { message: message.into(), source: Some(source.into()) }
    }

    /// What the iceberg crate reports, as it stands in the error and in the errors behind it; `what` says what was tried.
    #[must_use]
    pub fn iceberg(what: impl fmt::Display, error: iceberg::Error) -> Self {
        let kind = kind_of(&error);
        Self::caused(kind, format!("{what}: {}", error.message()), error)
    }

    /// Whether the same call may succeed later and a second try does no harm.
    #[must_use]
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::Other { kind: ErrorKind::Transient, .. })
    }

    /// The same error with more to say at the end of its message.
    #[must_use]
    pub(crate) fn with_note(self, note: impl fmt::Display) -> Self {
        match self {
            Self::NotFound(message) => Self::NotFound(format!("{message} {note}")),
            Self::AlreadyExists(message) => Self::AlreadyExists(format!("{message} {note}")),
            Self::Conflict(message) => Self::Conflict(format!("{message} {note}")),
            Self::Overtaken(message) => Self::Overtaken(format!("{message} {note}")),
            Self::OutcomeUnknown { message, source } => Self::OutcomeUnknown { message: format!("{message} {note}"), source },
            Self::Other { kind, message, source } => Self::Other { kind, message: format!("{message} {note}"), source },
        }
    }
}

/// What a file system said, with the kind it gave.
pub(crate) fn file_system_error(error: FsError) -> CatalogError {
    CatalogError::caused(error.kind(), error.to_string(), error)
}

/// The kind that a file system gave to the error, wherever it stands in the chain; else the one that the crate's kind implies.
fn kind_of(error: &iceberg::Error) -> ErrorKind {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(fs) = current.downcast_ref::<FsError>() {
            return fs.kind();
        }
        cause = current.source();
    }
    if error.retryable() {
        return ErrorKind::Transient;
    }
    match error.kind() {
        iceberg::ErrorKind::CatalogCommitConflicts => ErrorKind::Conflict,
        iceberg::ErrorKind::DataInvalid => ErrorKind::Corrupt,
        iceberg::ErrorKind::Unexpected => ErrorKind::Transient,
        iceberg::ErrorKind::PreconditionFailed => ErrorKind::Internal,
        _ => ErrorKind::User,
    }
}

impl Classified for CatalogError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) | Self::AlreadyExists(_) => ErrorKind::User,
            Self::Conflict(_) | Self::Overtaken(_) => ErrorKind::Conflict,
            Self::OutcomeUnknown { .. } => ErrorKind::Transient,
            Self::Other { kind, .. } => *kind,
        }
    }
}
