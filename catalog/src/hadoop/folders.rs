//! Databases as folders. HDFS and a disk have folders; in an object store a folder is there as long as something is in it, so a database
//! without tables is held by an empty file there.

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use weir_fs::transfer::Place;
use weir_fs::{FileSystems, FsError, Kind, is_not_found};

use super::failed;
use crate::error::CatalogError;

/// The file that holds an empty folder. Hidden: Hadoop's own readers pass over names that begin so.
const HOLDER: &str = ".weir-database";

/// Folders by their URIs.
#[derive(Debug)]
pub(super) struct DatabaseFolders<'a>(pub(super) &'a FileSystems);

impl DatabaseFolders<'_> {
    /// The names of the folders in `folder`, without hidden ones.
    pub(super) async fn names(&self, folder: &str) -> Result<Vec<String>, CatalogError> {
        let place = self.place(folder)?;
        let found = content(&place, place.path()).await?.folders;
        let names = found.iter().filter_map(Path::filename).map(str::to_owned);
        Ok(names.filter(|name| !name.starts_with(['.', '_'])).collect())
    }

    /// Whether there is a folder.
    pub(super) async fn exists(&self, folder: &str) -> Result<bool, CatalogError> {
        let place = self.place(folder)?;
        let Some(folders) = place.folders() else {
            let found = content(&place, place.path()).await?;
            return Ok(!found.files.is_empty() || !found.folders.is_empty());
        };
        let status = folders.stat(place.path()).await.map_err(|error| failed(FsError::from_store("looking for", folder, error)))?;
        Ok(status.is_some_and(|status| status.kind == Kind::Folder))
    }

    /// Makes a folder and those above it.
    pub(super) async fn make(&self, folder: &str) -> Result<(), CatalogError> {
        let place = self.place(folder)?;
        let made = match place.folders() {
            Some(folders) => folders.make(place.path()).await,
            None => place.location().store.put(&place.path().clone().join(HOLDER), Bytes::new().into()).await.map(|_| ()),
        };
        made.map_err(|error| failed(FsError::from_store("making", folder, error)))
    }

    /// Removes a folder and the empty ones below it.
    ///
    /// # Errors
    /// Files that are still there.
    pub(super) async fn remove_empty(&self, folder: &str) -> Result<(), CatalogError> {
        let place = self.place(folder)?;
        let mut emptied = vec![place.path().clone()];
        let mut next = 0;
        while let Some(path) = emptied.get(next).cloned() {
            next += 1;
            let found = content(&place, &path).await?;
            if let Some(kept) = found.files.iter().find(|location| location.filename() != Some(HOLDER)) {
                let what =
                    format!("folder `{folder}` still holds files, `{kept}` among them; delete what dropped tables have left, then drop it again");
                return Err(CatalogError::user(what));
            }
            emptied.extend(found.folders);
        }
        let Some(folders) = place.folders() else { return delete(&place, &place.path().clone().join(HOLDER)).await };
        // What was found last lies deepest.
        for path in emptied.iter().rev() {
            folders.remove(path, false).await.map_err(|error| failed(FsError::from_store("removing", path.as_ref(), error)))?;
        }
        Ok(())
    }

    fn place(&self, folder: &str) -> Result<Place, CatalogError> {
        self.0.place(folder).map_err(failed)
    }
}

/// What is right in a folder.
#[derive(Debug, Default)]
struct Content {
    files: Vec<Path>,
    folders: Vec<Path>,
}

async fn content(place: &Place, path: &Path) -> Result<Content, CatalogError> {
    let failed = |error| failed(FsError::from_store("listing", path.as_ref(), error));
    let Some(folders) = place.folders() else {
        let found = place.location().store.list_with_delimiter(Some(path)).await.map_err(failed)?;
        return Ok(Content { files: found.objects.into_iter().map(|meta| meta.location).collect(), folders: found.common_prefixes });
    };
    let (folders, files): (Vec<_>, Vec<_>) =
        folders.list(path).try_collect::<Vec<_>>().await.map_err(failed)?.into_iter().partition(|status| status.kind == Kind::Folder);
    let paths = |found: Vec<weir_fs::Status>| found.into_iter().map(|status| status.path).collect();
    Ok(Content { files: paths(files), folders: paths(folders) })
}

async fn delete(place: &Place, path: &Path) -> Result<(), CatalogError> {
    match place.location().store.delete(path).await {
        Err(error) if !is_not_found(&error) => Err(failed(FsError::from_store("deleting", path.as_ref(), error))),
        _gone => Ok(()),
    }
}
