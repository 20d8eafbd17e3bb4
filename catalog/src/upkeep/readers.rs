//! Registered readers: jobs that follow a table say how far they have read, so that what they have not read is not expired.
//!
//! A reader has one object in a folder of the table's metadata, which it writes again and again. A reader that has not written for
//! [`FORGOTTEN`] does not count any more: a job that was given up must not keep a table's snapshots for ever.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use weir_base::ErrorKind;
use weir_base::safe_name::escape_within;
use weir_fs::{FsError, is_not_found};

use crate::error::{CatalogError, file_system_error};
use crate::lake::{LakeCatalog, LakeTable};

/// The folder below a table's `metadata`.
const FOLDER: &str = "_weir-readers";

/// A reader that has not written for so long does not count.
const FORGOTTEN: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Characters of a job's or source's name in the name of an object.
const LONGEST: usize = 90;

/// How far a reader has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reader {
    /// Job name.
    pub job: String,
    /// Source id.
    pub source: String,
    /// UUID of the table.
    pub table: String,
    /// The branch that it follows.
    pub branch: String,
    /// Everything with a smaller sequence number has been read, and is in a checkpoint.
    pub next_sequence: i64,
    /// When this was written, in milliseconds since 1970.
    pub time_ms: i64,
}

/// Writes where a reader of the table at `location` is. Costs one small object.
///
/// # Errors
/// The store's: a reader that may not write there is not known to anybody.
pub async fn register(catalog: &Arc<dyn LakeCatalog>, location: &str, reader: &Reader) -> Result<(), CatalogError> {
    let (job, source) = (escape_within(&reader.job, LONGEST), escape_within(&reader.source, LONGEST));
    let uri = format!("{}/{job}.{source}.json", folder(location));
    let location = catalog.file_systems().resolve(&uri).map_err(file_system_error)?;
    let unwritable = |error| CatalogError::caused(ErrorKind::Internal, "a reader cannot be written as JSON", error);
    let bytes = serde_json::to_vec(reader).map_err(unwritable)?;
    let written = location.store.put(&location.path, bytes.into()).await;
    written.map(drop).map_err(|error| file_system_error(FsError::from_store("cannot write", &uri, error)))
}

fn folder(location: &str) -> String {
    format!("{}/metadata/{FOLDER}", location.trim_end_matches('/'))
}

/// Readers by name, branch and next sequence number; and the names of those that do not count any more.
pub(crate) type Registered = (Vec<(String, String, i64)>, Vec<String>);

/// The readers of a table. One listing, and one request for each of them.
pub(crate) async fn registered(catalog: &Arc<dyn LakeCatalog>, table: &LakeTable, now_ms: i64) -> Result<Registered, CatalogError> {
    let folder = catalog.file_systems().resolve(&folder(table.metadata.location())).map_err(file_system_error)?;
    let failed = |what, error| file_system_error(FsError::from_store(what, &folder.uri, error));
    let listed: Vec<ObjectMeta> = match folder.store.list(Some(&folder.path)).try_collect().await {
        Ok(listed) => listed,
        Err(error) if is_not_found(&error) => Vec::new(),
        Err(error) => return Err(failed("cannot list", error)),
    };
    let uuid = table.metadata.uuid().to_string();
    let (mut counting, mut stale) = (Vec::new(), Vec::new());
    for object in listed.into_iter().filter(|object| object.location.filename().is_some_and(|name| name.ends_with(".json"))) {
        let read = async { folder.store.get(&object.location).await?.bytes().await };
        let bytes = match read.await {
            Ok(bytes) => bytes,
            Err(error) if is_not_found(&error) => continue,
            Err(error) => return Err(failed("cannot read", error)),
        };
        let unreadable = |error| {
            let what = format!(
                "`{}` does not say how far a reader of table `{}` has come; delete it if nobody reads the table",
                object.location,
                table.name()
            );
            CatalogError::caused(ErrorKind::Corrupt, what, error)
        };
        let reader: Reader = serde_json::from_slice(&bytes).map_err(unreadable)?;
        let name = format!("{}/{}", reader.job, reader.source);
        if reader.table != uuid {
            continue;
        }
        if now_ms.saturating_sub(reader.time_ms) > i64::try_from(FORGOTTEN.as_millis()).unwrap_or(i64::MAX) {
            stale.push(name);
        } else {
            counting.push((name, reader.branch, reader.next_sequence));
        }
    }
    Ok((counting, stale))
}
