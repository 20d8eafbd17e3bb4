//! The content of a file: read piece by piece, all pieces of one version, and its checksum.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::{Error, GetOptions, GetRange, GetResult};
use sha2::{Digest, Sha256};
use weir_base::ErrorKind;
use weir_base::task::TaskError;

use super::place::Place;
use crate::error::{FsError, is_not_found};

/// The least size of a piece. Stores that take uploads in parts want at least 5 MiB each.
const PIECE: u64 = 8 * 1024 * 1024;
/// S3 takes at most 10,000 parts.
const MOST_PIECES: u64 = 9_000;
/// Pieces that are on their way or waiting to be taken.
const AHEAD: usize = 2;

/// The size of the pieces of a file of `size` bytes.
pub(super) fn piece_of(size: u64) -> u64 {
    PIECE.max(size.div_ceil(MOST_PIECES).next_multiple_of(1024 * 1024))
}

/// The SHA-256 of a file's content, shown as `sha256sum` shows it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Checksum([u8; 32]);

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checksum({self})")
    }
}

/// A task that panicked.
pub(super) fn internal(error: TaskError) -> FsError {
    FsError::new(ErrorKind::Internal, error.to_string()).with_source(error)
}

/// A checksum that is being made.
#[derive(Default)]
pub(super) struct Hasher(Sha256);

impl Hasher {
    /// Takes a piece, away from the threads that serve requests.
    pub(super) async fn update(mut self, bytes: Bytes) -> Result<Self, FsError> {
        let hashed = weir_base::task::blocking("fs-checksum", move || {
            self.0.update(&bytes);
            self
        });
        hashed.await.map_err(internal)
    }

    pub(super) fn finish(self) -> Checksum {
        Checksum(self.0.finalize().into())
    }
}

/// Of which version a piece is.
struct Version {
    size: u64,
    e_tag: Option<String>,
}

fn changed(place: &Place, what: &str) -> FsError {
    FsError::new(ErrorKind::Conflict, format!("`{}` was changed while it was read: {what}; read it again when nobody writes it", place.uri()))
}

async fn get(place: &Place, options: GetOptions) -> Result<GetResult, FsError> {
    let location = place.location();
    location.store.get_opts(&location.path, options).await.map_err(|error| match error {
        Error::Precondition { .. } => changed(place, "its version is another").with_source(error),
        error if is_not_found(&error) => FsError::new(ErrorKind::User, format!("`{}` is not there (any more)", place.uri())).with_source(error),
        error => place.failed("reading", error),
    })
}

async fn read(place: &Place, range: Range<u64>, e_tag: Option<String>) -> Result<(Version, Bytes), FsError> {
    let expected = range.end - range.start;
    let result = get(place, GetOptions { if_match: e_tag, range: Some(GetRange::Bounded(range)), ..GetOptions::default() }).await?;
    let version = Version { size: result.meta.size, e_tag: result.meta.e_tag.clone() };
    let bytes = result.bytes().await.map_err(|error| place.failed("reading", error))?;
    if bytes.len() as u64 != expected {
        return Err(changed(place, &format!("{} of {expected} bytes came", bytes.len())));
    }
    Ok((version, bytes))
}

/// The content of the file at `place`, which has `size` bytes, in pieces of `piece` bytes. The next pieces come while one is worked on.
///
/// All pieces are of one version of the file: it is an error if it changes meanwhile, or has another size.
#[must_use]
pub fn pieces(place: &Place, size: u64, piece: u64) -> BoxStream<'static, Result<Bytes, FsError>> {
    let place = place.clone();
    let begun = async move {
        let mut first = None;
        let mut e_tag = None;
        let now = if size == 0 {
            get(&place, GetOptions { head: true, ..GetOptions::default() }).await?.meta.size
        } else {
            let (version, bytes) = read(&place, 0..piece.min(size), None).await?;
            first = Some(Ok(bytes));
            e_tag = version.e_tag;
            version.size
        };
        if now != size {
            return Err(changed(&place, &format!("it had {size} bytes and has {now}")));
        }
        let starts = (0..size).step_by(usize::try_from(piece).unwrap_or(usize::MAX)).skip(1);
        let rest = futures::stream::iter(starts).map(move |start| {
            let (place, e_tag) = (place.clone(), e_tag.clone());
            let reading = weir_base::task::spawn("fs-read", async move { read(&place, start..(start + piece).min(size), e_tag).await });
            async move { reading.await.map_err(internal)?.map(|(_, bytes)| bytes) }
        });
        Ok(futures::stream::iter(first).chain(rest.buffered(AHEAD)))
    };
    begun.into_stream().try_flatten().boxed()
}

/// The checksum of the file at `place`, which has `size` bytes.
///
/// # Errors
/// What the store meets, and a file that changes or has another size.
pub async fn checksum(place: &Place, size: u64) -> Result<Checksum, FsError> {
    let hashed = pieces(place, size, piece_of(size)).try_fold(Hasher::default(), Hasher::update).await?;
    Ok(hashed.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_file_fits_in_the_parts_that_s3_takes() {
        assert_eq!(piece_of(0), PIECE);
        assert_eq!(piece_of(9_000 * PIECE), PIECE);
        for size in [5 << 40, 100 << 30, 9_000 * PIECE + 1] {
            assert!(size.div_ceil(piece_of(size)) <= 10_000 && piece_of(size).is_multiple_of(1 << 20), "{size}");
        }
    }
}
