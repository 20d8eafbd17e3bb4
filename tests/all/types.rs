//! Every type from JSON to Parquet and back, as PyIceberg and `weir sql` read it; and the forms of a streaming query.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::orders::{LIMIT, order, sqlite};
use crate::support::{Row, Servers, Table, Topic, Workdir, until};

/// Where rows of a test go: a SQLite catalog `lake` with a database `db`.
fn lake(folder: &Workdir) -> String {
    format!(
        "SET 'execution.checkpointing.interval' = '1 s';
SET 'execution.checkpointing.dir' = '{}';
CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'sql', 'uri' = '{}', 'warehouse' = '{}');
CREATE DATABASE IF NOT EXISTS lake.db;
",
        folder.uri("checkpoints"),
        sqlite(folder),
        folder.uri("warehouse")
    )
}

fn table(folder: &Workdir, name: &str) -> Table {
    Table::of_sql(&format!("db.{name}"), "lake", &sqlite(folder), &folder.uri("warehouse"))
}

/// `WITH` of a bounded topic of JSON.
fn from_topic(topic: &Topic, brokers: &str) -> String {
    format!(
        "WITH ('connector' = 'kafka', 'topic' = '{}', 'properties.bootstrap.servers' = '{brokers}', 'scan.startup.mode' = 'earliest-offset',
  'scan.bounded.mode' = 'latest-offset', 'format' = 'json')",
        topic.name()
    )
}

async fn runs(folder: &Workdir, job: &Path) -> String {
    folder.weir(["run".as_ref(), job.as_os_str()]).output(LIMIT).await.succeeded().stdout
}

/// The answer to statements after a job file's CREATEs, in some form of output.
async fn answer(folder: &Workdir, job: &Path, format: &str, statements: &str) -> String {
    let arguments = ["sql".as_ref(), "--init".as_ref(), job.as_os_str(), "--format".as_ref(), format.as_ref(), "-e".as_ref(), statements.as_ref()];
    folder.weir::<&OsStr>(arguments).output(LIMIT).await.succeeded().stdout
}

async fn rows_of(folder: &Workdir, job: &Path, query: &str) -> Vec<Value> {
    answer(folder, job, "json", query).await.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const EVERY_TYPE: &str = "id BIGINT, tiny TINYINT, small SMALLINT, n INT, f FLOAT, d DOUBLE, ok BOOLEAN, amount DECIMAL(10, 2), wide DECIMAL(38, 10),
  name STRING, code CHAR(3), short VARCHAR(5), raw BYTES, digest BINARY(4), dy DATE, clock TIME, at TIMESTAMP(6), at3 TIMESTAMP(3), zoned TIMESTAMP_LTZ(6),
  tags ARRAY<STRING>, scores ARRAY<ROW<k STRING, v DOUBLE>>, attrs MAP<STRING, INT>,
  deep ROW<a ROW<b ARRAY<INT>, c MAP<STRING, ROW<x BIGINT>>>, z BOOLEAN>";

/// Rows as messages. The first has every column, the second the far ends of what fits, the third nothing but its id.
fn messages() -> Vec<String> {
    let first = r#"{"id":34,"tiny":-7,"small":300,"n":-70000,"f":1.5,"d":-0.1,"ok":true,"amount":12.30,"wide":1234567890123456789.0123456789,
      "name":"ünïcode \"text\" of some length","code":"abc","short":"five5","raw":"AAH/","digest":"3q2+7w==","dy":"2024-02-29","clock":"13:14:15.123456",
      "at":"2024-02-29 23:59:59.123456","at3":"1969-12-31 23:59:59.999","zoned":"2024-03-01 00:30:00.5Z","tags":["a",null,"c"],
      "scores":[{"k":"x","v":0.5},{"k":"y","v":null}],"attrs":{"one":1,"none":null},
      "deep":{"a":{"b":[1,2,3],"c":{"k":{"x":9007199254740993}}},"z":false}}"#;
    let second = r#"{"id":-9223372036854775808,"tiny":127,"small":-32768,"n":2147483647,"f":-3.4028235e38,"d":1.7976931348623157e308,"ok":false,
      "amount":-99999999.99,"wide":-9999999999999999999999999999.9999999999,"name":"","code":"z","short":"","raw":"","digest":"AAAAAA==",
      "dy":"0001-01-01","clock":"00:00:00","at":"9999-12-31 23:59:59.999999","at3":"2000-01-01 00:00:00","zoned":"1970-01-01 00:00:00Z","tags":[],
      "scores":[],"attrs":{},"deep":{"a":{"b":[],"c":{}},"z":null}}"#;
    let mut all = vec![first.to_owned(), second.to_owned(), r#"{"id":0,"deep":null}"#.to_owned()];
    all.extend((1..=40).map(|k| {
        format!(
            r#"{{"id":{},"n":{k},"name":"name {k}","dy":"2024-{:02}-15","at":"2024-01-{:02} 01:02:03","at3":"{}-06-01 00:00:00","zoned":"2024-01-01 {:02}:30:00Z"}}"#,
            100 + k,
            1 + k % 12,
            1 + k % 28,
            1960 + k,
            k % 24
        )
    }));
    all
}

/// A job of every type into a table with every transform; the schema is the same on both sides.
async fn every_type(folder: &Workdir) -> PathBuf {
    let brokers = Servers::shared().kafka();
    let topic = Topic::create(&brokers, "types", 2, &[]).await;
    let messages = messages().into_iter().enumerate();
    topic.produce(messages.map(|(index, text)| Row::new(i32::try_from(index % 2).unwrap(), text.replace('\n', " ")))).await;
    let job = format!(
        "{}CREATE TABLE incoming ({EVERY_TYPE}) {};
CREATE TABLE IF NOT EXISTS lake.db.types ({EVERY_TYPE})
  PARTITIONED BY (bucket(8, id), truncate(3, name), truncate(10, n), days(at), hours(zoned), months(dy), years(at3), ok);
INSERT INTO lake.db.types SELECT * FROM incoming;
",
        lake(folder),
        from_topic(&topic, &brokers)
    );
    let job = folder.write("types.sql", &job);
    runs(folder, &job).await;
    job
}

/// The row with this id.
fn row(found: &Value, id: i64) -> &Map<String, Value> {
    found["data"].as_array().unwrap().iter().find(|row| row["id"] == id).unwrap().as_object().unwrap()
}

/// The file that holds only the row with this id.
fn file_of(found: &Value, id: i64) -> &Value {
    let only = |file: &&Value| file["records"] == 1 && file["lower"]["1"] == id;
    found["files"].as_array().unwrap().iter().find(only).unwrap_or_else(|| panic!("no file of row {id}"))
}

#[tokio::test]
async fn pyiceberg_sees_every_type_with_its_field_ids_partitions_and_metrics() {
    let folder = Workdir::new();
    every_type(&folder).await;
    let found = table(&folder, "types").check(&["--rows", "--places", "--unique", "id"]).await;
    assert_eq!((&found["rows"], &found["duplicates"]["groups"]), (&json!(43), &json!(0)));

    let first = json!({
        "id": 34, "tiny": -7, "small": 300, "n": -70000, "f": 1.5, "d": -0.1, "ok": true, "amount": "12.30", "wide": "1234567890123456789.0123456789",
        "name": "ünïcode \"text\" of some length", "code": "abc", "short": "five5", "raw": "0001ff", "digest": "deadbeef", "dy": "2024-02-29",
        "clock": "13:14:15.123456", "at": "2024-02-29 23:59:59.123456", "at3": "1969-12-31 23:59:59.999000", "zoned": "2024-03-01 00:30:00.500000+00:00",
        "tags": ["a", null, "c"], "scores": [{"k": "x", "v": 0.5}, {"k": "y", "v": null}], "attrs": [["one", 1], ["none", null]],
        "deep": {"a": {"b": [1, 2, 3], "c": [["k", {"x": 9_007_199_254_740_993_i64}]]}, "z": false}
    });
    assert_eq!(Value::from(row(&found, 34).clone()), first);
    let second = json!({
        "id": i64::MIN, "tiny": 127, "small": -32768, "n": i32::MAX, "d": f64::MAX, "ok": false, "amount": "-99999999.99",
        "wide": "-9999999999999999999999999999.9999999999", "name": "", "code": "z", "short": "", "raw": "", "digest": "00000000", "dy": "0001-01-01",
        "clock": "00:00:00", "at": "9999-12-31 23:59:59.999999", "at3": "2000-01-01 00:00:00", "zoned": "1970-01-01 00:00:00+00:00", "tags": [],
        "scores": [], "attrs": [], "deep": {"a": {"b": [], "c": []}, "z": null}
    });
    let mut least = row(&found, i64::MIN).clone();
    // JSON tells the float as a double; serde_json reads that to the last but one digit.
    let float = least.remove("f").and_then(|float| float.as_f64()).unwrap();
    assert_eq!((float as f32).to_bits(), f32::MIN.to_bits());
    assert_eq!(Value::from(least), second);
    // PyIceberg 0.12 makes an empty list of a NULL list of rows (`from_arrays` without its validity); `weir sql` shows it as it is.
    let nothing = |(name, value): (&String, &Value)| name == "id" || value.is_null() || (name == "scores" && *value == json!([]));
    assert!(row(&found, 0).iter().all(nothing), "{:?}", row(&found, 0));

    let schema = found["schema"].as_array().unwrap();
    let types: Vec<&Value> = schema.iter().take(19).map(|field| &field["type"]).collect();
    let expected = [
        "long",
        "int",
        "int",
        "int",
        "float",
        "double",
        "boolean",
        "decimal(10, 2)",
        "decimal(38, 10)",
        "string",
        "string",
        "string",
        "binary",
        "fixed[4]",
        "date",
        "time",
        "timestamp",
        "timestamp",
        "timestamptz",
    ];
    assert_eq!(types, expected.map(Value::from).iter().collect::<Vec<_>>());
    let ids: Vec<u64> = schema.iter().map(|field| field["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, (1..=23).collect::<Vec<_>>(), "the columns come first, in order");
    assert!(schema.iter().all(|field| field["required"] == false));
    let nested = json!([
        {"list": {"id": 24, "required": false, "type": "string"}},
        {"list": {"id": 25, "required": false, "type": {"struct": [
            {"id": 26, "name": "k", "required": false, "type": "string"}, {"id": 27, "name": "v", "required": false, "type": "double"}]}}},
        {"map": {"key": {"id": 28, "type": "string"}, "value": {"id": 29, "required": false, "type": "int"}}},
    ]);
    assert_eq!(Value::from(schema[19..22].iter().map(|field| field["type"].clone()).collect::<Vec<_>>()), nested);

    let spec: Vec<(String, u64)> = found["partition_spec"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| (field["transform"].as_str().unwrap().to_owned(), field["source_id"].as_u64().unwrap()))
        .collect();
    let transforms =
        [("bucket[8]", 1), ("truncate[3]", 10), ("truncate[10]", 4), ("day", 17), ("hour", 19), ("month", 15), ("year", 18), ("identity", 7)];
    assert_eq!(spec, transforms.map(|(name, source)| (name.to_owned(), source)));
    assert_eq!(found["misplaced"], json!([]), "every row is in the partition that PyIceberg's own transforms give");
    // The specification's example: bucket of the long 34 comes from the hash 2017239379.
    let partition: Vec<String> = file_of(&found, 34)["partition"].as_object().unwrap().values().map(Value::to_string).collect();
    assert_eq!(partition[0], (2_017_239_379 % 8).to_string());

    let metrics = file_of(&found, 34);
    assert!(metrics["null_counts"].as_object().unwrap().iter().all(|(id, count)| *count == u64::from(["24", "27", "29"].contains(&id.as_str()))));
    let bounds = json!({
        "1": 34, "2": -7, "3": 300, "4": -70000, "5": 1.5, "6": -0.1, "7": true, "8": "12.30", "9": "1234567890123456789.0123456789", "11": "abc",
        "12": "five5", "13": "0001ff", "14": "deadbeef"
    });
    for (id, bound) in bounds.as_object().unwrap() {
        assert_eq!((&metrics["lower"][id], &metrics["upper"][id]), (bound, bound), "bounds of field {id}");
    }
    assert_eq!(
        (&metrics["lower"]["10"], &metrics["upper"]["10"]),
        (&json!("ünïcode \"text\" o"), &json!("ünïcode \"text\" p")),
        "cut at 16 characters"
    );
    for id in ["15", "16", "17", "18", "19"] {
        assert!(!metrics["lower"][id].is_null() && metrics["lower"][id] == metrics["upper"][id], "bounds of field {id}: {metrics}");
    }
    let empty = file_of(&found, 0);
    assert_eq!((&empty["null_counts"]["2"], &empty["null_counts"]["23"]), (&json!(1), &Value::Null), "leaves have counts, structs have none");
    assert_eq!(empty["lower"], json!({"1": 0}), "what is NULL has no bounds");
    let floats = file_of(&found, 34)["nan_counts"].as_object().unwrap();
    assert_eq!((&floats["5"], &floats["6"]), (&json!(0), &json!(0)));
}

#[tokio::test]
async fn weir_sql_reads_every_type_back() {
    let folder = Workdir::new();
    let job = every_type(&folder).await;
    let rows = rows_of(&folder, &job, "SELECT * FROM lake.db.types WHERE id IN (34, 0) ORDER BY id DESC").await;
    let first = json!({
        "id": 34, "tiny": -7, "small": 300, "n": -70000, "f": 1.5, "d": -0.1, "ok": true, "amount": 12.30, "wide": 1_234_567_890_123_456_789.012_345_678_9_f64,
        "name": "ünïcode \"text\" of some length", "code": "abc", "short": "five5", "raw": "0001ff", "digest": "deadbeef", "dy": "2024-02-29",
        "clock": "13:14:15.123456", "at": "2024-02-29T23:59:59.123456", "at3": "1969-12-31T23:59:59.999", "zoned": "2024-03-01T00:30:00.500Z",
        "tags": ["a", null, "c"], "scores": [{"k": "x", "v": 0.5}, {"k": "y", "v": null}], "attrs": {"one": 1, "none": null},
        "deep": {"a": {"b": [1, 2, 3], "c": {"k": {"x": 9_007_199_254_740_993_i64}}}, "z": false}
    });
    assert_eq!(rows[0], first);
    assert!(rows[1].as_object().unwrap().iter().all(|(name, value)| name == "id" || value.is_null()), "{}", rows[1]);
    let text = answer(
        &folder,
        &job,
        "csv",
        "SELECT CAST(wide AS STRING) AS w, DATE_FORMAT(at, 'yyyy-MM-dd HH:mm:ss') AS a, deep.a.c['k'].x AS x FROM lake.db.types WHERE id = 34",
    )
    .await;
    assert_eq!(text, "w,a,x\n1234567890123456789.0123456789,2024-02-29 23:59:59,9007199254740993\n");
    // Filters on partition columns and on others, alone and together, find what they should.
    let filters = [
        ("id = 34", 1),
        ("name = 'name 7'", 1),
        ("n BETWEEN 5 AND 14", 10),
        ("dy = DATE '2024-02-29'", 1),
        ("ok IS NULL", 41),
        ("ok", 1),
        ("at >= TIMESTAMP '2024-01-20 00:00:00' AND at < TIMESTAMP '2024-01-22 00:00:00'", 2),
        ("at3 < TIMESTAMP '1970-01-01 00:00:00'", 10),
        ("wide < 0", 1),
        ("deep.z = FALSE", 1),
    ];
    let counts: Vec<String> =
        filters.iter().enumerate().map(|(index, (filter, _))| format!("count(*) FILTER (WHERE {filter}) AS c{index}")).collect();
    let together = rows_of(&folder, &job, &format!("SELECT {} FROM lake.db.types", counts.join(", "))).await;
    for (index, (filter, count)) in filters.iter().enumerate() {
        assert_eq!(together[0][format!("c{index}")], *count, "{filter}");
    }
    let each: Vec<String> = filters.iter().map(|(filter, _)| format!("SELECT count(*) AS n FROM lake.db.types WHERE {filter};")).collect();
    for ((filter, count), found) in filters.iter().zip(rows_of(&folder, &job, &each.concat()).await) {
        assert_eq!(found["n"], *count, "WHERE {filter}");
    }
}

#[tokio::test]
async fn projections_casts_filters_views_computed_columns_and_unnest_reach_the_table() {
    let brokers = Servers::shared().kafka();
    let folder = Workdir::new();
    let topic = Topic::create(&brokers, "forms", 1, &[]).await;
    let message = |id: u64| format!(r#"{{"id":{id},"amount":{id}.50,"tags":["t{id}","u{id}"],"attrs":{{"k":{id}}},"day":"2024-01-0{id}"}}"#);
    topic.produce((1..=4).map(|id| Row::new(0, message(id)))).await;
    let job = format!(
        "{}CREATE TABLE incoming (id BIGINT, amount DECIMAL(10, 2), tags ARRAY<STRING>, attrs MAP<STRING, INT>, `day` STRING,
  cents AS CAST(amount * 100 AS INT), o BIGINT METADATA FROM 'offset' VIRTUAL) {};
CREATE TEMPORARY VIEW dear AS SELECT id, cents, tags, attrs, CAST(`day` AS DATE) AS dy, o FROM incoming WHERE cents >= 250;
CREATE TABLE lake.db.tagged (name STRING, cents BIGINT, tag STRING, dy DATE, o BIGINT);
CREATE TABLE lake.db.attributes (id INT, k STRING, v INT);
EXECUTE STATEMENT SET BEGIN
  INSERT INTO lake.db.tagged SELECT CAST(id AS STRING) || '!', cents, UPPER(tag), dy, o FROM dear CROSS JOIN UNNEST(tags) AS t (tag);
  INSERT INTO lake.db.attributes (v, k, id) SELECT v, k, CAST(id AS INT) FROM dear CROSS JOIN UNNEST(attrs) AS m (k, v) WHERE id <> 3;
END;
",
        lake(&folder),
        from_topic(&topic, &brokers)
    );
    let job = folder.write("forms.sql", &job);
    runs(&folder, &job).await;
    let mut tagged = table(&folder, "tagged").check(&["--rows"]).await["data"].as_array().unwrap().clone();
    tagged.sort_by_key(|row| row["tag"].as_str().unwrap().to_owned());
    let expected =
        |id: u64, tag: &str| json!({"name": format!("{id}!"), "cents": id * 100 + 50, "tag": tag, "dy": format!("2024-01-0{id}"), "o": id - 1});
    assert_eq!(tagged, [expected(2, "T2"), expected(3, "T3"), expected(4, "T4"), expected(2, "U2"), expected(3, "U3"), expected(4, "U4")]);
    let mut attributes = table(&folder, "attributes").check(&["--rows"]).await["data"].as_array().unwrap().clone();
    attributes.sort_by_key(|row| row["id"].as_i64());
    assert_eq!(attributes, [json!({"id": 2, "k": "k", "v": 2}), json!({"id": 4, "k": "k", "v": 4})]);
}

#[tokio::test]
async fn a_source_of_two_inserts_is_read_once() {
    let brokers = Servers::shared().kafka();
    let folder = Workdir::new();
    let topic = Topic::create(&brokers, "shared", 2, &[]).await;
    topic.produce((0..1_000).map(|id| Row::new(i32::try_from(id % 2).unwrap(), order(id)))).await;
    let job = format!(
        "{}CREATE TABLE orders (id BIGINT, event_type STRING) {};
CREATE TABLE lake.db.everything (id BIGINT, event_type STRING);
CREATE TABLE lake.db.buys (id BIGINT);
EXECUTE STATEMENT SET BEGIN
  INSERT INTO lake.db.everything SELECT * FROM orders;
  INSERT INTO lake.db.buys SELECT id FROM orders WHERE event_type = 'buy';
END;
",
        lake(&folder),
        from_topic(&topic, &brokers).replace("'scan.bounded.mode' = 'latest-offset', ", "")
    );
    let job = folder.write("once.sql", &job);
    let mut running = folder.weir(["run".as_ref(), job.as_os_str()]).start();
    let address = running.address(LIMIT).await;
    let status = until("both sinks have their rows", LIMIT, async || {
        let status = running.status(&address).await?;
        let rows = |sink: &str| status["sinks"][sink]["rows"].as_u64();
        (rows("everything") == Some(1_000) && rows("buys") == Some(250)).then_some(status)
    })
    .await;
    let sources = status["sources"].as_object().unwrap();
    assert_eq!((sources.len(), &sources["orders"]["rows"]), (1, &json!(1_000)), "{status}");
    let metrics = reqwest::get(format!("{address}/metrics")).await.unwrap().text().await.unwrap();
    let read: Vec<&str> = metrics.lines().filter(|line| line.starts_with("weir_runtime_source_rows{")).collect();
    assert!(matches!(read[..], [line] if line.ends_with(" 1000")), "{read:?}");
    running.terminate();
    running.wait(LIMIT).await.succeeded();
}

#[tokio::test]
async fn an_options_hint_changes_the_source_and_the_sink_of_one_statement() {
    let brokers = Servers::shared().kafka();
    let folder = Workdir::new();
    let topic = Topic::create(&brokers, "hinted", 1, &[]).await;
    topic.produce((0..100).map(|id| Row::new(0, order(id)))).await;
    let job = format!(
        "{}CREATE TABLE orders (id BIGINT) WITH ('connector' = 'kafka', 'topic' = '{}', 'properties.bootstrap.servers' = '{brokers}',
  'scan.startup.mode' = 'latest-offset', 'format' = 'json');
CREATE TABLE lake.db.hinted (id BIGINT);
INSERT INTO lake.db.hinted /*+ OPTIONS('uid-suffix' = 'of the hint') */ SELECT id FROM orders
  /*+ OPTIONS('scan.startup.mode' = 'specific-offsets', 'scan.startup.specific-offsets' = 'partition:0,offset:60',
              'scan.bounded.mode' = 'specific-offsets', 'scan.bounded.specific-offsets' = 'partition:0,offset:90') */;
",
        lake(&folder),
        topic.name()
    );
    let job = folder.write("hinted.sql", &job);
    runs(&folder, &job).await;
    let found = table(&folder, "hinted").check(&["--sum", "id"]).await;
    assert_eq!((&found["rows"], &found["sums"]["id"]), (&json!(30), &json!((60..90).sum::<u64>().to_string())));
    let sink = found["snapshots"][0]["summary"]["weir.sink"].as_str().unwrap();
    assert_eq!(sink, "hinted-of the hint");
}

#[tokio::test]
async fn generated_rows_are_printed_and_swallowed() {
    let folder = Workdir::new();
    let job = folder.write(
        "generated.sql",
        "CREATE TABLE numbers (id BIGINT, word STRING) WITH ('connector' = 'datagen', 'rows-per-second' = '100000', 'fields.id.kind' = 'sequence',
  'fields.id.start' = '1', 'fields.id.end' = '500', 'fields.word.length' = '3');
CREATE TABLE shown (id BIGINT, size INT) WITH ('connector' = 'print', 'print-identifier' = 'seen');
CREATE TABLE nowhere (id BIGINT) WITH ('connector' = 'blackhole');
EXECUTE STATEMENT SET BEGIN
  INSERT INTO shown SELECT id * 2, CAST(CHAR_LENGTH(word) AS INT) FROM numbers WHERE id > 490;
  INSERT INTO nowhere SELECT id FROM numbers;
END;
",
    );
    let printed = runs(&folder, &job).await;
    let mut lines: Vec<&str> = printed.lines().filter(|line| line.starts_with("seen")).collect();
    lines.sort_by_key(|line| (line.len(), (*line).to_owned()));
    let expected: Vec<String> = (491..=500).map(|id| format!("seen> +I[{}, 3]", id * 2)).collect();
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn the_example_with_two_tables_runs_as_it_is() {
    let folder = Workdir::new();
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/two-tables.sql")).unwrap();
    let job = folder.write("two-tables.sql", &text.replace("/tmp/weir-two-tables", folder.path("").to_str().unwrap().trim_end_matches('/')));
    runs(&folder, &job).await;
    let readings = Table::of_sql("plant.readings", "lake", &sqlite(&folder), &folder.uri("warehouse")).check(&["--places"]).await;
    assert_eq!((&readings["rows"], &readings["misplaced"]), (&json!(100_000), &json!([])));
    let query = "SELECT (SELECT count(*) FROM lake.plant.readings WHERE celsius > 40) AS hot, (SELECT count(*) FROM lake.plant.alarms) AS alarms,
      (SELECT min(fahrenheit) FROM lake.plant.alarms) AS least";
    let counts = rows_of(&folder, &job, query).await;
    assert_eq!(counts[0]["hot"], counts[0]["alarms"], "{counts:?}");
    assert!(counts[0]["alarms"].as_u64().unwrap() > 1_000 && counts[0]["least"].as_f64().unwrap() >= 104.0, "{counts:?}");
}

#[tokio::test]
async fn the_example_with_orders_runs_with_addresses_of_ones_own() {
    let brokers = Servers::shared().kafka();
    let folder = Workdir::new();
    let topic = Topic::create(&brokers, "orders", 3, &[]).await;
    let sent = crate::orders::send(&topic, 3, 0..3_000).await;
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/orders.sql")).unwrap();
    let topic_option = format!("'topic' = '{}'", topic.name());
    let own = [
        ("127.0.0.1:9092", brokers.as_str()),
        ("/tmp/weir", folder.path("").to_str().unwrap().trim_end_matches('/')),
        ("'topic' = 'orders'", &topic_option),
    ]
    .iter()
    .fold(text, |text, (theirs, ours)| {
        assert!(text.contains(theirs), "{theirs} is not in the example");
        text.replace(theirs, ours)
    });
    let job = folder.write("orders.sql", &own);
    let mut running = folder.weir(["run".as_ref(), job.as_os_str()]).start();
    let address = running.address(LIMIT).await;
    until("every order is committed", LIMIT, async || {
        let status = running.status(&address).await?;
        (status["sinks"]["orders"]["rows"] == 3_000).then_some(())
    })
    .await;
    running.terminate();
    running.wait(LIMIT).await.succeeded();
    crate::orders::holds_exactly(&crate::orders::table_on_disk(&folder), &sent).await;
}

#[tokio::test]
async fn describe_show_and_explain_answer_on_the_command_line() {
    let folder = Workdir::new();
    let job = format!(
        "{}CREATE TABLE numbers (id BIGINT NOT NULL, word STRING, twice AS id * 2) WITH ('connector' = 'datagen', 'number-of-rows' = '5');
CREATE TABLE IF NOT EXISTS lake.db.kept (id BIGINT NOT NULL, word STRING) PARTITIONED BY (bucket(4, id)) WITH ('distribution-mode' = 'hash');
INSERT INTO lake.db.kept SELECT id, word FROM numbers;
",
        lake(&folder)
    );
    let job = folder.write("described.sql", &job);
    runs(&folder, &job).await;
    let csv = async |statement: &str| answer(&folder, &job, "csv", statement).await;
    for (statement, parts) in [
        ("SHOW CATALOGS", ["default_catalog", "lake"].as_slice()),
        ("USE CATALOG lake; SHOW DATABASES", &["db"]),
        ("SHOW TABLES", &["numbers"]),
        ("SHOW TABLES IN lake.db LIKE 'k%'", &["kept"]),
        ("SHOW COLUMNS IN lake.db.kept", &["word"]),
        ("DESCRIBE numbers", &["id,BIGINT,FALSE", "word,STRING,TRUE", "id * 2"]),
        ("DESCRIBE lake.db.kept", &["id,BIGINT,FALSE", "word,STRING,TRUE"]),
        ("DESCRIBE CONNECTOR kafka", &["scan.startup.mode", "properties.bootstrap.servers"]),
        ("SHOW CREATE TABLE lake.db.kept", &["bucket(4, id)", "'write.distribution-mode' = 'hash'"]),
        ("SHOW CREATE TABLE numbers", &["'connector' = 'datagen'", "AS id * 2"]),
        ("EXPLAIN INSERT INTO lake.db.kept SELECT id, word FROM numbers WHERE id > 3", &["== Job ==", "distribution hash", "filter"]),
        ("EXPLAIN SELECT count(*) FROM lake.db.kept", &["== Optimized plan ==", "Aggregate"]),
    ] {
        let printed = csv(statement).await;
        for part in parts {
            assert!(printed.contains(part), "`{part}` is not in the answer to {statement}:\n{printed}");
        }
    }
    let explained = folder.weir(["explain".as_ref(), job.as_os_str()]).output(LIMIT).await.succeeded().stdout;
    assert!(explained.contains("== Job ==") && explained.contains("source 'numbers'"), "{explained}");
}

#[test]
fn the_option_tables_of_the_book_are_those_of_the_code() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/src/options.md");
    let tables = weir_sql::docs::option_tables(&weir_connectors::registry());
    let wanted = format!(
        "# Option tables\n\nGenerated from the declarations in the code; `WEIR_UPDATE_DOCS=1 make test` writes this page anew.\n\n{}\n",
        tables.trim_end()
    );
    if std::env::var_os("WEIR_UPDATE_DOCS").is_some() {
        std::fs::write(page, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(page).unwrap_or_default();
    assert!(found == wanted, "docs/src/options.md is not what the code declares; run this test with WEIR_UPDATE_DOCS=1");
}
