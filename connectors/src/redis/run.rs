//! Whether a server is still the one that it was: after a restart, or a change of its master, the cursor of a scan says nothing any more, and keys may
//! be other ones.

/// One run of a server with one history of its keys, as INFO tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    /// Anew with each start.
    id: String,
    /// Anew with each change of the master.
    history: String,
    /// Whether it follows another.
    pub(super) is_replica: bool,
}

impl Run {
    /// From the answer to INFO, if that says it.
    pub(super) fn parse(info: &str) -> Option<Self> {
        let of = |key: &str| info.lines().find_map(|line| line.trim_end().strip_prefix(key)?.strip_prefix(':').map(str::to_owned));
        Some(Self { id: of("run_id")?, history: of("master_replid").unwrap_or_default(), is_replica: of("role").is_some_and(|role| role == "slave") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_and_a_change_of_the_master_are_another_run() {
        let info = |id: &str, history: &str, role: &str| {
            Run::parse(&format!("# Server\r\nredis_version:7.2.4\r\nrun_id:{id}\r\n\r\n# Replication\r\nrole:{role}\r\nmaster_replid:{history}\r\n"))
        };
        let run = info("a", "x", "master").expect("a run");
        assert_eq!(Some(&run), info("a", "x", "master").as_ref());
        assert_ne!(Some(&run), info("b", "x", "master").as_ref());
        assert_ne!(Some(&run), info("a", "y", "master").as_ref());
        assert!(!run.is_replica && info("a", "x", "slave").is_some_and(|run| run.is_replica));
        assert_eq!(Run::parse("# Memory\r\nused_memory:1\r\n"), None);
    }
}
