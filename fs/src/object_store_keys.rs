//! Spellings of object-store properties: Hadoop's and those of its connectors, turned into ours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::mounts::StoreKind;

/// What configures the object stores of one kind.
#[derive(Debug)]
pub(crate) struct Keys {
    /// Our keys, which are Iceberg's as far as it has them.
    pub(crate) ours: &'static [&'static str],
    /// Those of our keys that others call otherwise; the first one that is given counts.
    spellings: &'static [(&'static str, &'static [&'static str])],
    /// Name spaces in which a key that nobody reads is worth a warning.
    spaces: &'static [&'static str],
    /// How a key names the one bucket or account that it is for.
    scoped: Scoped,
}

#[derive(Debug, Clone, Copy)]
enum Scoped {
    No,
    /// `<prefix>bucket.<bucket>.<key>` for `<prefix><key>`.
    ByBucket(&'static str),
    /// `<key>.<account>.<domain>`.
    ByAccount,
}

static S3: Keys = Keys {
    ours: &[
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
    ],
    spellings: &[
        ("s3.endpoint", &["fs.s3a.endpoint", "fs.oss.endpoint", "fs.obs.endpoint"]),
        ("s3.access-key-id", &["fs.s3a.access.key", "fs.oss.accessKeyId", "fs.cosn.userinfo.secretId", "fs.obs.access.key"]),
        ("s3.secret-access-key", &["fs.s3a.secret.key", "fs.oss.accessKeySecret", "fs.cosn.userinfo.secretKey", "fs.obs.secret.key"]),
        ("s3.session-token", &["fs.s3a.session.token", "fs.oss.securityToken", "fs.cosn.userinfo.sessionToken", "fs.obs.session.token"]),
        ("s3.region", &["client.region", "fs.s3a.endpoint.region", "fs.cosn.bucket.region"]),
        ("s3.path-style-access", &["fs.s3a.path.style.access"]),
        ("s3.ssl-enabled", &["fs.s3a.connection.ssl.enabled", "fs.oss.connection.secure.enabled", "fs.obs.connection.ssl.enabled"]),
    ],
    spaces: &["s3.", "fs.s3a.", "fs.oss.", "fs.cosn.", "fs.obs."],
    scoped: Scoped::ByBucket("fs.s3a."),
};

static GCS: Keys = Keys {
    ours: &["gcs.service.host", "gcs.credentials-file", "gcs.oauth2.token", "gcs.no-auth", "gcs.ca-file"],
    spellings: &[
        ("gcs.service.host", &["fs.gs.storage.root.url"]),
        ("gcs.credentials-file", &["fs.gs.auth.service.account.json.keyfile", "google.cloud.auth.service.account.json.keyfile"]),
        ("gcs.no-auth", &["fs.gs.auth.null.enable", "google.cloud.auth.null.enable"]),
    ],
    spaces: &["gcs.", "fs.gs."],
    scoped: Scoped::No,
};

static AZURE: Keys = Keys {
    ours: &[
        "adls.account-name",
        "adls.account-key",
        "adls.sas-token",
        "adls.token",
        "adls.tenant-id",
        "adls.client-id",
        "adls.client-secret",
        "adls.endpoint",
        "adls.ca-file",
    ],
    spellings: &[
        ("adls.account-name", &["adls.auth.shared-key.account.name"]),
        ("adls.account-key", &["adls.auth.shared-key.account.key", "fs.azure.account.key"]),
        ("adls.sas-token", &["fs.azure.sas.fixed.token"]),
        ("adls.tenant-id", &["fs.azure.account.oauth2.msi.tenant"]),
        ("adls.client-id", &["fs.azure.account.oauth2.client.id"]),
        ("adls.client-secret", &["fs.azure.account.oauth2.client.secret"]),
    ],
    spaces: &["adls.", "fs.azure."],
    scoped: Scoped::ByAccount,
};

/// What Hadoop asks for instead of a tenant: `https://login.microsoftonline.com/<tenant>/oauth2/token`.
const AZURE_TOKENS: &str = "fs.azure.account.oauth2.client.endpoint";

/// The keys of a kind of object store.
pub(crate) fn of(kind: StoreKind) -> Option<&'static Keys> {
    match kind {
        StoreKind::S3 => Some(&S3),
        StoreKind::Gcs => Some(&GCS),
        StoreKind::Azure => Some(&AZURE),
        StoreKind::File | StoreKind::Hdfs | StoreKind::Memory => None,
    }
}

impl Keys {
    /// Whether a key is one of ours or another spelling of one.
    pub(crate) fn is_known(&self, key: &str) -> bool {
        let key = self.general(key).map_or(key.to_owned(), |(_, general)| general);
        self.ours.contains(&key.as_str()) || self.is_spelling(&key)
    }

    /// Whether a key may mean something to these stores.
    pub(crate) fn may_read(&self, key: &str) -> bool {
        self.spaces.iter().any(|space| key.starts_with(space)) || self.is_spelling(key)
    }

    fn is_spelling(&self, key: &str) -> bool {
        self.spellings.iter().any(|(_, others)| others.contains(&key)) || (key == AZURE_TOKENS && self.spaces.contains(&"fs.azure."))
    }

    /// The bucket or account that a key is for, and the key that it overrides for it.
    fn general<'a>(&self, key: &'a str) -> Option<(&'a str, String)> {
        match self.scoped {
            Scoped::No => None,
            Scoped::ByBucket(prefix) => {
                let rest = key.strip_prefix(prefix)?.strip_prefix("bucket.")?;
                let at = rest.match_indices('.').map(|(at, _)| at).find(|at| self.is_spelling(&format!("{prefix}{}", &rest[at + 1..])))?;
                Some((&rest[..at], format!("{prefix}{}", &rest[at + 1..])))
            }
            Scoped::ByAccount => {
                let at = key.match_indices('.').map(|(at, _)| at).find(|at| self.is_spelling(&key[..*at]) && !self.is_spelling(key))?;
                Some((&key[at + 1..], key[..at].to_owned()))
            }
        }
    }

    /// What `properties` say about the store of `authority`, in our keys; ours win. Properties of other things are left out.
    pub(crate) fn ours(&self, properties: &BTreeMap<String, String>, authority: &str) -> BTreeMap<String, String> {
        // An account is named by its host, which stands behind the container.
        let scope = authority.rsplit('@').next().unwrap_or(authority);
        let scoped: BTreeMap<String, &String> =
            properties.iter().filter_map(|(key, value)| self.general(key).filter(|(of, _)| *of == scope).map(|(_, key)| (key, value))).collect();
        let get = |key: &str| scoped.get(key).copied().or_else(|| properties.get(key)).filter(|value| !value.is_empty());
        let one = |(key, others): &(&str, &[&str])| {
            let found = std::iter::once(*key).chain(others.iter().copied()).find_map(get)?;
            Some(((*key).to_owned(), found.clone()))
        };
        let mut found: BTreeMap<String, String> = self.spellings.iter().filter_map(one).collect();
        found.extend(self.ours.iter().filter_map(|key| Some(((*key).to_owned(), get(key)?.clone()))));
        found.extend(instead(&found, get));
        found.extend(properties.iter().filter(|(key, _)| key.starts_with("fs.request.")).map(|(key, value)| (key.clone(), value.clone())));
        found
    }

    /// Warns of keys that look as if they configured a store and have no effect: each once in the life of the process.
    pub(crate) fn warn_of_ignored(&self, properties: &BTreeMap<String, String>, name: &str) {
        static WARNED: OnceLock<Mutex<BTreeSet<String>>> = OnceLock::new();
        let mut warned = WARNED.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        for key in self.ignored(properties) {
            if warned.insert(format!("{name} {key}")) {
                tracing::warn!(file_system = name, key, "this object-store property has no effect");
            }
        }
    }

    fn ignored<'a>(&self, properties: &'a BTreeMap<String, String>) -> impl Iterator<Item = &'a str> {
        let keys = properties.keys().map(String::as_str);
        // Which class serves a scheme is a matter of the JVM alone.
        keys.filter(|key| self.spaces.iter().any(|space| key.starts_with(space)) && !self.is_known(key) && !key.ends_with(".impl"))
    }
}

/// What connectors ask for in another way: COS's for a region only, Azure's for an address that holds the tenant.
fn instead<'a>(found: &BTreeMap<String, String>, get: impl Fn(&str) -> Option<&'a String>) -> Option<(String, String)> {
    if let (None, Some(region)) = (found.get("s3.endpoint"), get("fs.cosn.bucket.region").filter(|_| found.contains_key("s3.region"))) {
        return Some(("s3.endpoint".to_owned(), format!("https://cos.{region}.myqcloud.com")));
    }
    if let (None, Some(address)) = (found.get("adls.tenant-id"), get(AZURE_TOKENS).filter(|_| found.contains_key("adls.client-id"))) {
        let tenant = address.split_once("://")?.1.split('/').nth(1)?;
        return Some(("adls.tenant-id".to_owned(), tenant.to_owned()));
    }
    None
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
        assert_eq!(S3.ours(&given, "b"), properties(&expected));
        assert_eq!(S3.ours(&properties(&[("fs.cosn.bucket.region", "r")]), "b")["s3.endpoint"], "https://cos.r.myqcloud.com");
    }

    #[test]
    fn a_key_of_one_bucket_counts_for_that_bucket() {
        let given = properties(&[("fs.s3a.endpoint", "all"), ("fs.s3a.bucket.logs.eu.endpoint", "one"), ("fs.s3a.bucket.logs.eu.secret.key", "s")]);
        assert_eq!(S3.ours(&given, "logs.eu"), properties(&[("s3.endpoint", "one"), ("s3.secret-access-key", "s")]));
        assert_eq!(S3.ours(&given, "logs"), properties(&[("s3.endpoint", "all")]));
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
        assert_eq!(S3.ignored(&given).collect::<Vec<_>>(), ["fs.s3a.fast.upload", "s3.acl"]);
    }

    #[test]
    fn azure_names_the_account_at_the_end_of_a_key_and_hides_the_tenant_in_an_address() {
        let given = properties(&[
            ("fs.azure.account.key.mine.dfs.core.windows.net", "k"),
            ("fs.azure.account.key.other.dfs.core.windows.net", "not mine"),
            ("fs.azure.account.oauth2.client.id", "id"),
            ("fs.azure.account.oauth2.client.endpoint.mine.dfs.core.windows.net", "https://login.microsoftonline.com/tenant/oauth2/token"),
            ("fs.azure.account.auth.type", "OAuth"),
        ]);
        let expected = [("adls.account-key", "k"), ("adls.client-id", "id"), ("adls.tenant-id", "tenant")];
        assert_eq!(AZURE.ours(&given, "container@mine.dfs.core.windows.net"), properties(&expected));
        assert_eq!(AZURE.ours(&given, "container"), properties(&[("adls.client-id", "id")]));
        assert_eq!(AZURE.ignored(&given).collect::<Vec<_>>(), ["fs.azure.account.auth.type"]);
    }
}
