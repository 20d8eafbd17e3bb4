//! An object store in memory whose operations are steps of the process.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};

use super::world::{Fate, World};

#[derive(Debug)]
pub(crate) struct Hooked {
    inner: Arc<InMemory>,
    world: Arc<World>,
}

impl Hooked {
    pub(crate) fn new(inner: Arc<InMemory>, world: Arc<World>) -> Self {
        Self { inner, world }
    }

    async fn around<T>(&self, operation: impl Future<Output = Result<T>>) -> Result<T> {
        self.world.step().await;
        let fate = self.world.fate();
        if fate == Fate::Fails {
            return Err(failure("refused"));
        }
        let result = operation.await;
        self.world.step().await;
        if fate == Fate::LosesAnswer { Err(failure("the answer was lost")) } else { result }
    }
}

fn failure(text: &str) -> Error {
    Error::Generic { store: "hooked", source: text.into() }
}

impl fmt::Display for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hooked")
    }
}

#[async_trait]
impl ObjectStore for Hooked {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.around(self.inner.put_opts(location, payload, opts)).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.around(self.inner.get_opts(location, options)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let world = Arc::clone(&self.world);
        let steps = locations.then(move |location| {
            let world = Arc::clone(&world);
            async move {
                world.step().await;
                location
            }
        });
        self.inner.delete_stream(steps.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.around(self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
