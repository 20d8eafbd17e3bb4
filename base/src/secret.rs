//! A value that never appears in logs, errors or debug output.

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
/// The list is Flink's (`GlobalConfiguration` sensitive keys) with the spellings of Kafka, S3 and Iceberg.
#[must_use]
pub fn is_sensitive_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    [
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
        "apikey",
        "auth-params",
        "service-key",
        "user-info",
    ]
    .iter()
    .any(|part| key.contains(part))
}
