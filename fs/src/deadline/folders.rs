//! Deadlines and retries for folders.

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::Result;
use object_store::path::Path;

use super::{Deadline, Request, Tries};
use crate::folders::{Folders, Status, Usage};

#[derive(Debug)]
struct InTime {
    inner: Arc<dyn Folders>,
    tries: Arc<Tries>,
}

impl Deadline {
    /// Bounds the requests to the folders of the store inside.
    pub(crate) fn folders(&self, inner: Arc<dyn Folders>) -> Arc<dyn Folders> {
        Arc::new(InTime { inner, tries: Arc::clone(&self.tries) })
    }
}

#[async_trait]
impl Folders for InTime {
    async fn stat(&self, path: &Path) -> Result<Option<Status>> {
        self.tries.run(Request { operation: "stat", path, bytes: 0 }, |_| self.inner.stat(path)).await
    }

    fn list(&self, path: &Path) -> BoxStream<'static, Result<Status>> {
        let (inner, folder) = (Arc::clone(&self.inner), path.clone());
        Tries::listing(&self.tries, path.clone(), move || inner.list(&folder))
    }

    async fn make(&self, path: &Path) -> Result<()> {
        self.tries.run(Request { operation: "mkdir", path, bytes: 0 }, |_| self.inner.make(path)).await
    }

    async fn remove(&self, path: &Path, with_content: bool) -> Result<()> {
        self.tries.run(Request { operation: "delete", path, bytes: 0 }, |_| self.inner.remove(path, with_content)).await
    }

    async fn usage(&self, path: &Path) -> Result<Option<Usage>> {
        self.tries.run(Request { operation: "usage", path, bytes: 0 }, |_| self.inner.usage(path)).await
    }
}
