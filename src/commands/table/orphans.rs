//! `weir table remove-orphans`: files that nothing refers to, found by listing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use clap::{Args, ValueEnum};
use weir_catalog::commit::marked_jobs;
use weir_catalog::upkeep::orphans::{Equal, LEAST_AGE, OrphanRules, Orphans, PrefixMismatch, Progress, remove_orphans};
use weir_catalog::{LakeCatalog, LakeTable, TableId};
use weir_fs::FileSystems;
use weir_runtime::checkpointed_files;
use weir_sql::plan::JobSettings;

use super::{Named, age};
use crate::cli::Global;
use crate::commands::sql::STATEMENT_JOB;
use crate::failure::Failure;
use crate::fs_command::print::{Printer, shown, size};
use crate::status_line;

pub(super) const ABOUT: &str = "Find and delete files in the table's folders that nothing refers to: no snapshot, branch or tag, no metadata log, no statistics, \
                                no unfinished work of Weir, and no checkpoint of a job that writes to the table. Weir's jobs and commands \
                                need it not: what they leave behind is deleted by name. It is for what other engines, or a lost \
                                folder of checkpoints, have left. Files of other tables in the same folders are left alone.";

pub(super) const EXAMPLES: &str = "\
Examples:
  weir table remove-orphans --init job.sql lake.db.t --dry-run
  weir table remove-orphans --init job.sql lake.db.t --older-than 7d --checkpoints s3://lake/checkpoints";

/// The age of an orphan unless it is given.
pub(crate) const AGE: Duration = Duration::from_secs(3 * 24 * 3_600);
/// Files that are deleted in one request.
pub(crate) const BATCH: usize = 1_000;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    which: Named,
    /// Only files that were last changed before so long
    #[arg(long, value_name = "AGE", default_value = "3d", value_parser = age)]
    older_than: Duration,
    /// Accept an age of less than 24 hours: nothing may be writing to the table then
    #[arg(long)]
    allow_young: bool,
    /// Look only in this folder of the table
    #[arg(long, value_name = "URI")]
    location: Option<String>,
    /// A folder of checkpoints (`execution.checkpointing.dir`) of jobs that write to the table; may be given several times [default: that of the --init file]
    #[arg(long, value_name = "URI")]
    checkpoints: Vec<String>,
    /// A job that has written to the table and will never run again, so that its checkpoints do not matter; may be given several times
    #[arg(long, value_name = "JOB")]
    gone_job: Vec<String>,
    /// Schemes that stand for others, such as `s3a=s3`; an alias and what it is bound to are known to be one
    #[arg(long, value_name = "A=B,…", value_parser = Equal::parse)]
    equal_schemes: Option<std::collections::BTreeMap<String, String>>,
    /// Authorities that stand for others, such as `ns1-old=ns1`
    #[arg(long, value_name = "A=B,…", value_parser = Equal::parse)]
    equal_authorities: Option<std::collections::BTreeMap<String, String>>,
    /// What is done about a file that only scheme or authority tell from one that is needed
    #[arg(long, value_enum, default_value_t = Mismatch::Error)]
    prefix_mismatch: Mismatch,
    /// Files that are deleted in one request, where the store can
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Print the files, and delete none
    #[arg(long)]
    dry_run: bool,
}

/// The modes of Iceberg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mismatch {
    /// Delete nothing, and say so.
    Error,
    /// Leave such files.
    Ignore,
    /// Delete them.
    Delete,
}

/// Removes orphans, or prints them.
pub(super) async fn run(global: &Global, arguments: &Arguments) -> Result<(), Failure> {
    let (session, catalog, id) = arguments.which.find(global).await?;
    let table = super::super::load(&catalog, &id).await?;
    let older_than = cut_off(arguments.older_than, arguments.allow_young, By::Command)?;
    let (checkpoints, gone) = (&arguments.checkpoints, &arguments.gone_job);
    let jobs = Jobs { settings: &session.job_settings(), checkpoints, gone, by: By::Command };
    let name = format!("{}.{id}", catalog.name());
    let needed = jobs.files(&name, &table, session.file_systems()).await?;
    let mut equal = Equal::default();
    equal.schemes.extend(arguments.equal_schemes.clone().unwrap_or_default());
    equal.authorities.extend(arguments.equal_authorities.clone().unwrap_or_default());
    let rules = OrphanRules {
        older_than,
        location: arguments.location.clone(),
        equal,
        prefix_mismatch: match arguments.prefix_mismatch {
            Mismatch::Error => PrefixMismatch::Error,
            Mismatch::Ignore => PrefixMismatch::Ignore,
            Mismatch::Delete => PrefixMismatch::Delete,
        },
        needed,
        batch: usize::try_from(arguments.batch).unwrap_or(1),
        dry_run: arguments.dry_run,
    };
    status_line::show();
    let lines = Lines::default();
    let done = Box::pin(remove_orphans(&catalog, &id, &rules, &lines)).await;
    status_line::clear();
    let Printed { mut printer, failed, .. } = lines.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.map_or(Ok(()), Err)?;
    let done = done.map_err(|error| Failure::of(&error))?;
    printer.line(&told(&done, arguments.dry_run))?;
    printer.flush()?;
    done.failure().map_or(Ok(()), |error| Err(Failure::of(&error)))
}

/// How orphans are removed: what is suggested must be something that can be said there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// `weir table remove-orphans`.
    Command,
    /// CALL.
    Call,
}

impl By {
    fn way_for_young(self) -> &'static str {
        match self {
            Self::Command => "Say --allow-young if nothing is writing to the table.",
            Self::Call => {
                "Name an earlier 'older_than'; if nothing is writing to the table, the command 'weir table remove-orphans' takes --allow-young."
            }
        }
    }

    fn way_to_checkpoints(self, job: &str) -> String {
        match self {
            Self::Command => format!("Name their folder with --checkpoints URI, or say --gone-job {job} if the job will never run again."),
            Self::Call => format!(
                "SET 'execution.checkpointing.dir' to their folder; if the job will never run again, use the command 'weir table remove-orphans' with \
                 --gone-job {job}."
            ),
        }
    }
}

/// The time before which a file must have been changed last.
pub(crate) fn cut_off(age: Duration, allow_young: bool, by: By) -> Result<chrono::DateTime<Utc>, Failure> {
    let age = TimeDelta::from_std(age).map_err(|_too_long| Failure::usage("the age is longer than time"))?;
    if age < LEAST_AGE && !allow_young {
        return Err(Failure::usage(format!(
            "An age of less than 24 hours is refused: a file that a slow writer has just made looks like an orphan until it is committed.\n  \
             Hint: {}",
            by.way_for_young()
        )));
    }
    Ok(Utc::now() - age)
}

/// What is known of the jobs that write to a table.
pub(crate) struct Jobs<'a> {
    pub(crate) settings: &'a JobSettings,
    pub(crate) checkpoints: &'a [String],
    pub(crate) gone: &'a [String],
    pub(crate) by: By,
}

impl Jobs<'_> {
    /// Files that the checkpoints of the table's jobs name.
    ///
    /// # Errors
    /// A job without checkpoints: what it has written and not committed could not be told from orphans.
    pub(crate) async fn files(&self, name: &str, table: &LakeTable, file_systems: &FileSystems) -> Result<Vec<String>, Failure> {
        let file_systems = file_systems.with_properties(&self.settings.properties);
        let folders: Vec<&String> = self.checkpoints.iter().chain([&self.settings.checkpoint_dir]).collect();
        let mut needed = Vec::new();
        let known = marked_jobs(table).into_keys().filter(|job| job != STATEMENT_JOB && !self.gone.contains(job));
        for job in known {
            let mut is_known = false;
            for folder in &folders {
                let files = checkpointed_files(&file_systems, folder, &job, self.settings.timeout).await.map_err(|error| Failure::of(&error))?;
                is_known |= files.is_some();
                needed.extend(files.into_iter().flatten());
            }
            if !is_known {
                let folders: Vec<String> = folders.iter().map(|folder| format!("'{folder}'")).collect();
                return Err(Failure::user(format!(
                    "Table '{name}' has commits of job '{job}', whose checkpoints are not in {}: files that the job has written and not committed would look \
                     like orphans.\n  Hint: {}",
                    folders.join(" or "),
                    self.by.way_to_checkpoints(&job)
                )));
            }
        }
        Ok(needed)
    }
}

/// Removes orphans, or only looks, and gives their names.
pub(crate) async fn gather(catalog: &Arc<dyn LakeCatalog>, id: &TableId, rules: &OrphanRules) -> Result<Vec<String>, Failure> {
    let names = Names::default();
    let done = Box::pin(remove_orphans(catalog, id, rules, &names)).await.map_err(|error| Failure::of(&error))?;
    if !done.tables.is_empty() {
        tracing::warn!("other tables in the same folders were left alone: {}", done.tables.join(", "));
    }
    if done.unnamed > 0 {
        tracing::warn!("{} more files are orphans and are not named", done.unnamed);
    }
    match done.failure() {
        Some(error) => Err(Failure::of(&error)),
        None => Ok(names.0.into_inner().unwrap_or_else(PoisonError::into_inner)),
    }
}

fn told(done: &Orphans, dry_run: bool) -> String {
    let Orphans { listed, referred, young, orphans, bytes, unnamed, tables, .. } = done;
    let what = if dry_run { "would be deleted" } else { "deleted" };
    let mut told = format!("{orphans} files of {} {what}; {listed} files listed, {referred} referred to, {young} too young", size(*bytes, true));
    if *unnamed > 0 {
        told.push_str(&format!("; {unnamed} more are not named"));
    }
    if !tables.is_empty() {
        told.push_str(&format!("\nother tables in the same folders were left alone: {}", tables.join(", ")));
    }
    told
}

/// Prints orphans as they come; before the first one, shows steps in the status line.
#[derive(Default)]
struct Lines(Mutex<Printed>);

#[derive(Default)]
struct Printed {
    printer: Printer,
    begun: bool,
    failed: Option<Failure>,
}

impl Progress for Lines {
    fn tables(&self, done: usize, all: usize) {
        status_line::set(format!("other tables of the catalog looked at: {done} of {all}"));
    }

    fn manifests(&self, done: usize, all: usize) {
        status_line::set(format!("manifests read: {done} of {all}"));
    }

    fn listed(&self, files: u64) {
        status_line::set(format!("files listed: {files}"));
    }

    fn orphan(&self, uri: &str, bytes: u64) {
        let mut printed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !printed.begun {
            printed.begun = true;
            status_line::clear();
        }
        if printed.failed.is_none() {
            let line = format!("{}  {}", shown(uri), size(bytes, true));
            printed.failed = printed.printer.line(&line).err();
        }
    }
}

/// Keeps names.
#[derive(Default)]
struct Names(Mutex<Vec<String>>);

impl Progress for Names {
    fn tables(&self, _: usize, _: usize) {}

    fn manifests(&self, _: usize, _: usize) {}

    fn listed(&self, files: u64) {
        status_line::set(format!("files listed: {files}"));
    }

    fn orphan(&self, uri: &str, _: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(uri.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_suggested_to_a_call_is_no_flag_of_a_procedure() {
        for by in [By::Command, By::Call] {
            let refused = cut_off(Duration::from_secs(60), false, by).expect_err("too young").message;
            for told in [refused, by.way_to_checkpoints("j")] {
                assert_eq!(told.contains("weir table remove-orphans"), by == By::Call, "{told}");
            }
        }
        assert!(By::Call.way_to_checkpoints("j").contains("SET 'execution.checkpointing.dir'"));
    }
}
