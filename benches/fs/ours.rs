//! Our side: the task of one run, done by a child process.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectStoreExt, WriteMultipart};
use serde::{Deserialize, Serialize};
use weir_fs::FileSystems;

use crate::Outcome;
use crate::print::line;

/// As data files are written: the size of a part, the most that goes in one request, and parts in flight.
const PART: u64 = 5 << 20;
const IN_FLIGHT: usize = 4;
/// Chunks of a body that are written to the local disk together, if so many have come.
const CHUNKS: usize = 32;
/// Bytes of a range.
const RANGE: u64 = 64 << 10;

/// What the child is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Put files of a local folder into a place in the store.
    Put { here: PathBuf, there: String, names: Vec<String>, at_once: usize },
    /// The other way round.
    Get { here: PathBuf, there: String, names: Vec<String>, at_once: usize },
    /// Read ranges all over a file.
    Ranges { of: String, size: u64, count: usize },
}

/// What the child tells of its requests.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Told {
    /// Requests to the store.
    pub(crate) requests: u64,
    /// Calls to NameNodes as we count them ourselves.
    #[serde(default)]
    pub(crate) name_node_calls: BTreeMap<String, u64>,
}

/// Does the task that stands in `task` as JSON, and prints what it took.
pub(crate) fn perform(task: &str) -> Outcome<()> {
    let task: Task = serde_json::from_str(task)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let file_systems = FileSystems::default();
    runtime.block_on(async {
        match &task {
            Task::Put { here, there, names, at_once } => {
                let all = names.iter().map(|name| put(&file_systems, here.join(name), format!("{there}/{name}")));
                futures::stream::iter(all).buffer_unordered(*at_once).try_collect::<()>().await
            }
            Task::Get { here, there, names, at_once } => {
                let all = names.iter().map(|name| get(&file_systems, format!("{there}/{name}"), here.join(name)));
                futures::stream::iter(all).buffer_unordered(*at_once).try_collect::<()>().await
            }
            Task::Ranges { of, size, count } => ranges(&file_systems, of, *size, *count).await,
        }
    })?;
    let requests = file_systems.io_counts().iter().map(|counts| counts.requests).sum();
    let calls = weir_fs::name_node_calls().into_values().flatten().map(|(call, count)| (call.to_owned(), count));
    line(&serde_json::to_string(&Told { requests, name_node_calls: calls.collect() })?);
    Ok(())
}

/// Writes a local file to the store as data files are written.
async fn put(file_systems: &FileSystems, from: PathBuf, to: String) -> Outcome<()> {
    let target = file_systems.resolve(&to)?;
    let file = File::open(&from)?;
    let first = piece_of(&file).await?;
    if (first.len() as u64) < PART {
        target.store.put(&target.path, first.into()).await?;
        return Ok(());
    }
    let mut parts = WriteMultipart::new_with_chunk_size(target.store.put_multipart(&target.path).await?, usize::try_from(PART)?);
    let mut piece = first;
    while !piece.is_empty() {
        parts.put(piece);
        parts.wait_for_capacity(IN_FLIGHT).await?;
        piece = piece_of(&file).await?;
    }
    parts.finish().await?;
    Ok(())
}

/// The next bytes of a file, none at its end.
async fn piece_of(file: &File) -> Outcome<Bytes> {
    let file = file.try_clone()?;
    let read = weir_base::task::blocking("read", move || {
        let mut piece = Vec::with_capacity(PART as usize);
        file.take(PART).read_to_end(&mut piece).map(|_| Bytes::from(piece))
    });
    Ok(read.await??)
}

/// Writes an object of the store to a local file.
async fn get(file_systems: &FileSystems, from: String, to: PathBuf) -> Outcome<()> {
    let source = file_systems.resolve(&from)?;
    let mut file = File::create(&to)?;
    let mut chunks = source.store.get(&source.path).await?.into_stream().ready_chunks(CHUNKS);
    while let Some(some) = chunks.next().await {
        let some: Vec<Bytes> = some.into_iter().collect::<object_store::Result<_>>()?;
        let written = weir_base::task::blocking("write", move || some.iter().try_for_each(|chunk| file.write_all(chunk)).map(|()| file));
        file = written.await??;
    }
    Ok(())
}

/// Reads as a reader of Parquet does: a few ranges a request, here and there.
async fn ranges(file_systems: &FileSystems, of: &str, size: u64, count: usize) -> Outcome<()> {
    let file = file_systems.resolve(of)?;
    for number in 0..count as u64 {
        // The golden ratio spreads them evenly.
        let start = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (size - RANGE);
        let bytes = file.store.get_range(&file.path, start..start + RANGE).await?;
        if bytes.len() as u64 != RANGE {
            return Err(format!("{} of {RANGE} bytes came", bytes.len()).into());
        }
    }
    Ok(())
}
