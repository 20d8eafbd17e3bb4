//! Many Parquet files made one without decoding a page.
//!
//! [`Layout`] makes the footer of the new file from those of the inputs: column and offset indexes, statistics and bloom filters
//! are taken over, so that the result is pruned like any other file. [`shape`] says which files go together. The pages themselves go from store to store
//! in pieces. Memory: what the upload holds (25 MiB), [`AHEAD`] batches of small inputs or pieces of large ones, and the footers, of which
//! [`MOST_CHUNKS`](shape::MOST_CHUNKS) bounds the sum: less than 72 MiB, whatever the files' sizes.

mod input;
mod layout;
mod metrics;
mod parts;
mod shape;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use iceberg::spec::{DataFile, Schema};
use parquet::errors::ParquetError;
use weir_base::memory::{MemoryBudget, Use};
use weir_base::task::{TaskError, spawn};
use weir_base::{ErrorKind, compute};
use weir_catalog::read::SlimFile;
use weir_connectors::ConnectorError;
use weir_connectors::iceberg::{Upload, file_system_error};
use weir_fs::FileSystems;

use self::input::{Input, Large, Read, Whole, batches, read};
use self::layout::Layout;
use self::metrics::merged;
pub(crate) use self::parts::{leaf_columns, parts};
use self::shape::Size;
pub use self::shape::{Codec, Obstacle};

/// Batches of inputs, or pieces of one, that are read ahead.
const AHEAD: usize = 4;
/// Largest piece of an input, the largest file that is read in one request, and the most bytes of a batch of such files.
const PIECE: u64 = 2 << 20;
/// What begins and ends a Parquet file.
const MAGIC: &[u8] = b"PAR1";

/// A copy to make.
#[derive(Debug, Clone)]
pub struct Copy<'a> {
    /// The table's name, for messages.
    pub table: &'a str,
    /// Files of one partition, to none of which deletes apply, oldest first.
    pub inputs: &'a [&'a SlimFile],
    /// The table's schema.
    pub schema: &'a Schema,
    /// URI of the new file, which an intent log knows.
    pub path: &'a str,
    /// Codec that the table wants.
    pub codec: Codec,
    /// Where the files are.
    pub file_systems: &'a FileSystems,
    /// What is charged.
    pub budget: &'a MemoryBudget,
}

/// How a copy ended.
#[derive(Debug)]
pub enum Copied {
    /// The new file; it is in the store.
    Done(Box<DataFile>),
    /// The files cannot be copied into one: decode them. Nothing is left in the store.
    Hindered(Obstacle),
}

/// Why there is no copy.
#[derive(Debug)]
enum Stopped {
    Hindered(Obstacle),
    /// By this file.
    Unreadable(String, ParquetError),
    Failed(ConnectorError),
}

impl From<Obstacle> for Stopped {
    fn from(obstacle: Obstacle) -> Self {
        Self::Hindered(obstacle)
    }
}

impl From<ConnectorError> for Stopped {
    fn from(error: ConnectorError) -> Self {
        Self::Failed(error)
    }
}

impl From<TaskError> for Stopped {
    fn from(error: TaskError) -> Self {
        Self::Failed(ConnectorError::internal(error.to_string()).with_source(error))
    }
}

impl Stopped {
    fn by(path: &str) -> impl FnOnce(ParquetError) -> Self + use<> {
        let path = path.to_owned();
        move |error| Self::Unreadable(path, error)
    }
}

impl Copy<'_> {
    /// Makes it.
    ///
    /// # Errors
    /// The stores', inputs that are missing or no Parquet files (corrupt). Nothing is left then, as far as the store allows.
    pub async fn run(&self) -> Result<Copied, ConnectorError> {
        let location = self.file_systems.resolve(self.path).map_err(file_system_error)?;
        let mut upload = Upload::new(location);
        let made = async {
            let layout = self.pages(&mut upload).await?;
            self.footer(layout, &mut upload).await
        };
        let stopped = match made.await {
            Ok(file) => return upload.finish().await.map(|()| Copied::Done(Box::new(file))),
            Err(stopped) => stopped,
        };
        upload.abort().await;
        match stopped {
            Stopped::Hindered(obstacle) => Ok(Copied::Hindered(obstacle)),
            Stopped::Unreadable(path, error) => Err(self.unreadable(&path, error)),
            Stopped::Failed(error) => Err(error),
        }
    }

    /// Sends the pages of all inputs.
    async fn pages(&self, upload: &mut Upload) -> Result<Layout, Stopped> {
        // What is read ahead, taken in, and of a large file on its way.
        let read_bytes = (2 * AHEAD as u64 + 1) * PIECE;
        let mut charged = self.budget.reservation(Use::Writers);
        charged.resize(read_bytes);
        // Each batch in a task of its own: it is read while those before are taken in and sent.
        let read = |batch| spawn("parquet-copy-read", read(self.file_systems.clone(), batch));
        let mut reads = stream::iter(batches(self.inputs)).map(read).buffered(AHEAD);
        let mut draft = Draft::new(self.codec);
        upload.put(vec![MAGIC.into()]).await?;
        while let Some(read) = reads.next().await {
            draft = match read?? {
                Read::Wholes(files) => {
                    let (next, pages) = compute::run("parquet-copy", move || draft.with_wholes(&files)).await??;
                    upload.put(pages).await?;
                    next
                }
                Read::Large(large) => self.send_large(draft, *large, upload).await?,
            };
            charged.resize(read_bytes + upload.memory() as u64 + draft.size.memory());
        }
        draft.layout.ok_or_else(|| ConnectorError::internal("a copy of no files").into())
    }

    async fn send_large(&self, draft: Draft, mut large: Large, upload: &mut Upload) -> Result<Draft, Stopped> {
        let size = draft.size.plus(&large.input.footer)?;
        large.read_bloom_filters().await.map_err(Stopped::by(&large.path))?;
        let mut pages = large.pages();
        let (mut draft, Large { path, input, .. }) = (Draft { size, ..draft }, large);
        let named = path.clone();
        let draft = compute::run("parquet-copy", move || draft.add(&named, input).map(|()| draft)).await??;
        while let Some(page) = pages.try_next().await.map_err(Stopped::by(&path))? {
            upload.put(vec![page]).await?;
        }
        Ok(draft)
    }

    /// Sends the footer and describes the file.
    async fn footer(&self, layout: Layout, upload: &mut Upload) -> Result<DataFile, Stopped> {
        let footer = compute::run("parquet-copy", move || layout.finish()).await?.map_err(Stopped::by(self.path))?;
        let path = self.file_systems.for_metadata(self.path).map_err(file_system_error)?;
        let file = merged(self.inputs, self.schema, path, footer.bytes, footer.split_offsets).map_err(|what| self.wrong(&what))?;
        if file.record_count() != footer.rows {
            return Err(self.wrong(&format!("its inputs have {} rows, and the table says {}", footer.rows, file.record_count())).into());
        }
        upload.put(vec![footer.tail]).await?;
        Ok(file)
    }

    fn wrong(&self, what: &str) -> ConnectorError {
        ConnectorError::new(ErrorKind::Corrupt, format!("table '{}': the copy '{}': {what}", self.table, self.path))
    }

    fn unreadable(&self, path: &str, error: ParquetError) -> ConnectorError {
        let of_store = match &error {
            ParquetError::External(source) => source.downcast_ref::<object_store::Error>(),
            _ => None,
        };
        let kind = match of_store {
            Some(object_store::Error::NotFound { .. }) | None => ErrorKind::Corrupt,
            Some(_) => ErrorKind::Transient,
        };
        ConnectorError::new(kind, format!("table '{}': file '{path}' cannot be copied: {error}", self.table)).with_source(error)
    }
}

/// The copy as far as it has come. Works on the CPU alone.
#[derive(Debug)]
struct Draft {
    codec: Codec,
    size: Size,
    /// `None` before the first input.
    layout: Option<Layout>,
}

impl Draft {
    fn new(codec: Codec) -> Self {
        Self { codec, size: Size::default(), layout: None }
    }

    /// With small files; and their pages.
    fn with_wholes(mut self, files: &[Whole]) -> Result<(Self, Vec<Bytes>), Stopped> {
        let mut pages = Vec::new();
        for file in files {
            let mut input = file.open().map_err(Stopped::by(&file.path))?;
            self.size = self.size.plus(&input.footer)?;
            input.bloom_filters = file.bloom_filters(&input).map_err(Stopped::by(&file.path))?;
            for range in input.pieces(PIECE) {
                pages.push(file.read(range).map_err(Stopped::by(&file.path))?);
            }
            self.add(&file.path, input)?;
        }
        Ok((self, pages))
    }

    /// Adds an input, which [`Size`] has let in and whose bloom filters are read.
    fn add(&mut self, path: &str, input: Input) -> Result<(), Stopped> {
        let layout = match &mut self.layout {
            Some(layout) => layout,
            None => self.layout.insert(Layout::begin(&input, self.codec).map_err(Stopped::by(path))?),
        };
        Ok(layout.add(input).map_err(Stopped::by(path))??)
    }
}
