//! Calls to NameNodes, counted by what is called and under whose alias.
//!
//! Only the client knows its calls: it adds a block when one is full, asks again whether a file is complete, and renews leases by itself. It
//! has no hook for them but its log, where each request is a line that begins with the name of the call. The logger here takes that word and
//! nothing else, so nothing of a request is even put into words. Whose call it is says the task that makes it. A call that goes on to
//! another NameNode counts once.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};

use log::{LevelFilter, Log, Metadata, Record};
use prometheus::IntCounterVec;

/// Where the client logs its requests.
const SPEAKER: &str = "hdfs_native::hdfs::protocol";
/// What follows the name of a call.
const REQUEST: &str = " request:";
/// Counts for calls with other names.
const OTHER: &str = "other";
/// The names of calls, as NameNodes know them.
const NAMES: [&str; 19] = [
    "addBlock",
    "append",
    "complete",
    "create",
    "delete",
    "fsync",
    "getAdditionalDatanode",
    "getBlockLocations",
    "getContentSummary",
    "getDataEncryptionKey",
    "getFileInfo",
    "getListing",
    "getServerDefaults",
    "mkdirs",
    "recoverLease",
    "rename2",
    "renewLease",
    "updateBlockForPipeline",
    "updatePipeline",
];

/// How often NameNodes were called: by alias, which is empty for none, and by the name of the call.
pub type NameNodeCalls = BTreeMap<String, BTreeMap<&'static str, u64>>;

/// The calls under one alias.
#[derive(Debug)]
pub(super) struct Tally {
    alias: String,
    counts: [AtomicU64; NAMES.len() + 1],
}

tokio::task_local! {
    static TALLY: Arc<Tally>;
}

/// Every tally of the process. That of no alias has the calls, too, that clients make in tasks of their own.
fn tallies() -> &'static Mutex<BTreeMap<String, Arc<Tally>>> {
    static TALLIES: OnceLock<Mutex<BTreeMap<String, Arc<Tally>>>> = OnceLock::new();
    TALLIES.get_or_init(Mutex::default)
}

/// The calls to NameNodes that this process has made.
#[must_use]
pub fn name_node_calls() -> NameNodeCalls {
    let tallies = tallies().lock().unwrap_or_else(PoisonError::into_inner);
    tallies.iter().map(|(alias, tally)| (alias.clone(), tally.counts())).filter(|(_, counts)| !counts.is_empty()).collect()
}

impl Tally {
    /// The tally of `alias`.
    pub(super) fn of(alias: &str) -> Arc<Self> {
        listen();
        let mut tallies = tallies().lock().unwrap_or_else(PoisonError::into_inner);
        let tally = tallies.entry(alias.to_owned()).or_insert_with(|| Arc::new(Self { alias: alias.to_owned(), counts: Default::default() }));
        Arc::clone(tally)
    }

    /// Does `work`, whose calls are counted here.
    pub(super) fn count<W: Future>(self: &Arc<Self>, work: W) -> impl Future<Output = W::Output> + use<W> {
        TALLY.scope(Arc::clone(self), work)
    }

    fn called(&self, name: &str) {
        static FAMILY: OnceLock<Option<IntCounterVec>> = OnceLock::new();
        let place = NAMES.iter().position(|known| *known == name).unwrap_or(NAMES.len());
        if let Some(count) = self.counts.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let register = || weir_base::metrics::counters("weir_fs_name_node_calls_total", "Calls to NameNodes of HDFS", &["alias", "call"]);
        if let Some(family) = FAMILY.get_or_init(register) {
            family.with_label_values(&[self.alias.as_str(), NAMES.get(place).unwrap_or(&OTHER)]).inc();
        }
    }

    fn counts(&self) -> BTreeMap<&'static str, u64> {
        let names = NAMES.into_iter().chain([OTHER]);
        names.zip(&self.counts).map(|(name, count)| (name, count.load(Ordering::Relaxed))).filter(|(_, count)| *count > 0).collect()
    }
}

/// Begins to listen to the client, once a process.
fn listen() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| match log::set_logger(&Listener) {
        Ok(()) => log::set_max_level(LevelFilter::Debug),
        Err(error) => tracing::warn!(%error, "calls to NameNodes are not counted: somebody else listens to the client of HDFS"),
    });
}

/// Hears the requests of the client.
struct Listener;

impl Log for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == SPEAKER
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        if let Some(name) = Heard::name_of(record.args()) {
            let counted = TALLY.try_with(|tally| tally.called(&name));
            if counted.is_err() {
                Tally::of("").called(&name);
            }
        }
    }

    fn flush(&self) {}
}

/// The beginning of a line, as far as the colon that ends it.
#[derive(Default)]
struct Heard(String);

impl Heard {
    /// The name of the call if `line` is about a request.
    fn name_of(line: &fmt::Arguments<'_>) -> Option<String> {
        let mut heard = Self::default();
        // An error is how it says that it has heard enough.
        _ = heard.write_fmt(*line);
        heard.0.strip_suffix(REQUEST).map(str::to_owned)
    }
}

impl Write for Heard {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = text.find(':');
        self.0.push_str(end.and_then(|end| text.get(..=end)).unwrap_or(text));
        if end.is_some() { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request that must not be put into words.
    struct Secret;

    impl fmt::Debug for Secret {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("it was shown")
        }
    }

    #[test]
    fn a_request_is_known_by_its_first_word_and_not_looked_at() {
        assert_eq!(Heard::name_of(&format_args!("{} request: {:?}", "getFileInfo", Secret)).as_deref(), Some("getFileInfo"));
        for other in [format_args!("{} response: {:?}", "getFileInfo", Secret), format_args!("Failed to renew lease: {Secret:?}"), format_args!("")] {
            assert_eq!(Heard::name_of(&other), None);
        }
    }

    #[tokio::test]
    async fn calls_are_counted_for_the_alias_whose_task_makes_them() {
        let say = |name: &str| log::debug!(target: SPEAKER, "{name} request: {Secret:?}");
        let tally = Tally::of("calls-of-a-test");
        say("rename2");
        tally.count(async { ["create", "addBlock", "addBlock", "beyondOurKnowledge"].map(say) }).await;
        log::debug!(target: "hdfs_native::hdfs::connection", "create request: 1");
        let counts = name_node_calls();
        assert_eq!(counts["calls-of-a-test"], BTreeMap::from([("addBlock", 2), ("create", 1), ("other", 1)]));
        assert!(counts[""]["rename2"] >= 1);
        let line = "weir_fs_name_node_calls_total{alias=\"calls-of-a-test\",call=\"addBlock\"} 2";
        assert!(weir_base::metrics::exposition().contains(line));
    }
}
