//! Spellings of object-store properties: Hadoop's and those of its connectors, turned into ours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Our keys, which are Iceberg's.
pub(crate) const OURS: [&str; 15] = [
    "s3.endpoint",
    "s3.access-key-id",
    "s3.secret-access-key",
    "s3.session-token",
    "s3.region",
    "s3.path-style-access",
    "s3.ssl-enabled",
    "s3.ca-file",
    "s3.profile",
    "s3.profile-file",
    "s3.web-identity-token-file",
    "s3.role-arn",
    "s3.role-session-name",
    "s3.sts-endpoint",
    "s3.anonymous",
];

/// Those of our keys that others call otherwise; the first one that is given counts.
const SPELLINGS: [(&str, &[&str]); 7] = [
    ("s3.endpoint", &["fs.s3a.endpoint", "fs.oss.endpoint", "fs.obs.endpoint"]),
    ("s3.access-key-id", &["fs.s3a.access.key", "fs.oss.accessKeyId", "fs.cosn.userinfo.secretId", "fs.obs.access.key"]),
    ("s3.secret-access-key", &["fs.s3a.secret.key", "fs.oss.accessKeySecret", "fs.cosn.userinfo.secretKey", "fs.obs.secret.key"]),
    ("s3.session-token", &["fs.s3a.session.token", "fs.oss.securityToken", "fs.cosn.userinfo.sessionToken", "fs.obs.session.token"]),
    ("s3.region", &["client.region", "fs.s3a.endpoint.region", "fs.cosn.bucket.region"]),
    ("s3.path-style-access", &["fs.s3a.path.style.access"]),
    ("s3.ssl-enabled", &["fs.s3a.connection.ssl.enabled", "fs.oss.connection.secure.enabled", "fs.obs.connection.ssl.enabled"]),
];

/// Name spaces of object stores, in which a key that nobody reads is worth a warning.
const NAME_SPACES: [&str; 5] = ["s3.", "fs.s3a.", "fs.oss.", "fs.cosn.", "fs.obs."];

/// Whether a key is one of ours or another spelling of one.
pub(crate) fn is_known(key: &str) -> bool {
    let key = general(key).map_or_else(|| key.to_owned(), |(_, general)| general);
    OURS.contains(&key.as_str()) || SPELLINGS.iter().any(|(_, others)| others.contains(&key.as_str()))
}

/// The bucket of `fs.s3a.bucket.<bucket>.<key>`, and the key that it overrides for it.
fn general(key: &str) -> Option<(&str, String)> {
    let rest = key.strip_prefix("fs.s3a.bucket.")?;
    let at = rest.match_indices('.').map(|(at, _)| at).find(|at| {
        let general = format!("fs.s3a.{}", &rest[at + 1..]);
        SPELLINGS.iter().any(|(_, others)| others.contains(&general.as_str()))
    })?;
    Some((&rest[..at], format!("fs.s3a.{}", &rest[at + 1..])))
}

/// What `properties` say about `bucket`, in our keys; ours win. Properties of other things are left out.
pub(crate) fn ours(properties: &BTreeMap<String, String>, bucket: &str) -> BTreeMap<String, String> {
    let of_bucket: BTreeMap<String, &String> =
        properties.iter().filter_map(|(key, value)| general(key).filter(|(of, _)| *of == bucket).map(|(_, key)| (key, value))).collect();
    let get = |key: &str| of_bucket.get(key).copied().or_else(|| properties.get(key)).filter(|value| !value.is_empty());
    let one = |(key, others): &(&str, &[&str])| {
        let found = std::iter::once(*key).chain(others.iter().copied()).find_map(get)?;
        Some(((*key).to_owned(), found.clone()))
    };
    let mut found: BTreeMap<String, String> = SPELLINGS.iter().filter_map(one).collect();
    found.extend(OURS.iter().filter_map(|key| Some(((*key).to_owned(), get(key)?.clone()))));
    // COS's own connector asks for a region only.
    if let (None, Some(region)) = (found.get("s3.endpoint"), properties.get("fs.cosn.bucket.region")) {
        found.insert("s3.endpoint".to_owned(), format!("https://cos.{region}.myqcloud.com"));
    }
    found.extend(properties.iter().filter(|(key, _)| key.starts_with("fs.request.")).map(|(key, value)| (key.clone(), value.clone())));
    found
}

/// Warns of keys that look as if they configured a store and have no effect: each once in the life of the process.
pub(crate) fn warn_of_ignored(properties: &BTreeMap<String, String>, name: &str) {
    static WARNED: OnceLock<Mutex<BTreeSet<String>>> = OnceLock::new();
    let mut warned = WARNED.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    for key in ignored(properties) {
        if warned.insert(format!("{name} {key}")) {
            tracing::warn!(file_system = name, key, "this object-store property has no effect");
        }
    }
}

fn ignored(properties: &BTreeMap<String, String>) -> impl Iterator<Item = &str> {
    let keys = properties.keys().map(String::as_str);
    // Which class serves a scheme is a matter of the JVM alone.
    keys.filter(|key| NAME_SPACES.iter().any(|space| key.starts_with(space)) && !is_known(key) && !key.ends_with(".impl"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_spellings_of_hadoop_become_ours_and_ours_win() {
        let given = properties(&[
            ("fs.oss.endpoint", "oss.example"),
            ("fs.oss.accessKeyId", "id"),
            ("fs.oss.accessKeySecret", "secret"),
            ("s3.region", "here"),
            ("client.region", "there"),
            ("fs.request.timeout", "3 s"),
            ("dfs.replication", "1"),
        ]);
        let expected = [
            ("fs.request.timeout", "3 s"),
            ("s3.access-key-id", "id"),
            ("s3.endpoint", "oss.example"),
            ("s3.region", "here"),
            ("s3.secret-access-key", "secret"),
        ];
        assert_eq!(ours(&given, "b"), properties(&expected));
        assert_eq!(ours(&properties(&[("fs.cosn.bucket.region", "r")]), "b")["s3.endpoint"], "https://cos.r.myqcloud.com");
    }

    #[test]
    fn a_key_of_one_bucket_counts_for_that_bucket() {
        let given = properties(&[("fs.s3a.endpoint", "all"), ("fs.s3a.bucket.logs.eu.endpoint", "one"), ("fs.s3a.bucket.logs.eu.secret.key", "s")]);
        assert_eq!(ours(&given, "logs.eu"), properties(&[("s3.endpoint", "one"), ("s3.secret-access-key", "s")]));
        assert_eq!(ours(&given, "logs"), properties(&[("s3.endpoint", "all")]));
    }

    #[test]
    fn keys_without_effect_are_found() {
        let given = properties(&[
            ("fs.s3a.fast.upload", "true"),
            ("fs.s3a.impl", "x"),
            ("fs.s3a.endpoint", "x"),
            ("fs.s3a.bucket.b.endpoint", "x"),
            ("s3.acl", "x"),
            ("io.file.buffer.size", "1"),
        ]);
        assert_eq!(ignored(&given).collect::<Vec<_>>(), ["fs.s3a.fast.upload", "s3.acl"]);
    }
}
