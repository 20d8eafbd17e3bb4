//! Other tables in the folders of a table: what is theirs is left alone.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use iceberg::spec::TableMetadata;
use weir_fs::FileSystems;

use super::Progress;
use super::paths::{Equal, Spot};
use crate::error::{CatalogError, file_system_error};
use crate::lake::{LakeCatalog, LakeTable, TableId};
use crate::metadata_file::metadata_directory;
use crate::properties::declared::DATA_PATH;

/// Tables loaded at the same time.
const LOADS_AT_ONCE: usize = 8;

/// A folder of another table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Foreign {
    pub(super) table: String,
    pub(super) spot: Spot,
}

/// The URIs of the folders in which a table has, or had, its metadata files.
pub(super) fn metadata_folders(table: &LakeTable) -> Vec<String> {
    let logged = table.metadata.metadata_log().iter().map(|entry| entry.metadata_file.as_str());
    let files = logged.chain([table.metadata_location.as_str()]);
    let folders = files.filter_map(|file| Some(file.rsplit_once('/')?.0.to_owned()));
    let mut folders: Vec<String> = folders.chain([metadata_directory(&table.metadata), format!("{}/metadata", table.metadata.location())]).collect();
    folders.sort_unstable();
    folders.dedup();
    folders
}

/// The URIs of the folders in which a table has its files.
pub(super) fn folders_of(metadata: &TableMetadata) -> Vec<String> {
    let data = metadata.properties().get(DATA_PATH.key).cloned();
    [Some(metadata.location().to_owned()), data, Some(metadata_directory(metadata))].into_iter().flatten().collect()
}

/// The folders of other tables of the catalog that lie within `own`.
///
/// # Errors
/// A table that has one of the very folders; one that cannot be loaded, since nobody can tell where it is.
pub(super) async fn find(
    catalog: &Arc<dyn LakeCatalog>,
    table: &LakeTable,
    own: &[Spot],
    equal: &Equal,
    progress: &dyn Progress,
) -> Result<Vec<Foreign>, CatalogError> {
    let mut ids: Vec<TableId> = Vec::new();
    for database in catalog.databases().await? {
        let tables = catalog.tables(&database).await?;
        ids.extend(tables.into_iter().map(|table| TableId { database: database.clone(), table }));
    }
    ids.retain(|id| *id != table.id);
    let all = ids.len();
    let loads = ids.into_iter().map(|id| async move {
        match catalog.load(&id).await {
            Ok(other) => Ok(Some(other)),
            Err(CatalogError::NotFound(_)) => Ok(None),
            Err(error) => {
                let what = format!(
                    "table `{}` cannot be cleaned: table `{id}` of the same catalog cannot be loaded, and may have files there",
                    table.name()
                );
                Err(error.with_note(format_args!("({what})")))
            }
        }
    });
    let mut loads = stream::iter(loads.collect::<Vec<_>>()).buffer_unordered(LOADS_AT_ONCE);
    let (mut found, mut done) = (Vec::new(), 0);
    while let Some(other) = loads.try_next().await? {
        done += 1;
        progress.tables(done, all);
        if let Some(other) = other {
            found.extend(within(catalog.file_systems(), table, &other, own, equal)?);
        }
    }
    Ok(found)
}

/// The folders of `other` that lie within `own`.
fn within(file_systems: &FileSystems, table: &LakeTable, other: &LakeTable, own: &[Spot], equal: &Equal) -> Result<Vec<Foreign>, CatalogError> {
    let mut found = Vec::new();
    for folder in folders_of(&other.metadata) {
        let spot = Spot::of(file_systems, equal, &folder).map_err(file_system_error)?;
        if own.contains(&spot) {
            return Err(CatalogError::user(format!(
                "table `{}` cannot be cleaned: its folder `{folder}` is one of table `{}` too, whose files would look like orphans. Give each table a folder \
                 of its own",
                table.name(),
                other.name()
            )));
        }
        if own.iter().any(|own| spot.is_within(own)) {
            found.push(Foreign { table: other.id.to_string(), spot });
        }
    }
    Ok(found)
}

/// The folder of the table whose metadata file was found at `spot`; `None` for other files, and for those in the folders `own`.
pub(super) fn table_of(spot: &Spot, own: &[Spot]) -> Option<Spot> {
    let (folder, name) = spot.path.rsplit_once('/')?;
    let is_metadata = name.ends_with(".metadata.json") && !own.iter().any(|own| folder == own.path);
    is_metadata.then(|| Spot { prefix: spot.prefix.clone(), path: folder.strip_suffix("/metadata").unwrap_or(folder).to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metadata_file_tells_of_a_table() {
        let spot = |path: &str| Spot { prefix: "file://".to_owned(), path: path.to_owned() };
        let table = |path: &str| table_of(&spot(path), &[spot("/w/t/metadata")]).map(|spot| spot.path);
        assert_eq!(table("/w/t/metadata/00001-x.metadata.json"), None, "its own");
        assert_eq!(table("/w/t/inner/metadata/v3.gz.metadata.json"), Some("/w/t/inner".to_owned()));
        assert_eq!(table("/w/t/odd/00001-x.metadata.json"), Some("/w/t/odd".to_owned()));
        assert_eq!(table("/w/t/inner/metadata/x.avro"), None);
    }
}
