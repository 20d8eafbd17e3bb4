//! Folders as things of their own, which HDFS and a disk have and object stores have not.
//!
//! An object store knows names only: there a folder is what several names begin with, it exists as long as one of them does, and nothing
//! makes or removes it. A [`Folders`] goes beside a store that knows more. It is behind the same faults, counters and deadlines as the
//! store, except that a disk has no deadline: nobody else answers for it.

use std::fmt;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{ObjectMeta, Result};

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file or an object.
    File,
    /// A folder.
    Folder,
    /// A link to a folder or to nothing, a socket, or something whose name no object can have: never followed and never copied.
    Other,
}

/// Whose a file is and who may do what with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The owner; a number on a local disk.
    pub owner: String,
    /// The group; a number on a local disk.
    pub group: String,
    /// The nine (or twelve) bits of a Unix mode.
    pub permission: u16,
}

/// What a store says about a file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Where it is in its store.
    pub path: Path,
    /// What it is.
    pub kind: Kind,
    /// The length of a file in bytes; 0 for anything else.
    pub size: u64,
    /// When it was last changed; unknown for the folders of an object store.
    pub modified: Option<DateTime<Utc>>,
    /// Owner and permissions, where the store has them.
    pub access: Option<Access>,
    /// How many copies of a file the cluster keeps.
    pub replication: Option<u32>,
    /// The size of a file's blocks in bytes.
    pub block_size: Option<u64>,
    /// The version of the content, as the store names it.
    pub e_tag: Option<String>,
    /// A hidden file that is being written, or was left by a killed writer: not yet what its name will be.
    pub unfinished: bool,
}

impl Status {
    /// A folder of which nothing is known but its name.
    #[must_use]
    pub fn folder(path: Path) -> Self {
        Self { path, kind: Kind::Folder, size: 0, modified: None, access: None, replication: None, block_size: None, e_tag: None, unfinished: false }
    }

    /// The name that an unfinished file was to get; of a very long one its beginning.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        let name = self.path.filename().filter(|_| self.unfinished)?;
        match name.strip_prefix('.').and_then(|rest| rest.strip_suffix(".tmp")) {
            Some(of_hdfs) => of_hdfs.rsplit_once('.').map(|(target, _)| target),
            None => name.rsplit_once('#').map(|(target, _)| target),
        }
    }

    /// Something called `name` in `folder` that cannot be used; the characters of its name that no path can have are percent-encoded.
    #[must_use]
    pub fn unusable(folder: &Path, name: &str) -> Self {
        Self { kind: Kind::Other, ..Self::folder(folder.clone().join(name)) }
    }
}

impl From<ObjectMeta> for Status {
    fn from(meta: ObjectMeta) -> Self {
        let ObjectMeta { location, last_modified, size, e_tag, version: _ } = meta;
        Self { kind: Kind::File, size, modified: Some(last_modified), e_tag, ..Self::folder(location) }
    }
}

/// How much a folder holds, with all below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// The lengths of all files.
    pub bytes: u64,
    /// The space they take with all their copies, where the store says so.
    pub stored: Option<u64>,
    /// Files.
    pub files: u64,
    /// Folders, where the store has them; without the one that was asked about.
    pub folders: u64,
}

/// What can be done with folders. Everything here may be repeated without harm.
#[async_trait]
pub trait Folders: fmt::Debug + Send + Sync {
    /// What is at `path`, if there is something.
    async fn stat(&self, path: &Path) -> Result<Option<Status>>;

    /// What is right in the folder at `path`, in no particular order; unfinished files too. Nothing if there is no folder.
    fn list(&self, path: &Path) -> BoxStream<'static, Result<Status>>;

    /// Makes the folder at `path` and those above it; it may exist.
    async fn make(&self, path: &Path) -> Result<()>;

    /// Removes the folder at `path`, which must be empty unless `with_content`; it may be missing.
    async fn remove(&self, path: &Path, with_content: bool) -> Result<()>;

    /// How much the folder at `path` holds, if the store knows without being walked through.
    async fn usage(&self, path: &Path) -> Result<Option<Usage>>;
}
