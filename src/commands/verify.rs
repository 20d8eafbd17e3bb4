//! `weir verify`: proof from a table's metadata.

use weir_catalog::TableId;
use weir_fs::FileSystems;

use crate::cli::Verify;
use crate::failure::Failure;
use crate::output::line;

/// Verifies a table; a broken promise ends with the exit code of wrong data.
pub(crate) async fn run(arguments: &Verify) -> Result<(), Failure> {
    let mut session = super::session(FileSystems::default(), None, None);
    super::init(&mut session, &arguments.init).await?;
    let path = session.table_path(&arguments.table);
    let Some(catalog) = session.catalog(&path.catalog) else {
        let hint = "Give the file with its CREATE CATALOG statement: weir verify --init job.sql catalog.database.table";
        return Err(Failure::usage(format!("Catalog '{}' is not known.\n  Hint: {hint}", path.catalog)));
    };
    let id = TableId { database: path.database.clone(), table: path.table.clone() };
    let report = weir_catalog::verify::verify(catalog, &id).await.map_err(|error| Failure::of(&error))?;
    line(&report.to_string())?;
    if report.passed() {
        return Ok(());
    }
    Err(Failure { message: format!("table '{path}' does not hold what its commits promise"), exit_code: weir_base::ErrorKind::Corrupt.exit_code() })
}
