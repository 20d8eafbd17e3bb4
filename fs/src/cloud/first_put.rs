//! Puts on which something hangs: a claim, a checkpoint, the next version of a table. Of two writers of one name the second must be
//! refused, and whether a server does that is tried out before the first such put, not believed.
//!
//! The trial writes a small object beside the real one, twice, and deletes it. It is made once for a store.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, Result};
use uuid::Uuid;
use weir_base::ErrorKind;

use crate::error::{FsError, is_not_found};

/// An extension of a put with `PutMode::Create` after which nobody else may have written the name: its store must be known to refuse the
/// second writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstPut {
    /// A store that does not is refused.
    Strict,
    /// A store that does not is refused, unless `fs.request.put-if-absent` is `look-first`.
    OrLookFirst,
}

impl From<FirstPut> for PutOptions {
    fn from(first: FirstPut) -> Self {
        let mut options = Self::from(PutMode::Create);
        options.extensions.insert(first);
        options
    }
}

/// What is done on a store that lets a second writer replace an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfUnable {
    Refuse,
    /// The name is looked at before and after: that keeps writers apart that come one after the other, not those of the same moment.
    LookFirst,
}

/// The key that says so, its values, and the default first.
pub(crate) const KEY: &str = "fs.request.put-if-absent";
const VALUES: [(&str, IfUnable); 2] = [("require", IfUnable::Refuse), ("look-first", IfUnable::LookFirst)];

impl IfUnable {
    /// What the value of [`KEY`] says, if there is one.
    ///
    /// # Errors
    /// Any other value.
    pub(crate) fn parse(text: Option<&str>) -> std::result::Result<Self, FsError> {
        let Some(text) = text else { return Ok(Self::Refuse) };
        let found = VALUES.iter().find(|(name, _)| weir_base::options::normalise(text) == *name).map(|(_, value)| *value);
        let names = VALUES.map(|(name, _)| name).join(", ");
        found.ok_or_else(|| FsError::new(ErrorKind::User, format!("'{KEY}' is '{text}'; expected one of: [{names}]")))
    }
}

/// Whether `store` refuses the second writer of a name; tried out in the folder of `beside`.
///
/// # Errors
/// The trial could not be made.
pub(super) async fn refuses_the_second(store: &dyn ObjectStore, beside: &Path) -> Result<bool> {
    let mut folder: Vec<_> = beside.parts().collect();
    folder.pop();
    let path = Path::from_iter(folder).join(format!(".weir-probe-{}", Uuid::new_v4().simple()));
    let put = || store.put_opts(&path, Bytes::from_static(b"probe").into(), PutMode::Create.into());
    let tried = match put().await {
        // A store may say outright that it cannot.
        Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => return Ok(false),
        // Nobody else knows the name: the client has repeated its put, and the second one was refused.
        Err(Error::AlreadyExists { .. }) => Ok(true),
        Err(error) => Err(error),
        Ok(_) => match put().await {
            Ok(_) => Ok(false),
            Err(Error::AlreadyExists { .. }) => Ok(true),
            Err(error) => Err(error),
        },
    };
    if let Err(error) = store.delete(&path).await
        && !is_not_found(&error)
    {
        tracing::warn!(%path, %error, "a small file of a trial could not be deleted and stays");
    }
    tried
}

#[derive(Debug, thiserror::Error)]
#[error("of two puts of one name in a trial, the second was not refused")]
struct NotRefused;

/// Why a put is refused on a store that lets the second writer replace an object.
pub(super) fn refusal(store: &str, first: FirstPut) -> Error {
    let way_out = match first {
        FirstPut::Strict => String::new(),
        FirstPut::OrLookFirst => format!(
            "; keep the checkpoints on HDFS, on a disk or in a store that refuses, or, if it is certain that no second process runs the same \
             job, SET '{KEY}' = 'look-first'"
        ),
    };
    let message = format!("{store} lets a second writer replace an object, so two processes could not be kept apart there{way_out}");
    FsError::new(ErrorKind::User, message).with_source(NotRefused).into_store_error()
}

/// Whether a [`FirstPut`] failed because its store lets a second writer replace an object.
#[must_use]
pub fn is_not_refusing(error: &Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if cause.is::<NotRefused>() {
            return true;
        }
        next = cause.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn the_trial_leaves_nothing_and_sees_who_refuses() {
        let store = InMemory::new();
        assert!(refuses_the_second(&store, &Path::from("a/b/claim")).await.expect("tried"));
        assert!(refuses_the_second(&store, &Path::from("claim")).await.expect("tried"));
        assert!(store.list(None).try_collect::<Vec<_>>().await.expect("listed").is_empty());
    }

    #[test]
    fn the_fallback_is_one_of_two() {
        assert_eq!(IfUnable::parse(None).expect("default"), IfUnable::Refuse);
        assert_eq!(IfUnable::parse(Some("Look_First")).expect("a value"), IfUnable::LookFirst);
        let error = IfUnable::parse(Some("maybe")).expect_err("refused").to_string();
        assert!(error.contains("'fs.request.put-if-absent' is 'maybe'; expected one of: [require, look-first]"), "{error}");
    }
}
