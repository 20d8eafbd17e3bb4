//! From a URI to the store that serves it.
//!
//! How URIs look in metadata and in checkpoints, and through which alias they are read back, is in `views`.

mod views;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;
use weir_base::ErrorKind;
use weir_base::options::Problems;
use weir_base::secret::shown;

use crate::aliases::{Alias, Aliases, UsedAlias};
use crate::counting::IoCounts;
use crate::environment::Environment;
use crate::error::FsError;
use crate::fault::FaultPlan;
use crate::folders::Folders;
use crate::iceberg_storage;
use crate::mounts::{Binding, StoreKind, built_in, unknown_scheme};
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
/// | `fs.default-scheme` | scheme or alias, with an authority perhaps, of paths without scheme | `file` |
/// | `fs.alias.<name>.*` | names of one's own, see [`aliases`](crate::aliases) | |
/// | `s3.endpoint`, `s3.access-key-id`, `s3.secret-access-key`, `s3.session-token`, `s3.region`, `client.region`, `s3.path-style-access` | as in Iceberg | `AWS_*` |
/// | `s3.ca-file`, `s3.profile`, `s3.profile-file`, `s3.web-identity-token-file`, `s3.role-arn`, `s3.role-session-name`, `s3.sts-endpoint`, `s3.anonymous` | certificates that are believed, and who it is | `AWS_*` |
/// | `gcs.service.host`, `gcs.credentials-file`, `gcs.oauth2.token`, `gcs.no-auth`, `gcs.ca-file` | Google Cloud Storage | `GOOGLE_*` |
/// | `adls.account-name`, `adls.account-key`, `adls.sas-token`, `adls.token`, `adls.tenant-id`, `adls.client-id`, `adls.client-secret`, `adls.endpoint`, `adls.ca-file` | Azure | `AZURE_*` |
/// | `fs.s3a.*`, `fs.oss.*`, `fs.cosn.*`, `fs.obs.*`, `fs.gs.*`, `fs.azure.*` | the same as in Hadoop; the former win | |
/// | `fs.request.put-if-absent` | what is done where a store lets a second writer replace what must stay, see [`FirstPut`](crate::FirstPut) | `require` |
/// | `hadoop-conf-dir` | folder of `core-site.xml` and `hdfs-site.xml` | `HADOOP_CONF_DIR` |
/// | `hadoop.user.name` | user of an unsecured HDFS | `HADOOP_USER_NAME`, else the system's user |
/// | `hadoop.kerberos.principal`, `hadoop.kerberos.keytab`, `hadoop.kerberos.ticket-cache` | who it is in a secured HDFS | tickets of the process |
/// | `dfs.*`, `fs.defaultFS`, `hadoop.*` | entries of those files, which they override | |
#[derive(Clone)]
pub struct FileSystems {
    properties: Arc<BTreeMap<String, String>>,
    aliases: Arc<Aliases>,
    /// The aliases through which bound URIs are read back, by family of schemes.
    through: Arc<Through>,
    environment: Environment,
    stores: Arc<StoreRegistry>,
}

type Through = BTreeMap<&'static str, Arc<Alias>>;

/// A resolved URI.
#[derive(Debug, Clone)]
pub struct Location {
    /// The URI as Weir names it: with the alias, if it is reached through one.
    pub uri: String,
    /// The store that serves it.
    pub store: Arc<dyn ObjectStore>,
    /// The path in the store.
    pub path: Path,
}

/// A URI with what its scheme stands for.
struct Located {
    binding: Binding,
    authority: String,
    /// Below the root of the alias.
    path: String,
    uri: String,
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
        let aliases = Arc::new(Aliases::of(&properties));
        Self { properties: Arc::new(properties), aliases, through: Arc::default(), environment, stores: Arc::default() }
    }

    /// The same with more properties, which win.
    #[must_use]
    pub fn with_properties(&self, properties: &BTreeMap<String, String>) -> Self {
        let mut merged = (*self.properties).clone();
        merged.extend(properties.clone());
        Self { aliases: Arc::new(Aliases::of(&merged)), properties: Arc::new(merged), ..self.clone() }
    }

    /// The same with stores of its own, in which requests fail as `plan` says: for tests.
    #[must_use]
    pub fn with_faults(&self, plan: FaultPlan) -> Self {
        Self { stores: Arc::new(StoreRegistry::with_faults(plan)), ..self.clone() }
    }

    /// The store and path of `uri`. Makes no request; the first URI of an alias or of an HDFS reads its configuration files.
    ///
    /// A path without scheme must be absolute. Names are taken literally, nothing is URL-decoded.
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
        let Located { binding, authority, path, uri: named } = self.locate(uri)?;
        let path = path_in_store(binding.scheme.kind, uri, &path)?;
        let (store, folders) = self.stores.get_or_build(StoreKey::try_new(binding, &authority, uri)?, &self.environment)?;
        Ok((Location { uri: named, store, path }, folders))
    }

    /// Checks every alias: its keys, and that its folder and files are there and can be read.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn check_aliases(&self) -> Result<(), Problems> {
        let mut problems = self.aliases.problems();
        let right = self.aliases.names().filter_map(|name| self.aliases.declared(name)?.as_ref().ok());
        problems.extend(right.filter_map(|alias| alias.load(&self.environment).err()).flat_map(|error| error.into_problems().as_slice().to_vec()));
        if problems.is_empty() { Ok(()) } else { Err(Problems::new(problems)) }
    }

    /// The aliases through which files have been reached so far.
    #[must_use]
    pub fn used_aliases(&self) -> Vec<UsedAlias> {
        self.stores.used_aliases().into_iter().collect()
    }

    /// The same road for the iceberg crate.
    #[must_use]
    pub fn file_io(&self) -> iceberg::io::FileIO {
        iceberg_storage::file_io(self)
    }

    /// What the stores of these file systems have done, by scheme, alias and operation.
    #[must_use]
    pub fn io_counts(&self) -> Vec<IoCounts> {
        self.stores.io_counts()
    }

    /// What `uri` leads to, for those who want to know how: a store and a path below the root of its alias.
    pub(crate) fn trace(&self, uri: &str) -> Result<(StoreKey, String), FsError> {
        let Located { binding, authority, path, .. } = self.locate(uri)?;
        Ok((StoreKey::try_new(binding, &authority, uri)?, path))
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }

    pub(crate) fn properties(&self) -> &BTreeMap<String, String> {
        &self.properties
    }

    /// Whether `other` has the same stores under the same configuration.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.stores, &other.stores)
            && self.properties == other.properties
            && self.through == other.through
            && self.environment == other.environment
    }

    fn locate(&self, uri: &str) -> Result<Located, FsError> {
        let absolute = self.with_scheme(uri);
        let parsed = uri::parse(&absolute)?;
        let path = |kind: StoreKind| if kind.has_folders() { without_empty_parts(parsed.path) } else { parsed.path.to_owned() };
        if let Some(alias) = self.aliases.get(&parsed.scheme)? {
            let authority = if parsed.authority.is_empty() { alias.authority.as_deref().unwrap_or_default() } else { parsed.authority };
            let path = path(alias.scheme.kind);
            let uri = alias.alias_form(authority, &path);
            return Ok(Located { binding: Binding::of_alias(alias), authority: authority.to_owned(), path, uri });
        }
        let Some(scheme) = built_in(&parsed.scheme) else {
            let others: Vec<&str> = self.aliases.names().collect();
            return Err(FsError::new(ErrorKind::User, format!("`{uri}`: {}", unknown_scheme(&parsed.scheme, &others))));
        };
        let authority = if scheme.kind == StoreKind::File && parsed.authority == "localhost" { "" } else { parsed.authority };
        if let Some(alias) = self.through.get(scheme.family) {
            let path = path(scheme.kind);
            let path = alias.below_root(&path, uri)?.to_owned();
            let uri = alias.alias_form(authority, &path);
            return Ok(Located { binding: Binding::of_alias(alias), authority: authority.to_owned(), path, uri });
        }
        let uri = absolute.clone().into_owned();
        Ok(Located { binding: Binding::of_scheme(scheme, &self.properties), authority: authority.to_owned(), path: parsed.path.to_owned(), uri })
    }

    /// A path without scheme with that of `fs.default-scheme`.
    fn with_scheme<'a>(&self, uri: &'a str) -> Cow<'a, str> {
        if !uri.starts_with('/') {
            return Cow::Borrowed(uri);
        }
        let default = self.properties.get("fs.default-scheme").map_or("file", String::as_str).trim_end_matches('/').trim_end_matches(':');
        Cow::Owned(if default.contains("://") { format!("{default}{uri}") } else { format!("{default}://{uri}") })
    }
}

impl Default for FileSystems {
    fn default() -> Self {
        Self::new(BTreeMap::new())
    }
}

impl fmt::Debug for FileSystems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.properties.iter().map(|(key, value)| (key, shown(key, value)));
        f.debug_tuple("FileSystems").field(&shown.collect::<BTreeMap<_, _>>()).finish()
    }
}

/// The path without empty parts between its slashes.
fn without_empty_parts(path: &str) -> String {
    path.split('/').filter(|part| !part.is_empty()).fold(String::with_capacity(path.len()), |clean, part| clean + "/" + part)
}

/// The path inside a store. An object store would take `//` as another key than `/`, so it is refused there.
fn path_in_store(kind: StoreKind, uri: &str, path: &str) -> Result<Path, FsError> {
    let path = if kind.has_folders() { Cow::Owned(without_empty_parts(path)) } else { Cow::Borrowed(path) };
    Path::parse(&path).map_err(|error| FsError::new(ErrorKind::User, format!("`{uri}` is no usable path: {error}")).with_source(error))
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

    fn aliased(pairs: &[(&str, &str)]) -> FileSystems {
        FileSystems::with_environment(properties(pairs), Environment::default())
    }

    #[test]
    fn aliases_of_one_place_are_file_systems_of_their_own() {
        let two = aliased(&[
            ("fs.alias.aa.scheme", "s3"),
            ("fs.alias.aa.option.s3.endpoint", "http://127.0.0.1:1"),
            ("fs.alias.bb.scheme", "s3"),
            ("fs.alias.bb.option.s3.endpoint", "http://127.0.0.1:1"),
            ("s3.endpoint", "http://127.0.0.1:1"),
        ]);
        let stores = ["aa://b/x", "bb://b/x", "s3://b/x"].map(|uri| two.resolve(uri).expect("resolves").store);
        assert!(!Arc::ptr_eq(&stores[0], &stores[1]) && !Arc::ptr_eq(&stores[0], &stores[2]) && !Arc::ptr_eq(&stores[1], &stores[2]));
        assert!(Arc::ptr_eq(&stores[0], &two.resolve("AA://b/y").expect("any case").store));
        let names: Vec<String> = two.used_aliases().into_iter().map(|used| used.binding.alias).collect();
        assert_eq!(names, ["aa", "bb"]);
    }

    #[tokio::test]
    async fn a_root_is_never_left_and_counters_carry_the_alias() {
        let folder = tempfile::tempdir().expect("folder");
        let root = folder.path().join("inside");
        std::fs::create_dir(&root).expect("folder");
        std::fs::write(folder.path().join("secret"), "x").expect("written");
        let file_systems = aliased(&[("fs.alias.in.scheme", "file"), ("fs.alias.in.root", &root.display().to_string())]);
        for uri in ["in:///../secret", "in:///a/../../secret", "in:///./../secret"] {
            assert!(file_systems.resolve(uri).expect_err("refused").to_string().contains("`..`"), "{uri}");
        }
        for name in ["%2e%2e/secret", "..%2fsecret", "a b/ä%20?#", "...", "//twice"] {
            let at = file_systems.resolve(&format!("in:///{name}")).expect("a name as any other");
            at.store.put(&at.path, "inside".into()).await.expect("put");
        }
        assert_eq!(std::fs::read(folder.path().join("secret")).expect("there"), b"x");
        assert_eq!(std::fs::read(root.join("a b/ä%20?#")).expect("there"), b"inside");
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 2, "nothing beside the root");
        let counts = file_systems.io_counts();
        assert!(counts.iter().all(|counts| (counts.scheme, &*counts.alias) == ("file", "in")), "{counts:?}");
        let at = file_systems.resolve("in:///missing").expect("resolves");
        assert!(at.store.get(&at.path).await.is_err());
        let base = file_systems.resolve("in://host/x").expect_err("a host").to_string();
        assert!(base.contains("[FS-001] Alias 'in'") && base.contains("`in:///path`"), "{base}");
    }

    #[test]
    fn paths_without_scheme_belong_to_the_default_one() {
        let by = |default: &str| aliased(&[("fs.alias.m.scheme", "memory"), ("fs.default-scheme", default)]).resolve("/x").expect("resolves").uri;
        assert_eq!((by("m").as_str(), by("m://one/").as_str(), by("memory://two").as_str()), ("m:///x", "m://one/x", "memory://two/x"));
        assert_eq!(file_systems().resolve("/x").expect("resolves").uri, "file:///x");
    }

    #[test]
    fn no_error_of_an_alias_shows_a_secret() {
        let keys = [
            ("scheme", "s3"),
            ("option.s3.secret-access-key", "hunter2"),
            ("option.s3.access-key-id", "hunter2"),
            ("option.s3.session-token", "hunter2"),
            ("root", "x"),
        ];
        let keys = keys.map(|(key, value)| (format!("fs.alias.aa.{key}"), value.to_owned()));
        let wrong = FileSystems::with_environment(keys.clone().into(), Environment::default());
        let mut shown = format!("{wrong:?} {}", wrong.resolve("aa://b/x").expect_err("a relative root"));
        let right = FileSystems::with_environment(keys[..4].iter().cloned().collect(), Environment::default());
        shown += &format!("{right:?} {:?}", right.resolve("aa://b/x").expect("resolves").store);
        assert!(!shown.contains("hunter2") && shown.contains("aa"), "{shown}");
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
