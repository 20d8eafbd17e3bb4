//! What a checkpoint, a claim and a write intent say, and how they stand in JSON.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use weir_connectors::sink::{Gap, SinkCommit};
use weir_connectors::source::Cuts;
use weir_fs::aliases::AliasBinding;

/// The version that this build writes, and the only one it reads.
const VERSION: u32 = 1;

/// The durable record of one epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    version: u32,
    /// Job name.
    pub(crate) job: String,
    /// Epoch.
    pub(crate) epoch: u64,
    /// The attempt that wrote it.
    pub(crate) attempt: String,
    /// When it was written, for people.
    pub(crate) time: DateTime<Utc>,
    /// Cut of each source after the epoch, topic ids in it.
    pub(crate) cuts: Cuts,
    /// Every sink of the job.
    pub(crate) sinks: BTreeMap<String, SinkRecord>,
    /// What the aliases in its paths were bound to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) aliases: Vec<AliasBinding>,
}

/// What a checkpoint knows of one sink, its own commit counted as done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct SinkRecord {
    /// The target's name, to tell it before the job is planned.
    pub(crate) target: String,
    /// Identity of the target; `None` for a sink without a committer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) incarnation: Option<String>,
    /// Epoch of the last commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_epoch: Option<u64>,
    /// What the last commit reached: the sink takes nothing before it.
    pub(crate) reached: Cuts,
    /// Stretches after that which the sink is not given; its next commit tells them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) gaps: Vec<Gap>,
    /// This epoch's commit, if the sink had rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) commit: Option<SinkCommit>,
}

/// What is found under an epoch's name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Entry {
    /// A durable checkpoint.
    Checkpoint(Box<Checkpoint>),
    /// The name was taken by a recovering process, so that nobody writes a checkpoint there.
    Claim {
        /// Its attempt.
        attempt: String,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimBody {
    claim: String,
}

/// A path as the checkpoint directory keeps it: as sinks name their files, with the alias, whatever that is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct StoredPath(String);

impl StoredPath {
    pub(crate) fn from_uri(uri: &str) -> Self {
        Self(uri.to_owned())
    }

    pub(crate) fn into_uri(self) -> String {
        self.0
    }
}

/// Files that an attempt is about to create.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Intent {
    version: u32,
    /// Sink whose committer can delete them.
    pub(crate) sink: String,
    /// The files.
    pub(crate) paths: Vec<StoredPath>,
}

impl Intent {
    pub(crate) fn new(sink: &str, uris: &[String]) -> Self {
        Self { version: VERSION, sink: sink.to_owned(), paths: uris.iter().map(|uri| StoredPath::from_uri(uri)).collect() }
    }

    /// Reads an intent; the error says what is wrong with it.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let intent: Self = decode_versioned(bytes)?;
        Ok(intent)
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, String> {
        serde_json::to_vec(self).map_err(|error| error.to_string())
    }
}

impl Checkpoint {
    /// A checkpoint of this version, written now.
    pub(crate) fn new(job: &str, epoch: u64, attempt: &str, cuts: Cuts, sinks: BTreeMap<String, SinkRecord>) -> Self {
        Self { version: VERSION, job: job.to_owned(), epoch, attempt: attempt.to_owned(), time: Utc::now(), cuts, sinks, aliases: Vec::new() }
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, String> {
        serde_json::to_vec_pretty(self).map_err(|error| error.to_string())
    }
}

impl Entry {
    /// The attempt that wrote it.
    pub(crate) fn attempt(&self) -> &str {
        match self {
            Self::Checkpoint(checkpoint) => &checkpoint.attempt,
            Self::Claim { attempt } => attempt,
        }
    }

    /// Reads what lies under `epoch` of `job`; the error says what is wrong with it.
    pub(crate) fn decode(bytes: &[u8], job: &str, epoch: u64) -> Result<Self, String> {
        if let Ok(body) = serde_json::from_slice::<ClaimBody>(bytes) {
            return Ok(Self::Claim { attempt: body.claim });
        }
        let checkpoint: Checkpoint = decode_versioned(bytes)?;
        if checkpoint.job != job {
            return Err(format!("it belongs to job '{}', not to '{job}'", checkpoint.job));
        }
        if checkpoint.epoch != epoch {
            return Err(format!("it holds epoch {}, but its name says {epoch}", checkpoint.epoch));
        }
        Ok(Self::Checkpoint(Box::new(checkpoint)))
    }
}

/// The body of a claim.
pub(crate) fn encode_claim(attempt: &str) -> Result<Vec<u8>, String> {
    serde_json::to_vec(&ClaimBody { claim: attempt.to_owned() }).map_err(|error| error.to_string())
}

fn decode_versioned<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| format!("it is not JSON ({error})"))?;
    match value.get("version").and_then(serde_json::Value::as_u64) {
        Some(version) if version == u64::from(VERSION) => serde_json::from_value(value).map_err(|error| format!("it is malformed ({error})")),
        Some(version) => Err(format!("its version is {version}, this build of Weir reads version {VERSION}")),
        None => Err("it has no version and is no file of Weir".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use weir_connectors::sink::{Committable, GapReason};
    use weir_connectors::source::{Cut, SplitId, SplitPosition};

    use super::*;

    fn checkpoint() -> Checkpoint {
        let cut: Cut = [(SplitId("t/0".into()), SplitPosition { offset: 7, incarnation: Some("topic-id".into()) })].into();
        let cuts: Cuts = [("orders".to_owned(), cut)].into();
        let commit = SinkCommit {
            incarnation: "u1".into(),
            commit_id: -5,
            previous_epoch: Some(3),
            from: cuts.clone(),
            to: cuts.clone(),
            gaps: vec![Gap { source: "orders".into(), split: SplitId("t/0".into()), from: 1, to: 2, why: GapReason::Lost }],
            committables: vec![Committable { payload: serde_json::json!({"path": "file:///a"}), rows: 2, bytes: 9 }],
        };
        let sink = SinkRecord {
            target: "lake.s.t".into(),
            incarnation: Some("u1".into()),
            last_epoch: Some(4),
            reached: cuts.clone(),
            gaps: Vec::new(),
            commit: Some(commit),
        };
        Checkpoint::new("job", 4, "a1", cuts, [("t".to_owned(), sink)].into())
    }

    #[test]
    fn a_checkpoint_is_read_back_as_written() {
        let written = checkpoint();
        let bytes = written.encode().expect("encodes");
        assert_eq!(Entry::decode(&bytes, "job", 4), Ok(Entry::Checkpoint(Box::new(written))));
    }

    #[test]
    fn a_claim_is_not_taken_for_a_checkpoint() {
        let bytes = encode_claim("a9").expect("encodes");
        assert_eq!(Entry::decode(&bytes, "job", 4), Ok(Entry::Claim { attempt: "a9".into() }));
    }

    #[test]
    fn what_is_not_ours_is_refused_with_the_reason() {
        let bytes = checkpoint().encode().expect("encodes");
        let text = String::from_utf8(bytes.clone()).expect("text");
        let reason = |bytes: &[u8], job: &str, epoch| Entry::decode(bytes, job, epoch).expect_err("refused");
        assert!(reason(&bytes, "other", 4).contains("belongs to job 'job'"));
        assert!(reason(&bytes, "job", 5).contains("holds epoch 4"));
        assert!(reason(text.replace("\"version\": 1", "\"version\": 2").as_bytes(), "job", 4).contains("version is 2"));
        assert!(reason(&bytes[..bytes.len() / 2], "job", 4).contains("not JSON"));
        assert!(reason(b"{}", "job", 4).contains("no version"));
        assert!(reason(text.replace("\"attempt\"", "\"other\"").as_bytes(), "job", 4).contains("malformed"));
    }
}
