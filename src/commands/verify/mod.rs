//! `weir verify`: proof from a table's metadata and, if asked, from its files and rows.

mod sums;

use std::sync::Arc;

use weir_catalog::verify::{Depth, Progress, Step};
use weir_catalog::{LakeCatalog, TableId};
use weir_fs::FileSystems;

use crate::cli::{Global, Verify};
use crate::failure::Failure;
use crate::output::line;
use crate::status_line;

/// Verifies a table; a broken promise ends with the exit code of wrong data.
pub(crate) async fn run(global: &Global, arguments: &Verify) -> Result<(), Failure> {
    let mut session = super::session(global, &super::budget(global), FileSystems::default(), None, None)?;
    super::init(&mut session, &arguments.init).await?;
    let (catalog, id) = super::lake_table(&session, &arguments.table, &arguments.init).await?;
    super::load(&catalog, &id).await?;
    status_line::show();
    let looked = look(&catalog, &id, arguments).await;
    status_line::clear();
    let (report, sums) = looked?;
    line(&report.to_string())?;
    let mut wrong = !report.passed();
    if let Some(sums) = sums {
        line(&sums.text)?;
        wrong |= sums.differ;
    }
    if !wrong {
        return Ok(());
    }
    Err(Failure {
        message: format!("table '{}.{id}' does not hold what its commits promise", catalog.name()),
        exit_code: weir_base::ErrorKind::Corrupt.exit_code(),
    })
}

async fn look(
    catalog: &Arc<dyn LakeCatalog>,
    id: &TableId,
    arguments: &Verify,
) -> Result<(weir_catalog::verify::VerifyReport, Option<sums::Told>), Failure> {
    let depth = match (arguments.metadata_only, arguments.deep) {
        (true, _) => Depth::Metadata,
        (_, true) => Depth::Content,
        // Whoever asks for a proof wants to know of a file that somebody has deleted.
        _ => Depth::Files,
    };
    // What is wrong with the columns is told before the long work.
    let sums = sums::Wanted::of(catalog, id, arguments).await?;
    let report = weir_catalog::verify::verify(catalog, id, depth, &Line).await.map_err(|error| Failure::of(&error))?;
    match sums {
        Some(wanted) => Ok((report, Some(wanted.read().await?))),
        None => Ok((report, None)),
    }
}

/// Shows steps in the status line.
struct Line;

impl Progress for Line {
    fn at(&self, step: Step, done: usize, all: usize) {
        let what = match step {
            Step::Manifests => "manifests read",
            Step::Sizes => "files asked for",
            Step::Rewrites => "rewrites looked at",
            Step::Footers => "footers read",
        };
        status_line::set(format!("{what}: {done} of {all}"));
    }
}
