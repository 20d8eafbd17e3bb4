//! What rows of a sink change: for each key the last change, and the commands that carry it out.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, BooleanArray, RecordBatch};
use arrow_cast::cast;
use arrow_schema::DataType;
use arrow_select::filter::filter_record_batch;
use chrono::{DateTime, Local};
use redis::{Cmd, cmd};

use super::connection::Keyed;
use super::options::Life;
use super::shape::{Content, Place, SEPARATOR, Shape};
use crate::error::ConnectorError;
use crate::format::Encoder;

/// What becomes of what a key has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// It is these values, those of the columns that are no keys; `None` is a NULL.
    Put(Vec<Option<Vec<u8>>>),
    /// It goes.
    Delete,
    /// It goes, and then it is these values.
    Replace(Vec<Option<Vec<u8>>>),
}

/// A key, and the field of a hash or the member of a set if a row is one.
pub(super) type Place2 = (Vec<u8>, Option<Vec<u8>>);

/// How rows are written.
#[derive(Debug, Clone)]
pub(super) struct Writing {
    /// What messages call the table.
    pub(super) table: String,
    pub(super) shape: Shape,
    /// Names of the columns.
    pub(super) names: Vec<String>,
    /// Writes the columns behind the key as one value, if values have a format.
    pub(super) encoder: Option<Arc<dyn Encoder>>,
    /// The column that says what a row is, if there is one.
    pub(super) kind: Option<usize>,
    pub(super) life: Option<Life>,
    /// A key that will expire keeps its time.
    pub(super) keeps_life: bool,
    pub(super) if_absent: bool,
}

impl Writing {
    /// Adds the changes of a batch to those before; gives by how many bytes they grew.
    ///
    /// # Errors
    /// A row that is no change, or that the format of values cannot write (user).
    pub(super) fn merge(&self, batch: &RecordBatch, changes: &mut HashMap<Place2, Change>) -> Result<u64, ConnectorError> {
        let (batch, gone) = self.kinds(batch)?;
        let part = self.shape.part_column();
        let is_key = |column: usize| column == 0 || part == Some(column);
        let text_of = |column: usize| match &self.shape.content {
            Content::Format(_) if !is_key(column) => None,
            _ => batch.columns().get(column).map(texts),
        };
        let columns: Vec<_> = (0..batch.num_columns()).map(|column| text_of(column).transpose()).collect::<Result<_, _>>()?;
        let value = |column: usize, row: usize| columns.get(column).and_then(Option::as_ref).and_then(|texts| texts.get(row).cloned().flatten());
        let key_of = |row: usize| [self.shape.prefix.as_bytes(), &value(0, row).unwrap_or_default()].concat();
        let mut encoded = self.encoded(&batch, &gone, &key_of)?.into_iter();
        let mut grown = 0;
        for (row, gone) in gone.into_iter().enumerate() {
            let change = match &self.shape.content {
                _ if gone => Change::Delete,
                Content::Format(_) => Change::Put(vec![encoded.next().flatten()]),
                Content::Column => Change::Put((0..columns.len()).filter(|column| !is_key(*column)).map(|column| value(column, row)).collect()),
                Content::Row => {
                    let parts: Vec<Vec<u8>> = (0..columns.len()).map(|column| value(column, row).unwrap_or_default()).collect();
                    Change::Put(vec![Some(parts.join(&SEPARATOR))])
                }
            };
            if let Some(column) = (0..columns.len()).find(|column| is_key(*column) && value(*column, row).is_none()) {
                let (table, name) = (&self.table, self.names.get(column).map_or("", String::as_str));
                let way = "filter such rows out, or put something in its place with COALESCE";
                return Err(ConnectorError::user(format!("Table '{table}': column '{name}', of the key, is NULL in a row: {way}")));
            }
            let place = (key_of(row), part.and_then(|part| value(part, row)));
            let Some(change) = self.after(changes.get(&place), change) else { continue };
            grown += place.0.len() as u64 + size(&change);
            changes.insert(place, change);
        }
        Ok(grown)
    }

    /// What does the same as `before` and then `change`; nothing, if that is `before`.
    fn after(&self, before: Option<&Change>, change: Change) -> Option<Change> {
        let is_part = matches!(self.shape.place, Place::Text | Place::Field | Place::Sorted);
        // A NULL in the place of the only value removes it.
        let is_removal = |values: &[Option<Vec<u8>>]| is_part && values.first() == Some(&None);
        match (before, change) {
            (Some(before), Change::Put(values)) if !is_removal(&values) => match before {
                Change::Delete => Some(Change::Replace(values)),
                Change::Put(before) if is_removal(before) => Some(Change::Replace(values)),
                // Of rows that are only put where nothing is, the first one counts, as it does between epochs.
                Change::Put(_) | Change::Replace(_) if self.if_absent => None,
                Change::Replace(_) => Some(Change::Replace(values)),
                Change::Put(_) => Some(Change::Put(values)),
            },
            (_, change) => Some(change),
        }
    }

    /// The rows that change something, without the column of kinds, and for each of them whether it went.
    fn kinds(&self, batch: &RecordBatch) -> Result<(RecordBatch, Vec<bool>), ConnectorError> {
        let Some(kind) = self.kind else { return Ok((batch.clone(), vec![false; batch.num_rows()])) };
        let internal = |error| ConnectorError::internal("rows without a kind").with_source(error);
        let values: Vec<usize> = (0..batch.num_columns()).filter(|column| *column != kind).collect();
        let kinds = batch.columns().get(kind).map(texts).transpose()?.unwrap_or_default();
        let mut gone = Vec::with_capacity(kinds.len());
        for kind in &kinds {
            gone.push(match kind.as_deref() {
                None | Some(b"+I" | b"+U") => Some(false),
                Some(b"-D") => Some(true),
                // The row that takes its place follows.
                Some(b"-U") => None,
                Some(other) => {
                    let (table, other) = (&self.table, String::from_utf8_lossy(other));
                    return Err(ConnectorError::user(format!("Table '{table}': '{other}' is no kind of row: +I, +U, -U or -D")));
                }
            });
        }
        let counts: BooleanArray = gone.iter().map(|gone| Some(gone.is_some())).collect();
        let rows = filter_record_batch(&batch.project(&values).map_err(internal)?, &counts).map_err(internal)?;
        Ok((rows, gone.into_iter().flatten().collect()))
    }

    /// The values of the rows that did not go, if they have a format.
    fn encoded(&self, batch: &RecordBatch, gone: &[bool], key: &dyn Fn(usize) -> Vec<u8>) -> Result<Vec<Option<Vec<u8>>>, ConnectorError> {
        let Some(encoder) = &self.encoder else { return Ok(Vec::new()) };
        let internal = |error| ConnectorError::internal("values that do not fit").with_source(error);
        let behind: Vec<usize> = (self.shape.key_columns()..batch.num_columns()).collect();
        let put: BooleanArray = gone.iter().map(|gone| Some(!gone)).collect();
        let values = filter_record_batch(&batch.project(&behind).map_err(internal)?, &put).map_err(internal)?;
        let messages = encoder.encode(&values).map_err(|bad| {
            let row = put.values().set_indices().nth(bad.row).unwrap_or_default();
            let (table, key, why) = (&self.table, key(row), bad.bad.located());
            ConnectorError::user(format!("Table '{table}': the row of key '{}' cannot be written: {why}", String::from_utf8_lossy(&key)))
        })?;
        Ok(messages.iter().map(|message| message.map(<[u8]>::to_vec)).collect())
    }

    /// The commands of a change, at `now`.
    pub(super) fn commands(&self, place: &Place2, change: &Change, now: DateTime<Local>) -> Vec<Keyed> {
        let Change::Replace(values) = change else { return self.of_one(place, change, now) };
        let put = self.of_one(place, &Change::Put(values.clone()), now);
        // What is put replaces what was there, unless it is told not to, or fields of a hash stay that are no columns.
        if self.shape.place != Place::Hash && !self.if_absent && !self.keeps_life {
            return put;
        }
        self.of_one(place, &Change::Delete, now).into_iter().chain(put).collect()
    }

    fn of_one(&self, (key, part): &Place2, change: &Change, now: DateTime<Local>) -> Vec<Keyed> {
        let life = self.life.as_ref().and_then(|life| life.left(now)).map(|life| u64::try_from(life.as_millis()).unwrap_or(u64::MAX).max(1));
        let mut commands = Vec::with_capacity(2);
        let value = match change {
            Change::Put(values) | Change::Replace(values) => values.first().and_then(Option::as_deref),
            Change::Delete => None,
        };
        // A string's life is set with it, unless that of the one before is to be kept.
        let mut expires = matches!(change, Change::Put(_)) && self.shape.place != Place::Nowhere;
        match (self.shape.place, change, part, value) {
            (Place::Text, _, _, Some(value)) => {
                let mut set = command("SET", key);
                set.arg(value);
                if self.keeps_life {
                    set.arg("KEEPTTL");
                } else if let Some(life) = life {
                    set.arg("PX").arg(life);
                }
                if self.if_absent {
                    set.arg("NX");
                }
                commands.push(set);
                expires = self.keeps_life;
            }
            (Place::Field, _, Some(field), Some(value)) => {
                commands.push(of_part(if self.if_absent { "HSETNX" } else { "HSET" }, key, &[field, value]));
            }
            (Place::Field, _, Some(field), None) => commands.push(of_part("HDEL", key, &[field])),
            (Place::Set, Change::Put(_), Some(member), _) => commands.push(of_part("SADD", key, &[member])),
            (Place::Set, Change::Delete, Some(member), _) => commands.push(of_part("SREM", key, &[member])),
            (Place::Sorted, _, Some(member), Some(score)) => commands.push(of_part("ZADD", key, &[score, member])),
            (Place::Sorted, _, Some(member), None) => commands.push(of_part("ZREM", key, &[member])),
            (Place::Hash, Change::Put(values), ..) => self.put_hash(key, values, &mut commands),
            _ => {
                commands.push(command("DEL", key));
                expires = false;
            }
        }
        if let Some(life) = life.filter(|_| expires) {
            let mut expire = command("PEXPIRE", key);
            expire.arg(life);
            if self.keeps_life {
                expire.arg("NX");
            }
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
        Change::Put(values) | Change::Replace(values) => values.iter().flatten().map(|value| value.len() as u64 + 24).sum::<u64>() + 96,
        Change::Delete => 96,
    }
}

fn command(name: &str, key: &[u8]) -> Cmd {
    let mut command = cmd(name);
    command.arg(key);
    command
}

fn of_part(name: &str, key: &[u8], words: &[&[u8]]) -> Cmd {
    let mut command = command(name, key);
    command.arg(words);
    command
}

/// The values of a column as texts.
fn texts(column: &ArrayRef) -> Result<Vec<Option<Vec<u8>>>, ConnectorError> {
    if let Some(bytes) = column.as_binary_opt::<i32>() {
        return Ok(bytes.iter().map(|bytes| bytes.map(<[u8]>::to_vec)).collect());
    }
    if let Some(bytes) = column.as_fixed_size_binary_opt() {
        return Ok(bytes.iter().map(|bytes| bytes.map(<[u8]>::to_vec)).collect());
    }
    let texts = cast(column, &DataType::Utf8).map_err(|error| ConnectorError::internal("values without a text").with_source(error))?;
    Ok(texts.as_string::<i32>().iter().map(|text| text.map(|text| text.as_bytes().to_vec())).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use arrow_array::{Int64Array, StringArray};
    use arrow_schema::Schema;
    use redis::Arg;
    use weir_base::options::OptionBag;

    use crate::format::{FormatFactory, json::JsonFactory};

    use super::*;

    fn writing(place: Place) -> Writing {
        let shape = Shape { place, content: Content::Column, prefix: "p:".to_owned() };
        let names = ["id", "a", "b"].map(str::to_owned).to_vec();
        Writing { table: "c.d.t".to_owned(), shape, names, encoder: None, kind: None, life: None, keeps_life: false, if_absent: false }
    }

    fn life(millis: u64) -> Option<Life> {
        Some(Life::For(Duration::from_millis(millis)))
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
        let mut told: Vec<String> = changes.iter().flat_map(|(place, change)| writing.commands(place, change, Local::now())).map(line).collect();
        told.sort();
        told
    }

    #[test]
    fn of_several_changes_of_a_key_the_last_one_is_written() {
        let rows = batch(&[&[Some("old"), Some("x"), Some("new")]]);
        assert_eq!(told(&writing(Place::Text), &rows), ["SET p:0 new", "SET p:1 x"]);
        let gone = batch(&[&[Some("old"), Some("x"), None]]);
        assert_eq!(told(&writing(Place::Text), &gone), ["DEL p:0", "SET p:1 x"]);
        let lasting = Writing { life: life(7_000), if_absent: true, ..writing(Place::Text) };
        assert_eq!(told(&lasting, &rows), ["SET p:0 old PX 7000 NX", "SET p:1 x PX 7000 NX"]);
    }

    #[test]
    fn a_row_that_takes_the_place_of_one_that_went_is_put_whatever_was_there() {
        let with_kind = |place| Writing { kind: Some(2), ..writing(place) };
        let rows = batch(&[&[Some("old"), Some("x"), None, None, Some("new")], &[Some("+I"), Some("+I"), Some("-D"), Some("-U"), Some("+I")]]);
        let absent = |place| Writing { if_absent: true, ..with_kind(place) };
        assert_eq!(told(&absent(Place::Text), &rows), ["DEL p:0", "SET p:0 new NX", "SET p:1 x NX"]);
        assert_eq!(told(&with_kind(Place::Text), &rows), ["SET p:0 new", "SET p:1 x"], "SET leaves nothing of what was there");
        let keeping = Writing { life: life(5), keeps_life: true, ..with_kind(Place::Text) };
        let kept = ["DEL p:0", "PEXPIRE p:0 5 NX", "PEXPIRE p:1 5 NX", "SET p:0 new KEEPTTL", "SET p:1 x KEEPTTL"];
        assert_eq!(told(&keeping, &rows), kept, "the new one has a new life");
        assert_eq!(told(&with_kind(Place::Hash), &rows), ["DEL p:0", "HSET p:0 a new", "HSET p:1 a x"]);
        let null = batch(&[&[Some("old"), Some("x"), None, Some("y"), Some("new")], &[Some("+I"); 5]]);
        assert_eq!(told(&absent(Place::Text), &null), ["DEL p:0", "SET p:0 new NX", "SET p:1 x NX"], "a NULL removes");
    }

    #[test]
    fn a_row_without_a_key_is_refused() {
        let fields = batch(&[&[None], &[Some("1")]]);
        let told = writing(Place::Field).merge(&fields, &mut HashMap::new()).expect_err("no field").to_string();
        assert!(told.contains("column 'a', of the key, is NULL"), "{told}");
    }

    #[test]
    fn a_hash_loses_the_fields_that_are_null_and_a_field_stands_by_itself() {
        let rows = batch(&[&[Some("1"), None], &[None, None]]);
        assert_eq!(told(&writing(Place::Hash), &rows), ["HDEL p:0 b", "HDEL p:1 a b", "HSET p:0 a 1"]);
        let lasting = Writing { life: life(5), ..writing(Place::Field) };
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
        row.shape.content = Content::Row;
        assert_eq!(told(&row, &batch(&[&[Some("a"), None], &[None, Some("z")]])), ["SET p:0 0\u{1}a\u{1}", "SET p:1 1\u{1}\u{1}z"]);
    }

    #[test]
    fn a_key_that_will_expire_keeps_its_time_where_that_is_asked_for() {
        let rows = batch(&[&[Some("x")]]);
        let keeping = |place| Writing { life: life(5), keeps_life: true, ..writing(place) };
        assert_eq!(told(&keeping(Place::Text), &rows), ["PEXPIRE p:0 5 NX", "SET p:0 x KEEPTTL"]);
        assert_eq!(told(&keeping(Place::Set), &rows), ["PEXPIRE p:0 5 NX", "SADD p:0 x"]);
        assert_eq!(told(&keeping(Place::Nowhere), &batch(&[&[]])), [""; 0]);
    }

    #[test]
    fn members_of_sets_come_and_go_and_a_key_can_be_removed() {
        let with_kind = |place, kind| Writing { kind: Some(kind), ..writing(place) };
        let members = batch(&[&[Some("a"), Some("b"), Some("c")], &[Some("+I"), Some("-D"), Some("-U")]]);
        assert_eq!(told(&with_kind(Place::Set, 2), &members), ["SADD p:0 a", "SREM p:1 b"]);
        let scores: [&[Option<&str>]; 3] =
            [&[Some("1.5"), Some("2"), None], &[Some("a"), Some("b"), Some("c")], &[Some("+I"), Some("-D"), Some("+I")]];
        assert_eq!(told(&with_kind(Place::Sorted, 3), &batch(&scores)), ["ZADD p:0 1.5 a", "ZREM p:0 c", "ZREM p:1 b"]);
        let keys = RecordBatch::try_from_iter([("id", Arc::new(Int64Array::from(vec![3, 4])) as ArrayRef)]).expect("a batch");
        assert_eq!(told(&writing(Place::Nowhere), &keys), ["DEL p:3", "DEL p:4"]);
    }

    #[test]
    fn the_columns_behind_the_key_are_one_value_in_a_format() {
        let rows = batch(&[&[Some("x"), None], &[Some("+I"), Some("-D")]]);
        let schema = Arc::new(Schema::new(vec![arrow_schema::Field::new("a", DataType::Utf8, false)]));
        let format = JsonFactory.open("json.", &mut OptionBag::new("Table 'c.d.t'"), &schema).expect("format");
        let mut json = Writing { kind: Some(2), encoder: Some(Arc::from(format.encoder(&schema).expect("encoder"))), ..writing(Place::Text) };
        json.shape.content = Content::Format(Arc::from(format));
        assert_eq!(told(&json, &rows), ["DEL p:1", "SET p:0 {\"a\":\"x\"}"], "of a row that went nothing is written");
    }
}
