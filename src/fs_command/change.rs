//! rm and mkdir.

use futures::StreamExt;
use serde_json::json;
use weir_fs::Kind;
use weir_fs::transfer::{self, Place, Source};

use super::cli::{Mkdir, Rm};
use super::context::Context;
use super::print::{shown, size};
use crate::failure::Failure;

/// Folders listed at a time by a dry run.
const PARALLEL: usize = 8;

/// Deletes, or shows what would be deleted.
pub(super) async fn rm(context: &mut Context, arguments: &Rm) -> Result<(), Failure> {
    for text in &arguments.places {
        let place = context.place(text)?;
        let found = match place.stat().await {
            Ok(Some(found)) => found,
            Ok(None) if arguments.force => continue,
            Ok(None) => {
                context.complain(&format!("`{}`: there is no file or folder of this name; --force says nothing of it", place.uri()))?;
                continue;
            }
            Err(error) => {
                context.report(place.uri(), &error)?;
                continue;
            }
        };
        if found.kind == Kind::Folder && !arguments.recursive {
            context.complain(&format!("`{}` is a folder; -r deletes it with all below, and --dry-run shows what that is", place.uri()))?;
            continue;
        }
        let source = Source { place, found };
        if arguments.dry_run {
            show(context, &source).await?;
            continue;
        }
        match transfer::remove(&source.place, &source.found).await {
            Ok(removed) if context.json => context.printer.line(&json!({"deleted": source.place.uri(), "files": removed.files}).to_string())?,
            Ok(_) => {}
            Err(error) => context.report(source.place.uri(), &error)?,
        }
    }
    Ok(())
}

/// Shows what would be deleted.
async fn show(context: &mut Context, source: &Source) -> Result<(), Failure> {
    let Source { place, found } = source;
    let (mut files, mut bytes) = (0_u64, 0_u64);
    let below = if found.kind == Kind::Folder { transfer::walk(place, PARALLEL) } else { futures::stream::empty().boxed() };
    let mut all = futures::stream::once(std::future::ready(Ok(found.clone()))).chain(below);
    while let Some(found) = all.next().await {
        match found {
            Ok(found) => {
                files += u64::from(found.kind != Kind::Folder);
                bytes += found.size;
                let at = place.of(&found);
                let text = if context.json {
                    json!({"would-delete": at.uri(), "size": found.size}).to_string()
                } else {
                    format!("would delete {}", shown(at.uri()))
                };
                context.printer.line(&text)?;
            }
            Err(error) => context.report(place.uri(), &error)?,
        }
    }
    context.printer.note(&format!("{files} files, {} would be deleted in {}; nothing was", size(bytes, true), shown(place.uri())))
}

/// Makes folders.
pub(super) async fn mkdir(context: &mut Context, arguments: &Mkdir) -> Result<(), Failure> {
    for text in &arguments.places {
        let place = context.place(text)?;
        if place.folders().is_none() {
            context.printer.note(&format!("`{}`: an object store has no folders; this one will be there with the first file in it", place.uri()))?;
            continue;
        }
        let done = if arguments.parents { Ok(None) } else { objection(context, &place).await };
        match done {
            Ok(None) => {}
            Ok(Some(objection)) => {
                context.complain(&objection)?;
                continue;
            }
            Err(error) => {
                context.report(place.uri(), &error)?;
                continue;
            }
        }
        if let Err(error) = place.make_folder().await {
            context.report(place.uri(), &error)?;
        }
    }
    Ok(())
}

/// Why the folder at `place` is not made without `-p`.
async fn objection(context: &Context, place: &Place) -> Result<Option<String>, weir_fs::FsError> {
    if place.stat().await?.is_some() {
        return Ok(Some(format!("`{}` exists; with -p that is no error", place.uri())));
    }
    let above = place.uri().rsplit_once('/').map_or("/", |(above, _)| above);
    match context.place(above) {
        Ok(above) if above.stat().await?.is_none() => Ok(Some(format!("`{}` is not there; -p makes it too", above.uri()))),
        _ => Ok(None),
    }
}
