//! The forms of a URI, and through which alias a form is read back: for one catalog or table, never for the whole process.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_base::options::{Problem, Problems};

use super::{FileSystems, Through};
use crate::aliases::{self, Alias, Aliases, Persist};
use crate::error::FsError;
use crate::hdfs;
use crate::mounts::StoreKind;

impl FileSystems {
    /// The file systems of one catalog or table: with `own` properties, which win, and with `home` as the URI below which its files are.
    ///
    /// Its metadata holds bound URIs (`hdfs://ns1/x`). They are read back through the alias of `home`, and through those that `own` declares;
    /// for this object alone, because another one may have `hdfs://ns1` bound to another cluster.
    ///
    /// # Errors
    /// What is wrong with the aliases that `own` declares, two of them for one scheme, or `home`'s alias whose configuration cannot be read.
    pub fn of_object(&self, own: &BTreeMap<String, String>, home: Option<&str>) -> Result<Self, Problems> {
        let mut view = self.with_properties(own);
        let scheme = home.and_then(|uri| uri.split_once(':')).map(|(scheme, _)| scheme.to_ascii_lowercase());
        let at_home = scheme.and_then(|name| view.aliases.declared(&name)).cloned().transpose()?;
        let mut through = (*self.through).clone();
        through.extend(view.declared_by(own, at_home.as_ref())?);
        view.through = Arc::new(through);
        if let (Some(_), Some(home)) = (at_home, home) {
            view.resolve(home).map_err(FsError::into_problems)?;
        }
        Ok(view)
    }

    /// The alias of an object's home and those that it declares for itself, one for each family of schemes; for its own family the home's counts.
    fn declared_by(&self, own: &BTreeMap<String, String>, at_home: Option<&Arc<Alias>>) -> Result<Through, Problems> {
        let mut found: Through = at_home.map(|alias| (alias.scheme.family, Arc::clone(alias))).into_iter().collect();
        let mut problems = Vec::new();
        // An object may add to an alias of the session, so the whole of it is looked at.
        for name in Aliases::of(own).names() {
            let alias = match self.aliases.declared(name) {
                Some(Ok(alias)) => alias,
                Some(Err(wrong)) => {
                    problems.extend(wrong.as_slice().to_vec());
                    continue;
                }
                None => continue,
            };
            let family = alias.scheme.family;
            if at_home.is_some_and(|home| home.scheme.family == family) {
                continue;
            }
            if let Some(other) = found.insert(family, Arc::clone(alias)) {
                let what = format!("both it and alias '{}' are bound to '{family}' for one object.", other.name);
                problems.push(aliases::problem(name, what).hint("Declare one of them with SET."));
            }
        }
        if problems.is_empty() { Ok(found) } else { Err(Problems::new(problems)) }
    }

    /// `uri` as checkpoints keep it: with its alias, whatever that is bound to.
    ///
    /// # Errors
    /// As [`Self::resolve`], its store's configuration apart.
    pub fn for_checkpoint(&self, uri: &str) -> Result<String, FsError> {
        self.locate(uri).map(|located| located.uri)
    }

    /// `uri` as Iceberg's metadata has it: with the scheme that its alias is bound to, so that every engine can read it, unless the alias
    /// says `persist` = `alias`.
    ///
    /// # Errors
    /// As [`Self::resolve`], and a URI that would be read back through another alias, or through none.
    pub fn for_metadata(&self, uri: &str) -> Result<String, FsError> {
        let located = self.locate(uri)?;
        let Some(alias) = located.binding.alias.clone() else { return Ok(located.uri) };
        if alias.persist == Persist::Alias {
            return Ok(located.uri);
        }
        let authority = match (alias.scheme.kind, located.authority.as_str()) {
            (StoreKind::Hdfs, "") => hdfs::default_authority(&located.binding, &self.environment)?,
            _ => located.authority,
        };
        let bound = alias.bound_form(&authority, &located.path);
        let back = self.through.get(alias.scheme.family);
        if back.is_none_or(|back| back.name != alias.name) {
            let how = back.map_or_else(|| "without an alias".to_owned(), |other| format!("through alias '{}'", other.name));
            return Err(FsError::from(
                aliases::problem(&alias.name, format!("'{uri}' would stand as '{bound}' in metadata that is read {how}."))
                    .hint(format!("Use a catalog whose warehouse begins with '{0}://', or SET 'fs.alias.{0}.persist' = 'alias'.", alias.name)),
            ));
        }
        Ok(bound)
    }

    /// What everybody who makes `uri` the home of tables should know: that its alias stands in their metadata.
    #[must_use]
    pub fn warning_of(&self, uri: &str) -> Option<Problem> {
        let alias = self.locate(uri).ok()?.binding.alias.filter(|alias| alias.persist == Persist::Alias)?;
        let what = format!("'fs.alias.{0}.persist' is 'alias': tables under '{uri}' can be read only by engines that know '{0}://'.", alias.name);
        Some(Problem::warning("FS-002", format!("Alias '{}'", alias.name), what))
    }

    /// The names of the aliases through which bound URIs are read back.
    pub(crate) fn through(&self) -> Vec<String> {
        self.through.values().map(|alias| alias.name.clone()).collect()
    }

    /// The same, with bound URIs read back through the aliases of these names.
    pub(crate) fn through_aliases(self, names: &[String]) -> Self {
        let found = names.iter().filter_map(|name| self.aliases.declared(name)?.as_ref().ok());
        let through: Through = found.map(|alias| (alias.scheme.family, Arc::clone(alias))).collect();
        Self { through: Arc::new(through), ..self }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Environment;

    fn properties(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn aliased(pairs: &[(&str, &str)]) -> FileSystems {
        FileSystems::with_environment(properties(pairs), Environment::default())
    }

    #[test]
    fn metadata_holds_the_bound_form_and_is_read_back_through_the_alias_of_the_catalog_alone() {
        let session = aliased(&[
            ("fs.alias.aa.scheme", "s3a"),
            ("fs.alias.aa.root", "/prod"),
            ("fs.alias.bb.scheme", "s3"),
            ("fs.alias.bb.authority", "bucket"),
            ("fs.alias.cc.scheme", "s3"),
            ("fs.alias.cc.persist", "alias"),
        ]);
        let catalog = |home: &str| session.of_object(&BTreeMap::new(), Some(home)).expect("right");
        let (a, b, c) = (catalog("aa://bucket/w"), catalog("bb:///w"), catalog("cc://bucket/w"));
        assert_eq!(a.for_metadata("aa://bucket/w/t").expect("bound"), "s3a://bucket/prod/w/t");
        assert_eq!(b.for_metadata("bb:///w/t").expect("bound"), "s3://bucket/w/t");
        assert_eq!(c.for_metadata("cc://bucket/w/t").expect("alias"), "cc://bucket/w/t");
        assert_eq!(a.for_checkpoint("s3://bucket/prod/w/t").expect("mapped"), "aa://bucket/w/t");
        assert_eq!(b.for_checkpoint("s3://bucket/w/t").expect("mapped"), "bb://bucket/w/t");
        assert_eq!(session.for_checkpoint("s3://bucket/w/t").expect("as it is"), "s3://bucket/w/t", "never global");
        assert!(Arc::ptr_eq(&b.resolve("s3://bucket/x").expect("resolves").store, &session.resolve("bb:///x").expect("resolves").store));
        let crossed = a.for_metadata("bb:///w/t").expect_err("another alias").to_string();
        assert!(crossed.contains("Alias 'bb'") && crossed.contains("read through alias 'aa'"), "{crossed}");
        let global = session.for_metadata("bb:///w/t").expect_err("no alias").to_string();
        assert!(global.contains("read without an alias"), "{global}");
        assert!(session.warning_of("cc://bucket/w").expect("warns").to_string().contains("[FS-002] warning: Alias 'cc'"));
        assert!(session.warning_of("aa://bucket/w").is_none() && session.warning_of("s3://b/w").is_none());
    }

    #[test]
    fn an_object_declares_aliases_for_itself() {
        let own = properties(&[("fs.alias.mine.scheme", "memory"), ("fs.alias.mine.root", "/r")]);
        let session = aliased(&[]);
        let catalog = session.of_object(&own, None).expect("right");
        assert_eq!(catalog.for_checkpoint("memory://m/r/x").expect("mapped"), "mine://m/x");
        assert!(session.resolve("mine://m/x").expect_err("unknown outside").to_string().contains("no file system has the scheme 'mine'"));
        let both = properties(&[("fs.alias.one.scheme", "s3"), ("fs.alias.two.scheme", "s3a")]);
        assert!(session.of_object(&both, None).expect_err("which").to_string().contains("both it and alias 'one' are bound to 's3'"));
        session.of_object(&both, Some("two://b/w")).expect("the home decides");
        let broken = properties(&[("fs.alias.b.scheme", "hdfs"), ("fs.alias.b.conf-dir", "/nowhere")]);
        let missing = session.of_object(&broken, Some("b://ns1/w")).expect_err("no folder").to_string();
        assert!(missing.starts_with("[FS-001] Alias 'b': 'fs.alias.b.conf-dir'='/nowhere' is no folder"), "{missing}");
        let unused = session.with_properties(&broken);
        assert!(unused.check_aliases().expect_err("checked at start").to_string().contains("'/nowhere'"));
    }

    proptest! {
        #[test]
        fn what_is_written_into_metadata_is_read_back_as_it_was_named(
            scheme in "hdfs|s3|s3a|oss|memory",
            root in "(/[^/.]{1,4}){0,3}",
            authority in "[a-z0-9][a-z0-9.-]{0,6}",
            path in "(/[^/.]{1,6}){1,4}",
        ) {
            let root = if root.is_empty() { "/".to_owned() } else { root };
            let mut keys = vec![("fs.alias.aa.scheme", scheme.as_str()), ("fs.alias.aa.root", &root)];
            if scheme == "hdfs" {
                keys.push(("fs.alias.aa.option.dfs.replication", "1"));
            }
            let uri = format!("aa://{authority}{path}");
            let view = aliased(&keys).of_object(&properties(&keys), None).expect("right");
            let bound = view.for_metadata(&uri).expect("bound");
            prop_assert!(bound.starts_with(&format!("{scheme}://{authority}")), "{}", bound);
            prop_assert_eq!(view.for_checkpoint(&bound).expect("mapped back"), uri);
            prop_assert_eq!(view.for_metadata(&bound).expect("as it is"), bound);
        }
    }
}
