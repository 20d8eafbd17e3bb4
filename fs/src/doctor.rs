//! Why can a place not be reached? Every step on the way to it, one after the other, with what was found and what to do about it.
//!
//! | file | owns |
//! |---|---|
//! | `route` | what a URI stands for, which configuration holds, which servers and which identity that means. No request |
//! | `network` | whether a host has an address and somebody listens there |
//! | `trial` | looking, reading, and, if asked to, writing |
//!
//! A step that fails ends the examination where the later ones could only fail for the same reason; those are then skipped.

mod network;
mod route;
mod trial;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use weir_base::error::chain;

use crate::file_systems::FileSystems;

/// Limits under which a dead server is reported while somebody waits; those that are set win.
const LIMITS: [(&str, &str); 2] = [("fs.request.deadline", "15 s"), ("fs.request.timeout", "8 s")];

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Fine,
    /// Worth knowing; the way goes on.
    Warning,
    /// This is why it does not work.
    Failed,
    /// Not tried, because an earlier step failed or it was not asked for.
    Skipped,
}

/// What a step found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The step, in a word.
    pub step: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found.
    pub text: String,
    /// What to do about it.
    pub remedy: Option<String>,
    /// How long it took.
    pub took: Duration,
}

impl Finding {
    fn new(step: &'static str, verdict: Verdict, text: impl Into<String>) -> Self {
        Self { step, verdict, text: text.into(), remedy: None, took: Duration::ZERO }
    }

    fn fine(step: &'static str, text: impl Into<String>) -> Self {
        Self::new(step, Verdict::Fine, text)
    }

    fn failed(step: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..Self::new(step, Verdict::Failed, text) }
    }

    fn since(self, begun: Instant) -> Self {
        Self { took: begun.elapsed(), ..self }
    }
}

/// Takes findings as they come.
type Tell<'a> = &'a mut (dyn FnMut(Finding) + Send);

/// Examines the way to `uri`, and tells each step as it is done; whether nothing failed. Only with `write` something is written there, and
/// deleted again.
pub async fn examine(file_systems: &FileSystems, uri: &str, write: bool, tell: Tell<'_>) -> bool {
    let mut whole = true;
    let mut tell = |finding: Finding| {
        whole &= finding.verdict != Verdict::Failed;
        tell(finding);
    };
    steps(file_systems, uri, write, &mut tell).await;
    whole
}

async fn steps(file_systems: &FileSystems, uri: &str, write: bool, tell: Tell<'_>) {
    let missing = LIMITS.iter().filter(|(key, _)| !file_systems.properties().contains_key(*key));
    let limits: BTreeMap<String, String> = missing.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let file_systems = file_systems.with_properties(&limits);
    let Some(route) = route::find(&file_systems, uri, tell) else { return skip(tell, &["network", "answer", "writing"], "there is no way to try") };
    let reached = network::reach_all(&route, tell).await;
    if !reached {
        return skip(tell, &["answer", "writing"], "no server was reached");
    }
    let begun = Instant::now();
    let place = match file_systems.place(uri) {
        Ok(place) => place,
        Err(error) => {
            tell(Finding::failed("client", chain(&error), "put the setting right that the message names").since(begun));
            return skip(tell, &["answer", "writing"], "there is no client");
        }
    };
    let Some(found) = trial::look(&place, &route, tell).await else { return skip(tell, &["writing"], "it does not answer") };
    if write {
        trial::write(&place, found.as_ref(), &route, tell).await;
    } else {
        skip(tell, &["writing"], "only with --write");
    }
}

fn skip(tell: Tell<'_>, steps: &[&'static str], why: &str) {
    for step in steps {
        tell(Finding::new(step, Verdict::Skipped, why));
    }
}
