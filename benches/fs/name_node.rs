//! The NameNode's own counters of calls.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Outcome;

/// Calls that DataNodes make by themselves.
const BY_DATA_NODES: [&str; 6] = ["SendHeartbeat", "BlockReport", "BlockReceivedAndDeleted", "RegisterDatanode", "VersionRequest", "SendLifeline"];

/// Where the counters are.
pub(crate) struct Counters {
    url: String,
}

/// The counts at one moment, by call.
pub(crate) struct Counts(BTreeMap<String, u64>);

impl Counters {
    /// Those of the NameNode with this web server.
    pub(crate) fn of(http: &str) -> Self {
        Self { url: format!("{http}/jmx?qry=Hadoop:service=NameNode,name=RpcDetailedActivityForPort*") }
    }

    pub(crate) fn read(&self) -> Outcome<Counts> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let answer = runtime.block_on(async { reqwest::get(&self.url).await?.bytes().await })?;
        let body: Value = serde_json::from_slice(&answer)?;
        let bean = body["beans"][0].as_object().ok_or("the NameNode shows no counters of calls")?;
        let counts = bean.iter().filter_map(|(key, value)| {
            let name = key.strip_suffix("NumOps").filter(|name| !name.starts_with("Overall") && !name.starts_with("Deferred"))?;
            Some((name.to_owned(), value.as_u64()?)).filter(|_| !BY_DATA_NODES.contains(&name))
        });
        Ok(Counts(counts.collect()))
    }
}

impl Counts {
    /// The calls since an earlier reading, without zeros.
    pub(crate) fn since(&self, before: &Self) -> BTreeMap<String, u64> {
        let earlier = |name: &String| before.0.get(name).copied().unwrap_or(0);
        self.0.iter().map(|(name, count)| (name.clone(), count - earlier(name))).filter(|(_, count)| *count > 0).collect()
    }
}
