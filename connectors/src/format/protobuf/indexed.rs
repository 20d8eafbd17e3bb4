//! Messages that say by places which of a file's types they are, as those of a schema registry do.

use std::sync::Arc;

use arrow_schema::Fields;

use super::compile::Compiled;
use super::plan::{Choices, Plan};
use super::read::ReadProtobuf;
use super::wire::Input;
use crate::format::columns::{Context, Fault, Rows};
use crate::format::decoder::ReadRow;

/// The most places that stand for a type: so deep may types be nested.
const MOST_PLACES: usize = 64;
/// Types that are kept; when there are more, all are planned anew as they come.
const MOST_TYPES: usize = 64;

/// Reads messages of all types of one file.
#[derive(Debug)]
pub(in crate::format) struct ReadIndexed {
    compiled: Arc<Compiled>,
    columns: Fields,
    /// Those of the table, whichever are wanted.
    declared: Fields,
    choices: Choices,
    /// Readers by the bytes that stand for their type; or why there is none.
    types: Vec<(Vec<u8>, Result<ReadProtobuf, String>)>,
    /// That of the last message.
    last: usize,
}

impl ReadIndexed {
    /// Reads into `columns`, some of those that the table has (`declared`).
    pub(in crate::format) fn new(compiled: &Arc<Compiled>, (columns, declared): (&Fields, &Fields), choices: Choices) -> Self {
        let (columns, declared) = (columns.clone(), declared.clone());
        Self { compiled: Arc::clone(compiled), columns, declared, choices, types: Vec::new(), last: 0 }
    }

    #[cold]
    fn turn_to(&mut self, head: &[u8], places: &[usize]) {
        if let Some(known) = self.types.iter().position(|(known, _)| known == head) {
            self.last = known;
            return;
        }
        if self.types.len() >= MOST_TYPES {
            self.types.clear();
        }
        self.last = self.types.len();
        self.types.push((head.to_vec(), self.reader(places)));
    }

    fn reader(&self, places: &[usize]) -> Result<ReadProtobuf, String> {
        let compiled = &self.compiled;
        let name = compiled.name_at(places).ok_or_else(|| format!("it has no message at {places:?}"))?;
        let message = compiled.descriptors.message(&name).ok_or_else(|| format!("it has no message '{name}'"))?;
        // What a message means does not depend on what is wanted of it.
        if Plan::new(&compiled.descriptors, message, &self.declared, self.choices)?.finds_nothing() {
            return Err(format!("message '{name}' has none of the table's columns"));
        }
        Plan::new(&compiled.descriptors, message, &self.columns, self.choices).map(ReadProtobuf)
    }
}

/// Where the message begins, and its type: the places are written as their number and themselves, and the first type as a single 0.
fn places(message: &[u8]) -> Result<(usize, Vec<usize>), Fault> {
    let mut input = Input::new(message);
    let whole = |input: &mut Input<'_>| {
        let coded = input.varint()?;
        let number = (coded >> 1).cast_signed() ^ -(coded & 1).cast_signed();
        usize::try_from(number).map_err(|_negative| Fault::syntax(format!("{number} is no place of a message's type")))
    };
    let count = whole(&mut input)?;
    if count == 0 {
        return Ok((message.len() - input.left(), vec![0]));
    }
    if count > input.left() {
        return Err(Fault::syntax("the message ends within the places of its type"));
    }
    if count > MOST_PLACES {
        return Err(Fault::syntax(format!("the type of the message has {count} places, and {MOST_PLACES} at most are read")));
    }
    let places = (0..count).map(|_| whole(&mut input)).collect::<Result<_, _>>()?;
    Ok((message.len() - input.left(), places))
}

impl ReadRow for ReadIndexed {
    fn read(&mut self, message: &[u8], rows: &mut Rows, context: &mut Context) -> Result<bool, Fault> {
        let known = self.types.get(self.last).filter(|(head, _)| !head.is_empty() && message.starts_with(head));
        let length = match known {
            Some((head, _)) => head.len(),
            None => {
                let (length, places) = places(message)?;
                self.turn_to(message.get(..length).unwrap_or_default(), &places);
                length
            }
        };
        match self.types.get_mut(self.last) {
            Some((_, Ok(reader))) => reader.read(message.get(length..).unwrap_or_default(), rows, context),
            Some((_, Err(why))) => Err(Fault::syntax(why.clone())),
            None => Err(Fault::syntax("the message has no type")),
        }
    }
}
