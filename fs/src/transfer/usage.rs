//! How much is at a place.

use futures::TryStreamExt;

use super::place::Place;
use super::walk::walk;
use crate::error::FsError;
use crate::folders::{Kind, Status, Usage};

/// How much `found`, which is at `place`, holds with all below it. HDFS is asked once; elsewhere the tree is walked, `parallel` folders at
/// a time.
///
/// # Errors
/// What the store meets: a sum without a folder that cannot be listed would be wrong.
pub async fn usage(place: &Place, found: &Status, parallel: usize) -> Result<Usage, FsError> {
    let add = |mut sum: Usage, found: &Status| {
        sum.bytes += found.size;
        sum.files += u64::from(found.kind != Kind::Folder);
        sum.folders += u64::from(found.kind == Kind::Folder);
        if let Some(copies) = found.replication {
            sum.stored = Some(sum.stored.unwrap_or_default() + found.size * u64::from(copies));
        }
        sum
    };
    if found.kind != Kind::Folder {
        return Ok(add(Usage::default(), found));
    }
    if let Some(folders) = place.folders()
        && let Some(usage) = folders.usage(place.path()).await.map_err(|error| place.failed("adding up", error))?
    {
        return Ok(usage);
    }
    walk(place, parallel).try_fold(Usage::default(), |sum, found| std::future::ready(Ok(add(sum, &found)))).await
}
