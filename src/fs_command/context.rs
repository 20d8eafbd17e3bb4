//! What the commands share: file systems, places, printing, and how a command ends.

use weir_base::{Classified, ErrorKind, error::chain};
use weir_fs::transfer::{Place, Source};
use weir_fs::{FileSystems, FsError, Status};

use super::cli::Shared;
use super::print::Printer;
use crate::cli::Global;
use crate::failure::Failure;

/// The exit code of a command that failed somewhere, or of a test that says no.
const FAILED: u8 = 1;

/// What a command works with.
pub(super) struct Context {
    file_systems: FileSystems,
    pub(super) json: bool,
    pub(super) printer: Printer,
    failures: u64,
}

impl Context {
    /// The context that `--config`, `--init` and `--set` ask for.
    pub(super) async fn open(global: &Global, shared: &Shared) -> Result<Self, Failure> {
        let file_systems = crate::commands::file_systems(global, &shared.init, &shared.settings).await?;
        Ok(Self { file_systems, json: shared.json, printer: Printer::default(), failures: 0 })
    }

    pub(super) fn file_systems(&self) -> &FileSystems {
        &self.file_systems
    }

    /// The place that `text` names.
    pub(super) fn place(&self, text: &str) -> Result<Place, Failure> {
        self.file_systems.place(text).map_err(|error| Failure::usage(chain(&error)))
    }

    /// The place that `text` names, and what is there; none, after a report, if nothing is or it cannot be told.
    pub(super) async fn found(&mut self, text: &str) -> Result<Option<Source>, Failure> {
        let place = self.place(text)?;
        match self.look(&place).await? {
            Some(found) => Ok(Some(Source { place, found })),
            None => Ok(None),
        }
    }

    /// What is at `place`; none, after a report, if nothing is or it cannot be told.
    async fn look(&mut self, place: &Place) -> Result<Option<Status>, Failure> {
        match place.stat().await {
            Ok(Some(found)) => Ok(Some(found)),
            Ok(None) => {
                self.complain(&format!("`{}`: there is no file or folder of this name", place.uri()))?;
                Ok(None)
            }
            Err(error) => {
                self.report(place.uri(), &error)?;
                Ok(None)
            }
        }
    }

    /// Reports what went wrong at `uri`, with a remedy where one is known.
    pub(super) fn report(&mut self, uri: &str, error: &FsError) -> Result<(), Failure> {
        let hint = match error.kind() {
            ErrorKind::Transient => format!("\n  Hint: `weir fs doctor {uri}` looks for the reason."),
            _ => String::new(),
        };
        self.complain(&format!("{}{hint}", chain(error)))
    }

    /// Reports that something failed.
    pub(super) fn complain(&mut self, message: &str) -> Result<(), Failure> {
        self.failures += 1;
        self.printer.note(message)
    }

    /// Ends the command.
    pub(super) fn end(mut self) -> Result<(), Failure> {
        self.printer.flush()?;
        if self.failures == 0 { Ok(()) } else { Err(Failure::silent(FAILED)) }
    }

    /// Ends the command with an answer.
    pub(super) fn answer(&mut self, yes: bool) -> Result<(), Failure> {
        self.printer.flush()?;
        if yes { Ok(()) } else { Err(Failure::silent(FAILED)) }
    }
}
