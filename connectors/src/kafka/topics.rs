//! Which topics a source reads, and whether they are still the same.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use regex::Regex;
use weir_base::options::closest;

use super::client::Client;
use super::ffi::{Described, Fault};
use super::options::{Settings, Topics};
use crate::error::ConnectorError;

/// A topic that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Its id, where the broker gives one.
    pub(super) id: Option<String>,
    /// Its partitions.
    pub(super) partitions: Vec<i32>,
}

/// Topics by name.
pub(super) type FoundTopics = BTreeMap<String, Found>;

/// Every topic that the options name, with its partitions now.
///
/// # Errors
/// A named topic that does not exist (user).
pub(super) async fn find(settings: &Settings, client: &Client) -> Result<FoundTopics, ConnectorError> {
    let names = match &settings.topics {
        Topics::Named(names) => names.clone(),
        Topics::Matching(pattern) => all_names(client).await?.into_iter().filter(|name| pattern.is_match(name)).collect(),
    };
    let is_pattern = matches!(settings.topics, Topics::Matching(_));
    let mut found = FoundTopics::new();
    for topic in client.describe_topics(&names).await? {
        match topic.partitions {
            Ok(_) if is_pattern && topic.internal => {}
            Ok(partitions) => {
                found.insert(topic.topic, Found { id: topic.id, partitions });
            }
            // Deleted since the names were listed.
            Err(fault) if is_pattern && is_unknown(&fault) => {}
            Err(fault) if is_unknown(&fault) => return Err(ConnectorError::user(unknown_topic(settings, &topic.topic, &all_names(client).await?))),
            Err(fault) => return Err(client.error(&format!("description of topic '{}'", topic.topic), &fault)),
        }
    }
    Ok(found)
}

fn unknown_topic(settings: &Settings, topic: &str, existing: &[String]) -> String {
    format!("{}: topic '{topic}' does not exist.{} Create it, or correct 'topic'.", settings.object, near(topic, existing))
}

/// A question whether the nearest of the `existing` topics is meant, with a blank before it.
fn near(topic: &str, existing: &[String]) -> String {
    closest(topic, existing.iter().map(String::as_str)).first().map(|name| format!(" Did you mean '{name}'?")).unwrap_or_default()
}

/// Tells that no topic matches the pattern, if there is one.
///
/// # Errors
/// Topics are not looked for again (user).
pub(super) async fn tell_none(settings: &Settings, client: &Client) -> Result<(), ConnectorError> {
    let Topics::Matching(pattern) = &settings.topics else { return Ok(()) };
    let pattern = written(pattern);
    let existing: Vec<String> = all_names(client).await?.into_iter().filter(|name| !name.starts_with("__")).collect();
    // Without its signs a pattern may be near a name.
    let word: String = pattern.chars().filter(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.')).collect();
    let near = near(word.trim_matches('.'), &existing);
    let Some(interval) = settings.discovery else {
        let what =
            format!("no topic matches 'topic-pattern' = '{pattern}'.{near} It must match the whole name of a topic: correct it, or create one.");
        return Err(ConnectorError::user(format!("{}: {what}", settings.object)));
    };
    tracing::warn!(source = settings.object, pattern, near = near.trim_start(), ?interval, "no topic matches 'topic-pattern' yet, looking again");
    Ok(())
}

/// A pattern as it stands in the options.
fn written(pattern: &Regex) -> &str {
    let whole = pattern.as_str();
    whole.strip_prefix("^(?:").and_then(|rest| rest.strip_suffix(")$")).unwrap_or(whole)
}

/// The names of all topics.
async fn all_names(client: &Client) -> Result<Vec<String>, ConnectorError> {
    let metadata = client.metadata(None).await?;
    Ok(metadata.topics().iter().map(|topic| topic.name().to_owned()).collect())
}

/// Whether a topic or partition does not exist.
pub(super) fn is_unknown(fault: &Fault) -> bool {
    matches!(fault.code, RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicId)
}

/// What a look at topics told about the known ones.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    /// They are the same.
    None,
    /// These were not found, which a broker that is not up to date may also say.
    Missing(BTreeSet<String>),
    /// This one is another one.
    Recreated { topic: String, was: String, is: String },
}

fn change(known: &[(String, Option<String>)], described: &[Described]) -> Change {
    let mut missing = BTreeSet::new();
    for (topic, was) in known {
        let Some(found) = described.iter().find(|found| found.topic == *topic && !found.partitions.as_ref().is_err_and(is_unknown)) else {
            missing.insert(topic.clone());
            continue;
        };
        if let (Some(was), Some(is)) = (was, &found.id)
            && was != is
        {
            return Change::Recreated { topic: topic.clone(), was: was.clone(), is: is.clone() };
        }
    }
    if missing.is_empty() { Change::None } else { Change::Missing(missing) }
}

/// What the topics `known` (name and id) are now.
///
/// # Errors
/// One of them is gone or is another one (user); the brokers do not answer (transient).
pub(super) async fn still_there(settings: &Settings, client: &Client, known: &[(String, Option<String>)]) -> Result<Vec<Described>, ConnectorError> {
    const LOOKS: usize = 3;
    const PAUSE: Duration = Duration::from_millis(500);
    let names: Vec<String> = known.iter().map(|(topic, _)| topic.clone()).collect();
    let mut looks = 0;
    loop {
        let described = client.describe_topics(&names).await?;
        looks += 1;
        match change(known, &described) {
            Change::None => return Ok(described),
            Change::Missing(_) if looks < LOOKS => tokio::time::sleep(PAUSE).await,
            Change::Missing(topics) => {
                let topics: Vec<String> = topics.iter().map(|topic| format!("'{topic}'")).collect();
                let what = format!("topic {} was deleted while the job was reading it", topics.join(", "));
                let remedy = "To read a new topic of that name, create it and start a job of another name";
                return Err(ConnectorError::user(format!("{}: {what}. What was committed stays; the job cannot go on. {remedy}.", settings.object)));
            }
            Change::Recreated { topic, was, is } => {
                let why = super::start::NoPosition::Recreated { was, is };
                return Err(ConnectorError::user(super::start::explain(settings, &topic, 0, &why)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(topic: &str, id: Option<&str>, partitions: Result<Vec<i32>, RDKafkaErrorCode>) -> Described {
        let partitions = partitions.map_err(|code| Fault { code, text: code.to_string() });
        Described { topic: topic.to_owned(), id: id.map(str::to_owned), internal: false, partitions }
    }

    #[test]
    fn a_topic_changes_when_it_is_missing_or_has_another_id() {
        let known = [("a".to_owned(), Some("1".to_owned())), ("b".to_owned(), None)];
        let b = described("b", Some("9"), Ok(vec![0]));
        let same = [described("a", Some("1"), Ok(vec![0])), b.clone()];
        assert_eq!(change(&known, &same), Change::None);
        let recreated = [described("a", Some("2"), Ok(vec![0])), b.clone()];
        assert!(matches!(change(&known, &recreated), Change::Recreated { topic, .. } if topic == "a"));
        let gone = [described("a", None, Err(RDKafkaErrorCode::UnknownTopicOrPartition)), b.clone()];
        assert_eq!(change(&known, &gone), Change::Missing(BTreeSet::from(["a".to_owned()])));
        let leaderless = [described("a", Some("1"), Err(RDKafkaErrorCode::LeaderNotAvailable)), b];
        assert_eq!(change(&known, &leaderless), Change::None);
    }
}
