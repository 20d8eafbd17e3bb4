//! Which files a snapshot consists of.

use futures::{StreamExt, TryStreamExt, stream};
use iceberg::spec::{DataFileFormat, ManifestContentType, ManifestFile, ManifestList, SnapshotRef};
use weir_base::ErrorKind;
use weir_catalog::lake::LakeTable;

use crate::error::ConnectorError;

/// A data file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::iceberg) struct FileToRead {
    pub(in crate::iceberg) path: String,
    pub(in crate::iceberg) bytes: u64,
    pub(in crate::iceberg) rows: u64,
}

/// Manifests that are read at the same time.
const MANIFESTS: usize = 16;

/// The live data files of a snapshot.
///
/// # Errors
/// Metadata that cannot be read; a table with delete files, or files that are not Parquet, which cannot be read yet.
pub(super) async fn live_files(name: &str, table: &LakeTable, snapshot: &SnapshotRef) -> Result<Vec<FileToRead>, ConnectorError> {
    let unreadable = |error: iceberg::Error| {
        let kind = if error.kind() == iceberg::ErrorKind::DataInvalid { ErrorKind::Corrupt } else { ErrorKind::Transient };
        ConnectorError::new(kind, format!("metadata of table {name} cannot be read: {error}")).with_source(error)
    };
    let list = table.file_io.new_input(snapshot.manifest_list()).map_err(unreadable)?.read().await.map_err(unreadable)?;
    let list = ManifestList::parse_with_version(&list, table.metadata.format_version()).map_err(unreadable)?;
    let manifests: Vec<ManifestFile> = list.entries().to_vec();
    let load = |manifest: ManifestFile| async move {
        let loaded = manifest.load_manifest(&table.file_io).await?;
        Ok((manifest.content, loaded))
    };
    let loaded: Vec<_> = stream::iter(manifests).map(load).buffered(MANIFESTS).try_collect().await.map_err(unreadable)?;
    let mut files = Vec::new();
    for (content, manifest) in loaded {
        for entry in manifest.entries().iter().filter(|entry| entry.is_alive()) {
            let file = entry.data_file();
            if content == ManifestContentType::Deletes {
                return Err(ConnectorError::user(format!(
                    "table {name} has delete files (such as `{}`), which cannot be read yet; compact the table first",
                    file.file_path()
                )));
            }
            if file.file_format() != DataFileFormat::Parquet {
                return Err(ConnectorError::user(format!("file `{}` of table {name} is not Parquet and cannot be read yet", file.file_path())));
            }
            files.push(FileToRead { path: file.file_path().to_owned(), bytes: file.file_size_in_bytes(), rows: file.record_count() });
        }
    }
    Ok(files)
}

/// Deals files out into at most `parts` parts of about the same size.
pub(super) fn deal(mut files: Vec<FileToRead>, parts: usize) -> Vec<Vec<FileToRead>> {
    let count = parts.min(files.len()).max(1);
    let mut dealt: Vec<(u64, Vec<FileToRead>)> = vec![(0, Vec::new()); count];
    files.sort_by(|left, right| right.bytes.cmp(&left.bytes).then_with(|| left.path.cmp(&right.path)));
    for file in files {
        if let Some((bytes, part)) = dealt.iter_mut().min_by_key(|(bytes, _)| *bytes) {
            // An empty file is work, too.
            *bytes += file.bytes.max(1);
            part.push(file);
        }
    }
    dealt.into_iter().map(|(_, part)| part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_dealt_out_evenly_and_completely() {
        let file = |bytes| FileToRead { path: format!("f{bytes}"), bytes, rows: bytes };
        let parts = deal([9, 1, 5, 4, 3].map(file).to_vec(), 2);
        let sizes: Vec<u64> = parts.iter().map(|part| part.iter().map(|file| file.bytes).sum()).collect();
        assert_eq!(sizes, [12, 10]);
        assert_eq!(deal(Vec::new(), 4), vec![Vec::new()]);
        assert_eq!(deal(vec![file(1)], 4).len(), 1);
    }
}
