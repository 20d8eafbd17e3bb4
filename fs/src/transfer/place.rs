//! A location together with what its store knows of folders.

use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use weir_base::ErrorKind;

use crate::error::{FsError, is_not_found};
use crate::file_systems::Location;
use crate::folders::{Folders, Status};

/// Where a file or folder is or shall be.
#[derive(Debug, Clone)]
pub struct Place {
    location: Location,
    folders: Option<Arc<dyn Folders>>,
}

impl Place {
    /// `location`, whose store has `folders` or, being an object store, none.
    #[must_use]
    pub fn new(mut location: Location, folders: Option<Arc<dyn Folders>>) -> Self {
        while location.uri.ends_with('/') && !location.uri.ends_with("://") && !location.uri.ends_with(":///") {
            location.uri.pop();
        }
        Self { location, folders }
    }

    /// The store and the path in it.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The URI, without a slash at its end unless it is a root.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.location.uri
    }

    /// The path in the store.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.location.path
    }

    /// What the store does with folders; none for object stores.
    #[must_use]
    pub fn folders(&self) -> Option<&Arc<dyn Folders>> {
        self.folders.as_ref()
    }

    /// Whether both are in one store, so that something can be renamed from one to the other.
    #[must_use]
    pub fn is_beside(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.location.store, &other.location.store)
    }

    /// The place at `relative`, which is taken literally, below this one.
    ///
    /// # Errors
    /// A name that no path can have.
    pub fn child(&self, relative: &str) -> Result<Self, FsError> {
        let uri = self.uri_below(relative);
        let path = Path::parse(format!("{}/{relative}", self.location.path))
            .map_err(|error| FsError::new(ErrorKind::User, format!("`{uri}` is no usable path: {error}")).with_source(error))?;
        Ok(Self { location: Location { uri, path, ..self.location.clone() }, folders: self.folders.clone() })
    }

    /// The place of something that was found below this one.
    #[must_use]
    pub fn of(&self, found: &Status) -> Self {
        let uri = self.uri_below(self.relative(&found.path));
        Self { location: Location { uri, path: found.path.clone(), ..self.location.clone() }, folders: self.folders.clone() }
    }

    /// What `path`, which is below this place, adds to it.
    #[must_use]
    pub fn relative<'a>(&self, path: &'a Path) -> &'a str {
        let below = path.as_ref().strip_prefix(self.location.path.as_ref()).unwrap_or(path.as_ref());
        below.trim_start_matches('/')
    }

    fn uri_below(&self, relative: &str) -> String {
        let uri = self.location.uri.strip_suffix('/').unwrap_or(&self.location.uri);
        if relative.is_empty() { self.location.uri.clone() } else { format!("{uri}/{relative}") }
    }

    /// An error of the store as one about this place.
    pub(super) fn failed(&self, operation: &str, error: object_store::Error) -> FsError {
        FsError::from_store(operation, self.uri(), error)
    }

    /// What is here, if there is something. In an object store, whatever names begin with is a folder.
    ///
    /// One request; on an object store two where no object has this name.
    ///
    /// # Errors
    /// What the store meets.
    pub async fn stat(&self) -> Result<Option<Status>, FsError> {
        let Location { store, path, .. } = &self.location;
        let failed = |error| self.failed("looking at", error);
        if let Some(folders) = &self.folders {
            return folders.stat(path).await.map_err(failed);
        }
        let prefix = (!path.is_root()).then_some(path);
        if let Some(path) = prefix {
            match store.head(path).await {
                Ok(meta) => return Ok(Some(meta.into())),
                Err(error) if is_not_found(&error) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        let below = store.list(prefix).next().await.transpose().map_err(failed)?;
        // A bucket is a folder even when it is empty.
        Ok((below.is_some() || prefix.is_none()).then(|| Status::folder(path.clone())))
    }

    /// What stands in the way of a file here. In an object store a folder of the same name does not.
    pub(super) async fn target(&self) -> Result<Option<Status>, FsError> {
        if self.folders.is_some() {
            return self.stat().await;
        }
        match self.location.store.head(&self.location.path).await {
            Ok(meta) => Ok(Some(meta.into())),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(self.failed("looking at", error)),
        }
    }

    /// What is right below: of a place that is not there, nothing.
    #[must_use]
    pub fn list(&self) -> BoxStream<'static, Result<Status, FsError>> {
        let place = self.clone();
        let failed = move |error| place.failed("listing", error);
        let Location { store, path, .. } = self.location.clone();
        if let Some(folders) = &self.folders {
            return folders.list(&path).map_err(failed).boxed();
        }
        let listed = async move {
            let prefix = (!path.is_root()).then_some(&path);
            let found = store.list_with_delimiter(prefix).await?;
            let folders = found.common_prefixes.into_iter().map(Status::folder);
            // The marker of a folder is an object with the folder's name and a slash.
            let objects = found.objects.into_iter().map(Status::from).filter(move |found| found.path != path);
            Ok::<_, object_store::Error>(futures::stream::iter(folders.chain(objects).map(Ok).collect::<Vec<_>>()))
        };
        listed.into_stream().try_flatten().map_err(failed).boxed()
    }

    /// Makes a folder here, and those above it; says whether the store has folders at all.
    ///
    /// # Errors
    /// What the store meets.
    pub async fn make_folder(&self) -> Result<bool, FsError> {
        let Some(folders) = &self.folders else { return Ok(false) };
        folders.make(&self.location.path).await.map_err(|error| self.failed("making the folder", error))?;
        Ok(true)
    }
}
