//! `properties.*`: from the names of the Java client, which users have in their DDL, to those of librdkafka. Pure.

use std::collections::BTreeMap;

use rdkafka::config::ClientConfig;
use weir_base::Secret;
use weir_base::options::{OptionBag, closest};

use super::client::refusal;
use super::known::{JAVA_ONLY, KNOWN, MECHANISMS, OURS, RENAMED};

const PREFIX: &str = "properties.";
/// Names of the Java client that are looked at together, for what they mean depends on the type of the store.
const STORES: &[&str] = &[
    "ssl.truststore.location",
    "ssl.truststore.type",
    "ssl.truststore.password",
    "ssl.truststore.certificates",
    "ssl.keystore.location",
    "ssl.keystore.type",
    "ssl.keystore.password",
    "ssl.keystore.key",
    "ssl.keystore.certificate.chain",
];

/// Settings of a client, by librdkafka's names. `Debug` shows no value.
#[derive(Debug, Clone, Default)]
pub(super) struct ClientProperties(BTreeMap<String, Secret<String>>);

impl ClientProperties {
    /// The value of `key`.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|value| value.expose().as_str())
    }

    /// As librdkafka takes them.
    pub(super) fn to_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (key, value) in &self.0 {
            config.set(key, value.expose());
        }
        config
    }

    fn set(&mut self, key: &str, value: &str) {
        self.0.insert(key.to_owned(), Secret::new(value.to_owned()));
    }
}

/// Maps what stands behind `properties.` in `bag`; what cannot be mapped becomes a problem of the bag.
pub(super) fn client_properties(written: &BTreeMap<String, String>, bag: &mut OptionBag) -> ClientProperties {
    let mut properties = ClientProperties::default();
    for (key, value) in written {
        match key.as_str() {
            "auto.offset.reset" | "group.id" | "commit.offsets.on.checkpoint" | "partition.discovery.interval.ms" => {}
            "sasl.jaas.config" => jaas(value, bag, &mut properties),
            other if STORES.contains(&other) => {}
            // An empty text turns the check off in the Java client.
            "ssl.endpoint.identification.algorithm" if value.is_empty() => properties.set(key, "none"),
            "sasl.login.callback.handler.class" | "sasl.client.callback.handler.class" => {
                bag.error("OPT-005", &full(key), format!("'{}' names a Java class, which cannot be loaded. {}", full(key), use_a_mechanism()))
            }
            other if OURS.contains(&other) => {
                bag.warn("OPT-008", &full(key), format!("'{}' has no effect: the source sets it itself.", full(key)));
            }
            other if KNOWN.contains(&other) => properties.set(key, value),
            other => match RENAMED.iter().find(|(java, _)| *java == other) {
                Some((_, native)) => properties.set(native, value),
                None => unknown(other, bag),
            },
        }
    }
    truststore(written, bag, &mut properties);
    keystore(written, bag, &mut properties);
    login(&properties, written, bag);
    check(&properties, bag);
    properties
}

fn full(key: &str) -> String {
    format!("{PREFIX}{key}")
}

/// Flink and the Java client pass unknown keys over in silence; here they get a warning.
fn unknown(key: &str, bag: &mut OptionBag) {
    let full = full(key);
    if JAVA_ONLY.contains(&key) {
        bag.warn("OPT-008", &full, format!("'{full}' has no effect: it belongs to the Java client or to Flink."));
        return;
    }
    let others = ["sasl.jaas.config", "group.id", "auto.offset.reset"];
    let names = KNOWN.iter().chain(STORES).copied().chain(RENAMED.iter().map(|(java, _)| *java)).chain(others);
    let near = closest(key, names).first().map(|name| format!(" Did you mean '{PREFIX}{name}'?")).unwrap_or_default();
    bag.warn("OPT-008", &full, format!("'{full}' has no effect: the Kafka client does not know it.{near}"));
}

/// Lets librdkafka check names and values, one by one, so that all problems are told.
fn check(properties: &ClientProperties, bag: &mut OptionBag) {
    for (key, value) in &properties.0 {
        let mut config = ClientConfig::new();
        config.set(key, value.expose());
        if let Some(reason) = refusal(&config) {
            let full = full(key);
            // The reason quotes the value.
            let shown = if weir_base::secret::is_sensitive_key(key) { "the Kafka client refuses it" } else { reason.as_str() };
            bag.error("OPT-003", &full, format!("Invalid value for option '{full}': {shown}."));
        }
    }
}

fn use_a_mechanism() -> String {
    format!("Use 'properties.sasl.mechanism' = one of [{}], with 'properties.sasl.username' and 'properties.sasl.password'.", MECHANISMS.join(", "))
}

/// What a login needs must be there, and be built in; else it would only show at the start of the job.
fn login(properties: &ClientProperties, written: &BTreeMap<String, String>, bag: &mut OptionBag) {
    const PROTOCOL: &str = "properties.security.protocol";
    const MECHANISM: &str = "properties.sasl.mechanism";
    let protocol = properties.get("security.protocol").unwrap_or("PLAINTEXT").to_ascii_uppercase();
    let mechanism = properties.get("sasl.mechanism").or_else(|| properties.get("sasl.mechanisms"));
    if !protocol.starts_with("SASL_") {
        if mechanism.is_some() || properties.get("sasl.username").is_some() {
            bag.warn("OPT-008", PROTOCOL, format!("'properties.sasl.*' have no effect because '{PROTOCOL}' is '{protocol}'."));
        }
        return;
    }
    match mechanism {
        None => {
            let what =
                format!("'{MECHANISM}' is required with '{PROTOCOL}' = '{protocol}' but missing. Expected one of: [{}].", MECHANISMS.join(", "));
            bag.error("OPT-005", PROTOCOL, what);
        }
        Some(mechanism) if !MECHANISMS.contains(&mechanism) => {
            let what = format!("Invalid value for option '{MECHANISM}': '{mechanism}'. Expected one of: [{}].", MECHANISMS.join(", "));
            bag.error("OPT-004", MECHANISM, what);
        }
        Some(mechanism) => {
            let missing = ["sasl.username", "sasl.password"].into_iter().filter(|key| properties.get(key).is_none());
            let missing: Vec<String> = missing.map(|key| format!("'{}'", full(key))).collect();
            // A line that was not understood has been complained about.
            if !missing.is_empty() && !written.contains_key("sasl.jaas.config") {
                let are = if missing.len() == 1 { "is" } else { "are" };
                bag.error("OPT-005", MECHANISM, format!("{} {are} required with '{MECHANISM}' = '{mechanism}' but missing.", missing.join(" and ")));
            }
        }
    }
}

/// `org.apache.kafka…PlainLoginModule required username="u" password="p";`
fn jaas(text: &str, bag: &mut OptionBag, properties: &mut ClientProperties) {
    const KEY: &str = "properties.sasl.jaas.config";
    let module = text.split_whitespace().next().unwrap_or_default();
    let class = module.rsplit('.').next().unwrap_or_default();
    if !matches!(class, "PlainLoginModule" | "ScramLoginModule") {
        let known = "PlainLoginModule and ScramLoginModule are understood";
        let what = format!("Invalid value for option '{KEY}': login module '{class}' is not supported; {known}. {}", use_a_mechanism());
        bag.error("OPT-003", KEY, what);
        return;
    }
    match (jaas_value(text, "username"), jaas_value(text, "password")) {
        (Some(user), Some(password)) => {
            properties.set("sasl.username", &user);
            properties.set("sasl.password", &password);
        }
        _ => bag.error("OPT-003", KEY, format!("Invalid value for option '{KEY}': it must hold username=\"…\" and password=\"…\".")),
    }
}

/// The value of `name="…"` in a JAAS line; a backslash quotes the next character.
fn jaas_value(text: &str, name: &str) -> Option<String> {
    let pattern = format!("{name}=");
    let found = text.match_indices(&pattern).find(|(at, _)| text[..*at].ends_with(char::is_whitespace))?;
    let mut rest = text[found.0 + pattern.len()..].chars();
    let first = rest.next()?;
    let quote = Some(first).filter(|c| matches!(c, '"' | '\''));
    let mut value = String::new();
    if quote.is_none() {
        value.push(first);
    }
    while let Some(next) = rest.next() {
        match next {
            '\\' => value.extend(rest.next()),
            end if Some(end) == quote => return Some(value),
            end if quote.is_none() && (end.is_whitespace() || end == ';') => return Some(value),
            other => value.push(other),
        }
    }
    quote.is_none().then_some(value)
}

fn looks_like_pem(path: &str) -> bool {
    [".pem", ".crt", ".cer"].iter().any(|ending| path.to_ascii_lowercase().ends_with(ending))
}

fn truststore(written: &BTreeMap<String, String>, bag: &mut OptionBag, properties: &mut ClientProperties) {
    if let Some(pem) = written.get("ssl.truststore.certificates") {
        properties.set("ssl.ca.pem", pem);
    }
    let Some(path) = written.get("ssl.truststore.location") else { return };
    let ty = written.get("ssl.truststore.type").map(|ty| ty.to_ascii_uppercase());
    if ty.as_deref() == Some("PEM") || (ty.is_none() && looks_like_pem(path)) {
        properties.set("ssl.ca.location", path);
        return;
    }
    let key = "properties.ssl.truststore.location";
    let remedy = "Write the certificates as PEM (keytool -list -rfc) and name the file in 'properties.ssl.ca.location'";
    let what = format!("Invalid value for option '{key}': a truststore of type {} cannot be read. {remedy}.", ty.as_deref().unwrap_or("JKS"));
    bag.error("OPT-003", key, what);
}

fn keystore(written: &BTreeMap<String, String>, bag: &mut OptionBag, properties: &mut ClientProperties) {
    for (java, native) in [("ssl.keystore.certificate.chain", "ssl.certificate.pem"), ("ssl.keystore.key", "ssl.key.pem")] {
        if let Some(pem) = written.get(java) {
            properties.set(native, pem);
        }
    }
    let Some(path) = written.get("ssl.keystore.location") else { return };
    let ty = written.get("ssl.keystore.type").map(|ty| ty.to_ascii_uppercase());
    let is_pkcs12 = [".p12", ".pfx"].iter().any(|ending| path.to_ascii_lowercase().ends_with(ending));
    let is_pem = ty.as_deref() == Some("PEM") || (ty.is_none() && looks_like_pem(path));
    match ty.as_deref() {
        _ if is_pem => {
            properties.set("ssl.certificate.location", path);
            properties.set("ssl.key.location", path);
        }
        Some("PKCS12") => pkcs12(written, path, properties),
        None if is_pkcs12 => pkcs12(written, path, properties),
        other => {
            let key = "properties.ssl.keystore.location";
            let remedy =
                "Use PEM or PKCS12 ('properties.ssl.keystore.type'), or 'properties.ssl.certificate.location' and 'properties.ssl.key.location'";
            let what = format!("Invalid value for option '{key}': a keystore of type {} cannot be read. {remedy}.", other.unwrap_or("JKS"));
            bag.error("OPT-003", key, what);
        }
    }
}

fn pkcs12(written: &BTreeMap<String, String>, path: &str, properties: &mut ClientProperties) {
    properties.set("ssl.keystore.location", path);
    if let Some(password) = written.get("ssl.keystore.password") {
        properties.set("ssl.keystore.password", password);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, &str)]) -> (ClientProperties, String) {
        let mut bag = OptionBag::new("Table 'c.d.t'");
        let written: BTreeMap<String, String> = entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let properties = client_properties(&written, &mut bag);
        let text = match bag.finish("kafka", &[], &[]) {
            Ok(warnings) => warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
            Err(problems) => problems.to_string(),
        };
        (properties, text)
    }

    #[test]
    fn a_jaas_line_becomes_user_and_password() {
        let line = r#"org.apache.kafka.common.security.scram.ScramLoginModule required username="alice" password="a \"b\" c;";"#;
        let (properties, text) = map(&[("sasl.jaas.config", line), ("sasl.mechanism", "SCRAM-SHA-512"), ("security.protocol", "SASL_SSL")]);
        assert_eq!((properties.get("sasl.username"), properties.get("sasl.password")), (Some("alice"), Some(r#"a "b" c;"#)));
        assert_eq!(properties.get("sasl.mechanism"), Some("SCRAM-SHA-512"));
        assert_eq!(text, "");
        assert!(!format!("{properties:?}").contains("alice"));
        let (_, text) = map(&[("sasl.jaas.config", "com.sun.security.auth.module.Krb5LoginModule required;")]);
        assert!(text.contains("'Krb5LoginModule' is not supported") && text.contains("'properties.sasl.mechanism' = one of [PLAIN"), "{text}");
        let (_, text) = map(&[("sasl.jaas.config", "x.PlainLoginModule required username=\"secret-user;")]);
        assert!(text.contains("must hold username") && !text.contains("secret-user"), "{text}");
    }

    #[test]
    fn pem_stores_are_mapped_and_java_stores_are_explained() {
        let (properties, text) = map(&[
            ("ssl.truststore.location", "/tls/ca.crt"),
            ("ssl.keystore.type", "PEM"),
            ("ssl.keystore.location", "/tls/me.pem"),
            ("ssl.endpoint.identification.algorithm", ""),
        ]);
        assert_eq!(text, "");
        assert_eq!(properties.get("ssl.ca.location"), Some("/tls/ca.crt"));
        assert_eq!((properties.get("ssl.certificate.location"), properties.get("ssl.key.location")), (Some("/tls/me.pem"), Some("/tls/me.pem")));
        assert_eq!(properties.get("ssl.endpoint.identification.algorithm"), Some("none"));
        let (_, text) = map(&[("ssl.truststore.location", "/tls/ca.jks"), ("ssl.truststore.password", "x")]);
        assert!(text.contains("of type JKS cannot be read") && text.contains("properties.ssl.ca.location"), "{text}");
        let (properties, _) = map(&[("ssl.keystore.location", "/tls/me.p12"), ("ssl.keystore.password", "x")]);
        assert_eq!(properties.get("ssl.keystore.password"), Some("x"));
    }

    #[test]
    fn names_of_the_java_client_are_renamed_or_said_to_have_no_effect() {
        let (properties, text) = map(&[
            ("fetch.max.wait.ms", "100"),
            ("key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer"),
            ("enable.auto.commit", "true"),
            ("isolation.levl", "read_committed"),
            ("ssl.truststore.locaton", "/tls/ca.pem"),
        ]);
        assert_eq!(properties.get("fetch.wait.max.ms"), Some("100"));
        assert!(text.contains("'properties.key.deserializer' has no effect"), "{text}");
        assert!(text.contains("'properties.enable.auto.commit' has no effect: the source sets it itself."), "{text}");
        assert!(text.contains("Did you mean 'properties.isolation.level'?"), "{text}");
        assert!(text.contains("Did you mean 'properties.ssl.truststore.location'?"), "{text}");
    }

    #[test]
    fn the_client_checks_every_value() {
        let (_, text) = map(&[("security.protocol", "TLS"), ("bootstrap.servers", "x:1"), ("socket.timeout.ms", "soon")]);
        assert!(text.contains("[OPT-003] Table 'c.d.t': Invalid value for option 'properties.security.protocol'"), "{text}");
        assert!(text.contains("[OPT-003] Table 'c.d.t': Invalid value for option 'properties.socket.timeout.ms'"), "{text}");
    }

    #[test]
    fn a_login_is_complete_and_built_in_or_the_missing_option_is_named() {
        let sasl = ("security.protocol", "sasl_ssl");
        let (_, text) = map(&[sasl, ("sasl.username", "u"), ("sasl.password", "p")]);
        assert!(text.contains("'properties.sasl.mechanism' is required with 'properties.security.protocol' = 'SASL_SSL' but missing."), "{text}");
        let (_, text) = map(&[sasl, ("sasl.mechanism", "GSSAPI")]);
        assert!(text.contains("[OPT-004]") && text.contains("'GSSAPI'. Expected one of: [PLAIN, SCRAM-SHA-256, SCRAM-SHA-512]."), "{text}");
        let (_, text) = map(&[sasl, ("sasl.mechanism", "PLAIN"), ("sasl.username", "u")]);
        assert!(text.contains("'properties.sasl.password' is required with 'properties.sasl.mechanism' = 'PLAIN' but missing."), "{text}");
        let (_, text) = map(&[("sasl.mechanism", "PLAIN"), ("sasl.username", "u"), ("sasl.password", "p")]);
        assert!(text.contains("'properties.sasl.*' have no effect because 'properties.security.protocol' is 'PLAINTEXT'."), "{text}");
        let (_, text) = map(&[sasl, ("sasl.mechanism", "PLAIN"), ("sasl.jaas.config", "x.OAuthBearerLoginModule required;")]);
        assert!(!text.contains("but missing"), "one complaint is enough: {text}");
    }

    #[test]
    fn every_known_name_is_a_name_of_librdkafka() {
        for name in KNOWN.iter().copied().chain(RENAMED.iter().map(|(_, native)| *native)) {
            let mut config = ClientConfig::new();
            config.set(name, "\u{1}");
            let unknown = refusal(&config).is_some_and(|reason| reason.contains("No such configuration property"));
            assert!(!unknown, "{name}");
        }
        let mut config = ClientConfig::new();
        config.set("no.such.name", "1");
        assert!(refusal(&config).is_some_and(|reason| reason.contains("No such configuration property")));
    }
}
