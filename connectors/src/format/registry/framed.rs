//! The header of a message, and the reader that its schema makes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use arrow_schema::Fields;

use super::formats::Dialect;
use super::schemas::{Known, Schemas};
use crate::format::Wanted;
use crate::format::columns::{Context, Fault, Rows};
use crate::format::decoder::ReadRow;

/// Readers that are kept for ids that come again; when there are more, all but the one in use are made anew.
const MOST_READERS: usize = 256;

/// Reads messages with a header, into the columns that it was made for.
#[derive(Debug)]
pub(super) struct Framed {
    schemas: Arc<Schemas>,
    dialect: Arc<Dialect>,
    columns: Fields,
    /// Of the last message.
    current: Option<(u32, Body)>,
    others: HashMap<u32, Body>,
    /// The id that the last message waits for.
    wanted: Option<u32>,
}

/// What is done with the messages of one id.
#[derive(Debug)]
enum Body {
    /// They are read; what messages call their schema.
    Read(Box<dyn ReadRow>, String),
    /// They are bad, until a time if it may change: why, and in which column.
    Bad { why: String, column: Option<String>, until: Option<Instant> },
}

impl Body {
    fn is_over(&self) -> bool {
        matches!(self, Self::Bad { until: Some(until), .. } if *until <= Instant::now())
    }
}

impl Framed {
    pub(super) fn new(schemas: &Arc<Schemas>, dialect: &Arc<Dialect>, columns: &Fields) -> Self {
        let (schemas, dialect) = (Arc::clone(schemas), Arc::clone(dialect));
        Self { schemas, dialect, columns: columns.clone(), current: None, others: HashMap::new(), wanted: None }
    }

    /// Makes the body of `id` the current one.
    #[cold]
    fn turn_to(&mut self, id: u32) -> Result<(), Fault> {
        if let Some((id, body)) = self.current.take() {
            if self.others.len() >= MOST_READERS {
                self.others.clear();
            }
            self.others.insert(id, body);
        }
        let body = match self.others.remove(&id).filter(|body| !body.is_over()) {
            Some(body) => body,
            None => self.body(id)?,
        };
        self.current = Some((id, body));
        Ok(())
    }

    fn body(&mut self, id: u32) -> Result<Body, Fault> {
        let schema = match self.schemas.known(id) {
            Some(Known::Schema(schema)) => schema,
            Some(Known::Unknown(words, until)) => {
                return Ok(Body::Bad { why: format!("the registry does not know schema {id}: {words}"), column: None, until: Some(until) });
            }
            None => {
                self.wanted = Some(id);
                return Err(Fault::waits());
            }
        };
        let bad = |why: &str, column: String| {
            let column = (!column.is_empty()).then_some(column);
            Body::Bad { why: format!("{}: {why}", schema.name), column, until: None }
        };
        Ok(match &schema.parsed {
            Err(why) => bad(why, String::new()),
            Ok(parsed) => match self.dialect.reader(parsed, &self.columns) {
                Ok(reader) => Body::Read(reader, schema.name.clone()),
                Err(misfit) => bad(&misfit.why, misfit.column),
            },
        })
    }
}

/// The id and what follows it.
fn header(message: &[u8]) -> Result<(u32, &[u8]), Fault> {
    match message.split_first_chunk::<5>() {
        Some(([0, id @ ..], body)) => Ok((u32::from_be_bytes(*id), body)),
        Some(([magic, ..], _)) => {
            Err(Fault::syntax(format!("the message begins with byte {magic}, not with 0: it was not written with a schema registry")))
        }
        None => Err(Fault::syntax(format!("the message has {} bytes, and the header of a schema registry 5", message.len()))),
    }
}

impl ReadRow for Framed {
    fn read(&mut self, message: &[u8], rows: &mut Rows, context: &mut Context) -> Result<bool, Fault> {
        let (id, rest) = header(message)?;
        if self.current.as_ref().is_none_or(|(current, body)| *current != id || body.is_over()) {
            self.turn_to(id)?;
        }
        match &mut self.current {
            Some((_, Body::Read(reader, name))) => reader.read(rest, rows, context).map_err(|fault| fault.of(name)),
            Some((_, Body::Bad { why, column, .. })) => {
                let fault = Fault::syntax(why.clone());
                Err(column.iter().fold(fault, |fault, column| fault.within(column.clone())))
            }
            None => Err(Fault::waits()),
        }
    }

    fn wanted(&mut self) -> Wanted {
        match self.wanted.take() {
            Some(id) => Box::pin(Arc::clone(&self.schemas).ask(id)),
            None => Box::pin(std::future::ready(Ok(()))),
        }
    }
}
