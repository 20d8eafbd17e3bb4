//! The folders of the local disk. All work is done on blocking threads.

use std::fs::{self, Metadata, ReadDir};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error, Result};

use crate::folders::{Access, Folders, Kind, Status, Usage};

/// Names read in one go.
const BATCH: usize = 1000;
/// The mode without the bits for the kind of file.
const MODE: u32 = 0o7777;

/// The folders of the local disk.
#[derive(Debug, Default)]
pub(crate) struct LocalFolders(LocalFileSystem);

fn failed(path: &Path, error: io::Error) -> Error {
    let path = path.to_string();
    match error.kind() {
        io::ErrorKind::NotFound => Error::NotFound { path, source: error.into() },
        io::ErrorKind::PermissionDenied => Error::PermissionDenied { path, source: error.into() },
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: error.into() },
        _ => Error::Generic { store: "file", source: error.into() },
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = weir_base::task::blocking("fs-folders", work).await;
    done.map_err(|error| Error::Generic { store: "file", source: error.into() })?
}

/// `None` for what was not there, or is no more.
fn unless_missing<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a name is that of a file that is being written: its target's with `#` and a number. The store knows no other way to name them,
/// and serves nobody else's files of such names.
fn is_staged(name: &str) -> bool {
    name.split_once('#').is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn status_of(location: Path, metadata: &Metadata, kind: Kind) -> Status {
    let unfinished = kind == Kind::File && location.filename().is_some_and(is_staged);
    let permission = u16::try_from(metadata.mode() & MODE).unwrap_or_default();
    Status {
        kind,
        size: if kind == Kind::File { metadata.len() } else { 0 },
        modified: metadata.modified().ok().map(Into::into),
        access: Some(Access { owner: metadata.uid().to_string(), group: metadata.gid().to_string(), permission }),
        unfinished,
        ..Status::folder(location)
    }
}

/// What is at `path`. A link to a file is that file.
fn look(path: &std::path::Path, location: Path) -> io::Result<Option<Status>> {
    let Some(itself) = unless_missing(fs::symlink_metadata(path))? else { return Ok(None) };
    if itself.is_dir() {
        return Ok(Some(status_of(location, &itself, Kind::Folder)));
    }
    let target = if itself.is_symlink() { unless_missing(fs::metadata(path))? } else { Some(itself.clone()) };
    let metadata = target.filter(Metadata::is_file);
    Ok(Some(match metadata {
        Some(metadata) => status_of(location, &metadata, Kind::File),
        None => status_of(location, &itself, Kind::Other),
    }))
}

/// A folder that is being read; none when it is read.
struct Reading {
    entries: Option<ReadDir>,
    folder: Path,
}

impl Reading {
    fn open(on_disk: PathBuf, folder: Path) -> Result<Self> {
        let entries = unless_missing(fs::read_dir(on_disk)).map_err(|error| failed(&folder, error))?;
        Ok(Self { entries, folder })
    }

    /// The next names, possibly none.
    fn read_on(&mut self) -> Result<Vec<Status>> {
        let (mut found, folder) = (Vec::new(), &self.folder);
        for _ in 0..BATCH {
            let Some(entry) = self.entries.as_mut().and_then(Iterator::next) else {
                self.entries = None;
                break;
            };
            let entry = entry.map_err(|error| failed(folder, error))?;
            let name = entry.file_name();
            match name.to_str().and_then(|name| Path::parse(format!("{folder}/{name}")).ok()) {
                // Missing if it was deleted meanwhile.
                Some(location) => found.extend(look(&entry.path(), location.clone()).map_err(|error| failed(&location, error))?),
                None => found.push(Status::unusable(folder, &name.to_string_lossy())),
            }
        }
        Ok(found)
    }
}

impl LocalFolders {
    fn on_disk(&self, path: &Path) -> Result<PathBuf> {
        if path.is_root() { Ok(PathBuf::from("/")) } else { self.0.path_to_filesystem(path) }
    }
}

#[async_trait]
impl Folders for LocalFolders {
    async fn stat(&self, path: &Path) -> Result<Option<Status>> {
        let (on_disk, location) = (self.on_disk(path)?, path.clone());
        blocking(move || {
            let followed = look(&on_disk, location.clone()).map_err(|error| failed(&location, error))?;
            // Whoever names a link to a folder means the folder.
            Ok(match followed {
                Some(status) if status.kind == Kind::Other => match fs::metadata(&on_disk) {
                    Ok(metadata) if metadata.is_dir() => Some(status_of(location, &metadata, Kind::Folder)),
                    _ => Some(status),
                },
                other => other,
            })
        })
        .await
    }

    fn list(&self, path: &Path) -> BoxStream<'static, Result<Status>> {
        let (on_disk, folder) = (self.on_disk(path), path.clone());
        let open = async move {
            let on_disk = on_disk?;
            blocking(move || Reading::open(on_disk, folder)).await
        };
        let next = |mut reading: Reading| async move {
            if reading.entries.is_none() {
                return Ok::<_, Error>(None);
            }
            let (found, reading) = blocking(move || Ok((reading.read_on()?, reading))).await?;
            Ok(Some((futures::stream::iter(found.into_iter().map(Ok)), reading)))
        };
        open.into_stream().map_ok(move |reading| futures::stream::try_unfold(reading, next).try_flatten()).try_flatten().boxed()
    }

    async fn make(&self, path: &Path) -> Result<()> {
        let (on_disk, location) = (self.on_disk(path)?, path.clone());
        blocking(move || fs::create_dir_all(on_disk).map_err(|error| failed(&location, error))).await
    }

    async fn remove(&self, path: &Path, with_content: bool) -> Result<()> {
        let (on_disk, location) = (self.on_disk(path)?, path.clone());
        blocking(move || {
            let removed = if with_content { fs::remove_dir_all(on_disk) } else { fs::remove_dir(on_disk) };
            unless_missing(removed).map(|_| ()).map_err(|error| failed(&location, error))
        })
        .await
    }

    async fn usage(&self, _path: &Path) -> Result<Option<Usage>> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn names(folder: &std::path::Path) -> Vec<(String, Kind)> {
        let path = Path::from_absolute_path(folder).expect("path");
        let listed: Vec<Status> = LocalFolders::default().list(&path).try_collect().await.expect("listed");
        let mut names: Vec<_> = listed.into_iter().map(|status| (status.path.filename().unwrap_or_default().to_owned(), status.kind)).collect();
        names.sort_by(|one, other| one.0.cmp(&other.0));
        names
    }

    #[tokio::test]
    async fn links_sockets_and_odd_names_are_shown_as_what_they_are() {
        let folder = tempfile::tempdir().expect("folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file %20"), "x").expect("written");
        fs::create_dir(at("sub")).expect("made");
        std::os::unix::fs::symlink(at("file %20"), at("to file")).expect("linked");
        std::os::unix::fs::symlink(at("sub"), at("to folder")).expect("linked");
        std::os::unix::fs::symlink(at("nothing"), at("to nothing")).expect("linked");
        fs::write(at("tab\there"), "x").expect("written");
        fs::write(at("#1#2"), "x").expect("written");
        fs::write(at("staged#12"), "x").expect("written");
        let expected = [
            ("#1#2", Kind::File),
            ("file %20", Kind::File),
            ("staged#12", Kind::File),
            ("sub", Kind::Folder),
            ("tab%09here", Kind::Other),
            ("to file", Kind::File),
            ("to folder", Kind::Other),
            ("to nothing", Kind::Other),
        ];
        assert_eq!(names(folder.path()).await, expected.map(|(name, kind)| (name.to_owned(), kind)));
        let all: Vec<Status> =
            LocalFolders::default().list(&Path::from_absolute_path(folder.path()).expect("path")).try_collect().await.expect("listed");
        let unfinished: Vec<_> = all.iter().filter(|found| found.unfinished).map(|found| (found.path.filename(), found.target())).collect();
        assert_eq!(unfinished, [(Some("staged#12"), Some("staged"))]);
        let link = Path::from_absolute_path(at("to folder")).expect("path");
        let named = LocalFolders::default().stat(&link).await.expect("looked").expect("there");
        assert_eq!(named.kind, Kind::Folder, "a link that is named is followed");
    }

    #[tokio::test]
    async fn a_big_folder_is_listed_whole_and_one_that_is_not_there_is_empty() {
        let folder = tempfile::tempdir().expect("folder");
        for number in 0..2 * BATCH + 1 {
            fs::write(folder.path().join(number.to_string()), "").expect("written");
        }
        assert_eq!(names(folder.path()).await.len(), 2 * BATCH + 1);
        assert!(names(&folder.path().join("missing")).await.is_empty());
    }
}
