//! cp, put, get, mv: from where to where, with progress on a terminal.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use weir_base::task::{Task, spawn};
use weir_fs::transfer::{self, CopyOptions, Event, Existing, Moved, Outcome, Place, Source};
use weir_fs::{Kind, Status};

use super::cli::{Copying, Cp, Mv};
use super::context::Context;
use super::print::{seconds, shown, size};
use crate::failure::Failure;
use crate::signals::{INTERRUPTED, stop_on_signals};
use crate::status_line;

const REFRESH: Duration = Duration::from_millis(300);

/// Which ends of a copy are on the local disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Road {
    Any,
    FromDisk,
    ToDisk,
}

/// A path as the shell means it, from the current folder on, as an absolute one.
fn local(text: &str) -> Result<String, Failure> {
    let absolute = std::path::absolute(Path::new(text)).map_err(|error| Failure::usage(format!("`{text}`: {error}")))?;
    let mut clean = std::path::PathBuf::new();
    for part in absolute.components() {
        match part {
            std::path::Component::ParentDir => _ = clean.pop(),
            other => clean.push(other),
        }
    }
    let clean = clean.to_str().ok_or_else(|| Failure::usage(format!("`{text}` is no UTF-8")))?.to_owned();
    Ok(if names_inside(text) && !clean.ends_with('/') { format!("{clean}/") } else { clean })
}

/// Whether a target is where copies go, not what one becomes.
fn names_inside(text: &str) -> bool {
    text.ends_with('/') || matches!(text.rsplit('/').next(), Some("." | ".."))
}

/// Sources and a target, as they were given.
struct Ends {
    sources: Vec<String>,
    target: String,
}

fn ends(places: &[String], road: Road) -> Result<Ends, Failure> {
    let Some((target, sources)) = places.split_last() else { return Err(Failure::usage("copy what, and where to?")) };
    let sources = sources.iter().map(|text| if road == Road::FromDisk { local(text) } else { Ok(text.clone()) }).collect::<Result<_, _>>()?;
    let target = if road == Road::ToDisk { local(target)? } else { target.clone() };
    Ok(Ends { sources, target })
}

/// What is counted while files are copied.
#[derive(Debug, Default)]
struct Tally {
    read: Arc<AtomicU64>,
    copied: AtomicU64,
    bytes: AtomicU64,
    same: AtomicU64,
    failed: AtomicU64,
    planned: AtomicU64,
    left_out: AtomicU64,
}

impl Tally {
    fn text(&self, since: Duration) -> String {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let mut parts = vec![format!("{} files, {} copied", load(&self.copied), size(load(&self.bytes), true))];
        for (count, what) in
            [(&self.same, "the same already"), (&self.planned, "would be copied"), (&self.left_out, "unfinished, left out"), (&self.failed, "failed")]
        {
            if load(count) > 0 {
                parts.push(format!("{} {what}", load(count)));
            }
        }
        let rate = load(&self.read) as f64 / since.as_secs_f64().max(0.001);
        format!("{} in {} ({}/s)", parts.join("; "), seconds(since), size(rate as u64, true))
    }
}

/// A copying that is shown and can be interrupted.
struct Running {
    tally: Arc<Tally>,
    stop: CancellationToken,
    begun: Instant,
    _tasks: [Task<()>; 2],
}

impl Running {
    fn begin() -> Result<Self, Failure> {
        let (tally, stop, begun): (Arc<Tally>, _, _) = (Arc::default(), CancellationToken::new(), Instant::now());
        status_line::show();
        let shown = Arc::clone(&tally);
        let line = spawn("progress", async move {
            let mut ticks = tokio::time::interval(REFRESH);
            loop {
                ticks.tick().await;
                status_line::set(format!("{}; {} read", shown.text(begun.elapsed()), size(shown.read.load(Ordering::Relaxed), true)));
            }
        });
        let signals = stop_on_signals(stop.clone(), || {}, || {})?;
        Ok(Self { tally, stop, begun, _tasks: [line, signals] })
    }

    fn options(&self, how: &Copying) -> CopyOptions {
        let existing = match (how.resume, how.force) {
            (false, false) => Existing::Refuse,
            (false, true) => Existing::Replace,
            (true, false) => Existing::SkipSame,
            (true, true) => Existing::ReplaceDifferent,
        };
        let (stop, progress) = (self.stop.clone(), Arc::clone(&self.tally.read));
        CopyOptions { existing, parallel: usize::from(how.parallel), dry_run: how.dry_run, stop, progress, ..CopyOptions::default() }
    }

    /// Ends the showing; says what was done.
    fn end(self, context: &mut Context) -> Result<(), Failure> {
        status_line::clear();
        context.printer.note(&self.tally.text(self.begun.elapsed()))?;
        if !self.stop.is_cancelled() {
            return Ok(());
        }
        context.printer.note("interrupted; the same command with --resume goes on")?;
        Err(Failure::silent(INTERRUPTED))
    }
}

/// A source, where it goes, and what is there.
struct Errand {
    source: Source,
    to: Place,
    target: Option<Status>,
}

/// What is to be done for one source; none, after a report, if nothing can be.
async fn errand(context: &mut Context, source: &str, target: &str, inside: bool) -> Result<Option<Errand>, Failure> {
    let asked = context.place(target)?;
    let Some(source) = context.found(source).await? else { return Ok(None) };
    let to = match source.place.path().filename() {
        Some(name) if inside => asked.child(name),
        None if inside => return Err(Failure::usage(format!("`{}` is a root and has no name to go by in `{target}`", source.place.uri()))),
        _ => Ok(asked),
    };
    let found = match to {
        Ok(to) => source.target(&to).await,
        Err(error) => Err(error),
    };
    match found {
        Ok((to, target)) => Ok(Some(Errand { source, to, target })),
        Err(error) => {
            context.report(target, &error)?;
            Ok(None)
        }
    }
}

/// Copies.
pub(super) async fn cp(context: &mut Context, arguments: &Cp, road: Road) -> Result<(), Failure> {
    let Ends { sources, target } = ends(&arguments.places, road)?;
    let inside = sources.len() > 1 || names_inside(&target);
    let running = Running::begin()?;
    for text in &sources {
        let Some(errand) = errand(context, text, &target, inside).await? else { continue };
        if errand.source.found.kind == Kind::Folder && !arguments.recursive {
            context.complain(&format!("`{}` is a folder; -r copies it with all below", errand.source.place.uri()))?;
            continue;
        }
        let options = CopyOptions { verify: !arguments.no_verify, ..running.options(&arguments.how) };
        copy(context, errand, options, &running.tally, arguments.how.verbose).await?;
    }
    running.end(context)
}

/// Moves.
pub(super) async fn mv(context: &mut Context, arguments: &Mv) -> Result<(), Failure> {
    let Ends { sources, target } = ends(&arguments.places, Road::Any)?;
    let inside = sources.len() > 1 || names_inside(&target);
    let mut running = None;
    for text in &sources {
        let Some(errand) = errand(context, text, &target, inside).await? else { continue };
        let (from, to) = (errand.source.place.clone(), errand.to.clone());
        let renames = from.folders().is_some() && from.is_beside(&to);
        if arguments.how.dry_run && renames {
            context.printer.line(&format!("would rename {} to {}", shown(from.uri()), shown(to.uri())))?;
            continue;
        }
        match transfer::rename(&errand.source, &to, errand.target.as_ref(), arguments.how.force).await {
            Ok(Moved::Renamed) => continue,
            Ok(Moved::OnlyByCopy) if arguments.copy => {}
            Ok(Moved::OnlyByCopy) => {
                let why = "cannot be renamed to another file system or within an object store; --copy copies it, compares, and removes it";
                context.complain(&format!("`{}` {why}", from.uri()))?;
                continue;
            }
            Err(error) => {
                context.report(to.uri(), &error)?;
                continue;
            }
        }
        let running = match &running {
            Some(running) => running,
            None => running.insert(Running::begin()?),
        };
        let options = CopyOptions { remove_source: true, ..running.options(&arguments.how) };
        let whole = copy(context, errand, options, &running.tally, arguments.how.verbose).await?;
        if whole
            && !arguments.how.dry_run
            && let Err(error) = transfer::remove_empty_folders(&from).await
        {
            context.report(from.uri(), &error)?;
        }
    }
    running.map_or(Ok(()), |running| running.end(context))
}

/// Copies one source and shows what becomes of it; whether all of it was copied.
async fn copy(context: &mut Context, errand: Errand, options: CopyOptions, tally: &Tally, verbose: bool) -> Result<bool, Failure> {
    let mut events = transfer::copy(errand.source, errand.to, errand.target, options);
    let mut whole = true;
    while let Some(event) = events.next().await {
        let add = |count: &AtomicU64, by: u64| count.fetch_add(by, Ordering::Relaxed);
        match &event.outcome {
            Outcome::Copied(_) => {
                add(&tally.copied, 1);
                add(&tally.bytes, event.bytes);
            }
            Outcome::Same => _ = add(&tally.same, 1),
            Outcome::Planned { .. } => _ = add(&tally.planned, 1),
            Outcome::Folder => {}
            Outcome::Unfinished => {
                add(&tally.left_out, 1);
                whole = false;
                context.printer.note(&format!("`{}` is the file of a writer that has not finished, and is left out", shown(&event.from)))?;
            }
            Outcome::Stopped => whole = false,
            Outcome::Failed(error) => {
                add(&tally.failed, 1);
                whole = false;
                let about = if error.to_string().contains(&event.to) { &event.to } else { &event.from };
                context.report(about, error)?;
            }
        }
        show(context, &event, verbose)?;
    }
    Ok(whole)
}

fn show(context: &mut Context, event: &Event, verbose: bool) -> Result<(), Failure> {
    let (name, checksum) = match &event.outcome {
        Outcome::Copied(checksum) => ("copied", Some(checksum.to_string())),
        Outcome::Same => ("same", None),
        Outcome::Planned { replaces: true } => ("would replace", None),
        Outcome::Planned { replaces: false } => ("would copy", None),
        Outcome::Folder => ("folder", None),
        Outcome::Unfinished => ("unfinished", None),
        Outcome::Stopped => ("stopped", None),
        Outcome::Failed(_) => ("failed", None),
    };
    if context.json {
        let all = json!({"outcome": name, "from": event.from, "to": event.to, "size": event.bytes, "sha256": checksum});
        return context.printer.line(&all.to_string());
    }
    let planned = matches!(event.outcome, Outcome::Planned { .. });
    if planned || (verbose && !matches!(event.outcome, Outcome::Failed(_) | Outcome::Stopped)) {
        return context.printer.line(&format!("{name} {} -> {}", shown(&event.from), shown(&event.to)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_path_is_taken_from_the_current_folder() {
        let here = std::env::current_dir().expect("a folder").to_str().expect("text").to_owned();
        assert_eq!(local("x y").expect("local"), format!("{here}/x y"));
        assert_eq!(local("./a/../b:c/").expect("local"), format!("{here}/b:c/"));
        assert_eq!(local(".").expect("local"), format!("{here}/"));
        assert_eq!(local("/a//b").expect("local"), "/a/b");
    }
}
