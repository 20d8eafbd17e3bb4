//! What rows of a sink change: for each key the last change, and the commands that carry it out.

use std::collections::HashMap;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_cast::cast;
use arrow_schema::DataType;
use redis::{Cmd, cmd};

use super::connection::Keyed;
use super::shape::{Place, SEPARATOR, Shape};
use crate::error::ConnectorError;

/// What becomes of what a key has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// It is these values, those behind the key columns; `None` is a NULL.
    Put(Vec<Option<Vec<u8>>>),
    /// It goes.
    Delete,
}

/// A key, and the field of a hash if a row is one.
pub(super) type Place2 = (Vec<u8>, Option<Vec<u8>>);

/// How rows are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Writing {
    pub(super) shape: Shape,
    /// Names of the columns.
    pub(super) names: Vec<String>,
    /// The column that says what a row is, if there is one.
    pub(super) kind: Option<usize>,
    pub(super) ttl: Option<Duration>,
    pub(super) if_absent: bool,
}

impl Writing {
    /// Adds the changes of a batch to those before; gives by how many bytes they grew.
    pub(super) fn merge(&self, batch: &RecordBatch, changes: &mut HashMap<Place2, Change>) -> Result<u64, ConnectorError> {
        let mut columns = Vec::with_capacity(self.names.len());
        for (index, column) in batch.columns().iter().enumerate() {
            if self.kind != Some(index) {
                columns.push(texts(column)?);
            }
        }
        let kinds = self.kind.and_then(|kind| batch.columns().get(kind)).map(texts).transpose()?;
        let keys = self.shape.key_columns();
        let mut grown = 0;
        for row in 0..batch.num_rows() {
            let value = |column: usize| columns.get(column).and_then(|texts| texts.get(row).cloned().flatten());
            let is_gone = match kinds.as_ref().and_then(|kinds| kinds.get(row)).and_then(Option::as_deref) {
                None | Some(b"+I" | b"+U") => false,
                Some(b"-D") => true,
                // The row that takes its place follows.
                Some(b"-U") => continue,
                Some(other) => return Err(ConnectorError::user(format!("'{}' is no kind of row: +I, +U, -U or -D", String::from_utf8_lossy(other)))),
            };
            let key = [self.shape.prefix.as_bytes(), &value(0).unwrap_or_default()].concat();
            let field = (self.shape.place == Place::Field).then(|| value(1).unwrap_or_default());
            let change = if is_gone { Change::Delete } else { Change::Put(self.values(columns.len(), keys, value)) };
            grown += key.len() as u64 + size(&change);
            changes.insert((key, field), change);
        }
        Ok(grown)
    }

    fn values(&self, columns: usize, keys: usize, value: impl Fn(usize) -> Option<Vec<u8>>) -> Vec<Option<Vec<u8>>> {
        if !self.shape.is_row {
            return (keys..columns).map(value).collect();
        }
        let parts: Vec<Vec<u8>> = (0..columns).map(|column| value(column).unwrap_or_default()).collect();
        vec![Some(parts.join(&SEPARATOR))]
    }

    /// The commands of a change.
    pub(super) fn commands(&self, (key, field): &Place2, change: &Change) -> Vec<Keyed> {
        let mut commands = Vec::with_capacity(2);
        match (self.shape.place, change, field) {
            (Place::Text, Change::Put(values), _) => match values.first() {
                Some(Some(value)) => {
                    let mut set = command("SET", key);
                    set.arg(value.as_slice());
                    if let Some(ttl) = self.ttl {
                        set.arg("PX").arg(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
                    }
                    if self.if_absent {
                        set.arg("NX");
                    }
                    commands.push(set);
                }
                _ => commands.push(command("DEL", key)),
            },
            (Place::Field, Change::Put(values), Some(field)) => match values.first() {
                Some(Some(value)) => {
                    let mut set = command(if self.if_absent { "HSETNX" } else { "HSET" }, key);
                    set.arg(field.as_slice()).arg(value.as_slice());
                    commands.push(set);
                }
                _ => commands.push(of_field("HDEL", key, field)),
            },
            (Place::Hash, Change::Put(values), _) => self.put_hash(key, values, &mut commands),
            (Place::Field, Change::Delete, Some(field)) => commands.push(of_field("HDEL", key, field)),
            _ => commands.push(command("DEL", key)),
        }
        if let (Some(ttl), Change::Put(_), false) = (self.ttl, change, self.shape.place == Place::Text) {
            let mut expire = command("PEXPIRE", key);
            expire.arg(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
            commands.push(expire);
        }
        commands.into_iter().map(|command| Keyed { key: key.clone(), command }).collect()
    }

    /// Sets the fields that have a value and removes the others.
    fn put_hash(&self, key: &[u8], values: &[Option<Vec<u8>>], commands: &mut Vec<Cmd>) {
        let names = self.names.iter().skip(self.shape.key_columns());
        let (set, gone): (Vec<_>, Vec<_>) = names.zip(values).partition(|(_, value)| value.is_some());
        if !set.is_empty() {
            let mut put = command("HSET", key);
            for (name, value) in set {
                put.arg(name).arg(value.as_deref().unwrap_or_default());
            }
            commands.push(put);
        }
        if !gone.is_empty() {
            let mut remove = command("HDEL", key);
            for (name, _) in gone {
                remove.arg(name);
            }
            commands.push(remove);
        }
    }
}

/// What a change takes in memory, about.
pub(super) fn size(change: &Change) -> u64 {
    match change {
        Change::Put(values) => values.iter().flatten().map(|value| value.len() as u64 + 24).sum::<u64>() + 96,
        Change::Delete => 96,
    }
}

fn command(name: &str, key: &[u8]) -> Cmd {
    let mut command = cmd(name);
    command.arg(key);
    command
}

fn of_field(name: &str, key: &[u8], field: &[u8]) -> Cmd {
    let mut command = command(name, key);
    command.arg(field);
    command
}

/// The values of a column as texts.
fn texts(column: &ArrayRef) -> Result<Vec<Option<Vec<u8>>>, ConnectorError> {
    if let Some(bytes) = column.as_binary_opt::<i32>() {
        return Ok(bytes.iter().map(|bytes| bytes.map(<[u8]>::to_vec)).collect());
    }
    let texts = cast(column, &DataType::Utf8).map_err(|error| ConnectorError::internal("values without a text").with_source(error))?;
    Ok(texts.as_string::<i32>().iter().map(|text| text.map(|text| text.as_bytes().to_vec())).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Int64Array, StringArray};
    use redis::Arg;

    use super::*;

    fn writing(place: Place) -> Writing {
        let shape = Shape { place, is_row: false, prefix: "p:".to_owned() };
        Writing { shape, names: ["id", "a", "b"].map(str::to_owned).to_vec(), kind: None, ttl: None, if_absent: false }
    }

    fn batch(columns: &[&[Option<&str>]]) -> RecordBatch {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values((0..columns[0].len()).map(|row| row as i64 % 2)));
        let texts = columns.iter().map(|column| Arc::new(StringArray::from(column.to_vec())) as ArrayRef);
        RecordBatch::try_from_iter([ids].into_iter().chain(texts).enumerate().map(|(index, column)| (index.to_string(), column))).expect("a batch")
    }

    /// The commands of all changes, words with blanks between.
    fn told(writing: &Writing, batch: &RecordBatch) -> Vec<String> {
        let mut changes = HashMap::new();
        writing.merge(batch, &mut changes).expect("merged");
        let word = |word: Arg<&[u8]>| if let Arg::Simple(word) = word { String::from_utf8_lossy(word).into_owned() } else { "?".to_owned() };
        let line = |keyed: Keyed| keyed.command.args_iter().map(word).collect::<Vec<_>>().join(" ");
        let mut told: Vec<String> = changes.iter().flat_map(|(place, change)| writing.commands(place, change)).map(line).collect();
        told.sort();
        told
    }

    #[test]
    fn of_several_changes_of_a_key_the_last_one_is_written() {
        let rows = batch(&[&[Some("old"), Some("x"), Some("new")]]);
        assert_eq!(told(&writing(Place::Text), &rows), ["SET p:0 new", "SET p:1 x"]);
        let gone = batch(&[&[Some("old"), Some("x"), None]]);
        assert_eq!(told(&writing(Place::Text), &gone), ["DEL p:0", "SET p:1 x"]);
        let lasting = Writing { ttl: Some(Duration::from_secs(7)), if_absent: true, ..writing(Place::Text) };
        assert_eq!(told(&lasting, &rows), ["SET p:0 new PX 7000 NX", "SET p:1 x PX 7000 NX"]);
    }

    #[test]
    fn a_hash_loses_the_fields_that_are_null_and_a_field_stands_by_itself() {
        let rows = batch(&[&[Some("1"), None], &[None, None]]);
        assert_eq!(told(&writing(Place::Hash), &rows), ["HDEL p:0 b", "HDEL p:1 a b", "HSET p:0 a 1"]);
        let lasting = Writing { ttl: Some(Duration::from_millis(5)), ..writing(Place::Field) };
        let fields = batch(&[&[Some("f"), Some("g")], &[Some("1"), None]]);
        assert_eq!(told(&lasting, &fields), ["HDEL p:1 g", "HSET p:0 f 1", "PEXPIRE p:0 5", "PEXPIRE p:1 5"]);
    }

    #[test]
    fn the_kind_of_a_row_says_whether_its_key_goes() {
        let with_kind = |place| Writing { kind: Some(2), ..writing(place) };
        let rows = batch(&[&[Some("a"), Some("b"), Some("c"), Some("d")], &[Some("+I"), Some("+I"), Some("-D"), Some("-U")]]);
        assert_eq!(told(&with_kind(Place::Text), &rows), ["DEL p:0", "SET p:1 b"]);
        let wrong = batch(&[&[Some("a")], &[Some("?")]]);
        assert!(with_kind(Place::Text).merge(&wrong, &mut HashMap::new()).expect_err("no kind").to_string().contains("'?' is no kind of row"));
    }

    #[test]
    fn a_row_that_is_one_value_has_all_columns() {
        let mut row = writing(Place::Text);
        row.shape.is_row = true;
        assert_eq!(told(&row, &batch(&[&[Some("a"), None], &[None, Some("z")]])), ["SET p:0 0\u{1}a\u{1}", "SET p:1 1\u{1}\u{1}z"]);
    }
}
