//! The schema of what is written: registered, or looked up, once.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::OnceCell;
use weir_base::Classified as _;

use super::answers::{Language, Numbered};
use super::client::Client;
use crate::error::ConnectorError;

/// How often a registry that is away is asked: about half a minute where it refuses connections, longer where it is silent.
const MOST_ROUNDS: u32 = 10;

/// Where schemas are registered.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) client: Arc<Client>,
    /// What messages call the table.
    pub(super) object: String,
    pub(super) subject: String,
    /// A schema that the subject does not have is registered.
    pub(super) registers: bool,
}

/// A schema to write with.
#[derive(Debug)]
pub(super) struct Registration {
    target: Target,
    language: Language,
    text: String,
    id: OnceCell<u32>,
}

impl Registration {
    /// Nothing is asked yet.
    pub(super) fn new(target: Target, language: Language, text: String) -> Self {
        Self { target, language, text, id: OnceCell::new() }
    }

    /// The id of the schema, once the registry has told it.
    pub(super) fn id(&self) -> Option<u32> {
        self.id.get().copied()
    }

    /// Has the registry tell the id, unless it has.
    ///
    /// # Errors
    /// The registry does not take the schema, or does not have it and it is not to be registered (user); nobody answers (transient).
    pub(super) async fn ensure(self: Arc<Self>) -> Result<(), ConnectorError> {
        self.id.get_or_try_init(|| self.ask()).await.map(|_id| ())
    }

    async fn ask(&self) -> Result<u32, ConnectorError> {
        let Target { client, object, subject, registers } = &self.target;
        // Registries that know nothing but Avro do not know the word either.
        let body = match self.language {
            Language::Avro => json!({ "schema": self.text }),
            language => json!({ "schema": self.text, "schemaType": language.key() }),
        };
        let registering = ["subjects", subject.as_str(), "versions"];
        // A registry gives the id of a schema that the subject has already; to be asked twice changes nothing.
        let (segments, action) = if *registers { (3, "registered") } else { (2, "looked up") };
        let path = registering.get(..segments).unwrap_or_default();
        let asked = client.post::<Numbered>(path, &body.to_string(), MOST_ROUNDS).await;
        let asked = asked.map_err(|error| {
            let what = format!("{object}: the schema of subject '{subject}' cannot be {action}: {error}");
            ConnectorError::new(error.kind(), what).with_source(error)
        })?;
        let Numbered { id } = asked.map_err(|words| {
            let registry = client.name();
            let remedy = format!("Register it, or leave out 'properties.auto.register.schemas': {}", self.text);
            ConnectorError::user(format!("{object}: schema registry `{registry}`: subject '{subject}' does not have the schema: {words}. {remedy}"))
        })?;
        tracing::info!(table = object, subject, schema = id, registers, "schema of the registry to write with");
        Ok(id)
    }
}
