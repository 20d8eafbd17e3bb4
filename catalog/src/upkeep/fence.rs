//! Who keeps up a table, and the number by which a later attempt shuts an earlier one out.
//!
//! The number stands in a property of the table. A replacement that bears a smaller one is refused on the refreshed base, and its swap fails
//! on any other base, so that once a larger number stands in the table, nothing of an earlier attempt gets in any more.

use weir_base::ErrorKind;

use crate::error::CatalogError;
use crate::lake::LakeTable;
use crate::marker::stored;

/// Who writes in a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keeper {
    /// A sink of a job.
    Job {
        /// Job name.
        job: String,
        /// Sink id: another one for each branch, because a fence moves one branch alone.
        sink: String,
        /// The branch that is kept up; `None` is main.
        branch: Option<String>,
        /// Strictly larger than that of every earlier attempt: the epoch that this one has claimed.
        fence: u64,
    },
    /// A command by hand: it has no attempts, so that what it leaves is only looked at a day later.
    Command,
}

impl Keeper {
    /// The fence that replacements of this keeper bear.
    #[must_use]
    pub fn fence(&self) -> Option<Fence> {
        match self {
            Self::Job { job, sink, fence, .. } => Some(Fence { job: job.clone(), sink: sink.clone(), number: *fence }),
            Self::Command => None,
        }
    }

    pub(super) fn branch(&self) -> Option<&str> {
        match self {
            Self::Job { branch, .. } => branch.as_deref(),
            Self::Command => None,
        }
    }
}

/// Shuts out the earlier attempts of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// Job name.
    pub job: String,
    /// Sink id.
    pub sink: String,
    /// Later attempts have larger ones.
    pub number: u64,
}

/// The table property that holds the fence, and the value that it gets.
pub(crate) fn property(fence: &Fence) -> (String, String) {
    (stored::upkeep_key(&fence.job, &fence.sink), fence.number.to_string())
}

/// The number that the table has; `None`: nobody has fenced anybody.
///
/// # Errors
/// One that cannot be read (corrupt).
pub(super) fn standing(table: &LakeTable, fence: &Fence) -> Result<Option<u64>, CatalogError> {
    let key = stored::upkeep_key(&fence.job, &fence.sink);
    let Some(text) = table.metadata.properties().get(&key) else { return Ok(None) };
    let unreadable = || CatalogError::other(ErrorKind::Corrupt, format!("property `{key}` of table `{}` is no number: `{text}`", table.name()));
    text.parse().map(Some).map_err(|_not_a_number| unreadable())
}

/// The highest number that the table has of any sink of a job.
///
/// # Errors
/// One that cannot be read (corrupt).
pub(super) fn highest(table: &LakeTable, job: &str) -> Result<Option<u64>, CatalogError> {
    let mut highest = None;
    for sink in table.metadata.properties().keys().filter_map(|key| stored::sink_kept_up(key, job)) {
        highest = highest.max(standing(table, &Fence { job: job.to_owned(), sink, number: 0 })?);
    }
    Ok(highest)
}

/// Whether the attempt may still change the table.
///
/// # Errors
/// A later attempt has said that it takes over (fenced).
pub(crate) fn check(table: &LakeTable, fence: &Fence) -> Result<(), CatalogError> {
    match standing(table, fence)? {
        Some(newer) if newer > fence.number => Err(shut_out(&table.name(), fence, newer)),
        _ => Ok(()),
    }
}

/// That a later attempt has taken over.
pub(super) fn shut_out(table: &str, fence: &Fence, newer: u64) -> CatalogError {
    let Fence { job, sink, number } = fence;
    let what = format!(
        "table `{table}`: job `{job}`, sink `{sink}` runs in a newer process, which has claimed epoch {newer}; this one has claimed epoch {number} and \
         may not change files of the table any more. Nothing was committed"
    );
    CatalogError::other(ErrorKind::Fenced, what)
}
