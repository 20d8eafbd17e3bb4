//! `weir explain`: what would run, without running it.

use weir_fs::FileSystems;
use weir_sql::Mode;

use super::results::print_results;
use crate::cli::{Explain, ResultFormat};
use crate::failure::Failure;

/// Checks a job file and prints its plan.
pub(crate) async fn run(arguments: &Explain) -> Result<(), Failure> {
    let text = super::read(&arguments.file)?;
    let mut session = super::session(FileSystems::default(), Some(arguments.file.clone()), None);
    let outcome = super::run_text(&mut session, &text, Mode::Explain).await?;
    print_results(outcome.results, ResultFormat::Table)
}
