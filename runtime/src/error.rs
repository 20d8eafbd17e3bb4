//! What ends or restarts a job.

use std::time::Duration;

use datafusion::error::DataFusionError;
use weir_base::task::TaskError;
use weir_base::{Classified, ErrorKind};
use weir_connectors::ConnectorError;
use weir_fs::FsError;

/// An error of a running job or query.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// A newer process of the same job has taken over.
    #[error(
        "job '{job}' was taken over: epoch {epoch} belongs to another process (attempt {owner}). This one stops and changes nothing more. Hint: run one process a job, or give each its own 'pipeline.name'."
    )]
    Fenced {
        /// Job name.
        job: String,
        /// Epoch that this process could not record.
        epoch: u64,
        /// The attempt that holds it.
        owner: String,
    },
    /// A checkpoint file cannot be used.
    #[error("checkpoint file {file} cannot be used: {reason}")]
    CorruptCheckpoint {
        /// URI of the file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The target holds an epoch that the checkpoints do not know.
    #[error("{target} holds epoch {target_epoch} of sink '{sink}', but the newest checkpoint in {dir} knows its commits only up to {}: an older checkpoint was restored, and going on would write rows twice. Hint: put the newer checkpoints back; or roll the table back to that epoch; or delete the checkpoint directory of this job, and it goes on from what its tables hold.", known(.checkpoint_epoch))]
    TargetAhead {
        /// Target as messages name it.
        target: String,
        /// Sink id.
        sink: String,
        /// Epoch in the target's marker.
        target_epoch: u64,
        /// Epoch of the sink's last commit that the checkpoints know.
        checkpoint_epoch: Option<u64>,
        /// Directory of the job's checkpoints.
        dir: String,
    },
    /// The target lacks an epoch that was committed to it.
    #[error("{target} holds {} of sink '{sink}', but checkpoint {checkpoint_epoch} in {dir} says that later rows were committed to it: the table was rolled back. Hint: restore the table, or delete the checkpoint directory of this job, and it goes on from what its tables hold.", known(.target_epoch))]
    TargetBehind {
        /// Target as messages name it.
        target: String,
        /// Sink id.
        sink: String,
        /// Epoch in the target's marker.
        target_epoch: Option<u64>,
        /// Epoch that the target should hold.
        checkpoint_epoch: u64,
        /// Directory of the job's checkpoints.
        dir: String,
    },
    /// The target was dropped and created again.
    #[error(
        "{target} is not the table that this job wrote: its UUID is {found}, the checkpoint (epoch {epoch}) has {recorded}. The job stops; its offsets have not moved. Hint: restore the old table, or start anew under another 'pipeline.name'."
    )]
    TargetReplaced {
        /// Target as messages name it.
        target: String,
        /// Identity now; `none` if there is no such table.
        found: String,
        /// Identity in the checkpoint.
        recorded: String,
        /// Epoch of the checkpoint.
        epoch: u64,
    },
    /// Another job wrote the same source into the same target.
    #[error(
        "{target} holds rows that job '{other}' read from the same splits (such as {split}); this job, '{job}', would write them again. Hint: is 'pipeline.name' right? If this is meant, confirm it with --confirm-shared-source or 'execution.allow-shared-source'='true'."
    )]
    SharedSource {
        /// Target as messages name it.
        target: String,
        /// This job.
        job: String,
        /// The job whose marker was found.
        other: String,
        /// A split that both read.
        split: String,
    },
    /// No checkpoint is left, and not every sink can say how far it came.
    #[error(
        "job '{job}' has no checkpoint in {dir}, but {marked} holds epoch {epoch} of it, and sink '{sink}' keeps no marker: where to go on is not known. Hint: put the checkpoints back, or start anew under another 'pipeline.name'."
    )]
    NoMarker {
        /// Job name.
        job: String,
        /// Directory of the job's checkpoints.
        dir: String,
        /// A target that has a marker.
        marked: String,
        /// Its epoch.
        epoch: u64,
        /// A sink that keeps none.
        sink: String,
    },
    /// A sink has left the job while one of its commits was unfinished.
    #[error(
        "checkpoint {epoch} in {dir} holds an unfinished commit to sink '{sink}', which the job no longer has. Hint: run the job with that INSERT once more, stop it, and then remove the INSERT."
    )]
    UnfinishedSink {
        /// Sink id.
        sink: String,
        /// Epoch of the checkpoint.
        epoch: u64,
        /// Directory of the job's checkpoints.
        dir: String,
    },
    /// A step did not end in time.
    #[error("{step} did not end within {limit:?} ('execution.checkpointing.timeout')")]
    Timeout {
        /// What was waited for.
        step: &'static str,
        /// The deadline.
        limit: Duration,
    },
    /// A commit did not end in time.
    #[error(
        "the commit of epoch {epoch} to table {target} (sink '{sink}') did not end within {limit:?} ('execution.checkpointing.timeout'), {}", tried(*.tries)
    )]
    CommitTimeout {
        /// Name of the target.
        target: String,
        /// Sink id.
        sink: String,
        /// Epoch.
        epoch: u64,
        /// The deadline.
        limit: Duration,
        /// Tries that ended with an error.
        tries: u32,
        /// The error of the last of them.
        #[source]
        last: Option<Box<ConnectorError>>,
    },
    /// The job was asked to stop and could not end its last epoch in time.
    #[error(
        "the job was asked to stop, but its last epoch was not finished and committed within {limit:?}{waiting}. Nothing is lost: the next start goes on from the last checkpoint."
    )]
    StopTimeout {
        /// How long a stop may take.
        limit: Duration,
        /// What was still waited for, as far as it is known; begins with a separator unless it is empty.
        waiting: String,
    },
    /// The checkpoint store failed.
    #[error("{action} {file} failed")]
    Store {
        /// What was tried, such as `writing`.
        action: &'static str,
        /// URI of the object.
        file: String,
        /// The store's error.
        #[source]
        source: object_store::Error,
    },
    /// Several restarts did not help.
    #[error("gave up after {restarts} restarts ('restart-strategy.type' = '{strategy}')")]
    GaveUp {
        /// Number of restarts.
        restarts: u64,
        /// The strategy's name.
        strategy: &'static str,
        /// The last failure.
        #[source]
        source: Box<RuntimeError>,
    },
    /// A plan could not be made or run.
    #[error("{0}")]
    Plan(DataFusionError),
    /// A source or sink failed.
    #[error(transparent)]
    Connector(#[from] ConnectorError),
    /// A file system could not be opened.
    #[error(transparent)]
    FileSystem(#[from] FsError),
    /// A task panicked.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// A setting is wrong.
    #[error("{0}")]
    Setting(String),
    /// The HTTP endpoint could not be opened.
    #[error("the HTTP endpoint cannot listen on {address}")]
    Listen {
        /// Address asked for.
        address: std::net::SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A defect in Weir.
    #[error("internal: {0}")]
    Internal(String),
}

fn tried(tries: u32) -> String {
    match tries {
        0 => "and its first try was still going on: what that met is in the log".to_owned(),
        1 => "after one try that failed".to_owned(),
        tries => format!("after {tries} tries that failed"),
    }
}

fn known(epoch: &Option<u64>) -> String {
    epoch.map_or_else(|| "no epoch".to_owned(), |epoch| format!("epoch {epoch}"))
}

impl Classified for RuntimeError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Fenced { .. } => ErrorKind::Fenced,
            Self::CorruptCheckpoint { .. } => ErrorKind::Corrupt,
            Self::TargetAhead { .. }
            | Self::TargetBehind { .. }
            | Self::TargetReplaced { .. }
            | Self::SharedSource { .. }
            | Self::NoMarker { .. }
            | Self::UnfinishedSink { .. }
            | Self::Setting(_)
            | Self::Listen { .. } => ErrorKind::User,
            Self::Timeout { .. } | Self::CommitTimeout { .. } | Self::StopTimeout { .. } => ErrorKind::Transient,
            Self::Store { source, .. } => store_kind(source),
            Self::GaveUp { source, .. } => source.kind(),
            Self::Plan(error) => plan_kind(error),
            Self::Connector(error) => error.kind(),
            Self::FileSystem(error) => error.kind(),
            Self::Task(_) | Self::Internal(_) => ErrorKind::Internal,
        }
    }
}

impl From<DataFusionError> for RuntimeError {
    fn from(error: DataFusionError) -> Self {
        match error {
            DataFusionError::External(cause) => match cause.downcast::<ConnectorError>() {
                Ok(connector) => Self::Connector(*connector),
                Err(cause) => match cause.downcast::<Self>() {
                    Ok(runtime) => *runtime,
                    Err(cause) => Self::Plan(DataFusionError::External(cause)),
                },
            },
            DataFusionError::Context(_, inner) => Self::from(*inner),
            other => Self::Plan(other),
        }
    }
}

/// Data and expressions are the user's; memory is too, for it is a setting.
fn plan_kind(error: &DataFusionError) -> ErrorKind {
    match error.find_root() {
        DataFusionError::Internal(_) | DataFusionError::ExecutionJoin(_) | DataFusionError::Ffi(_) => ErrorKind::Internal,
        DataFusionError::IoError(_) => ErrorKind::Transient,
        DataFusionError::ObjectStore(error) => store_kind(error),
        DataFusionError::External(cause) => match (cause.downcast_ref::<ConnectorError>(), cause.downcast_ref::<RuntimeError>()) {
            (Some(error), _) => error.kind(),
            (_, Some(error)) => error.kind(),
            _ => ErrorKind::Internal,
        },
        _ => ErrorKind::User,
    }
}

/// What lies under a name may change between two requests of ours: then the requests are made again.
fn store_kind(error: &object_store::Error) -> ErrorKind {
    match error {
        object_store::Error::NotFound { .. } => ErrorKind::Transient,
        other => match weir_fs::kind_of(other) {
            ErrorKind::Conflict => ErrorKind::Transient,
            kind => kind,
        },
    }
}
