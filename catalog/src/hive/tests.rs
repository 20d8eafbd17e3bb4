//! Commits through a metastore of a few lines that loses answers, throws, and keeps locks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use weir_base::task::{Task, spawn};

use super::thrift::Struct;
use super::thrift::serving::{read_call, reply};
use super::*;
use crate::commit::TableCommitter;
use crate::lake::LakeCatalog;
use crate::tests::support::{catalog, create, epoch_of, table_id};

/// What happens to a call instead of its being carried out and answered.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// It is carried out, and the connection ends.
    DoneButSilent,
    /// It is not carried out, and the connection ends.
    Silent,
    /// It is not carried out; exception 2 of its method.
    Throw,
}

#[derive(Debug, Default)]
struct State {
    database: Option<Struct>,
    table: Option<Struct>,
    /// Names of those who hold or wait for the lock, by number.
    locks: BTreeMap<i64, String>,
    last_lock: i64,
    version: &'static str,
    acts: VecDeque<(&'static str, Act)>,
    log: Vec<String>,
}

struct Metastore {
    state: Arc<Mutex<State>>,
    uri: String,
    _accepting: Task<()>,
}

impl Metastore {
    async fn start(version: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let uri = format!("thrift://{}", listener.local_addr().expect("bound"));
        let state = Arc::new(Mutex::new(State { version, ..State::default() }));
        let shared = Arc::clone(&state);
        let accepting = spawn("test-metastore", async move {
            let mut connections = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                connections.push(spawn("test-metastore-connection", async move { serve(stream, &state).await.unwrap_or_default() }));
            }
        });
        Self { state, uri, _accepting: accepting }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    fn catalog(&self, lock: &str) -> Arc<dyn LakeCatalog> {
        let warehouse = format!("memory://{}/w", uuid::Uuid::new_v4());
        catalog(&[("catalog-type", "hive"), ("uri", &self.uri), ("warehouse", &warehouse), (LOCK_ENABLED, lock)])
    }

    fn will(&self, acts: &[(&'static str, Act)]) {
        self.state().acts.extend(acts);
    }

    fn calls(&self, method: &str) -> usize {
        self.state().log.iter().filter(|called| *called == method).count()
    }
}

async fn serve(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    const REPLY: u32 = 2;
    loop {
        let (method, sequence, arguments) = read_call(&mut stream).await?;
        let answer = {
            let mut state = state.lock().expect("not poisoned");
            state.log.push(method.clone());
            let act = state.acts.front().filter(|(name, _)| *name == method).map(|(_, act)| *act);
            if act.is_some() {
                state.acts.pop_front();
            }
            match act {
                Some(Act::Silent) => return Ok(()),
                Some(Act::Throw) => Struct::new().with(2, Struct::new().with(1, "trouble with the database")),
                Some(Act::DoneButSilent) => {
                    state.carry_out(&method, arguments);
                    return Ok(());
                }
                None => state.carry_out(&method, arguments),
            }
        };
        stream.write_all(&reply(REPLY, sequence, &answer)).await?;
    }
}

impl State {
    fn carry_out(&mut self, method: &str, mut arguments: Struct) -> Struct {
        let nothing = || Struct::new().with(1, "nothing there");
        let result = |value: Struct| Struct::new().with(0, value);
        let argument = |id: i16, arguments: &mut Struct| match arguments.take(id) {
            Some(thrift::Value::Struct(fields)) => fields,
            _ => Struct::new(),
        };
        match method {
            "getVersion" => Struct::new().with(0, self.version),
            "get_database" => self.database.clone().map_or_else(|| Struct::new().with(1, nothing()), result),
            "create_database" => {
                self.database = Some(argument(1, &mut arguments));
                Struct::new()
            }
            "get_table_req" => self.table.clone().map_or_else(|| Struct::new().with(2, nothing()), |table| result(Struct::new().with(1, table))),
            "create_table" => {
                self.table = Some(argument(1, &mut arguments));
                Struct::new()
            }
            "alter_table_with_environment_context" => {
                self.table = Some(argument(3, &mut arguments));
                Struct::new()
            }
            "lock" => {
                self.last_lock += 1;
                let agent = argument(1, &mut arguments).text(5).unwrap_or_default().to_owned();
                self.locks.insert(self.last_lock, agent);
                result(self.of_lock(self.last_lock))
            }
            "check_lock" => result(self.of_lock(argument(1, &mut arguments).long(1).unwrap_or_default())),
            "unlock" => {
                self.locks.remove(&argument(1, &mut arguments).long(1).unwrap_or_default());
                Struct::new()
            }
            "show_locks" => {
                let shown = self.locks.iter().map(|(number, agent)| self.of_lock(*number).with(5, 2).with(13, agent.as_str()));
                result(Struct::new().with(1, shown.collect::<Vec<_>>()))
            }
            _heartbeat => Struct::new(),
        }
    }

    /// Number and state of a lock: the oldest has it.
    fn of_lock(&self, number: i64) -> Struct {
        let first = self.locks.keys().next() == Some(&number);
        Struct::new().with(1, number).with(2, if first { 1 } else { 2 })
    }
}

/// Commits under `acts`; every append is in the table once and no lock is left.
async fn survives(acts: &[(&'static str, Act)]) {
    let metastore = Metastore::start("3.1.3").await;
    let catalog = metastore.catalog("true");
    let table = create(&catalog, &[]).await;
    metastore.will(acts);
    let committer = TableCommitter::of(&catalog, &table_id());
    for epoch in 1..=2 {
        committer.append(&epoch_of(&table, "job", (epoch > 1).then(|| epoch - 1), epoch).await).await.expect("appended in the end");
    }
    let now = catalog.load(&table_id()).await.expect("loaded");
    let summary = &now.metadata.current_snapshot().expect("snapshot").summary().additional_properties;
    assert_eq!(summary.get("total-data-files").map(String::as_str), Some("2"), "{acts:?}");
    assert!(metastore.state().acts.is_empty(), "{acts:?} were not met");
    assert_eq!(metastore.state().locks, BTreeMap::new(), "{acts:?}");
}

const ALTER: &str = "alter_table_with_environment_context";

#[tokio::test]
async fn a_change_whose_answer_is_lost_is_found_and_one_that_failed_is_made_again() {
    survives(&[(ALTER, Act::DoneButSilent)]).await;
    survives(&[(ALTER, Act::Silent)]).await;
    survives(&[(ALTER, Act::Throw)]).await;
}

#[tokio::test]
async fn a_lock_is_given_back_whatever_answer_is_lost() {
    survives(&[("lock", Act::DoneButSilent)]).await;
    survives(&[("lock", Act::Silent)]).await;
    survives(&[("unlock", Act::DoneButSilent)]).await;
    survives(&[("unlock", Act::Silent)]).await;
    survives(&[("heartbeat", Act::Throw)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_on_a_metastore_that_does_not_compare_loses_no_update() {
    let metastore = Metastore::start("3.1.3").await;
    let first = metastore.catalog("true");
    let table = create(&first, &[]).await;
    let run = |number: usize| {
        // An object of its own is another process to the others.
        let (catalog, table) = (metastore.catalog("true"), table.clone());
        spawn("committer", async move {
            let committer = TableCommitter::of(&catalog, &table_id());
            for epoch in 1..=3 {
                let append = epoch_of(&table, &format!("job-{number}"), (epoch > 1).then(|| epoch - 1), epoch).await;
                committer.append(&append).await.expect("appended");
            }
        })
    };
    for one in (0..8).map(run).collect::<Vec<_>>() {
        one.await.expect("ran");
    }
    let now = first.load(&table_id()).await.expect("loaded");
    let summary = &now.metadata.current_snapshot().expect("snapshot").summary().additional_properties;
    assert_eq!(summary.get("total-data-files").map(String::as_str), Some("24"), "an update was lost");
    assert_eq!(metastore.state().locks, BTreeMap::new());
}

#[tokio::test]
async fn a_commit_that_is_dropped_while_it_waits_gives_its_place_in_the_queue_back() {
    let metastore = Metastore::start("4.0.0").await;
    let catalog = metastore.catalog("true");
    let table = create(&catalog, &[]).await;
    metastore.state().locks.insert(0, "another writer".to_owned());
    let committer = TableCommitter::of(&catalog, &table_id());
    let append = epoch_of(&table, "job", None, 1).await;
    let until = async |wanted: usize| {
        while metastore.state().locks.len() != wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        ended = committer.append(&append) => panic!("the lock is taken: {ended:?}"),
        () = until(2) => {}
    }
    until(1).await;
    assert_eq!(metastore.calls(ALTER), 0);
    metastore.state().locks.clear();
    committer.append(&append).await.expect("the lock is free");
}

#[tokio::test]
async fn an_old_metastore_is_not_written_to_without_its_lock() {
    let metastore = Metastore::start("3.1.3").await;
    let catalog = metastore.catalog("false");
    let table = create(&catalog, &[]).await;
    let committer = TableCommitter::of(&catalog, &table_id());
    let error = committer.append(&epoch_of(&table, "job", None, 1).await).await.expect_err("refused").to_string();
    assert!(error.contains("'3.1.3'") && error.contains(LOCK_ENABLED), "{error}");
    assert_eq!(metastore.calls(ALTER), 0);
    // The table's own property wins over the catalog's option.
    let metastore = Metastore::start("3.1.3").await;
    let catalog = metastore.catalog("false");
    let table = create(&catalog, &[(LOCK_ENABLED, "true")]).await;
    TableCommitter::of(&catalog, &table_id()).append(&epoch_of(&table, "job", None, 1).await).await.expect("under the lock");
    assert_eq!(metastore.calls("lock"), 1);
}

#[test]
fn only_versions_that_are_known_to_compare_are_trusted_to() {
    for (version, expected) in [
        ("4.0.0", true),
        ("4.1.0", true),
        ("10.0.0", true),
        ("4.0.0-beta-1", true),
        ("4.0.0-alpha-2", false),
        ("3.1.3", false),
        ("3.0", false),
        ("2.3.9", false),
        ("", false),
        ("unknown", false),
    ] {
        assert_eq!(compares(version), expected, "{version}");
    }
}

#[test]
fn a_path_of_java_gets_its_slashes() {
    for (path, expected) in [("file:/w/x", "file:///w/x"), ("file:///w", "file:///w"), ("hdfs://ns1/w", "hdfs://ns1/w")] {
        assert_eq!(with_slashes(path), expected);
    }
}
