//! What shall fail, and when.
//!
//! A plan is a list of rules with `;` between them: `operation[:pattern][@when]=action[?flag]`.
//!
//! | part | meaning |
//! |---|---|
//! | operation | `put` (a file written, whole or in parts), `part`, `complete`, `get`, `head`, `list`, `delete`, `copy`, `rename`, `mkdir`, or `*` |
//! | pattern | `*` stands for any characters, `/` included; it may match the path from any `/` on |
//! | when | `3`: the third request that fits; `3+`: that and all later ones; `10%`: one in ten, by the seed; without it: all |
//! | action | `fail` (before it is done), `lose-answer` (after it is done), `truncate` (half of it is done), `enospc` (disk full), `delay:<ms>`, `reorder` (done after a request that came later; after 250 ms if none is done before) |
//! | flag | the rule holds only while this file exists |
//!
//! `seed=42` as a rule sets the seed. Example: `put:data/*.parquet@3=enospc;put:*.metadata.json@2=lose-answer`.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use weir_base::ErrorKind;

use super::order::{Order, Turn};
use crate::error::FsError;

/// What a rule does to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Fail,
    LoseAnswer,
    Truncate,
    NoSpace,
    Delay(Duration),
    Reorder,
}

/// What happens to a request, which is answered when this is dropped.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) action: Option<Action>,
    pub(super) turn: Turn,
}

/// To which requests a rule applies, counted among those that fit it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    At(u64),
    From(u64),
    Percent(u64),
}

#[derive(Debug)]
struct Rule {
    text: String,
    operation: String,
    pattern: String,
    when: When,
    action: Action,
    flag: Option<PathBuf>,
    seen: AtomicU64,
    acted: AtomicBool,
}

/// Rules about which requests fail and how; clones count together.
#[derive(Clone, Default)]
pub struct FaultPlan {
    rules: Arc<Vec<Rule>>,
    seed: u64,
    order: Arc<Order>,
}

impl FaultPlan {
    /// The plan that `text` describes.
    ///
    /// # Errors
    /// A rule that cannot be read; the message quotes it.
    pub fn parse(text: &str) -> Result<Self, FsError> {
        let mut rules = Vec::new();
        let mut seed = 0;
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            match part.strip_prefix("seed=").map(str::parse) {
                Some(Ok(number)) => seed = number,
                _ => rules.push(rule(part).ok_or_else(|| FsError::new(ErrorKind::User, format!("`{part}` is no rule of a fault plan")))?),
            }
        }
        Ok(Self { rules: Arc::new(rules), seed, order: Arc::default() })
    }

    /// The plan in the environment variable `WEIR_FS_FAULTS`, in builds with debug assertions.
    ///
    /// # Errors
    /// A rule that cannot be read.
    pub(crate) fn of_process() -> Result<Option<Self>, FsError> {
        static PLAN: OnceLock<Option<String>> = OnceLock::new();
        static PARSED: OnceLock<FaultPlan> = OnceLock::new();
        if !cfg!(debug_assertions) {
            return Ok(None);
        }
        #[expect(clippy::disallowed_methods, reason = "the fault plan of a test build is read once, here")]
        let Some(text) = PLAN.get_or_init(|| std::env::var("WEIR_FS_FAULTS").ok()) else { return Ok(None) };
        let plan = Self::parse(text)?;
        Ok(Some(PARSED.get_or_init(|| plan).clone()))
    }

    /// The rules that have done nothing to any request yet.
    #[must_use]
    pub fn idle(&self) -> Vec<&str> {
        self.rules.iter().filter(|rule| !rule.acted.load(Ordering::Relaxed)).map(|rule| rule.text.as_str()).collect()
    }

    /// What happens to this request: what the first rule says that acts on it.
    pub(super) fn visit(&self, operation: &str, path: &str) -> Visit {
        Visit { action: self.rules.iter().find_map(|rule| rule.visit(operation, path, self.seed)), turn: self.order.arrive() }
    }
}

impl fmt::Debug for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.rules.iter()).finish()
    }
}

impl Rule {
    fn visit(&self, operation: &str, path: &str, seed: u64) -> Option<Action> {
        let fits = (self.operation == "*" || self.operation == operation) && matches_from_a_slash(&self.pattern, path);
        if !fits || self.flag.as_ref().is_some_and(|flag| !flag.exists()) {
            return None;
        }
        let count = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        let acts = match self.when {
            When::Always => true,
            When::At(nth) => count == nth,
            When::From(nth) => count >= nth,
            When::Percent(share) => mixed(seed, count) % 100 < share,
        };
        self.acted.fetch_or(acts, Ordering::Relaxed);
        acts.then_some(self.action)
    }
}

fn rule(text: &str) -> Option<Rule> {
    let (place, action) = text.split_once('=')?;
    let (action, flag) = match action.split_once('?') {
        Some((action, flag)) => (action, Some(PathBuf::from(flag))),
        None => (action, None),
    };
    let action = match action {
        "fail" => Action::Fail,
        "lose-answer" => Action::LoseAnswer,
        "truncate" => Action::Truncate,
        "enospc" => Action::NoSpace,
        "reorder" => Action::Reorder,
        other => Action::Delay(Duration::from_millis(other.strip_prefix("delay:")?.parse().ok()?)),
    };
    let (place, when) = match place.rsplit_once('@') {
        Some((place, when)) => (place, when_of(when)?),
        None => (place, When::Always),
    };
    let (operation, pattern) = place.split_once(':').unwrap_or((place, "*"));
    let known = ["put", "part", "complete", "get", "head", "list", "delete", "copy", "rename", "mkdir", "*"];
    known.contains(&operation).then(|| Rule {
        text: text.to_owned(),
        operation: operation.to_owned(),
        pattern: pattern.to_owned(),
        when,
        action,
        flag,
        seen: AtomicU64::new(0),
        acted: AtomicBool::new(false),
    })
}

fn when_of(text: &str) -> Option<When> {
    if let Some(nth) = text.strip_suffix('+') {
        return nth.parse().ok().map(When::From);
    }
    if let Some(share) = text.strip_suffix('%') {
        return share.parse().ok().map(When::Percent);
    }
    text.parse().ok().map(When::At)
}

/// Whether `pattern` matches all of `path`, or all of it after some `/`.
fn matches_from_a_slash(pattern: &str, path: &str) -> bool {
    let mut rest = path;
    loop {
        if matches_all(pattern, rest) {
            return true;
        }
        match rest.split_once('/') {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
}

/// Matching with `*` alone: each piece between stars is found in turn, the first at the start and the last at the end.
fn matches_all(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in middle.split('*') {
        match text.find(piece) {
            Some(at) => text = text.get(at + piece.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    text.ends_with(last)
}

/// SplitMix64 (Steele, Lea, Flood 2014) of the seed and a count: the same plan fails the same requests each time.
fn mixed(seed: u64, count: u64) -> u64 {
    let mut z = seed.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_acts_on_the_requests_that_fit_it() {
        let plan = FaultPlan::parse("put:data/*.parquet@2=enospc; get@2+=fail;list=delay:5").expect("parses");
        let action = |operation: &str, path: &str| plan.visit(operation, path).action;
        assert_eq!(action("put", "w/data/a/b.parquet"), None);
        assert_eq!(action("put", "w/data/a/b.json"), None);
        assert_eq!(plan.idle(), ["put:data/*.parquet@2=enospc", "get@2+=fail", "list=delay:5"]);
        assert_eq!(action("put", "data/c.parquet"), Some(Action::NoSpace));
        assert_eq!(action("put", "data/c.parquet"), None);
        assert_eq!([action("get", "x"), action("get", "x"), action("get", "y")], [None, Some(Action::Fail), Some(Action::Fail)]);
        assert_eq!(plan.idle(), ["list=delay:5"]);
        assert_eq!(action("list", ""), Some(Action::Delay(Duration::from_millis(5))));
    }

    #[tokio::test]
    async fn a_reordered_request_waits_for_one_that_came_later_and_goes_on_when_none_comes() {
        let plan = FaultPlan::default();
        let [earlier, first, later] = [(); 3].map(|()| plan.visit("put", "x"));
        let mut waiting = std::pin::pin!(first.turn.overtaken());
        drop(earlier);
        assert!(futures::poll!(&mut waiting).is_pending());
        drop(later);
        assert!(futures::poll!(&mut waiting).is_ready());
        plan.visit("put", "x").turn.overtaken().await;
    }

    #[test]
    fn a_flag_ends_a_fault() {
        let flag = tempfile::NamedTempFile::new().expect("file");
        let plan = FaultPlan::parse(&format!("put=fail?{}", flag.path().display())).expect("parses");
        assert_eq!(plan.visit("put", "x").action, Some(Action::Fail));
        drop(flag);
        assert_eq!(plan.visit("put", "x").action, None);
    }

    #[test]
    fn the_same_seed_fails_the_same_requests() {
        let run = |text: &str| {
            let plan = FaultPlan::parse(text).expect("parses");
            (0..1000).map(|_| plan.visit("get", "x").action.is_some()).collect::<Vec<_>>()
        };
        assert_eq!(run("seed=7;get@10%=fail"), run("seed=7;get@10%=fail"));
        assert_ne!(run("seed=7;get@10%=fail"), run("seed=8;get@10%=fail"));
        let failed = run("get@10%=fail").into_iter().filter(|failed| *failed).count();
        assert!((50..150).contains(&failed), "{failed}");
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in ["put", "write=fail", "put=explode", "put@x=fail", "put=delay:soon"] {
            assert!(FaultPlan::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn patterns_match_from_a_slash_on() {
        assert!(matches_from_a_slash("*.metadata.json", "a/b/00001-x.metadata.json"));
        assert!(matches_from_a_slash("b/*/d*", "a/b/c/x/dd"));
        assert!(matches_from_a_slash("*", ""));
        assert!(!matches_from_a_slash("b/c", "ab/c"));
        assert!(!matches_from_a_slash("a*a", "a"));
    }
}
