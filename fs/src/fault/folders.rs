//! Folders whose requests fail as a plan says.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, Result};

use super::store::{Fault, Faulty, before, failure};
use crate::folders::{Folders, Status, Usage};

#[derive(Debug)]
struct FaultyFolders {
    inner: Arc<dyn Folders>,
    store: Faulty,
}

impl Faulty {
    /// The folders of the store inside, under the same plan.
    pub(crate) fn folders(&self, inner: Arc<dyn Folders>) -> Arc<dyn Folders> {
        Arc::new(FaultyFolders { inner, store: self.clone() })
    }

    /// A listing of `path` that may break off.
    pub(super) fn listing<T: Send + 'static>(&self, path: Path, items: BoxStream<'static, Result<T>>) -> BoxStream<'static, Result<T>> {
        let visit = self.plan.visit("list", path.as_ref());
        async move {
            match before(&visit, "list", &path).await? {
                Fault::None => Ok::<_, Error>(items),
                Fault::LoseAnswer | Fault::Truncate => {
                    let broken = failure(io::ErrorKind::ConnectionReset, format!("fault: listing `{path}` breaks off"));
                    Ok(items.take(1).chain(futures::stream::once(async { Err(broken) })).boxed())
                }
            }
        }
        .into_stream()
        .try_flatten()
        .boxed()
    }
}

#[async_trait]
impl Folders for FaultyFolders {
    async fn stat(&self, path: &Path) -> Result<Option<Status>> {
        self.store.around("head", path, self.inner.stat(path)).await
    }

    fn list(&self, path: &Path) -> BoxStream<'static, Result<Status>> {
        self.store.listing(path.clone(), self.inner.list(path))
    }

    async fn make(&self, path: &Path) -> Result<()> {
        self.store.around("mkdir", path, self.inner.make(path)).await
    }

    async fn remove(&self, path: &Path, with_content: bool) -> Result<()> {
        self.store.around("delete", path, self.inner.remove(path, with_content)).await
    }

    async fn usage(&self, path: &Path) -> Result<Option<Usage>> {
        self.store.around("list", path, self.inner.usage(path)).await
    }
}
