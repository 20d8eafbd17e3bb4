//! Fail points: named places at which a test kills, fails or delays the process.
//!
//! They exist only in builds with debug assertions, and do nothing unless `WEIR_FAIL` is set. Its form is
//! `name[@nth]=action[;…]`: at the `nth` visit (from 1, default 1) of `name` do `kill` (SIGKILL to this process), `error` (the caller
//! fails), `abort-answer` (the caller behaves as if the answer of a call that succeeded was lost) or `sleep:<milliseconds>`.
//! `name[@nth]+=action` acts at the nth visit and at every later one.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// What a fail point asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Go on.
    Pass,
    /// Fail as the operation here would fail.
    Fail,
    /// Do the operation, then fail as if its answer never came.
    LoseAnswer,
    /// Wait this long, then go on.
    Sleep(Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Kill,
    Error,
    LoseAnswer,
    Sleep(Duration),
}

#[derive(Debug)]
struct Rule {
    name: String,
    nth: u64,
    onwards: bool,
    action: Action,
}

#[derive(Debug, Default)]
struct Plan {
    rules: Vec<Rule>,
    visits: Mutex<HashMap<String, u64>>,
}

impl Plan {
    fn parse(text: &str) -> Self {
        let rules = text.split(';').filter(|part| !part.trim().is_empty()).filter_map(parse_rule).collect();
        Self { rules, visits: Mutex::default() }
    }

    fn visit(&self, name: &str) -> Option<Action> {
        if !self.rules.iter().any(|rule| rule.name == name) {
            return None;
        }
        let mut visits = self.visits.lock().unwrap_or_else(PoisonError::into_inner);
        let count = visits.entry(name.to_owned()).or_insert(0);
        *count += 1;
        let count = *count;
        self.rules.iter().find(|rule| rule.name == name && (count == rule.nth || (rule.onwards && count > rule.nth))).map(|rule| rule.action)
    }
}

fn parse_rule(text: &str) -> Option<Rule> {
    let (place, action) = text.trim().split_once('=')?;
    let (place, onwards) = place.strip_suffix('+').map_or((place, false), |place| (place, true));
    let (name, nth) = match place.split_once('@') {
        Some((name, nth)) => (name, nth.parse().ok()?),
        None => (place, 1),
    };
    let action = match action.trim() {
        "kill" => Action::Kill,
        "error" => Action::Error,
        "abort-answer" => Action::LoseAnswer,
        other => Action::Sleep(Duration::from_millis(other.strip_prefix("sleep:")?.parse().ok()?)),
    };
    Some(Rule { name: name.trim().to_owned(), nth, onwards, action })
}

fn plan() -> &'static Plan {
    static PLAN: OnceLock<Plan> = OnceLock::new();
    PLAN.get_or_init(|| {
        #[expect(clippy::disallowed_methods, reason = "the fail plan of a test build is read once, here")]
        std::env::var("WEIR_FAIL").map(|text| Plan::parse(&text)).unwrap_or_default()
    })
}

/// Visits the fail point `name`; never returns when the plan says `kill`.
#[must_use]
pub fn hit(name: &str) -> Outcome {
    if !cfg!(debug_assertions) {
        return Outcome::Pass;
    }
    match plan().visit(name) {
        None => Outcome::Pass,
        Some(Action::Error) => Outcome::Fail,
        Some(Action::LoseAnswer) => Outcome::LoseAnswer,
        Some(Action::Sleep(time)) => Outcome::Sleep(time),
        Some(Action::Kill) => {
            tracing::warn!(name, "fail point kills the process");
            if rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).is_err() {
                std::process::abort();
            }
            loop {
                std::thread::park();
            }
        }
    }
}

/// [`hit`], with sleeps waited for here: true means that the caller must fail.
pub async fn fails(name: &str) -> bool {
    match hit(name) {
        Outcome::Pass => false,
        Outcome::Fail | Outcome::LoseAnswer => true,
        Outcome::Sleep(time) => {
            tokio::time::sleep(time).await;
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_acts_at_its_visit_only() {
        let plan = Plan::parse("a@2=error; b=sleep:5;c@2+=abort-answer");
        assert_eq!(plan.visit("a"), None);
        assert_eq!(plan.visit("a"), Some(Action::Error));
        assert_eq!(plan.visit("a"), None);
        assert_eq!(plan.visit("b"), Some(Action::Sleep(Duration::from_millis(5))));
        assert_eq!(plan.visit("c"), None);
        assert_eq!(plan.visit("c"), Some(Action::LoseAnswer));
        assert_eq!(plan.visit("c"), Some(Action::LoseAnswer));
        assert_eq!(plan.visit("unknown"), None);
    }
}
