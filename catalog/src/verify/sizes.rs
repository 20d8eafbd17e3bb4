//! Is a file there, and as long as the table says?

use std::fmt;

use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use weir_base::Classified;
use weir_fs::{FileSystems, is_not_found, kind_of};

use super::{Progress, Step};
use crate::error::CatalogError;
use crate::read::LiveFile;

/// Sizes asked for at the same time.
const AT_ONCE: usize = 32;

/// A file that is not as the table says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unsound {
    /// As the table calls it.
    pub(super) path: String,
    /// Bytes that it should have, if that is recorded.
    pub(super) expected: Option<u64>,
    /// Bytes that it has; `None`: it is not there.
    pub(super) found: Option<u64>,
}

impl fmt::Display for Unsound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file `{}` ", self.path)?;
        match (self.found, self.expected) {
            (Some(found), Some(expected)) => write!(f, "has {found} bytes, but the table says {expected}"),
            (Some(found), None) => write!(f, "has {found} bytes"),
            (None, _) => f.write_str("is not there"),
        }
    }
}

/// Asks for the size of one file; `None`: it is sound.
///
/// # Errors
/// The store's, but for a file that is not there.
pub(super) async fn look(file_systems: &FileSystems, path: &str, expected: Option<u64>) -> Result<Option<Unsound>, CatalogError> {
    let what = || format!("file `{path}` cannot be asked for");
    let location = file_systems.resolve(path).map_err(|error| CatalogError::caused(error.kind(), format!("{}: {error}", what()), error))?;
    let found = match location.store.head(&location.path).await {
        Ok(found) => Some(found.size),
        Err(error) if is_not_found(&error) => None,
        Err(error) => return Err(CatalogError::caused(kind_of(&error), format!("{}: {error}", what()), error)),
    };
    let is_sound = found.is_some_and(|found| expected.is_none_or(|expected| expected == found));
    Ok((!is_sound).then(|| Unsound { path: path.to_owned(), expected, found }))
}

/// Asks for the sizes of all files, each path once, and gives those that are not as the table says, in the table's order.
///
/// # Errors
/// As [`look`].
pub(super) async fn check(file_systems: &FileSystems, files: &[LiveFile], progress: &dyn Progress) -> Result<Vec<Unsound>, CatalogError> {
    let mut seen = std::collections::HashSet::new();
    let wanted: Vec<_> = files
        .iter()
        .filter(|live| seen.insert(live.file.file_path()))
        .map(|live| (live.file.file_path().to_owned(), live.file.file_size_in_bytes()))
        .collect();
    let all = wanted.len();
    let looks = wanted.into_iter().map(|(path, bytes)| async move { look(file_systems, &path, Some(bytes)).await });
    let mut looked = futures::stream::iter(looks.collect::<Vec<_>>()).buffered(AT_ONCE);
    let (mut unsound, mut done) = (Vec::new(), 0);
    while let Some(found) = looked.try_next().await? {
        done += 1;
        progress.at(Step::Sizes, done, all);
        unsound.extend(found);
    }
    Ok(unsound)
}
