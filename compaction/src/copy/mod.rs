//! Many Parquet files made one without decoding a page.
//!
//! [`Layout`] makes the footer of the new file from those of the inputs: column and offset indexes, statistics and bloom filters
//! are taken over, so that the result is pruned like any other file. [`shape`] says which files go together. The pages themselves go from store to store
//! in pieces. Memory: what the upload holds (25 MiB), [`AHEAD`] small inputs or pieces of large ones, and the footers, of which
//! [`MOST_CHUNKS`](shape::MOST_CHUNKS) bounds the sum: less than 64 MiB, whatever the files' sizes.

mod input;
mod layout;
mod metrics;
mod shape;

use futures::{StreamExt, TryStreamExt, stream};
use iceberg::spec::DataFile;
use parquet::errors::ParquetError;
use weir_base::memory::{MemoryBudget, Use};
use weir_base::{ErrorKind, compute};
use weir_catalog::read::LiveFile;
use weir_connectors::ConnectorError;
use weir_connectors::iceberg::{Upload, file_system_error};
use weir_fs::FileSystems;

use self::input::Input;
use self::layout::{Added, Layout};
use self::metrics::merged;
use self::shape::Size;
pub use self::shape::{Codec, Obstacle};

/// Inputs, or pieces of one, that are read ahead.
const AHEAD: usize = 4;
/// Largest piece of an input, and the largest file that is read in one request.
const PIECE: u64 = 2 << 20;
/// What begins and ends a Parquet file.
const MAGIC: &[u8] = b"PAR1";

/// A copy to make.
#[derive(Debug, Clone)]
pub struct Copy<'a> {
    /// The table's name, for messages.
    pub table: &'a str,
    /// Files of one partition, to none of which deletes apply, oldest first.
    pub inputs: &'a [LiveFile],
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

impl Copy<'_> {
    /// Makes it.
    ///
    /// # Errors
    /// The stores', inputs that are missing or no Parquet files (corrupt). Nothing is left then, as far as the store allows.
    pub async fn run(&self) -> Result<Copied, ConnectorError> {
        let location = self.file_systems.resolve(self.path).map_err(file_system_error)?;
        let mut upload = Upload::new(location);
        match self.pages(&mut upload).await {
            Ok(Ok(layout)) => {
                let written = self.finish(layout, upload).await?;
                Ok(Copied::Done(Box::new(written)))
            }
            Ok(Err(obstacle)) => {
                upload.abort().await;
                Ok(Copied::Hindered(obstacle))
            }
            Err(error) => {
                upload.abort().await;
                Err(error)
            }
        }
    }

    /// Sends the pages of all inputs.
    async fn pages(&self, upload: &mut Upload) -> Result<Result<Option<Layout>, Obstacle>, ConnectorError> {
        let mut charged = self.budget.reservation(Use::Writers);
        let open = |live: &LiveFile| {
            let (path, bytes) = (live.file.file_path().to_owned(), live.file.file_size_in_bytes());
            async move { Input::open(self.file_systems, &path, bytes).await.map_err(|error| self.unreadable(&path, error)) }
        };
        let mut inputs = stream::iter(self.inputs.iter().map(open).collect::<Vec<_>>()).buffered(AHEAD);
        let (mut layout, mut size): (Option<Layout>, Size) = (None, Size::default());
        upload.put(vec![MAGIC.into()]).await?;
        while let Some(mut input) = inputs.try_next().await? {
            let path = input.path.clone();
            size = match size.plus(&input.footer) {
                Ok(size) => size,
                Err(obstacle) => return Ok(Err(obstacle)),
            };
            charged.resize(upload.memory() as u64 + AHEAD as u64 * PIECE + size.memory());
            input.read_bloom_filters().await.map_err(|error| self.unreadable(&path, error))?;
            let (codec, so_far) = (self.codec, layout.take());
            let added = compute::run("parquet-copy", move || so_far.map_or_else(|| Layout::begin(&input, codec), Ok)?.add(input)).await;
            let added = added.map_err(|error| ConnectorError::internal(error.to_string()))?.map_err(|error| self.unreadable(&path, error))?;
            let (next, input) = match added {
                Added::Taken(taken) => *taken,
                Added::Refused(obstacle) => return Ok(Err(obstacle)),
            };
            let mut pieces = stream::iter(input.pieces(PIECE).map(|range| input.read(range)).collect::<Vec<_>>()).buffered(AHEAD);
            while let Some(piece) = pieces.try_next().await.map_err(|error| self.unreadable(&path, error))? {
                upload.put(vec![piece]).await?;
            }
            layout = Some(next);
        }
        Ok(Ok(layout))
    }

    /// Sends the footer and describes the file.
    async fn finish(&self, layout: Option<Layout>, mut upload: Upload) -> Result<DataFile, ConnectorError> {
        let made = async {
            let layout = layout.ok_or_else(|| ConnectorError::internal("a copy of no files"))?;
            let ended = compute::run("parquet-copy", move || layout.finish()).await.map_err(|error| ConnectorError::internal(error.to_string()))?;
            let footer = ended.map_err(|error| self.unreadable(self.path, error))?;
            let path = self.file_systems.for_metadata(self.path).map_err(file_system_error)?;
            let file = merged(self.inputs, path, footer.bytes, footer.split_offsets).map_err(|what| self.wrong(&what))?;
            if file.record_count() != footer.rows {
                return Err(self.wrong(&format!("its inputs have {} rows, and the table says {}", footer.rows, file.record_count())));
            }
            upload.put(vec![footer.tail]).await?;
            Ok(file)
        };
        match made.await {
            Ok(file) => upload.finish().await.map(|()| file),
            Err(error) => {
                upload.abort().await;
                Err(error)
            }
        }
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
