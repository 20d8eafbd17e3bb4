//! How a command fails: a message for the user and an exit code.

use weir_base::{Classified, ErrorKind, error::chain};

/// Why a command ended without success.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) exit_code: u8,
}

impl Failure {
    /// SQL or usage: exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit_code: 2 }
    }

    /// All was said already.
    pub(crate) fn silent(exit_code: u8) -> Self {
        Self { message: String::new(), exit_code }
    }

    /// Something the user must mend outside the SQL: exit code 3.
    pub(crate) fn user(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit_code: ErrorKind::User.exit_code() }
    }

    /// A defect, or a machine in trouble.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit_code: ErrorKind::Internal.exit_code() }
    }

    /// An error that knows its kind, with every cause.
    pub(crate) fn of<E: Classified + std::error::Error + 'static>(error: &E) -> Self {
        Self { message: chain(error), exit_code: error.kind().exit_code() }
    }
}
