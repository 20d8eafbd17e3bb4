//! Thrift's binary protocol, as far as a metastore speaks it: calls and answers as trees of values.
//!
//! The protocol says of every field what type it has, so a tree needs no generated code, and it keeps the fields of newer servers that
//! nobody here has heard of. That matters: to change one parameter of a table, the whole table is sent back.

use std::collections::BTreeMap;
use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt};

/// An answer that is larger than this is not believed.
const MOST_BYTES: usize = 512 << 20;

/// Structs and collections deeper than this are not believed either.
const MOST_LEVELS: u32 = 64;

const VERSION: u32 = 0x8001_0000;
const CALL: u32 = 1;
const REPLY: u32 = 2;
const EXCEPTION: u32 = 3;
const STOP: u8 = 0;

/// A value of one of Thrift's types.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    Byte(i8),
    Double(f64),
    Short(i16),
    Int(i32),
    Long(i64),
    /// Text or bytes: the protocol does not tell them apart.
    Text(Bytes),
    Struct(Struct),
    /// Types of keys and values, and the pairs in the order in which they came.
    Map(u8, u8, Vec<(Self, Self)>),
    /// Type of the elements, and these.
    Set(u8, Vec<Self>),
    /// Type of the elements, and these.
    List(u8, Vec<Self>),
}

/// Fields by their numbers.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Struct(BTreeMap<i16, Value>);

/// What came for a call.
#[derive(Debug)]
pub(super) enum Answer {
    /// The result, or one of the exceptions that the method declares: field 0 is the former.
    Result(Struct),
    /// The server could not carry out the call at all: its text and type, of which 1 is a method that it does not have.
    Refused(String, i32),
}

impl Value {
    fn kind(&self) -> u8 {
        match self {
            Self::Bool(_) => 2,
            Self::Byte(_) => 3,
            Self::Double(_) => 4,
            Self::Short(_) => 6,
            Self::Int(_) => 8,
            Self::Long(_) => 10,
            Self::Text(_) => TEXT,
            Self::Struct(_) => STRUCT,
            Self::Map(..) => 13,
            Self::Set(..) => 14,
            Self::List(..) => 15,
        }
    }

    fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Bool(value) => out.put_u8(u8::from(*value)),
            Self::Byte(value) => out.put_i8(*value),
            Self::Double(value) => out.put_f64(*value),
            Self::Short(value) => out.put_i16(*value),
            Self::Int(value) => out.put_i32(*value),
            Self::Long(value) => out.put_i64(*value),
            Self::Text(bytes) => write_bytes(out, bytes),
            Self::Struct(fields) => fields.write(out),
            Self::Map(keys, values, pairs) => {
                out.put_u8(*keys);
                out.put_u8(*values);
                put_length(out, pairs.len());
                for (key, value) in pairs {
                    key.write(out);
                    value.write(out);
                }
            }
            Self::Set(kind, elements) | Self::List(kind, elements) => {
                out.put_u8(*kind);
                put_length(out, elements.len());
                elements.iter().for_each(|element| element.write(out));
            }
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }
}

const TEXT: u8 = 11;
const STRUCT: u8 = 12;

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Long(value)
    }
}

impl From<Struct> for Value {
    fn from(fields: Struct) -> Self {
        Self::Struct(fields)
    }
}

impl From<Vec<Struct>> for Value {
    fn from(structs: Vec<Struct>) -> Self {
        Self::List(STRUCT, structs.into_iter().map(Self::Struct).collect())
    }
}

impl From<&[String]> for Value {
    fn from(texts: &[String]) -> Self {
        Self::List(TEXT, texts.iter().map(|text| Self::from(text.as_str())).collect())
    }
}

impl From<&BTreeMap<String, String>> for Value {
    fn from(map: &BTreeMap<String, String>) -> Self {
        let pairs = map.iter().map(|(key, value)| (Self::from(key.as_str()), Self::from(value.as_str())));
        Self::Map(TEXT, TEXT, pairs.collect())
    }
}

impl Struct {
    /// A struct without fields.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// The same with one field more.
    pub(super) fn with(mut self, id: i16, value: impl Into<Value>) -> Self {
        self.set(id, value);
        self
    }

    /// Sets a field.
    pub(super) fn set(&mut self, id: i16, value: impl Into<Value>) {
        self.0.insert(id, value.into());
    }

    /// Takes a field out.
    pub(super) fn take(&mut self, id: i16) -> Option<Value> {
        self.0.remove(&id)
    }

    pub(super) fn text(&self, id: i16) -> Option<&str> {
        self.0.get(&id)?.text()
    }

    pub(super) fn int(&self, id: i16) -> Option<i32> {
        match self.0.get(&id)? {
            Value::Int(value) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn long(&self, id: i16) -> Option<i64> {
        match self.0.get(&id)? {
            Value::Long(value) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn structs(&self, id: i16) -> impl Iterator<Item = &Self> {
        let elements = match self.0.get(&id) {
            Some(Value::List(_, elements)) => elements.as_slice(),
            _ => &[],
        };
        elements.iter().filter_map(|element| match element {
            Value::Struct(fields) => Some(fields),
            _ => None,
        })
    }

    /// The struct that is the result of a call.
    pub(super) fn only(&self) -> Option<&Self> {
        match self.0.get(&0)? {
            Value::Struct(fields) => Some(fields),
            _ => None,
        }
    }

    /// A list of texts.
    pub(super) fn texts(&self, id: i16) -> Vec<String> {
        match self.0.get(&id) {
            Some(Value::List(_, elements)) => elements.iter().filter_map(Value::text).map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }

    /// A map of texts.
    pub(super) fn map(&self, id: i16) -> BTreeMap<String, String> {
        match self.0.get(&id) {
            Some(Value::Map(_, _, pairs)) => {
                pairs.iter().filter_map(|(key, value)| Some((key.text()?.to_owned(), value.text()?.to_owned()))).collect()
            }
            _ => BTreeMap::new(),
        }
    }

    /// The first of the fields after the result that is there: the exception that was thrown, with its number.
    pub(super) fn thrown(&self) -> Option<(i16, &Self)> {
        self.0.iter().find_map(|(id, value)| match value {
            Value::Struct(fields) if *id > 0 => Some((*id, fields)),
            _ => None,
        })
    }

    fn write(&self, out: &mut BytesMut) {
        for (id, value) in &self.0 {
            out.put_u8(value.kind());
            out.put_i16(*id);
            value.write(out);
        }
        out.put_u8(STOP);
    }
}

fn write_bytes(out: &mut BytesMut, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.put_slice(bytes);
}

/// No length of ours comes near the limit of the protocol, 2³¹.
fn put_length(out: &mut BytesMut, length: usize) {
    out.put_i32(i32::try_from(length).unwrap_or(i32::MAX));
}

/// A call as it is sent.
pub(super) fn call(method: &str, sequence: i32, arguments: &Struct) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u32(VERSION | CALL);
    write_bytes(&mut out, method.as_bytes());
    out.put_i32(sequence);
    arguments.write(&mut out);
    out.freeze()
}

/// Reads the answer to call `sequence`.
///
/// # Errors
/// Those of `input`, and `InvalidData` for what is no such answer; after any of them nothing more can be read from `input`.
pub(super) async fn answer<R: AsyncRead + Unpin + Send>(input: &mut R, sequence: i32) -> io::Result<Answer> {
    let mut reader = Reader { input, left: MOST_BYTES };
    let head = reader.input.read_u32().await?;
    let kind = head & 0xff;
    if head & 0xffff_0000 != VERSION || !matches!(kind, REPLY | EXCEPTION) {
        return Err(invalid("it does not begin as an answer of Thrift's binary protocol does"));
    }
    reader.bytes().await?;
    if reader.input.read_i32().await? != sequence {
        return Err(invalid("it is the answer to another call"));
    }
    let fields = reader.fields(0).await?;
    if kind == EXCEPTION {
        return Ok(Answer::Refused(fields.text(1).unwrap_or("no reason given").to_owned(), fields.int(2).unwrap_or_default()));
    }
    Ok(Answer::Result(fields))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the answer is not understood: {what}"))
}

struct Reader<'a, R> {
    input: &'a mut R,
    left: usize,
}

impl<R: AsyncRead + Unpin + Send> Reader<'_, R> {
    async fn fields(&mut self, level: u32) -> io::Result<Struct> {
        if level > MOST_LEVELS {
            return Err(invalid("it is nested too deep"));
        }
        let mut fields = BTreeMap::new();
        loop {
            let kind = self.input.read_u8().await?;
            if kind == STOP {
                return Ok(Struct(fields));
            }
            let id = self.input.read_i16().await?;
            fields.insert(id, self.value(kind, level).await?);
        }
    }

    fn value(&mut self, kind: u8, level: u32) -> BoxFuture<'_, io::Result<Value>> {
        Box::pin(async move {
            Ok(match kind {
                2 => Value::Bool(self.input.read_u8().await? != 0),
                3 => Value::Byte(self.input.read_i8().await?),
                4 => Value::Double(self.input.read_f64().await?),
                6 => Value::Short(self.input.read_i16().await?),
                8 => Value::Int(self.input.read_i32().await?),
                10 => Value::Long(self.input.read_i64().await?),
                TEXT => Value::Text(self.bytes().await?),
                STRUCT => Value::Struct(self.fields(level + 1).await?),
                13 => {
                    let (keys, values) = (self.input.read_u8().await?, self.input.read_u8().await?);
                    let mut pairs = Vec::new();
                    for _ in 0..self.length().await? {
                        pairs.push((self.value(keys, level + 1).await?, self.value(values, level + 1).await?));
                    }
                    Value::Map(keys, values, pairs)
                }
                14 | 15 => {
                    let kind_of_elements = self.input.read_u8().await?;
                    let mut elements = Vec::new();
                    for _ in 0..self.length().await? {
                        elements.push(self.value(kind_of_elements, level + 1).await?);
                    }
                    if kind == 14 { Value::Set(kind_of_elements, elements) } else { Value::List(kind_of_elements, elements) }
                }
                _ => return Err(invalid("it has a type that does not exist")),
            })
        })
    }

    async fn bytes(&mut self) -> io::Result<Bytes> {
        let length = self.length().await?;
        let mut bytes = vec![0; length];
        self.input.read_exact(&mut bytes).await?;
        Ok(bytes.into())
    }

    /// A length, which counts against what is believed: each element takes a byte at least.
    async fn length(&mut self) -> io::Result<usize> {
        let length = usize::try_from(self.input.read_i32().await?).map_err(|_negative| invalid("a length is negative"))?;
        self.left = self.left.checked_sub(length).ok_or_else(|| invalid("it is too large"))?;
        Ok(length)
    }
}

/// The other side, for tests.
#[cfg(test)]
pub(super) mod serving {
    use super::*;

    /// Reads a call: method, number and arguments.
    pub(in crate::hive) async fn read_call<R: AsyncRead + Unpin + Send>(input: &mut R) -> io::Result<(String, i32, Struct)> {
        let mut reader = Reader { input, left: MOST_BYTES };
        reader.input.read_u32().await?;
        let method = String::from_utf8_lossy(&reader.bytes().await?).into_owned();
        let sequence = reader.input.read_i32().await?;
        Ok((method, sequence, reader.fields(0).await?))
    }

    /// What a server sends back.
    pub(in crate::hive) fn reply(kind: u32, sequence: i32, fields: &Struct) -> Vec<u8> {
        let mut bytes = call("method", sequence, fields).to_vec();
        bytes[..4].copy_from_slice(&(VERSION | kind).to_be_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::serving::reply;
    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::Bool),
            any::<i8>().prop_map(Value::Byte),
            any::<i32>().prop_map(|value| Value::Double(f64::from(value) / 4.0)),
            any::<i16>().prop_map(Value::Short),
            any::<i32>().prop_map(Value::Int),
            any::<i64>().prop_map(Value::Long),
            ".{0,9}".prop_map(|text: String| Value::from(text.as_str())),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            let structs = proptest::collection::btree_map(1..i16::MAX, inner, 0..4).prop_map(|fields| Value::Struct(Struct(fields)));
            prop_oneof![
                structs.clone(),
                proptest::collection::vec(structs.clone(), 0..3).prop_map(|elements| Value::List(STRUCT, elements)),
                proptest::collection::vec(any::<i64>().prop_map(Value::Long), 0..3).prop_map(|elements| Value::Set(10, elements)),
                proptest::collection::vec((".{0,5}".prop_map(|key: String| Value::from(key.as_str())), structs), 0..3)
                    .prop_map(|pairs| Value::Map(TEXT, STRUCT, pairs)),
            ]
        })
    }

    fn read(mut bytes: &[u8], sequence: i32) -> io::Result<Answer> {
        futures::executor::block_on(answer(&mut bytes, sequence))
    }

    proptest! {
        #[test]
        fn whatever_is_sent_comes_back(fields in proptest::collection::btree_map(0..i16::MAX, values(), 0..6), sequence: i32) {
            let sent = Struct(fields);
            let Answer::Result(found) = read(&reply(REPLY, sequence, &sent), sequence).expect("read") else { panic!("a result") };
            prop_assert_eq!(found, sent);
        }

        #[test]
        fn what_is_cut_or_garbled_is_an_error_and_no_panic(fields in proptest::collection::btree_map(0..i16::MAX, values(), 1..6), at: prop::sample::Index, with: u8) {
            let whole = reply(REPLY, 1, &Struct(fields));
            prop_assert!(read(&whole[..at.index(whole.len())], 1).is_err());
            let mut garbled = whole;
            let place = at.index(garbled.len());
            garbled[place] = with;
            drop(read(&garbled, 1));
        }
    }

    #[test]
    fn a_call_is_written_as_other_clients_write_it() {
        let arguments = Struct::new().with(1, "db").with(2, true);
        let expected = b"\x80\x01\x00\x01\x00\x00\x00\x04drop\x00\x00\x00\x07\x0b\x00\x01\x00\x00\x00\x02db\x02\x00\x02\x01\x00";
        assert_eq!(call("drop", 7, &arguments).as_ref(), expected);
    }

    #[test]
    fn a_refusal_has_its_text_and_another_answer_is_not_taken() {
        let refusal = Struct::new().with(1, "Invalid method name").with(2, 1);
        let Answer::Refused(text, kind) = read(&reply(EXCEPTION, 3, &refusal), 3).expect("read") else { panic!("a refusal") };
        assert_eq!((text.as_str(), kind), ("Invalid method name", 1));
        assert_eq!(read(&reply(REPLY, 3, &refusal), 4).expect_err("another").kind(), io::ErrorKind::InvalidData);
        assert_eq!(read(b"HTTP/1.1 400 Bad Request\r\n\r\n", 1).expect_err("no Thrift").kind(), io::ErrorKind::InvalidData);
    }
}
