//! Files deleted by name.

use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;
use weir_fs::{FileSystems, FsError, is_not_found};

use crate::error::{CatalogError, file_system_error};

/// Files that are deleted at the same time.
const AT_ONCE: usize = 32;

/// Deletes files by name; missing ones are fine.
///
/// # Errors
/// The stores'; some files may be deleted then.
pub async fn remove_files(file_systems: &FileSystems, paths: &[String]) -> Result<(), CatalogError> {
    let remove = |path: String| async move {
        let location = file_systems.resolve(&path).map_err(file_system_error)?;
        match location.store.delete(&location.path).await {
            Err(error) if !is_not_found(&error) => Err(file_system_error(FsError::from_store("cannot delete", &path, error))),
            _gone => Ok(()),
        }
    };
    stream::iter(paths.to_vec()).map(remove).buffer_unordered(AT_ONCE).try_collect().await
}
