//! The built-in schemes, and what a scheme is bound to.
//!
//! Every URI is resolved through one [`Binding`]: a built-in scheme under the properties of the [`FileSystems`](crate::FileSystems), or an
//! [`Alias`] with properties of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_base::ErrorKind;
use weir_base::options::closest;

use crate::aliases::Alias;
use crate::error::FsError;
use crate::object_store_keys;

/// A kind of store; its name is the label of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum StoreKind {
    Azure,
    File,
    Gcs,
    Hdfs,
    Memory,
    S3,
}

impl StoreKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Azure => "abfs",
            Self::File => "file",
            Self::Gcs => "gs",
            Self::Hdfs => "hdfs",
            Self::Memory => "memory",
            Self::S3 => "s3",
        }
    }

    /// Whether a property means something to stores of this kind. Two stores that differ in other properties only are one store.
    fn reads(self, key: &str) -> bool {
        if key.starts_with("fs.request.") {
            return true;
        }
        let begins = |starts: &[&str]| starts.iter().any(|start| key.starts_with(start));
        match self {
            Self::File => key.starts_with("fs.file."),
            Self::Memory => false,
            Self::Hdfs => matches!(key, "hadoop-conf-dir" | "fs.defaultFS") || begins(&["dfs.", "hadoop.", "fs.viewfs."]),
            Self::Azure | Self::Gcs | Self::S3 => object_store_keys::of(self).is_some_and(|keys| keys.may_read(key)),
        }
    }

    /// What the part of a URI is called that says which store of this kind it is; nothing for kinds that need none.
    pub(crate) fn authority(self) -> Option<&'static str> {
        match self {
            Self::S3 | Self::Gcs => Some("bucket"),
            Self::Azure => Some("container"),
            Self::File | Self::Hdfs | Self::Memory => None,
        }
    }

    /// Whether `a//b` is `a/b`, as in file systems; to an object store it is another key.
    pub(crate) fn has_folders(self) -> bool {
        matches!(self, Self::File | Self::Hdfs)
    }
}

/// A built-in scheme.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Scheme {
    pub(crate) name: &'static str,
    pub(crate) kind: StoreKind,
    /// Schemes of one family are spellings of the same place.
    pub(crate) family: &'static str,
}

const fn scheme(name: &'static str, kind: StoreKind, family: &'static str) -> Scheme {
    Scheme { name, kind, family }
}

static SCHEMES: [Scheme; 14] = [
    scheme("file", StoreKind::File, "file"),
    scheme("hdfs", StoreKind::Hdfs, "hdfs"),
    scheme("viewfs", StoreKind::Hdfs, "viewfs"),
    scheme("memory", StoreKind::Memory, "memory"),
    scheme("s3", StoreKind::S3, "s3"),
    scheme("s3a", StoreKind::S3, "s3"),
    scheme("s3n", StoreKind::S3, "s3"),
    scheme("oss", StoreKind::S3, "oss"),
    scheme("cosn", StoreKind::S3, "cosn"),
    scheme("cos", StoreKind::S3, "cosn"),
    scheme("obs", StoreKind::S3, "obs"),
    scheme("gs", StoreKind::Gcs, "gs"),
    scheme("abfs", StoreKind::Azure, "abfs"),
    scheme("abfss", StoreKind::Azure, "abfs"),
];

/// Schemes that other engines know. They are no names for aliases, and say clearly that they are not served.
const NOT_SERVED: [&str; 4] = ["wasb", "wasbs", "webhdfs", "swebhdfs"];

/// The built-in scheme of a name.
pub(crate) fn built_in(name: &str) -> Option<&'static Scheme> {
    SCHEMES.iter().find(|scheme| scheme.name == name)
}

/// Whether `name` is the name of a built-in scheme, or of one that may become one.
pub(crate) fn is_reserved(name: &str) -> bool {
    built_in(name).is_some() || NOT_SERVED.contains(&name) || name == "alias"
}

/// What is wrong with a scheme that is no built-in one: the known ones, and the nearest of them and of `others`.
pub(crate) fn unknown_scheme(name: &str, others: &[&str]) -> String {
    let known = SCHEMES.iter().map(|scheme| scheme.name);
    let list = known.clone().chain(others.iter().copied()).collect::<Vec<_>>().join(", ");
    if NOT_SERVED.contains(&name) {
        return format!("the scheme '{name}' is not supported yet; supported are {list}.");
    }
    let near = closest(name, known.chain(others.iter().copied()));
    let hint = near.first().map(|name| format!(" Did you mean '{name}'?")).unwrap_or_default();
    format!("no file system has the scheme '{name}'; known are {list}.{hint}")
}

/// What a scheme stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Binding {
    pub(crate) scheme: &'static Scheme,
    /// The alias under whose name it is used.
    pub(crate) alias: Option<Arc<Alias>>,
    pub(crate) properties: Arc<BTreeMap<String, String>>,
}

impl Binding {
    /// The binding of a built-in scheme where `properties` hold.
    pub(crate) fn of_scheme(scheme: &'static Scheme, properties: &BTreeMap<String, String>) -> Self {
        let read = properties.iter().filter(|(key, _)| scheme.kind.reads(key)).map(|(key, value)| (key.clone(), value.clone()));
        Self { scheme, alias: None, properties: Arc::new(read.collect()) }
    }

    /// The binding of an alias.
    pub(crate) fn of_alias(alias: &Arc<Alias>) -> Self {
        Self { scheme: alias.scheme, properties: Arc::clone(&alias.properties), alias: Some(Arc::clone(alias)) }
    }

    /// The name in URIs: the alias's, or the scheme's.
    pub(crate) fn name(&self) -> &str {
        self.alias.as_ref().map_or(self.scheme.name, |alias| &alias.name)
    }

    /// An error of the user about it: an alias's is `FS-001`.
    pub(crate) fn refuse(&self, what: String) -> FsError {
        match &self.alias {
            Some(alias) => alias.refuse(what),
            None => FsError::new(ErrorKind::User, what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_scheme_is_refused_with_the_known_ones_and_the_nearest() {
        let text = unknown_scheme("hdsf", &["aahdfs"]);
        assert!(text.contains("file, hdfs, viewfs, memory, s3") && text.ends_with("Did you mean 'hdfs'?"), "{text}");
        assert!(unknown_scheme("aahdf", &["aahdfs"]).ends_with("Did you mean 'aahdfs'?"));
        assert!(unknown_scheme("wasb", &[]).contains("not supported yet"));
    }

    #[test]
    fn properties_of_other_stores_make_no_difference() {
        let properties: BTreeMap<_, _> = [("s3.endpoint", "http://x"), ("uri", "sqlite:x"), ("dfs.replication", "1")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        let read = |name: &str| Binding::of_scheme(built_in(name).expect("known"), &properties).properties.len();
        assert_eq!((read("s3a"), read("file"), read("hdfs")), (1, 0, 1));
    }
}
