//! What a `hive` catalog is told: its options, and the `hive-site.xml` behind them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use url::Url;

use crate::error::CatalogError;

const DEFAULT_PORT: u16 = 9083;

/// Options of a Hive catalog. Reading the file is left to the first call.
#[derive(Debug, Clone)]
pub(crate) struct HiveConfig {
    /// `uri`: metastores, in the order in which they are tried; those of `hive-site.xml` if there are none.
    pub(crate) metastores: Vec<Address>,
    pub(crate) warehouse: Option<String>,
    /// `hive-conf-dir`.
    pub(crate) folder: Option<PathBuf>,
    /// Connections at the same time.
    pub(crate) clients: usize,
    /// Whether a commit takes the metastore's lock; `hive-site.xml`, or true, if the user does not say.
    pub(crate) lock: Option<bool>,
    /// As whom the metastore acts.
    pub(crate) user: Option<String>,
}

/// Where a metastore listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

/// Options and file together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settings {
    /// At least one.
    pub(super) metastores: Vec<Address>,
    pub(super) warehouse: Option<String>,
    pub(super) lock: bool,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "thrift://{}:{}", self.host, self.port)
    }
}

/// Reads `thrift://host:port,thrift://host:port`.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn addresses(text: &str) -> Result<Vec<Address>, String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(address).collect()
}

fn address(text: &str) -> Result<Address, String> {
    let expected = || format!("'{text}' is no address of a metastore. Expected 'thrift://host:port', several of them with commas between.");
    let url = Url::parse(text).map_err(|_what_it_says_helps_nobody| expected())?;
    match (url.scheme(), url.host_str()) {
        ("thrift", Some(host)) if !host.is_empty() && matches!(url.path(), "" | "/") => {
            Ok(Address { host: host.trim_matches(['[', ']']).to_owned(), port: url.port().unwrap_or(DEFAULT_PORT) })
        }
        _ => Err(expected()),
    }
}

/// What of `hive-site.xml` makes a connection impossible here, each with its remedy.
const REFUSED: [(&[&str], &str, &str); 5] = [
    (
        &["hive.metastore.sasl.enabled", "metastore.sasl.enabled"],
        "true",
        "this metastore wants Kerberos (SASL), which Weir's client of the metastore does not speak. Ask for a listener without SASL inside \
         the cluster, or put a REST catalog in front of the metastore",
    ),
    (
        &["hive.metastore.use.SSL", "metastore.use.SSL"],
        "true",
        "this metastore wants TLS, which Weir's client of the metastore does not speak; a TLS tunnel beside the job does",
    ),
    (
        &["hive.metastore.client.thrift.transport.mode", "metastore.client.thrift.transport.mode"],
        "http",
        "this metastore is reached over HTTP, but Weir speaks Thrift over TCP only",
    ),
    (
        &["hive.metastore.thrift.framed.transport.enabled", "metastore.thrift.framed.transport.enabled"],
        "true",
        "this metastore wants framed messages, which Weir does not send",
    ),
    (
        &["hive.metastore.thrift.compact.protocol.enabled", "metastore.thrift.compact.protocol.enabled"],
        "true",
        "this metastore wants Thrift's compact protocol, but Weir speaks the binary one",
    ),
];

impl HiveConfig {
    /// The options over the entries of `hive-site.xml`.
    ///
    /// # Errors
    /// No metastore anywhere, or one that cannot be spoken to.
    pub(super) fn over(&self, site: &BTreeMap<String, String>) -> Result<Settings, CatalogError> {
        let entry = |keys: &[&str]| keys.iter().find_map(|key| site.get(*key)).map(|value| value.trim()).filter(|value| !value.is_empty());
        let file = || self.folder.as_deref().map(|folder| folder.join("hive-site.xml").display().to_string()).unwrap_or_default();
        for (keys, value, what) in REFUSED {
            if entry(keys).is_some_and(|found| found.eq_ignore_ascii_case(value)) {
                return Err(CatalogError::user(format!("'{}' is '{value}' in '{}': {what}", keys[0], file())));
            }
        }
        let mut metastores = self.metastores.clone();
        if metastores.is_empty() {
            const URIS: &[&str] = &["hive.metastore.uris", "metastore.thrift.uris"];
            let listed = entry(URIS).unwrap_or_default();
            metastores = addresses(listed).map_err(|what| CatalogError::user(format!("'{}' in '{}': {what}", URIS[0], file())))?;
        }
        if metastores.is_empty() {
            let what = format!("no metastore is named: neither by 'uri' nor by 'hive.metastore.uris' in '{}'", file());
            return Err(CatalogError::user(what));
        }
        // Iceberg tables are external ones, and a metastore may keep those apart.
        let folders: [&[&str]; 2] = [
            &["hive.metastore.warehouse.external.dir", "metastore.warehouse.external.dir"],
            &["hive.metastore.warehouse.dir", "metastore.warehouse.dir"],
        ];
        let warehouse = self.warehouse.clone().or_else(|| folders.iter().find_map(|keys| entry(keys)).map(str::to_owned));
        let lock = self.lock.unwrap_or_else(|| entry(&["iceberg.engine.hive.lock-enabled"]) != Some("false"));
        Ok(Settings { metastores, warehouse: warehouse.map(|path| path.trim_end_matches('/').to_owned()), lock })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(uri: &str) -> HiveConfig {
        let metastores = addresses(uri).expect("addresses");
        HiveConfig { metastores, warehouse: None, folder: Some(PathBuf::from("/etc/hive")), clients: 2, lock: None, user: None }
    }

    fn site(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn addresses_are_read_in_their_order_and_a_wrong_one_is_shown() {
        let texts: Vec<String> = addresses("thrift://a:1, thrift://b,thrift://[::1]:3").expect("read").iter().map(Address::to_string).collect();
        assert_eq!(texts, ["thrift://a:1", "thrift://b:9083", "thrift://::1:3"]);
        for wrong in ["http://a:1", "a:1", "thrift://", "thrift://a:1/db"] {
            assert!(addresses(wrong).expect_err(wrong).contains(wrong), "{wrong}");
        }
    }

    #[test]
    fn options_win_over_the_file() {
        let entries = site(&[
            ("hive.metastore.uris", "thrift://file:1"),
            ("metastore.warehouse.dir", "/managed"),
            ("metastore.warehouse.external.dir", "hdfs://ns1/external/"),
            ("iceberg.engine.hive.lock-enabled", "false"),
        ]);
        let settings = config("").over(&entries).expect("complete");
        let expected =
            Settings { metastores: addresses("thrift://file:1").expect("one"), warehouse: Some("hdfs://ns1/external".to_owned()), lock: false };
        assert_eq!(settings, expected);
        let settings =
            HiveConfig { lock: Some(true), warehouse: Some("file:///w/".to_owned()), ..config("thrift://own:2") }.over(&entries).expect("complete");
        assert_eq!((settings.metastores[0].host.as_str(), settings.warehouse.as_deref(), settings.lock), ("own", Some("file:///w"), true));
    }

    #[test]
    fn what_cannot_be_spoken_is_refused_with_the_file_and_the_key() {
        for (key, value, part) in [
            ("hive.metastore.sasl.enabled", "true", "Kerberos"),
            ("metastore.use.SSL", "TRUE", "TLS"),
            ("metastore.client.thrift.transport.mode", "http", "HTTP"),
        ] {
            let text = config("thrift://a:1").over(&site(&[(key, value)])).expect_err(key).to_string();
            assert!(text.contains(part) && text.contains("/etc/hive/hive-site.xml"), "{text}");
        }
        let text = config("").over(&BTreeMap::new()).expect_err("none").to_string();
        assert!(text.contains("'hive.metastore.uris'"), "{text}");
    }
}
