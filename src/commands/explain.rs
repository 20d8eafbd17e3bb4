//! `weir explain`: what would run, without running it.

use weir_fs::FileSystems;
use weir_sql::{Mode, StatementResult};

use super::results::print_results;
use crate::cli::{Explain, Global, ResultFormat};
use crate::failure::Failure;

/// Checks a job file and prints its plan.
pub(crate) async fn run(global: &Global, arguments: &Explain) -> Result<(), Failure> {
    let text = super::read(&arguments.file)?;
    let mut session = super::session(global, &super::budget(global), FileSystems::default(), Some(arguments.file.clone()), None)?;
    super::pin(&mut session, &arguments.period)?;
    let mut outcome = super::run_text(&mut session, &text, Mode::Explain).await?;
    // That a table was declared in a session which ends here is no news.
    outcome.results.retain(|result| !matches!(result, StatementResult::Message(_)));
    print_results(outcome.results, ResultFormat::Table)
}
