//! The folders of a store below one of them: what `PrefixStore` is for objects.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::Result;
use object_store::path::Path;

use crate::folders::{Folders, Status, Usage};

/// Folders whose paths are below `root`, which nothing here leaves.
#[derive(Debug)]
pub(crate) struct RootedFolders {
    inner: Arc<dyn Folders>,
    root: Path,
}

impl RootedFolders {
    pub(crate) fn new(inner: Arc<dyn Folders>, root: Path) -> Self {
        Self { inner, root }
    }

    fn full(&self, path: &Path) -> Path {
        self.root.parts().chain(path.parts()).collect()
    }
}

/// What was found, with its path as it is below `root`.
fn below(root: &Path, found: Status) -> Status {
    let path = found.path.prefix_match(root).map(Iterator::collect);
    Status { path: path.unwrap_or_else(|| found.path.clone()), ..found }
}

#[async_trait]
impl Folders for RootedFolders {
    async fn stat(&self, path: &Path) -> Result<Option<Status>> {
        let found = self.inner.stat(&self.full(path)).await?;
        Ok(found.map(|found| below(&self.root, found)))
    }

    fn list(&self, path: &Path) -> BoxStream<'static, Result<Status>> {
        let root = self.root.clone();
        self.inner.list(&self.full(path)).map(move |found| found.map(|found| below(&root, found))).boxed()
    }

    async fn make(&self, path: &Path) -> Result<()> {
        self.inner.make(&self.full(path)).await
    }

    async fn remove(&self, path: &Path, with_content: bool) -> Result<()> {
        self.inner.remove(&self.full(path), with_content).await
    }

    async fn usage(&self, path: &Path) -> Result<Option<Usage>> {
        self.inner.usage(&self.full(path)).await
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use crate::FileSystems;

    #[tokio::test]
    async fn folders_of_an_alias_are_below_its_root() {
        let folder = tempfile::tempdir().expect("folder");
        let root = folder.path().join("a ä%20");
        let keys = [("scheme", "file".to_owned()), ("root", root.display().to_string())];
        let aliases = FileSystems::new(keys.map(|(key, value)| (format!("fs.alias.in.{key}"), value)).into());
        let place = aliases.place("in:///x/y%").expect("resolves");
        assert!(place.make_folder().await.expect("made"));
        assert!(root.join("x/y%").is_dir());
        let found = place.stat().await.expect("asked").expect("there");
        assert_eq!((found.path.as_ref(), place.of(&found).uri()), ("x/y%", "in:///x/y%"));
        let above = aliases.place("in:///x").expect("resolves");
        let listed: Vec<_> = above.list().try_collect().await.expect("listed");
        assert_eq!(listed.iter().map(|found| above.of(found).uri().to_owned()).collect::<Vec<_>>(), ["in:///x/y%"]);
        let folders = place.folders().expect("a disk has folders");
        assert_eq!(folders.usage(above.path()).await.expect("asked").map_or(1, |usage| usage.folders), 1);
        folders.remove(place.path(), true).await.expect("removed");
        assert!(root.join("x").is_dir() && !root.join("x/y%").exists());
    }
}
