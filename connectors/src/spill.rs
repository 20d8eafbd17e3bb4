//! Where operators put rows that do not fit into the memory budget: folders of each query or job, below `io.tmp.dirs`.
//!
//! A folder goes with its query, however that ends. The folder of a process that was killed is removed by the next one that spills to the same
//! place: its lock file, which stands beside it, is not locked any more.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use uuid::Uuid;

use crate::error::ConnectorError;

const PREFIX: &str = "weir-spill-";
const LOCK: &str = ".lock";

/// The folders of one query or job; they go with this.
#[derive(Debug)]
pub struct SpillFolders(Vec<SpillFolder>);

impl SpillFolders {
    /// A folder below each of `places`, or below the system's folder for temporary files, which may be one that nobody can write to: then
    /// nothing can be spilled.
    ///
    /// # Errors
    /// One of `places` that cannot be written to (user).
    pub fn try_new(places: &[PathBuf]) -> Result<Self, ConnectorError> {
        if places.is_empty() {
            return Ok(Self::in_default(&std::env::temp_dir()));
        }
        let folder = |place: &PathBuf| {
            remove_dead(place);
            SpillFolder::new_in(place).map_err(|error| {
                let what = format!("no folder for rows that do not fit into memory can be made in {} ('io.tmp.dirs')", place.display());
                ConnectorError::user(what).with_source(error)
            })
        };
        Ok(Self(places.iter().map(folder).collect::<Result<_, _>>()?))
    }

    fn in_default(place: &Path) -> Self {
        remove_dead(place);
        match SpillFolder::new_in(place) {
            Ok(folder) => Self(vec![folder]),
            Err(error) => {
                tracing::warn!(place = %place.display(), %error, "nothing can be spilled: name a folder by 'io.tmp.dirs'");
                Self(Vec::new())
            }
        }
    }

    /// The disk manager that spills into them.
    #[must_use]
    pub fn disk_manager(&self) -> DiskManagerBuilder {
        let paths: Vec<PathBuf> = self.0.iter().map(|folder| folder.path.clone()).collect();
        let mode = if paths.is_empty() { DiskManagerMode::Disabled } else { DiskManagerMode::Directories(paths) };
        DiskManagerBuilder::default().with_mode(mode)
    }
}

#[derive(Debug)]
struct SpillFolder {
    path: PathBuf,
    lock_path: PathBuf,
    /// Locked as long as this process lives.
    _lock: File,
}

impl SpillFolder {
    fn new_in(place: &Path) -> io::Result<Self> {
        let name = format!("{PREFIX}{}", Uuid::new_v4().simple());
        let (path, lock_path, unborn) = (place.join(&name), place.join(format!("{name}{LOCK}")), place.join(format!("{name}.new")));
        // Locked before it has its name, and before there is a folder: a lock file that is not locked is dead.
        let lock = OpenOptions::new().create_new(true).write(true).open(&unborn)?;
        lock.try_lock()?;
        fs::rename(&unborn, &lock_path)?;
        fs::create_dir(&path)?;
        Ok(Self { path, lock_path, _lock: lock })
    }
}

impl Drop for SpillFolder {
    fn drop(&mut self) {
        for removed in [fs::remove_dir_all(&self.path), fs::remove_file(&self.lock_path)] {
            if let Err(error) = removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }) {
                tracing::warn!(folder = %self.path.display(), %error, "a folder of spilled rows is left behind");
            }
        }
    }
}

/// Removes the folders of processes that were killed. What cannot be looked at or removed is left.
fn remove_dead(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(folder) = name.to_str().filter(|name| name.starts_with(PREFIX)).and_then(|name| name.strip_suffix(LOCK)) else { continue };
        // Held until all is removed, so that two cleaners do not meet.
        let Some(_held) = File::open(entry.path()).ok().filter(|lock| lock.try_lock().is_ok()) else { continue };
        if remove(&place.join(folder)) && fs::remove_file(entry.path()).is_ok() {
            tracing::info!(folder, "rows that a killed process had spilled are removed");
        }
    }
}

/// Whether the folder is gone now.
fn remove(folder: &Path) -> bool {
    fs::remove_dir_all(folder).is_ok() || !folder.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(place: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(place).expect("listed").map(|entry| entry.expect("entry").file_name().into_string().expect("text")).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_folder_goes_with_its_query_and_with_a_process_that_was_killed() {
        let place = tempfile::tempdir().expect("folder");
        fs::write(place.path().join("weir-spill-of-somebody.txt"), "kept").expect("written");
        // A process that was killed: a folder with rows, and a lock that nobody holds.
        fs::create_dir(place.path().join("weir-spill-dead")).expect("made");
        fs::write(place.path().join("weir-spill-dead").join("rows"), "spilled").expect("written");
        fs::write(place.path().join("weir-spill-dead.lock"), "").expect("written");
        let folders = SpillFolders::try_new(&[place.path().to_owned()]).expect("made");
        assert_eq!(names(place.path()).len(), 3, "{:?}", names(place.path()));
        let other = SpillFolders::try_new(&[place.path().to_owned()]).expect("made");
        assert_eq!(names(place.path()).len(), 5, "a living folder is left alone");
        drop((folders, other));
        assert_eq!(names(place.path()), ["weir-spill-of-somebody.txt"]);
    }

    #[test]
    fn many_that_begin_and_end_at_once_leave_each_other_alone() {
        let place = tempfile::tempdir().expect("folder");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let folders = SpillFolders::try_new(&[place.path().to_owned()]).expect("made");
                        for folder in &folders.0 {
                            fs::write(folder.path.join("rows"), "spilled").expect("the folder is there");
                        }
                    }
                });
            }
        });
        assert_eq!(names(place.path()), [""; 0]);
    }

    #[test]
    fn without_a_folder_for_temporary_files_only_spilling_is_not_possible() {
        let place = tempfile::tempdir().expect("folder");
        let folders = SpillFolders::in_default(&place.path().join("missing"));
        let manager = folders.disk_manager().build().expect("made");
        assert!(!manager.tmp_files_enabled());
    }

    #[test]
    fn a_place_that_is_none_is_refused_by_name() {
        let place = tempfile::tempdir().expect("folder");
        let missing = place.path().join("missing");
        let error = SpillFolders::try_new(&[missing]).expect_err("missing").to_string();
        assert!(error.contains("missing") && error.contains("'io.tmp.dirs'"), "{error}");
    }
}
