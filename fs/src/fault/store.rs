//! A store that does to requests what a plan says.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

use super::plan::{Action, FaultPlan, Visit};

/// A store in which requests fail as a [`FaultPlan`] says. Without rules it is the store inside.
#[derive(Debug, Clone)]
pub struct Faulty {
    inner: Arc<dyn ObjectStore>,
    pub(super) plan: FaultPlan,
}

pub(super) fn failure(kind: io::ErrorKind, message: String) -> Error {
    Error::Generic { store: "faulty", source: Box::new(io::Error::new(kind, message)) }
}

/// What is left to do around a request once its delay is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    LoseAnswer,
    Truncate,
}

/// Waits or fails if the action of `visit` says so, and gives what it says about the rest of the request.
pub(super) async fn before(visit: &Visit, operation: &str, path: &Path) -> Result<Fault> {
    match visit.action {
        None => Ok(Fault::None),
        Some(Action::Fail) => Err(failure(io::ErrorKind::ConnectionReset, format!("fault: {operation} of `{path}` fails"))),
        Some(Action::NoSpace) => Err(no_space(operation, path)),
        Some(Action::LoseAnswer) => Ok(Fault::LoseAnswer),
        Some(Action::Truncate) => Ok(Fault::Truncate),
        Some(Action::Delay(time)) => {
            tokio::time::sleep(time).await;
            Ok(Fault::None)
        }
        Some(Action::Reorder) => {
            visit.turn.overtaken().await;
            Ok(Fault::None)
        }
    }
}

fn no_space(operation: &str, path: &Path) -> Error {
    failure(io::ErrorKind::StorageFull, format!("fault: no space left on device for {operation} of `{path}`"))
}

/// The answer of a request that was done, unless it is to be lost.
fn after<T>(fault: Fault, operation: &str, path: &Path, answer: Result<T>) -> Result<T> {
    match fault {
        Fault::LoseAnswer => {
            answer.and_then(|_| Err(failure(io::ErrorKind::ConnectionAborted, format!("fault: the answer of {operation} of `{path}` is lost"))))
        }
        Fault::None | Fault::Truncate => answer,
    }
}

impl Faulty {
    /// `inner` under `plan`.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>, plan: FaultPlan) -> Self {
        Self { inner, plan }
    }

    pub(super) async fn around<T>(&self, operation: &str, path: &Path, work: impl Future<Output = Result<T>>) -> Result<T> {
        let visit = self.plan.visit(operation, path.as_ref());
        let fault = before(&visit, operation, path).await?;
        after(fault, operation, path, work.await)
    }
}

fn half(payload: &PutPayload) -> PutPayload {
    let bytes = Bytes::from(payload.clone());
    bytes.slice(..bytes.len() / 2).into()
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let visit = self.plan.visit("put", location.as_ref());
        let fault = before(&visit, "put", location).await?;
        if fault == Fault::Truncate {
            self.inner.put_opts(location, half(&payload), options).await?;
            return Err(failure(io::ErrorKind::ConnectionReset, format!("fault: put of `{location}` stops half-way")));
        }
        after(fault, "put", location, self.inner.put_opts(location, payload, options).await)
    }

    async fn put_multipart_opts(&self, location: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let visit = self.plan.visit("put", location.as_ref());
        // A disk fills while a file is written, not when it is begun; an answer is lost when it is closed.
        let later = matches!(visit.action, Some(Action::NoSpace | Action::LoseAnswer | Action::Truncate));
        if !later {
            before(&visit, "put", location).await?;
        }
        let upload = self.inner.put_multipart_opts(location, options).await?;
        let visit = later.then_some(visit);
        Ok(Box::new(FaultyUpload { upload, location: location.clone(), plan: self.plan.clone(), visit }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let operation = if options.head { "head" } else { "get" };
        let visit = self.plan.visit(operation, location.as_ref());
        let fault = before(&visit, operation, location).await?;
        let result = after(fault, operation, location, self.inner.get_opts(location, options).await)?;
        if fault != Fault::Truncate || operation == "head" {
            return Ok(result);
        }
        let (meta, range, attributes) = (result.meta.clone(), result.range.clone(), result.attributes.clone());
        let bytes = result.bytes().await?;
        let broken = failure(io::ErrorKind::ConnectionReset, format!("fault: get of `{location}` breaks off"));
        let body = futures::stream::iter([Ok(bytes.slice(..bytes.len() / 2)), Err(broken)]);
        Ok(GetResult { payload: GetResultPayload::Stream(body.boxed()), meta, range, attributes })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let visit = self.plan.visit("get", location.as_ref());
        let fault = before(&visit, "get", location).await?;
        let fault = if fault == Fault::Truncate { Fault::LoseAnswer } else { fault };
        after(fault, "get", location, self.inner.get_ranges(location, ranges).await)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let delete = move |location: Result<Path>| {
            let this = this.clone();
            async move {
                let location = location?;
                let mut deleted = this.inner.delete_stream(futures::stream::once(std::future::ready(Ok(location.clone()))).boxed());
                this.around("delete", &location, async { deleted.try_next().await.map(|_| location.clone()) }).await
            }
        };
        locations.map(delete).buffered(10).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(prefix.cloned().unwrap_or_default(), self.inner.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(prefix.cloned().unwrap_or_default(), self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let path = prefix.cloned().unwrap_or_default();
        self.around("list", &path, self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.around("copy", to, self.inner.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.around("rename", to, self.inner.rename_opts(from, to, options)).await
    }
}

#[derive(Debug)]
struct FaultyUpload {
    upload: Box<dyn MultipartUpload>,
    location: Path,
    plan: FaultPlan,
    /// What a rule for `put` says about the rest of this upload.
    visit: Option<Visit>,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let location = self.location.clone();
        if matches!(self.visit, Some(Visit { action: Some(Action::NoSpace | Action::Truncate), .. })) {
            return async move { Err(no_space("put", &location)) }.boxed();
        }
        let visit = self.plan.visit("part", location.as_ref());
        let part = self.upload.put_part(data);
        async move {
            let fault = before(&visit, "part", &location).await?;
            after(fault, "part", &location, part.await)
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let visit = self.visit.take().unwrap_or_else(|| self.plan.visit("complete", self.location.as_ref()));
        let fault = before(&visit, "complete", &self.location).await?;
        after(fault, "complete", &self.location, self.upload.complete().await)
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use object_store::{ObjectStoreExt, PutMode};

    use super::*;
    use crate::deadline::{Deadline, Limits};

    fn bare(plan: &str) -> (Arc<InMemory>, Faulty) {
        let memory = Arc::new(InMemory::new());
        let inner: Arc<dyn ObjectStore> = Arc::<InMemory>::clone(&memory);
        (memory, Faulty::new(inner, FaultPlan::parse(plan).expect("plan")))
    }

    fn with_retries(plan: &str) -> (Arc<InMemory>, Deadline) {
        let (memory, faulty) = bare(plan);
        let limits = Limits { deadline: std::time::Duration::from_secs(2), pause: std::time::Duration::from_millis(1), ..Limits::default() };
        (memory, Deadline::new(Arc::new(faulty), "memory://test".to_owned(), limits))
    }

    #[tokio::test]
    async fn a_lost_answer_means_that_the_object_is_there() {
        let (memory, store) = bare("put@1=lose-answer");
        assert!(store.put(&Path::from("a"), "x".into()).await.is_err());
        assert_eq!(memory.get(&Path::from("a")).await.expect("there").bytes().await.expect("bytes"), "x");
    }

    #[tokio::test]
    async fn a_put_if_absent_whose_answer_was_lost_has_won() {
        let (_, store) = with_retries("put@1=lose-answer");
        store.put_opts(&Path::from("a"), "mine".into(), PutMode::Create.into()).await.expect("won");
        let late = store.put_opts(&Path::from("a"), "mine".into(), PutMode::Create.into()).await;
        assert!(matches!(late, Err(Error::AlreadyExists { .. })), "{late:?}");
    }

    #[tokio::test]
    async fn a_put_if_absent_that_failed_and_finds_a_rival_has_lost() {
        let (memory, store) = with_retries("put@1=delay:30;put@2=fail");
        memory.put(&Path::from("a"), "rival".into()).await.expect("put");
        let lost = store.put_opts(&Path::from("a"), "mine".into(), PutMode::Create.into()).await;
        assert!(matches!(lost, Err(Error::AlreadyExists { .. })), "{lost:?}");
        let lost_again = store.put_opts(&Path::from("a"), "mine".into(), PutMode::Create.into()).await;
        assert!(matches!(lost_again, Err(Error::AlreadyExists { .. })), "{lost_again:?}");
    }

    #[tokio::test]
    async fn a_full_disk_is_waited_for_and_then_reported_with_the_uri() {
        let (_, store) = with_retries("put:a@2+=enospc;put:b@1=enospc");
        store.put(&Path::from("b"), "x".into()).await.expect("space was made");
        store.put(&Path::from("a"), "x".into()).await.expect("first");
        let error = store.put(&Path::from("a"), "x".into()).await.expect_err("full").to_string();
        assert!(error.contains("memory://test/a") && error.contains("no space left") && error.contains("tries"), "{error}");
    }

    #[tokio::test]
    async fn a_broken_body_is_read_on_from_where_it_broke() {
        let (memory, store) = with_retries("get@1=truncate;get@2=truncate");
        let body: Vec<u8> = (0..10_000_u32).flat_map(u32::to_le_bytes).collect();
        memory.put(&Path::from("a"), body.clone().into()).await.expect("put");
        assert_eq!(store.get(&Path::from("a")).await.expect("get").bytes().await.expect("bytes"), body);
    }

    #[tokio::test]
    async fn a_rename_whose_answer_was_lost_is_done_also_if_the_looks_that_tell_so_fail() {
        let (memory, store) = with_retries("rename@1=lose-answer;head@1=fail;head@3=fail");
        memory.put(&Path::from("a"), "x".into()).await.expect("put");
        store.rename(&Path::from("a"), &Path::from("b")).await.expect("renamed");
        assert!(store.rename(&Path::from("a"), &Path::from("b")).await.is_err());
    }

    #[tokio::test]
    async fn an_upload_on_a_full_disk_fails_and_leaves_nothing() {
        let (memory, store) = with_retries("put@1=enospc");
        let mut upload = store.put_multipart(&Path::from("a")).await.expect("begun");
        assert!(upload.put_part("x".into()).await.is_err());
        upload.abort().await.expect("aborted");
        assert!(memory.head(&Path::from("a")).await.is_err());
    }

    #[tokio::test]
    async fn a_deletion_is_repeated_and_a_missing_object_is_deleted() {
        let (memory, store) = with_retries("delete@1=fail");
        memory.put(&Path::from("a"), "x".into()).await.expect("put");
        store.delete(&Path::from("a")).await.expect("deleted");
        store.delete(&Path::from("a")).await.expect("not there is fine");
        assert!(memory.head(&Path::from("a")).await.is_err());
    }
}
