//! The folder of an alias: which files it must hold, and what stands in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Alias;
use crate::environment::{Environment, host_name};
use crate::error::FsError;
use crate::hadoop_xml;
use crate::mounts::StoreKind;

const CORE: &str = "core-site.xml";

impl Alias {
    /// The properties of its folder with its own over them.
    ///
    /// # Errors
    /// A folder or file that is missing on this host, or broken; the message names the alias, the file and the host.
    pub(crate) fn load(&self, environment: &Environment) -> Result<BTreeMap<String, String>, FsError> {
        let mut entries = match &self.conf_dir {
            Some(folder) => self.read_folder(Path::new(folder), environment)?,
            None => BTreeMap::new(),
        };
        entries.extend((*self.properties).clone());
        Ok(entries)
    }

    fn read_folder(&self, folder: &Path, environment: &Environment) -> Result<BTreeMap<String, String>, FsError> {
        let given = format!("'fs.alias.{}.conf-dir'='{}'", self.name, folder.display());
        let lacks = |what: &str| self.refuse(format!("{given} {what} on worker '{}'.", host_name()));
        if !folder.is_dir() {
            return Err(lacks("is no folder"));
        }
        let file = |name: &str| Some(folder.join(name)).filter(|file| file.is_file());
        let broken = |error: FsError| self.refuse(format!("{error}.")).with_source(error);
        if self.scheme.kind == StoreKind::Hdfs {
            let files = [CORE, "hdfs-site.xml"].map(|name| file(name).ok_or_else(|| lacks(&format!("has no '{name}'"))));
            let files: Vec<PathBuf> = files.into_iter().collect::<Result<_, _>>()?;
            return hadoop_xml::read_in(&files, environment).map_err(broken);
        }
        let own = format!("{}.properties", self.scheme.name);
        if let Some(found) = file(&own) {
            let text = std::fs::read_to_string(&found).map_err(|error| lacks(&format!("has a '{own}' that cannot be read ({error})")))?;
            return parse_properties(&text).map_err(|line| lacks(&format!("has a '{own}' whose line {line} is no 'key = value'")));
        }
        let core = file(CORE).ok_or_else(|| lacks(&format!("has no '{own}'")))?;
        hadoop_xml::read_in(&[core], environment).map_err(broken)
    }
}

/// `key = value` or `key: value` lines, blank ones and comments (`#`, `!`) left out, values taken as they stand.
///
/// # Errors
/// The number of a line that is something else.
fn parse_properties(text: &str) -> Result<BTreeMap<String, String>, usize> {
    let mut entries = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let (key, value) = line.split_once(['=', ':']).ok_or(index + 1)?;
        entries.insert(key.trim_end().to_owned(), value.trim_start().to_owned());
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::super::Aliases;
    use super::*;

    fn loaded(scheme: &str, files: &[(&str, &str)]) -> Result<BTreeMap<String, String>, String> {
        let folder = tempfile::tempdir().expect("folder");
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).expect("written");
        }
        load(scheme, &folder.path().display().to_string())
    }

    fn load(scheme: &str, folder: &str) -> Result<BTreeMap<String, String>, String> {
        let keys = [("scheme", scheme), ("conf-dir", folder), ("option.s3.region", "own")];
        let properties = keys.map(|(key, value)| (format!("fs.alias.jfs.{key}"), value.to_owned())).into();
        let aliases = Aliases::of(&properties);
        let alias = aliases.get("jfs").expect("right").expect("declared");
        alias.load(&Environment::default()).map_err(|error| error.to_string())
    }

    const XML: &str = "<c><property><name>a</name><value>1</value></property></c>";

    #[test]
    fn a_missing_file_is_named_with_alias_folder_and_host() {
        let missing = loaded("hdfs", &[("hdfs-site.xml", XML)]).expect_err("no core-site.xml");
        assert!(missing.starts_with("[FS-001] Alias 'jfs': 'fs.alias.jfs.conf-dir'='/"), "{missing}");
        assert!(missing.ends_with(&format!("has no 'core-site.xml' on worker '{}'.", host_name())), "{missing}");
        assert!(loaded("hdfs", &[("core-site.xml", XML)]).expect_err("no hdfs-site.xml").contains("has no 'hdfs-site.xml' on worker"));
        assert!(loaded("s3", &[]).expect_err("nothing").contains("has no 's3.properties' on worker"));
        assert!(load("hdfs", "/nowhere").expect_err("no folder").contains("'/nowhere' is no folder on worker"));
    }

    #[test]
    fn a_broken_file_is_named_with_its_alias() {
        let broken = loaded("hdfs", &[("core-site.xml", "<c>"), ("hdfs-site.xml", XML)]).expect_err("broken");
        assert!(broken.starts_with("[FS-001] Alias 'jfs': Hadoop configuration '/") && broken.contains("core-site.xml'"), "{broken}");
        let broken = loaded("s3", &[("s3.properties", "a = 1\nnonsense\n")]).expect_err("broken");
        assert!(broken.contains("'s3.properties' whose line 2 is no 'key = value'"), "{broken}");
    }

    #[test]
    fn an_object_store_has_properties_or_a_core_site() {
        let properties = "# comment\n\ns3.endpoint = http://x:1\ns3.region: theirs\n s3.secret-access-key=a=b \n";
        let read = loaded("s3", &[("s3.properties", properties), ("core-site.xml", XML)]).expect("read");
        assert_eq!((read["s3.endpoint"].as_str(), read["s3.secret-access-key"].as_str()), ("http://x:1", "a=b"));
        assert_eq!(read["s3.region"], "own", "an option of the alias wins");
        assert_eq!(loaded("oss", &[("core-site.xml", XML)]).expect("read")["a"], "1");
    }
}
