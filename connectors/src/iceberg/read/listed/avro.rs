//! Avro's binary encoding and object container files (Avro specification 1.11), as far as manifests need them. Pure.

use std::collections::HashMap;
use std::io::Read;

use flate2::bufread::DeflateDecoder;

use super::avro_schema::Node;

/// That a file is not as it is expected here. It may be right all the same: another reader has the last word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(in crate::iceberg::read) struct Unusual(pub(super) &'static str);

pub(super) type Outcome<T> = Result<T, Unusual>;

const MAGIC: &[u8] = b"Obj\x01";
const SYNC: usize = 16;
/// A block that unpacks to more than this is not believed.
const MOST: u64 = 1 << 30;

/// Encoded data, read from its beginning.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// What has been read since `before`, which this was once.
    pub(super) fn since(self, before: Self) -> &'a [u8] {
        before.0.get(..before.0.len().saturating_sub(self.0.len())).unwrap_or_default()
    }

    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Outcome<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Unusual("data ends early"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// A whole number: zigzag, seven bits a byte.
    #[inline]
    pub(super) fn long(&mut self) -> Outcome<i64> {
        let mut value = 0_u64;
        for (index, byte) in self.0.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.0 = self.0.get(index + 1..).unwrap_or_default();
                return Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()));
            }
        }
        Err(Unusual("a number is cut off"))
    }

    #[inline]
    pub(super) fn length(&mut self) -> Outcome<usize> {
        usize::try_from(self.long()?).map_err(|_negative| Unusual("a length is negative"))
    }

    #[inline]
    pub(super) fn bytes(&mut self) -> Outcome<&'a [u8]> {
        let length = self.length()?;
        self.take(length)
    }

    /// Calls `each` for every item of an array or a map.
    #[inline]
    pub(super) fn items(&mut self, mut each: impl FnMut(&mut Self) -> Outcome<()>) -> Outcome<()> {
        loop {
            let count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                // Its size in bytes stands behind a negative count.
                self.long()?;
            }
            for _ in 0..count.unsigned_abs() {
                let before = self.0.len();
                each(self)?;
                if self.0.len() == before {
                    return Err(Unusual("items without content"));
                }
            }
        }
    }

    /// Passes over a value.
    pub(super) fn skip(&mut self, node: &Node) -> Outcome<()> {
        match node {
            Node::Null => Ok(()),
            Node::Boolean => self.take(1).map(drop),
            Node::Int | Node::Long => self.long().map(drop),
            Node::Float => self.take(4).map(drop),
            Node::Double => self.take(8).map(drop),
            Node::Bytes | Node::Text => self.bytes().map(drop),
            Node::Fixed(size) => self.take(*size).map(drop),
            Node::Decimal(inner) => self.skip(inner),
            Node::Record(fields) => fields.iter().try_for_each(|(_, field)| self.skip(field)),
            Node::Array(item) => self.items(|cursor| cursor.skip(item)),
            Node::Map(value) => self.items(|cursor| {
                cursor.bytes()?;
                cursor.skip(value)
            }),
            Node::Union(_) => {
                let branch = self.branch(node)?;
                self.skip(branch)
            }
        }
    }

    /// The type that the next value has: of a union, the branch that is chosen.
    #[inline]
    pub(super) fn branch<'n>(&mut self, node: &'n Node) -> Outcome<&'n Node> {
        let Node::Union(branches) = node else { return Ok(node) };
        let index = self.length()?;
        branches.get(index).map(AsRef::as_ref).ok_or(Unusual("a union has no such branch"))
    }
}

/// An object container file.
#[derive(Debug)]
pub(super) struct Container<'a> {
    /// The file's own metadata, the schema among it.
    pub(super) metadata: HashMap<&'a str, &'a [u8]>,
    deflated: bool,
    sync: &'a [u8],
    blocks: Cursor<'a>,
}

impl<'a> Container<'a> {
    pub(super) fn open(file: &'a [u8]) -> Outcome<Self> {
        let mut cursor = Cursor::new(file);
        if cursor.take(MAGIC.len())? != MAGIC {
            return Err(Unusual("no Avro file"));
        }
        let mut metadata = HashMap::new();
        cursor.items(|cursor| {
            let key = std::str::from_utf8(cursor.bytes()?).map_err(|_bytes| Unusual("a key is no text"))?;
            metadata.insert(key, cursor.bytes()?);
            Ok(())
        })?;
        let deflated = match metadata.get("avro.codec").copied() {
            None | Some(b"null" | b"") => false,
            Some(b"deflate") => true,
            Some(_) => return Err(Unusual("another codec")),
        };
        let sync = cursor.take(SYNC)?;
        Ok(Self { metadata, deflated, sync, blocks: cursor })
    }

    /// Calls `each` for every object.
    pub(super) fn objects(mut self, mut each: impl FnMut(&mut Cursor<'_>) -> Outcome<()>) -> Outcome<()> {
        let mut unpacked = Vec::new();
        while !self.blocks.is_empty() {
            let count = self.blocks.length()?;
            let stored = self.blocks.bytes()?;
            if self.blocks.take(SYNC)? != self.sync {
                return Err(Unusual("a block does not end where it should"));
            }
            let data = if self.deflated {
                unpacked.clear();
                let read = DeflateDecoder::new(stored).take(MOST).read_to_end(&mut unpacked);
                read.map_err(|_damaged| Unusual("a block cannot be unpacked"))?;
                &unpacked
            } else {
                stored
            };
            let mut cursor = Cursor::new(data);
            for _ in 0..count {
                each(&mut cursor)?;
            }
            if !cursor.is_empty() {
                return Err(Unusual("a block holds more than its objects"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_to_their_ends() {
        let long = |bytes: &[u8]| Cursor::new(bytes).long();
        assert_eq!([&[0_u8][..], &[1], &[2], &[0x80, 1]].map(long), [Ok(0), Ok(-1), Ok(1), Ok(64)]);
        assert_eq!(long(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), Ok(i64::MIN));
        assert_eq!(long(&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), Ok(i64::MAX));
        for cut_off in [&[][..], &[0x80], &[0x80; 11]] {
            long(cut_off).expect_err("cut off");
        }
    }

    #[test]
    fn arrays_may_be_in_several_blocks_with_or_without_a_size() {
        let mut cursor = Cursor::new(&[4, 2, 4, 3, 4, 6, 8, 0, 99]);
        let mut read = Vec::new();
        cursor.items(|cursor| cursor.long().map(|value| read.push(value))).expect("an array");
        assert_eq!((read, cursor.long()), (vec![1, 2, 3, 4], Ok(-50)));
    }

    #[test]
    fn an_endless_array_of_nothing_is_refused() {
        let many = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        Cursor::new(&many).skip(&Node::Array(Node::Null.into())).expect_err("endless");
    }
}
