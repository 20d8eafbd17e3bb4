//! What a registry has said of ids: kept for all readers of a table, and asked for once.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use weir_base::task::blocking;

use super::answers::{Language, Place, Reference, Registered};
use super::client::Client;
use crate::error::ConnectorError;
use crate::format::{avro, protobuf};

/// Ids that are remembered; when there are more, all are forgotten and asked for again as they come.
const MOST_IDS: usize = 10_000;
/// How long an id stays unknown: a registry that lags behind a producer gets it soon.
const UNKNOWN_FOR: Duration = Duration::from_secs(60);
/// The most schemas that one schema may refer to, directly or not.
const MOST_REFERENCES: usize = 256;

/// The schemas of a registry that messages of one table name.
#[derive(Debug)]
pub(super) struct Schemas {
    client: Arc<Client>,
    language: Language,
    known: Mutex<HashMap<u32, Known>>,
    /// Held by who asks, so that an id is asked for once.
    asking: tokio::sync::Mutex<()>,
}

/// What is known of an id.
#[derive(Debug, Clone)]
pub(super) enum Known {
    Schema(Arc<Schema>),
    /// The registry does not know it, in its words, and need not be asked again before a time.
    Unknown(String, Instant),
}

/// A schema that was read.
#[derive(Debug)]
pub(super) struct Schema {
    /// What messages call it: `schema 7 (subject 'orders-value' version 2)`.
    pub(super) name: String,
    /// What it says, or why it cannot be read.
    pub(super) parsed: Result<Parsed, String>,
}

/// What a schema says, in its language.
#[derive(Debug)]
pub(super) enum Parsed {
    Avro(avro::Type),
    /// Messages describe themselves.
    Json,
    Protobuf(Arc<protobuf::Compiled>),
}

impl Schemas {
    /// Nothing is known yet; schemas of other languages are not read.
    pub(super) fn new(client: Arc<Client>, language: Language) -> Self {
        Self { client, language, known: Mutex::default(), asking: tokio::sync::Mutex::new(()) }
    }

    /// What is known of `id`.
    pub(super) fn known(&self, id: u32) -> Option<Known> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        known.filter(|known| !matches!(known, Known::Unknown(_, until) if *until <= Instant::now()))
    }

    /// Asks the registry for `id`, unless it has said something of it meanwhile.
    ///
    /// # Errors
    /// The registry will not answer, or is none (user).
    pub(super) async fn ask(self: Arc<Self>, id: u32) -> Result<(), ConnectorError> {
        let _asking = self.asking.lock().await;
        if self.known(id).is_some() {
            return Ok(());
        }
        let number = id.to_string();
        let known = match self.client.get::<Registered>(&["schemas", "ids", &number]).await? {
            Err(words) => Known::Unknown(words, Instant::now() + UNKNOWN_FOR),
            Ok(registered) => {
                let places: Option<Vec<Place>> = self.client.glance(&["schemas", "ids", &number, "versions"]).await;
                let name = match places.unwrap_or_default().first() {
                    Some(Place { subject, version }) => format!("schema {id} (subject '{subject}' version {version})"),
                    None => format!("schema {id}"),
                };
                let parsed = self.read(registered).await?;
                tracing::debug!(schema = name, unreadable = parsed.as_ref().err(), "schema of the registry");
                Known::Schema(Arc::new(Schema { name, parsed }))
            }
        };
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_IDS {
            all.clear();
        }
        all.insert(id, known);
        Ok(())
    }

    async fn read(&self, registered: Registered) -> Result<Result<Parsed, String>, ConnectorError> {
        let (found, wanted) = (registered.language, self.language);
        if found != wanted {
            return Ok(Err(format!("it is a schema of {}, not of {}", found.name(), wanted.name())));
        }
        let references = match self.references(&registered.references).await? {
            Ok(references) => references,
            Err(why) => return Ok(Err(why)),
        };
        let parsed = blocking("schema of a registry", move || parse(wanted, &registered.text, references)).await;
        let parsed = parsed.map_err(|error| ConnectorError::internal("reading of a schema stopped").with_source(error))?;
        Ok(parsed.map_err(|why| format!("it is no schema of {} that can be read: {why}", wanted.name())))
    }

    /// The schemas that are referred to, under the names by which they are, each behind those that it refers to itself.
    async fn references(&self, direct: &[Reference]) -> Result<Result<Vec<(String, String)>, String>, ConnectorError> {
        let (mut seen, mut ordered) = (HashSet::new(), Vec::new());
        let mut known: HashMap<(String, i64), Registered> = HashMap::new();
        let mut stack: Vec<Step> = direct.iter().rev().cloned().map(Step::Enter).collect();
        while let Some(step) = stack.pop() {
            let reference = match step {
                Step::Enter(reference) => reference,
                Step::Leave(name, text) => {
                    ordered.push((name, text));
                    continue;
                }
            };
            // One that is met again is there already, or refers to itself.
            if !seen.insert(reference.clone()) {
                continue;
            }
            if seen.len() > MOST_REFERENCES {
                return Ok(Err(format!("it refers to more than {MOST_REFERENCES} schemas")));
            }
            let Reference { name, subject, version } = reference;
            let registered = match known.entry((subject, version)) {
                Entry::Occupied(registered) => registered.into_mut(),
                Entry::Vacant(place) => {
                    let found = self.client.get(&["subjects", &place.key().0, "versions", &version.to_string()]).await?;
                    match found {
                        Ok(registered) => place.insert(registered),
                        Err(words) => return Ok(Err(format!("it refers to version {version} of subject '{}': {words}", place.key().0))),
                    }
                }
            };
            stack.push(Step::Leave(name, registered.text.clone()));
            stack.extend(registered.references.iter().rev().cloned().map(Step::Enter));
        }
        Ok(Ok(ordered))
    }
}

/// A step of the way through references.
enum Step {
    Enter(Reference),
    /// All that it refers to is there: its name and its text.
    Leave(String, String),
}

/// What a schema of `language` says, with those that it refers to.
fn parse(language: Language, text: &str, references: Vec<(String, String)>) -> Result<Parsed, String> {
    match language {
        Language::Json => Ok(Parsed::Json),
        Language::Protobuf => protobuf::compile(text, references).map(|compiled| Parsed::Protobuf(Arc::new(compiled))),
        Language::Avro | Language::Other => {
            // What is referred to under two names defines its types once.
            let mut seen = HashSet::new();
            let texts: Vec<String> = references.into_iter().map(|(_, text)| text).filter(|text| seen.insert(text.clone())).collect();
            avro::parse(text, &texts).map(Parsed::Avro)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::registry::client::Settings;

    #[test]
    fn an_unknown_id_is_asked_for_again_after_a_while() {
        let schemas = Schemas::new(Arc::new(Client::new(Settings::of(Vec::new())).expect("a client")), Language::Avro);
        let soon = Instant::now() + Duration::from_secs(3600);
        schemas.known.lock().expect("lock").extend([(1, Known::Unknown(String::new(), soon)), (2, Known::Unknown(String::new(), Instant::now()))]);
        assert!(schemas.known(1).is_some() && schemas.known(2).is_none());
    }
}
