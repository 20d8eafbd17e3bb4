//! Scheme aliases: names of one's own for file systems, each with a configuration of its own.
//!
//! `fs.alias.<name>.*` binds `<name>://` to a built-in scheme. Any number of aliases live in one process, also several of one scheme whose
//! clusters have the same name. Nothing of an alias is shared with another one or taken from the environment of the process: not the
//! client, nor credentials, limits or counters.
//!
//! | file | owns |
//! |---|---|
//! | `conf_dir` | the files of an alias |
//! | `declaration` | the keys `fs.alias.*`: their names, checks and messages |
//! | `mapping` | the two forms of a URI: with the alias, and with the scheme it is bound to |
//! | `rebind` | whether an alias still means what it meant when a checkpoint was written |

mod conf_dir;
mod declaration;
mod mapping;
mod rebind;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use weir_base::ErrorKind;
use weir_base::options::{Problem, Problems};

use crate::error::FsError;
use crate::mounts::Scheme;

pub use declaration::{ALIAS_OPTIONS, is_alias_key, problem_of_alias_key};
pub use rebind::{AliasBinding, UsedAlias, check_rebound};

/// What all problems of aliases carry.
pub(crate) const CODE: &str = "FS-001";

/// Which form of a URI stands in Iceberg metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Persist {
    /// The one with the scheme: every engine can read it.
    Bound,
    /// The one with the alias.
    Alias,
}

/// A declared alias, all of its keys checked.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Alias {
    pub(crate) name: String,
    /// What it is bound to.
    pub(crate) scheme: &'static Scheme,
    pub(crate) conf_dir: Option<String>,
    /// The authority of URIs that have none.
    pub(crate) authority: Option<String>,
    /// `/a/b`, or nothing for the whole file system.
    pub(crate) root: String,
    pub(crate) persist: Persist,
    pub(crate) allow_rebind: bool,
    /// Its `option.*`, and the limits of requests.
    pub(crate) properties: Arc<BTreeMap<String, String>>,
}

impl Alias {
    /// An error of the user about it.
    pub(crate) fn refuse(&self, what: impl Into<String>) -> FsError {
        problem(&self.name, what).into()
    }
}

/// Values are left out: some are secret.
impl fmt::Debug for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Alias({} -> {}://{}{})", self.name, self.scheme.name, self.authority.as_deref().unwrap_or_default(), self.root)
    }
}

/// A problem of the alias `name`; `what` is a sentence with its full stop.
pub(crate) fn problem(name: &str, what: impl Into<String>) -> Problem {
    Problem::new(CODE, format!("Alias '{name}'"), what)
}

/// The aliases that a set of properties declares. A wrong one is an error when it is used, and all of them are found by [`Self::problems`].
#[derive(Debug, Default)]
pub(crate) struct Aliases {
    declared: BTreeMap<String, Result<Arc<Alias>, Problems>>,
}

impl Aliases {
    /// The aliases in `properties`.
    pub(crate) fn of(properties: &BTreeMap<String, String>) -> Self {
        Self { declared: declaration::all(properties) }
    }

    /// The alias of a name, if it is declared.
    ///
    /// # Errors
    /// What is wrong with its declaration.
    pub(crate) fn get(&self, name: &str) -> Result<Option<&Arc<Alias>>, FsError> {
        match self.declared.get(name) {
            None => Ok(None),
            Some(Ok(alias)) => Ok(Some(alias)),
            Some(Err(problems)) => Err(FsError::new(ErrorKind::User, problems.to_string())),
        }
    }

    /// The declaration of a name.
    pub(crate) fn declared(&self, name: &str) -> Option<&Result<Arc<Alias>, Problems>> {
        self.declared.get(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.declared.keys().map(String::as_str)
    }

    /// Everything that is wrong with any of them.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        self.declared.values().filter_map(|declared| declared.as_ref().err()).flat_map(|problems| problems.as_slice().to_vec()).collect()
    }
}
