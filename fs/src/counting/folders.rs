//! Counters for folders. Asking how much a folder holds counts as a listing.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::Result;
use object_store::path::Path;

use super::{Counting, Meter, Operation};
use crate::folders::{Folders, Status, Usage};

#[derive(Debug)]
struct Counted {
    inner: Arc<dyn Folders>,
    meter: Arc<Meter>,
}

impl Counting {
    /// Counts what is done with the folders of the store inside.
    pub(crate) fn folders(&self, inner: Arc<dyn Folders>) -> Arc<dyn Folders> {
        Arc::new(Counted { inner, meter: Arc::clone(&self.meter) })
    }
}

#[async_trait]
impl Folders for Counted {
    async fn stat(&self, path: &Path) -> Result<Option<Status>> {
        self.meter.measure(Operation::Head, self.inner.stat(path)).await
    }

    fn list(&self, path: &Path) -> BoxStream<'static, Result<Status>> {
        self.meter.request(Operation::List);
        let meter = Arc::clone(&self.meter);
        self.inner.list(path).inspect(move |item| _ = item.as_ref().inspect_err(|error| meter.error(Operation::List, error))).boxed()
    }

    async fn make(&self, path: &Path) -> Result<()> {
        self.meter.measure(Operation::MakeFolder, self.inner.make(path)).await
    }

    async fn remove(&self, path: &Path, with_content: bool) -> Result<()> {
        self.meter.measure(Operation::Delete, self.inner.remove(path, with_content)).await
    }

    async fn usage(&self, path: &Path) -> Result<Option<Usage>> {
        self.meter.measure(Operation::List, self.inner.usage(path)).await
    }
}
