//! A value that never appears in logs, errors or debug output.

use std::borrow::Cow;
use std::fmt;

/// What is printed in place of a secret.
pub const MASK: &str = "******";

/// A value whose `Debug` and `Display` print [`MASK`].
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps `value`.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, for the call that needs it.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl<T> fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Whether an option or property key names something that must not be shown.
///
/// The list is Flink's (`GlobalConfiguration` sensitive keys) with the spellings of Kafka, S3 and Iceberg, and the headers of a REST
/// catalog, whatever they are called.
#[must_use]
pub fn is_sensitive_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let parts = [
        "password",
        "secret",
        "token",
        "credential",
        "sasl.jaas.config",
        "sasl.oauthbearer.config",
        "ssl.key.pem",
        "ssl.keystore.key",
        "private-key",
        "private.key",
        "access-key",
        "access.key",
        "accesskey",
        "azure.sas",
        "account.key",
        "account-key",
        "apikey",
        "auth-params",
        "service-key",
        "user-info",
    ];
    key.starts_with("header.") || parts.iter().any(|part| key.contains(part))
}

/// The value of the option or property `key` as it may be shown: a URI keeps everything but its password.
#[must_use]
pub fn shown<'a>(key: &str, value: &'a str) -> Cow<'a, str> {
    if is_sensitive_key(key) { Cow::Borrowed(MASK) } else { without_passwords(value) }
}

/// `text` with the passwords of the URIs in it masked: `scheme://user:password@host`, and parameters such as `?password=…`.
#[must_use]
pub fn without_passwords(text: &str) -> Cow<'_, str> {
    let mut masked = String::new();
    let mut rest = text;
    while let Some((before, from)) = rest.split_once("://") {
        let uri = from.split([',', ' ', '\'', '"']).next().unwrap_or(from);
        masked.extend([before, "://", &of_uri(uri)]);
        rest = from.get(uri.len()..).unwrap_or_default();
    }
    masked.push_str(rest);
    if masked == text { Cow::Borrowed(text) } else { Cow::Owned(masked) }
}

/// What follows the `://` of a URI, without its password.
fn of_uri(uri: &str) -> String {
    let (authority, path) = uri.split_at(uri.find(['/', '?', '#']).unwrap_or(uri.len()));
    let authority = match authority.rsplit_once('@').and_then(|(login, host)| Some((login.split_once(':')?.0, host))) {
        Some((user, host)) => format!("{user}:{MASK}@{host}"),
        None => authority.to_owned(),
    };
    let Some((path, parameters)) = path.split_once('?') else { return authority + path };
    let parameter = |text: &str| match text.split_once('=') {
        Some((key, _)) if is_sensitive_key(key) => format!("{key}={MASK}"),
        _ => text.to_owned(),
    };
    let parameters: Vec<String> = parameters.split('&').map(parameter).collect();
    format!("{authority}{path}?{}", parameters.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_shown_without_its_password() {
        for (uri, expected) in [
            ("postgresql://me:hunter2@db:5433/lake", "postgresql://me:******@db:5433/lake"),
            ("jdbc:postgresql://db/lake?user=a&password=hunter2&sslmode=require", "jdbc:postgresql://db/lake?user=a&password=******&sslmode=require"),
            ("thrift://a:9083, thrift://me:hunt:er2@b:9083", "thrift://a:9083, thrift://me:******@b:9083"),
            ("no answer from 'http://me:p@ss@host/x?token=hunter2'", "no answer from 'http://me:******@host/x?token=******'"),
        ] {
            assert_eq!(without_passwords(uri), expected);
        }
    }

    #[test]
    fn what_holds_no_password_is_shown_as_it_is() {
        for text in ["sqlite:/data/a.db", "http://host:8080/a@b?x=1", "s3://bucket/a b:c@d", "a://", "hdfs://me@nn:8020/x", "12:30 @ home", ""] {
            assert_eq!(without_passwords(text), text);
        }
    }

    #[test]
    fn a_secret_is_known_by_its_key() {
        for key in ["s3.secret-access-key", "header.X-Api", "fs.alias.a.option.fs.oss.accessKeyId", "properties.SASL.jaas.config"] {
            assert_eq!(shown(key, "hunter2"), MASK, "{key}");
        }
        assert_eq!(shown("uri", "http://a"), "http://a");
        assert_eq!(shown("value.headers", "x"), "x");
    }
}
