//! What goes wrong with file systems, and of which kind it is.

use std::error::Error as StdError;
use std::io;

use object_store::Error as StoreError;
use weir_base::options::{Problem, Problems};
use weir_base::{Classified, ErrorKind};

/// An error of a file system; the message names the URI and the remedy.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct FsError {
    kind: ErrorKind,
    message: String,
    problem: Option<Box<Problem>>,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl FsError {
    /// An error of `kind`.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), problem: None, source: None }
    }

    /// The same with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What `operation` on `uri` met, with the kind of the store's error.
    #[must_use]
    pub fn from_store(operation: &str, uri: &str, error: StoreError) -> Self {
        let message = format!("{operation} `{uri}`: {}", weir_base::error::chain(&error));
        Self::new(kind_of(&error), message).with_source(error)
    }

    /// The same as problems of what a user wrote.
    #[must_use]
    pub fn into_problems(self) -> Problems {
        match self.problem {
            Some(problem) => (*problem).into(),
            None => Problem::new(crate::aliases::CODE, "File system", format!("{}.", self.message.trim_end_matches('.'))).into(),
        }
    }

    /// The same as an error of a store, whose kind [`kind_of`] finds again.
    #[must_use]
    pub fn into_store_error(self) -> StoreError {
        StoreError::Generic { store: "weir", source: Box::new(self) }
    }
}

impl From<Problem> for FsError {
    fn from(problem: Problem) -> Self {
        Self { problem: Some(Box::new(problem.clone())), ..Self::new(ErrorKind::User, problem.to_string()) }
    }
}

impl Classified for FsError {
    fn kind(&self) -> ErrorKind {
        self.kind
    }
}

/// The kind of a store's error: `Transient` is worth another try, `Conflict` means that a condition of the request did not hold.
///
/// A disk or quota without space is `Transient`: the same request succeeds once somebody has made room.
#[must_use]
pub fn kind_of(error: &StoreError) -> ErrorKind {
    match error {
        StoreError::AlreadyExists { .. } | StoreError::Precondition { .. } | StoreError::NotModified { .. } => ErrorKind::Conflict,
        StoreError::Generic { source, .. } => kind_of_cause(source.as_ref()),
        StoreError::JoinError { source } if source.is_panic() => ErrorKind::Internal,
        StoreError::JoinError { .. } => ErrorKind::Transient,
        StoreError::NotImplemented { .. } => ErrorKind::Internal,
        _ => ErrorKind::User,
    }
}

/// Walks the causes down to the first one that says what it is.
fn kind_of_cause(outermost: &(dyn StdError + 'static)) -> ErrorKind {
    let mut next = Some(outermost);
    while let Some(cause) = next {
        if let Some(ours) = cause.downcast_ref::<FsError>() {
            return ours.kind;
        }
        if let Some(store) = cause.downcast_ref::<StoreError>() {
            return kind_of(store);
        }
        if let Some(kind) = cause.downcast_ref::<io::Error>().and_then(kind_of_io) {
            return kind;
        }
        if is_refused_request(&cause.to_string()) {
            return ErrorKind::User;
        }
        next = cause.source();
    }
    ErrorKind::Transient
}

fn kind_of_io(error: &io::Error) -> Option<ErrorKind> {
    match error.kind() {
        io::ErrorKind::Other => None,
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::NotFound
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::InvalidFilename
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::FileTooLarge => Some(ErrorKind::User),
        _ => Some(ErrorKind::Transient),
    }
}

/// object_store keeps the types of these errors to itself; their texts are all it shows.
fn is_refused_request(text: &str) -> bool {
    let refused_status =
        ["400", "404", "405", "411", "413", "416"].iter().any(|status| text.starts_with(&format!("Server returned non-2xx status code: {status}")));
    refused_status
        || text.starts_with("Wanted range starting at")
        || text.starts_with("Range started at")
        || text.starts_with("Range start too large")
}

/// Whether the object was not there.
#[must_use]
pub fn is_not_found(error: &StoreError) -> bool {
    matches!(error, StoreError::NotFound { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(source: impl StdError + Send + Sync + 'static) -> StoreError {
        StoreError::Generic { store: "test", source: Box::new(source) }
    }

    #[test]
    fn a_full_disk_and_a_broken_connection_are_worth_another_try() {
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded, io::ErrorKind::ConnectionReset, io::ErrorKind::TimedOut] {
            assert_eq!(kind_of(&generic(io::Error::from(kind))), ErrorKind::Transient);
        }
    }

    #[test]
    fn a_wrong_request_is_not_repeated() {
        assert_eq!(kind_of(&generic(io::Error::from(io::ErrorKind::PermissionDenied))), ErrorKind::User);
        assert_eq!(kind_of(&generic(FsError::new(ErrorKind::Corrupt, "x"))), ErrorKind::Corrupt);
        let refused = io::Error::other("Server returned non-2xx status code: 400 Bad Request: no");
        assert_eq!(kind_of(&generic(refused)), ErrorKind::User);
    }

    #[test]
    fn the_kind_survives_the_way_through_a_store() {
        let error = FsError::new(ErrorKind::Fenced, "newer owner").into_store_error();
        assert_eq!(kind_of(&error), ErrorKind::Fenced);
        assert_eq!(FsError::from_store("reading", "memory://a/b", error).kind(), ErrorKind::Fenced);
    }
}
