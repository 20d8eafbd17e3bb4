//! What an error of Redis or its client means for a job.

use redis::{ErrorKind as RedisKind, RedisError, ServerErrorKind};
use weir_base::ErrorKind;

use crate::error::ConnectorError;

/// The error of a request about `object`, such as `Table 'c.d.t'`, to the servers `servers`, which are nodes of a cluster or not.
pub(super) fn connector_error(object: &str, servers: &str, is_cluster: bool, error: RedisError) -> ConnectorError {
    let kind = if is_cluster && is_redirect(&error) { ErrorKind::Transient } else { kind_of(&error) };
    let remedy = match (kind, error.kind(), error.code()) {
        (ErrorKind::User, RedisKind::AuthenticationFailed, _) | (_, _, Some("NOAUTH" | "WRONGPASS")) => "; check 'username' and 'password'",
        (_, RedisKind::Server(ServerErrorKind::NoPerm), _) => "; the user may not do this, see its rules with ACL LIST",
        (ErrorKind::User, _, Some("MOVED")) => "; it is a node of a cluster: set 'redis-mode' to 'cluster'",
        _ => "",
    };
    ConnectorError::new(kind, format!("{object}: Redis at {servers} cannot be asked{remedy}")).with_source(error)
}

/// Whether a node says that slots are elsewhere, moving, or nowhere. The client has followed several times already; the cluster settles.
fn is_redirect(error: &RedisError) -> bool {
    error.is_cluster_error() || matches!(error.code(), Some("MOVED" | "ASK" | "TRYAGAIN" | "CLUSTERDOWN"))
}

/// Whether the error passes by itself.
fn kind_of(error: &RedisError) -> ErrorKind {
    match error.kind() {
        RedisKind::Io if error.to_string().contains("peer certificate") => ErrorKind::User,
        RedisKind::Io
        | RedisKind::ClusterConnectionNotFound
        | RedisKind::MasterNameNotFoundBySentinel
        | RedisKind::NoValidReplicasFoundBySentinel
        | RedisKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly
            | ServerErrorKind::Ask,
        ) => ErrorKind::Transient,
        // What the server says of itself for a while: no memory for writes, a script that runs, no room for more clients.
        _ if matches!(error.code(), Some("OOM" | "BUSY" | "MISCONF" | "NOREPLICAS")) => ErrorKind::Transient,
        _ if error.detail().is_some_and(|detail| detail.contains("max number of clients")) => ErrorKind::Transient,
        _ => ErrorKind::User,
    }
}

#[cfg(test)]
mod tests {
    use redis::make_extension_error;
    use weir_base::Classified;

    use super::*;

    fn of(code: &str, detail: &str) -> ConnectorError {
        connector_error("Table 'c.d.t'", "h:1", false, make_extension_error(code.to_owned(), Some(detail.to_owned())))
    }

    #[test]
    fn what_passes_by_itself_is_tried_again_and_the_rest_is_the_users() {
        let io = RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
        assert_eq!(connector_error("Table 'c.d.t'", "h:1", false, io).kind(), ErrorKind::Transient);
        for code in ["OOM", "BUSY", "MISCONF"] {
            assert_eq!(of(code, "later").kind(), ErrorKind::Transient, "{code}");
        }
        for code in ["WRONGPASS", "NOAUTH", "WRONGTYPE"] {
            assert_eq!(of(code, "no").kind(), ErrorKind::User, "{code}");
        }
        assert_eq!(of("NOAUTH", "x").to_string(), "Table 'c.d.t': Redis at h:1 cannot be asked; check 'username' and 'password'");
    }

    #[test]
    fn a_cluster_whose_slots_move_longer_than_the_client_follows_is_asked_again() {
        for line in ["MOVED 7 h:2", "ASK 7 h:2", "TRYAGAIN Multiple keys request during rehashing of slot", "CLUSTERDOWN Hash slot not served"] {
            let error = || match redis::parse_redis_value(format!("-{line}\r\n").as_bytes()) {
                Ok(redis::Value::ServerError(error)) => RedisError::from(error),
                other => panic!("{other:?}"),
            };
            assert_eq!(connector_error("Table 'c.d.t'", "h:1", true, error()).kind(), ErrorKind::Transient, "{line}");
        }
        let told = connector_error("Table 'c.d.t'", "h:1", false, make_extension_error("MOVED".to_owned(), Some("7 h:2".to_owned())));
        assert_eq!(told.kind(), ErrorKind::User);
        assert!(told.to_string().ends_with("set 'redis-mode' to 'cluster'"), "{told}");
    }
}
