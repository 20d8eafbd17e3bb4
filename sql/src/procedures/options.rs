//! Options of `rewrite_data_files`: those of Iceberg's Spark action, and those of `weir table compact`.

use weir_base::options::{closest, parse_memory_size};

use super::bind::Arguments;
use crate::error::SqlError;

/// Arguments of `rewrite_data_files`; what is not given is as `weir table compact` has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RewriteDataFiles {
    /// Branch; `None` is `main`.
    pub branch: Option<String>,
    /// Size that files shall have, in bytes.
    pub target_bytes: Option<u64>,
    /// Files that are made one, at least.
    pub min_input_files: Option<u64>,
    /// Bytes to rewrite at most.
    pub max_bytes: Option<u64>,
    /// Snapshots at most.
    pub commits: Option<u64>,
    /// Groups that are rewritten at the same time.
    pub parallelism: Option<u64>,
    /// Only partitions whose name begins so.
    pub partition: Option<String>,
    /// Only files that may hold rows for which this is true: for [`Predicates`](super::Predicates).
    pub filter: Option<String>,
    /// Order of the rows that are written anew; `table` for the table's own.
    pub sort: Option<String>,
    /// Take all partitions for settled.
    pub settle: bool,
    /// Rewrite every file that carries deletes.
    pub apply_deletes: bool,
}

const TARGET: &str = "target-file-size-bytes";
const MIN_FILES: &str = "min-input-files";
const PARALLEL: &str = "max-concurrent-file-group-rewrites";
const PARTIAL: &str = "partial-progress.enabled";
const COMMITS: &str = "partial-progress.max-commits";
const STARTING_SEQUENCE: &str = "use-starting-sequence-number";
const MAX_BYTES: &str = "max-bytes";
const PARTITION: &str = "partition";
const SETTLE: &str = "settle";
const DELETES: &str = "apply-deletes";

/// Options of Iceberg's action that tune what Weir decides by itself.
const IDLE: [&str; 8] = [
    "max-file-group-size-bytes",
    "min-file-size-bytes",
    "max-file-size-bytes",
    "delete-file-threshold",
    "delete-ratio-threshold",
    "rewrite-job-order",
    "remove-dangling-deletes",
    "partial-progress.max-failed-commits",
];

const KNOWN: [&str; 10] = [TARGET, MIN_FILES, PARALLEL, PARTIAL, COMMITS, STARTING_SEQUENCE, MAX_BYTES, PARTITION, SETTLE, DELETES];

impl RewriteDataFiles {
    /// Reads the arguments.
    pub(super) fn of(arguments: &mut Arguments<'_>) -> Result<Self, SqlError> {
        let strategy = arguments.one_of("strategy", &["binpack", "sort"])?;
        let order = arguments.text("sort_order")?;
        let sort = match (strategy.as_deref(), order) {
            (Some("binpack"), Some(_)) => {
                return Err(arguments.wrong("sort_order", "the strategy 'binpack' has no order.".to_owned(), "Say strategy => 'sort'."));
            }
            (Some("sort"), None) => Some("table".to_owned()),
            (_, order) => order,
        };
        let mut options = Self { branch: arguments.text("branch")?, filter: arguments.text("where")?, sort, ..Self::default() };
        let mut partial = None;
        for (key, value) in arguments.map("options")? {
            match key.as_str() {
                TARGET => options.target_bytes = Some(size(arguments, &key, &value)?),
                MAX_BYTES => options.max_bytes = Some(size(arguments, &key, &value)?),
                MIN_FILES => options.min_input_files = Some(count(arguments, &key, &value, 2)?),
                PARALLEL => options.parallelism = Some(count(arguments, &key, &value, 1)?),
                COMMITS => options.commits = Some(count(arguments, &key, &value, 1)?),
                PARTIAL => partial = Some(boolean(arguments, &key, &value)?),
                PARTITION => options.partition = Some(value),
                SETTLE => options.settle = boolean(arguments, &key, &value)?,
                DELETES => options.apply_deletes = boolean(arguments, &key, &value)?,
                STARTING_SEQUENCE => {
                    if !boolean(arguments, &key, &value)? {
                        let what = format!("'{key}' cannot be 'false': deletes that come meanwhile would be lost.");
                        return Err(arguments.wrong("options", what, ""));
                    }
                }
                idle if IDLE.contains(&idle) => arguments.warn("options", format!("option '{key}' has no effect in Weir.")),
                unknown => {
                    let near = closest(unknown, KNOWN).first().map(|near| format!(" Did you mean '{near}'?")).unwrap_or_default();
                    return Err(arguments.wrong(
                        "options",
                        format!("it has no option '{key}'.{near}"),
                        &format!("Options are {}.", KNOWN.join(", ")),
                    ));
                }
            }
        }
        if partial == Some(false) {
            options.commits = Some(1);
        }
        Ok(options)
    }
}

fn size(arguments: &Arguments<'_>, key: &str, value: &str) -> Result<u64, SqlError> {
    let bytes = parse_memory_size(value).filter(|bytes| *bytes > 0);
    bytes.ok_or_else(|| arguments.wrong("options", format!("Invalid value for option '{key}': '{value}' is no size."), "Write it as '512 mb'."))
}

fn count(arguments: &Arguments<'_>, key: &str, value: &str, least: u64) -> Result<u64, SqlError> {
    let count = value.parse::<u64>().ok().filter(|count| *count >= least);
    count.ok_or_else(|| arguments.wrong("options", format!("'{key}' must be a whole number >= {least}, but is '{value}'."), ""))
}

fn boolean(arguments: &Arguments<'_>, key: &str, value: &str) -> Result<bool, SqlError> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => {
            Err(arguments.wrong("options", format!("Invalid value for option '{key}': '{value}' is not a boolean. Expected 'true' or 'false'."), ""))
        }
    }
}
