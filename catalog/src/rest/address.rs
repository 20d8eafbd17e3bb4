//! Addresses of servers: they may hold a password, which nobody is shown.

use std::fmt;

use url::Url;
use weir_base::secret::without_passwords;

/// An `http` or `https` address; its `Debug` and `Display` mask the password.
#[derive(Clone)]
pub(super) struct Address(Url);

impl Address {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it, without any of it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("It is not a URI: {error}."))?;
        if matches!(url.scheme(), "http" | "https") && url.has_host() {
            return Ok(Self(url));
        }
        Err("Expected 'http://host:port/path' or 'https://…'.".to_owned())
    }

    /// The address with more path segments, each encoded.
    pub(super) fn joined<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Self {
        let mut url = self.0.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        Self(url)
    }

    /// The address with more parameters, each encoded.
    pub(super) fn with_query(mut self, parameters: &[(&str, &str)]) -> Self {
        if !parameters.is_empty() {
            self.0.query_pairs_mut().extend_pairs(parameters);
        }
        self
    }

    /// The address itself, for the request that needs it.
    pub(super) fn expose(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_passwords(self.0.as_str()))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_grows_and_shows_no_password() {
        let address = Address::parse("https://me:hunter2@host/a/").expect("right").joined(["v1", "b c"]).with_query(&[("x", "1&2")]);
        assert_eq!(address.expose().as_str(), "https://me:hunter2@host/a/v1/b%20c?x=1%262");
        assert_eq!(format!("{address} {address:?}"), "https://me:******@host/a/v1/b%20c?x=1%262 https://me:******@host/a/v1/b%20c?x=1%262");
        for wrong in ["ftp://me:hunter2@host", "http//hunter2", "http://me:hunter2@host:port"] {
            assert!(!Address::parse(wrong).expect_err("refused").contains("hunter2"));
        }
    }
}
