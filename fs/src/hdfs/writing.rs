//! Files being written: under a hidden name until they are complete, then renamed.
//!
//! A NameNode may have no further block for a file yet (`following`). The client's writer cannot be asked again: it has let go of the block
//! before, and a NameNode that is not told of it takes the question for another one. So the file is closed with what its DataNodes hold, which
//! are bytes of this process in their order, and goes on behind its end. Where that lies tells which bytes it lacks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use hdfs_native::WriteOptions;
use hdfs_native::file::FileWriter;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};
use tokio::sync::{Mutex, oneshot};
use uuid::Uuid;
use weir_base::ErrorKind;

use super::cluster::Cluster;
use super::errors::Failure;
use super::temporary;
use crate::deadline::Limits;
use crate::error::FsError;

/// Between two tries to open a file behind its end.
const CLOSING: Duration = Duration::from_millis(500);

/// A file that is deleted when this is dropped, unless it was published.
#[derive(Debug)]
struct Temporary {
    cluster: Arc<Cluster>,
    path: String,
    gone: bool,
}

impl Temporary {
    /// Deletes the file and waits for it. The file may not exist.
    async fn delete(mut self) -> std::result::Result<(), Failure> {
        self.cluster.delete(&self.path).await?;
        self.gone = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.gone {
            return;
        }
        let (cluster, path) = (Arc::clone(&self.cluster), std::mem::take(&mut self.path));
        let cleaning = async move {
            if let Err(error) = cluster.delete(&path).await {
                tracing::warn!(path, %error, "temporary file stays");
            }
        };
        self.cluster.detach(cleaning);
    }
}

/// What a look at the files tells about a rename whose answer is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    NotDone,
}

/// The source's absence and a target of the right length prove that the file was moved: nobody else knows the source's name.
fn outcome(source_exists: bool, target_length: Option<u64>, length: u64) -> Outcome {
    if !source_exists && target_length == Some(length) { Outcome::Done } else { Outcome::NotDone }
}

/// What a file that ends at `end` lacks of `bytes`, which begin at `begin`: nothing can be said if it ends elsewhere.
fn missing(bytes: &Bytes, begin: u64, end: u64) -> Option<Bytes> {
    let there = usize::try_from(end.checked_sub(begin)?).ok()?;
    (there <= bytes.len()).then(|| bytes.slice(there..))
}

/// An open file. Dropped, it vanishes.
pub(super) struct OpenFile {
    /// Missing after a failed write.
    writer: Option<FileWriter>,
    length: u64,
    temporary: Temporary,
    /// It was closed and opened again.
    reopened: bool,
}

impl OpenFile {
    /// Begins a file that shall become `target`, an absolute path.
    pub(super) async fn create(cluster: &Arc<Cluster>, target: &str) -> std::result::Result<Self, Failure> {
        let path = temporary::beside(target, Uuid::new_v4());
        // The guard comes first: a create whose answer is lost leaves a file.
        let temporary = Temporary { cluster: Arc::clone(cluster), path: path.clone(), gone: false };
        let writer = cluster.call(|client| async move { client.create(&path, WriteOptions::default()).await }).await?;
        Ok(Self { writer: Some(writer), length: 0, temporary, reopened: false })
    }

    /// Does `work` with the writer on the runtime of HDFS; after a failure the file takes no more.
    async fn with_writer<F, W>(&mut self, limit: Duration, work: F) -> std::result::Result<(), Failure>
    where
        F: FnOnce(FileWriter) -> W,
        W: Future<Output = std::result::Result<FileWriter, hdfs_native::HdfsError>> + Send + 'static,
    {
        let broken = || Failure::Hdfs(hdfs_native::HdfsError::OperationFailed("an earlier write to this file failed".to_owned()));
        let writer = self.writer.take().ok_or_else(broken)?;
        self.writer = Some(self.temporary.cluster.within(limit, work(writer)).await?);
        Ok(())
    }

    /// Appends `bytes`.
    pub(super) async fn write(&mut self, bytes: Bytes) -> std::result::Result<(), Failure> {
        match self.append(bytes.clone()).await {
            Err(early) if early.is_early() => self.go_on(&bytes, early).await?,
            done => done?,
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    async fn append(&mut self, bytes: Bytes) -> std::result::Result<(), Failure> {
        let limit = self.temporary.cluster.limits().timeout + Limits::allowance(bytes.len() as u64);
        self.with_writer(limit, |mut writer| async move { Box::pin(writer.write_bytes(bytes)).await.map(|_| writer) }).await
    }

    /// Appends what the file lacks of `bytes`, of which the beginning may be in it. There was no block for the rest yet, which `early` tells.
    async fn go_on(&mut self, bytes: &Bytes, mut early: Failure) -> std::result::Result<(), Failure> {
        let cluster = Arc::clone(&self.temporary.cluster);
        // The part of an upload has the whole time, with the parts that it waited for.
        let (begun, patience) = (Instant::now(), cluster.limits().deadline * 3 / 4);
        let mut asked = 1;
        for pause in cluster.following().pauses() {
            tracing::info!(path = self.temporary.path, asked, "the NameNode has no further block yet, asking again");
            let mut refused = None;
            let reopening = async {
                tokio::time::sleep(pause).await;
                self.reopen(bytes, &mut refused).await
            };
            let Ok(rest) = tokio::time::timeout(patience.saturating_sub(begun.elapsed()), reopening).await else {
                match refused {
                    Some(refused) => return Err(refused),
                    None => break,
                }
            };
            asked += 1;
            match self.append(rest?).await {
                Err(again) if again.is_early() => early = again,
                done => return done,
            }
        }
        Err(Failure::NoBlock { cause: Box::new(early), asked, waited: begun.elapsed() })
    }

    /// Opens the file behind its end, and gives what it lacks of `bytes`; meanwhile `refused` is why it could not be opened last.
    async fn reopen(&mut self, bytes: &Bytes, refused: &mut Option<Failure>) -> std::result::Result<Bytes, Failure> {
        let (end, writer) = loop {
            match self.open_behind_end().await {
                Ok(Some(opened)) => break opened,
                Ok(None) => *refused = None,
                Err(failure) if failure.may_pass() => {
                    tracing::debug!(path = self.temporary.path, %failure, "a file cannot be gone on with yet");
                    *refused = Some(failure);
                }
                Err(failure) => return Err(failure),
            }
            tokio::time::sleep(CLOSING).await;
        };
        let rest = missing(bytes, self.length, end).ok_or_else(|| {
            let what =
                format!("the file was closed with {end} bytes, and bytes {} to {} were written", self.length, self.length + bytes.len() as u64);
            Failure::Hdfs(hdfs_native::HdfsError::OperationFailed(what))
        })?;
        self.writer = Some(writer);
        self.reopened = true;
        Ok(rest)
    }

    /// The file's length and a writer behind it; nothing while the file is being closed. A closed file may still refuse to be opened: its last
    /// block may have come to too few DataNodes yet, or it is open because the answer to an earlier question was lost.
    async fn open_behind_end(&self) -> std::result::Result<Option<(u64, FileWriter)>, Failure> {
        let (cluster, path) = (&self.temporary.cluster, &self.temporary.path);
        if !cluster.close(path).await? {
            return Ok(None);
        }
        let end = cluster.status(path).await?.map_or(0, |status| status.length as u64);
        Ok(Some((end, cluster.append(path).await?)))
    }

    /// Closes the file and gives it the name `target`.
    ///
    /// # Errors
    /// `AlreadyExists` if it must not replace and there is one; else the file is not there, or the error says that this is unknown.
    pub(super) async fn publish(mut self, target: &str, overwrite: bool) -> Result<()> {
        // Closing waits for DataNodes to report, half a second as a rule.
        let limit = self.temporary.cluster.limits().timeout;
        let closed = self.with_writer(limit, |mut writer| async move { Box::pin(writer.close()).await.map(|()| writer) }).await;
        closed.map_err(|failure| failure.about(target))?;
        self.writer = None;
        let Self { length, mut temporary, reopened, .. } = self;
        let cluster = Arc::clone(&temporary.cluster);
        if reopened {
            let found = cluster.status(&temporary.path).await.map_err(|failure| failure.about(target))?.map(|status| status.length as u64);
            if found != Some(length) {
                let message = format!("`{target}` was closed and opened again while it was written, and has {found:?} bytes instead of {length}");
                return Err(FsError::new(ErrorKind::Transient, message).into_store_error());
            }
        }
        let Err(failure) = cluster.rename(&temporary.path, target, overwrite).await else {
            temporary.gone = true;
            return Ok(());
        };
        let unknown = |cause: Failure| {
            let message = format!("whether `{target}` was written is not known: {failure}, and then {cause}");
            FsError::new(ErrorKind::Transient, message).into_store_error()
        };
        let source_exists = cluster.status(&temporary.path).await.map_err(unknown)?.is_some();
        let target_length = cluster.status(target).await.map_err(unknown)?.map(|status| status.length as u64);
        match outcome(source_exists, target_length, length) {
            Outcome::Done => {
                temporary.gone = true;
                Ok(())
            }
            Outcome::NotDone => {
                // Once the source is gone, a rename that still waits in the server can do nothing any more.
                temporary.delete().await.map_err(unknown)?;
                Err(failure.about(target))
            }
        }
    }

    /// Ends the file without a trace.
    pub(super) async fn discard(mut self) -> std::result::Result<(), Failure> {
        self.writer = None;
        self.temporary.delete().await
    }
}

/// An upload in parts. Parts are written in the order of the calls, each when its future is polled: nothing is queued.
pub(super) struct Upload {
    target: String,
    file: Arc<Mutex<Option<OpenFile>>>,
    /// Comes when the part before is written.
    turn: oneshot::Receiver<()>,
    after: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Upload({})", self.target)
    }
}

impl Upload {
    /// An upload to `target` through `file`; `after` is called when it is visible.
    pub(super) fn new(file: OpenFile, target: String, after: Box<dyn Fn() + Send + Sync>) -> Self {
        let (first, turn) = oneshot::channel();
        // The receiver is held, so this cannot fail.
        _ = first.send(());
        Self { target, file: Arc::new(Mutex::new(Some(file))), turn, after }
    }

    fn over(&self) -> object_store::Error {
        FsError::new(ErrorKind::Transient, format!("the upload of `{}` has failed or is over", self.target)).into_store_error()
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (done, next) = oneshot::channel();
        let turn = std::mem::replace(&mut self.turn, next);
        let (file, target) = (Arc::clone(&self.file), self.target.clone());
        let over = self.over();
        async move {
            // The part before was dropped or failed: there is a hole.
            if turn.await.is_err() {
                return Err(over);
            }
            let mut file = file.lock().await;
            let Some(open) = file.as_mut() else { return Err(over) };
            for bytes in data {
                open.write(bytes).await.map_err(|failure| failure.about(&target))?;
            }
            // Nobody waits if the upload itself is gone.
            _ = done.send(());
            Ok(())
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let (_, spent) = oneshot::channel();
        let turn = std::mem::replace(&mut self.turn, spent);
        if turn.await.is_err() {
            return Err(self.over());
        }
        let file = self.file.lock().await.take().ok_or_else(|| self.over())?;
        file.publish(&self.target, true).await?;
        (self.after)();
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        match self.file.lock().await.take() {
            Some(file) => file.discard().await.map_err(|failure| failure.about(&self.target)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_rename_is_done_only_if_the_source_is_gone_and_the_target_fits() {
        assert_eq!(outcome(false, Some(5), 5), Outcome::Done);
        for (source_exists, target_length) in [(true, None), (true, Some(5)), (false, None), (false, Some(4))] {
            assert_eq!(outcome(source_exists, target_length, 5), Outcome::NotDone);
        }
    }

    #[test]
    fn a_file_goes_on_with_the_bytes_behind_its_end_and_never_over_a_hole() {
        let lacks = |end| missing(&Bytes::from_static(b"abcd"), 10, end);
        assert_eq!([10, 12, 14].map(lacks), [Some("abcd".into()), Some("cd".into()), Some("".into())]);
        assert_eq!([9, 15, 0].map(lacks), [None, None, None]);
    }
}
