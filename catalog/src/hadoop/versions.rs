//! The versions of a table that is a folder: `metadata/v<N>.metadata.json`, and a hint which of them is the current one.
//!
//! Versions follow each other without a gap, and only the oldest are ever deleted. So the current version is the last of an unbroken row:
//! from the one that the hint names onward, whether or not the hint is up to date. Where the hint is missing, or names a version that is
//! deleted, the folder is listed.

use bytes::Bytes;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt};
use weir_fs::{FileSystems, FirstPut, FsError, Location, is_not_found, is_not_refusing};

use super::failed;
use crate::error::CatalogError;

const HINT: &str = "version-hint.text";

/// What follows the number in the name of a metadata file: written by us, and by Iceberg's Java library if the table asks for gzip.
const ENDINGS: [&str; 2] = [".metadata.json", ".gz.metadata.json"];

/// The metadata folder of one table.
#[derive(Debug)]
pub(super) struct Versions {
    folder: Location,
}

/// A version that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) number: u64,
    /// The URI of its file.
    pub(super) uri: String,
}

/// How an attempt to make a version ended.
#[derive(Debug)]
pub(super) enum Made {
    /// It is there, and ours.
    Ours,
    /// Somebody else had made it.
    Taken,
}

impl Versions {
    /// The versions of the table whose folder is `table`.
    pub(super) fn of(file_systems: &FileSystems, table: &str) -> Result<Self, CatalogError> {
        let folder = format!("{table}/metadata");
        // Metadata names the files of versions before it.
        let uri = file_systems.for_metadata(&folder).map_err(failed)?;
        Ok(Self { folder: Location { uri, ..file_systems.resolve(&folder).map_err(failed)? } })
    }

    /// The URI of the file of version `number` as we write it.
    pub(super) fn uri(&self, number: u64) -> String {
        format!("{}/{}", self.folder.uri, file_name(number, ENDINGS[0]))
    }

    /// The current version; none if the folder holds no table.
    pub(super) async fn current(&self) -> Result<Option<Version>, CatalogError> {
        let mut known = match self.hint().await? {
            Some(number) => self.find(number).await?,
            None => None,
        };
        if known.is_none() {
            known = self.listed().await?.into_iter().max_by_key(|version| version.number);
        }
        let Some(mut current) = known else { return Ok(None) };
        while let Some(next) = self.find(current.number + 1).await? {
            current = next;
        }
        Ok(Some(current))
    }

    /// Whether the folder holds a table. Cheaper than [`Self::current`].
    pub(super) async fn any(&self) -> Result<bool, CatalogError> {
        Ok(self.hint().await?.is_some() || !self.listed().await?.is_empty())
    }

    /// Whether the file of a version is still there.
    pub(super) async fn exists(&self, version: &Version) -> Result<bool, CatalogError> {
        let name = version.uri.rsplit('/').next().unwrap_or_default();
        self.has(name).await
    }

    /// Makes version `number`, unless there is one.
    ///
    /// # Errors
    /// A store that does not tell two writers of one name apart, which is tried out before the first version is made.
    pub(super) async fn make(&self, number: u64, metadata: Bytes) -> Result<Made, CatalogError> {
        let path = self.folder.path.clone().join(file_name(number, ENDINGS[0]));
        match self.folder.store.put_opts(&path, metadata.into(), FirstPut::Strict.into()).await {
            Ok(_) => Ok(Made::Ours),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Made::Taken),
            Err(error) if is_not_refusing(&error) => {
                let what = format!(
                    "the store of table folder `{}` lets a second writer replace what the first has just made under the same name, so two commits \
                     could become the same version of a table and one of them would be lost. A catalog of type 'hadoop' cannot write there; use \
                     'catalog-type' = 'sql', 'rest' or 'hive', whose commits need nothing of the store",
                    self.folder.uri
                );
                Err(CatalogError::user(what))
            }
            Err(error) => Err(failed(FsError::from_store("writing", &self.uri(number), error))),
        }
    }

    /// Says to readers that `number` is the current version. Best effort, as the format has it: false if it could not be said.
    pub(super) async fn point_to(&self, number: u64) -> bool {
        let path = self.folder.path.clone().join(HINT);
        let said = self.folder.store.put(&path, Bytes::from(number.to_string()).into()).await;
        if let Err(error) = &said {
            tracing::warn!(folder = %self.folder.uri, %error, number, "the version hint could not be written; readers find the version without it");
        }
        said.is_ok()
    }

    /// Deletes every version, the current one last, so that a table half dropped is still that table.
    pub(super) async fn delete_all(&self) -> Result<(), CatalogError> {
        loop {
            let mut versions = self.listed().await?;
            versions.sort_by_key(|version| version.number);
            let Some(last) = versions.pop() else { return Ok(()) };
            for version in &versions {
                self.delete(&version.uri).await?;
            }
            self.delete(&format!("{}/{HINT}", self.folder.uri)).await?;
            self.delete(&last.uri).await?;
        }
    }

    /// Deletes files of this folder by their URIs, oldest first, and stops at one that cannot be deleted: a gap must not come to be.
    pub(super) async fn retire(&self, uris: &[String]) {
        for uri in uris {
            if let Err(error) = self.delete(uri).await {
                tracing::warn!(%uri, %error, "old metadata could not be deleted and is left behind");
                return;
            }
        }
    }

    async fn delete(&self, uri: &str) -> Result<(), CatalogError> {
        let path = self.folder.path.clone().join(uri.rsplit('/').next().unwrap_or_default());
        match self.folder.store.delete(&path).await {
            Err(error) if !is_not_found(&error) => Err(failed(FsError::from_store("deleting", uri, error))),
            _gone => Ok(()),
        }
    }

    /// The number in the hint. One that cannot be read as a number counts as none.
    async fn hint(&self) -> Result<Option<u64>, CatalogError> {
        let path = self.folder.path.clone().join(HINT);
        let read = async { self.folder.store.get(&path).await?.bytes().await };
        match read.await {
            Ok(text) => Ok(std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok())),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(failed(FsError::from_store("reading", &format!("{}/{HINT}", self.folder.uri), error))),
        }
    }

    async fn find(&self, number: u64) -> Result<Option<Version>, CatalogError> {
        for ending in ENDINGS {
            let name = file_name(number, ending);
            if self.has(&name).await? {
                return Ok(Some(Version { number, uri: format!("{}/{name}", self.folder.uri) }));
            }
        }
        Ok(None)
    }

    async fn has(&self, name: &str) -> Result<bool, CatalogError> {
        let path = self.folder.path.clone().join(name);
        match self.folder.store.get_opts(&path, GetOptions { head: true, ..GetOptions::default() }).await {
            Ok(_) => Ok(true),
            Err(error) if is_not_found(&error) => Ok(false),
            Err(error) => Err(failed(FsError::from_store("looking for", &format!("{}/{name}", self.folder.uri), error))),
        }
    }

    async fn listed(&self) -> Result<Vec<Version>, CatalogError> {
        let listed = self.folder.store.list_with_delimiter(Some(&self.folder.path)).await;
        let found = match listed {
            Ok(found) => found.objects,
            Err(error) if is_not_found(&error) => Vec::new(),
            Err(error) => return Err(failed(FsError::from_store("listing", &self.folder.uri, error))),
        };
        let names = found.iter().filter_map(|meta| meta.location.filename());
        Ok(names.filter_map(|name| Some(Version { number: number_in(name)?, uri: format!("{}/{name}", self.folder.uri) })).collect())
    }
}

fn file_name(number: u64, ending: &str) -> String {
    format!("v{number}{ending}")
}

/// The version that a file holds; none if it is no metadata file.
pub(super) fn number_in(name: &str) -> Option<u64> {
    let name = name.rsplit('/').next().unwrap_or(name).strip_prefix('v')?;
    // The longer ending first: the shorter one is a part of it.
    ENDINGS.iter().rev().find_map(|ending| name.strip_suffix(ending)).and_then(|number| number.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn versions(numbers: &[u64], hint: Option<&str>) -> Versions {
        let versions = Versions::of(&FileSystems::default(), &format!("memory://versions/{}", uuid::Uuid::new_v4())).expect("resolves");
        for number in numbers {
            assert!(matches!(versions.make(*number, b"{}"[..].into()).await.expect("made"), Made::Ours));
        }
        if let Some(hint) = hint {
            let path = versions.folder.path.clone().join(HINT);
            versions.folder.store.put(&path, hint.to_owned().into()).await.expect("put");
        }
        versions
    }

    #[test]
    fn the_number_is_read_from_names_of_versions_only() {
        for (name, number) in [("v7.metadata.json", Some(7)), ("a/v12.gz.metadata.json", Some(12)), ("00003-x.metadata.json", None), ("v.json", None)]
        {
            assert_eq!(number_in(name), number, "{name}");
        }
    }

    #[tokio::test]
    async fn the_current_version_is_found_wherever_the_hint_points() {
        for hint in [None, Some("3"), Some("5\n"), Some("7"), Some("2"), Some("9"), Some("nonsense")] {
            // Versions 1 and 2 have been retired.
            let current = versions(&[3, 4, 5, 6, 7], hint).await.current().await.expect("found").expect("a table");
            assert_eq!(current.number, 7, "hint {hint:?}");
            assert!(current.uri.ends_with("/metadata/v7.metadata.json"), "{}", current.uri);
        }
        assert_eq!(versions(&[], None).await.current().await.expect("asked"), None);
    }

    #[tokio::test]
    async fn a_version_is_made_once_and_dropping_leaves_none() {
        let versions = versions(&[1, 2], None).await;
        assert!(matches!(versions.make(2, b"other"[..].into()).await.expect("asked"), Made::Taken));
        assert!(versions.point_to(2).await);
        assert!(versions.any().await.expect("asked"));
        versions.delete_all().await.expect("deleted");
        assert_eq!(versions.current().await.expect("asked"), None);
        assert!(!versions.any().await.expect("asked"));
    }
}
