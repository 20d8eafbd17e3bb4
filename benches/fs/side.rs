//! A store with what is measured on it: the same files, moved by the plain client or by ours.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use serde_json::Value;
use weir_fs::FileSystems;
use weir_fs::transfer::Place;

use crate::child::{Used, watch};
use crate::name_node::Counters;
use crate::ours::{Task, Told};
use crate::plain::{Boto, HadoopShell, Plain};
use crate::report::Figures;
use crate::{Outcome, same};

const LIMIT: Duration = Duration::from_secs(600);

/// Which way files go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Put,
    Get,
}

impl Direction {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "get",
        }
    }
}

/// The files of a run, in a local folder.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) folder: PathBuf,
    pub(crate) files: u64,
    /// Bytes of each.
    pub(crate) size: u64,
    pub(crate) at_once: usize,
}

impl Load {
    /// Makes files of `size` MiB that cannot be compressed.
    pub(crate) fn make(scratch: &Path, size: u64, files: u64, at_once: usize) -> Outcome<Self> {
        let load = Self { folder: scratch.join("load"), files, size: size << 20, at_once };
        std::fs::create_dir(&load.folder)?;
        let mut state = 1_u64;
        let mut block = vec![0_u8; 1 << 20];
        for name in load.names() {
            let mut file = std::io::BufWriter::new(std::fs::File::create(load.folder.join(name))?);
            for _ in 0..size {
                for word in block.chunks_exact_mut(8) {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    word.copy_from_slice(&state.to_be_bytes());
                }
                file.write_all(&block)?;
            }
            file.flush()?;
        }
        Ok(load)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        (0..self.files).map(|number| format!("part-{number:05}")).collect()
    }

    fn bytes(&self) -> u64 {
        self.files * self.size
    }

    pub(crate) fn remove(&self) -> std::io::Result<()> {
        std::fs::remove_dir_all(&self.folder)
    }
}

/// A store and both clients of it.
pub(crate) struct Side {
    /// Where the benchmark may write.
    uri: String,
    /// The environment of both clients.
    environment: Vec<(&'static str, String)>,
    plain: Box<dyn Plain>,
    name_node: Option<Counters>,
}

impl Side {
    /// The store `name`, whose server has these addresses.
    pub(crate) fn try_new(name: &str, addresses: &Value) -> Outcome<Self> {
        let address = |key: &str| addresses[key].as_str().map(str::to_owned).ok_or_else(|| format!("{name} has no address `{key}`"));
        match name {
            "hdfs" => Ok(Self {
                uri: format!("{}/bench", address("uri")?),
                environment: Vec::new(),
                plain: Box::new(HadoopShell { classpath: address("classpath")? }),
                name_node: Some(Counters::of(&address("http")?)),
            }),
            "s3" => Ok(Self {
                uri: format!("s3://{}/bench", address("bucket")?),
                environment: vec![
                    ("AWS_ENDPOINT_URL", address("endpoint")?),
                    ("AWS_ACCESS_KEY_ID", address("access_key")?),
                    ("AWS_SECRET_ACCESS_KEY", address("secret_key")?),
                    ("AWS_DEFAULT_REGION", address("region")?),
                ],
                plain: Box::new(Boto::try_new()?),
                name_node: None,
            }),
            other => Err(format!("there is no store `{other}`; there are hdfs and s3").into()),
        }
    }

    /// One run of the plain client.
    pub(crate) fn plain(&self, direction: Direction, load: &Load) -> Outcome<Figures> {
        self.moved(direction, load, |here, there| self.plain.command(direction, load, here, there))
    }

    /// One run of ours.
    pub(crate) fn ours(&self, direction: Direction, load: &Load) -> Outcome<Figures> {
        self.moved(direction, load, |here, there| {
            let (here, there, names, at_once) = (here.to_owned(), there.to_owned(), load.names(), load.at_once);
            child(&match direction {
                Direction::Put => Task::Put { here, there, names, at_once },
                Direction::Get => Task::Get { here, there, names, at_once },
            })
        })
    }

    /// Reads ranges of the first file with ours.
    pub(crate) fn ranges(&self, load: &Load, count: usize) -> Outcome<Figures> {
        let of = format!("{}/{}", self.uri, load.names().remove(0));
        self.measured(child(&Task::Ranges { of, size: load.size, count })?, 0)
    }

    /// Deletes everything of the benchmark in the store.
    pub(crate) fn clear(&self) -> Outcome<()> {
        self.with_place(async |place| {
            let store = &place.location().store;
            let listed = store.list(Some(place.path())).map(|item| item.map(|meta| meta.location)).boxed();
            store.delete_stream(listed).try_collect::<Vec<_>>().await?;
            // Hadoop's shell puts several files into a folder only.
            if let Some(folders) = place.folders() { folders.make(place.path()).await } else { Ok(()) }
        })
    }

    /// Moves the load by what `command` gives for a local folder and the place in the store, and checks that it arrived.
    fn moved(&self, direction: Direction, load: &Load, command: impl Fn(&Path, &str) -> Outcome<Command>) -> Outcome<Figures> {
        match direction {
            Direction::Put => {
                self.clear()?;
                let figures = self.measured(command(&load.folder, &self.uri)?, load.bytes())?;
                let arrived = self.stored()?;
                if arrived == load.bytes() { Ok(figures) } else { Err(format!("{arrived} of {} bytes are in the store", load.bytes()).into()) }
            }
            Direction::Get => {
                let beside = load.folder.parent().unwrap_or(&load.folder);
                let copy = tempfile::tempdir_in(beside)?;
                let figures = self.measured(command(copy.path(), &self.uri)?, load.bytes())?;
                if same(&load.folder, copy.path())? { Ok(figures) } else { Err("what came is not what was sent".into()) }
            }
        }
    }

    /// Runs a command in the environment of this store.
    fn measured(&self, mut command: Command, bytes: u64) -> Outcome<Figures> {
        let (told, said) = (tempfile::NamedTempFile::new()?, tempfile::NamedTempFile::new()?);
        command.envs(self.environment.iter().map(|(key, value)| (key, value))).stdin(Stdio::null());
        command.stdout(told.reopen()?).stderr(said.reopen()?);
        let before = self.name_node.as_ref().map(Counters::read).transpose()?;
        let used = watch(command.spawn()?, LIMIT);
        let Used { wall, cpu, peak } = used.map_err(|error| format!("{error}\n{}", std::fs::read_to_string(said.path()).unwrap_or_default()))?;
        let calls = match (&self.name_node, before) {
            (Some(counters), Some(before)) => counters.read()?.since(&before),
            _ => Default::default(),
        };
        let told: Told = serde_json::from_str(&std::fs::read_to_string(told.path())?).unwrap_or_default();
        Ok(Figures { bytes, wall, cpu, peak, requests: told.requests, calls, counted: told.name_node_calls })
    }

    /// Bytes of the benchmark in the store.
    fn stored(&self) -> Outcome<u64> {
        self.with_place(async |place| place.location().store.list(Some(place.path())).try_fold(0, async |sum, meta| Ok(sum + meta.size)).await)
    }

    fn with_place<T>(&self, work: impl AsyncFnOnce(Place) -> object_store::Result<T>) -> Outcome<T> {
        let environment = weir_fs::Environment::new(self.environment.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        let place = FileSystems::with_environment(Default::default(), environment).place(&self.uri)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(work(place))?)
    }
}

fn child(task: &Task) -> Outcome<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--ours").arg(serde_json::to_string(task)?);
    Ok(command)
}
