//! Deleting.

use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use weir_base::{Classified, ErrorKind};

use super::place::Place;
use crate::error::FsError;
use crate::folders::{Kind, Status};

/// How much was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removed {
    /// Files, where they were deleted one by one: HDFS and a disk remove a folder as a whole.
    pub files: Option<u64>,
}

/// Deletes `found`, which is at `place`, with all below it. There is no trash: what is deleted is gone.
///
/// HDFS is asked once for a whole folder; in an object store all names below are listed and deleted in groups.
///
/// # Errors
/// The root of a store, and what the store meets; then the rest was deleted.
pub async fn remove(place: &Place, found: &Status) -> Result<Removed, FsError> {
    let failed = |error| place.failed("deleting", error);
    if place.path().is_root() {
        return Err(FsError::new(ErrorKind::User, format!("`{}` is a whole file system; name what in it shall be deleted", place.uri())));
    }
    let (store, path) = (&place.location().store, place.path());
    if found.kind != Kind::Folder {
        store.delete(path).await.map_err(failed)?;
        return Ok(Removed { files: Some(1) });
    }
    if let Some(folders) = place.folders() {
        folders.remove(path, true).await.map_err(failed)?;
        return Ok(Removed { files: None });
    }
    let names = store.list(Some(path)).map_ok(|object| object.location).boxed();
    let (mut files, mut wrong, mut first) = (0, 0_u64, None);
    let mut deleted = store.delete_stream(names);
    while let Some(one) = deleted.next().await {
        match one {
            Ok(_) => files += 1,
            Err(error) => {
                wrong += 1;
                first.get_or_insert(error);
            }
        }
    }
    match first {
        None => Ok(Removed { files: Some(files) }),
        Some(error) => {
            let error = failed(error);
            Err(FsError::new(error.kind(), format!("{error} ({files} objects were deleted, {wrong} requests failed)")).with_source(error))
        }
    }
}
