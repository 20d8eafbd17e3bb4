//! One file, copied and compared.
//!
//! A copy is never seen half done: small files are put in one request, bigger ones uploaded in parts that become visible together, which
//! on HDFS and a disk means a hidden name and a rename. Then the copy is read back, and its checksum must be that of what was read from
//! the source.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::TryStreamExt;
use object_store::{Error, MultipartUpload, ObjectStoreExt, PutMode, PutPayload};
use tokio_util::sync::CancellationToken;
use weir_base::{Classified, ErrorKind};

use super::content::{Checksum, Hasher, checksum, internal, piece_of, pieces};
use super::place::Place;
use crate::error::FsError;
use crate::folders::{Kind, Status};

/// What to do where a file is already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Leave it and report an error.
    Refuse,
    /// Replace it.
    Replace,
    /// Leave it if it has the source's length and checksum; else report an error.
    SkipSame,
    /// Leave it if it has the source's length and checksum; else replace it.
    ReplaceDifferent,
}

/// How files are copied.
#[derive(Debug, Clone)]
pub struct CopyOptions {
    /// What to do where a file is already.
    pub existing: Existing,
    /// Whether copies are read back and their checksums compared.
    pub verify: bool,
    /// Whether a source is removed as soon as its copy was found to be the same; this implies `verify`.
    pub remove_source: bool,
    /// Files in work at a time; each holds three pieces of 8 MiB and what the allocator keeps.
    pub parallel: usize,
    /// Whether nothing is changed, only told.
    pub dry_run: bool,
    /// Ends the copying at once; what is half done leaves nothing.
    pub stop: CancellationToken,
    /// Grows by the bytes that were read from sources.
    pub progress: Arc<AtomicU64>,
}

impl Default for CopyOptions {
    fn default() -> Self {
        let stop = CancellationToken::new();
        Self { existing: Existing::Refuse, verify: true, remove_source: false, parallel: 4, dry_run: false, stop, progress: Arc::default() }
    }
}

/// What to do with one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Write it; the target does not exist.
    Create,
    /// Write it over the target.
    Replace,
    /// Compare both first.
    Compare,
    /// There is a file, and it must stay.
    Exists,
    /// There is a file of another length, and it must stay.
    Differs,
    /// There is a folder, or something that is no file.
    NoFile,
}

/// What to do with a file of `size` bytes whose target is `target`.
pub(super) fn decide(size: u64, target: Option<&Status>, existing: Existing) -> Decision {
    let Some(target) = target else { return Decision::Create };
    match (target.kind, existing, target.size == size) {
        (Kind::Folder | Kind::Other, _, _) => Decision::NoFile,
        (Kind::File, Existing::Refuse, _) => Decision::Exists,
        (Kind::File, Existing::Replace, _) | (Kind::File, Existing::ReplaceDifferent, false) => Decision::Replace,
        (Kind::File, Existing::SkipSame, false) => Decision::Differs,
        (Kind::File, Existing::SkipSame | Existing::ReplaceDifferent, true) => Decision::Compare,
    }
}

/// What became of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileCopied {
    /// It was written; the checksum is that of what was read.
    Written(Checksum),
    /// It was there already, the same.
    Same,
    /// It would be written, over another file or not.
    Planned { replaces: bool },
}

fn refused(to: &Place, why: &str) -> FsError {
    FsError::new(ErrorKind::User, format!("`{}` {why}", to.uri()))
}

/// `work`, unless it is to stop.
async fn unless_stopped<T>(options: &CopyOptions, work: impl Future<Output = Result<T, FsError>>) -> Result<T, FsError> {
    tokio::select! {
        biased;
        () = options.stop.cancelled() => Err(FsError::new(ErrorKind::Transient, "stopped")),
        done = work => done,
    }
}

/// Copies the file at `from`, which has `size` bytes, to `to`, where `target` is.
///
/// # Errors
/// A target that must stay, what the stores meet, a source that changes, and a copy that is not like its source.
pub(super) async fn copy_file(from: &Place, size: u64, to: &Place, target: Option<&Status>, options: &CopyOptions) -> Result<FileCopied, FsError> {
    let mut decision = decide(size, target, options.existing);
    if decision == Decision::Compare {
        let both = async { futures::try_join!(checksum(from, size), checksum(to, size)) };
        let (source, copy) = unless_stopped(options, both).await?;
        decision = match options.existing {
            _ if source == copy => return Ok(FileCopied::Same),
            Existing::ReplaceDifferent => Decision::Replace,
            Existing::Refuse | Existing::Replace | Existing::SkipSame => Decision::Differs,
        };
    }
    let mode = match decision {
        Decision::Create => PutMode::Create,
        Decision::Replace => PutMode::Overwrite,
        Decision::Exists => return Err(refused(to, "exists; --resume skips what is the same, --force replaces it")),
        Decision::Differs | Decision::Compare => return Err(refused(to, "exists and is not like its source; --force replaces it")),
        Decision::NoFile => return Err(refused(to, "is no file, so no file can be copied over it; remove it first")),
    };
    if options.dry_run {
        return Ok(FileCopied::Planned { replaces: mode == PutMode::Overwrite });
    }
    let written = write_again(from, size, to, mode, options).await?;
    if options.verify || options.remove_source {
        let copy = unless_stopped(options, checksum(to, size)).await?;
        if copy != written {
            let message = format!(
                "`{}` was copied to `{}`, but what is read back is not the same: SHA-256 {written} and {copy}; copy it again with --force",
                from.uri(),
                to.uri()
            );
            return Err(FsError::new(ErrorKind::Corrupt, message));
        }
    }
    Ok(FileCopied::Written(written))
}

/// [`write()`], a few times: what fails in passing within a file of several parts, such as a DataNode that is late to report a block, ends that
/// file for good, and only a copy can begin it anew.
async fn write_again(from: &Place, size: u64, to: &Place, mode: PutMode, options: &CopyOptions) -> Result<Checksum, FsError> {
    let mut waits = WAITS.iter();
    loop {
        match (write(from, size, to, mode.clone(), options).await, waits.next()) {
            (Err(error), Some(wait)) if error.kind() == ErrorKind::Transient && size > piece_of(size) && !options.stop.is_cancelled() => {
                tracing::warn!(from = from.uri(), to = to.uri(), error = %weir_base::error::chain(&error), "a file is copied again from its beginning");
                let waited = async {
                    tokio::time::sleep(*wait).await;
                    Ok(())
                };
                unless_stopped(options, waited).await?;
            }
            (written, _) => return written,
        }
    }
}

/// Waits before a file is begun anew.
const WAITS: [Duration; 3] = [Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(3)];

/// Writes the content of `from` to `to`; gives the checksum of what was read.
async fn write(from: &Place, size: u64, to: &Place, mode: PutMode, options: &CopyOptions) -> Result<Checksum, FsError> {
    let piece = piece_of(size);
    let store = &to.location().store;
    let failed = |error: Error| match error {
        Error::AlreadyExists { .. } => refused(to, "appeared while it was copied; --resume skips what is the same").with_source(error),
        error => to.failed("writing", error),
    };
    if size <= piece {
        let put = async {
            let (mut hasher, mut content) = (Hasher::default(), PutPayload::new());
            let mut source = pieces(from, size, piece);
            while let Some(bytes) = source.try_next().await? {
                options.progress.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                content = bytes.clone().into();
                hasher = hasher.update(bytes).await?;
            }
            store.put_opts(to.path(), content, mode.into()).await.map_err(failed)?;
            Ok(hasher.finish())
        };
        return unless_stopped(options, put).await;
    }
    let mut upload = store.put_multipart(to.path()).await.map_err(failed)?;
    match unless_stopped(options, feed(from, size, upload.as_mut(), &options.progress, &failed)).await {
        Ok(checksum) => {
            upload.complete().await.map_err(failed)?;
            Ok(checksum)
        }
        Err(error) => {
            give_up(upload.as_mut(), to).await;
            Err(error)
        }
    }
}

async fn give_up(upload: &mut dyn MultipartUpload, to: &Place) {
    if let Err(error) = upload.abort().await {
        tracing::warn!(uri = to.uri(), %error, "parts of an upload that was given up may stay");
    }
}

/// Writes the pieces of `from` as parts; while one is written, the next is read.
async fn feed(
    from: &Place,
    size: u64,
    upload: &mut dyn MultipartUpload,
    progress: &AtomicU64,
    failed: &(dyn Fn(Error) -> FsError + Sync),
) -> Result<Checksum, FsError> {
    let mut hasher = Hasher::default();
    let mut source = pieces(from, size, piece_of(size));
    let mut writing: Option<weir_base::task::Task<object_store::Result<()>>> = None;
    while let Some(bytes) = source.try_next().await? {
        if let Some(part) = writing.take() {
            part.await.map_err(internal)?.map_err(failed)?;
        }
        progress.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        writing = Some(weir_base::task::spawn("fs-part", upload.put_part(bytes.clone().into())));
        hasher = hasher.update(bytes).await?;
    }
    if let Some(part) = writing {
        part.await.map_err(internal)?.map_err(failed)?;
    }
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use object_store::path::Path;

    use super::*;

    #[test]
    fn what_happens_to_a_target_depends_on_what_it_is() {
        let file = |size| Status { kind: Kind::File, size, ..Status::folder(Path::from("x")) };
        let folder = Status::folder(Path::from("x"));
        let all = [Existing::Refuse, Existing::Replace, Existing::SkipSame, Existing::ReplaceDifferent];
        assert!(all.iter().all(|existing| decide(5, None, *existing) == Decision::Create));
        assert!(all.iter().all(|existing| decide(0, Some(&folder), *existing) == Decision::NoFile));
        let same = all.map(|existing| decide(5, Some(&file(5)), existing));
        assert_eq!(same, [Decision::Exists, Decision::Replace, Decision::Compare, Decision::Compare]);
        let other = all.map(|existing| decide(5, Some(&file(4)), existing));
        assert_eq!(other, [Decision::Exists, Decision::Replace, Decision::Differs, Decision::Replace]);
    }
}
