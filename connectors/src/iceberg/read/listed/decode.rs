//! Manifests straight from their Avro files. What planning does not use is passed over without a look.

use std::collections::HashMap;
use std::sync::Arc;

use iceberg::spec::{DataContentType, DataFileFormat};
use weir_catalog::avro::{Container, Cursor, Node, Outcome, Unusual};

use super::metrics::{Bound, Count, MetricsBuilder};
use super::{ListedBuilder, ListedFiles, NewFile, Origin, Partition, Rare};

/// Status of an entry whose file is gone.
const DELETED: i64 = 2;
/// Status of an entry whose file came with this manifest.
const ADDED: i64 = 1;

/// A field of a manifest entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EntryField {
    Status,
    Snapshot,
    Sequence,
    DataFile,
    Other,
}

/// A field of a data file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileField {
    Content,
    Path,
    Format,
    Partition,
    Records,
    Bytes,
    ColumnSizes,
    Counts(Count),
    Bounds(Bound),
    KeyMetadata,
    EqualityIds,
    Target,
    BlobOffset,
    BlobLength,
    Other,
}

fn entry_field(name: &str) -> EntryField {
    match name {
        "status" => EntryField::Status,
        "snapshot_id" => EntryField::Snapshot,
        "sequence_number" => EntryField::Sequence,
        "data_file" => EntryField::DataFile,
        _ => EntryField::Other,
    }
}

fn file_field(name: &str) -> FileField {
    match name {
        "content" => FileField::Content,
        "file_path" => FileField::Path,
        "file_format" => FileField::Format,
        "partition" => FileField::Partition,
        "record_count" => FileField::Records,
        "file_size_in_bytes" => FileField::Bytes,
        "column_sizes" => FileField::ColumnSizes,
        "value_counts" => FileField::Counts(Count::Values),
        "null_value_counts" => FileField::Counts(Count::Nulls),
        "nan_value_counts" => FileField::Counts(Count::Nans),
        "lower_bounds" => FileField::Bounds(Bound::Lower),
        "upper_bounds" => FileField::Bounds(Bound::Upper),
        "key_metadata" => FileField::KeyMetadata,
        "equality_ids" => FileField::EqualityIds,
        "referenced_data_file" => FileField::Target,
        "content_offset" => FileField::BlobOffset,
        "content_size_in_bytes" => FileField::BlobLength,
        _ => FileField::Other,
    }
}

fn file_field_without_metrics(name: &str) -> FileField {
    match file_field(name) {
        FileField::Counts(_) | FileField::Bounds(_) => FileField::Other,
        field => field,
    }
}

/// The live files of a manifest, `with_metrics` of their columns or without, in far less memory if the table is wide.
///
/// # Errors
/// A file that is not written as manifests usually are; the Iceberg crate may still read it, or say what is wrong.
pub(in crate::iceberg::read) fn decode(file: &[u8], origin: Origin, with_metrics: bool) -> Outcome<ListedFiles> {
    let container = Container::open(file)?;
    let schema = Node::parse(container.metadata.get("avro.schema").ok_or(Unusual("no schema"))?)?;
    let format = container.metadata.get("format-version").copied().unwrap_or(b"1");
    let entry = fields_of(&schema, entry_field)?;
    let (_, file) = entry.iter().find(|(field, _)| *field == EntryField::DataFile).ok_or(Unusual("entries without files"))?;
    let mut decoder = Decoder {
        // Entries of the first version have no sequence numbers.
        sequence: if format == b"1" { Some(0) } else { None },
        file: fields_of(file, if with_metrics { file_field } else { file_field_without_metrics })?,
        entry,
        builder: ListedBuilder::new(origin),
        partitions: HashMap::new(),
        origin,
    };
    container.objects(|cursor| decoder.entry(cursor))?;
    Ok(decoder.builder.finish())
}

type Fields<F> = Arc<[(F, Arc<Node>)]>;

fn fields_of<F>(node: &Node, field: fn(&str) -> F) -> Outcome<Fields<F>> {
    match node {
        Node::Record(fields) => Ok(fields.iter().map(|(name, node)| (field(name), Arc::clone(node))).collect()),
        _ => Err(Unusual("no record")),
    }
}

struct Decoder {
    origin: Origin,
    sequence: Option<i64>,
    entry: Fields<EntryField>,
    file: Fields<FileField>,
    builder: ListedBuilder,
    /// Numbers of partitions by how they are encoded.
    partitions: HashMap<Box<[u8]>, u32>,
}

impl Decoder {
    fn entry(&mut self, cursor: &mut Cursor<'_>) -> Outcome<()> {
        let (mut status, mut snapshot, mut sequence) = (None, None, self.sequence);
        for (field, node) in Arc::clone(&self.entry).iter() {
            match field {
                EntryField::Status => status = optional_long(cursor, node)?,
                EntryField::Snapshot => snapshot = optional_long(cursor, node)?,
                EntryField::Sequence => sequence = optional_long(cursor, node)?,
                EntryField::DataFile => {
                    let status = status.ok_or(Unusual("a file comes before its status"))?;
                    if status == DELETED {
                        cursor.skip(node)?;
                        continue;
                    }
                    // As an entry inherits them from its manifest.
                    let inherits = status == ADDED || self.origin.sequence == 0;
                    let sequence = sequence.or(inherits.then_some(self.origin.sequence)).ok_or(Unusual("no sequence number"))?;
                    self.file(cursor, status == ADDED, snapshot.unwrap_or(self.origin.snapshot), sequence)?;
                }
                EntryField::Other => cursor.skip(node)?,
            }
        }
        Ok(())
    }

    fn file(&mut self, cursor: &mut Cursor<'_>, added: bool, snapshot: i64, sequence: i64) -> Outcome<()> {
        let mut file = NewFile {
            path: "",
            bytes: 0,
            records: 0,
            sequence,
            snapshot,
            column_bytes: 0,
            format: DataFileFormat::Parquet,
            content: DataContentType::Data,
            added,
        };
        let mut rare = Rare::default();
        let mut partition = None;
        let (mut offset, mut length) = (None, None);
        for (field, node) in Arc::clone(&self.file).iter() {
            match *field {
                FileField::Content => {
                    let content = i32::try_from(long(cursor, node)?).ok().and_then(|content| DataContentType::try_from(content).ok());
                    file.content = content.ok_or(Unusual("an unknown content"))?;
                }
                FileField::Path => file.path = text(cursor, node)?.ok_or(Unusual("no path"))?,
                FileField::Format => {
                    let format = text(cursor, node)?.and_then(|format| format.parse().ok());
                    file.format = format.ok_or(Unusual("an unknown format"))?;
                }
                FileField::Partition => partition = Some(self.partition(cursor, node)?),
                FileField::Records => file.records = count(cursor, node)?,
                FileField::Bytes => file.bytes = count(cursor, node)?,
                FileField::ColumnSizes => {
                    counts(cursor, node, |_, bytes| file.column_bytes = file.column_bytes.saturating_add(bytes))?;
                }
                FileField::Counts(which) => {
                    let metrics = self.builder.metrics();
                    metrics.restart();
                    counts(cursor, node, |id, count| metrics.count(which, id, count))?;
                }
                FileField::Bounds(which) => bounds(cursor, node, which, self.builder.metrics())?,
                FileField::KeyMetadata => rare.encrypted = bytes(cursor, node)?.is_some(),
                FileField::EqualityIds => rare.equality_ids = ids(cursor, node)?,
                FileField::Target => rare.target = text(cursor, node)?.map(Into::into),
                FileField::BlobOffset => offset = optional_long(cursor, node)?,
                FileField::BlobLength => length = optional_long(cursor, node)?,
                FileField::Other => cursor.skip(node)?,
            }
        }
        rare.blob = offset.zip(length);
        self.builder.push(&file, partition.ok_or(Unusual("no partition"))?, rare).ok_or(Unusual("too many paths"))
    }

    fn partition(&mut self, cursor: &mut Cursor<'_>, node: &Node) -> Outcome<u32> {
        let before = *cursor;
        cursor.skip(node)?;
        let encoded = cursor.since(before);
        if let Some(known) = self.partitions.get(encoded) {
            return Ok(*known);
        }
        let Node::Record(fields) = node else { return Err(Unusual("a partition is no record")) };
        let mut values = Cursor::new(encoded);
        let partition: Outcome<Partition> = fields.iter().map(|(_, node)| partition_value(&mut values, node)).collect();
        let number = self.builder.partition(partition?);
        self.partitions.insert(encoded.into(), number);
        Ok(number)
    }
}

/// A partition value. Whole numbers take eight bytes and real ones too, so that one value is the same before and after a promotion.
fn partition_value(cursor: &mut Cursor<'_>, node: &Node) -> Outcome<Option<Box<[u8]>>> {
    let cut_off = |_| Unusual("a number is cut off");
    Ok(Some(match cursor.branch(node)? {
        Node::Null => return Ok(None),
        Node::Boolean => cursor.take(1)?.into(),
        Node::Int | Node::Long => cursor.long()?.to_le_bytes().into(),
        Node::Float => f64::from(f32::from_le_bytes(cursor.take(4)?.try_into().map_err(cut_off)?)).to_le_bytes().into(),
        Node::Double => cursor.take(8)?.into(),
        Node::Bytes | Node::Text => cursor.bytes()?.into(),
        Node::Fixed(size) => cursor.take(*size)?.into(),
        Node::Decimal(stored) => match stored.as_ref() {
            Node::Bytes => shortest(cursor.bytes()?).into(),
            Node::Fixed(size) => shortest(cursor.take(*size)?).into(),
            _ => return Err(Unusual("a decimal of another kind")),
        },
        _ => return Err(Unusual("a partition value of another kind")),
    }))
}

/// A big-endian number without bytes that only repeat its sign.
pub(super) fn shortest(mut number: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = number
        && let [second, ..] = rest
        && (*first == 0 && *second < 0x80 || *first == 0xff && *second >= 0x80)
    {
        number = rest;
    }
    number
}

fn optional_long(cursor: &mut Cursor<'_>, node: &Node) -> Outcome<Option<i64>> {
    match cursor.branch(node)? {
        Node::Null => Ok(None),
        Node::Int | Node::Long => cursor.long().map(Some),
        _ => Err(Unusual("no number")),
    }
}

fn long(cursor: &mut Cursor<'_>, node: &Node) -> Outcome<i64> {
    optional_long(cursor, node)?.ok_or(Unusual("a number is missing"))
}

fn count(cursor: &mut Cursor<'_>, node: &Node) -> Outcome<u64> {
    u64::try_from(long(cursor, node)?).map_err(|_negative| Unusual("a count is negative"))
}

fn bytes<'a>(cursor: &mut Cursor<'a>, node: &Node) -> Outcome<Option<&'a [u8]>> {
    match cursor.branch(node)? {
        Node::Null => Ok(None),
        Node::Bytes | Node::Text => cursor.bytes().map(Some),
        _ => Err(Unusual("no bytes")),
    }
}

fn text<'a>(cursor: &mut Cursor<'a>, node: &Node) -> Outcome<Option<&'a str>> {
    bytes(cursor, node)?.map(|bytes| std::str::from_utf8(bytes).map_err(|_bytes| Unusual("no text"))).transpose()
}

fn ids(cursor: &mut Cursor<'_>, node: &Node) -> Outcome<Vec<i32>> {
    let mut ids = Vec::new();
    match cursor.branch(node)? {
        Node::Null => {}
        Node::Array(item) if is_number(item) => cursor.items(|cursor| {
            ids.push(id(cursor)?);
            Ok(())
        })?,
        _ => return Err(Unusual("ids are no list")),
    }
    Ok(ids)
}

/// Whether there is a map by field id: an array of pairs of a key and a value that `is_value` knows.
fn is_map(cursor: &mut Cursor<'_>, node: &Node, is_value: fn(&Node) -> bool) -> Outcome<bool> {
    let item = match cursor.branch(node)? {
        Node::Null => return Ok(false),
        Node::Array(item) => item,
        _ => return Err(Unusual("no map")),
    };
    let Node::Record(pair) = item.as_ref() else { return Err(Unusual("a map of another kind")) };
    match pair.as_slice() {
        [(key, number), (value, kind)] if key == "key" && value == "value" && is_number(number) && is_value(kind) => Ok(true),
        _ => Err(Unusual("a map of another kind")),
    }
}

fn is_number(node: &Node) -> bool {
    matches!(node, Node::Int | Node::Long)
}

fn id(cursor: &mut Cursor<'_>) -> Outcome<i32> {
    i32::try_from(cursor.long()?).map_err(|_great| Unusual("an id is too great"))
}

/// Calls `each` for the counts of a map; negative ones mean nothing.
fn counts(cursor: &mut Cursor<'_>, node: &Node, mut each: impl FnMut(i32, u64)) -> Outcome<()> {
    if !is_map(cursor, node, is_number)? {
        return Ok(());
    }
    cursor.items(|cursor| {
        let (id, count) = (id(cursor)?, cursor.long()?);
        if let Ok(count) = u64::try_from(count) {
            each(id, count);
        }
        Ok(())
    })
}

fn bounds(cursor: &mut Cursor<'_>, node: &Node, which: Bound, metrics: &mut MetricsBuilder) -> Outcome<()> {
    if !is_map(cursor, node, |node| matches!(node, Node::Bytes))? {
        return Ok(());
    }
    metrics.restart();
    cursor.items(|cursor| {
        let (id, bound) = (id(cursor)?, cursor.bytes()?);
        metrics.bound(which, id, bound).ok_or(Unusual("bounds are too long"))
    })
}
