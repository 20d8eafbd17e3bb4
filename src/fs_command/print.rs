//! Lines and tables on standard output, notes on standard error.

use std::io::{BufWriter, ErrorKind, Stdout, Write};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use indicatif::HumanBytes;
use weir_fs::{Kind, Status};

use crate::failure::Failure;
use crate::status_line::LogWriter;

/// Prints results. A reader that has gone away ends the command without a word.
pub(crate) struct Printer {
    out: BufWriter<Stdout>,
}

impl Default for Printer {
    fn default() -> Self {
        Self { out: BufWriter::with_capacity(64 * 1024, std::io::stdout()) }
    }
}

fn written(result: std::io::Result<()>) -> Result<(), Failure> {
    result.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::silent(0),
        _ => Failure::internal(format!("standard output: {error}")),
    })
}

impl Printer {
    /// Prints a line.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        written(writeln!(self.out, "{text}"))
    }

    /// Prints bytes as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        written(self.out.write_all(bytes))
    }

    /// Prints rows in columns; a column in which nothing stands is left out. The last one may be as long as it likes.
    pub(crate) fn table<const N: usize>(&mut self, right: [bool; N], rows: &[[String; N]]) -> Result<(), Failure> {
        let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..N).map(width).collect();
        for row in rows {
            let mut cells = Vec::new();
            for (at, ((cell, width), right)) in row.iter().zip(&widths).zip(right).enumerate() {
                match (*width, right) {
                    (0, _) => {}
                    (_, _) if at + 1 == N => cells.push(cell.clone()),
                    (width, true) => cells.push(format!("{cell:>width$}")),
                    (width, false) => cells.push(format!("{cell:<width$}")),
                }
            }
            self.line(&cells.join("  "))?;
        }
        Ok(())
    }

    /// Writes what was printed so far.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        written(self.out.flush())
    }

    /// Prints a line on standard error, beside the progress line if there is one.
    pub(super) fn note(&mut self, message: &str) -> Result<(), Failure> {
        // What was printed before shall stand before.
        self.flush()?;
        let message = format!("{message}\n");
        LogWriter.write_all(message.as_bytes()).map_err(|error| Failure::internal(format!("standard error: {error}")))
    }
}

/// A name with its control characters made visible: no name may command a terminal.
pub(crate) fn shown(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// A number of bytes.
pub(crate) fn size(bytes: u64, human: bool) -> String {
    if human { HumanBytes(bytes).to_string() } else { bytes.to_string() }
}

/// A time, in UTC.
pub(crate) fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Seconds with one decimal.
pub(super) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// What something is, in a word.
pub(super) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Folder => "folder",
        Kind::Other => "other",
    }
}

/// Kind and permissions, as `ls` shows them.
pub(super) fn mode(found: &Status) -> String {
    let kind = match found.kind {
        Kind::File => '-',
        Kind::Folder => 'd',
        Kind::Other => '?',
    };
    let bits = found.access.as_ref().map(|access| access.permission);
    let letters = bits.map(|bits| (0..9).map(|at| if bits >> (8 - at) & 1 == 1 { ['r', 'w', 'x'][at % 3] } else { '-' }).collect::<String>());
    format!("{kind}{}", letters.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use object_store::path::Path;
    use weir_fs::Access;

    use super::*;

    #[test]
    fn modes_look_as_they_do_in_ls() {
        let mut found = Status::folder(Path::from("x"));
        assert_eq!(mode(&found), "d");
        found.access = Some(Access { owner: "o".to_owned(), group: "g".to_owned(), permission: 0o1754 });
        assert_eq!(mode(&found), "drwxr-xr--");
    }

    #[test]
    fn a_name_cannot_command_a_terminal() {
        assert_eq!(shown("a\u{1b}[2Jb\nc ä%"), "a\\u{1b}[2Jb\\nc ä%");
    }
}
