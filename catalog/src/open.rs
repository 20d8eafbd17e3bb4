//! CREATE CATALOG: the options, and the factory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use weir_base::Secret;
use weir_base::options::{OptionBag, OptionDecl, Problem, Problems, ValueType};
use weir_fs::FileSystems;

use crate::backoff::CALL_TIMEOUT;
use crate::hadoop::HadoopCatalog;
use crate::hive::{HiveConfig, HivePointers, LOCK_ENABLED, addresses};
use crate::lake::LakeCatalog;
use crate::memory::MemoryPointers;
use crate::pointer_catalog::PointerCatalog;
use crate::rest::{RestCatalog, RestConfig};
use crate::sql::{SqlPointers, Target};

/// Values of `catalog-type`.
const TYPES: &[&str] = &["hive", "hadoop", "rest", "sql", "memory"];

const TYPE: OptionDecl = OptionDecl::new("type", ValueType::Enum(&["iceberg"]), "Always `iceberg`.").required();
const CATALOG_TYPE: OptionDecl = OptionDecl::new("catalog-type", ValueType::Enum(TYPES), "Kind of catalog.");
const URI: OptionDecl = OptionDecl::new(
    "uri",
    ValueType::String,
    "`sql`: `sqlite:<path>` or `postgresql://user@host/database`, also behind `jdbc:`. `rest`: the server's address. `hive`: \
     `thrift://host:port`, several metastores with commas between, tried in this order; `hive.metastore.uris` of `hive-site.xml` by default.",
);
const WAREHOUSE: OptionDecl = OptionDecl::new(
    "warehouse",
    ValueType::String,
    "Root of the tables' folders; for `rest` the name or path that the server expects; for `hive` the root of new databases, \
     `hive-site.xml`'s or the metastore's by default.",
);
const USERNAME: OptionDecl = OptionDecl::new(
    "username",
    ValueType::String,
    "`sql`: user of the database. `hive`: as whom the metastore acts; `HADOOP_USER_NAME` by default, and without it the metastore's own user.",
);
const PASSWORD: OptionDecl = OptionDecl::new("password", ValueType::String, "`sql`: password of the database.").secret();
const CATALOG_NAME: OptionDecl =
    OptionDecl::new("catalog-name", ValueType::String, "`sql`: name under which the tables stand in the database; the catalog's own by default.");
const CREDENTIAL: OptionDecl =
    OptionDecl::new("credential", ValueType::String, "`rest`: `client-id:client-secret` for OAuth2 client credentials.").secret();
const TOKEN: OptionDecl = OptionDecl::new("token", ValueType::String, "`rest`: bearer token.").secret();
const SCOPE: OptionDecl = OptionDecl::new("scope", ValueType::String, "`rest`: scope to ask for with `credential`.").default("catalog");
const OAUTH2: OptionDecl = OptionDecl::new(
    "oauth2-server-uri",
    ValueType::String,
    "`rest`: where tokens are given for `credential`; the catalog's own `v1/oauth/tokens` by default.",
);
const PREFIX: OptionDecl = OptionDecl::new("prefix", ValueType::String, "`rest`: path prefix, if the server's configuration gives none.");
const HEADERS: OptionDecl = OptionDecl::new("header.*", ValueType::String, "`rest`: a header to send with every request.");
const HIVE_CONF_DIR: OptionDecl = OptionDecl::new("hive-conf-dir", ValueType::String, "`hive`: local folder with `hive-site.xml`.");
const CLIENTS: OptionDecl =
    OptionDecl::new("clients", ValueType::Integer { min: 1, max: 1000 }, "`hive`: connections to the metastore at the same time.").default("2");
const LOCK: OptionDecl = OptionDecl::new(
    LOCK_ENABLED,
    ValueType::Boolean,
    "`hive`: whether a commit takes the metastore's lock; a table property of the same name wins. Without it the metastore must be 4.0 or later, and \
     every writer of the tables must do without. `iceberg.engine.hive.lock-enabled` of `hive-site.xml`, else `true`, by default.",
);
const DEFAULT_DATABASE: OptionDecl =
    OptionDecl::new("default-database", ValueType::String, "Database that is current after USE CATALOG.").default("default");
const CACHE: OptionDecl = OptionDecl::new(
    "cache-enabled",
    ValueType::Boolean,
    "Keeps the last metadata of each table in memory; the pointer to it is always read, so nothing gets stale. `hadoop` and `rest` read it each time.",
)
.default("true");
const PROPERTY_VERSION: OptionDecl = OptionDecl::new("property-version", ValueType::Integer { min: 1, max: 1 }, "Reserved.").default("1");
const IO_IMPL: OptionDecl = OptionDecl::new("io-impl", ValueType::String, "Accepted for other engines' sake and without effect.");
const HADOOP_CONF_DIR: OptionDecl =
    OptionDecl::new("hadoop-conf-dir", ValueType::String, "Local folder with `core-site.xml` and `hdfs-site.xml` for this catalog's files.");
const S3: OptionDecl = OptionDecl::new("s3.*", ValueType::String, "Settings of S3 for this catalog's files.");
const GCS: OptionDecl = OptionDecl::new("gcs.*", ValueType::String, "Settings of Google Cloud Storage for this catalog's files.");
const ADLS: OptionDecl = OptionDecl::new("adls.*", ValueType::String, "Settings of Azure storage for this catalog's files.");
const FS: OptionDecl = OptionDecl::new("fs.*", ValueType::String, "Settings of file systems and aliases for this catalog's files.");

/// Every option of CREATE CATALOG … WITH ('type' = 'iceberg').
pub const OPTIONS: &[OptionDecl] = &[
    TYPE,
    CATALOG_TYPE,
    URI,
    WAREHOUSE,
    USERNAME,
    PASSWORD,
    CATALOG_NAME,
    CREDENTIAL,
    TOKEN,
    SCOPE,
    OAUTH2,
    PREFIX,
    HEADERS,
    HIVE_CONF_DIR,
    CLIENTS,
    LOCK,
    DEFAULT_DATABASE,
    CACHE,
    PROPERTY_VERSION,
    IO_IMPL,
    HADOOP_CONF_DIR,
    S3,
    GCS,
    ADLS,
    FS,
];

/// A catalog as CREATE CATALOG describes it.
#[derive(Debug, Clone)]
pub struct OpenedCatalog {
    /// The catalog. Nothing has been connected yet.
    pub catalog: Arc<dyn LakeCatalog>,
    /// Database that is current after USE CATALOG.
    pub default_database: String,
    /// Warnings to show.
    pub warnings: Vec<Problem>,
}

/// Makes the catalog `name` from its options. Asks no server; the configuration of the warehouse's alias is read.
///
/// Options that are left over are errors too: the whole bag belongs to the catalog.
///
/// # Errors
/// Every problem of the options.
pub fn open(name: &str, options: &mut OptionBag, file_systems: &FileSystems) -> Result<OpenedCatalog, Problems> {
    let mut bag = options.fresh();
    let pulled = Pulled::from(&mut bag);
    let default_database = bag.string(&DEFAULT_DATABASE).unwrap_or_default();
    let catalog = pulled.build(name, &mut bag, file_systems);
    let known: Vec<&OptionDecl> = OPTIONS.iter().collect();
    let warnings = bag.finish("iceberg", &known, &[])?;
    match catalog {
        Some(catalog) => Ok(OpenedCatalog { catalog, default_database, warnings }),
        None => Err(Problem::new("CAT-001", options.object(), "The catalog could not be made from its options.").into()),
    }
}

/// The options by value.
struct Pulled {
    kind: Option<&'static str>,
    uri: Option<String>,
    warehouse: Option<String>,
    username: Option<String>,
    password: Option<Secret<String>>,
    catalog_name: Option<String>,
    rest: RestConfig,
    hive: HiveConfig,
    cached: bool,
    storage: BTreeMap<String, String>,
}

impl Pulled {
    fn from(bag: &mut OptionBag) -> Self {
        bag.choice(&TYPE);
        let kind = catalog_type(bag);
        bag.integer(&PROPERTY_VERSION);
        if bag.string(&IO_IMPL).is_some() {
            bag.warn("OPT-008", IO_IMPL.key, "'io-impl' has no effect: files are read and written by Weir's own file systems.");
        }
        let mut storage = BTreeMap::new();
        for prefix in ["s3.", "gcs.", "adls.", "fs."] {
            storage.extend(bag.prefixed(prefix).into_iter().map(|(key, value)| (format!("{prefix}{key}"), value)));
        }
        if let Some(folder) = bag.string(&HADOOP_CONF_DIR) {
            storage.insert(HADOOP_CONF_DIR.key.to_owned(), folder);
        }
        let uri = bag.string(&URI);
        let warehouse = bag.string(&WAREHOUSE);
        let rest = RestConfig {
            uri: uri.clone().unwrap_or_default(),
            warehouse: warehouse.clone(),
            credential: bag.string(&CREDENTIAL).map(Secret::new),
            token: bag.string(&TOKEN).map(Secret::new),
            scope: bag.string(&SCOPE).unwrap_or_default(),
            oauth2_server_uri: bag.string(&OAUTH2),
            prefix: bag.string(&PREFIX),
            headers: bag.prefixed("header.").into_iter().map(|(key, value)| (key, Secret::new(value))).collect(),
            timeout: CALL_TIMEOUT,
        };
        let username = bag.string(&USERNAME);
        let hive = HiveConfig {
            metastores: Vec::new(),
            warehouse: warehouse.clone(),
            folder: bag.string(&HIVE_CONF_DIR).map(PathBuf::from),
            clients: bag.integer(&CLIENTS).and_then(|clients| usize::try_from(clients).ok()).unwrap_or(1),
            lock: bag.boolean(&LOCK),
            user: username.clone(),
        };
        Self {
            kind,
            uri,
            warehouse,
            username,
            password: bag.string(&PASSWORD).map(Secret::new),
            catalog_name: bag.string(&CATALOG_NAME),
            rest,
            hive,
            cached: bag.boolean(&CACHE).unwrap_or(true),
            storage,
        }
    }

    /// The catalog's own view: its properties, and the alias of its warehouse.
    fn file_systems(&self, bag: &mut OptionBag, process: &FileSystems) -> Option<FileSystems> {
        let view = match process.of_object(&self.storage, self.warehouse.as_deref()) {
            Ok(view) => view,
            Err(problems) => {
                for problem in problems.as_slice() {
                    let key = self.storage.keys().find(|key| problem.what.contains(&format!("'{key}'")));
                    bag.report(problem.clone().at(key.and_then(|key| bag.position(key)).or_else(|| bag.position(WAREHOUSE.key))));
                }
                return None;
            }
        };
        if let Some(warning) = self.warehouse.as_deref().and_then(|warehouse| view.warning_of(warehouse)) {
            bag.report(warning.at(bag.position(WAREHOUSE.key)));
        }
        Some(view)
    }

    fn build(self, name: &str, bag: &mut OptionBag, file_systems: &FileSystems) -> Option<Arc<dyn LakeCatalog>> {
        let file_systems = self.file_systems(bag, file_systems)?;
        match self.kind? {
            "memory" => {
                let warehouse = self.warehouse.or_else(|| Some(format!("memory://{name}/warehouse")));
                Some(Arc::new(PointerCatalog::new(name, warehouse, MemoryPointers::default(), file_systems, self.cached)))
            }
            "sql" => {
                require(bag, "sql", URI.key, self.uri.as_deref());
                require(bag, "sql", WAREHOUSE.key, self.warehouse.as_deref());
                match Target::parse(&self.uri?, self.username.as_deref(), self.password.as_ref()) {
                    Ok(target) => {
                        let pointers = SqlPointers::new(self.catalog_name.unwrap_or_else(|| name.to_owned()), target);
                        Some(Arc::new(PointerCatalog::new(name, self.warehouse, pointers, file_systems, self.cached)))
                    }
                    Err(what) => {
                        bag.error("OPT-003", URI.key, format!("Invalid value for option 'uri' of a 'sql' catalog. {what}"));
                        None
                    }
                }
            }
            "rest" => {
                require(bag, "rest", URI.key, self.uri.as_deref());
                match RestCatalog::try_new(name, self.rest, file_systems) {
                    Ok(catalog) => Some(Arc::new(catalog)),
                    Err(what) => {
                        bag.error("OPT-003", URI.key, format!("Invalid value for option 'uri' of a 'rest' catalog. {what}"));
                        None
                    }
                }
            }
            "hadoop" => {
                require(bag, "hadoop", WAREHOUSE.key, self.warehouse.as_deref());
                Some(Arc::new(HadoopCatalog::new(name, &self.warehouse?, file_systems)))
            }
            _hive => hive(name, self, bag, file_systems),
        }
    }
}

/// A metastore is named by 'uri', or by a file that is read at the first call.
fn hive(name: &str, pulled: Pulled, bag: &mut OptionBag, file_systems: FileSystems) -> Option<Arc<dyn LakeCatalog>> {
    let Pulled { uri, warehouse, mut hive, cached, .. } = pulled;
    if hive.folder.is_none() {
        require(bag, "hive", URI.key, uri.as_deref());
    }
    match addresses(uri.as_deref().unwrap_or_default()) {
        Ok(metastores) => hive.metastores = metastores,
        Err(what) => {
            bag.error("OPT-003", URI.key, format!("Invalid value for option 'uri' of a 'hive' catalog. {what}"));
            return None;
        }
    }
    Some(Arc::new(PointerCatalog::new(name, warehouse, HivePointers::new(hive), file_systems, cached)))
}

/// There is no default: which catalog holds the tables is not a thing to guess.
fn catalog_type(bag: &mut OptionBag) -> Option<&'static str> {
    if bag.contains(CATALOG_TYPE.key) {
        return bag.choice(&CATALOG_TYPE);
    }
    let what = format!("One or more required options are missing: 'catalog-type'. Expected one of: [{}].", TYPES.join(", "));
    bag.report(Problem::new("OPT-002", bag.object().to_owned(), what));
    None
}

fn require(bag: &mut OptionBag, kind: &str, key: &'static str, value: Option<&str>) {
    if value.is_none() {
        let what = format!("One or more required options are missing: '{key}' (for 'catalog-type' = '{kind}').");
        bag.report(Problem::new("OPT-002", bag.object().to_owned(), what));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn try_open(entries: &[(&str, &str)]) -> Result<OpenedCatalog, Problems> {
        let mut bag = OptionBag::new("Catalog 'lake'");
        bag.insert("type", "iceberg", None);
        for (key, value) in entries {
            bag.insert(*key, *value, None);
        }
        open("lake", &mut bag, &FileSystems::default())
    }

    #[test]
    fn a_missing_type_lists_all_five() {
        let text = try_open(&[("uri", "x")]).expect_err("no type").to_string();
        assert!(text.contains("[hive, hadoop, rest, sql, memory]"), "{text}");
    }

    #[test]
    fn every_problem_is_reported_and_no_password_is_shown() {
        let text = try_open(&[("catalog-type", "sql"), ("uri", "mysql://u:hunter2@h/d"), ("passwort", "hunter2")]).expect_err("wrong").to_string();
        for part in ["'warehouse'", "sqlite:<path>", "'passwort'", "Did you mean 'password'?"] {
            assert!(text.contains(part), "{part} not in {text}");
        }
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn what_hive_and_hadoop_need_is_asked_for() {
        for (entries, part) in [
            ([("catalog-type", "hadoop"), ("cache-enabled", "true")], "'warehouse' (for 'catalog-type' = 'hadoop')"),
            ([("catalog-type", "hive"), ("warehouse", "file:///w")], "'uri' (for 'catalog-type' = 'hive')"),
            ([("catalog-type", "hive"), ("uri", "http://h:9083")], "Expected 'thrift://host:port'"),
        ] {
            let text = try_open(&entries).expect_err("incomplete").to_string();
            assert!(text.contains(part), "{text}");
        }
        try_open(&[("catalog-type", "hive"), ("hive-conf-dir", "/etc/hive")]).expect("the file is read later");
        try_open(&[("catalog-type", "hadoop"), ("warehouse", "hdfs://ns1/w")]).expect("complete");
    }

    #[test]
    fn an_alias_of_the_catalog_is_checked_when_it_is_opened() {
        let sql = [("catalog-type", "sql"), ("uri", "sqlite:/x"), ("warehouse", "mine:///w"), ("fs.alias.mine.scheme", "file")];
        let opened = try_open(&sql).expect("right");
        assert_eq!(opened.catalog.file_systems().for_metadata("mine:///w/t").expect("bound"), "file:///w/t");
        let wrong = [&sql[..], &[("fs.alias.mine.roof", "/x"), ("passwort", "p")]].concat();
        let text = try_open(&wrong).expect_err("wrong").to_string();
        assert!(text.contains("Did you mean 'fs.alias.mine.root'?") && text.contains("'passwort'"), "{text}");
        let kept = [&sql[..], &[("fs.alias.mine.persist", "alias")]].concat();
        let warnings = try_open(&kept).expect("right").warnings;
        assert!(warnings[0].to_string().starts_with("[FS-002] warning: Alias 'mine'"), "{warnings:?}");
    }

    #[test]
    fn opening_needs_no_server_and_hides_secrets() {
        let catalog = [("catalog-type", "rest"), ("uri", "http://127.0.0.1:1/c"), ("credential", "id:hunter2"), ("token", "hunter2")];
        let opened = try_open(&catalog).expect("no connection yet");
        assert_eq!(opened.catalog.name(), "lake");
        assert!(!format!("{opened:?}").contains("hunter2"));
        let sql = [("catalog-type", "SQL"), ("uri", "jdbc:postgresql://h/d"), ("warehouse", "file:///w"), ("username", "u"), ("password", "hunter2")];
        let opened = try_open(&sql).expect("no connection yet");
        assert!(!format!("{:?}", opened.catalog).contains("hunter2"), "{opened:?}");
    }
}
