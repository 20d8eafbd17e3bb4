//! Files in a table's folders that nothing refers to, found by listing. Only ever by an explicit command: what jobs leave behind themselves is
//! settled by name, from what they have written down.
//!
//! A file is an orphan if it is old enough, no snapshot, branch, tag, metadata log, statistics or entry of the table's journal refers to it, its name does not begin
//! with `_` or `.`, and it lies in no folder of another table. [`paths`] says which names are the same file, [`known`] what is referred to, [`others`]
//! where other tables are. Deletion comes after the whole listing, in groups, and what was committed meanwhile is looked at before it.
//! Memory holds some twenty bytes for each file that the table refers to, and the names of [`ROUND`] orphans.

mod begun;
mod known;
mod others;
mod paths;

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt;
use object_store::ObjectStore;
use object_store::path::Path as ObjectPath;
use weir_base::{ErrorKind, failpoint};
use weir_fs::transfer::walk;
use weir_fs::{FileSystems, Kind, Status, is_not_found};

use crate::error::{CatalogError, file_system_error};
use crate::lake::{LakeCatalog, LakeTable, TableId};
use crate::metadata_file::file_name;
use crate::properties::value_or;
use begun::Begun;
use known::{Known, Standing};
use others::{find, folders_of, metadata_folders, table_of};
use paths::Spot;

pub use paths::Equal;

/// The least age of an orphan, unless it is waived: a writer that is slow, or a commit that waits for a server, may still come.
pub const LEAST_AGE: TimeDelta = TimeDelta::hours(24);

/// Orphans of one listing that are held in memory; if there are more, the folders are listed again.
const ROUND: usize = 200_000;

/// Folders listed at the same time.
const LISTINGS_AT_ONCE: usize = 16;

/// What to do about a file of the same path as one that the table refers to, under another scheme or authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrefixMismatch {
    /// Refuse to delete anything.
    Error,
    /// Leave the file.
    Ignore,
    /// Take it for another file, and delete it.
    Delete,
}

/// What is an orphan, and what is done.
#[derive(Debug, Clone)]
pub struct OrphanRules {
    /// Only files that were last changed before this time.
    pub older_than: DateTime<Utc>,
    /// The folder to look in, one of the table's or below; `None`: all of them.
    pub location: Option<String>,
    /// Names that stand for others.
    pub equal: Equal,
    /// Files that only the prefix tells from one that is needed.
    pub prefix_mismatch: PrefixMismatch,
    /// Files that are needed beside those that the table refers to: those in checkpoints of jobs.
    pub needed: Vec<String>,
    /// Files deleted in one request, where the store can.
    pub batch: usize,
    /// Delete nothing.
    pub dry_run: bool,
}

/// Is told how far the work is; called from several tasks.
pub trait Progress: Send + Sync {
    /// Tables of the catalog that were looked at.
    fn tables(&self, done: usize, all: usize);
    /// Manifests that were read.
    fn manifests(&self, done: usize, all: usize);
    /// Files that were listed so far.
    fn listed(&self, files: u64);
    /// An orphan, which was deleted or, in a dry run, would be.
    fn orphan(&self, uri: &str, bytes: u64);
}

/// What was found and done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Orphans {
    /// Files that were listed.
    pub listed: u64,
    /// Files that the table refers to.
    pub referred: u64,
    /// Files that nothing refers to, but that are too young.
    pub young: u64,
    /// Orphans.
    pub orphans: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Orphans that could not be deleted.
    pub failed: u64,
    /// Why the first of those could not.
    pub why: Option<String>,
    /// Orphans that a dry run has counted and not named.
    pub unnamed: u64,
    /// Other tables in the folders, which were left alone.
    pub tables: Vec<String>,
}

/// One orphan.
#[derive(Debug)]
struct Orphan {
    uri: String,
    spot: Spot,
    bytes: u64,
}

/// What one listing found.
#[derive(Debug, Default)]
struct Found {
    listed: u64,
    young: u64,
    orphans: Vec<Orphan>,
    /// Orphans beyond [`ROUND`].
    more: u64,
    tables: Vec<Spot>,
}

/// Finds the orphans of a table and deletes them.
///
/// # Errors
/// `gc.enabled` is off, a folder that is not the table's, another table in the same folder, files of the same path under another prefix (user);
/// metadata that cannot be read; the stores', but for files that cannot be deleted.
pub async fn remove_orphans(
    catalog: &Arc<dyn LakeCatalog>,
    id: &TableId,
    rules: &OrphanRules,
    progress: &dyn Progress,
) -> Result<Orphans, CatalogError> {
    let table = catalog.load(id).await?;
    check_allowed(&table)?;
    let file_systems = catalog.file_systems();
    let search = Search::of(file_systems, &table, rules)?;
    let foreign = find(catalog, &table, &search.own, &rules.equal, progress).await?;
    let mut known = Known::default();
    for path in &rules.needed {
        known.add(file_systems, &rules.equal, path)?;
    }
    known.read(&table, file_systems, &rules.equal, progress).await?;
    let mut tables: Vec<String> = foreign.iter().map(|one| one.table.clone()).collect();
    tables.sort_unstable();
    tables.dedup();
    let foreign: Vec<Spot> = foreign.into_iter().map(|one| one.spot).collect();
    let mut told = Orphans::default();
    loop {
        let found = search.list(&known, &foreign, progress).await?;
        (told.listed, told.young) = (found.listed, found.young);
        let unknown = found.tables.iter().filter(|spot| !foreign.iter().any(|known| spot.is_within(known)));
        told.tables = tables.iter().cloned().chain(unknown.map(|spot| format!("{}{}", spot.prefix, spot.path))).collect();
        // What was begun or committed during the listing.
        let now = catalog.load(id).await?;
        if now.metadata.uuid() != table.metadata.uuid() {
            return Err(CatalogError::user(format!("table `{}` was dropped and created again meanwhile; nothing more is deleted", table.name())));
        }
        known.read(&now, file_systems, &rules.equal, progress).await?;
        let begun = Begun::read(catalog, &now).await?;
        for path in &begun.files {
            known.add(file_systems, &rules.equal, path)?;
        }
        told.referred = known.len() as u64;
        let is_orphan = |orphan: &Orphan| {
            let is_foreign = found.tables.iter().any(|table| orphan.spot.is_within(table));
            !is_foreign && !begun.is_of_commit(file_name(&orphan.spot.path)) && search.is_orphan(&known, &orphan.spot)
        };
        let orphans: Vec<Orphan> = found.orphans.into_iter().filter(is_orphan).collect();
        if rules.dry_run {
            orphans.iter().for_each(|orphan| told.count(orphan, progress));
            told.unnamed = found.more;
            return Ok(told);
        }
        let before = told.orphans;
        delete(file_systems, orphans, rules.batch, &mut told, progress).await?;
        if found.more == 0 || told.orphans == before {
            return Ok(told);
        }
    }
}

/// # Errors
/// A table whose owner has said that no files may be deleted.
fn check_allowed(table: &LakeTable) -> Result<(), CatalogError> {
    if value_or(table.metadata.properties(), "gc.enabled", true) {
        return Ok(());
    }
    Err(CatalogError::user(format!(
        "table `{}` has 'gc.enabled' = 'false': its files may be those of another table, so that none is deleted",
        table.name()
    )))
}

/// Where to look, and for what.
struct Search<'a> {
    table: &'a LakeTable,
    rules: &'a OrphanRules,
    file_systems: &'a FileSystems,
    /// The table's folders.
    own: Vec<Spot>,
    /// Those of its metadata files, now and earlier.
    metadata: Vec<Spot>,
    /// URIs of the folders to list, none within another.
    roots: Vec<(String, Spot)>,
}

impl<'a> Search<'a> {
    fn of(file_systems: &'a FileSystems, table: &'a LakeTable, rules: &'a OrphanRules) -> Result<Self, CatalogError> {
        let spot = |uri: &str| Spot::of(file_systems, &rules.equal, uri).map_err(file_system_error);
        let folders = folders_of(&table.metadata);
        let own = folders.iter().map(|uri| spot(uri)).collect::<Result<Vec<_>, _>>()?;
        let mut roots: Vec<(String, Spot)> = Vec::new();
        match &rules.location {
            Some(location) => {
                let at = spot(location)?;
                if !own.iter().any(|own| at.is_within(own)) {
                    return Err(CatalogError::user(format!(
                        "`{location}` is no folder of table `{}`, whose files are in {}",
                        table.name(),
                        folders.join(", ")
                    )));
                }
                roots.push((location.clone(), at));
            }
            None => {
                for (uri, at) in folders.into_iter().zip(own.clone()) {
                    if !roots.iter().any(|(_, root)| at.is_within(root)) {
                        roots.retain(|(_, root)| !root.is_within(&at));
                        roots.push((uri, at));
                    }
                }
            }
        }
        let metadata = metadata_folders(table).iter().map(|uri| spot(uri)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { table, rules, file_systems, own, metadata, roots })
    }

    /// Lists the folders.
    async fn list(&self, known: &Known, foreign: &[Spot], progress: &dyn Progress) -> Result<Found, CatalogError> {
        let mut found = Found::default();
        for (uri, root) in &self.roots {
            let place = self.file_systems.place(uri).map_err(file_system_error)?;
            let mut entries = walk(&place, LISTINGS_AT_ONCE);
            while let Some(status) = entries.next().await {
                let status = status.map_err(file_system_error)?;
                if status.kind != Kind::File {
                    continue;
                }
                found.listed += 1;
                if found.listed % 1_000 == 0 {
                    progress.listed(found.listed);
                }
                let relative = place.relative(&status.path);
                let spot = root.child(relative);
                found.tables.extend(table_of(&spot, &self.metadata).filter(|table| !found.tables.contains(table)));
                if is_hidden(relative) || self.is_of_metadata(&spot) || foreign.iter().any(|folder| spot.is_within(folder)) {
                    continue;
                }
                match known.standing(&spot) {
                    Standing::Needed => {}
                    Standing::Elsewhere(prefix) => self.mismatch(&mut found, &spot, prefix, place.of(&status).uri(), &status)?,
                    Standing::Orphan => self.take(&mut found, spot, place.of(&status).uri(), &status),
                }
            }
        }
        Ok(found)
    }

    /// Files by which a catalog finds the metadata, and to which metadata does not refer.
    fn is_of_metadata(&self, spot: &Spot) -> bool {
        spot.path.rsplit_once('/').is_some_and(|(folder, name)| name == "version-hint.text" && self.metadata.iter().any(|own| own.path == folder))
    }

    /// Takes a file for an orphan, if it is old enough.
    fn take(&self, found: &mut Found, spot: Spot, uri: &str, status: &Status) {
        // A store that does not say when a file was changed does not say that it is old.
        if status.unfinished || status.modified.is_none_or(|modified| modified >= self.rules.older_than) {
            found.young += 1;
        } else if found.orphans.len() < ROUND {
            found.orphans.push(Orphan { uri: uri.to_owned(), spot, bytes: status.size });
        } else {
            found.more += 1;
        }
    }

    fn mismatch(&self, found: &mut Found, spot: &Spot, prefix: &str, uri: &str, status: &Status) -> Result<(), CatalogError> {
        match self.rules.prefix_mismatch {
            PrefixMismatch::Ignore => Ok(()),
            PrefixMismatch::Delete => {
                self.take(found, spot.clone(), uri, status);
                Ok(())
            }
            PrefixMismatch::Error => Err(CatalogError::user(format!(
                "table `{}` refers to `{prefix}{}`, and `{uri}` has the same path: nothing is deleted, since both may be one file. Say so with equal \
                 schemes or authorities, or say that they are two with the prefix mismatch mode IGNORE (leave such files) or DELETE",
                self.table.name(),
                spot.path
            ))),
        }
    }

    /// Whether a file that was taken for an orphan still is one.
    fn is_orphan(&self, known: &Known, spot: &Spot) -> bool {
        match known.standing(spot) {
            Standing::Needed => false,
            Standing::Elsewhere(_) => self.rules.prefix_mismatch == PrefixMismatch::Delete,
            Standing::Orphan => true,
        }
    }
}

/// Whether a part of the path begins with `_` or `.`, as names do of which tables know nothing: of logs, of locks, of files that are being
/// written. A column may be called so too, whose partitions have folders of the form `_name=value`.
fn is_hidden(relative: &str) -> bool {
    relative.split('/').any(|part| part.starts_with(['_', '.']) && !part.contains('='))
}

impl Orphans {
    fn count(&mut self, orphan: &Orphan, progress: &dyn Progress) {
        self.orphans += 1;
        self.bytes += orphan.bytes;
        progress.orphan(&orphan.uri, orphan.bytes);
    }
}

/// Deletes files in groups.
///
/// # Errors
/// A URI that cannot be resolved; what stores say of single files is counted.
async fn delete(
    file_systems: &FileSystems,
    orphans: Vec<Orphan>,
    batch: usize,
    told: &mut Orphans,
    progress: &dyn Progress,
) -> Result<(), CatalogError> {
    let of_one_prefix = orphans.chunk_by(|a, b| a.spot.prefix == b.spot.prefix);
    for group in of_one_prefix.flat_map(|of_one| of_one.chunks(batch.max(1))) {
        let locations = group.iter().map(|orphan| file_systems.resolve(&orphan.uri).map_err(file_system_error)).collect::<Result<Vec<_>, _>>()?;
        let Some(store) = locations.first().map(|location| Arc::clone(&location.store)) else { continue };
        let paths: Vec<object_store::Result<ObjectPath>> = locations.iter().map(|location| Ok(location.path.clone())).collect();
        let results: Vec<_> = store.delete_stream(futures::stream::iter(paths).boxed()).collect().await;
        let errors: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).filter(|error| !is_not_found(error)).collect();
        let deleted: HashSet<&ObjectPath> = results.iter().flatten().collect();
        for (orphan, location) in group.iter().zip(&locations) {
            // What was not there has no result of its own.
            match errors.first() {
                Some(error) if !deleted.contains(&location.path) => {
                    told.failed += 1;
                    told.why.get_or_insert_with(|| format!("`{}`: {error}", orphan.uri));
                }
                _ => told.count(orphan, progress),
            }
        }
        if failpoint::fails("orphans-deleted").await {
            return Err(CatalogError::other(ErrorKind::Transient, "fail point `orphans-deleted`"));
        }
    }
    Ok(())
}

impl Orphans {
    /// The error that stands for orphans which could not be deleted.
    #[must_use]
    pub fn failure(&self) -> Option<CatalogError> {
        let why = self.why.as_ref()?;
        Some(CatalogError::other(ErrorKind::Transient, format!("{} files could not be deleted; the first is {why}", self.failed)))
    }
}
