//! From a URI to the store that serves it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;
use weir_base::ErrorKind;
use weir_base::secret::{MASK, is_sensitive_key};

use crate::counting::IoCounts;
use crate::environment::Environment;
use crate::error::FsError;
use crate::folders::Folders;
use crate::iceberg_storage;
use crate::mounts::{self, StoreKind};
use crate::registry::{StoreKey, StoreRegistry};
use crate::transfer::Place;
use crate::uri;

/// All file systems of a process under one configuration; clones and scoped views share stores.
///
/// | property | meaning | default |
/// |---|---|---|
/// | `fs.request.deadline` | how long a request is tried before its error is final, such as `60 s` | 60 s |
/// | `fs.request.timeout` | how long one try may take, plus a second for each MiB | 20 s |
/// | `fs.file.sync` | whether local files are flushed to the disk when they are closed | true |
/// | `s3.endpoint`, `s3.access-key-id`, `s3.secret-access-key`, `s3.session-token`, `s3.region`, `client.region`, `s3.path-style-access` | as in Iceberg | `AWS_*` |
/// | `fs.s3a.endpoint`, `fs.s3a.access.key`, `fs.s3a.secret.key`, `fs.s3a.session.token`, `fs.s3a.endpoint.region`, `fs.s3a.path.style.access` | as in Hadoop; the former win | |
/// | `hadoop-conf-dir` | folder of `core-site.xml` and `hdfs-site.xml` | `HADOOP_CONF_DIR` |
/// | `hadoop.user.name` | user of an unsecured HDFS | `HADOOP_USER_NAME`, else the system's user |
/// | `dfs.*`, `fs.defaultFS`, `hadoop.*` | entries of those files, which they override | |
#[derive(Clone)]
pub struct FileSystems {
    properties: Arc<BTreeMap<String, String>>,
    environment: Environment,
    stores: Arc<StoreRegistry>,
}

/// A resolved URI.
#[derive(Debug, Clone)]
pub struct Location {
    /// The URI as it is written into metadata.
    pub uri: String,
    /// The store that serves it.
    pub store: Arc<dyn ObjectStore>,
    /// The path in the store.
    pub path: Path,
}

impl FileSystems {
    /// File systems configured by `properties`, with the environment of the process behind them.
    #[must_use]
    pub fn new(properties: BTreeMap<String, String>) -> Self {
        Self::with_environment(properties, Environment::process())
    }

    /// File systems configured by `properties`, with `environment` behind them.
    #[must_use]
    pub fn with_environment(properties: BTreeMap<String, String>, environment: Environment) -> Self {
        Self { properties: Arc::new(properties), environment, stores: Arc::default() }
    }

    /// The same with more properties, which win: those of a catalog or a table, for that object alone.
    #[must_use]
    pub fn with_properties(&self, properties: &BTreeMap<String, String>) -> Self {
        let mut merged = (*self.properties).clone();
        merged.extend(properties.clone());
        Self { properties: Arc::new(merged), environment: self.environment.clone(), stores: Arc::clone(&self.stores) }
    }

    /// The store and path of `uri`. Makes no request; the first URI of an HDFS reads its configuration files.
    ///
    /// A path without scheme must be absolute and is a local file. Names are taken literally, nothing is URL-decoded.
    ///
    /// # Errors
    /// An unknown scheme, a malformed URI, or a configuration that is wrong.
    pub fn resolve(&self, uri: &str) -> Result<Location, FsError> {
        self.find(uri).map(|(location, _)| location)
    }

    /// The same with what the store does with folders.
    ///
    /// # Errors
    /// As [`FileSystems::resolve`].
    pub fn place(&self, uri: &str) -> Result<Place, FsError> {
        self.find(uri).map(|(location, folders)| Place::new(location, folders))
    }

    fn find(&self, uri: &str) -> Result<(Location, Option<Arc<dyn Folders>>), FsError> {
        let parsed = uri::parse(uri)?;
        let binding = mounts::bind(&parsed.scheme, uri, &self.properties)?;
        let kind = binding.kind;
        let key = StoreKey::try_new(binding, parsed.authority, uri)?;
        let path = path_in_store(kind, uri, parsed.path)?;
        let (store, folders) = self.stores.get_or_build(key, &self.environment)?;
        let uri = if uri.starts_with('/') { format!("file://{uri}") } else { uri.to_owned() };
        Ok((Location { uri, store, path }, folders))
    }

    /// The same road for the iceberg crate.
    #[must_use]
    pub fn file_io(&self) -> iceberg::io::FileIO {
        iceberg_storage::file_io(self)
    }

    /// What the stores of these file systems have done, by scheme and operation.
    #[must_use]
    pub fn io_counts(&self) -> Vec<IoCounts> {
        self.stores.io_counts()
    }

    pub(crate) fn properties(&self) -> &BTreeMap<String, String> {
        &self.properties
    }

    /// Whether `other` has the same stores under the same configuration.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.stores, &other.stores) && self.properties == other.properties && self.environment == other.environment
    }
}

impl Default for FileSystems {
    fn default() -> Self {
        Self::new(BTreeMap::new())
    }
}

impl fmt::Debug for FileSystems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.properties.iter().map(|(key, value)| (key, if is_sensitive_key(key) { MASK } else { value }));
        f.debug_tuple("FileSystems").field(&shown.collect::<BTreeMap<_, _>>()).finish()
    }
}

/// The path inside a store. File systems take `//` as `/`; an object store would take it as another key, so it is refused there.
fn path_in_store(kind: StoreKind, uri: &str, path: &str) -> Result<Path, FsError> {
    let joined;
    let path = if path.contains("//") && matches!(kind, StoreKind::File | StoreKind::Hdfs) {
        joined = path.split('/').filter(|segment| !segment.is_empty()).collect::<Vec<_>>().join("/");
        &joined
    } else {
        path
    };
    Path::parse(path).map_err(|error| FsError::new(ErrorKind::User, format!("`{uri}` is no usable path: {error}")).with_source(error))
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;

    use super::*;

    fn properties(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn file_systems() -> FileSystems {
        FileSystems::with_environment(BTreeMap::new(), Environment::default())
    }

    #[test]
    fn one_configuration_is_one_store_and_another_is_another() {
        let base = file_systems();
        let first = base.resolve("s3://bucket/a").expect("resolves");
        assert!(Arc::ptr_eq(&first.store, &base.clone().resolve("s3a://bucket/b/c").expect("resolves").store));
        assert!(!Arc::ptr_eq(&first.store, &base.resolve("s3://other/a").expect("resolves").store));
        let scoped = base.with_properties(&properties(&[("s3.endpoint", "http://127.0.0.1:1")]));
        assert!(!Arc::ptr_eq(&first.store, &scoped.resolve("s3://bucket/a").expect("resolves").store));
        assert!(Arc::ptr_eq(&first.store, &base.resolve("s3://bucket/a").expect("resolves").store));
    }

    #[test]
    fn properties_for_something_else_do_not_split_a_store() {
        let base = file_systems();
        let scoped = base.with_properties(&properties(&[("warehouse", "file:///w"), ("s3.region", "x")]));
        assert!(Arc::ptr_eq(&base.resolve("file:///a").expect("resolves").store, &scoped.resolve("/b").expect("resolves").store));
    }

    #[test]
    fn names_are_taken_literally() {
        let location = file_systems().resolve("file:///a b/ä%20/c?d#e=ü").expect("resolves");
        assert_eq!(location.path.as_ref(), "a b/ä%20/c?d#e=ü");
        assert_eq!(file_systems().resolve("/x//y/").expect("resolves").path.as_ref(), "x/y");
        assert_eq!(file_systems().resolve("/x/y").expect("resolves").uri, "file:///x/y");
    }

    #[test]
    fn what_is_missing_in_a_uri_is_said() {
        for (uri, part) in [("s3:///x", "bucket"), ("hdfs:///x", "NameNode"), ("file://host/x", "host"), ("memory://a/../b", "..")] {
            let error = file_systems().resolve(uri).expect_err("refused").to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!("{:?}", FileSystems::new(properties(&[("s3.secret-access-key", "hunter2"), ("s3.region", "r")])));
        assert!(!shown.contains("hunter2") && shown.contains("s3.region"), "{shown}");
    }

    #[tokio::test]
    async fn memory_is_shared_by_authority_in_the_whole_process() {
        let location = file_systems().resolve("memory://shared-by-authority/x").expect("resolves");
        location.store.put(&location.path, "here".into()).await.expect("put");
        let again = file_systems().resolve("memory://shared-by-authority/x").expect("resolves");
        assert_eq!(again.store.get(&again.path).await.expect("get").bytes().await.expect("bytes"), "here");
        let elsewhere = file_systems().resolve("memory://other-authority/x").expect("resolves");
        assert!(elsewhere.store.get(&elsewhere.path).await.is_err());
    }
}
