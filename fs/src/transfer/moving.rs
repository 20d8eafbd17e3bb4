//! Renaming, and what is left to do after a move by copy.

use std::error::Error as StdError;
use std::io;

use futures::StreamExt;
use object_store::{RenameOptions, RenameTargetMode};
use weir_base::ErrorKind;

use super::place::Place;
use super::tree::Source;
use super::walk::walk;
use crate::error::FsError;
use crate::folders::{Kind, Status};

/// What became of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// It was renamed, in one step.
    Renamed,
    /// It cannot be: the target is in another file system, or the store has no renames. Copy it and remove the source.
    OnlyByCopy,
}

/// Renames `source` to `to`, where `target` is, if both are in one file system that can rename. Nothing is replaced unless `replace`, and
/// a folder never is.
///
/// # Errors
/// A target that must stay, and what the store meets.
pub async fn rename(source: &Source, to: &Place, target: Option<&Status>, replace: bool) -> Result<Moved, FsError> {
    let from = &source.place;
    if from.folders().is_none() || !from.is_beside(to) {
        return Ok(Moved::OnlyByCopy);
    }
    let is_folder = source.found.kind == Kind::Folder;
    let refuse = |why: &str| Err(FsError::new(ErrorKind::User, format!("`{}` {why}", to.uri())));
    match target.map(|target| target.kind) {
        Some(Kind::Folder) => return refuse("exists; end it with `/` to move into it"),
        Some(Kind::File) if is_folder => return refuse("is a file, and no folder can take its place"),
        Some(_) if !replace => return refuse("exists; --force replaces it"),
        _ => {}
    }
    // Over a name that is taken, a folder is never renamed; a disk knows no other way to say so.
    let mode = if replace || is_folder { RenameTargetMode::Overwrite } else { RenameTargetMode::Create };
    let options = RenameOptions::new().with_target_mode(mode);
    match from.location().store.rename_opts(from.path(), to.path(), options).await {
        Ok(()) => Ok(Moved::Renamed),
        Err(error) if crosses_devices(&error) => Ok(Moved::OnlyByCopy),
        Err(error) => Err(FsError::from_store(&format!("moving `{}` to", from.uri()), to.uri(), error)),
    }
}

fn crosses_devices(error: &(dyn StdError + 'static)) -> bool {
    let itself = error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::CrossesDevices);
    itself || error.source().is_some_and(crosses_devices)
}

/// Removes the folder at `place` and those below it, as far as nothing is in them.
///
/// # Errors
/// What the store meets, apart from folders that are not empty.
pub async fn remove_empty_folders(place: &Place) -> Result<(), FsError> {
    let Some(folders) = place.folders() else { return Ok(()) };
    let mut found: Vec<_> = vec![place.path().clone()];
    let mut below = walk(place, 1);
    while let Some(status) = below.next().await.transpose()? {
        if status.kind == Kind::Folder {
            found.push(status.path);
        }
    }
    found.sort_by_key(|path| std::cmp::Reverse(path.parts_count()));
    for path in found {
        let mut inside = folders.list(&path);
        if inside.next().await.is_none() {
            folders.remove(&path, false).await.map_err(|error| place.failed("removing the emptied folders of", error))?;
        }
    }
    Ok(())
}
