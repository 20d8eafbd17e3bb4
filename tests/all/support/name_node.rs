//! How often clients called the NameNode, by operation.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::servers::Hdfs;
use super::until;

/// Calls that DataNodes make by themselves.
const BY_DATA_NODES: [&str; 6] = ["SendHeartbeat", "BlockReport", "BlockReceivedAndDeleted", "RegisterDatanode", "VersionRequest", "SendLifeline"];

/// The counts at one moment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NameNodeCalls(BTreeMap<String, u64>);

impl NameNodeCalls {
    /// Reads the counters of a cluster that nobody else asks, once they stand still: a NameNode counts a call after it has answered it.
    pub(crate) async fn settled(hdfs: &Hdfs) -> Self {
        let mut before = Self::read(hdfs).await;
        until("the counters of the NameNode stand still", Duration::from_secs(60), async || {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let now = Self::read(hdfs).await;
            let settled = now == before;
            before = now;
            settled.then_some(())
        })
        .await;
        before
    }

    /// Reads the counters, which may lack the calls that were answered just now.
    pub(crate) async fn read(hdfs: &Hdfs) -> Self {
        let query = "Hadoop:service=NameNode,name=RpcDetailedActivityForPort*";
        let answer = reqwest::get(format!("{}/jmx?qry={query}", hdfs.http)).await.unwrap().bytes().await.unwrap();
        let body: Value = serde_json::from_slice(&answer).unwrap();
        let bean = body["beans"][0].as_object().expect("the bean of the RPC counters");
        let counts = bean.iter().filter_map(|(key, value)| Some((operation(key)?.to_owned(), value.as_u64()?))).collect();
        Self(counts)
    }

    /// The calls made between an earlier reading and this one, those of clients only, without the zeros.
    pub(crate) fn since(&self, before: &Self) -> BTreeMap<String, u64> {
        let earlier = |name: &String| before.0.get(name).copied().unwrap_or(0);
        self.0.iter().map(|(name, count)| (name.clone(), count - earlier(name))).filter(|(_, count)| *count > 0).collect()
    }
}

/// The operation that a counter is about; none for other keys, for sums, and for what DataNodes do.
fn operation(key: &str) -> Option<&str> {
    let name = key.strip_suffix("NumOps")?;
    let counted_elsewhere = name.starts_with("Overall") || name.starts_with("Deferred");
    (!counted_elsewhere && !BY_DATA_NODES.contains(&name)).then_some(name)
}
