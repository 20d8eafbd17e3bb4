//! The options that formats of a registry have in common and their checks; they are those of Flink.

use weir_base::Secret;
use weir_base::options::{OptionBag, OptionDecl, ValueType};

use super::client::{Login, Server, Settings};

pub(super) const URL: OptionDecl = OptionDecl::new(
    "url",
    ValueType::String,
    "Address of the registry, with the path of its interface if it has one; several, with `,` between them, are tried in turn.",
)
.required();
pub(super) const SUBJECT: OptionDecl =
    OptionDecl::new("subject", ValueType::String, "Subject of the schema of what is written, which needs it; messages that are read name theirs.");
pub(super) const AUTO_REGISTER: OptionDecl = OptionDecl::new(
    "properties.auto.register.schemas",
    ValueType::Boolean,
    "Whether the schema of what is written is registered if the subject does not have it. With `false` it must be there.",
)
.default("true");
pub(super) const BASIC_SOURCE: OptionDecl = OptionDecl::new(
    "basic-auth.credentials-source",
    ValueType::Enum(&["URL", "USER_INFO"]),
    "Where user and password stand: in the address, or in `basic-auth.user-info`. Default: `USER_INFO` if that is given.",
);
pub(super) const USER_INFO: OptionDecl = OptionDecl::new("basic-auth.user-info", ValueType::String, "`user:password`.").secret();
pub(super) const BEARER_SOURCE: OptionDecl =
    OptionDecl::new("bearer-auth.credentials-source", ValueType::Enum(&["STATIC_TOKEN"]), "Where the token comes from.").default("STATIC_TOKEN");
pub(super) const TOKEN: OptionDecl = OptionDecl::new("bearer-auth.token", ValueType::String, "The token that is sent with every request.").secret();
pub(super) const TRUSTSTORE: OptionDecl = OptionDecl::new(
    "ssl.truststore.location",
    ValueType::String,
    "PEM file of the authorities that signed the registry's certificate. Default: those that the system trusts. JKS and PKCS12 are not read.",
);
pub(super) const TRUSTSTORE_PASSWORD: OptionDecl =
    OptionDecl::new("ssl.truststore.password", ValueType::String, "Password of a Java truststore; PEM has none.").secret();
pub(super) const KEYSTORE: OptionDecl = OptionDecl::new(
    "ssl.keystore.location",
    ValueType::String,
    "PEM file of the client's certificate and its key, for registries that ask for one. JKS and PKCS12 are not read.",
);
pub(super) const KEYSTORE_PASSWORD: OptionDecl =
    OptionDecl::new("ssl.keystore.password", ValueType::String, "Password of a Java keystore; PEM has none.").secret();
pub(super) const PROPERTIES: OptionDecl =
    OptionDecl::new("properties.*", ValueType::String, "Other settings of the registry's Java client; they have no effect here.");

/// The options of a format: its own, and those that all formats of a registry have.
macro_rules! with_client {
    ($($own:expr),* $(,)?) => {{
        use $crate::format::registry::options::{
            AUTO_REGISTER, BASIC_SOURCE, BEARER_SOURCE, KEYSTORE, KEYSTORE_PASSWORD, PROPERTIES, SUBJECT, TOKEN, TRUSTSTORE, TRUSTSTORE_PASSWORD, URL, USER_INFO,
        };
        &[
            URL, SUBJECT, $($own,)* BASIC_SOURCE, USER_INFO, BEARER_SOURCE, TOKEN, TRUSTSTORE, TRUSTSTORE_PASSWORD, KEYSTORE, KEYSTORE_PASSWORD,
            AUTO_REGISTER, PROPERTIES,
        ]
    }};
}
pub(super) use with_client;

/// What the options say.
#[derive(Debug)]
pub(super) struct Pulled {
    pub(super) settings: Settings,
    pub(super) subject: Option<String>,
    /// A schema that the subject does not have is registered.
    pub(super) registers: bool,
}

/// Pulls every option, so that all problems are found.
pub(super) fn pull(options: &mut OptionBag) -> Option<Pulled> {
    let urls = options.string(&URL).and_then(|text| urls(options, &text));
    let login = login(options);
    let authorities = pem(options, &TRUSTSTORE, &["CERTIFICATE"]);
    let identity = pem(options, &KEYSTORE, &["CERTIFICATE", "PRIVATE KEY"]);
    let (subject, registers) = (options.string(&SUBJECT), options.boolean(&AUTO_REGISTER));
    for decl in [TRUSTSTORE_PASSWORD, KEYSTORE_PASSWORD] {
        options.string(&decl);
        if options.contains(decl.key) {
            options.warn("OPT-008", decl.key, format!("'{}' has no effect because PEM has no password.", options.full_key(decl.key)));
        }
    }
    let properties = options.prefixed("properties.").into_keys().map(|key| format!("properties.{key}"));
    for key in properties.filter(|key| key != AUTO_REGISTER.key) {
        options.warn("OPT-008", &key, format!("'{}' has no effect: it belongs to the registry's Java client.", options.full_key(&key)));
    }
    let settings = Settings { login: login?, authorities: authorities?, identity: identity?.map(Secret::new), ..Settings::of(urls?) };
    Some(Pulled { settings, subject, registers: registers? })
}

fn urls(options: &mut OptionBag, text: &str) -> Option<Vec<Server>> {
    let mut servers = Vec::new();
    for part in text.split(',') {
        match Server::parse(part) {
            Ok(server) => servers.push(server),
            Err(why) => {
                options.error("OPT-003", URL.key, format!("Invalid value for option '{}': {why}.", options.full_key(URL.key)));
                return None;
            }
        }
    }
    Some(servers)
}

fn login(options: &mut OptionBag) -> Option<Login> {
    let (given, source, bearer) = (options.contains(BASIC_SOURCE.key), options.choice(&BASIC_SOURCE), options.choice(&BEARER_SOURCE));
    let (user_info, token) = (options.string(&USER_INFO), options.string(&TOKEN));
    if bearer.is_none() || given && source.is_none() {
        return None;
    }
    if user_info.is_some() && token.is_some() {
        let (basic, bearer) = (options.full_key(USER_INFO.key), options.full_key(TOKEN.key));
        options.error("OPT-006", TOKEN.key, format!("'{basic}' and '{bearer}' shouldn't be set together."));
        return None;
    }
    match (source, user_info, token) {
        (_, _, Some(token)) => Some(Login::Token(Secret::new(token))),
        (Some("USER_INFO"), None, None) => {
            let (source, missing) = (options.full_key(BASIC_SOURCE.key), options.full_key(USER_INFO.key));
            options.error("OPT-005", BASIC_SOURCE.key, format!("'{missing}' is required with '{source}' = 'USER_INFO' but missing."));
            None
        }
        (Some("URL"), Some(_), None) => {
            let (source, given) = (options.full_key(BASIC_SOURCE.key), options.full_key(USER_INFO.key));
            options.warn("OPT-008", USER_INFO.key, format!("'{given}' has no effect because '{source}' is 'URL'."));
            Some(Login::InUrl)
        }
        (_, Some(info), None) => match info.split_once(':') {
            Some((user, password)) => Some(Login::Basic { user: user.to_owned(), password: Secret::new(password.to_owned()) }),
            None => {
                let full = options.full_key(USER_INFO.key);
                options.error("OPT-003", USER_INFO.key, format!("Invalid value for option '{full}': expected 'user:password'."));
                None
            }
        },
        (_, None, None) => Some(Login::InUrl),
    }
}

/// The content of a PEM file that must have `parts`, if the option is given; the outer `None` is a problem that was reported.
fn pem(options: &mut OptionBag, decl: &OptionDecl, parts: &[&str]) -> Option<Option<Vec<u8>>> {
    let Some(path) = options.string(decl) else { return Some(None) };
    let full = options.full_key(decl.key);
    let read = std::fs::read(path.strip_prefix("file://").unwrap_or(&path));
    let why = match read {
        Err(error) => format!("'{path}' cannot be read: {error}."),
        Ok(content) => {
            let text = String::from_utf8_lossy(&content);
            let has = |part: &&&str| text.lines().any(|line| line.starts_with("-----BEGIN ") && line.contains(**part));
            match parts.iter().find(|part| !has(part)) {
                None if !text.contains("-----BEGIN ENCRYPTED") => return Some(Some(content)),
                None => format!("the key in '{path}' is encrypted. Write it without: openssl pkey -in {path} -out key.pem."),
                Some(part) => format!(
                    "'{path}' has no {part} in PEM; Java's JKS and PKCS12 are not read. Write it as PEM: keytool -exportcert -rfc for \
                     authorities, openssl pkcs12 -in STORE.p12 -nodes for a certificate with its key."
                ),
            }
        }
    };
    options.error("OPT-003", decl.key, format!("Invalid value for option '{full}': {why}"));
    None
}
