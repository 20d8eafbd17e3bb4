//! What one run used and made.

use std::path::Path;
use std::time::Duration;

/// What one run used and made.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    /// Rows that went through.
    pub(crate) rows: u64,
    /// From the start of the process to its end.
    pub(crate) wall: Duration,
    /// User and system time of the process.
    pub(crate) cpu: Duration,
    /// Peak resident memory in bytes.
    pub(crate) peak: u64,
    /// Files written.
    pub(crate) files: u64,
    /// Bytes written.
    pub(crate) written: u64,
}

/// Number and total size of the Parquet files below `folder`.
pub(crate) fn parquet_files(folder: &Path) -> std::io::Result<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let (more_files, more_bytes) = parquet_files(&entry.path())?;
            files += more_files;
            bytes += more_bytes;
        } else if entry.path().extension().is_some_and(|extension| extension == "parquet") {
            files += 1;
            bytes += entry.metadata()?.len();
        }
    }
    Ok((files, bytes))
}
