//! The mount table: which scheme is served by which kind of store under which properties.
//!
//! Every URI is resolved through one [`Binding`]. The built-in schemes are bindings to themselves under the properties of the
//! [`FileSystems`](crate::FileSystems); another name for a store is one more row of this table.

use std::collections::BTreeMap;

use weir_base::ErrorKind;
use weir_base::options::closest;

use crate::error::FsError;

/// A kind of store; its name is the label of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum StoreKind {
    File,
    Hdfs,
    Memory,
    S3,
}

impl StoreKind {
    pub(crate) const ALL: [Self; 4] = [Self::File, Self::Hdfs, Self::Memory, Self::S3];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
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
        match self {
            Self::File => key.starts_with("fs.file."),
            Self::Memory => false,
            Self::Hdfs => {
                matches!(key, "hadoop-conf-dir" | "fs.defaultFS") || ["dfs.", "hadoop.", "fs.viewfs."].iter().any(|start| key.starts_with(start))
            }
            Self::S3 => key == "client.region" || key.starts_with("s3.") || key.starts_with("fs.s3a."),
        }
    }
}

/// What a scheme stands for.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) kind: StoreKind,
    pub(crate) properties: BTreeMap<String, String>,
}

/// The binding of `scheme` where `properties` hold.
///
/// # Errors
/// An unknown scheme; the message names `uri`, the known schemes and the nearest of them.
pub(crate) fn bind(scheme: &str, uri: &str, properties: &BTreeMap<String, String>) -> Result<Binding, FsError> {
    const SCHEMES: [(&str, StoreKind); 6] = [
        ("file", StoreKind::File),
        ("hdfs", StoreKind::Hdfs),
        ("memory", StoreKind::Memory),
        ("s3", StoreKind::S3),
        ("s3a", StoreKind::S3),
        ("s3n", StoreKind::S3),
    ];
    let Some((_, kind)) = SCHEMES.iter().find(|(name, _)| *name == scheme) else {
        let near = closest(scheme, SCHEMES.iter().map(|(name, _)| *name));
        let hint = near.first().map(|name| format!(" Did you mean `{name}`?")).unwrap_or_default();
        let known = SCHEMES.map(|(name, _)| name).join(", ");
        let message = format!("`{uri}`: no file system has the scheme `{scheme}`; known are {known}.{hint}");
        return Err(FsError::new(ErrorKind::User, message));
    };
    let properties = properties.iter().filter(|(key, _)| kind.reads(key)).map(|(key, value)| (key.clone(), value.clone())).collect();
    Ok(Binding { kind: *kind, properties })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_scheme_is_refused_with_the_known_ones_and_the_nearest() {
        let error = bind("hdsf", "hdsf://nn/x", &BTreeMap::new()).err().expect("unknown").to_string();
        assert!(error.contains("`hdsf://nn/x`") && error.contains("file, hdfs, memory, s3") && error.contains("Did you mean `hdfs`?"), "{error}");
    }

    #[test]
    fn properties_of_other_stores_make_no_difference() {
        let properties: BTreeMap<_, _> = [("s3.endpoint", "http://x"), ("uri", "sqlite:x"), ("dfs.replication", "1")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        assert_eq!(bind("s3a", "", &properties).expect("known").properties.len(), 1);
        assert!(bind("file", "", &properties).expect("known").properties.is_empty());
    }
}
