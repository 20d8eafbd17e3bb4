//! What the process environment says about file systems, read once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// The environment variables that file systems fall back on (`AWS_*`, `HADOOP_CONF_DIR`, `HADOOP_USER_NAME`), and those that a
/// configuration file may ask for by `${env.NAME}`.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Environment(Arc<BTreeMap<String, String>>);

impl Environment {
    /// The environment made of `variables`; empty ones count as unset.
    #[must_use]
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(Arc::new(variables.into_iter().filter(|(_, value)| !value.is_empty()).collect()))
    }

    /// The environment of this process as it was at the first call.
    #[must_use]
    pub fn process() -> Self {
        static PROCESS: OnceLock<Environment> = OnceLock::new();
        let read = || Self::new(std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))));
        PROCESS.get_or_init(read).clone()
    }

    /// The value of a variable, unless it is unset or empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All variables whose name begins with `prefix`.
    pub(crate) fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().filter(move |(name, _)| name.starts_with(prefix)).map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The name of this host, for messages about files that are missing on it.
pub(crate) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "localhost".to_owned() } else { name.trim().to_owned() }
}
