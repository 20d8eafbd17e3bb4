//! Whole tables: all keys with the prefix, of one server or of every master of a cluster.
//!
//! SCAN gives each key that is there from its beginning to its end, of one node. In a cluster keys may change nodes meanwhile: afterwards the
//! slots that moved are read again, at the nodes that had and have them, until none has moved since. A server that was started again during its scan,
//! or has another master, is scanned again from the beginning: a cursor is of one run only.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

use arrow_array::RecordBatch;
use futures::{StreamExt, stream};
use redis::{Cmd, Value, cmd};

use super::lookup::{RedisLookup, keyed};
use super::options::Address;
use super::rows::bytes;
use super::run::Run;
use super::shape::Place;
use super::topology::Topology;
use super::values::own_keys;
use crate::error::ConnectorError;
use crate::lookup::{Charge, Rows};

/// Keys that one step asks for.
const SCAN_COUNT: usize = 1_000;
/// How often slots that moved, and servers that were started again, are read again before a load is given up, to begin anew later.
const MOST_ROUNDS: usize = 20;

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

/// A load that is under way.
struct Load {
    table: RedisLookup,
    steps: VecDeque<Step>,
    /// Keys that were given: Redis may give one several times.
    seen: HashSet<Vec<u8>>,
    /// What they take.
    charge: Charge,
    rounds: usize,
}

/// All rows of `table`.
pub(super) async fn all(table: RedisLookup, charge: Charge) -> Result<Rows, ConnectorError> {
    let steps = if table.server.is_cluster() {
        let topology = table.server.topology().await?;
        let scans = topology.masters().map(|address| Step::Node(Some(address.clone()))).collect::<Vec<_>>();
        scans.into_iter().chain([Step::Check(Box::new(topology), None)]).collect()
    } else {
        VecDeque::from([Step::Node(None)])
    };
    let load = Load { table, steps, seen: HashSet::new(), charge, rounds: 0 };
    let batches = stream::try_unfold(load, |mut load| async move {
        while let Some(step) = load.steps.pop_front() {
            let keys = load.take(step).await?;
            if let Some(rows) = load.rows(keys).await? {
                return Ok(Some((rows, load)));
            }
        }
        Ok(None)
    });
    Ok(batches.boxed())
}

impl Load {
    /// Takes a step; the keys it finds, and puts what follows from it before the other steps.
    async fn take(&mut self, step: Step) -> Result<Vec<Vec<u8>>, ConnectorError> {
        let server = Arc::clone(&self.table.server);
        match step {
            Step::Node(address) => {
                let run = server.run(address.as_ref()).await?;
                self.steps.push_front(Step::Scan(address, 0, run));
                Ok(Vec::new())
            }
            Step::Scan(address, cursor, run) => {
                let (keys, next) = scanned(&server.ask_node(&self.scan(cursor), address.as_ref()).await?)?;
                if next != 0 {
                    self.steps.push_front(Step::Scan(address, next, run));
                } else if let (Some(run), Some(now)) = (run, server.run(address.as_ref()).await?)
                    && run != now
                {
                    self.again("servers were started again, or have other masters, while they were scanned")?;
                    let server = address.as_ref().map(|(host, port)| format!("{host}:{port}"));
                    tracing::warn!(
                        table = self.table.server.table,
                        server,
                        "a server was started again, or has another master, and is scanned again"
                    );
                    self.steps.push_front(Step::Node(address));
                }
                Ok(keys)
            }
            Step::Slot(address, slot) => self.slot(&address, slot).await,
            Step::Check(before, read) => {
                let after = server.topology().await?;
                let missed = before.missed(&after, read.as_ref());
                if missed.is_empty() {
                    return Ok(Vec::new());
                }
                self.again("slots of the cluster have moved while they were read")?;
                tracing::debug!(table = server.table, slots = missed.len(), "slots have moved during the scan and are read again");
                let at = |slot: usize| after.holders(slot).map(move |address| Step::Slot(address.clone(), slot)).collect::<Vec<_>>();
                self.steps.extend(missed.iter().flat_map(|slot| at(*slot)));
                self.steps.push_back(Step::Check(Box::new(after), Some(missed)));
                Ok(Vec::new())
            }
        }
    }

    /// Counts a time that something is read again; an error, if that was too often.
    fn again(&mut self, why: &str) -> Result<(), ConnectorError> {
        self.rounds += 1;
        if self.rounds <= MOST_ROUNDS {
            return Ok(());
        }
        Err(ConnectorError::transient(format!("Table '{}': {why}, more than {MOST_ROUNDS} times in one load", self.table.server.table)))
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

    /// The rows of keys that were not given before.
    async fn rows(&mut self, keys: Vec<Vec<u8>>) -> Result<Option<RecordBatch>, ConnectorError> {
        let new: Vec<Vec<u8>> = keys.into_iter().filter(|key| self.seen.insert(key.clone())).collect();
        if new.is_empty() {
            return Ok(None);
        }
        if !self.charge.take(new.iter().map(|key| key.len() as u64 + SEEN).sum()) {
            let (table, keys) = (&self.table.server.table, self.seen.len());
            let what = format!("Table '{table}': the memory budget has no room for the keys that were read, {keys} so far; raise --memory");
            return Err(ConnectorError::user(what));
        }
        let table = &self.table;
        let Some(field) = table.schema.fields().first() else { return Err(ConnectorError::internal("a table without columns")) };
        let (own, foreign) = own_keys(&table.shape.prefix, &new, field.data_type())?;
        if let Some(example) = foreign.first() {
            table.maker.counts.foreign(foreign.len() as u64, example);
        }
        if own.is_empty() {
            return Ok(None);
        }
        Ok(Some(table.found(&[own]).await?.rows))
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
