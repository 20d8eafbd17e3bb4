//! Avro's binary encoding and object container files (Avro specification 1.11), as far as manifests need them. Pure.

mod schema;

use std::collections::HashMap;
use std::io::Read;

use flate2::bufread::DeflateDecoder;

pub use schema::Node;

/// That a file is not as it is expected here. It may be right all the same: another reader has the last word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unusual(pub &'static str);

/// A value, or that the file is unusual.
pub type Outcome<T> = Result<T, Unusual>;

const MAGIC: &[u8] = b"Obj\x01";
const SYNC: usize = 16;
/// A block that unpacks to more than this is not believed.
const MOST: u64 = 1 << 30;

/// Encoded data, read from its beginning.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    /// At the beginning of `data`.
    #[must_use]
    #[inline]
    pub fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    /// What is left.
    #[must_use]
    #[inline]
    pub fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Whether everything was read.
    #[must_use]
    #[inline]
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// What has been read since `before`, which this was once.
    #[must_use]
    #[inline]
    pub fn since(self, before: Self) -> &'a [u8] {
        before.0.get(..before.0.len().saturating_sub(self.0.len())).unwrap_or_default()
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// There are not so many.
    #[inline]
    pub fn take(&mut self, count: usize) -> Outcome<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Unusual("data ends early"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// A whole number: zigzag, seven bits a byte.
    ///
    /// # Errors
    /// Data that ends early, or is something else.
    #[inline]
    pub fn long(&mut self) -> Outcome<i64> {
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

    /// A number that is not negative.
    ///
    /// # Errors
    /// Data that ends early, or is something else.
    #[inline]
    pub fn length(&mut self) -> Outcome<usize> {
        usize::try_from(self.long()?).map_err(|_negative| Unusual("a length is negative"))
    }

    /// Bytes, or the letters of a text.
    ///
    /// # Errors
    /// Data that ends early, or is something else.
    #[inline]
    pub fn bytes(&mut self) -> Outcome<&'a [u8]> {
        let length = self.length()?;
        self.take(length)
    }

    /// Calls `each` for every item of an array or a map.
    ///
    /// # Errors
    /// Data that ends early, or is something else.
    #[inline]
    pub fn items(&mut self, mut each: impl FnMut(&mut Self) -> Outcome<()>) -> Outcome<()> {
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
    ///
    /// # Errors
    /// Data that ends early, or is something else.
    #[inline]
    pub fn skip(&mut self, node: &Node) -> Outcome<()> {
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
    ///
    /// # Errors
    /// Data that ends early, or is something else.
    #[inline]
    pub fn branch<'n>(&mut self, node: &'n Node) -> Outcome<&'n Node> {
        let Node::Union(branches) = node else { return Ok(node) };
        let index = self.length()?;
        branches.get(index).map(AsRef::as_ref).ok_or(Unusual("a union has no such branch"))
    }
}

/// An object container file.
#[derive(Debug)]
pub struct Container<'a> {
    /// The file's own metadata, the schema among it.
    pub metadata: HashMap<&'a str, &'a [u8]>,
    deflated: bool,
    /// What stands behind each block.
    sync: &'a [u8],
    blocks: Cursor<'a>,
}

impl<'a> Container<'a> {
    /// Reads the head of a file.
    ///
    /// # Errors
    /// Another kind of file, or another codec than none and `deflate`.
    pub fn open(file: &'a [u8]) -> Outcome<Self> {
        let (metadata, mut cursor) = read_head(file)?;
        let deflated = match metadata.get("avro.codec").copied() {
            None | Some(b"null" | b"") => false,
            Some(b"deflate") => true,
            Some(_) => return Err(Unusual("another codec")),
        };
        let sync = cursor.take(SYNC)?;
        Ok(Self { metadata, deflated, sync, blocks: cursor })
    }

    /// Calls `each` for every object.
    ///
    /// # Errors
    /// Its own, or blocks that are damaged.
    pub fn objects(mut self, mut each: impl FnMut(&mut Cursor<'_>) -> Outcome<()>) -> Outcome<()> {
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

/// The metadata at the head of a container file; the cursor stands before the sync marker.
pub(crate) fn read_head(file: &[u8]) -> Outcome<(HashMap<&str, &[u8]>, Cursor<'_>)> {
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
    Ok((metadata, cursor))
}

/// A head with this metadata.
pub(crate) fn write_head(metadata: &HashMap<&str, &[u8]>) -> Vec<u8> {
    let mut file = MAGIC.to_vec();
    write_length(metadata.len(), &mut file);
    for (key, value) in metadata {
        write_bytes(key.as_bytes(), &mut file);
        write_bytes(value, &mut file);
    }
    write_length(0, &mut file);
    file
}

/// Writes the objects of a container file anew; its metadata and its schema stay, and blocks are not packed.
#[derive(Debug)]
pub(crate) struct Rewrite {
    file: Vec<u8>,
    block: Vec<u8>,
    objects: usize,
    sync: Vec<u8>,
}

/// Bytes from which a block is full.
const FULL: usize = 64 << 10;

impl Rewrite {
    pub(crate) fn of(container: &Container<'_>) -> Self {
        // Said in so many words: PyIceberg takes a file that names no codec for one of gzip.
        let codec: (&str, &[u8]) = ("avro.codec", b"null");
        let metadata = container.metadata.iter().map(|(key, value)| (*key, *value)).chain([codec]).collect();
        let mut file = write_head(&metadata);
        file.extend_from_slice(container.sync);
        Self { file, block: Vec::new(), objects: 0, sync: container.sync.to_vec() }
    }

    /// Where the next object is written.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.block
    }

    /// Ends an object.
    pub(crate) fn end(&mut self) {
        self.objects += 1;
        if self.block.len() >= FULL {
            self.flush();
        }
    }

    fn flush(&mut self) {
        write_length(self.objects, &mut self.file);
        write_bytes(&self.block, &mut self.file);
        self.file.extend_from_slice(&self.sync);
        self.block.clear();
        self.objects = 0;
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        if self.objects > 0 {
            self.flush();
        }
        self.file
    }
}

/// Writes a whole number: zigzag, seven bits a byte.
pub(crate) fn write_long(value: i64, out: &mut Vec<u8>) {
    let mut rest = (value << 1 ^ value >> 63).cast_unsigned();
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Writes a number of items or bytes.
pub(crate) fn write_length(length: usize, out: &mut Vec<u8>) {
    write_long(i64::try_from(length).unwrap_or(i64::MAX), out);
}

/// Writes bytes, or the letters of a text.
pub(crate) fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_length(bytes.len(), out);
    out.extend_from_slice(bytes);
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
