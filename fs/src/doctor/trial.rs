//! Looking, reading, and writing something that is deleted again.

use std::error::Error as StdError;
use std::time::Instant;

use futures::{StreamExt, TryStreamExt};
use object_store::{Error as StoreError, ObjectStoreExt, PutMode};
use weir_base::error::chain;

use super::route::Route;
use super::{Finding, Tell, Verdict};
use crate::error::FsError;
use crate::folders::{Kind, Status};
use crate::transfer::Place;

/// What is at `place`; nothing at all if it does not answer.
pub(super) async fn look(place: &Place, route: &Route, tell: Tell<'_>) -> Option<Option<Status>> {
    let begun = Instant::now();
    let found = match place.stat().await {
        Ok(found) => found,
        Err(error) => {
            tell(failed("answer", &error, route).since(begun));
            return None;
        }
    };
    let text = match &found {
        None => {
            let remedy = "check the spelling; `weir fs ls` of the folder above shows what is there".to_owned();
            tell(
                Finding { remedy: Some(remedy), ..Finding::new("answer", Verdict::Warning, "the server answers: there is nothing of this name") }
                    .since(begun),
            );
            return Some(None);
        }
        Some(found) => described(found),
    };
    tell(Finding::fine("answer", format!("the server answers: {text}")).since(begun));
    if let Some(found) = &found {
        tell(read(place, found, route).await);
    }
    Some(found)
}

fn described(found: &Status) -> String {
    let access =
        found.access.as_ref().map(|access| format!(" of {}:{}, mode {:04o}", access.owner, access.group, access.permission)).unwrap_or_default();
    match found.kind {
        Kind::File => format!("it is a file{access} with {} bytes", found.size),
        Kind::Folder => format!("it is a folder{access}"),
        Kind::Other => format!("it is neither a file nor a folder{access}"),
    }
}

/// Lists a folder, or reads the first byte of a file: on HDFS a file's bytes come from other servers than its name.
async fn read(place: &Place, found: &Status, route: &Route) -> Finding {
    let begun = Instant::now();
    let done = match found.kind {
        Kind::Folder => match place.folders() {
            Some(_) => place.list().next().await.transpose().map(|first| match first {
                Some(first) => format!("it can be listed; the first name is `{}`", place.relative(&first.path)),
                None => "it can be listed; it is empty".to_owned(),
            }),
            None => Ok("it can be listed".to_owned()),
        },
        Kind::File if found.size > 0 => {
            let first = place.location().store.get_range(place.path(), 0..1).await;
            first.map(|_| "it can be read".to_owned()).map_err(|error| FsError::from_store("reading", place.uri(), error))
        }
        Kind::File | Kind::Other => Ok("there is nothing in it to be read".to_owned()),
    };
    match done {
        Ok(text) => Finding::fine("reading", text),
        Err(error) => failed("reading", &error, route),
    }
    .since(begun)
}

/// Writes a small file beside or in `place`, looks whose it is, whether a second one is refused, reads it and deletes it.
pub(super) async fn write(place: &Place, found: Option<&Status>, route: &Route, tell: Tell<'_>) {
    let name = format!(".weir-doctor-{}", uuid::Uuid::new_v4().simple());
    let file = match found.map(|found| found.kind) {
        Some(Kind::Folder) => place.child(&name),
        None if place.folders().is_none() => place.child(&name),
        None => return tell(Finding::new("writing", Verdict::Skipped, "there is no folder to write in; `weir fs mkdir -p` makes it")),
        Some(Kind::File | Kind::Other) => return tell(Finding::new("writing", Verdict::Skipped, "this is no folder; name the one it is in")),
    };
    let file = match file {
        Ok(file) => file,
        Err(error) => return tell(failed("writing", &error, route)),
    };
    let begun = Instant::now();
    let tried = trial(&file, &name).await;
    let deleted = file.location().store.delete(file.path()).await.map_err(|error| FsError::from_store("deleting", file.uri(), error));
    tell(match &tried {
        Ok(text) => Finding::fine("writing", text).since(begun),
        Err(Tried::Failed(error)) => failed("writing", error, route).since(begun),
        Err(Tried::Wrong(what)) => {
            let remedy = "keep checkpoints and tables elsewhere: they rely on this promise of a store";
            Finding::failed("writing", what.clone(), remedy).since(begun)
        }
    });
    match deleted {
        Ok(()) if tried.is_ok() => tell(Finding::fine("deleting", "what was written is gone")),
        Ok(()) => {}
        Err(error) => tell(failed("deleting", &error, route)),
    }
}

enum Tried {
    Failed(FsError),
    Wrong(String),
}

async fn trial(file: &Place, content: &str) -> Result<String, Tried> {
    let store = &file.location().store;
    let failed = |operation: &'static str| move |error| Tried::Failed(FsError::from_store(operation, file.uri(), error));
    let put = |text: String| store.put_opts(file.path(), text.into_bytes().into(), PutMode::Create.into());
    put(content.to_owned()).await.map_err(failed("writing"))?;
    let status = file.stat().await.map_err(Tried::Failed)?;
    let owner = status.and_then(|status| status.access).map(|access| format!(", as `{}`", access.owner)).unwrap_or_default();
    match put(format!("not {content}")).await {
        Err(StoreError::AlreadyExists { .. }) => {}
        Ok(_) => return Err(Tried::Wrong("a file that must not replace another one did replace it".to_owned())),
        Err(error) => return Err(failed("writing a second time")(error)),
    }
    let read: Vec<_> = store.get(file.path()).await.map_err(failed("reading"))?.into_stream().try_collect().await.map_err(failed("reading"))?;
    if read.concat() != content.as_bytes() {
        return Err(Tried::Wrong("what is read is not what was written".to_owned()));
    }
    Ok(format!("a file was written{owner}, read back, and a second one of its name was refused"))
}

/// What went wrong, with what helps against it as far as that is known.
fn failed(step: &'static str, error: &FsError, route: &Route) -> Finding {
    let who = &route.identity;
    let remedy = match StdError::source(error).and_then(|source| source.downcast_ref::<StoreError>()) {
        Some(StoreError::PermissionDenied { .. }) => format!("{who} may not do this: have the permission given, or come as somebody else"),
        Some(StoreError::Unauthenticated { .. }) => format!("the server does not believe that this is {who}: {}", route.credentials_hint),
        Some(StoreError::NotFound { .. }) => "check the name, and that the bucket or folder exists".to_owned(),
        _ => route.answer_hint.to_owned(),
    };
    Finding::failed(step, chain(error), remedy)
}
