//! The Kafka source on a real broker: where it begins and ends, what it waits for, and what it tells of a message.
//!
//! Rows go to the print connector: what a job has read is what it has printed.

use std::path::PathBuf;
use std::time::Instant;

use crate::orders::{LIMIT, run, tells_each_outage_once};
use crate::support::{Ending, Row, Servers, Topic, Workdir, until};

/// A job that prints what it reads.
struct Job<'a> {
    folder: &'a Workdir,
    name: &'a str,
    brokers: &'a str,
    /// Columns, and the query from table `t`.
    columns: &'a str,
    query: &'a str,
    /// Between two checkpoints.
    interval: &'a str,
}

/// For topics with old timestamps, which retention would delete.
const KEPT: [(&str, &str); 1] = [("retention.ms", "-1")];
const PLACES: (&str, &str) = ("id BIGINT, p INT METADATA FROM 'partition' VIRTUAL, o BIGINT METADATA FROM 'offset' VIRTUAL", "p, o, id");

impl<'a> Job<'a> {
    /// A job that prints partition, offset and id.
    fn new(folder: &'a Workdir, name: &'a str, brokers: &'a str) -> Self {
        Self { folder, name, brokers, columns: PLACES.0, query: PLACES.1, interval: "200 ms" }
    }

    /// Writes the job file; `options` are those of the source, apart from the brokers and the format.
    fn write(&self, options: &[(&str, &str)]) -> PathBuf {
        let Self { folder, name, brokers, columns, query, interval } = self;
        let options: String = options.iter().map(|(key, value)| format!(",\n  '{key}' = '{value}'")).collect();
        let sink: Vec<String> = (0..query.split(", ").count()).map(|column| format!("c{column} STRING")).collect();
        let selected: Vec<String> = query.split(", ").map(|column| format!("CAST({column} AS STRING)")).collect();
        let text = format!(
            "SET 'pipeline.name' = '{name}';
SET 'execution.checkpointing.interval' = '{interval}';
SET 'execution.checkpointing.dir' = '{}';
CREATE TABLE t ({columns}) WITH ('connector' = 'kafka', 'properties.bootstrap.servers' = '{brokers}', 'format' = 'json'{options});
CREATE TABLE printed ({}) WITH ('connector' = 'print');
INSERT INTO printed SELECT {} FROM t;
",
            folder.uri("checkpoints"),
            sink.join(", "),
            selected.join(", "),
        );
        folder.write(&format!("{name}.sql"), &text)
    }

    /// Runs a job that ends by itself and gives the rows that it printed, sorted.
    async fn rows(&self, options: &[(&str, &str)]) -> Vec<String> {
        let file = self.write(options);
        let output = self.folder.weir(run(&file)).output(LIMIT).await.succeeded();
        rows(&output.stdout)
    }

    /// The same as (partition, offset, id).
    async fn places(&self, options: &[(&str, &str)]) -> Vec<(i32, i64, i64)> {
        places(&self.rows(options).await)
    }
}

/// The rows in what a job printed, sorted.
fn rows(printed: &str) -> Vec<String> {
    let mut rows: Vec<String> = printed.lines().filter_map(|line| Some(line.split_once("+I[")?.1.strip_suffix(']')?.to_owned())).collect();
    rows.sort_unstable();
    rows
}

fn places(rows: &[String]) -> Vec<(i32, i64, i64)> {
    let mut places: Vec<(i32, i64, i64)> = rows
        .iter()
        .map(|row| {
            let numbers: Vec<i64> = row.split(", ").map(|number| number.parse().unwrap()).collect();
            (i32::try_from(numbers[0]).unwrap(), numbers[1], numbers[2])
        })
        .collect();
    places.sort_unstable();
    places
}

fn message(partition: i32, id: i64) -> Row {
    Row::new(partition, format!("{{\"id\":{id}}}"))
}

/// What should be read of messages at these places, with these ids.
fn expected(sent: &[(i32, i64)], ids: impl IntoIterator<Item = i64>) -> Vec<(i32, i64, i64)> {
    let mut expected: Vec<(i32, i64, i64)> = sent.iter().zip(ids).map(|((partition, offset), id)| (*partition, *offset, id)).collect();
    expected.sort_unstable();
    expected
}

#[tokio::test]
async fn the_job_reads_up_to_an_open_transaction_and_the_rest_after_its_end() {
    let brokers = Servers::shared().kafka();
    let (folder, topic) = (Workdir::new(), Topic::create(&brokers, "open", 1, &[]).await);
    let job = Job::new(&folder, "open", &brokers);
    let options = [("topic", topic.name()), ("scan.startup.mode", "earliest-offset"), ("scan.bounded.mode", "latest-offset")];
    let before = topic.produce((0..10).map(|id| message(0, id))).await;
    let (transaction, inside) = topic.open_transaction((10..20).map(|id| message(0, id))).await;
    let behind = topic.produce((20..30).map(|id| message(0, id))).await;
    assert_eq!(job.places(&options).await, expected(&before, 0..10), "the end is the last stable offset");

    let file = job.write(&options[..2]);
    let mut running = folder.weir(run(&file)).start();
    let address = running.address(LIMIT).await;
    until("the job has caught up with the transaction", LIMIT, async || (running.status(&address).await?["state"] == "running").then_some(())).await;
    transaction.end(Ending::Commit);
    let rest = until("the rest is printed", LIMIT, async || {
        let found = rows(&std::fs::read_to_string(folder.path("1.weir.stdout")).unwrap());
        (found.len() >= 20).then_some(found)
    })
    .await;
    assert_eq!(places(&rest), expected(&[inside, behind].concat(), 10..30));
    running.terminate();
    running.wait(LIMIT).await.succeeded();
}

#[tokio::test]
async fn records_of_an_open_transaction_are_read_if_the_job_asks_for_uncommitted_ones() {
    let brokers = Servers::shared().kafka();
    let (folder, topic) = (Workdir::new(), Topic::create(&brokers, "open", 1, &[]).await);
    let job = Job::new(&folder, "uncommitted", &brokers);
    let (transaction, inside) = topic.open_transaction((0..10).map(|id| message(0, id))).await;
    let options = [
        ("topic", topic.name()),
        ("scan.startup.mode", "earliest-offset"),
        ("scan.bounded.mode", "latest-offset"),
        ("properties.isolation.level", "read_uncommitted"),
    ];
    assert_eq!(job.places(&options).await, expected(&inside, 0..10));
    transaction.end(Ending::Abort);
}

#[tokio::test]
async fn gaps_of_compaction_are_passed() {
    let brokers = Servers::shared().kafka();
    let settings = [("cleanup.policy", "compact"), ("segment.ms", "100"), ("min.cleanable.dirty.ratio", "0.01"), ("max.compaction.lag.ms", "100")];
    let (folder, topic) = (Workdir::new(), Topic::create(&brokers, "compacted", 1, &settings).await);
    let job = Job::new(&folder, "compacted", &brokers);
    let options = [("topic", topic.name()), ("scan.startup.mode", "earliest-offset"), ("scan.bounded.mode", "latest-offset")];
    let keyed = |id: i64| Row { key: Some((id % 5).to_be_bytes().to_vec()), ..message(0, id) };
    let mut sent = topic.produce((0..200).map(keyed)).await;
    // The active segment is never compacted: messages keep coming until the old one has been.
    let mut next = 200;
    let mut round = 0;
    let read = until("the topic has gaps and the job reads across them", LIMIT, async || {
        sent.extend(topic.produce((next..next + 5).map(keyed)).await);
        next += 5;
        round += 1;
        let name = format!("compacted{round}");
        let read = Job { name: &name, ..Job::new(&folder, "", &brokers) }.places(&options).await;
        (read.len() < usize::try_from(next).unwrap()).then_some(read)
    })
    .await;
    let all = expected(&sent, 0..next);
    assert!(read.iter().all(|row| all.contains(row)), "{read:?}");
    // Of each key the last message is there, and the very last one of all.
    assert!(all[all.len() - 5..].iter().all(|row| read.contains(row)), "{read:?}");
    // A checkpoint behind the gaps is a good place to go on from.
    assert_eq!(job.places(&options).await.last(), all.last());
    let more = topic.produce([keyed(next)]).await;
    assert_eq!(job.places(&options).await, expected(&more, [next]));
}

#[tokio::test]
async fn a_broker_that_restarts_is_waited_for_at_the_start_and_while_reading() {
    let servers = Servers::own();
    let brokers = servers.kafka();
    let (folder, topic) = (Workdir::new(), Topic::create(&brokers, "restart", 2, &[]).await);
    let job = Job::new(&folder, "restart", &brokers);
    let message = |id: i64| message(i32::try_from(id % 2).unwrap(), id);
    let file = job.write(&[("topic", topic.name()), ("scan.startup.mode", "earliest-offset")]);
    let mut sent = topic.produce((0..20_000).map(message)).await;
    servers.stop("kafka");
    let mut running = folder.weir(["--log", "info,weir_connectors=debug", "run", file.to_str().unwrap()]).start();
    running.logged("attempt failed, the next one begins after a wait", LIMIT).await;
    servers.start("kafka");
    let printed = |count: usize| {
        let path = folder.path("0.weir.stdout");
        async move {
            until(&format!("{count} rows are printed"), LIMIT, async || {
                let found = rows(&std::fs::read_to_string(&path).unwrap());
                (found.len() >= count).then_some(found)
            })
            .await
        }
    };
    printed(1).await;
    servers.kill("kafka");
    // It tries again and again, and says so once.
    let stderr = folder.path("0.weir.stderr");
    until("the client has tried several times", LIMIT, async || {
        let log = std::fs::read_to_string(&stderr).unwrap();
        let tries = log.rsplit("kafka source connected").next().unwrap().matches("client error").count();
        (tries >= 5).then_some(())
    })
    .await;
    running.logged("source cannot be reached, waiting", LIMIT).await;
    servers.start("kafka");
    running.logged("source reached again", LIMIT).await;
    sent.extend(topic.produce((20_000..21_000).map(message)).await);
    assert_eq!(places(&printed(21_000).await), expected(&sent, 0..21_000));
    running.terminate();
    let ended = running.wait(LIMIT).await.succeeded();
    tells_each_outage_once(ended.stderr.rsplit("kafka source connected").next().unwrap());
}

#[tokio::test]
async fn each_start_and_each_end_is_where_the_options_say() {
    let brokers = Servers::shared().kafka();
    let (folder, topic) = (Workdir::new(), Topic::create(&brokers, "modes", 2, &KEPT).await);
    let time = 1_700_000_000_000_i64;
    let timed = |id: i64| Row { timestamp: Some(time + id), ..message(i32::try_from(id % 2).unwrap(), id) };
    let sent = topic.produce((0..100).map(timed)).await;
    let all = expected(&sent, 0..100);
    let only = |wanted: &dyn Fn(i32, i64, i64) -> bool| all.iter().copied().filter(|(p, o, id)| wanted(*p, *o, *id)).collect::<Vec<_>>();
    let (from, to) = ((time + 30).to_string(), (time + 70).to_string());
    let latest = ("scan.bounded.mode", "latest-offset");
    let earliest = ("scan.startup.mode", "earliest-offset");
    let start_offsets = ("scan.startup.specific-offsets", "partition:0,offset:42");
    let bound_offsets = ("scan.bounded.specific-offsets", "partition:1,offset:7");
    let cases = [
        ("earliest", vec![earliest, latest], all.clone()),
        ("latest", vec![("scan.startup.mode", "latest-offset"), latest], Vec::new()),
        (
            "timestamp",
            vec![
                ("scan.startup.mode", "timestamp"),
                ("scan.startup.timestamp-millis", &from),
                ("scan.bounded.mode", "timestamp"),
                ("scan.bounded.timestamp-millis", &to),
            ],
            only(&|_, _, id| (30..70).contains(&id)),
        ),
        // A partition that is not listed begins at its beginning.
        ("specific", vec![("scan.startup.mode", "specific-offsets"), start_offsets, latest], only(&|p, o, _| p == 1 || o >= 42)),
        // One that has no end is not read.
        ("bounded", vec![earliest, ("scan.bounded.mode", "specific-offsets"), bound_offsets], only(&|p, o, _| p == 1 && o < 7)),
        ("future", vec![earliest, ("scan.bounded.mode", "timestamp"), ("scan.bounded.timestamp-millis", "4000000000000")], all.clone()),
    ];
    for (name, mut options, wanted) in cases {
        options.push(("topic", topic.name()));
        assert_eq!(Job::new(&folder, name, &brokers).places(&options).await, wanted, "{name}");
    }
}

#[tokio::test]
async fn the_group_is_shown_the_progress_and_another_job_begins_there() {
    let brokers = Servers::shared().kafka();
    let (folder, topic) = (Workdir::new(), Topic::create(&brokers, "group", 1, &[]).await);
    let group = format!("group-{}", uuid::Uuid::new_v4().simple());
    let options = [("topic", topic.name()), ("properties.group.id", group.as_str()), ("scan.bounded.mode", "latest-offset")];
    topic.produce((0..50).map(|id| message(0, id))).await;
    let first = Job::new(&folder, "first", &brokers);
    let file = first.write(&options);
    let refused = folder.weir(run(&file)).output(LIMIT).await.failed_with(3);
    let message_of_it = format!("topic '{}' partition 0: group '{group}' has no committed offset there", topic.name());
    assert!(refused.stderr.contains(&message_of_it), "{}", refused.stderr);
    let file = first.write(&[options[0], options[1], ("properties.auto.offset.reset", "earliest")]);
    let running = folder.weir(run(&file)).start();
    until("the group has been shown the progress", LIMIT, async || (topic.committed_by(&group, 0) == Some(50)).then_some(())).await;
    running.terminate();
    running.wait(LIMIT).await.succeeded();

    let sent = topic.produce((50..80).map(|id| message(0, id))).await;
    let up_to_the_group = [options[0], options[1], ("scan.startup.mode", "earliest-offset"), ("scan.bounded.mode", "group-offsets")];
    let read = Job::new(&folder, "second", &brokers).places(&up_to_the_group).await;
    assert_eq!(read.iter().map(|(_, _, id)| *id).collect::<Vec<_>>(), (0..50).collect::<Vec<_>>());
    assert_eq!(Job::new(&folder, "third", &brokers).places(&options).await, expected(&sent, 50..80));
    // The group may have moved on, and is not asked by a job that has a checkpoint.
    assert_eq!(first.places(&options).await, expected(&sent, 50..80));
}

#[tokio::test]
async fn the_group_is_shown_the_very_last_position_of_a_job_that_ends_and_of_one_that_is_stopped() {
    let brokers = Servers::shared().kafka();
    let (folder, topic) = (Workdir::new(), Topic::create(&brokers, "group", 1, &[]).await);
    let group = format!("group-{}", uuid::Uuid::new_v4().simple());
    let options = [
        ("topic", topic.name()),
        ("properties.group.id", group.as_str()),
        ("scan.startup.mode", "earliest-offset"),
        ("scan.bounded.mode", "latest-offset"),
    ];
    topic.produce((0..50).map(|id| message(0, id))).await;
    let job = Job { interval: "10 min", ..Job::new(&folder, "last", &brokers) };
    job.places(&options).await;
    assert_eq!(topic.committed_by(&group, 0), Some(50));

    topic.produce((50..80).map(|id| message(0, id))).await;
    let mut running = folder.weir(run(&job.write(&options[..3]))).start();
    let address = running.address(LIMIT).await;
    until("the job has read what is there", LIMIT, async || {
        let status = running.status(&address).await?;
        status["sources"].as_object()?.values().any(|source| source["rows"] == 30).then_some(())
    })
    .await;
    running.terminate();
    running.wait(LIMIT).await.succeeded();
    assert_eq!(topic.committed_by(&group, 0), Some(80));
}

/// How often `/metrics` says that brokers were asked this.
fn asked(metrics: &str, call: &str) -> Option<u64> {
    let line = metrics.lines().find(|line| line.starts_with("weir_connectors_kafka_calls_total{") && line.contains(&format!("\"{call}\"")))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[tokio::test]
async fn topics_are_looked_at_once_a_second_however_often_their_ends_move() {
    let brokers = Servers::shared().kafka();
    let (folder, topic) = (Workdir::new(), Topic::create(&brokers, "looks", 1, &[]).await);
    let job = Job { interval: "10 min", ..Job::new(&folder, "looks", &brokers) };
    let file = job.write(&[("topic", topic.name()), ("scan.startup.mode", "earliest-offset")]);
    let begun = Instant::now();
    let mut running = folder.weir(run(&file)).start();
    running.logged("kafka source connected", LIMIT).await;
    let address = running.address(LIMIT).await;
    let mut next = 0;
    let metrics = until("the ends are asked for again and again", LIMIT, async || {
        topic.produce([message(0, next)]).await;
        next += 1;
        let metrics = reqwest::get(format!("{address}/metrics")).await.unwrap().text().await.unwrap();
        (asked(&metrics, "ListOffsets")? > 60).then_some(metrics)
    })
    .await;
    // One look at the start, and those that are due.
    let due = 2 + begun.elapsed().as_secs();
    assert!(asked(&metrics, "DescribeTopics").unwrap() <= due, "{metrics}");
    running.terminate();
    running.wait(LIMIT).await.succeeded();
}

#[tokio::test]
async fn topics_of_a_pattern_are_read_and_new_ones_join() {
    let brokers = Servers::shared().kafka();
    let folder = Workdir::new();
    let family = format!("family{}", uuid::Uuid::new_v4().simple());
    let one = Topic::create(&brokers, &format!("{family}-one"), 1, &[]).await;
    let stranger = Topic::create(&brokers, &format!("no-{family}-one"), 1, &[]).await;
    let job = Job { columns: "id BIGINT, topic STRING METADATA VIRTUAL", query: "id, topic", ..Job::new(&folder, "pattern", &brokers) };
    let pattern = format!("{family}-.*");
    let file =
        job.write(&[("topic-pattern", &pattern), ("scan.startup.mode", "earliest-offset"), ("scan.topic-partition-discovery.interval", "100 ms")]);
    one.produce([message(0, 1)]).await;
    stranger.produce([message(0, 100)]).await;
    let mut running = folder.weir(run(&file)).start();
    running.logged("kafka source connected", LIMIT).await;
    let two = Topic::create(&brokers, &format!("{family}-two"), 1, &[]).await;
    two.produce([message(0, 2)]).await;
    let found = until("a row of each topic is printed", LIMIT, async || {
        let found = rows(&std::fs::read_to_string(folder.path("0.weir.stdout")).unwrap());
        (found.len() >= 2).then_some(found)
    })
    .await;
    assert_eq!(found, [format!("1, {}", one.name()), format!("2, {}", two.name())]);
    running.terminate();
    running.wait(LIMIT).await.succeeded();
}

#[tokio::test]
async fn metadata_columns_hold_what_the_broker_tells() {
    let brokers = Servers::shared().kafka();
    let (folder, topic) = (Workdir::new(), Topic::create(&brokers, "metadata", 1, &KEPT).await);
    let stamped = Topic::create(&brokers, "metadata", 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    let row = Row {
        key: Some(b"k".to_vec()),
        timestamp: Some(1_700_000_000_123),
        headers: vec![header("a", "first"), header("b", "other"), header("a", "last")],
        ..message(0, 1)
    };
    topic.produce([row.clone(), Row { headers: Vec::new(), ..row.clone() }]).await;
    stamped.produce([row]).await;
    let job = Job {
        columns: "id BIGINT, topic STRING METADATA VIRTUAL, ts TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
  kind STRING METADATA FROM 'timestamp-type' VIRTUAL, epoch INT METADATA FROM 'leader-epoch' VIRTUAL,
  headers MAP<STRING, BYTES> METADATA VIRTUAL, header_list ARRAY<ROW<key STRING, `value` BYTES>> METADATA FROM 'header-list' VIRTUAL",
        query: "topic, EXTRACT(YEAR FROM ts), ts = TIMESTAMP '2023-11-14 22:13:20.123', kind, epoch, headers['a'], CARDINALITY(header_list), header_list[1].`value`",
        ..Job::new(&folder, "metadata", &brokers)
    };
    let options = [("scan.startup.mode", "earliest-offset"), ("scan.bounded.mode", "latest-offset")];
    let read = job.rows(&[options[0], options[1], ("topic", topic.name())]).await;
    assert_eq!(
        read,
        [
            format!("{}, 2023, true, CreateTime, 0, last, 3, first", topic.name()),
            format!("{}, 2023, true, CreateTime, 0, null, 0, null", topic.name()),
        ]
    );
    let read = Job { name: "stamped", ..job }.rows(&[options[0], options[1], ("topic", stamped.name())]).await;
    let [row] = read.as_slice() else { panic!("{read:?}") };
    assert!(row.contains("false, LogAppendTime, 0, last, 3, first"), "{row}");
}
