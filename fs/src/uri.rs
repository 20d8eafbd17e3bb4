//! URIs as file systems understand them: `scheme://authority/path`, taken literally.
//!
//! Nothing is decoded: `%20`, blanks, `?`, `#` and non-ASCII letters are parts of names, because Iceberg metadata holds paths, not
//! encoded URLs. `..` is refused, so that no path leaves the place it is written under.

use weir_base::ErrorKind;

use crate::error::FsError;

/// A URI in its three parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParsedUri<'a> {
    /// In lower case; `file` for a path without scheme.
    pub(crate) scheme: String,
    /// What stands between `//` and the next `/`, possibly nothing.
    pub(crate) authority: &'a str,
    /// The rest, with its leading `/` if it has one.
    pub(crate) path: &'a str,
}

/// Takes `uri` apart.
///
/// # Errors
/// An empty URI, a relative path, or a path with `.` or `..` in it.
pub(crate) fn parse(uri: &str) -> Result<ParsedUri<'_>, FsError> {
    if uri.trim().is_empty() {
        return Err(FsError::new(ErrorKind::User, "an empty path names no file; write a URI such as `file:///data/warehouse`"));
    }
    let parsed = if uri.starts_with('/') { ParsedUri { scheme: "file".to_owned(), authority: "", path: uri } } else { with_scheme(uri)? };
    if parsed.path.split('/').any(|segment| segment == ".." || segment == ".") {
        return Err(FsError::new(ErrorKind::User, format!("`{uri}` has `.` or `..` as a part; write the path without them")));
    }
    Ok(parsed)
}

fn with_scheme(uri: &str) -> Result<ParsedUri<'_>, FsError> {
    let relative = || FsError::new(ErrorKind::User, format!("`{uri}` is neither an absolute path nor a URI; write `/…` or `scheme://…`"));
    let (scheme, rest) = uri.split_once(':').ok_or_else(relative)?;
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-');
    if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.chars().all(letters) {
        return Err(relative());
    }
    let scheme = scheme.to_ascii_lowercase();
    match rest.strip_prefix("//") {
        Some(rest) => {
            let end = rest.find('/').unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            Ok(ParsedUri { scheme, authority, path })
        }
        // Java writes `file:/data`.
        None if rest.starts_with('/') => Ok(ParsedUri { scheme, authority: "", path: rest }),
        None => Err(relative()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_uri_is_taken_apart_without_decoding() {
        let uri = parse("HDFS://ns1:8020/a b/ä%20/x?y#z").expect("parses");
        assert_eq!(uri, ParsedUri { scheme: "hdfs".to_owned(), authority: "ns1:8020", path: "/a b/ä%20/x?y#z" });
    }

    #[test]
    fn paths_without_scheme_are_local_files() {
        assert_eq!(parse("/data/x").expect("parses"), ParsedUri { scheme: "file".to_owned(), authority: "", path: "/data/x" });
        assert_eq!(parse("file:/data/x").expect("parses").path, "/data/x");
    }

    #[test]
    fn what_names_no_file_or_leaves_its_place_is_refused() {
        for uri in ["", "  ", "data/x", "s3:bucket", "1a://x/y", "a b://c/d", "file:///a/../b", "hdfs://n/./x"] {
            assert!(parse(uri).is_err(), "{uri}");
        }
    }

    proptest! {
        #[test]
        fn the_parts_put_together_are_the_uri(scheme in "[a-z][a-z0-9+.-]{0,5}", authority in "[^/]{0,8}", path in "(/[^/.]{1,6}){0,4}") {
            let uri = format!("{scheme}://{authority}{path}");
            let parsed = parse(&uri).expect("parses");
            prop_assert_eq!((parsed.scheme, parsed.authority, parsed.path), (scheme, authority.as_str(), path.as_str()));
        }
    }
}
