//! What the errors of the client mean: most come as a Java class and a stack trace.

use std::time::Duration;

use hdfs_native::HdfsError;
use object_store::Error as StoreError;
use weir_base::ErrorKind;
use weir_base::task::TaskError;

use super::following::RETRIES;
use super::kerberos::Refusal;
use crate::error::FsError;

/// Why a call brought nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The client says no. Its own words are no source: they hold a Java stack.
    #[error("{}", brief(.0))]
    Hdfs(HdfsError),
    /// The server doesn't believe who we are.
    #[error("{}", .0.text)]
    Refused(Refusal),
    /// No answer in time.
    #[error("no answer within {} s", .0.as_secs_f32())]
    Silent(Duration),
    /// A file got no further block, although the NameNode was asked for it so often.
    #[error(
        "no further block after {asked} questions in {} s: {cause}; DataNodes report too late what they have written: see what holds them up, or raise \
         '{RETRIES}' or 'fs.request.deadline'", .waited.as_secs_f32()
    )]
    NoBlock { cause: Box<Failure>, asked: u32, waited: Duration },
    /// The client panicked or was stopped.
    #[error("{0}")]
    Task(#[source] TaskError),
}

/// What a failure means to whoever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Missing,
    Exists,
    Denied,
    Unauthenticated,
    Wrong,
    Retry,
}

impl Failure {
    fn meaning(&self) -> Meaning {
        match self {
            Self::Hdfs(error) => meaning(error),
            Self::Refused(refusal) if !refusal.may_pass => Meaning::Unauthenticated,
            Self::Refused(_) => Meaning::Retry,
            Self::Silent(_) | Self::NoBlock { .. } | Self::Task(_) => Meaning::Retry,
        }
    }

    /// Whether the file is not there.
    pub(super) fn is_missing(&self) -> bool {
        self.meaning() == Meaning::Missing
    }

    /// Whether there was no further block because the NameNode has not heard of all blocks before yet.
    pub(super) fn is_early(&self) -> bool {
        matches!(self, Self::Hdfs(HdfsError::RPCError(class, _)) if class.ends_with(".NotReplicatedYetException"))
    }

    /// Whether the file is open, or what was asked may go better another time.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self.meaning(), Meaning::Exists | Meaning::Retry)
    }

    /// Whether the server has answered: what was asked was then not done.
    pub(super) fn is_answer(&self) -> bool {
        matches!(self, Self::Hdfs(HdfsError::RPCError(..) | HdfsError::AlreadyExists(_) | HdfsError::FileNotFound(_)))
    }

    /// The failure as an error of the object store, about `path`.
    pub(super) fn about(self, path: &str) -> StoreError {
        let meaning = self.meaning();
        let path = path.to_owned();
        match meaning {
            Meaning::Missing => StoreError::NotFound { path, source: Box::new(self) },
            Meaning::Exists => StoreError::AlreadyExists { path, source: Box::new(self) },
            Meaning::Denied => StoreError::PermissionDenied { path, source: Box::new(self) },
            Meaning::Unauthenticated => StoreError::Unauthenticated { path, source: Box::new(self) },
            Meaning::Wrong => FsError::new(ErrorKind::User, self.to_string()).with_source(self).into_store_error(),
            Meaning::Retry => FsError::new(ErrorKind::Transient, self.to_string()).with_source(self).into_store_error(),
        }
    }
}

fn meaning(error: &HdfsError) -> Meaning {
    match error {
        HdfsError::FileNotFound(_) => Meaning::Missing,
        HdfsError::AlreadyExists(_) => Meaning::Exists,
        HdfsError::InvalidPath(_)
        | HdfsError::InvalidArgument(_)
        | HdfsError::UrlParseError(_)
        | HdfsError::IsADirectoryError(_)
        | HdfsError::UnsupportedErasureCodingPolicy(_)
        | HdfsError::UnsupportedFeature(_) => Meaning::Wrong,
        HdfsError::RPCError(class, message) | HdfsError::FatalRPCError(class, message) => of_class(class, message),
        HdfsError::OperationFailed(text) => of_key_server(text),
        _ => Meaning::Retry,
    }
}

fn of_class(class: &str, message: &str) -> Meaning {
    let name = class.rsplit(['.', '$']).next().unwrap_or(class);
    match name {
        "FileNotFoundException" => Meaning::Missing,
        "FileAlreadyExistsException" => Meaning::Exists,
        "AccessControlException" | "AuthorizationException" => Meaning::Denied,
        "InvalidToken" => Meaning::Unauthenticated,
        "ParentNotDirectoryException"
        | "InvalidPathException"
        | "PathIsNotEmptyDirectoryException"
        | "PathIsDirectoryException"
        | "PathComponentTooLongException"
        | "MaxDirectoryItemsExceededException"
        | "UnsupportedOperationException"
        | "SnapshotAccessControlException"
        | "IllegalArgumentException" => Meaning::Wrong,
        "IOException" if message.contains("must both be directories") => Meaning::Wrong,
        _ if name.ends_with("QuotaExceededException") => Meaning::Wrong,
        _ => Meaning::Retry,
    }
}

/// What the client has no other error for. Key servers may say no, or be away for a while.
fn of_key_server(text: &str) -> Meaning {
    if text.starts_with("KMS request failed (403") || text.contains("KMS rejected") {
        Meaning::Denied
    } else if text.contains("no KMS provider is configured") || text.starts_with("KMS request failed (4") {
        Meaning::Wrong
    } else {
        Meaning::Retry
    }
}

/// The first line of an error, with the class in short: the rest is a Java stack.
fn brief(error: &HdfsError) -> String {
    let text = match error {
        HdfsError::RPCError(class, message) | HdfsError::FatalRPCError(class, message) => {
            format!("{}: {message}", class.rsplit('.').next().unwrap_or(class))
        }
        // The error of the HTTP client names the URI, and the URI has a token in it.
        HdfsError::OperationFailed(text) if text.contains(TOKEN) => without_token(text),
        other => other.to_string(),
    };
    text.lines().next().unwrap_or_default().to_owned()
}

/// How a key server (KMS) is told who asks.
const TOKEN: &str = "delegation=";

fn without_token(text: &str) -> String {
    let mut parts = text.split(TOKEN);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let rest = part.find(['&', ')', ' ']).and_then(|end| part.get(end..)).unwrap_or_default();
        format!("{text}{TOKEN}…{rest}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{is_not_found, kind_of};

    fn rpc(class: &str, message: &str) -> StoreError {
        Failure::Hdfs(HdfsError::RPCError(class.to_owned(), message.to_owned())).about("a/b")
    }

    #[test]
    fn java_classes_are_told_apart() {
        assert!(is_not_found(&rpc("java.io.FileNotFoundException", "rename source /x is not found.")));
        assert!(matches!(rpc("org.apache.hadoop.security.AccessControlException", "no"), StoreError::PermissionDenied { .. }));
        let kind = |class: &str| kind_of(&rpc(class, "text"));
        assert_eq!(kind("org.apache.hadoop.hdfs.protocol.DSQuotaExceededException"), ErrorKind::User);
        assert_eq!(kind("org.apache.hadoop.fs.ParentNotDirectoryException"), ErrorKind::User);
        for class in ["org.apache.hadoop.hdfs.server.namenode.SafeModeException", "org.apache.hadoop.ipc.StandbyException", "java.io.IOException"] {
            assert_eq!(kind(class), ErrorKind::Transient, "{class}");
        }
        assert_eq!(kind_of(&Failure::Silent(Duration::from_secs(1)).about("x")), ErrorKind::Transient);
    }

    #[test]
    fn a_key_server_may_refuse_for_good_and_its_token_is_never_shown() {
        let about = |text: &str| Failure::Hdfs(HdfsError::OperationFailed(text.to_owned())).about("a/b");
        assert!(matches!(about("KMS request failed (403 Forbidden): no"), StoreError::PermissionDenied { .. }));
        assert_eq!(kind_of(&about("File is in an HDFS encryption zone but no KMS provider is configured")), ErrorKind::User);
        let away = about("KMS HTTP error: error sending request for url (https://kms:1/kms/v1/key?a=b&delegation=hunter2&c=d): hunter3");
        let text = weir_base::error::chain(&away);
        assert!(kind_of(&away) == ErrorKind::Transient && !text.contains("hunter2"), "{text}");
        assert!(text.contains("url (https://kms:1/kms/v1/key?a=b&delegation=…&c=d): hunter3"), "{text}");
    }

    #[test]
    fn a_java_stack_is_cut() {
        let error = rpc("org.apache.hadoop.hdfs.server.namenode.SafeModeException", "Name node is in safe mode.\n\tat org.apache…");
        let text = weir_base::error::chain(&error);
        assert!(text.contains("SafeModeException: Name node is in safe mode.") && !text.contains("\tat"), "{text}");
    }
}
