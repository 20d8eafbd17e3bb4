//! Procedures of lake catalogs, called with `CALL catalog.system.procedure(…)`: their names and arguments are those that Iceberg has in Spark.
//!
//! A call is checked here and carried out by the command line: [`ProcedureCall`] says what is to be done to which table. [`declared`] has the
//! names, types and defaults of all arguments, [`bind`] brings what was written to them.

mod bind;
mod declared;
mod options;

use std::fmt;
use std::sync::Arc;

use weir_base::options::{Problem, closest};
use weir_catalog::{LakeCatalog, TableId};
use weir_fs::FileSystems;

use crate::error::{NOT_FOUND, SqlError};
use crate::parse::ast::Call;
use crate::plan::JobSettings;
use crate::session::Session;
use crate::session::objects::DEFAULT_CATALOG;
use bind::Arguments;

pub use crate::planner::Predicates;
pub(crate) use declared::PROCEDURES;
pub use options::RewriteDataFiles;

/// The name space of procedures in a catalog.
const SYSTEM: &str = "system";

/// What a CALL is to do.
#[derive(Debug, Clone)]
pub struct ProcedureCall {
    /// `catalog.system.procedure`, for messages.
    pub name: String,
    /// The catalog of the table.
    pub catalog: Arc<dyn LakeCatalog>,
    /// The table; not looked up.
    pub table: TableId,
    /// What is done.
    pub procedure: Procedure,
    /// Settings of the session: where the checkpoints of its job are.
    pub settings: JobSettings,
    /// File systems of the session.
    pub file_systems: FileSystems,
    /// What predicates over rows of the table are read with.
    pub predicates: Predicates,
    /// Only look: EXPLAIN CALL.
    pub only_shown: bool,
}

/// A procedure with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Procedure {
    /// `rewrite_data_files`.
    RewriteDataFiles(RewriteDataFiles),
    /// `expire_snapshots`.
    ExpireSnapshots(ExpireSnapshots),
    /// `remove_orphan_files`.
    RemoveOrphanFiles(RemoveOrphanFiles),
    /// `rewrite_manifests`.
    RewriteManifests,
    /// `rollback_to_snapshot`.
    RollbackToSnapshot(i64),
    /// `rollback_to_timestamp`, in milliseconds since 1970.
    RollbackToTimestamp(i64),
    /// `set_current_snapshot`.
    SetCurrentSnapshot(SnapshotName),
    /// `cherrypick_snapshot`.
    CherrypickSnapshot(i64),
}

/// A snapshot by its id, or by a branch or tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotName {
    /// Id.
    Id(i64),
    /// Branch or tag.
    Reference(String),
}

/// Arguments of `expire_snapshots`; what is not given is as the table's properties say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExpireSnapshots {
    /// Only snapshots from before this time, in milliseconds since 1970.
    pub older_than: Option<i64>,
    /// Of each branch so many stay at least.
    pub retain_last: Option<usize>,
    /// Exactly these.
    pub snapshot_ids: Vec<i64>,
}

/// Arguments of `remove_orphan_files`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoveOrphanFiles {
    /// Only files from before this time, in milliseconds since 1970.
    pub older_than: Option<i64>,
    /// Only this folder.
    pub location: Option<String>,
    /// Delete nothing.
    pub dry_run: bool,
    /// Schemes that stand for others.
    pub equal_schemes: Vec<(String, String)>,
    /// Authorities that stand for others.
    pub equal_authorities: Vec<(String, String)>,
    /// `ERROR`, `IGNORE` or `DELETE`.
    pub prefix_mismatch_mode: Option<String>,
}

impl fmt::Display for ProcedureCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CALL {} on table '{}.{}': {:?}", self.name, self.catalog.name(), self.table, self.procedure)
    }
}

impl Session {
    /// Checks a CALL; gives warnings.
    pub(crate) fn call(&self, call: &Call, only_shown: bool, warnings: &mut Vec<Problem>) -> Result<ProcedureCall, SqlError> {
        let at = call.name.position;
        let (catalog, procedure) = self.procedure_name(call)?;
        let name = format!("{catalog}.{SYSTEM}.{procedure}");
        let Some(declared) = PROCEDURES.iter().find(|declared| declared.name.eq_ignore_ascii_case(&procedure)) else {
            let near = closest(&procedure, PROCEDURES.iter().map(|declared| declared.name)).first().map(|near| format!("Did you mean '{near}'?"));
            let names: Vec<&str> = PROCEDURES.iter().map(|declared| declared.name).collect();
            let problem = Problem::new(NOT_FOUND, format!("Procedure '{name}'"), "it does not exist.").suggest(near);
            return Err(problem.hint(format!("Procedures are {}.", names.join(", "))).at(Some(at)).into());
        };
        let mut arguments = Arguments::bind(&format!("Procedure '{name}'"), declared, &call.arguments, warnings)?;
        let lake = if catalog == DEFAULT_CATALOG { None } else { self.parts.objects.lake(&catalog, arguments.position())? };
        let Some(lake) = lake else {
            let what = format!("the catalog '{catalog}' is no lake: it has no procedures.");
            return Err(Problem::new(NOT_FOUND, format!("Procedure '{name}'"), what)
                .hint("CALL <catalog>.system.<procedure>(…).")
                .at(Some(at))
                .into());
        };
        let (lake, table) = (Arc::clone(&lake.catalog), self.table_of_call(&catalog, &mut arguments)?);
        let procedure = procedure_of(declared.name, &mut arguments)?;
        warnings.append(&mut arguments.warnings);
        Ok(ProcedureCall {
            name,
            catalog: lake,
            table,
            procedure,
            settings: self.job_settings(),
            file_systems: self.file_systems().clone(),
            predicates: self.predicates(),
            only_shown,
        })
    }

    /// Catalog and procedure of `[catalog.]system.procedure`.
    fn procedure_name(&self, call: &Call) -> Result<(String, String), SqlError> {
        let current = || self.parts.scope.catalog.clone();
        let found = match call.name.parts.as_slice() {
            [catalog, system, procedure] if system.eq_ignore_ascii_case(SYSTEM) => Some((catalog.clone(), procedure.clone())),
            [system, procedure] if system.eq_ignore_ascii_case(SYSTEM) => Some((current(), procedure.clone())),
            [procedure] => Some((current(), procedure.clone())),
            _ => None,
        };
        found.ok_or_else(|| {
            let what = format!("'{}' is no procedure: they are in the name space 'system'.", call.name.parts.join("."));
            let hint = "CALL <catalog>.system.<procedure>(…).";
            Problem::new(NOT_FOUND, "Statement", what).hint(hint).at(Some(call.name.position)).into()
        })
    }

    /// The table of `catalog` that the argument `table` names.
    fn table_of_call(&self, catalog: &str, arguments: &mut Arguments<'_>) -> Result<TableId, SqlError> {
        let written = arguments.text("table")?.unwrap_or_default();
        let parts: Vec<&str> = written.split('.').map(|part| part.trim_matches('`')).collect();
        Ok(match parts.as_slice() {
            [table] if self.parts.scope.catalog == catalog => TableId { database: self.parts.scope.database.clone(), table: (*table).to_owned() },
            [database, table] => TableId { database: (*database).to_owned(), table: (*table).to_owned() },
            [first, database, table] if *first == catalog => TableId { database: (*database).to_owned(), table: (*table).to_owned() },
            _ => {
                let what = format!("'{written}' is no table of catalog '{catalog}'.");
                return Err(arguments.wrong("table", what, &format!("Write it as 'database.table', without the catalog '{catalog}'.")));
            }
        })
    }
}

fn procedure_of(name: &str, arguments: &mut Arguments<'_>) -> Result<Procedure, SqlError> {
    Ok(match name {
        "rewrite_data_files" => Procedure::RewriteDataFiles(RewriteDataFiles::of(arguments)?),
        "remove_orphan_files" => Procedure::RemoveOrphanFiles(RemoveOrphanFiles {
            older_than: arguments.time("older_than")?,
            location: arguments.text("location")?,
            dry_run: arguments.boolean("dry_run")?.unwrap_or(false),
            equal_schemes: arguments.map("equal_schemes")?,
            equal_authorities: arguments.map("equal_authorities")?,
            prefix_mismatch_mode: arguments.one_of("prefix_mismatch_mode", &["ERROR", "IGNORE", "DELETE"])?,
        }),
        "expire_snapshots" => Procedure::ExpireSnapshots(ExpireSnapshots {
            older_than: arguments.time("older_than")?,
            retain_last: arguments.count("retain_last")?,
            snapshot_ids: arguments.numbers("snapshot_ids")?,
        }),
        "rewrite_manifests" => Procedure::RewriteManifests,
        "rollback_to_snapshot" => Procedure::RollbackToSnapshot(arguments.needed_number("snapshot_id")?),
        "rollback_to_timestamp" => Procedure::RollbackToTimestamp(arguments.needed_time("timestamp")?),
        "cherrypick_snapshot" => Procedure::CherrypickSnapshot(arguments.needed_number("snapshot_id")?),
        "set_current_snapshot" => match (arguments.number("snapshot_id")?, arguments.text("ref")?) {
            (Some(id), None) => Procedure::SetCurrentSnapshot(SnapshotName::Id(id)),
            (None, Some(reference)) => Procedure::SetCurrentSnapshot(SnapshotName::Reference(reference)),
            _ => return Err(arguments.wrong("snapshot_id", "either 'snapshot_id' or 'ref' must be given, and not both.".to_owned(), "")),
        },
        other => return Err(SqlError::Internal(format!("procedure '{other}' is declared and not known"))),
    })
}
