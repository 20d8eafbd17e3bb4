//! The live files that manifests list, in a form made for planning: small in memory, and quick to hold against a condition.
//!
//! A manifest becomes one [`ListedFiles`]: columns over its files, with metrics by field id. A file is a [`ListedFile`], a row of it.
//! [`decode`] makes them straight from the Avro file; what is unusual there takes the way through the Iceberg crate ([`of_entries`]).
//! Values are kept in Iceberg's single-value serialisation, so they depend on no schema.

pub(super) mod decode;
mod metrics;
pub(super) mod of_entries;

use std::collections::HashMap;
use std::sync::Arc;

use iceberg::spec::{DataContentType, DataFileFormat, ManifestContentType};

pub(super) use self::metrics::Metrics;
use self::metrics::MetricsBuilder;

/// Values of the fields of a partition spec, in its order.
pub(super) type Partition = Box<[Option<Box<[u8]>>]>;

/// What decides about a manifest's entries besides the entries: what the manifest list says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub(super) spec_id: i32,
    pub(super) content: ManifestContentType,
    /// Inherited by added files without one.
    pub(super) sequence: i64,
    pub(super) snapshot: i64,
}

/// The live files of one manifest.
#[derive(Debug)]
pub(super) struct ListedFiles {
    pub(super) origin: Origin,
    files: Vec<Fixed>,
    /// All paths, one behind the other.
    paths: Box<str>,
    /// The partitions that occur, each once.
    partitions: Vec<Partition>,
    metrics: HashMap<i32, Metrics>,
    rare: HashMap<usize, Rare>,
}

/// What every file has.
#[derive(Debug, Clone, Copy)]
struct Fixed {
    path_end: u32,
    partition: u32,
    bytes: u64,
    records: u64,
    sequence: i64,
    snapshot: i64,
    /// Bytes of all columns; 0 if that is not known.
    column_bytes: u64,
    format: DataFileFormat,
    content: DataContentType,
    added: bool,
}

/// What few files have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rare {
    pub(super) encrypted: bool,
    pub(super) equality_ids: Vec<i32>,
    /// The one data file that a delete file is about.
    pub(super) target: Option<Box<str>>,
    /// Where in the file a deletion vector is, and its length.
    pub(super) blob: Option<(i64, i64)>,
}

impl Rare {
    /// Bytes that it takes in a table of them, about.
    fn memory(&self) -> usize {
        2 * size_of::<Self>() + self.equality_ids.capacity() * size_of::<i32>() + self.target.as_ref().map_or(0, |target| target.len())
    }
}

/// A file as it is added to a [`ListedBuilder`].
#[derive(Debug, Clone, Copy)]
pub(super) struct NewFile<'a> {
    pub(super) path: &'a str,
    pub(super) bytes: u64,
    pub(super) records: u64,
    pub(super) sequence: i64,
    pub(super) snapshot: i64,
    pub(super) column_bytes: u64,
    pub(super) format: DataFileFormat,
    pub(super) content: DataContentType,
    pub(super) added: bool,
}

impl ListedFiles {
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// The partitions of the files, each once.
    pub(super) fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// The file of a row.
    pub(super) fn file(self: &Arc<Self>, row: usize) -> ListedFile {
        ListedFile { all: Arc::clone(self), row }
    }

    /// The number of a file's partition.
    pub(super) fn partition_of(&self, row: usize) -> usize {
        self.files.get(row).map_or(0, |file| file.partition as usize)
    }

    /// The metrics of a leaf, if any file has some.
    pub(super) fn metrics_of(&self, id: i32) -> Option<&Metrics> {
        self.metrics.get(&id)
    }

    pub(super) fn records(&self, row: usize) -> u64 {
        self.files.get(row).map_or(0, |file| file.records)
    }

    /// Bytes that this takes in memory, about.
    pub(super) fn memory(&self) -> u64 {
        let partition = |one: &Partition| one.iter().map(|value| 24 + value.as_ref().map_or(0, |value| value.len() as u64)).sum::<u64>() + 16;
        let metrics: u64 = self.metrics.values().map(|one| one.memory() + 16).sum();
        let rare: usize = self.rare.values().map(Rare::memory).sum();
        let files = self.files.capacity() * size_of::<Fixed>() + self.paths.len() + rare;
        files as u64 + self.partitions.iter().map(partition).sum::<u64>() + metrics + size_of::<Self>() as u64
    }

    fn path(&self, row: usize) -> &str {
        let end = |row: usize| self.files.get(row).map_or(0, |file| file.path_end as usize);
        let start = row.checked_sub(1).map_or(0, end);
        self.paths.get(start..end(row)).unwrap_or_default()
    }
}

/// One live file of a table.
#[derive(Debug, Clone)]
pub(super) struct ListedFile {
    all: Arc<ListedFiles>,
    row: usize,
}

impl ListedFile {
    fn fixed(&self) -> Option<&Fixed> {
        self.all.files.get(self.row)
    }

    fn metrics(&self, id: i32) -> Option<&Metrics> {
        self.all.metrics_of(id)
    }

    fn rare(&self) -> Option<&Rare> {
        self.all.rare.get(&self.row)
    }

    /// All files of its manifest.
    pub(super) fn all(&self) -> &ListedFiles {
        &self.all
    }

    /// Which of them it is.
    pub(super) fn row(&self) -> usize {
        self.row
    }

    pub(super) fn path(&self) -> &str {
        self.all.path(self.row)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.fixed().map_or(0, |file| file.bytes)
    }

    pub(super) fn records(&self) -> u64 {
        self.all.records(self.row)
    }

    /// Data sequence number.
    pub(super) fn sequence(&self) -> i64 {
        self.fixed().map_or(0, |file| file.sequence)
    }

    /// The snapshot that added it, if this manifest came with that snapshot.
    pub(super) fn added_by(&self) -> Option<i64> {
        self.fixed().filter(|file| file.added).map(|file| file.snapshot)
    }

    pub(super) fn spec_id(&self) -> i32 {
        self.all.origin.spec_id
    }

    pub(super) fn format(&self) -> DataFileFormat {
        self.fixed().map_or(DataFileFormat::Parquet, |file| file.format)
    }

    pub(super) fn content(&self) -> DataContentType {
        self.fixed().map_or(DataContentType::Data, |file| file.content)
    }

    /// Bytes of all columns; 0 if that is not known.
    pub(super) fn column_bytes(&self) -> u64 {
        self.fixed().map_or(0, |file| file.column_bytes)
    }

    pub(super) fn partition(&self) -> &[Option<Box<[u8]>>] {
        self.all.partitions.get(self.all.partition_of(self.row)).map(AsRef::as_ref).unwrap_or_default()
    }

    pub(super) fn nulls(&self, id: i32) -> Option<u64> {
        self.metrics(id)?.nulls.get(self.row, self.records())
    }

    pub(super) fn nans(&self, id: i32) -> Option<u64> {
        self.metrics(id)?.nans.get(self.row, self.records())
    }

    pub(super) fn lower(&self, id: i32) -> Option<&[u8]> {
        self.metrics(id)?.lower.get(self.row)
    }

    pub(super) fn upper(&self, id: i32) -> Option<&[u8]> {
        self.metrics(id)?.upper.get(self.row)
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.rare().is_some_and(|rare| rare.encrypted)
    }

    /// The columns that an equality delete goes by.
    pub(super) fn equality_ids(&self) -> &[i32] {
        self.rare().map(|rare| rare.equality_ids.as_slice()).unwrap_or_default()
    }

    /// The one data file that a delete file is about, if its manifest says so.
    pub(super) fn target(&self) -> Option<&str> {
        self.rare()?.target.as_deref()
    }

    /// Where in the file a deletion vector is, and its length.
    pub(super) fn blob(&self) -> Option<(i64, i64)> {
        self.rare()?.blob
    }
}

/// Collects the files of a manifest. Metrics of a file come before the file itself.
#[derive(Debug)]
pub(super) struct ListedBuilder {
    origin: Origin,
    files: Vec<Fixed>,
    paths: String,
    partitions: Vec<Partition>,
    metrics: MetricsBuilder,
    rare: HashMap<usize, Rare>,
}

impl ListedBuilder {
    pub(super) fn new(origin: Origin) -> Self {
        Self { origin, files: Vec::new(), paths: String::new(), partitions: Vec::new(), metrics: MetricsBuilder::default(), rare: HashMap::new() }
    }

    /// Metrics of the next file.
    fn metrics(&mut self) -> &mut MetricsBuilder {
        &mut self.metrics
    }

    /// Makes a partition known; gives its number.
    fn partition(&mut self, partition: Partition) -> u32 {
        self.partitions.push(partition);
        u32::try_from(self.partitions.len() - 1).unwrap_or(u32::MAX)
    }

    /// Adds a file of a known partition. `None` if its paths are too many for one manifest.
    fn push(&mut self, file: &NewFile<'_>, partition: u32, rare: Rare) -> Option<()> {
        if rare != Rare::default() {
            self.rare.insert(self.files.len(), rare);
        }
        self.paths.push_str(file.path);
        self.files.push(Fixed {
            path_end: u32::try_from(self.paths.len()).ok()?,
            partition,
            bytes: file.bytes,
            records: file.records,
            sequence: file.sequence,
            snapshot: file.snapshot,
            column_bytes: file.column_bytes,
            format: file.format,
            content: file.content,
            added: file.added,
        });
        self.metrics.end_of_file();
        Some(())
    }

    fn finish(mut self) -> ListedFiles {
        self.files.shrink_to_fit();
        let records: Vec<u64> = self.files.iter().map(|file| file.records).collect();
        ListedFiles {
            origin: self.origin,
            paths: self.paths.into_boxed_str(),
            partitions: self.partitions,
            metrics: self.metrics.finish(&records),
            rare: self.rare,
            files: self.files,
        }
    }
}

/// One file by itself, for tests.
#[cfg(test)]
pub(super) fn alone(path: &str, bytes: u64) -> ListedFile {
    let origin = Origin { spec_id: 0, content: ManifestContentType::Data, sequence: 1, snapshot: 1 };
    let mut builder = ListedBuilder::new(origin);
    let partition = builder.partition(Partition::default());
    let file = NewFile {
        path,
        bytes,
        records: 1,
        sequence: 1,
        snapshot: 1,
        column_bytes: 0,
        format: DataFileFormat::Parquet,
        content: DataContentType::Data,
        added: true,
    };
    builder.push(&file, partition, Rare::default()).expect("one file");
    Arc::new(builder.finish()).file(0)
}
