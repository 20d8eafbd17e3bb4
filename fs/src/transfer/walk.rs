//! Everything below a place.

use futures::stream::{BoxStream, SelectAll};
use futures::{StreamExt, TryStreamExt};

use super::place::Place;
use crate::error::FsError;
use crate::folders::{Kind, Status};

struct Walk {
    place: Place,
    /// Folders that were found and not yet listed.
    waiting: Vec<Place>,
    listings: SelectAll<BoxStream<'static, Result<Status, FsError>>>,
    parallel: usize,
}

/// All that is below `place`, in no particular order, a folder always before what is in it. Of an object store only objects.
///
/// Lists `parallel` folders at a time; an object store is listed in one go. A folder that cannot be listed is an error, and the walk goes
/// on with the others. Links to folders are not followed.
#[must_use]
pub fn walk(place: &Place, parallel: usize) -> BoxStream<'static, Result<Status, FsError>> {
    if place.folders().is_none() {
        let at = place.clone();
        let path = place.path().clone();
        let listed = place.location().store.list((!path.is_root()).then_some(&path)).map_ok(Status::from);
        // The marker of a folder, an object with the folder's name and a slash, is nothing below it.
        let below = listed.try_filter(move |found| std::future::ready(found.path != path));
        return below.map_err(move |error| at.failed("listing", error)).boxed();
    }
    let walk = Walk { place: place.clone(), waiting: vec![place.clone()], listings: SelectAll::new(), parallel: parallel.max(1) };
    futures::stream::unfold(walk, |mut walk| async move { walk.next().await.map(|found| (found, walk)) }).boxed()
}

impl Walk {
    async fn next(&mut self) -> Option<Result<Status, FsError>> {
        loop {
            while self.listings.len() < self.parallel
                && let Some(folder) = self.waiting.pop()
            {
                self.listings.push(folder.list());
            }
            match self.listings.next().await {
                None if self.waiting.is_empty() => return None,
                None => {}
                Some(Ok(found)) => {
                    if found.kind == Kind::Folder {
                        self.waiting.push(self.place.of(&found));
                    }
                    return Some(Ok(found));
                }
                Some(Err(error)) => return Some(Err(error)),
            }
        }
    }
}
