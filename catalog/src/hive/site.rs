//! `hive-site.xml`.

use std::collections::BTreeMap;
use std::path::Path;

use weir_base::{Classified, ErrorKind};
use weir_fs::hadoop_xml;

use crate::error::CatalogError;

/// The entries of the file in `folder`.
///
/// # Errors
/// A file that is missing or broken.
pub(super) async fn read(folder: &Path) -> Result<BTreeMap<String, String>, CatalogError> {
    let file = folder.join("hive-site.xml");
    if !tokio::fs::try_exists(&file).await.unwrap_or(false) {
        return Err(CatalogError::user(format!("There should be a hive-site.xml file under the directory '{}' ('hive-conf-dir')", folder.display())));
    }
    let read = move || hadoop_xml::read(&[file]);
    let panicked = |error| CatalogError::caused(ErrorKind::Internal, "hive-site.xml could not be read", error);
    weir_base::task::blocking("hive-site", read)
        .await
        .map_err(panicked)?
        .map_err(|error| CatalogError::caused(error.kind(), error.to_string(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_file_is_read_and_a_missing_one_is_named() {
        let folder = tempfile::tempdir().expect("folder");
        let text = read(folder.path()).await.expect_err("missing").to_string();
        assert!(
            text.contains("There should be a hive-site.xml file under the directory") && text.contains(&folder.path().display().to_string()),
            "{text}"
        );
        let xml = "<configuration><property><name>hive.metastore.uris</name><value> thrift://a:1 </value></property></configuration>";
        std::fs::write(folder.path().join("hive-site.xml"), xml).expect("written");
        assert_eq!(read(folder.path()).await.expect("read")["hive.metastore.uris"], "thrift://a:1");
        std::fs::write(folder.path().join("hive-site.xml"), "<configuration>").expect("written");
        assert!(read(folder.path()).await.expect_err("broken").to_string().contains("hive-site.xml"));
    }
}
