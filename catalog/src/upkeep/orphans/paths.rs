//! Which names are the same file.
//!
//! A table's metadata says `hdfs://ns1/w/t/f` where the catalog reaches it as `aahdfs://ns1/w/t/f`; another engine may have written `s3a://` where the
//! catalog says `s3://`. The file systems of the catalog know the first kind; the second is told by equal schemes and authorities.

use std::collections::BTreeMap;

use weir_fs::{FileSystems, FsError};

/// Schemes, and authorities, that stand for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Equal {
    /// As `s3a` for `s3`.
    pub schemes: BTreeMap<String, String>,
    /// As `ns1-old` for `ns1`.
    pub authorities: BTreeMap<String, String>,
}

impl Default for Equal {
    /// `s3n` and `s3a` are `s3`, as in Iceberg.
    fn default() -> Self {
        let schemes = [("s3n", "s3"), ("s3a", "s3")].map(|(from, to)| (from.to_owned(), to.to_owned())).into();
        Self { schemes, authorities: BTreeMap::new() }
    }
}

impl Equal {
    /// `s3n=s3,s3a=s3` or `s3n,s3a=s3;…`, as Iceberg writes such maps.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
        let mut map = BTreeMap::new();
        for part in text.split(';') {
            let mut waiting: Vec<String> = Vec::new();
            for piece in part.split(',').map(str::trim).filter(|piece| !piece.is_empty()) {
                match piece.split_once('=') {
                    None => waiting.push(piece.to_owned()),
                    Some((from, to)) if !from.trim().is_empty() && !to.trim().is_empty() => {
                        waiting.push(from.trim().to_owned());
                        map.extend(waiting.drain(..).map(|from| (from, to.trim().to_owned())));
                    }
                    Some(_) => return Err(format!("'{piece}' is not of the form name=other")),
                }
            }
            if let Some(left) = waiting.first() {
                return Err(format!("'{left}' is equal to nothing: write {left}=other"));
            }
        }
        Ok(map)
    }
}

/// Where a file is: what stands before the path, and the path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Spot {
    /// `s3://bucket`, in the form that all equal ones have.
    pub(super) prefix: String,
    /// With a slash at its beginning and none at its end.
    pub(super) path: String,
}

impl Spot {
    /// The spot of a URI as these file systems reach it.
    ///
    /// # Errors
    /// A URI that is none, or of a scheme that nobody knows.
    pub(super) fn of(file_systems: &FileSystems, equal: &Equal, uri: &str) -> Result<Self, FsError> {
        let named = file_systems.for_checkpoint(uri)?;
        let (scheme, rest) = named.split_once(':').unwrap_or(("file", &named));
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
            None => ("", rest),
        };
        let scheme = scheme.to_ascii_lowercase();
        let scheme = equal.schemes.get(&scheme).unwrap_or(&scheme);
        // A disk is this machine's, whatever it is called.
        let authority = if scheme == "file" && authority == "localhost" { "" } else { authority };
        let authority = equal.authorities.get(authority).map_or(authority, String::as_str);
        Ok(Self { prefix: format!("{scheme}://{authority}"), path: clean(path) })
    }

    /// The spot of something below, `path` being that in the store.
    pub(super) fn child(&self, relative: &str) -> Self {
        Self { prefix: self.prefix.clone(), path: format!("{}{}", self.path, clean(relative)) }
    }

    /// Whether this is `other`, or something below it.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        let below = || self.path.strip_prefix(&other.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.prefix == other.prefix && below()
    }
}

/// A slash before each part, and no empty parts.
fn clean(path: &str) -> String {
    path.split('/').filter(|part| !part.is_empty()).fold(String::with_capacity(path.len() + 1), |clean, part| clean + "/" + part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(uri: &str) -> Spot {
        Spot::of(&FileSystems::default(), &Equal::default(), uri).expect("a URI")
    }

    #[test]
    fn names_of_one_file_have_one_spot() {
        assert_eq!(spot("s3a://b/x/y"), spot("s3n://b//x/y/"));
        assert_eq!(spot("file:/x/y"), spot("/x//y"));
        assert_ne!(spot("s3://b/x"), spot("s3://c/x"));
        assert_eq!(spot("s3://b/x").child("y/z"), spot("s3a://b/x/y/z"));
        assert!(spot("file:///x/yz").is_within(&spot("file:///x")) && !spot("file:///x/yz").is_within(&spot("file:///x/y")));
    }

    #[test]
    fn an_alias_and_what_it_is_bound_to_are_one_file_for_the_catalog_that_has_it() {
        let keys = [("fs.alias.aa.scheme", "s3"), ("fs.alias.aa.root", "/prod")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let catalog = FileSystems::new(keys.into()).of_object(&BTreeMap::new(), Some("aa://b/w")).expect("right");
        let of = |uri: &str| Spot::of(&catalog, &Equal::default(), uri).expect("a URI");
        assert_eq!(of("s3://b/prod/w/t/f"), of("aa://b/w/t/f"));
        assert_eq!(of("s3a://b/prod/w/t/f"), of("aa://b//w/t/f"));
    }

    #[test]
    fn equal_names_are_read_as_iceberg_writes_them() {
        let map = Equal::parse("s3n,s3a=s3; viewfs = hdfs").expect("right");
        assert_eq!(map, [("s3n", "s3"), ("s3a", "s3"), ("viewfs", "hdfs")].map(|(from, to)| (from.to_owned(), to.to_owned())).into());
        assert!(Equal::parse("").expect("none").is_empty());
        for wrong in ["s3a", "=s3", "s3a="] {
            Equal::parse(wrong).expect_err(wrong);
        }
    }
}
