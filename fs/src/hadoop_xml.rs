//! Hadoop's XML configuration files, read as Hadoop reads them.
//!
//! `xi:include` with its fallback, `<final>`, values trimmed, comments inside values, the attribute form, and `${…}` in values: another
//! key's value, `${env.NAME}` with `${env.NAME-default}` and `${env.NAME:-default}`, and `${user.name}`. What is unknown stays as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use weir_base::ErrorKind;

use crate::environment::Environment;
use crate::error::FsError;

/// How deep Hadoop substitutes, and how deep files may include each other.
const SUBSTITUTIONS: u32 = 20;
const INCLUDES: u32 = 8;

/// The entries of `files`, later ones over earlier ones, with `${…}` substituted from them and the environment of the process.
///
/// # Errors
/// A file that is missing or broken; the message names it.
pub fn read(files: &[PathBuf]) -> Result<BTreeMap<String, String>, FsError> {
    read_in(files, &Environment::process())
}

/// The same with `environment` in place of the process's.
pub(crate) fn read_in(files: &[PathBuf], environment: &Environment) -> Result<BTreeMap<String, String>, FsError> {
    let mut loaded = Loaded::default();
    for file in files {
        loaded.read(file, 0)?;
    }
    let entries = &loaded.entries;
    Ok(entries.iter().map(|(key, value)| (key.clone(), substitute(value, entries, environment, 0))).collect())
}

#[derive(Default)]
struct Loaded {
    entries: BTreeMap<String, String>,
    finals: BTreeSet<String>,
}

impl Loaded {
    /// Reads `file` and what it includes, in the order of the text.
    fn read(&mut self, file: &Path, depth: u32) -> Result<(), FsError> {
        let broken = |what: String| FsError::new(ErrorKind::User, format!("Hadoop configuration '{}': {what}", file.display()));
        if depth > INCLUDES {
            return Err(broken("it includes itself".to_owned()));
        }
        let text = std::fs::read_to_string(file).map_err(|error| broken(error.to_string()).with_source(error))?;
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..roxmltree::ParsingOptions::default() };
        let tree = roxmltree::Document::parse_with_options(&text, options).map_err(|error| broken(error.to_string()).with_source(error))?;
        for node in tree.root_element().children().filter(roxmltree::Node::is_element) {
            match node.tag_name().name() {
                "property" => self.property(node),
                "include" => {
                    let Some(target) = node.attribute("href") else { return Err(broken("an include has no href".to_owned())) };
                    let target = target.strip_prefix("file://").unwrap_or(target);
                    let included = file.parent().unwrap_or(Path::new("/")).join(target);
                    let optional = node.children().any(|child| child.tag_name().name() == "fallback");
                    if included.exists() || !optional {
                        self.read(&included, depth + 1)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A later value wins over an earlier one, unless that was final.
    fn property(&mut self, node: roxmltree::Node<'_, '_>) {
        let part = |name: &str| {
            let child = node.children().find(|child| child.tag_name().name() == name);
            // A comment inside a value cuts its text in pieces.
            let text = child.map(|child| child.descendants().filter(roxmltree::Node::is_text).filter_map(|piece| piece.text()).collect::<String>());
            text.or_else(|| node.attribute(name).map(str::to_owned)).map(|text| text.trim().to_owned())
        };
        let (Some(name), Some(value)) = (part("name"), part("value")) else { return };
        if name.is_empty() || self.finals.contains(&name) {
            return;
        }
        if part("final").is_some_and(|is_final| is_final == "true") {
            self.finals.insert(name.clone());
        }
        self.entries.insert(name, value);
    }
}

/// Replaces every `${…}` in `value`, as deep as Hadoop does.
fn substitute(value: &str, entries: &BTreeMap<String, String>, environment: &Environment, depth: u32) -> String {
    let mut done = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((key, after)) = after.split_once('}') else { break };
        done.push_str(before);
        match replacement(key, entries, environment) {
            Some(value) if depth < SUBSTITUTIONS => done.push_str(&substitute(&value, entries, environment, depth + 1)),
            _ => done.push_str(&format!("${{{key}}}")),
        }
        rest = after;
    }
    done.push_str(rest);
    done
}

/// What a name in `${…}` stands for.
fn replacement(key: &str, entries: &BTreeMap<String, String>, environment: &Environment) -> Option<String> {
    if let Some(variable) = key.strip_prefix("env.") {
        let (name, default) = match variable.split_once('-') {
            Some((name, default)) => (name.strip_suffix(':').unwrap_or(name), Some(default)),
            None => (variable, None),
        };
        return environment.get(name).or(default).map(str::to_owned);
    }
    let found = entries.get(key).cloned();
    found.or_else(|| (key == "user.name").then(system_user).flatten())
}

/// The user as whom the process runs, as the system knows it.
pub(crate) fn system_user() -> Option<String> {
    whoami::username().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    /// Reads the files that are not called `more.xml`, in order.
    fn read_texts(texts: &[(&str, &str)]) -> Result<BTreeMap<String, String>, String> {
        let folder = tempfile::tempdir().expect("folder");
        for (name, text) in texts {
            std::fs::write(folder.path().join(name), text.replace("FOLDER", &folder.path().display().to_string())).expect("written");
        }
        let files: Vec<PathBuf> = texts.iter().filter(|(name, _)| *name != "more.xml").map(|(name, _)| folder.path().join(name)).collect();
        let environment = Environment::new([("PLACE".to_owned(), "here".to_owned())]);
        read_in(&files, &environment).map_err(|error| error.to_string())
    }

    #[test]
    fn files_are_read_as_hadoop_reads_them() {
        let core = r#"<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="x"?>
            <configuration xmlns:xi="http://www.w3.org/2001/XInclude">
            <property><name> host </name><value>
                nn1.example
            </value></property>
            <property><name>fs.defaultFS</name><value>hdfs://${host}:${port}${unknown}</value></property>
            <property><name>port</name><value>80<!-- sic -->20</value><final>true</final></property>
            <property name="attribute" value="form"/>
            <property><name>twice</name><value>1</value></property>
            <property><name>twice</name><value>2</value></property>
            <xi:include href="more.xml"/>
            <xi:include href="missing.xml"><xi:fallback/></xi:include>
            </configuration>"#;
        let more = "<configuration><property><name>included</name><value>yes</value></property></configuration>";
        let hdfs = "<configuration><property><name>port</name><value>1</value></property></configuration>";
        let read = read_texts(&[("core-site.xml", core), ("more.xml", more), ("hdfs-site.xml", hdfs)]).expect("read");
        let expected = [
            ("attribute", "form"),
            ("fs.defaultFS", "hdfs://nn1.example:8020${unknown}"),
            ("host", "nn1.example"),
            ("included", "yes"),
            ("port", "8020"),
            ("twice", "2"),
        ];
        assert_eq!(read, entries(&expected));
    }

    #[test]
    fn an_include_may_be_absolute() {
        for href in ["FOLDER/more.xml", "file://FOLDER/more.xml"] {
            let core = format!(r#"<c><include href="{href}"/></c>"#);
            let more = "<configuration><property><name>included</name><value>yes</value></property></configuration>";
            assert_eq!(read_texts(&[("core-site.xml", &core), ("more.xml", more)]), Ok(entries(&[("included", "yes")])));
        }
    }

    #[test]
    fn variables_of_the_environment_are_substituted_where_a_file_asks_for_them() {
        let environment = Environment::new([("PLACE".to_owned(), "here".to_owned())]);
        let substituted = |text: &str| substitute(text, &entries(&[("a", "${env.PLACE}!")]), &environment, 0);
        assert_eq!(substituted("${env.PLACE}/${a}"), "here/here!");
        assert_eq!(substituted("${env.NOWHERE:-a-b} ${env.NOWHERE-c} ${env.PLACE:-x}"), "a-b c here");
        assert_eq!(substituted("${env.NOWHERE} $ {x} ${open"), "${env.NOWHERE} $ {x} ${open");
        assert_eq!(substituted("${user.name}"), system_user().expect("somebody"));
    }

    #[test]
    fn broken_and_missing_files_are_named() {
        let of = |text: &str| read_texts(&[("core-site.xml", text)]).expect_err("broken");
        assert!(of("<configuration>").contains("/core-site.xml'"));
        assert!(of(r#"<c><include href="core-site.xml"/></c>"#).contains("includes itself"));
        assert!(of(r#"<c><include href="missing.xml"/></c>"#).contains("missing.xml'"));
        assert!(of("<c><include/></c>").contains("has no href"));
        let missing = read(&[PathBuf::from("/nowhere/core-site.xml")]).expect_err("missing").to_string();
        assert!(missing.contains("'/nowhere/core-site.xml'"), "{missing}");
    }

    #[test]
    fn a_value_that_names_itself_ends() {
        let read = substitute("${a}", &entries(&[("a", "x${a}")]), &Environment::default(), 0);
        assert!(read.starts_with("xx") && read.ends_with("${a}"), "{read}");
    }
}
