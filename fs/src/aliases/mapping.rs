//! The two forms of a URI under an alias: `aahdfs://ns1/x`, and `hdfs://ns1/root/x` with the scheme that it is bound to.

use super::Alias;
use crate::error::FsError;

impl Alias {
    /// The form with the scheme.
    pub(crate) fn bound_form(&self, authority: &str, path: &str) -> String {
        format!("{}://{authority}{}{path}", self.scheme.name, self.root)
    }

    /// The form with the alias.
    pub(crate) fn alias_form(&self, authority: &str, path: &str) -> String {
        format!("{}://{authority}{path}", self.name)
    }

    /// The path below the root of a path that a bound URI has.
    ///
    /// # Errors
    /// A path outside of the root: it is not reached through this alias.
    pub(crate) fn below_root<'a>(&self, path: &'a str, uri: &str) -> Result<&'a str, FsError> {
        match path.strip_prefix(self.root.as_str()) {
            Some(rest) if self.root.is_empty() || rest.is_empty() || rest.starts_with('/') => Ok(rest),
            _ => Err(self.refuse(format!("'{uri}' is outside of its root '{}'.", self.root))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::Aliases;
    use super::*;

    fn alias(root: &str) -> std::sync::Arc<Alias> {
        let keys = [("scheme", "hdfs"), ("conf-dir", "/etc/a"), ("root", root)];
        let properties: BTreeMap<String, String> = keys.map(|(key, value)| (format!("fs.alias.aa.{key}"), value.to_owned())).into();
        std::sync::Arc::clone(Aliases::of(&properties).get("aa").expect("right").expect("declared"))
    }

    #[test]
    fn a_path_beside_the_root_is_not_below_it() {
        let alias = alias("/data");
        assert_eq!(alias.below_root("/data", "").expect("the root itself"), "");
        assert_eq!(alias.below_root("/data/x", "").expect("below"), "/x");
        for path in ["/database/x", "/", "", "/x/data"] {
            let error = alias.below_root(path, &format!("hdfs://ns1{path}")).expect_err("outside").to_string();
            assert!(error.contains("Alias 'aa'") && error.contains("outside of its root '/data'"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_uri_comes_back_from_its_bound_form(root in "(/[^/.]{1,4}){0,3}", authority in "[a-z0-9.:-]{0,8}", path in "(/[^/.]{1,6}){0,4}") {
            let alias = alias(if root.is_empty() { "/" } else { &root });
            let bound = alias.bound_form(&authority, &path);
            let parsed = crate::uri::parse(&bound).expect("parses");
            prop_assert_eq!(&parsed.scheme, "hdfs");
            let below = alias.below_root(parsed.path, &bound).expect("below the root");
            prop_assert_eq!(alias.alias_form(parsed.authority, below), alias.alias_form(&authority, &path));
        }
    }
}
