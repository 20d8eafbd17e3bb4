//! The kinds of error on which retries, exit codes and metric labels depend.

use std::fmt;

/// Who must act on an error, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorKind {
    /// The user must change the input: SQL, options, configuration or data.
    User,
    /// Somebody else changed the object first: reload it and do the work again.
    Conflict,
    /// A server or the network failed: retry with backoff, up to a deadline.
    Transient,
    /// A newer owner of the job exists: stop at once and change nothing more.
    Fenced,
    /// What is stored is wrong: stop, a person must look.
    Corrupt,
    /// A defect in Weir.
    Internal,
}

impl ErrorKind {
    /// The process exit code that reports this kind.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::User => 3,
            Self::Conflict | Self::Transient => 4,
            Self::Fenced => 5,
            Self::Corrupt => 6,
            Self::Internal => 70,
        }
    }

    /// The kind as a metric label or a log field.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Conflict => "conflict",
            Self::Transient => "transient",
            Self::Fenced => "fenced",
            Self::Corrupt => "corrupt",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error that knows its kind.
pub trait Classified {
    /// The kind of this error.
    fn kind(&self) -> ErrorKind;
}

/// The error with every cause behind it, `: ` between them, a cause that its parent already quotes left out.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
