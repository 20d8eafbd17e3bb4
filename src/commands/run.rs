//! `weir run`: a job file as a job.

use std::sync::Arc;

use weir_fs::FileSystems;
use weir_runtime::JobOptions;
use weir_sql::plan::JobPlan;
use weir_sql::{Mode, StatementResult};

use super::job::{self, Running};
use super::targets::TargetCheck;
use crate::cli::{Global, ResultFormat, Run};
use crate::failure::Failure;

/// Runs a job file.
pub(crate) async fn run(global: &Global, arguments: &Run) -> Result<(), Failure> {
    let text = super::read(&arguments.file)?;
    // Before anything is made: if the port is taken, nothing is left behind.
    let http = job::bind(arguments.http).await?;
    let file_systems = FileSystems::default();
    let check = Arc::new(TargetCheck { file_systems: file_systems.clone() });
    let budget = super::budget(global);
    let mut session = super::session(global, &budget, file_systems, Some(arguments.file.clone()), Some(check))?;
    super::pin(&mut session, &arguments.period)?;
    let outcome = super::run_text(&mut session, &text, Mode::Run).await?;
    let Some(plan) = outcome.job else {
        if outcome.results.is_empty() {
            return Err(Failure::usage(format!("'{}' has no INSERT statement, so there is nothing to run", arguments.file.display())));
        }
        super::sql::show(outcome.results, ResultFormat::Table, &budget).await?;
        tracing::warn!("the file has no INSERT statement: its other statements were carried out, and no job runs");
        return Ok(());
    };
    let created = plan.created.clone();
    let mut options = JobOptions { allow_shared_source: arguments.confirm_shared_source, ..JobOptions::default() };
    options.stop_timeout = arguments.stop_timeout.unwrap_or(options.stop_timeout);
    let running = Running { file_systems: session.file_systems().clone(), budget, options, http };
    job::or_take_back(created, Box::pin(job_of_file(plan, outcome.results, running))).await
}

/// Runs the job of a file, after what its other statements have to tell.
async fn job_of_file(plan: JobPlan, results: Vec<StatementResult>, running: Running) -> Result<(), Failure> {
    running.file_systems.check_aliases().map_err(|problems| Failure::usage(problems.to_string()))?;
    super::sql::show(results, ResultFormat::Table, &running.budget).await?;
    let settings = &plan.settings;
    if settings.name_defaulted {
        tracing::warn!(name = settings.name, "the job's name is taken from its file; SET 'pipeline.name' so that it survives a renamed file");
    }
    if settings.checkpoint_dir_defaulted {
        tracing::warn!(dir = settings.checkpoint_dir, "checkpoints go beside the job file; a deployment should SET 'execution.checkpointing.dir'");
    }
    job::run(plan, running).await
}
