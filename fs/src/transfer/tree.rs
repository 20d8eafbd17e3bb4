//! Many files copied, several at a time, each with an outcome of its own.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::ObjectStoreExt;
use weir_base::ErrorKind;

use super::content::{Checksum, internal};
use super::copy::{CopyOptions, Existing, FileCopied, copy_file};
use super::place::Place;
use super::walk::walk;
use crate::error::{FsError, is_not_found};
use crate::folders::{Kind, Status};

/// Something that is to be copied.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where it is.
    pub place: Place,
    /// What it is.
    pub found: Status,
}

/// What became of one file or folder.
#[derive(Debug)]
pub struct Event {
    /// The URI of the source.
    pub from: String,
    /// The URI of the copy.
    pub to: String,
    /// The length of the file.
    pub bytes: u64,
    /// What was done.
    pub outcome: Outcome,
}

/// What was done with a file or folder.
#[derive(Debug)]
pub enum Outcome {
    /// It was copied; the checksum is that of its content.
    Copied(Checksum),
    /// The same was there already.
    Same,
    /// It would be copied if this were no dry run.
    Planned {
        /// Whether another file would be replaced.
        replaces: bool,
    },
    /// The folder was made, if the target's store has folders.
    Folder,
    /// Left out: the hidden file of a writer that has not finished.
    Unfinished,
    /// Not copied, because the copying was stopped.
    Stopped,
    /// Not copied, or copied and found to be wrong.
    Failed(FsError),
}

impl Source {
    /// Where the copy of this goes if `to` is asked for, and what is there: a file goes into a folder that exists. A folder never does, so
    /// that the same request made twice means the same: it becomes what `to` says.
    ///
    /// # Errors
    /// What the store meets, and a target that no copy can have.
    pub async fn target(&self, to: &Place) -> Result<(Place, Option<Status>), FsError> {
        let found = to.stat().await?;
        let into = self.found.kind != Kind::Folder && found.as_ref().is_some_and(|found| found.kind == Kind::Folder);
        let (to, found) = match self.place.path().filename() {
            Some(name) if into => {
                let inside = to.child(name)?;
                let found = inside.target().await?;
                (inside, found)
            }
            _ => (to.clone(), found),
        };
        let wrong = |why: String| Err(FsError::new(ErrorKind::User, why));
        if self.place.is_beside(&to) && to.path() == self.place.path() {
            return wrong(format!("`{}` is the source itself", to.uri()));
        }
        if self.found.kind != Kind::Folder {
            return Ok((to, found));
        }
        if self.place.is_beside(&to) && to.path().prefix_matches(self.place.path()) {
            return wrong(format!("`{}` lies in `{}`, which would be copied into itself for ever", to.uri(), self.place.uri()));
        }
        if found.as_ref().is_some_and(|found| found.kind != Kind::Folder) {
            return wrong(format!("`{}` is no folder, so no folder can be copied to it", to.uri()));
        }
        Ok((to, found))
    }
}

/// What the copying of one tree has in common.
struct Job {
    from: Place,
    to: Place,
    /// Whether the target was not there: then nothing of it is looked at.
    fresh: bool,
    options: CopyOptions,
}

/// Copies `source` with all below it to `to`, where `target` is, as [`Source::target`] says. One event for each file and folder, in the
/// order in which they are done; a failure of one does not end the others.
#[must_use]
pub fn copy(source: Source, to: Place, target: Option<Status>, options: CopyOptions) -> BoxStream<'static, Event> {
    let Source { place: from, found } = source;
    let is_tree = found.kind == Kind::Folder;
    if is_tree && target.is_some() && options.existing == Existing::Refuse {
        let why = format!(
            "`{0}` exists; --resume completes it, --force replaces its files, and `{0}/` puts the copy into it under the source's name",
            to.uri()
        );
        let event = Event::new(&from, &to, 0, Outcome::Failed(FsError::new(ErrorKind::User, why)));
        return futures::stream::once(std::future::ready(event)).boxed();
    }
    let (parallel, stop) = (options.parallel.max(1), options.stop.clone());
    let below = if is_tree { walk(&from, parallel) } else { futures::stream::empty().boxed() };
    let found = futures::stream::once(std::future::ready(Ok(found))).chain(below).take_until(stop.cancelled_owned());
    let job = Arc::new(Job { fresh: target.is_none(), from, to, options });
    let begin = move |found: Result<Status, FsError>| {
        let (job, of_task) = (Arc::clone(&job), Arc::clone(&job));
        let work = weir_base::task::spawn("fs-copy", async move { of_task.copy(found).await });
        async move { work.await.unwrap_or_else(|error| Event::new(&job.from, &job.to, 0, Outcome::Failed(internal(error)))) }
    };
    found.map(begin).buffer_unordered(parallel).boxed()
}

impl Event {
    fn new(from: &Place, to: &Place, bytes: u64, outcome: Outcome) -> Self {
        Self { from: from.uri().to_owned(), to: to.uri().to_owned(), bytes, outcome }
    }
}

impl Job {
    async fn copy(&self, found: Result<Status, FsError>) -> Event {
        let found = match found {
            Ok(found) => found,
            Err(error) => return Event::new(&self.from, &self.to, 0, Outcome::Failed(error)),
        };
        let from = self.from.of(&found);
        let to = match self.from.relative(&found.path) {
            "" => Ok(self.to.clone()),
            below => self.to.child(below),
        };
        let (to, outcome) = match to {
            Ok(to) => {
                let outcome = self.one(&found, &from, &to).await;
                (to, outcome)
            }
            Err(error) => (self.to.clone(), Err(error)),
        };
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(_) if self.options.stop.is_cancelled() => Outcome::Stopped,
            Err(error) => Outcome::Failed(error),
        };
        Event::new(&from, &to, found.size, outcome)
    }

    async fn one(&self, found: &Status, from: &Place, to: &Place) -> Result<Outcome, FsError> {
        match found.kind {
            Kind::Other => {
                let what = "is a link to a folder, a device, or has a name that no object can have, and is not copied";
                Err(FsError::new(ErrorKind::User, format!("`{}` {what}", from.uri())))
            }
            Kind::File if found.unfinished => Ok(Outcome::Unfinished),
            Kind::File if found.size == 0 && is_marker(from).await? => self.folder(to).await,
            Kind::File => self.file(found, from, to).await,
            Kind::Folder => self.folder(to).await,
        }
    }

    async fn folder(&self, to: &Place) -> Result<Outcome, FsError> {
        if !self.options.dry_run {
            to.make_folder().await?;
        }
        Ok(Outcome::Folder)
    }

    async fn file(&self, found: &Status, from: &Place, to: &Place) -> Result<Outcome, FsError> {
        let target = if self.fresh { None } else { to.target().await? };
        let copied = copy_file(from, found.size, to, target.as_ref(), &self.options).await?;
        let outcome = match copied {
            FileCopied::Planned { replaces } => return Ok(Outcome::Planned { replaces }),
            FileCopied::Written(checksum) => Outcome::Copied(checksum),
            FileCopied::Same => Outcome::Same,
        };
        if self.options.remove_source && !self.options.dry_run {
            from.location().store.delete(from.path()).await.map_err(|error| from.failed("removing (after it was copied)", error))?;
        }
        Ok(outcome)
    }
}

/// Whether an empty object is listed that has no content: consoles mark folders by an object with the folder's name and a slash.
async fn is_marker(place: &Place) -> Result<bool, FsError> {
    if place.folders().is_some() {
        return Ok(false);
    }
    match place.location().store.head(place.path()).await {
        Ok(_) => Ok(false),
        Err(error) if is_not_found(&error) => Ok(true),
        Err(error) => Err(place.failed("looking at", error)),
    }
}
