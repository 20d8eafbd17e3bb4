//! ls, du, find, stat, test: what is there, and how much.

use chrono::Utc;
use futures::{StreamExt, TryStreamExt};
use serde_json::{Map, Value, json};
use weir_fs::transfer::{self, Place, Source};
use weir_fs::{FsError, Kind, Status, Usage};

use super::cli::{Du, Find, FoundKind, Ls, Stat, Test};
use super::context::Context;
use super::print::{kind, mode, shown, size, time};
use crate::failure::Failure;

/// Folders listed at a time by `ls -R`.
const PARALLEL: usize = 8;

/// Lists. What is in one folder is sorted by name, and so is held in memory; `find` is for more than that.
pub(super) async fn ls(context: &mut Context, arguments: &Ls) -> Result<(), Failure> {
    for text in &arguments.places {
        let Some(Source { place, found }) = context.found(text).await? else { continue };
        let (mut rows, mut failures) = (Vec::new(), Vec::new());
        if found.kind == Kind::Folder && !arguments.directory {
            let mut listed = if arguments.recursive { transfer::walk(&place, PARALLEL) } else { place.list() };
            while let Some(found) = listed.next().await {
                match found {
                    Ok(found) if found.unfinished && !arguments.all => {}
                    Ok(found) => rows.push(found),
                    Err(error) => failures.push(error),
                }
            }
        } else {
            rows.push(found);
        }
        rows.sort_by(|one, other| one.path.cmp(&other.path));
        print_list(context, arguments, &place, &rows)?;
        for error in failures {
            context.report(place.uri(), &error)?;
        }
    }
    Ok(())
}

fn print_list(context: &mut Context, arguments: &Ls, place: &Place, rows: &[Status]) -> Result<(), Failure> {
    if context.json || arguments.uris {
        for found in rows {
            let at = place.of(found);
            let text = if context.json { described(&at, found).to_string() } else { shown(at.uri()) };
            context.printer.line(&text)?;
        }
        return Ok(());
    }
    let row = |found: &Status| {
        let access = found.access.as_ref();
        let name = match place.relative(&found.path) {
            "" => shown(place.uri()),
            name => shown(name),
        };
        let slash = if found.kind == Kind::Folder { "/" } else { "" };
        [
            mode(found),
            found.replication.map(|copies| copies.to_string()).unwrap_or_default(),
            access.map(|access| access.owner.clone()).unwrap_or_default(),
            access.map(|access| access.group.clone()).unwrap_or_default(),
            if found.kind == Kind::File { size(found.size, arguments.human) } else { "-".to_owned() },
            found.modified.map(time).unwrap_or_default(),
            format!("{}{slash}", name.trim_end_matches('/')),
        ]
    };
    let rows: Vec<_> = rows.iter().map(row).collect();
    context.printer.table([false, true, false, false, true, false, false], &rows)
}

/// All that is known of `found` at `place`.
fn described(place: &Place, found: &Status) -> Value {
    let mut all = Map::new();
    let mut add = |key: &str, value: Option<Value>| value.map(|value| all.insert(key.to_owned(), value));
    add("uri", Some(place.uri().into()));
    add("kind", Some(kind(found.kind).into()));
    add("size", (found.kind == Kind::File).then(|| found.size.into()));
    add("modified", found.modified.map(|at| time(at).into()));
    add("owner", found.access.as_ref().map(|access| access.owner.clone().into()));
    add("group", found.access.as_ref().map(|access| access.group.clone().into()));
    add("permission", found.access.as_ref().map(|access| format!("{:04o}", access.permission).into()));
    add("replication", found.replication.map(Into::into));
    add("block-size", found.block_size.map(Into::into));
    add("e-tag", found.e_tag.clone().map(Into::into));
    add("unfinished", found.unfinished.then(|| true.into()));
    Value::Object(all)
}

/// Shows all that is known.
pub(super) async fn stat(context: &mut Context, arguments: &Stat) -> Result<(), Failure> {
    for text in &arguments.places {
        let Some(Source { place, found }) = context.found(text).await? else { continue };
        let mut all = described(&place, &found);
        if arguments.checksum && found.kind == Kind::File {
            match transfer::checksum(&place, found.size).await {
                Ok(checksum) => all["sha256"] = checksum.to_string().into(),
                Err(error) => {
                    context.report(place.uri(), &error)?;
                    continue;
                }
            }
        }
        if context.json {
            context.printer.line(&all.to_string())?;
            continue;
        }
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), shown);
        let rows: Vec<_> = all.as_object().into_iter().flatten().map(|(key, value)| [format!("{key}:"), text(value)]).collect();
        context.printer.table([false, false], &rows)?;
    }
    Ok(())
}

/// Adds up, for each thing in a folder or for all of it.
pub(super) async fn du(context: &mut Context, arguments: &Du) -> Result<(), Failure> {
    let parallel = usize::from(arguments.parallel);
    for text in &arguments.places {
        let Some(Source { place, found }) = context.found(text).await? else { continue };
        let parts: Result<Vec<Status>, FsError> =
            if found.kind == Kind::Folder && !arguments.summarize { place.list().try_collect().await } else { Ok(vec![found]) };
        let mut parts = match parts {
            Ok(parts) => parts,
            Err(error) => {
                context.report(place.uri(), &error)?;
                continue;
            }
        };
        parts.sort_by(|one, other| one.path.cmp(&other.path));
        let sums = parts.into_iter().map(|part| {
            let at = place.of(&part);
            async move { (transfer::usage(&at, &part, parallel).await, at) }
        });
        let sums: Vec<_> = futures::stream::iter(sums).buffered(parallel).collect().await;
        let mut rows = Vec::new();
        for (sum, at) in sums {
            match sum {
                Ok(sum) if context.json => context.printer.line(&summed(&at, &sum).to_string())?,
                Ok(sum) => {
                    let stored = sum.stored.map(|bytes| size(bytes, arguments.human)).unwrap_or_default();
                    rows.push([size(sum.bytes, arguments.human), stored, sum.files.to_string(), shown(at.uri())]);
                }
                Err(error) => context.report(at.uri(), &error)?,
            }
        }
        context.printer.table([true, true, true, false], &rows)?;
    }
    Ok(())
}

fn summed(place: &Place, sum: &Usage) -> Value {
    json!({"uri": place.uri(), "bytes": sum.bytes, "stored": sum.stored, "files": sum.files, "folders": sum.folders})
}

/// Prints what fits, as it is found.
pub(super) async fn find(context: &mut Context, arguments: &Find) -> Result<(), Failure> {
    let now = Utc::now();
    for text in &arguments.places {
        let Some(Source { place, found }) = context.found(text).await? else { continue };
        let itself = futures::stream::once(std::future::ready(Ok(found.clone())));
        let below =
            if found.kind == Kind::Folder { transfer::walk(&place, usize::from(arguments.parallel)) } else { futures::stream::empty().boxed() };
        let mut all = itself.chain(below);
        while let Some(found) = all.next().await {
            let found = match found {
                Ok(found) => found,
                Err(error) => {
                    context.report(place.uri(), &error)?;
                    continue;
                }
            };
            if found.unfinished || !fits(arguments, &found, now) {
                continue;
            }
            let at = place.of(&found);
            match (context.json, arguments.print0) {
                (true, _) => context.printer.line(&described(&at, &found).to_string())?,
                (false, true) => context.printer.bytes(format!("{}\0", at.uri()).as_bytes())?,
                (false, false) => context.printer.line(&shown(at.uri()))?,
            }
        }
    }
    Ok(())
}

/// Whether `found` is what is looked for. What has no size or time fits no condition on it.
fn fits(wanted: &Find, found: &Status, now: chrono::DateTime<Utc>) -> bool {
    let kind = match wanted.kind {
        None => true,
        Some(FoundKind::File) => found.kind == Kind::File,
        Some(FoundKind::Folder) => found.kind == Kind::Folder,
    };
    let name = wanted.name.as_ref().is_none_or(|pattern| found.path.filename().is_some_and(|name| pattern.matches(name)));
    let sized = |fits: &dyn Fn(u64) -> bool| found.kind == Kind::File && fits(found.size);
    let age = found.modified.map(|modified| (now - modified).to_std().unwrap_or_default());
    kind && name
        && wanted.min_size.is_none_or(|least| sized(&|size| size >= least))
        && wanted.max_size.is_none_or(|most| sized(&|size| size <= most))
        && wanted.newer_than.is_none_or(|limit| age.is_some_and(|age| age <= limit))
        && wanted.older_than.is_none_or(|limit| age.is_some_and(|age| age > limit))
}

/// Answers a question by the exit code.
pub(super) async fn test(context: &mut Context, arguments: &Test) -> Result<(), Failure> {
    let place = context.place(&arguments.place)?;
    let question = &arguments.question;
    let answer = async {
        let Some(found) = place.stat().await? else { return Ok(false) };
        Ok(match found.kind {
            Kind::File => question.exists || question.file || (question.filled && found.size > 0) || (question.zero && found.size == 0),
            Kind::Folder if question.filled => place.list().next().await.transpose()?.is_some(),
            Kind::Folder => question.exists || question.directory,
            Kind::Other => question.exists,
        })
    };
    match answer.await {
        Ok(yes) => context.answer(yes),
        Err(error) => {
            context.report(place.uri(), &error)?;
            context.answer(false)
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use clap::Parser;
    use object_store::path::Path;

    use super::*;
    use crate::fs_command::cli::{Command, Fs};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        fs: Fs,
    }

    fn fits_with(options: &[&str], found: &Status) -> bool {
        let line = Line::try_parse_from(["fs", "find", "/x"].iter().chain(options)).expect("parses");
        let Command::Find(find) = line.fs.command else { panic!("another command") };
        fits(&find, found, Utc::now())
    }

    #[test]
    fn find_takes_what_meets_every_condition() {
        let hour_old = Utc::now() - TimeDelta::hours(1);
        let file = Status { kind: Kind::File, size: 2048, modified: Some(hour_old), ..Status::folder(Path::parse("x/a[1].gz").expect("a path")) };
        for options in [vec![], vec!["--name", "a*.gz"], vec!["--name", "a[[]1].g?"], vec!["--type", "f"], vec!["--min-size", "2kb"]] {
            assert!(fits_with(&options, &file), "{options:?}");
        }
        assert!(fits_with(&["--max-size", "2kb", "--older-than", "30 min", "--newer-than", "2 h"], &file));
        for options in [["--name", "a"], ["--type", "d"], ["--min-size", "3kb"], ["--older-than", "2 h"], ["--newer-than", "30 min"]] {
            assert!(!fits_with(&options, &file), "{options:?}");
        }
        let folder = Status::folder(Path::from("x/y"));
        assert!(fits_with(&["--type", "d"], &folder) && !fits_with(&["--older-than", "1 s"], &folder) && !fits_with(&["--max-size", "1"], &folder));
    }
}
