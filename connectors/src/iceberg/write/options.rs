//! Write options: a hint wins over the table property of the same meaning.

use std::collections::HashMap;

use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use weir_base::options::{OptionBag, OptionDecl, Problem, Problems, ValueType, parse_boolean};
use weir_catalog::properties::declared as property;

use super::metrics::{MetricsConfig, MetricsMode};
use crate::iceberg::upkeep::{UPKEEP_OPTIONS, UpkeepOptions};

const FORMAT: OptionDecl = OptionDecl::new("write-format", property::FORMATS, "Format of data files; only `parquet` can be written.");
const TARGET_SIZE: OptionDecl =
    OptionDecl::new("target-file-size-bytes", ValueType::MemorySize, "Size at which a new data file is begun. Default: the table's, 512 MiB.");
const UPSERT: OptionDecl = OptionDecl::new("upsert-enabled", ValueType::Boolean, "Upsert semantics; not supported yet.");
const OVERWRITE: OptionDecl = OptionDecl::new("overwrite-enabled", ValueType::Boolean, "Replaces partitions; write INSERT OVERWRITE instead.");
const DISTRIBUTION: OptionDecl = OptionDecl::new(
    "distribution-mode",
    property::DISTRIBUTIONS,
    "`none`: rows stay with their writer (keyed by primary key when there is one); `hash`: rows of a partition go to one writer.",
);
const CODEC: OptionDecl = OptionDecl::new("compression-codec", property::CODECS, "Compression of this write. Default: the table's, zstd.");
const LEVEL: OptionDecl =
    OptionDecl::new("compression-level", ValueType::Integer { min: 0, max: 22 }, "Level of zstd (default 1) or gzip (default 6).");
const BRANCH: OptionDecl = OptionDecl::new("branch", ValueType::String, "Branch to commit to.").default("main");
const PARALLELISM: OptionDecl = OptionDecl::new(
    "write-parallelism",
    ValueType::Integer { min: 1, max: 32_768 },
    "Number of writers of an epoch. Default: as many as the input has partitions, or `parallelism.default` where rows are keyed or hashed.",
);
const UID_SUFFIX: OptionDecl =
    OptionDecl::new("uid-suffix", ValueType::String, "Part of the sink's identity, for two INSERTs into one table.").default("");

/// Options that a hint may carry when a table is written.
pub const WRITE_OPTIONS: &[OptionDecl] = &[FORMAT, TARGET_SIZE, UPSERT, OVERWRITE, DISTRIBUTION, CODEC, LEVEL, BRANCH, PARALLELISM, UID_SUFFIX];

/// How Parquet files are laid out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ParquetSettings {
    pub(super) compression: Compression,
    pub(super) row_group_bytes: usize,
    pub(super) page_bytes: usize,
    pub(super) page_rows: usize,
    pub(super) dictionary_bytes: usize,
    /// Columns, nested ones with dots, and whether they have a bloom filter.
    pub(super) bloom_filters: Vec<(String, bool)>,
}

/// Everything a write may be told.
#[derive(Debug, Clone)]
pub(super) struct WriteOptions {
    pub(super) parquet: ParquetSettings,
    pub(super) target_file_bytes: u64,
    pub(super) hash: bool,
    pub(super) metrics: MetricsConfig,
    pub(super) branch: Option<String>,
    pub(super) parallelism: Option<usize>,
    pub(super) uid_suffix: String,
    pub(super) upkeep: UpkeepOptions,
    /// Folder of data files, without a slash at its end.
    pub(super) data_path: String,
}

const DEFAULT_ROW_GROUP: u64 = 32 << 20;
const DEFAULT_TARGET: u64 = 512 << 20;

/// Checks write options before there is a table to write to; gives warnings.
///
/// # Errors
/// All problems of them.
pub(in crate::iceberg) fn check_write_options(options: &OptionBag) -> Result<Vec<Problem>, Problems> {
    WriteOptions::parse(options, &HashMap::new(), "").map(|(_, warnings)| warnings)
}

impl WriteOptions {
    /// Reads the hints and the properties of the table at `location`. Gives warnings with it.
    ///
    /// # Errors
    /// All problems of both.
    pub(super) fn parse(hints: &OptionBag, properties: &HashMap<String, String>, location: &str) -> Result<(Self, Vec<Problem>), Problems> {
        let mut hint = hints.fresh();
        let mut set = OptionBag::new(hints.object());
        for (key, value) in properties {
            set.insert(key.clone(), value.clone(), None);
        }
        refuse_unsupported(&mut hint, &mut set);
        let parquet = ParquetSettings {
            compression: compression(&mut hint, &mut set),
            row_group_bytes: small(set.bytes(&property::ROW_GROUP).unwrap_or(DEFAULT_ROW_GROUP)),
            page_bytes: small(set.bytes(&property::PAGE_SIZE).unwrap_or(1 << 20)),
            page_rows: set.integer(&property::PAGE_ROWS).and_then(|rows| usize::try_from(rows).ok()).unwrap_or(20_000),
            dictionary_bytes: small(set.bytes(&property::DICT_SIZE).unwrap_or(2 << 20)),
            bloom_filters: bloom_filters(&mut set),
        };
        let target = hint.bytes(&TARGET_SIZE).or_else(|| set.bytes(&property::TARGET_SIZE)).unwrap_or(DEFAULT_TARGET);
        let distribution = hint.choice(&DISTRIBUTION).or_else(|| set.choice(&property::DISTRIBUTION));
        if distribution == Some("range") {
            hint.error("OPT-004", DISTRIBUTION.key, "'distribution-mode' = 'range' is not supported yet. Use 'none' or 'hash'.");
        }
        let metrics = metrics(&mut set);
        let upkeep = UpkeepOptions::pull(&mut hint, &mut set);
        let data_path = set.string(&property::DATA_PATH).unwrap_or_else(|| format!("{}/data", location.trim_end_matches('/')));
        let options = Self {
            parquet,
            target_file_bytes: target.max(1),
            hash: distribution == Some("hash"),
            metrics,
            branch: hint.string(&BRANCH).filter(|branch| branch != "main"),
            parallelism: hint.integer(&PARALLELISM).and_then(|count| usize::try_from(count).ok()),
            uid_suffix: hint.string(&UID_SUFFIX).unwrap_or_default(),
            upkeep,
            data_path: data_path.trim_end_matches('/').to_owned(),
        };
        let known: Vec<&OptionDecl> = WRITE_OPTIONS.iter().chain(UPKEEP_OPTIONS).collect();
        finish(hint, set, &known, options)
    }
}

/// The table's own properties may hold keys of other engines: what is left over there is no problem.
fn finish(hint: OptionBag, mut set: OptionBag, known: &[&OptionDecl], options: WriteOptions) -> Result<(WriteOptions, Vec<Problem>), Problems> {
    drop(set.prefixed(""));
    let (hints, properties) = (hint.finish("iceberg", known, &[]), set.finish("iceberg", &[], &[]));
    match (hints, properties) {
        (Ok(mut warnings), Ok(more)) => {
            warnings.extend(more);
            Ok((options, warnings))
        }
        (Err(problems), Ok(_)) | (Ok(_), Err(problems)) => Err(problems),
        (Err(problems), Err(more)) => Err(problems.merge(more)),
    }
}

fn refuse_unsupported(hint: &mut OptionBag, set: &mut OptionBag) {
    if let Some(format) = hint.choice(&FORMAT).or_else(|| set.choice(&property::FORMAT))
        && format != "parquet"
    {
        hint.error("OPT-004", FORMAT.key, format!("Data files of format '{format}' are not supported yet. Use 'write-format' = 'parquet'."));
    }
    if hint.boolean(&UPSERT).or_else(|| set.boolean(&property::UPSERT)) == Some(true) {
        let what = "Upserts are not supported yet: only rows that are added can be written. Set 'upsert-enabled' = 'false'.";
        hint.error("OPT-006", UPSERT.key, what);
    }
    if hint.boolean(&OVERWRITE) == Some(true) {
        hint.error(
            "OPT-006",
            OVERWRITE.key,
            "An INSERT adds rows, whatever this option says. Write INSERT OVERWRITE to replace them, and leave the option out.",
        );
    }
}

fn compression(hint: &mut OptionBag, set: &mut OptionBag) -> Compression {
    let hinted = hint.choice(&CODEC);
    let level = hint.integer(&LEVEL);
    // A level of the table belongs to the codec of the table.
    let table_level = set.integer(&property::LEVEL).filter(|_| hinted.is_none());
    let codec = hinted.or_else(|| set.choice(&property::CODEC)).unwrap_or("zstd");
    let level = level.or(table_level);
    match codec {
        "snappy" => Compression::SNAPPY,
        "lz4" => Compression::LZ4_RAW,
        "uncompressed" => Compression::UNCOMPRESSED,
        "gzip" => {
            let level = u32::try_from(level.unwrap_or(6)).ok().and_then(|level| GzipLevel::try_new(level).ok());
            if level.is_none() {
                hint.error("OPT-007", LEVEL.key, "'compression-level' of gzip must be between 0 and 9.");
            }
            Compression::GZIP(level.unwrap_or_default())
        }
        _ => {
            let level = i32::try_from(level.unwrap_or(1)).ok().and_then(|level| ZstdLevel::try_new(level).ok());
            if level.is_none() {
                hint.error("OPT-007", LEVEL.key, "'compression-level' of zstd must be between 1 and 22.");
            }
            Compression::ZSTD(level.unwrap_or_default())
        }
    }
}

fn bloom_filters(set: &mut OptionBag) -> Vec<(String, bool)> {
    let prefix = property::BLOOM.key.trim_end_matches('#');
    let mut columns = Vec::new();
    for (column, value) in set.prefixed(prefix) {
        match parse_boolean(&value) {
            Some(enabled) => columns.push((column, enabled)),
            None => {
                let key = format!("{prefix}{column}");
                set.error("OPT-003", &key, format!("Invalid value for option '{key}': '{value}' is not a boolean. Expected 'true' or 'false'."));
            }
        }
    }
    columns
}

fn metrics(set: &mut OptionBag) -> MetricsConfig {
    let prefix = property::METRICS_OF.key.trim_end_matches('#');
    let default = set.string(&property::METRICS);
    let mut config = MetricsConfig { default: None, columns: Vec::new() };
    for (key, value) in default.into_iter().map(|value| (String::new(), value)).chain(set.prefixed(prefix)) {
        match MetricsMode::parse(&value) {
            Some(mode) if key.is_empty() => config.default = Some(mode),
            Some(mode) => config.columns.push((key, mode)),
            None => {
                let name = if key.is_empty() { property::METRICS.key.to_owned() } else { format!("{prefix}{key}") };
                let what = format!("Invalid value for option '{name}': '{value}'. Expected one of: [none, counts, truncate(<n>), full].");
                set.error("OPT-004", &name, what);
            }
        }
    }
    config
}

fn small(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX).max(1)
}
