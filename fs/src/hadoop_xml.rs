//! Hadoop's XML configuration files, for those that no file system reads.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::error::FsError;

/// The entries of `files`, later ones over earlier ones, with `${…}` substituted.
///
/// # Errors
/// A file that is missing or broken; the message names it.
pub fn read(files: &[PathBuf]) -> Result<BTreeMap<String, String>, FsError> {
    crate::hdfs::read_files(files)
}
