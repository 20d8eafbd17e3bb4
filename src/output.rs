//! Results on standard output.

use std::io::Write;

use crate::failure::Failure;

/// Prints a line. A reader that has gone away ends the command quietly.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| Failure::internal(format!("standard output: {error}")))
}
