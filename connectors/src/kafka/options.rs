//! Options of a kafka table: declared once, pulled and checked. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use regex::Regex;
use weir_base::options::ValueType::{Duration as DurationType, Enum, Integer, List, String as Text};
use weir_base::options::{OptionBag, OptionDecl};

use super::properties::{ClientProperties, client_properties};
use crate::letters;

macro_rules! declare {
    ($($name:ident = $decl:expr;)*) => {
        $(pub(super) const $name: OptionDecl = $decl;)*
        /// Every option of the connector, for documentation and for what is left over.
        pub(super) const ALL: &[OptionDecl] = &[$($name),*];
    };
}

const STARTUP_MODES: &[&str] = &["earliest-offset", "latest-offset", "group-offsets", "timestamp", "specific-offsets"];
const BOUNDED_MODES: &[&str] = &["unbounded", "latest-offset", "group-offsets", "timestamp", "specific-offsets"];

declare! {
    CONNECTOR = OptionDecl::new("connector", Text, "Name of the connector: `kafka`.").required();
    PROPERTY_VERSION = OptionDecl::new("property-version", Integer { min: 1, max: 1 }, "Reserved.").default("1");
    TOPIC = OptionDecl::new("topic", List, "Topics to read. Either this or `topic-pattern`.");
    TOPIC_PATTERN = OptionDecl::new("topic-pattern", Text, "Regular expression; every topic whose whole name matches is read. Either this or `topic`.");
    SERVERS = OptionDecl::new("properties.bootstrap.servers", Text, "Brokers to begin with, `host:port`, `,` between them.").required();
    GROUP = OptionDecl::new(
        "properties.group.id", Text,
        "Consumer group. Needed only for the group's offsets; with it, committed positions are shown to the group, but never read back by a job that has a checkpoint.",
    );
    RESET = OptionDecl::new(
        "properties.auto.offset.reset", Text,
        "`none`, `earliest` or `latest`: where to go on if the wanted offset does not exist, because the group has none or because the topic has deleted it. \
         With `none` that stops the job; the others accept the loss, which is logged.",
    ).default("none");
    PROPERTIES = OptionDecl::new("properties.*", Text, "Settings of the Kafka client (librdkafka); well-known names of the Java client are mapped.");
    FORMAT = OptionDecl::new("format", Text, "Format of the value; its options carry the prefix `<format>.`. Either this or `value.format`.");
    VALUE_FORMAT = OptionDecl::new("value.format", Text, "Format of the value; its options carry the prefix `value.<format>.`.");
    KEY_FORMAT = OptionDecl::new("key.format", Text, "Format of the key; its options carry the prefix `key.<format>.`.");
    KEY_FIELDS = OptionDecl::new("key.fields", List, "Physical columns that form the key, in order.");
    KEY_FIELDS_PREFIX = OptionDecl::new("key.fields-prefix", Text, "Prefix of the key columns' names in the table, taken off for the key format.").default("");
    VALUE_FIELDS_INCLUDE = OptionDecl::new(
        "value.fields-include", Enum(&["ALL", "EXCEPT_KEY"]),
        "Whether the value holds the key columns too. With `ALL` they are read from the value, and the key is not decoded.",
    ).default("ALL");
    STARTUP_MODE = OptionDecl::new("scan.startup.mode", Enum(STARTUP_MODES), "Where to begin if there is no checkpoint; a checkpoint wins.").default("group-offsets");
    STARTUP_OFFSETS = OptionDecl::new(
        "scan.startup.specific-offsets", Text,
        "`partition:0,offset:42;partition:1,offset:300`, for a single topic. Partitions not listed begin at the group's offset, else at their beginning.",
    );
    STARTUP_TIMESTAMP = OptionDecl::new("scan.startup.timestamp-millis", Integer { min: 0, max: i64::MAX }, "Begin at the first record of this time or later (milliseconds since 1970).");
    BOUNDED_MODE = OptionDecl::new(
        "scan.bounded.mode", Enum(BOUNDED_MODES),
        "Where to end. The ends are found when reading begins, and anew when a job is restarted.",
    ).default("unbounded");
    BOUNDED_OFFSETS = OptionDecl::new("scan.bounded.specific-offsets", Text, "Ends, exclusive, as in `scan.startup.specific-offsets`. Partitions not listed are not read.");
    BOUNDED_TIMESTAMP = OptionDecl::new("scan.bounded.timestamp-millis", Integer { min: 0, max: i64::MAX }, "End before the first record of this time or later.");
    DISCOVERY = OptionDecl::new(
        "scan.topic-partition-discovery.interval", DurationType,
        "How often to look for new partitions and topics, which are read from their beginning; 0 turns it off. A bounded table does not look.",
    ).default("5 min");
    ERROR_MODE = letters::ERROR_MODE;
    ERROR_TABLE = letters::ERROR_TABLE;
    ERROR_MAX_RATE = letters::ERROR_MAX_RATE;
    SCAN_PARALLELISM = OptionDecl::new("scan.parallelism", Integer { min: 1, max: i32::MAX as i64 }, "Accepted; every partition is read by its own reader.");
    SINK_PARTITIONER = OptionDecl::new("sink.partitioner", Text, "For a sink, which does not exist yet.").default("default");
    SINK_GUARANTEE = OptionDecl::new("sink.delivery-guarantee", Enum(&["none", "at-least-once", "exactly-once"]), "For a sink, which does not exist yet.")
        .default("at-least-once").deprecated(&["sink.semantic"]);
    SINK_PREFIX = OptionDecl::new("sink.transactional-id-prefix", Text, "For a sink, which does not exist yet.");
    SINK_NAMING = OptionDecl::new("sink.transaction-naming-strategy", Enum(&["INCREMENTING", "POOLING"]), "For a sink, which does not exist yet.").default("INCREMENTING");
    SINK_PARALLELISM = OptionDecl::new("sink.parallelism", Integer { min: 1, max: i32::MAX as i64 }, "For a sink, which does not exist yet.");
}

/// Which topics are read.
#[derive(Debug, Clone)]
pub(super) enum Topics {
    /// These.
    Named(Vec<String>),
    /// Every topic whose whole name matches.
    Matching(Regex),
}

/// Offsets by partition.
pub(super) type Offsets = BTreeMap<i32, i64>;

/// Where reading begins without a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Startup {
    /// At the first record that is left.
    Earliest,
    /// At the end as it is at the start.
    Latest,
    /// Where the group has committed.
    Group,
    /// At the first record of this time or later.
    Timestamp(i64),
    /// At these offsets.
    Specific(Offsets),
}

/// Where reading ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bound {
    /// At the end as it is at the start.
    Latest,
    /// Where the group has committed.
    Group,
    /// Before the first record of this time or later.
    Timestamp(i64),
    /// Before these offsets.
    Specific(Offsets),
}

/// What to do if an offset does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reset {
    /// Stop.
    None,
    /// Go on at the first record that is left.
    Earliest,
    /// Go on at the end.
    Latest,
}

/// What a source must know to read.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// What messages call the table.
    pub(super) object: String,
    /// Topics.
    pub(super) topics: Topics,
    /// Client settings.
    pub(super) client: ClientProperties,
    /// Consumer group.
    pub(super) group: Option<String>,
    /// Whether the group is shown the job's progress.
    pub(super) show_progress: bool,
    /// Begin.
    pub(super) startup: Startup,
    /// End; `None` if there is none.
    pub(super) bound: Option<Bound>,
    /// How often to look for new partitions.
    pub(super) discovery: Option<Duration>,
    /// What to do if an offset does not exist.
    pub(super) reset: Reset,
    /// Whether only records of committed transactions are read.
    pub(super) committed: bool,
}

/// Pulls everything but formats and keys. `None` if a problem was found.
pub(super) fn pull(bag: &mut OptionBag) -> Option<Settings> {
    bag.string(&CONNECTOR);
    bag.integer(&PROPERTY_VERSION);
    let servers = bag.string(&SERVERS);
    let group = bag.string(&GROUP);
    let topics = topics(bag);
    let reset = reset(bag);
    let mut written = bag.prefixed("properties.");
    let show_progress = written.get("commit.offsets.on.checkpoint").is_none_or(|value| !value.eq_ignore_ascii_case("false"));
    let committed = written.remove("isolation.level").is_none_or(|level| isolation(&level, bag));
    let client = client_properties(&written, bag);
    let startup = startup(bag, topics.as_ref(), group.as_deref());
    let bound = bound(bag, topics.as_ref(), group.as_deref());
    let discovery = bag.duration(&DISCOVERY);
    if bag.integer(&SCAN_PARALLELISM).is_some() {
        bag.warn("OPT-008", SCAN_PARALLELISM.key, "'scan.parallelism' has no effect: every partition is read by its own reader.");
    }
    pull_sink_options(bag);
    servers?;
    let discovery = discovery.filter(|interval| !interval.is_zero() && matches!(bound, Some(None)));
    Some(Settings {
        object: bag.object().to_owned(),
        topics: topics?,
        client,
        group,
        show_progress,
        startup: startup?,
        bound: bound?,
        discovery,
        reset: reset?,
        committed,
    })
}

/// A table may be declared for both uses: sink options are checked here too.
fn pull_sink_options(bag: &mut OptionBag) {
    bag.string(&SINK_PARTITIONER);
    bag.choice(&SINK_GUARANTEE);
    bag.string(&SINK_PREFIX);
    bag.choice(&SINK_NAMING);
    bag.integer(&SINK_PARALLELISM);
}

fn topics(bag: &mut OptionBag) -> Option<Topics> {
    let named = bag.list(&TOPIC);
    let pattern = bag.string(&TOPIC_PATTERN);
    match (named.is_empty(), pattern) {
        (false, None) => Some(Topics::Named(named)),
        (false, Some(_)) => {
            bag.error("OPT-006", TOPIC_PATTERN.key, "Option 'topic' and 'topic-pattern' shouldn't be set together.");
            None
        }
        (true, None) => {
            bag.error("OPT-002", TOPIC.key, "Either 'topic' or 'topic-pattern' must be set.");
            None
        }
        (true, Some(pattern)) => match Regex::new(&format!("^(?:{pattern})$")) {
            Ok(regex) => Some(Topics::Matching(regex)),
            Err(error) => {
                let reason = error.to_string();
                let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
                let what = format!("Invalid value for option 'topic-pattern': '{pattern}' is not a regular expression: {reason}.");
                bag.error("OPT-003", TOPIC_PATTERN.key, what);
                None
            }
        },
    }
}

fn reset(bag: &mut OptionBag) -> Option<Reset> {
    let text = bag.string(&RESET)?;
    match text.to_ascii_lowercase().as_str() {
        "none" => Some(Reset::None),
        "earliest" => Some(Reset::Earliest),
        "latest" => Some(Reset::Latest),
        _ => {
            let what = format!("'properties.auto.offset.reset' can not be set to {text}. Valid values: [latest,earliest,none].");
            bag.error("OPT-004", RESET.key, what);
            None
        }
    }
}

fn isolation(level: &str, bag: &mut OptionBag) -> bool {
    match level {
        "read_committed" => true,
        "read_uncommitted" => false,
        _ => {
            let key = "properties.isolation.level";
            bag.error("OPT-004", key, format!("Invalid value for option '{key}': '{level}'. Expected one of: [read_committed, read_uncommitted]."));
            true
        }
    }
}

fn startup(bag: &mut OptionBag, topics: Option<&Topics>, group: Option<&str>) -> Option<Startup> {
    let timestamp = bag.integer(&STARTUP_TIMESTAMP);
    let offsets = bag.string(&STARTUP_OFFSETS);
    match bag.choice(&STARTUP_MODE)? {
        "earliest-offset" => Some(Startup::Earliest),
        "latest-offset" => Some(Startup::Latest),
        "timestamp" => timestamp_of(bag, timestamp, &STARTUP_TIMESTAMP, "startup").map(Startup::Timestamp),
        "specific-offsets" => offsets_of(bag, offsets, &STARTUP_OFFSETS, topics, "startup").map(Startup::Specific),
        _ => group_of(bag, group, &STARTUP_MODE).then_some(Startup::Group),
    }
}

fn bound(bag: &mut OptionBag, topics: Option<&Topics>, group: Option<&str>) -> Option<Option<Bound>> {
    let timestamp = bag.integer(&BOUNDED_TIMESTAMP);
    let offsets = bag.string(&BOUNDED_OFFSETS);
    match bag.choice(&BOUNDED_MODE)? {
        "unbounded" => Some(None),
        "latest-offset" => Some(Some(Bound::Latest)),
        "timestamp" => timestamp_of(bag, timestamp, &BOUNDED_TIMESTAMP, "bounded").map(|time| Some(Bound::Timestamp(time))),
        "specific-offsets" => offsets_of(bag, offsets, &BOUNDED_OFFSETS, topics, "bounded").map(|offsets| Some(Bound::Specific(offsets))),
        _ => group_of(bag, group, &BOUNDED_MODE).then_some(Some(Bound::Group)),
    }
}

fn group_of(bag: &mut OptionBag, group: Option<&str>, mode: &OptionDecl) -> bool {
    if group.is_none() {
        let what = "Property group.id is required when using committed offset for offsets initializer.";
        let hint = if bag.contains(mode.key) {
            "Set 'properties.group.id'"
        } else {
            "'group-offsets' is the default of 'scan.startup.mode'. Set 'properties.group.id'"
        };
        let problem = weir_base::options::Problem::new("OPT-005", bag.object(), what).at(bag.position(mode.key));
        bag.report(problem.hint(format!("{hint}, or another '{}'.", mode.key)));
    }
    group.is_some()
}

fn timestamp_of(bag: &mut OptionBag, value: Option<i64>, decl: &OptionDecl, what: &str) -> Option<i64> {
    if value.is_none() && !bag.contains(decl.key) {
        bag.error("OPT-005", decl.key, format!("'{}' is required in 'timestamp' {what} mode but missing.", decl.key));
    }
    value
}

fn offsets_of(bag: &mut OptionBag, value: Option<String>, decl: &OptionDecl, topics: Option<&Topics>, what: &str) -> Option<Offsets> {
    let Some(text) = value else {
        bag.error("OPT-005", decl.key, format!("'{}' is required in 'specific-offsets' {what} mode but missing.", decl.key));
        return None;
    };
    let single = topics.is_none_or(|topics| matches!(topics, Topics::Named(names) if names.len() == 1));
    if !single {
        bag.error("OPT-006", decl.key, "Currently Kafka source only supports specific offset for single topic.");
    }
    let offsets = parse_offsets(&text);
    if offsets.is_none() {
        let shape = "partition:0,offset:42;partition:1,offset:300";
        bag.error("OPT-003", decl.key, format!("Invalid properties '{}' should follow the format '{shape}', but is '{text}'.", decl.key));
    }
    offsets.filter(|_| single)
}

/// `partition:0,offset:42;partition:1,offset:300`; a partition may stand there once.
fn parse_offsets(text: &str) -> Option<Offsets> {
    let mut offsets = Offsets::new();
    for part in text.split(';') {
        let (partition, offset) = part.split_once(',')?;
        let partition: i32 = partition.trim().strip_prefix("partition:")?.trim().parse().ok()?;
        let offset: i64 = offset.trim().strip_prefix("offset:")?.trim().parse().ok()?;
        if partition < 0 || offset < 0 || offsets.insert(partition, offset).is_some() {
            return None;
        }
    }
    Some(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(entries: &[(&str, &str)]) -> Result<Settings, String> {
        let mut bag = OptionBag::new("Table 'c.d.t'");
        for (key, value) in [("connector", "kafka"), ("properties.bootstrap.servers", "h:1")].iter().chain(entries) {
            bag.insert(*key, *value, None);
        }
        let settings = pull(&mut bag);
        let known: Vec<&OptionDecl> = ALL.iter().collect();
        match bag.finish("kafka", &known, &[]) {
            Ok(_) => Ok(settings.expect("no problem, so there are settings")),
            Err(problems) => {
                assert!(settings.is_none() || !problems.as_slice().is_empty());
                Err(problems.to_string())
            }
        }
    }

    #[test]
    fn specific_offsets_are_parsed_strictly() {
        assert_eq!(parse_offsets("partition:0,offset:42;partition:1,offset:300"), Some(Offsets::from([(0, 42), (1, 300)])));
        assert_eq!(parse_offsets(" partition: 7 , offset: 0 "), Some(Offsets::from([(7, 0)])));
        for bad in [
            "",
            ";",
            "0:42",
            "partition:0",
            "partition:0,offset:x",
            "partition:-1,offset:2",
            "partition:0,offset:-2",
            "partition:0,offset:1;partition:0,offset:2",
        ] {
            assert_eq!(parse_offsets(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_plain_table_has_the_documented_defaults() {
        let found = settings(&[("topic", "orders"), ("scan.startup.mode", "earliest-offset")]).expect("valid");
        assert_eq!((found.startup, found.bound, found.reset), (Startup::Earliest, None, Reset::None));
        assert_eq!(found.discovery, Some(Duration::from_secs(300)));
        assert!(found.committed && found.show_progress && found.group.is_none());
        let bounded = settings(&[("topic", "a"), ("scan.startup.mode", "EARLIEST_OFFSET"), ("scan.bounded.mode", "latest-offset")]).expect("valid");
        assert_eq!((bounded.bound, bounded.discovery), (Some(Bound::Latest), None));
        let uncommitted = [("topic", "a"), ("scan.startup.mode", "latest-offset"), ("properties.isolation.level", "read_uncommitted")];
        assert!(!settings(&uncommitted).expect("valid").committed);
    }

    #[test]
    fn each_mistake_has_the_phrase_that_users_search_for() {
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[("scan.startup.mode", "earliest-offset")], "Either 'topic' or 'topic-pattern' must be set."),
            (&[("topic", "a"), ("topic-pattern", "b")], "Option 'topic' and 'topic-pattern' shouldn't be set together."),
            (&[("topic", "a")], "Property group.id is required when using committed offset"),
            (&[("topic", "a")], "'group-offsets' is the default of 'scan.startup.mode'."),
            (
                &[("topic", "a"), ("scan.startup.mode", "timestamp")],
                "'scan.startup.timestamp-millis' is required in 'timestamp' startup mode but missing.",
            ),
            (
                &[("topic", "a"), ("scan.startup.mode", "specific-offsets")],
                "'scan.startup.specific-offsets' is required in 'specific-offsets' startup mode but missing.",
            ),
            (
                &[("topic", "a"), ("scan.bounded.mode", "timestamp")],
                "'scan.bounded.timestamp-millis' is required in 'timestamp' bounded mode but missing.",
            ),
            (
                &[("topic", "a;b"), ("scan.startup.mode", "specific-offsets"), ("scan.startup.specific-offsets", "partition:0,offset:1")],
                "only supports specific offset for single topic",
            ),
            (
                &[("topic", "a"), ("scan.startup.mode", "specific-offsets"), ("scan.startup.specific-offsets", "0:1")],
                "should follow the format 'partition:0,offset:42;partition:1,offset:300', but is '0:1'.",
            ),
            (
                &[("topic", "a"), ("properties.auto.offset.reset", "smallest")],
                "'properties.auto.offset.reset' can not be set to smallest. Valid values: [latest,earliest,none]",
            ),
            (&[("topic-pattern", "a(")], "'a(' is not a regular expression"),
            (&[("topic", "a"), ("scan.startup.mode", "earliest")], "Did you mean 'earliest-offset'?"),
            (&[("topic", "a"), ("properties.isolation.level", "committed")], "Expected one of: [read_committed, read_uncommitted]."),
        ];
        for (entries, phrase) in cases {
            let text = settings(entries).expect_err(phrase);
            assert!(text.contains(phrase), "{phrase}\nnot in\n{text}");
        }
    }

    #[test]
    fn a_pattern_matches_whole_names() {
        let found = settings(&[("topic-pattern", "a|b.*"), ("scan.startup.mode", "latest-offset")]).expect("valid");
        let Topics::Matching(regex) = found.topics else { panic!("a pattern") };
        assert!(regex.is_match("a") && regex.is_match("bc") && !regex.is_match("ab") && !regex.is_match("xb"));
    }
}
