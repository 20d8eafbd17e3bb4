//! What goes wrong with file systems.

use weir_base::{Classified, ErrorKind};

/// An error of a file system; the message names the URI and the remedy.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct FsError {
    kind: ErrorKind,
    message: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl FsError {
    /// An error of `kind`.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The same with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl Classified for FsError {
    fn kind(&self) -> ErrorKind {
        self.kind
    }
}
