//! `weir verify`: proof from a table's metadata.

use weir_fs::FileSystems;

use crate::cli::{Global, Verify};
use crate::failure::Failure;
use crate::output::line;

/// Verifies a table; a broken promise ends with the exit code of wrong data.
pub(crate) async fn run(global: &Global, arguments: &Verify) -> Result<(), Failure> {
    let mut session = super::session(global, &super::budget(global), FileSystems::default(), None, None)?;
    super::init(&mut session, &arguments.init).await?;
    let (catalog, id) = session.lake_table(&arguments.table).map_err(|error| {
        let failure = super::sql_failure(&error);
        if arguments.init.is_empty() {
            let hint = "Give the file that names its catalog: weir verify --init job.sql catalog.database.table";
            return Failure::usage(format!("{}\n  Hint: {hint}", failure.message));
        }
        failure
    })?;
    let report = weir_catalog::verify::verify(&catalog, &id).await.map_err(|error| Failure::of(&error))?;
    line(&report.to_string())?;
    if report.passed() {
        return Ok(());
    }
    Err(Failure {
        message: format!("table '{}.{id}' does not hold what its commits promise", catalog.name()),
        exit_code: weir_base::ErrorKind::Corrupt.exit_code(),
    })
}
