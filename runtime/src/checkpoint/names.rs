//! Names of objects in a checkpoint directory: `<dir>/<job>/<epoch>.json`, `<epoch>.committed`, `intents/<epoch>-<attempt>-<sink>-<n>.json`.
//!
//! Job and sink names are made safe for every store by [`escape`], so that two of them never share a name.

use weir_base::safe_name::escape;

/// Longest piece of a name; file systems allow 255 bytes.
const SEGMENT: usize = 150;

/// The directory levels of a job. A long name takes several; all but the last end in `=`, which no whole name does.
pub(crate) fn job_segments(job: &str) -> Vec<String> {
    let safe = if job.is_empty() { "=empty".to_owned() } else { escape(job) };
    let mut segments = Vec::new();
    let mut rest = safe.as_str();
    while rest.len() > SEGMENT {
        let (head, tail) = rest.split_at(SEGMENT); // ASCII only
        segments.push(format!("{head}="));
        rest = tail;
    }
    segments.push(rest.to_owned());
    segments
}

/// Object name of an epoch's checkpoint or claim.
pub(crate) fn checkpoint_name(epoch: u64) -> String {
    format!("{epoch:012}.json")
}

/// Object name of an epoch's committed mark.
pub(crate) fn mark_name(epoch: u64) -> String {
    format!("{epoch:012}.committed")
}

/// The epoch of a checkpoint's or claim's name.
pub(crate) fn parse_checkpoint(name: &str) -> Option<u64> {
    parse_epoch(name.strip_suffix(".json")?)
}

/// The epoch of a committed mark's name.
pub(crate) fn parse_mark(name: &str) -> Option<u64> {
    parse_epoch(name.strip_suffix(".committed")?)
}

fn parse_epoch(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Object name of a write intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IntentName {
    /// Epoch whose files it names.
    pub(crate) epoch: u64,
    /// Attempt whose files it names; letters and digits only.
    pub(crate) attempt: String,
    /// The object's name.
    pub(crate) file: String,
}

impl IntentName {
    pub(crate) fn new(epoch: u64, attempt: &str, sink: &str, number: u64) -> Self {
        let file = format!("{epoch:012}-{attempt}-{}-{number}.json", escape(sink));
        Self { epoch, attempt: attempt.to_owned(), file }
    }

    pub(crate) fn parse(file: &str) -> Option<Self> {
        let mut parts = file.strip_suffix(".json")?.splitn(3, '-');
        let (epoch, attempt, _sink) = (parse_epoch(parts.next()?)?, parts.next()?, parts.next()?);
        Some(Self { epoch, attempt: attempt.to_owned(), file: file.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_epochs_are_read_back() {
        assert_eq!(parse_checkpoint(&checkpoint_name(7)), Some(7));
        assert_eq!(parse_mark(&mark_name(u64::MAX)), Some(u64::MAX));
        assert_eq!(parse_checkpoint("7.committed"), None);
        assert_eq!(parse_checkpoint(".json"), None);
        assert_eq!(parse_checkpoint("+7.json"), None);
    }

    #[test]
    fn an_intents_name_tells_its_epoch_and_attempt() {
        let name = IntentName::new(12, "a1b2", "orders-2", 3);
        assert_eq!(IntentName::parse(&name.file), Some(name));
        assert_eq!(IntentName::parse("readme.json"), None);
    }

    proptest! {
        #[test]
        fn two_jobs_never_share_a_directory(left in ".{0,400}", right in ".{0,400}") {
            let (a, b) = (job_segments(&left), job_segments(&right));
            prop_assert_eq!(left == right, a == b);
            prop_assert!(a.iter().all(|segment| segment.len() <= SEGMENT + 1 && !segment.contains(['/', '.'])));
        }
    }
}
