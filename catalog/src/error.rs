//! What goes wrong with catalogs and commits.

use weir_base::{Classified, ErrorKind};

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
}

impl Classified for CatalogError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) | Self::AlreadyExists(_) => ErrorKind::User,
            Self::Conflict(_) => ErrorKind::Conflict,
            Self::OutcomeUnknown { .. } => ErrorKind::Transient,
            Self::Other { kind, .. } => *kind,
        }
    }
}
