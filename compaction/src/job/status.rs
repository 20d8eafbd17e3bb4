//! What a coordinator tells about itself.

use std::time::{Duration, SystemTime};

use super::trigger::Pending;
use crate::policy::Debt;
use crate::run::Report;

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activity {
    /// The table's files are being read.
    #[default]
    Loading,
    /// Commits are counted.
    Waiting,
    /// Files are copied.
    Copying,
    /// Files are decoded and written.
    Decoding,
    /// Both.
    Both,
    /// The table cannot be compacted, and nothing but a change of it helps; `last_error` says why.
    Off,
}

impl Activity {
    /// One word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Waiting => "waiting",
            Self::Copying => "copying",
            Self::Decoding => "decoding",
            Self::Both => "copying and decoding",
            Self::Off => "off",
        }
    }

    pub(super) fn of(copying: bool, decoding: bool) -> Self {
        match (copying, decoding) {
            (false, false) => Self::Waiting,
            (true, false) => Self::Copying,
            (false, true) => Self::Decoding,
            (true, true) => Self::Both,
        }
    }
}

/// A coordinator at one moment. Counts are since it was started.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Status {
    /// What is being done.
    pub activity: Activity,
    /// Files there are, and how many would do.
    pub debt: Debt,
    /// What has come since the last rewrite that is finished.
    pub pending: Pending,
    /// What has been rewritten.
    pub done: Report,
    /// Rewrites that failed.
    pub failures: u64,
    /// How often in a row the rewrite has failed or given way to which that has happened most often.
    pub failures_in_a_row: u32,
    /// The last failure, until nothing fails any more.
    pub last_error: Option<String>,
    /// End of the last rewrite.
    pub last_rewrite: Option<SystemTime>,
    /// How long it took.
    pub last_duration: Option<Duration>,
    /// Snapshots of the job that were expired.
    pub expired_snapshots: u64,
    /// Files that went with them.
    pub expired_files: u64,
    /// CPU time of all of it.
    pub cpu: Duration,
    /// How many times as long as usual epochs shall be.
    pub slowdown: f64,
}
