//! Rows by key, and whole tables.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::SchemaRef;
use arrow_select::take::take;
use async_trait::async_trait;
use futures::{StreamExt, stream};
use redis::{Cmd, Value, cmd};

use super::connection::{Keyed, Server};
use super::options::{Settings, Topology};
use super::shape::{Place, SEPARATOR, Shape};
use super::values::{Origin, column, key_texts};
use crate::error::ConnectorError;
use crate::lookup::{Ability, Found, Keys, Lookup, Rows};

/// The most keys of one request.
const MOST_KEYS: usize = 16_384;
/// Keys that one step of reading a whole table asks for.
const SCAN_COUNT: usize = 1_000;

/// What the connector can do; `None`: where it connects to is not known.
pub(super) fn ability(settings: Option<&Settings>) -> Ability {
    let is_cluster = settings.is_some_and(|settings| matches!(settings.topology, Topology::Cluster(_)));
    Ability { most_keys: MOST_KEYS, can_load: !is_cluster }
}

/// A table over keys of Redis.
#[derive(Debug, Clone)]
pub(super) struct RedisLookup {
    server: Arc<Server>,
    shape: Shape,
    schema: SchemaRef,
}

impl RedisLookup {
    pub(super) fn new(server: Arc<Server>, shape: Shape, schema: SchemaRef) -> Self {
        Self { server, shape, schema }
    }

    fn user(&self, what: impl std::fmt::Display) -> ConnectorError {
        ConnectorError::user(format!("Table '{}': {what}", self.server.table))
    }

    /// What lies under keys.
    async fn values(&self, keys: &[Vec<u8>], fields: Option<&[Vec<u8>]>) -> Result<Vec<Value>, ConnectorError> {
        let values = match (self.shape.place, fields) {
            (Place::Text, _) if !self.server.is_cluster() => self.texts(keys).await?,
            (Place::Text, _) => self.server.ask_all(&keyed(keys, |_| cmd("GET"), |command, key| command.arg(key))).await?,
            (Place::Field, Some(fields)) => {
                let commands = keyed(keys, |_| cmd("HGET"), |command, key| command.arg(key));
                let commands: Vec<Keyed> = commands.into_iter().zip(fields).map(|(keyed, field)| with_arg(keyed, field)).collect();
                self.server.ask_all(&commands).await?
            }
            (Place::Field, None) => self.server.ask_all(&keyed(keys, |_| cmd("HGETALL"), |command, key| command.arg(key))).await?,
            (Place::Hash, _) => {
                let names: Vec<&str> = self.schema.fields().iter().skip(1).map(|field| field.name().as_str()).collect();
                self.server.ask_all(&keyed(keys, |_| cmd("HMGET"), |command, key| command.arg(key).arg(&names))).await?
            }
        };
        for (key, value) in keys.iter().zip(&values) {
            if let Value::ServerError(error) = value {
                return Err(self.refused(key, error).await);
            }
        }
        Ok(values)
    }

    /// The strings under keys, with one command. It gives nothing for a key that holds something else, which is not the same as no key.
    async fn texts(&self, keys: &[Vec<u8>]) -> Result<Vec<Value>, ConnectorError> {
        let answer = self.server.ask(cmd("MGET").arg(keys)).await?;
        let Value::Array(values) = answer else { return Err(ConnectorError::internal("MGET gave no list")) };
        let empty: Vec<&Vec<u8>> = keys.iter().zip(&values).filter(|(_, value)| **value == Value::Nil).map(|(key, _)| key).collect();
        if empty.is_empty() || self.server.ask(cmd("EXISTS").arg(&empty)).await? == Value::Int(0) {
            return Ok(values);
        }
        // Rare: one of them holds something else, or was written just now. GET tells.
        let again: Vec<Vec<u8>> = empty.into_iter().cloned().collect();
        let values_again = self.server.ask_all(&keyed(&again, |_| cmd("GET"), |command, key| command.arg(key))).await?;
        let mut again = values_again.into_iter();
        Ok(values.into_iter().map(|value| if value == Value::Nil { again.next().unwrap_or(Value::Nil) } else { value }).collect())
    }

    async fn refused(&self, key: &[u8], error: &redis::ServerError) -> ConnectorError {
        if error.code() == "WRONGTYPE" {
            let wanted = if self.shape.place == Place::Text { "a string" } else { "a hash" };
            return self.user(format!("key '{}' does not hold {wanted}, which 'command' asks for", String::from_utf8_lossy(key)));
        }
        self.server.failed(error.clone().into()).await
    }

    /// The rows of values: for each row the number of its key, its field if it has one, and its values.
    fn rows<'a>(&self, values: &'a [Value], with_fields: bool) -> Result<Vec<Row<'a>>, ConnectorError> {
        let mut rows = Vec::with_capacity(values.len());
        for (number, value) in values.iter().enumerate() {
            match (value, self.shape.place) {
                (Value::Nil, _) => {}
                (Value::Array(pairs), Place::Field) if !with_fields => {
                    for pair in pairs.chunks(2) {
                        if let [field, value] = pair {
                            rows.push(Row { number, field: bytes(field), values: self.split(bytes(value).unwrap_or_default(), number)? });
                        }
                    }
                }
                (Value::Map(pairs), Place::Field) if !with_fields => {
                    for (field, value) in pairs {
                        rows.push(Row { number, field: bytes(field), values: self.split(bytes(value).unwrap_or_default(), number)? });
                    }
                }
                (Value::Array(values), Place::Hash) => {
                    // Of a hash that has none of the fields, or of no hash, nothing is known.
                    if values.iter().any(|value| *value != Value::Nil) {
                        rows.push(Row { number, field: None, values: values.iter().map(bytes).collect() });
                    }
                }
                (value, _) => {
                    let text = bytes(value).ok_or_else(|| ConnectorError::internal("an answer of an unknown kind"))?;
                    rows.push(Row { number, field: None, values: self.split(text, number)? });
                }
            }
        }
        Ok(rows)
    }

    /// The values of the columns behind the key, of one text.
    fn split<'a>(&self, text: &'a [u8], number: usize) -> Result<Vec<Option<&'a [u8]>>, ConnectorError> {
        if !self.shape.is_row {
            return Ok(vec![Some(text)]);
        }
        let parts: Vec<_> = text.split(|byte| *byte == SEPARATOR).collect();
        let columns = self.schema.fields().len();
        if parts.len() != columns {
            return Err(self.user(format!("the value of key {number} of a request has {} columns, and the table {columns}", parts.len())));
        }
        // A row that was written with an empty text where a column is NULL cannot be told from one with an empty text.
        Ok(parts.into_iter().skip(self.shape.key_columns()).map(Some).collect())
    }

    /// A batch of rows whose keys are those of `keys` at their numbers.
    fn batch(&self, keys: &[ArrayRef], texts: &[Vec<u8>], rows: &[Row<'_>]) -> Result<RecordBatch, ConnectorError> {
        let internal = |error| ConnectorError::internal(format!("Table '{}': rows that do not fit", self.server.table)).with_source(error);
        let numbers = UInt32Array::from_iter_values(rows.iter().map(|row| row.number as u32));
        let name = |row: usize| {
            let key = rows.get(row).and_then(|row| texts.get(row.number)).map(|key| String::from_utf8_lossy(key));
            key.unwrap_or_default().into_owned()
        };
        let origin = Origin { table: &self.server.table, key: &name };
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for key in keys {
            columns.push(take(key, &numbers, None).map_err(internal)?);
        }
        let fields = self.schema.fields();
        if columns.len() < self.shape.key_columns()
            && let Some(field) = fields.get(columns.len())
        {
            let texts: Vec<_> = rows.iter().map(|row| row.field).collect();
            columns.push(column(&texts, field, &origin)?);
        }
        for (index, field) in fields.iter().skip(self.shape.key_columns()).enumerate() {
            let texts: Vec<_> = rows.iter().map(|row| row.values.get(index).copied().flatten()).collect();
            columns.push(column(&texts, field, &origin)?);
        }
        RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(internal)
    }

    /// The rows of keys, given as the first columns; without the field of a hash, all of its fields.
    async fn found(&self, keys: &[ArrayRef]) -> Result<Found, ConnectorError> {
        let (Some(first), field) = (keys.first(), keys.get(1)) else { return Err(ConnectorError::internal("a request without keys")) };
        let texts = key_texts(&self.shape.prefix, first)?;
        let fields = field.map(|field| key_texts("", field)).transpose()?;
        let values = self.values(&texts, fields.as_deref()).await?;
        let rows = self.rows(&values, fields.is_some())?;
        Ok(Found { rows: self.batch(keys, &texts, &rows)?, keys: rows.iter().map(|row| row.number as u32).collect() })
    }

    /// One step through all keys: the rows, and where to go on. Redis may give a key several times; `seen` are those that it has given.
    async fn scan(&self, cursor: u64, seen: &mut HashSet<Vec<u8>>) -> Result<(RecordBatch, u64), ConnectorError> {
        let kind = if self.shape.place == Place::Text { "string" } else { "hash" };
        let mut command = cmd("SCAN");
        command.arg(cursor).arg("MATCH").arg([escaped(&self.shape.prefix).as_bytes(), b"*"].concat());
        command.arg("COUNT").arg(SCAN_COUNT).arg("TYPE").arg(kind);
        let answer = self.server.ask(&command).await?;
        let internal = || ConnectorError::internal("SCAN gave something else");
        let Value::Array(parts) = answer else { return Err(internal()) };
        let [next, Value::Array(keys)] = parts.as_slice() else { return Err(internal()) };
        let next = bytes(next).and_then(|next| str::from_utf8(next).ok()).and_then(|next| next.parse().ok()).ok_or_else(internal)?;
        let new = keys.iter().filter_map(bytes).filter(|key| seen.insert(key.to_vec()));
        let suffixes: Vec<Option<&[u8]>> = new.map(|key| key.get(self.shape.prefix.len()..)).collect();
        let Some(field) = self.schema.fields().first() else { return Err(internal()) };
        let origin = Origin { table: &self.server.table, key: &|row| format!("number {row} of a scan") };
        let column = column(&suffixes, field, &origin)?;
        if suffixes.is_empty() {
            return Ok((RecordBatch::new_empty(Arc::clone(&self.schema)), next));
        }
        Ok((self.found(&[column]).await?.rows, next))
    }
}

/// A row of the answer to a request.
struct Row<'a> {
    /// Number of its key.
    number: usize,
    /// The field of a hash, if it was not asked for.
    field: Option<&'a [u8]>,
    /// The columns behind the key.
    values: Vec<Option<&'a [u8]>>,
}

fn keyed(keys: &[Vec<u8>], command: impl Fn(&[u8]) -> Cmd, put: impl for<'c> Fn(&'c mut Cmd, &[u8]) -> &'c mut Cmd) -> Vec<Keyed> {
    let one = |key: &Vec<u8>| {
        let mut command = command(key);
        put(&mut command, key);
        Keyed { key: key.clone(), command }
    };
    keys.iter().map(one).collect()
}

fn with_arg(mut keyed: Keyed, argument: &[u8]) -> Keyed {
    keyed.command.arg(argument);
    keyed
}

fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.as_bytes()),
        _ => None,
    }
}

/// A text that a pattern of Redis matches literally.
fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') { vec!['\\', c] } else { vec![c] }).collect()
}

#[async_trait]
impl Lookup for RedisLookup {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn keys(&self, equal: &[usize]) -> Result<Vec<usize>, String> {
        let wanted: Vec<usize> = (0..self.shape.key_columns()).filter(|column| equal.contains(column)).collect();
        if wanted.first() == Some(&0) {
            return Ok(wanted);
        }
        let name = self.schema.fields().first().map(|field| field.name().clone()).unwrap_or_default();
        Err(format!("Redis finds rows by '{name}', its key, and the condition of the join does not compare that with '='."))
    }

    async fn get(&self, keys: &Keys) -> Result<Found, ConnectorError> {
        self.found(&keys.values).await
    }

    async fn load(&self, _parallelism: usize) -> Result<Rows, ConnectorError> {
        // A scan is one cursor: more readers would read the same.
        let table = self.clone();
        let steps = stream::try_unfold((table, Some(0), HashSet::new()), |(table, cursor, mut seen)| async move {
            let Some(cursor) = cursor else { return Ok(None) };
            let (rows, next) = table.scan(cursor, &mut seen).await?;
            Ok(Some((rows, (table, (next != 0).then_some(next), seen))))
        });
        Ok(steps.boxed())
    }
}
