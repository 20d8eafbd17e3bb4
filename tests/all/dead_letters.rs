//! Messages that cannot be read: each is in the table of rows or in the dead-letter table, once, whatever is killed; a job that loses too much
//! stops; letters are looked at and sent back.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;

use crate::orders::{LIMIT, OrdersJob, Setting, answer, order, run, sqlite};
use crate::support::{Row, Servers, Table, Workdir};

const PARTITIONS: u64 = 4;
/// The orders job with a dead-letter table, which it makes.
async fn setting() -> Setting {
    let Setting { folder, topic, mut job } = Setting::on_disk(&Servers::shared().kafka(), PARTITIONS).await;
    job.source_options = ", 'error.mode' = 'dead-letter', 'error.table' = 'lake.shop.errors'".to_owned();
    Setting { folder, topic, job }
}

/// Seven ways in which an order is not one.
fn bad(id: u64) -> Vec<u8> {
    let good = order(id);
    match id / 10 % 7 {
        0 => good.replace("\"pos\":", "\"pos\":\"first\",\"x\":").into_bytes(),
        1 => good.as_bytes()[..good.len() / 2].to_vec(),
        2 => good.replace("2026-01-0", "2026-13-0").into_bytes(),
        3 => b"\xff\xfe no text at all \x00".to_vec(),
        4 => format!("[{good}]").into_bytes(),
        5 => format!("{{\"x\":{}1{}}}", "[".repeat(5_000), "]".repeat(5_000)).into_bytes(),
        _ => good.replace("\"id\":", "\"id\":99999999999999999999,\"again\":").into_bytes(),
    }
}

fn message(id: u64) -> Row {
    let partition = i32::try_from(id % PARTITIONS).unwrap();
    if id % 10 == 3 { Row::new(partition, bad(id)) } else { Row::new(partition, order(id)) }
}

fn errors_on_disk(folder: &Workdir) -> Table {
    Table::of_sql("shop.errors", "lake", &sqlite(folder), &folder.uri("warehouse"))
}

/// Fails the test unless of `messages` the bad ones are in the dead-letter table, the others in the table, and each is there once.
async fn each_is_somewhere_once(folder: &Workdir, job: &Path, messages: usize) {
    let good = crate::orders::table_on_disk(folder).check(&["--unique", "p,o"]).await;
    let bad = errors_on_disk(folder).check(&["--unique", "partition,offset"]).await;
    assert_eq!((&good["duplicates"]["groups"], &bad["duplicates"]["groups"]), (&0.into(), &0.into()));
    assert_eq!((&good["rows"], &bad["rows"]), (&(messages - messages / 10).into(), &(messages / 10).into()));
    let both = "SELECT COUNT(*) FROM lake.shop.orders t JOIN lake.shop.errors e ON t.p = e.`partition` AND t.o = e.`offset`";
    assert_eq!(answer(folder, job, both).await, "0");
    for table in ["lake.shop.orders", "lake.shop.errors"] {
        let arguments = ["verify".as_ref(), "--init".as_ref(), job.as_os_str(), table.as_ref()];
        folder.weir::<&OsStr>(arguments).output(LIMIT).await.succeeded();
    }
}

/// Kills at random, `WEIR_TEST_KILLS` of them (12 if unset), while messages keep coming.
#[tokio::test]
async fn a_tenth_of_bad_messages_of_seven_kinds_is_in_the_dead_letter_table_once_however_often_the_job_is_killed() {
    #[expect(clippy::disallowed_methods, reason = "a longer run by hand is asked for in the environment")]
    let kills: u64 = std::env::var("WEIR_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let Setting { folder, topic, mut job } = setting().await;
    job.bounded = false;
    let file = job.write(&folder);
    let mut next = 0;
    let mut seed = 0x5851_F42D_4C95_7F2D_u64;
    for _ in 0..kills {
        let running = folder.weir(run(&file)).start();
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let until_kill = tokio::time::Instant::now() + Duration::from_millis(300 + (seed >> 33) % 3_000);
        while tokio::time::Instant::now() < until_kill {
            topic.produce((next..next + 500).map(message)).await;
            next += 500;
        }
        running.kill().await;
    }
    job.bounded = true;
    let file = job.write(&folder);
    folder.weir(run(&file)).output(LIMIT).await.succeeded();
    each_is_somewhere_once(&folder, &file, usize::try_from(next).unwrap()).await;
}

/// A kill between the commits of the two tables of one epoch: the next start makes the second.
#[tokio::test]
async fn killed_between_the_commits_of_rows_and_of_dead_letters_neither_is_lost_or_doubled() {
    let Setting { folder, topic, job } = setting().await;
    topic.produce((0..4_000).map(message)).await;
    let file = job.write(&folder);
    let killed = folder.weir(run(&file)).env("WEIR_FAIL", "commit-after-swap=kill").output(LIMIT).await;
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&killed.status), Some(9), "{}", killed.stderr);
    folder.weir(run(&file)).output(LIMIT).await.succeeded();
    each_is_somewhere_once(&folder, &file, 4_000).await;
}

#[tokio::test]
async fn a_letter_has_the_message_its_place_and_what_is_wrong_and_can_be_sent_back_once() {
    let Setting { folder, topic, mut job } = setting().await;
    let late = order(7).replace("2026-01-02 10:00:00.007", "2026-01-02T10:00:00.007");
    let row = Row {
        key: Some(b"k1".to_vec()),
        headers: vec![("trace".to_owned(), b"abc".to_vec())],
        timestamp: Some(1_767_225_600_000),
        ..Row::new(1, late.clone())
    };
    topic.produce([Row::new(1, order(1)), row, Row::new(0, "{\x1b[2J\t")]).await;
    let file = job.write(&folder);
    let explained = folder.weir(["explain", file.to_str().unwrap()]).output(LIMIT).await.succeeded();
    assert!(explained.stdout.contains("sink 'errors': lake.shop.errors"), "{}", explained.stdout);
    let logged = folder.weir(run(&file)).output(LIMIT).await.succeeded();
    assert!(logged.stderr.contains("bad message goes to the dead letters"), "{}", logged.stderr);
    let query = "SELECT job, source, `offset`, `timestamp`, ENCODE(key, 'hex'), ENCODE(headers['trace'], 'hex'), `column`, error FROM lake.shop.errors WHERE `partition` = 1";
    let found = answer(&folder, &file, query).await;
    let expected = "orders,default_catalog.default_database.orders,1,2026-01-01 00:00:00Z,6b31,616263,ts,";
    assert!(found.starts_with(expected) && found.contains("'2026-01-02T10:00:00.007' is not a timestamp"), "{found}");

    let init = file.to_str().unwrap();
    let shown = folder.weir(["dlq", "show", "--init", init, "lake.shop.errors", "--format", "csv"]).output(LIMIT).await.succeeded();
    assert!(shown.stdout.contains(&late.replace('"', "\"\"")) && shown.stdout.contains(",k1,"), "{}", shown.stdout);
    let table = folder.weir(["dlq", "show", "--init", init, "lake.shop.errors"]).output(LIMIT).await.succeeded();
    assert!(table.stdout.contains(r"{\x1b[2J\t") && !table.stdout.contains(['\x1b', '\t']), "{}", table.stdout);
    let summed = folder.weir(["dlq", "show", "--init", init, "lake.shop.errors", "--summary"]).output(LIMIT).await.succeeded();
    assert!(summed.stdout.contains("… is not a timestamp of the form …") && summed.stdout.contains("2 rows"), "{}", summed.stdout);

    // Mended, the job reads the one letter that was only of another form; the other becomes a letter again.
    job.source_options.push_str(", 'json.timestamp-format.standard' = 'ISO-8601'");
    let file = job.write(&folder);
    let replay = ["dlq", "replay", "--init", init, "lake.shop.errors", "--source", "orders"];
    for said in [
        "2 dead letters of 'default_catalog.default_database.orders' in job 'orders' sent to where they came from; 0 had been sent before.",
        "0 dead letters",
    ] {
        let replayed = folder.weir(replay).output(LIMIT).await.succeeded();
        assert!(replayed.stdout.contains(said), "{}", replayed.stdout);
    }
    folder.weir(run(&file)).output(LIMIT).await.succeeded();
    assert_eq!(answer(&folder, &file, "SELECT id, p FROM lake.shop.orders ORDER BY id").await, "1,1\n7,1");
    assert_eq!(answer(&folder, &file, "SELECT COUNT(*) FROM lake.shop.errors WHERE `partition` = 0").await, "2");
    let again = folder.weir(replay).output(LIMIT).await.succeeded();
    assert!(again.stdout.contains("1 dead letters"), "{}", again.stdout);
}

/// A message of a few hundred kilobytes in the topic, and of 40 MB once it is unpacked.
#[tokio::test]
async fn a_message_that_unpacks_to_more_than_one_may_take_is_named_or_a_letter_and_those_around_it_are_rows() {
    let Setting { folder, topic, mut job } = setting().await;
    let vast = order(1).replacen('{', &format!("{{\"x\":\"{}\",", "x".repeat(40_000_000)), 1);
    let sent = topic.produce([Row::new(1, order(0)), Row::new(1, vast), Row::new(1, order(2))]).await;
    let letters = std::mem::take(&mut job.source_options);
    let file = job.write(&folder);
    let stopped = folder.weir(run(&file).into_iter().chain(["--memory".as_ref(), "128mb".as_ref()])).output(LIMIT).await.failed_with(3);
    let place = format!("topic '{}' partition 1 offset {}", topic.name(), sent[1].1);
    for part in [&*place, "takes more in the columns than one may: 32 MB, a quarter of --memory", "'error.mode' = 'dead-letter'"] {
        assert!(stopped.stderr.contains(part), "`{part}` is not in:\n{}", stopped.stderr);
    }
    job.source_options = letters;
    let file = job.write(&folder);
    folder.weir(run(&file).into_iter().chain(["--memory".as_ref(), "128mb".as_ref()])).output(LIMIT).await.succeeded();
    assert_eq!(answer(&folder, &file, "SELECT id FROM lake.shop.orders ORDER BY id").await, "0\n2");
    assert_eq!(answer(&folder, &file, "SELECT LENGTH(CAST(raw AS STRING)) > 40000000 FROM lake.shop.errors").await, "true");
}

#[tokio::test]
async fn skipped_messages_are_no_rows_and_a_job_that_loses_too_much_stops() {
    let Setting { folder, topic, mut job } = Setting::on_disk(&Servers::shared().kafka(), PARTITIONS).await;
    topic.produce((0..2_000).map(message)).await;
    job.source_options = ", 'error.mode' = 'skip', 'error.max-rate' = '0.25'".to_owned();
    let file = job.write(&folder);
    folder.weir(run(&file)).output(LIMIT).await.succeeded();
    assert_eq!(answer(&folder, &file, "SELECT COUNT(*) FROM lake.shop.orders").await, "1800");

    topic.produce((2_000..4_000).map(message)).await;
    job.source_options = ", 'error.mode' = 'skip', 'error.max-rate' = '0.05'".to_owned();
    let file = job.write(&folder);
    let stopped = folder.weir(run(&file)).output(LIMIT).await.failed_with(3);
    for part in ["messages cannot be read, more than 'error.max-rate' = '0.05' allows. The last is at topic '", "offset "] {
        assert!(stopped.stderr.contains(part), "`{part}` is not in:\n{}", stopped.stderr);
    }
    assert_eq!(answer(&folder, &file, "SELECT COUNT(*) FROM lake.shop.orders").await, "1800");
}

#[tokio::test]
async fn letters_are_sent_once_though_the_command_is_cut_off_and_kafka_forgets_it_and_those_of_another_job_are_its_own() {
    let brokers = Servers::shared().kafka();
    let Setting { folder, topic, mut job } = setting().await;
    // Kafka knows who sends by job and table, and another test sends letters of the job `orders`.
    job.name = "sender".to_owned();
    topic.produce([Row::new(0, "{"), Row::new(1, order(1)), Row::new(2, "[]")]).await;
    let file = job.write(&folder);
    let logged = folder.weir(run(&file)).output(LIMIT).await.succeeded();
    assert!(logged.stderr.contains("table of dead letters created"), "{}", logged.stderr);
    let init = file.to_str().unwrap();
    let queried = folder.weir(["sql", "--init", init, "-e", "SELECT id FROM orders", "--format", "csv"]).output(LIMIT).await.succeeded();
    assert_eq!((queried.stdout.lines().last(), queried.stderr.contains("only a job writes dead letters")), (Some("1"), true), "{}", queried.stderr);
    assert!(!queried.stderr.contains("goes to the dead letters"), "{}", queried.stderr);
    let replay = ["dlq", "replay", "--init", init, "lake.shop.errors", "--source", "orders"];
    let replayed = async |more: &[&str], said: &str| {
        let output = folder.weir(replay.iter().chain(more)).output(LIMIT).await.succeeded();
        assert!(output.stdout.contains(said), "{}", output.stdout);
    };
    let misspelt = folder.weir(replay.iter().chain(&["--job", "sendre"])).output(LIMIT).await.failed_with(2);
    let told = "has no letters of a job 'sendre'. Did you mean 'sender'? It has those of 'sender'.";
    assert!(misspelt.stderr.contains(told), "{}", misspelt.stderr);
    folder.weir(replay).env("WEIR_FAIL", "dlq-sent=kill").output(LIMIT).await.killed();
    replayed(&[], "0 dead letters of 'default_catalog.default_database.orders' in job 'sender' sent to where they came from; 2 had been sent").await;

    let admin: AdminClient<DefaultClientContext> = ClientConfig::new().set("bootstrap.servers", &brokers).create().unwrap();
    let group = "weir-dlq.lake.shop.errors.sender.default_catalog.default_database.orders";
    let deleted = admin.delete_groups(&[group], &AdminOptions::new()).await.unwrap();
    assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    replayed(&[], "sent to where they came from; 2 had been sent before.").await;

    // Another job on the same topic and table: the two bad messages, and the two that were sent again.
    let second = OrdersJob {
        name: "second".to_owned(),
        checkpoints: folder.uri("checkpoints2"),
        settings: "SET 'execution.allow-shared-source' = 'true';".to_owned(),
        ..job
    };
    let second = second.sql().replace("lake.shop.orders", "lake.shop.orders2");
    folder.weir(run(&folder.write("second.sql", &second))).output(LIMIT).await.succeeded();
    assert_eq!(answer(&folder, &file, "SELECT job, COUNT(*) FROM lake.shop.errors GROUP BY job ORDER BY job").await, "second,4\nsender,2");
    replayed(&[], "0 dead letters").await;
    replayed(&["--job", "second"], "4 dead letters").await;
}
