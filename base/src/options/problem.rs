//! Problems in what a user wrote, in the shape of the error contract.

use std::fmt;

use crate::error::{Classified, ErrorKind};

/// A place in the SQL text; both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line.
    pub line: u64,
    /// Column, in characters.
    pub column: u64,
}

/// One thing that is wrong, or worth a warning. Small enough to be an error by itself, so texts that never grow are boxed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The code, such as `OPT-001`.
    pub code: &'static str,
    /// True if the statement may go on.
    pub warning: bool,
    /// What the problem is about: `Table 'c.d.t'`, `Alias 'a'`, `SET`.
    pub object: Box<str>,
    /// What is wrong; one sentence with its full stop.
    pub what: String,
    /// A `Did you mean …?` line.
    pub suggestion: Option<Box<str>>,
    /// A remedy.
    pub hint: Option<Box<str>>,
    /// Where it stands in the SQL text.
    pub position: Option<Position>,
}

impl Problem {
    /// An error about `object`.
    #[must_use]
    pub fn new(code: &'static str, object: impl Into<String>, what: impl Into<String>) -> Self {
        Self { code, warning: false, object: object.into().into_boxed_str(), what: what.into(), suggestion: None, hint: None, position: None }
    }

    /// A warning about `object`.
    #[must_use]
    pub fn warning(code: &'static str, object: impl Into<String>, what: impl Into<String>) -> Self {
        Self { warning: true, ..Self::new(code, object, what) }
    }

    /// With a `Did you mean` line.
    #[must_use]
    pub fn suggest(mut self, suggestion: Option<String>) -> Self {
        self.suggestion = suggestion.map(String::into_boxed_str);
        self
    }

    /// With a remedy.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into().into_boxed_str());
        self
    }

    /// At a place.
    #[must_use]
    pub fn at(mut self, position: Option<Position>) -> Self {
        self.position = position.or(self.position);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] ", self.code)?;
        if self.warning {
            f.write_str("warning: ")?;
        }
        write!(f, "{}: {}", self.object, self.what)?;
        if let Some(suggestion) = &self.suggestion {
            write!(f, "\n  {suggestion}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  Hint: {hint}")?;
        }
        if let Some(position) = self.position {
            write!(f, "\n  at line {}, column {}", position.line, position.column)?;
        }
        Ok(())
    }
}

/// All errors of a statement, sorted by position.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The problems, sorted by position; those without one come last.
    #[must_use]
    pub fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| (problem.position.is_none(), problem.position));
        Self(problems)
    }

    /// The problems in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }

    /// Both lists as one.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        Self::new(self.0)
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl Classified for Problems {
    fn kind(&self) -> ErrorKind {
        ErrorKind::User
    }
}
