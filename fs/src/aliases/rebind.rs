//! Whether an alias still means what it meant when a checkpoint was written.
//!
//! Checkpoints hold paths in the form of their alias. An alias that was bound to another place since would lead to other files.

use serde::{Deserialize, Serialize};

use super::{Alias, problem};
use crate::error::FsError;

/// What an alias was bound to, as a checkpoint keeps it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AliasBinding {
    /// Name of the alias.
    pub alias: String,
    /// The scheme it stands for.
    pub scheme: String,
    /// `fs.alias.<name>.authority`, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// `fs.alias.<name>.root` without a slash at its end.
    pub root: String,
}

/// An alias through which files have been reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UsedAlias {
    /// What it is bound to.
    pub binding: AliasBinding,
    /// `fs.alias.<name>.allow-rebind`.
    pub allow_rebind: bool,
}

impl From<&Alias> for UsedAlias {
    fn from(alias: &Alias) -> Self {
        let binding = AliasBinding {
            alias: alias.name.clone(),
            scheme: alias.scheme.name.to_owned(),
            authority: alias.authority.clone(),
            root: alias.root.clone(),
        };
        Self { binding, allow_rebind: alias.allow_rebind }
    }
}

/// Compares the bindings that a checkpoint has `recorded` with those in use `now`. An alias that is no longer used is left out.
///
/// # Errors
/// An alias that is bound to something else now, unless it allows that.
pub fn check_rebound(recorded: &[AliasBinding], now: &[UsedAlias]) -> Result<(), FsError> {
    for old in recorded {
        let mut current = now.iter().filter(|used| used.binding.alias == old.alias).peekable();
        let Some(first) = current.peek().map(|used| &used.binding) else { continue };
        if current.all(|used| used.binding != *old && !used.allow_rebind) {
            let parts = [
                ("scheme", Some(old.scheme.as_str()), Some(first.scheme.as_str())),
                ("authority", old.authority.as_deref(), first.authority.as_deref()),
                ("root", Some(old.root.as_str()), Some(first.root.as_str())),
            ];
            let show = |value: Option<&str>| value.map_or_else(|| "not set".to_owned(), |value| format!("'{value}'"));
            let changed: Vec<String> = parts
                .iter()
                .filter(|(_, old, new)| old != new)
                .map(|(key, old, new)| format!("'fs.alias.{}.{key}' was {} and is {} now", first.alias, show(*old), show(*new)))
                .collect();
            let what = format!("the checkpoint to go on from was written when it was bound otherwise: {}.", changed.join("; "));
            let hint = format!("Bind it as before, or SET 'fs.alias.{}.allow-rebind' = 'true' once its files are there.", old.alias);
            return Err(problem(&old.alias, what).hint(hint).into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(root: &str, allow_rebind: bool) -> UsedAlias {
        let binding = AliasBinding { alias: "aa".to_owned(), scheme: "hdfs".to_owned(), authority: None, root: root.to_owned() };
        UsedAlias { binding, allow_rebind }
    }

    #[test]
    fn an_alias_that_moved_is_refused_unless_that_is_allowed() {
        let recorded = [used("/a", false).binding];
        check_rebound(&recorded, &[used("/a", false)]).expect("as before");
        check_rebound(&recorded, &[]).expect("not used any more");
        check_rebound(&recorded, &[used("/b", true)]).expect("allowed");
        check_rebound(&recorded, &[used("/b", false), used("/a", false)]).expect("two catalogs may each declare one");
        let error = check_rebound(&recorded, &[used("/b", false)]).expect_err("moved").to_string();
        assert!(error.contains("[FS-001] Alias 'aa'") && error.contains("'fs.alias.aa.root' was '/a' and is '/b' now"), "{error}");
        assert!(error.contains("fs.alias.aa.allow-rebind"), "{error}");
        assert!(!error.contains("scheme'"), "only what differs: {error}");
    }
}
