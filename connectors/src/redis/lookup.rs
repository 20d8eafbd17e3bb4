//! Rows by key.

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray};
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use datafusion::logical_expr::Expr;
use redis::{Cmd, Value, cmd};
use weir_fs::FileSystems;

use super::connection::{Keyed, Server};
use super::load;
use super::rows::{Asked, RowMaker};
use super::shape::{Place, Shape};
use super::values::key_texts;
use crate::error::ConnectorError;
use crate::lookup::{Ability, Charge, Found, Keys, Load, Lookup, Newest};

/// The most keys of one request.
const MOST_KEYS: usize = 16_384;

/// What the connector can do.
pub(super) const ABILITY: Ability = Ability { most_keys: MOST_KEYS, can_load: true, watch: None };

/// A table over keys of Redis.
#[derive(Debug, Clone)]
pub(super) struct RedisLookup {
    pub(super) server: Arc<Server>,
    pub(super) shape: Shape,
    /// The columns that were declared.
    pub(super) schema: SchemaRef,
    pub(super) maker: Arc<RowMaker>,
    file_systems: FileSystems,
}

impl RedisLookup {
    pub(super) fn new(server: Arc<Server>, shape: Shape, schema: SchemaRef, file_systems: &FileSystems) -> Self {
        let maker = Arc::new(RowMaker::new(server.table.clone(), shape.clone(), Arc::clone(&schema), file_systems));
        Self { server, shape, schema, maker, file_systems: file_systems.clone() }
    }

    /// What lies under keys.
    async fn values(&self, keys: &BinaryArray, fields: Option<&BinaryArray>) -> Result<Vec<Value>, ConnectorError> {
        let values = match (self.shape.place, fields) {
            (Place::Text, _) if !self.server.is_cluster() => self.texts(keys).await?,
            (Place::Field, Some(fields)) => {
                let commands = keyed("HGET", keys.iter().flatten()).into_iter().zip(fields.iter().flatten());
                let commands = commands.map(|(keyed, field)| with(keyed, |command| command.arg(field)));
                self.server.ask_all(&commands.collect::<Vec<_>>()).await?
            }
            (Place::Field, None) => self.server.ask_all(&keyed("HGETALL", keys.iter().flatten())).await?,
            (Place::Hash, _) => {
                let names: Vec<&str> = self.schema.fields().iter().skip(1).map(|field| field.name().as_str()).collect();
                let commands = keyed("HMGET", keys.iter().flatten()).into_iter().map(|keyed| with(keyed, |command| command.arg(&names)));
                self.server.ask_all(&commands.collect::<Vec<_>>()).await?
            }
            _ => self.server.ask_all(&keyed("GET", keys.iter().flatten())).await?,
        };
        for (key, value) in keys.iter().zip(&values) {
            if let Value::ServerError(error) = value {
                return Err(self.refused(key.unwrap_or_default(), error));
            }
        }
        Ok(values)
    }

    /// The strings under keys, with one command. It gives nothing for a key that holds something else, which is not the same as no key.
    async fn texts(&self, keys: &BinaryArray) -> Result<Vec<Value>, ConnectorError> {
        let answer = self.server.ask(&of_keys("MGET", keys.iter().flatten())).await?;
        let Value::Array(mut values) = answer else { return Err(ConnectorError::internal("MGET gave no list")) };
        let empty = keys.iter().flatten().zip(&mut values).filter(|(_, value)| **value == Value::Nil);
        let (empty, slots): (Vec<&[u8]>, Vec<&mut Value>) = empty.unzip();
        if empty.is_empty() || self.server.ask(&of_keys("EXISTS", empty.iter().copied())).await? == Value::Int(0) {
            return Ok(values);
        }
        // Rare: one of them holds something else, or was written just now. GET tells.
        for (slot, value) in slots.into_iter().zip(self.server.ask_all(&keyed("GET", &empty)).await?) {
            *slot = value;
        }
        Ok(values)
    }

    fn refused(&self, key: &[u8], error: &redis::ServerError) -> ConnectorError {
        if error.code() == "WRONGTYPE" {
            let wanted = if self.shape.place == Place::Text { "a string" } else { "a hash" };
            let (table, key) = (&self.server.table, String::from_utf8_lossy(key));
            return ConnectorError::user(format!("Table '{table}': key '{key}' does not hold {wanted}, which 'command' asks for"));
        }
        self.server.error_at(key, error.clone().into())
    }

    /// The rows of keys, given as the first columns; without the field of a hash, all of its fields.
    pub(super) async fn found(&self, keys: &[ArrayRef]) -> Result<Found, ConnectorError> {
        let (Some(first), field) = (keys.first(), keys.get(1)) else { return Err(ConnectorError::internal("a request without keys")) };
        let texts = key_texts(&self.shape.prefix, first)?;
        let fields = field.map(|field| key_texts("", field)).transpose()?;
        self.maker.prepare().await?;
        let answers = self.values(&texts, fields.as_ref()).await?;
        self.maker.found(&Asked { values: keys, texts: &texts }, &answers).await
    }
}

/// A command for each key.
pub(super) fn keyed(command: &str, keys: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Vec<Keyed> {
    let one = |key: &[u8]| Keyed { key: key.to_vec(), command: cmd(command).arg(key).to_owned() };
    keys.into_iter().map(|key| one(key.as_ref())).collect()
}

/// A command for all keys.
fn of_keys<'k>(name: &str, keys: impl Iterator<Item = &'k [u8]>) -> Cmd {
    let mut command = cmd(name);
    keys.for_each(|key| {
        command.arg(key);
    });
    command
}

fn with(mut keyed: Keyed, put: impl for<'c> FnOnce(&'c mut Cmd) -> &'c mut Cmd) -> Keyed {
    put(&mut keyed.command);
    keyed
}

#[async_trait]
impl Lookup for RedisLookup {
    fn schema(&self) -> SchemaRef {
        self.maker.given()
    }

    /// All that is under a key is fetched, which tells whether there is a row, and what is wanted is decoded.
    fn narrowed(&self, columns: &[usize], _filters: &[Expr]) -> Arc<dyn Lookup> {
        Arc::new(Self { maker: Arc::new(self.maker.narrowed(columns, &self.file_systems)), ..self.clone() })
    }

    fn keys(&self, equal: &[usize]) -> Result<Vec<usize>, String> {
        let key = (0..self.shape.key_columns()).filter_map(|column| self.maker.place(column));
        let wanted: Vec<usize> = key.filter(|column| equal.contains(column)).collect();
        if self.maker.place(0).is_some_and(|first| wanted.first() == Some(&first)) {
            return Ok(wanted);
        }
        let name = self.schema.fields().first().map(|field| field.name().clone()).unwrap_or_default();
        Err(format!("Redis finds rows by '{name}', its key, and the condition of the join does not compare that with '='."))
    }

    async fn get(&self, keys: &Keys) -> Result<Found, ConnectorError> {
        self.found(&keys.values).await
    }

    async fn load(&self, parallelism: usize, _known: Option<&str>, charge: Charge) -> Result<Newest, ConnectorError> {
        Ok(Newest::Rows(Load { version: None, rows: load::all(self.clone(), parallelism, charge).await?, skipped: None }))
    }
}
