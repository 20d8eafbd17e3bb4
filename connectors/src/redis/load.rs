//! Whole tables: all keys with the prefix, of one server or of every master of a cluster.
//!
//! SCAN gives each key that is there from its beginning to its end, of one node; several nodes are read at a time. In a cluster keys may change nodes meanwhile: afterwards the
//! slots that moved are read again, at the nodes that had and have them, until none has moved since. A server that was started again during its scan,
//! or has another master, is scanned again from the beginning: a cursor is of one run only. One that goes away meanwhile is waited for.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arrow_array::{Array as _, ArrayRef, RecordBatch};
use futures::{StreamExt, stream};
use redis::{Cmd, Value, cmd};
use weir_base::{Classified as _, ErrorKind};

use super::lookup::{RedisLookup, keyed};
use super::options::Address;
use super::patience::{MOST_AWAY, MOST_ROUNDS, Patience};
use super::rows::bytes;
use super::run::Run;
use super::shape::Place;
use super::topology::Topology;
use super::values::own_keys;
use crate::error::ConnectorError;
use crate::lookup::{Charge, Rows};

/// Keys that one step asks for.
const SCAN_COUNT: usize = 1_000;

/// What a key that was given takes beside its bytes: itself, its place in the set with the room that this grows into, and its allocation.
const SEEN: u64 = 88;

/// What is to be read next.
#[derive(Debug)]
enum Step {
    /// The keys of a node, or of the only server.
    Node(Option<Address>),
    /// More of them, from a cursor on that it gave in this run.
    Scan(Option<Address>, u64, Option<Run>),
    /// The keys of a slot at one of its nodes.
    Slot(Address, usize),
    /// What may have been missed; `None` before: everything was read.
    Check(Box<Topology>, Option<BTreeSet<usize>>),
}

impl Step {
    /// The node of a cluster that is asked; `None` for the only server, or all of them.
    fn node(&self) -> Option<&Address> {
        match self {
            Self::Node(address) | Self::Scan(address, ..) => address.as_ref(),
            Self::Slot(address, _) => Some(address),
            Self::Check(..) => None,
        }
    }
}

/// What follows from a step.
#[derive(Debug)]
enum Then {
    /// The other steps.
    Others,
    /// This one before the others.
    First(Step),
    /// The same server from the beginning: it was started again, or has another master.
    Again(Option<Address>),
    /// Slots that have moved are read where they are now.
    Moved(Topology, BTreeSet<usize>),
}

/// The keys that a load has given: Redis may give one several times.
struct Seen {
    keys: HashSet<Vec<u8>>,
    /// What they take.
    charge: Charge,
}

/// A part of a load: steps that are taken one after the other.
struct Reader {
    table: RedisLookup,
    steps: VecDeque<Step>,
    /// Of the whole load.
    seen: Arc<Mutex<Seen>>,
    patience: Patience,
}

/// All rows of `table`, read from up to `parallelism` nodes of a cluster at a time.
pub(super) async fn all(table: RedisLookup, parallelism: usize, charge: Charge) -> Result<Rows, ConnectorError> {
    let seen = Arc::new(Mutex::new(Seen { keys: HashSet::new(), charge }));
    let reader = |step: Step, patience: Patience| Reader { table: table.clone(), steps: VecDeque::from([step]), seen: Arc::clone(&seen), patience };
    if !table.server.is_cluster() {
        return Ok(reader(Step::Node(None), Patience::default()).rows());
    }
    let topology = table.server.topology().await?;
    // It has answered, so what goes away now is waited for.
    let patience = || {
        let mut patience = Patience::default();
        patience.answered();
        patience
    };
    let nodes: Vec<_> = topology.masters().map(|address| reader(Step::Node(Some(address.clone())), patience()).rows()).collect();
    // Keys that have changed nodes meanwhile: in any order of the nodes.
    let check = reader(Step::Check(Box::new(topology), None), patience()).rows();
    Ok(stream::iter(nodes).flatten_unordered(parallelism.max(1)).chain(check).boxed())
}

impl Reader {
    /// The rows of its steps, and of those that follow from them.
    fn rows(self) -> Rows {
        let batches = stream::try_unfold(self, |mut reader| async move {
            while let Some(step) = reader.steps.pop_front() {
                if let Some(rows) = reader.take(&step).await? {
                    return Ok(Some((rows, reader)));
                }
            }
            Ok(None)
        });
        batches.boxed()
    }

    /// Takes a step, until it succeeds or that is hopeless; the rows of the keys that it finds and that were not given before.
    async fn take(&mut self, step: &Step) -> Result<Option<RecordBatch>, ConnectorError> {
        let (keys, then) = loop {
            match self.ask(step).await {
                Ok(told) => break told,
                Err(error) => self.wait(step, error).await?,
            }
        };
        self.patience.answered();
        self.follow(then)?;
        let Some(new) = self.unseen(keys)? else { return Ok(None) };
        loop {
            match self.table.found(std::slice::from_ref(&new)).await {
                Ok(found) => {
                    self.patience.answered();
                    return Ok(Some(found.rows));
                }
                Err(error) => self.wait(step, error).await?,
            }
        }
    }

    /// Waits before a step that has failed is taken again.
    ///
    /// # Errors
    /// That of the step: it does not pass by itself, or has not for long; then with the node, if it is one.
    async fn wait(&mut self, step: &Step, error: ConnectorError) -> Result<(), ConnectorError> {
        if error.kind() != ErrorKind::Transient {
            return Err(error);
        }
        if let Some(wait) = self.patience.wait(Instant::now()) {
            tracing::debug!(table = self.table.server.table, %error, "reading of the whole table stops for a moment");
            tokio::time::sleep(wait).await;
            return Ok(());
        }
        let Some((host, port)) = step.node() else { return Err(error) };
        let (table, seconds) = (&self.table.server.table, MOST_AWAY.as_secs());
        let what = format!("Table '{table}': its keys at the node {host}:{port} cannot be read, and could not for {seconds} s");
        Err(ConnectorError::transient(what).with_source(error))
    }

    /// What a step finds: keys, and what is to be done next.
    async fn ask(&self, step: &Step) -> Result<(Vec<Vec<u8>>, Then), ConnectorError> {
        let server = &self.table.server;
        match step {
            Step::Node(address) => Ok((Vec::new(), Then::First(Step::Scan(address.clone(), 0, server.run(address.as_ref()).await?)))),
            Step::Scan(address, cursor, run) => {
                let (keys, next) = scanned(&server.ask_node(&self.scan(*cursor), address.as_ref()).await?)?;
                if next != 0 {
                    return Ok((keys, Then::First(Step::Scan(address.clone(), next, run.clone()))));
                }
                let is_other = match run {
                    Some(run) => server.run(address.as_ref()).await?.is_some_and(|now| *run != now),
                    None => false,
                };
                Ok((keys, if is_other { Then::Again(address.clone()) } else { Then::Others }))
            }
            Step::Slot(address, slot) => Ok((self.slot(address, *slot).await?, Then::Others)),
            Step::Check(before, read) => {
                let after = server.topology().await?;
                let missed = before.missed(&after, read.as_ref());
                Ok((Vec::new(), if missed.is_empty() { Then::Others } else { Then::Moved(after, missed) }))
            }
        }
    }

    /// Puts what follows from a step before or behind the other steps; an error, if that comes too often.
    fn follow(&mut self, then: Then) -> Result<(), ConnectorError> {
        let table = &self.table.server.table;
        match then {
            Then::Others => {}
            Then::First(step) => self.steps.push_front(step),
            Then::Again(address) => {
                let node = address.as_ref().map(|(host, port)| format!("{host}:{port}"));
                if !self.patience.scans_again(address.as_ref()) {
                    let which = node.map_or_else(|| "the server".to_owned(), |node| format!("the node {node}"));
                    let what = format!("{which} was started again, or got another master, more than {MOST_ROUNDS} times while it was scanned");
                    return Err(ConnectorError::transient(format!("Table '{table}': {what}")));
                }
                tracing::warn!(table, server = node, "a server was started again, or has another master, and is scanned again");
                self.steps.push_front(Step::Node(address));
            }
            Then::Moved(after, missed) => {
                if !self.patience.reads_slots_again() {
                    let what = format!("slots of the cluster have moved while they were read, more than {MOST_ROUNDS} times in one load");
                    return Err(ConnectorError::transient(format!("Table '{table}': {what}")));
                }
                tracing::debug!(table, slots = missed.len(), "slots have moved during the scan and are read again");
                let at = |slot: usize| after.holders(slot).map(move |address| Step::Slot(address.clone(), slot)).collect::<Vec<_>>();
                self.steps.extend(missed.iter().flat_map(|slot| at(*slot)));
                self.steps.push_back(Step::Check(Box::new(after), Some(missed)));
            }
        }
        Ok(())
    }

    fn scan(&self, cursor: u64) -> Cmd {
        let mut command = cmd("SCAN");
        command.arg(cursor).arg("MATCH").arg([escaped(&self.table.shape.prefix).as_bytes(), b"*"].concat());
        command.arg("COUNT").arg(SCAN_COUNT).arg("TYPE").arg(self.kind());
        command
    }

    /// What keys hold, as Redis calls it.
    fn kind(&self) -> &'static str {
        if self.table.shape.place == Place::Text { "string" } else { "hash" }
    }

    /// The keys of a slot, which its node gives all at once.
    async fn slot(&self, address: &Address, slot: usize) -> Result<Vec<Vec<u8>>, ConnectorError> {
        let server = &self.table.server;
        let of_cluster = |name: &str| cmd("CLUSTER").arg(name).arg(slot).to_owned();
        let Value::Int(count) = server.ask_node(&of_cluster("COUNTKEYSINSLOT"), Some(address)).await? else { return Err(unknown("COUNTKEYSINSLOT")) };
        // Those that come meanwhile need not be seen; the others must, however many come before them.
        let most = count.saturating_mul(2).saturating_add(1_000);
        let answer = server.ask_node(of_cluster("GETKEYSINSLOT").arg(most), Some(address)).await?;
        let Value::Array(keys) = answer else { return Err(unknown("GETKEYSINSLOT")) };
        let keys: Vec<Vec<u8>> =
            keys.iter().filter_map(bytes).filter(|key| key.starts_with(self.table.shape.prefix.as_bytes())).map(<[u8]>::to_vec).collect();
        let kinds = server.ask_all(&keyed("TYPE", &keys)).await?;
        let wanted = |kind: &Value| bytes(kind) == Some(self.kind().as_bytes());
        Ok(keys.into_iter().zip(kinds).filter(|(_, kind)| wanted(kind)).map(|(key, _)| key).collect())
    }

    /// Those of `keys` that were not given before, as values of the key column; `None` if there are none.
    fn unseen(&self, keys: Vec<Vec<u8>>) -> Result<Option<ArrayRef>, ConnectorError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let new: Vec<Vec<u8>> = keys.into_iter().filter(|key| seen.keys.insert(key.clone())).collect();
        if new.is_empty() {
            return Ok(None);
        }
        if !seen.charge.take(new.iter().map(|key| key.len() as u64 + SEEN).sum()) {
            let (table, keys) = (&self.table.server.table, seen.keys.len());
            let what = format!("Table '{table}': the memory budget has no room for the keys that were read, {keys} so far; raise --memory");
            return Err(ConnectorError::user(what));
        }
        drop(seen);
        let table = &self.table;
        let Some(field) = table.schema.fields().first() else { return Err(ConnectorError::internal("a table without columns")) };
        let (own, foreign) = own_keys(&table.shape.prefix, &new, field.data_type())?;
        if let Some(example) = foreign.first() {
            table.maker.counts.foreign(foreign.len() as u64, example);
        }
        Ok(Some(own).filter(|own| !own.is_empty()))
    }
}

/// The keys that a SCAN gives, and where it goes on.
fn scanned(answer: &Value) -> Result<(Vec<Vec<u8>>, u64), ConnectorError> {
    let Value::Array(parts) = answer else { return Err(unknown("SCAN")) };
    let [next, Value::Array(keys)] = parts.as_slice() else { return Err(unknown("SCAN")) };
    let next = bytes(next).and_then(|next| str::from_utf8(next).ok()).and_then(|next| next.parse().ok());
    Ok((keys.iter().filter_map(bytes).map(<[u8]>::to_vec).collect(), next.ok_or_else(|| unknown("SCAN"))?))
}

fn unknown(command: &str) -> ConnectorError {
    ConnectorError::internal(format!("an answer of an unknown kind to {command}"))
}

/// A text that a pattern of Redis matches literally.
fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') { vec!['\\', c] } else { vec![c] }).collect()
}
