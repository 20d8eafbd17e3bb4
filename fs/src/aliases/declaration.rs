//! The keys `fs.alias.<name>.*`: which there are, what they may say, and what is said about a wrong one.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_base::options::{OptionDecl, Problem, Problems, ValueType, closest, normalise, parse_boolean};
use weir_base::secret::shown;

use super::{Alias, Persist, problem};
use crate::mounts::{StoreKind, built_in, is_reserved, unknown_scheme};
use crate::object_store_keys;

const PREFIX: &str = "fs.alias.";
const FIELDS: [&str; 7] = ["scheme", "conf-dir", "authority", "root", "option.<key>", "persist", "allow-rebind"];

/// The keys of an alias; `#` stands for its name.
pub const ALIAS_OPTIONS: &[OptionDecl] = &[
    OptionDecl::new(
        "fs.alias.#.scheme",
        ValueType::String,
        "What `<name>://` is bound to: `file`, `hdfs`, `viewfs`, `s3`, `s3a`, `oss`, `cosn`, `obs`, `gs`, `abfs`, `abfss`.",
    ),
    OptionDecl::new(
        "fs.alias.#.conf-dir",
        ValueType::String,
        "Local folder with its configuration: `core-site.xml` and `hdfs-site.xml`, or `<scheme>.properties` for an object store.",
    ),
    OptionDecl::new("fs.alias.#.authority", ValueType::String, "Nameservice or bucket of URIs that name none, such as `<name>:///x`."),
    OptionDecl::new("fs.alias.#.root", ValueType::String, "Folder that is put before the path of every URI; nothing outside of it can be reached.")
        .default("/"),
    OptionDecl::new("fs.alias.#.option.*", ValueType::String, "A property of its own, over those of its folder."),
    OptionDecl::new(
        "fs.alias.#.persist",
        ValueType::Enum(&["bound", "alias"]),
        "Which form stands in Iceberg metadata: `bound` can be read by every engine, `alias` only where the alias is declared.",
    )
    .default("bound"),
    OptionDecl::new(
        "fs.alias.#.allow-rebind",
        ValueType::Boolean,
        "Whether a checkpoint may be restored under which the alias had another scheme, authority or root.",
    )
    .default("false"),
];

/// Whether `key` belongs to an alias.
#[must_use]
pub fn is_alias_key(key: &str) -> bool {
    key.starts_with(PREFIX)
}

/// What a key says of which alias.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Field {
    Scheme,
    ConfDir,
    Authority,
    Root,
    Option(String),
    Persist,
    AllowRebind,
}

/// The alias of `key`, in lower case, and the field as it is written.
fn split(key: &str) -> Option<(String, &str)> {
    let rest = key.strip_prefix(PREFIX)?;
    let at = rest.find(".option.").or_else(|| rest.rfind('.'))?;
    let (name, field) = rest.split_at(at);
    Some((name.to_ascii_lowercase(), &field[1..]))
}

/// What is wrong with one key and its value by themselves: a name that no alias may have, an unknown field, or a value that the field cannot
/// take. `others` are the properties beside it, among them those of other aliases.
pub fn problem_of_alias_key(key: &str, value: &str, others: &BTreeMap<String, String>) -> Option<Problem> {
    let Some((name, field)) = split(key) else {
        return Some(unknown_field(key.strip_prefix(PREFIX).unwrap_or(key), key, ""));
    };
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '+' | '.' | '-');
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(fits) {
        let what = format!("'{name}' is no name for an alias. Expected a letter, then letters, digits, '+', '.' or '-'.");
        return Some(problem(&name, what));
    }
    if is_reserved(&name) {
        let what = format!("'{name}' is a scheme already, so it cannot be the name of an alias.");
        return Some(problem(&name, what).hint(format!("Choose another name, such as 'my{name}'.")));
    }
    let shown = shown(key, value);
    let Some(known) = parse_field(field) else {
        return Some(unknown_field(&name, key, field));
    };
    match known {
        Field::Scheme => problem_of_scheme(&name, value, others),
        Field::ConfDir if !value.starts_with('/') => Some(problem(&name, format!("'{key}' must be an absolute path, but is '{shown}'."))),
        Field::Authority if value.is_empty() || value.contains('/') => {
            Some(problem(&name, format!("'{key}' must be a nameservice, host or bucket, but is '{shown}'.")))
        }
        Field::Root => problem_of_root(&name, key, value),
        Field::Persist if persist(value).is_none() => {
            Some(problem(&name, format!("Invalid value for option '{key}': '{shown}'. Expected one of: [bound, alias].")))
        }
        Field::AllowRebind if parse_boolean(value).is_none() => {
            Some(problem(&name, format!("Invalid value for option '{key}': '{shown}' is not a boolean. Expected 'true' or 'false'.")))
        }
        _ => None,
    }
}

fn parse_field(field: &str) -> Option<Field> {
    match field {
        "scheme" => Some(Field::Scheme),
        "conf-dir" => Some(Field::ConfDir),
        "authority" => Some(Field::Authority),
        "root" => Some(Field::Root),
        "persist" => Some(Field::Persist),
        "allow-rebind" => Some(Field::AllowRebind),
        other => other.strip_prefix("option.").filter(|key| !key.is_empty()).map(|key| Field::Option(key.to_owned())),
    }
}

fn unknown_field(name: &str, key: &str, field: &str) -> Problem {
    let near = closest(field, FIELDS.iter().copied().filter(|field| !field.contains('<')));
    let near = near.first().map(|near| format!("Did you mean '{PREFIX}{name}.{near}'?"));
    problem(name, format!("unknown key '{key}'.")).suggest(near).hint(format!("An alias has the keys {}.", FIELDS.join(", ")))
}

fn problem_of_scheme(name: &str, value: &str, others: &BTreeMap<String, String>) -> Option<Problem> {
    let value = value.to_ascii_lowercase();
    if built_in(&value).is_some() {
        return None;
    }
    let bound = others.iter().find(|(key, _)| split(key).is_some_and(|(other, field)| other == value && field == "scheme"));
    if let Some((_, scheme)) = bound {
        let what = format!("'{PREFIX}{name}.scheme' is '{value}', which is an alias itself.");
        return Some(problem(name, what).hint(format!("Bind it to '{scheme}', and give it a configuration of its own.")));
    }
    Some(problem(name, unknown_scheme(&value, &[])))
}

fn problem_of_root(name: &str, key: &str, value: &str) -> Option<Problem> {
    if !value.starts_with('/') {
        return Some(problem(name, format!("'{key}' must be an absolute path, but is '{value}'.")));
    }
    if value.split('/').any(|segment| segment == ".." || segment == ".") {
        return Some(problem(name, format!("'{key}' is '{value}': write it without '.' and '..'.")));
    }
    None
}

fn persist(value: &str) -> Option<Persist> {
    match normalise(value).as_str() {
        "bound" => Some(Persist::Bound),
        "alias" => Some(Persist::Alias),
        _ => None,
    }
}

/// Every alias that `properties` declare, or what is wrong with it.
pub(super) fn all(properties: &BTreeMap<String, String>) -> BTreeMap<String, Result<Arc<Alias>, Problems>> {
    let mut keys: BTreeMap<String, Vec<(&str, &str)>> = BTreeMap::new();
    for (key, value) in properties.iter().filter(|(key, _)| is_alias_key(key)) {
        let name = split(key).map_or_else(|| key.clone(), |(name, _)| name);
        keys.entry(name).or_default().push((key, value));
    }
    keys.into_iter().map(|(name, keys)| (name.clone(), one(&name, &keys, properties).map(Arc::new))).collect()
}

fn one(name: &str, keys: &[(&str, &str)], properties: &BTreeMap<String, String>) -> Result<Alias, Problems> {
    let mut problems: Vec<Problem> = keys.iter().filter_map(|(key, value)| problem_of_alias_key(key, value, properties)).collect();
    // Limits are no configuration of a cluster: what the process says of them holds for its aliases too, unless they say otherwise.
    let limits = properties.iter().filter(|(key, _)| key.starts_with("fs.request."));
    let mut own: BTreeMap<String, String> = limits.map(|(key, value)| (key.clone(), value.clone())).collect();
    let (mut scheme, mut conf_dir, mut authority, mut root) = (None, None, None, String::new());
    let (mut kept, mut allow_rebind, mut has_options) = (Persist::Bound, false, false);
    for (key, value) in keys {
        match split(key).and_then(|(_, field)| parse_field(field)) {
            Some(Field::Scheme) => scheme = built_in(&value.to_ascii_lowercase()),
            Some(Field::ConfDir) => conf_dir = Some((*value).to_owned()),
            Some(Field::Authority) => authority = Some((*value).to_owned()),
            Some(Field::Root) => root = value.split('/').filter(|part| !part.is_empty()).fold(String::new(), |root, part| root + "/" + part),
            Some(Field::Persist) => kept = persist(value).unwrap_or(kept),
            Some(Field::AllowRebind) => allow_rebind = parse_boolean(value).unwrap_or_default(),
            Some(Field::Option(option)) => {
                has_options = true;
                own.insert(option, (*value).to_owned());
            }
            None => {}
        }
    }
    let said_scheme = keys.iter().any(|(key, _)| split(key).is_some_and(|(_, field)| field == "scheme"));
    match scheme {
        None if !said_scheme => {
            let what = format!("One or more required options are missing: '{PREFIX}{name}.scheme'.");
            problems.push(problem(name, what).hint("It says what the alias stands for, such as 'hdfs' or 's3'."));
        }
        Some(scheme) if scheme.kind == StoreKind::Hdfs && conf_dir.is_none() && !has_options => {
            let what = format!("an alias of '{}' needs '{PREFIX}{name}.conf-dir' or '{PREFIX}{name}.option.*'.", scheme.name);
            problems.push(problem(name, what).hint("The environment of the process, such as HADOOP_CONF_DIR, never decides for an alias."));
        }
        Some(scheme) => problems.extend(own.keys().filter_map(|key| unknown_option(name, scheme.kind, key))),
        None => {}
    }
    match scheme {
        Some(scheme) if problems.is_empty() => {
            Ok(Alias { name: name.to_owned(), scheme, conf_dir, authority, root, persist: kept, allow_rebind, properties: Arc::new(own) })
        }
        _ => Err(Problems::new(problems)),
    }
}

/// Hadoop's name space is open, so an `option.*` of HDFS may be anything; those of other stores must be known.
fn unknown_option(name: &str, kind: StoreKind, key: &str) -> Option<Problem> {
    const LIMITS: [&str; 3] = ["fs.request.deadline", "fs.request.timeout", crate::cloud::FIRST_PUT_KEY];
    let known: Vec<&str> = match kind {
        StoreKind::Hdfs => return None,
        StoreKind::File => vec!["fs.file.sync"],
        StoreKind::Memory => Vec::new(),
        StoreKind::Azure | StoreKind::Gcs | StoreKind::S3 => match object_store_keys::of(kind) {
            Some(keys) if !keys.is_known(key) => keys.ours.to_vec(),
            _ => return None,
        },
    };
    if known.contains(&key) || LIMITS.contains(&key) {
        return None;
    }
    let near = closest(key, known.iter().chain(&LIMITS).copied());
    let near = near.first().map(|near| format!("Did you mean '{PREFIX}{name}.option.{near}'?"));
    Some(problem(name, format!("unknown key '{PREFIX}{name}.option.{key}'.")).suggest(near))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn refused(key: &str, value: &str) -> String {
        let others = properties(&[("fs.alias.other.scheme", "hdfs")]);
        problem_of_alias_key(key, value, &others).expect("refused").to_string()
    }

    #[test]
    fn a_wrong_key_is_named_with_its_alias_and_the_remedy() {
        let cases = [
            ("fs.alias.hdfs.scheme", "hdfs", "[FS-001] Alias 'hdfs': 'hdfs' is a scheme already"),
            ("fs.alias.alias.scheme", "hdfs", "is a scheme already"),
            ("fs.alias.1x.scheme", "hdfs", "'1x' is no name for an alias"),
            ("fs.alias.a_b.scheme", "hdfs", "'a_b' is no name for an alias"),
            ("fs.alias.a.scheme", "hdsf", "Did you mean 'hdfs'?"),
            ("fs.alias.a.scheme", "wasb", "not supported yet"),
            ("fs.alias.a.scheme", "other", "'other', which is an alias itself.\n  Hint: Bind it to 'hdfs'"),
            ("fs.alias.a.conf-dri", "/x", "unknown key 'fs.alias.a.conf-dri'.\n  Did you mean 'fs.alias.a.conf-dir'?"),
            ("fs.alias.a.option.", "/x", "unknown key 'fs.alias.a.option.'"),
            ("fs.alias.a", "x", "unknown key 'fs.alias.a'"),
            ("fs.alias.a.conf-dir", "etc", "must be an absolute path, but is 'etc'"),
            ("fs.alias.a.root", "data", "must be an absolute path, but is 'data'"),
            ("fs.alias.a.root", "/data/../x", "without '.' and '..'"),
            ("fs.alias.a.authority", "", "must be a nameservice, host or bucket"),
            ("fs.alias.a.persist", "both", "Expected one of: [bound, alias]"),
            ("fs.alias.a.allow-rebind", "yes", "'yes' is not a boolean"),
        ];
        for (key, value, part) in cases {
            let text = refused(key, value);
            assert!(text.contains(part), "{key}: {text}");
        }
    }

    #[test]
    fn an_alias_is_made_of_its_keys_whatever_their_case() {
        let given = properties(&[
            ("fs.alias.AaHdfs.scheme", "HDFS"),
            ("fs.alias.aahdfs.conf-dir", "/etc/a"),
            ("fs.alias.aahdfs.root", "//data//prod/"),
            ("fs.alias.aahdfs.option.dfs.client.x", "1"),
            ("fs.alias.my.s3.scheme", "s3"),
            ("fs.alias.my.s3.option.fs.s3a.secret.key", "hunter2"),
            ("fs.request.timeout", "3 s"),
            ("s3.endpoint", "http://not-for-aliases"),
        ]);
        let all = all(&given);
        let alias = |name: &str| Arc::clone(all[name].as_ref().expect("right"));
        let aahdfs = alias("aahdfs");
        assert_eq!((aahdfs.scheme.name, aahdfs.conf_dir.as_deref(), aahdfs.root.as_str()), ("hdfs", Some("/etc/a"), "/data/prod"));
        assert_eq!(*aahdfs.properties, properties(&[("dfs.client.x", "1"), ("fs.request.timeout", "3 s")]));
        assert_eq!(alias("my.s3").properties["fs.s3a.secret.key"], "hunter2");
        assert!(!format!("{all:?}").contains("hunter2"));
    }

    #[test]
    fn what_does_not_make_an_alias_is_said_together() {
        let given = properties(&[
            ("fs.alias.a.root", "x"),
            ("fs.alias.h.scheme", "hdfs"),
            ("fs.alias.s.scheme", "s3"),
            ("fs.alias.s.option.s3.endpiont", "http://x"),
            ("fs.alias.f.scheme", "file"),
            ("fs.alias.f.option.fs.file.synk", "true"),
        ]);
        let text = |name: &str| all(&given)[name].as_ref().expect_err("wrong").to_string();
        assert!(text("a").contains("'fs.alias.a.scheme'") && text("a").contains("'fs.alias.a.root'"), "{}", text("a"));
        assert!(text("h").contains("needs 'fs.alias.h.conf-dir' or 'fs.alias.h.option.*'"), "{}", text("h"));
        assert!(text("s").contains("Did you mean 'fs.alias.s.option.s3.endpoint'?"), "{}", text("s"));
        assert!(text("f").contains("Did you mean 'fs.alias.f.option.fs.file.sync'?"), "{}", text("f"));
    }
}
