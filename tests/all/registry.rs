//! Messages whose schemas are in a registry: the job of the book's page, with a real registry behind TLS that learns, forgets nothing and is away;
//! and values that are written with schemas of it.

use apache_avro::types::Value;
use serde_json::json;

use crate::formats::{job_of, placed};
use crate::lake::Lake;
use crate::lookups::{connection, options, prefix};
use crate::orders::{LIMIT, answer, committed, run};
use crate::support::{Row, Servers, TlsFront, Topic, Workdir};

/// Registers a schema and gives its id.
async fn register(registry: &str, subject: &str, language: &str, schema: &str) -> u32 {
    let body = json!({ "schema": schema, "schemaType": language });
    let url = format!("{registry}/subjects/{subject}/versions");
    let told = reqwest::Client::new().post(url).json(&body).send().await.unwrap().error_for_status().unwrap();
    let told: serde_json::Value = told.json().await.unwrap();
    told["id"].as_u64().unwrap().try_into().unwrap()
}

/// A message of the topic's first partition.
fn framed(id: u32, body: &[u8]) -> Row {
    Row::new(0, [&[0][..], &id.to_be_bytes(), body].concat())
}

/// A record of Avro as a message.
fn record(id: u32, schema: &str, fields: Vec<(&str, Value)>) -> Row {
    let schema = apache_avro::Schema::parse_str(schema).unwrap();
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    framed(id, &apache_avro::to_avro_datum(&schema, Value::Record(fields)).unwrap())
}

#[tokio::test]
async fn a_job_follows_the_schemas_of_a_registry_that_learns_and_is_away() {
    let servers = Servers::own();
    let registry = servers.registry();
    let (server, interface) = registry.split_at(registry.find("/apis").unwrap());
    let tls = TlsFront::before(server).await;
    let folder = Workdir::new();
    let brokers = Servers::shared().kafka();
    let topic = Topic::create(&brokers, "customers", 1, &[]).await;
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/src/format-registry.md")).unwrap();
    let schemas: Vec<&str> = page.split("```json\n").skip(1).map(|text| text.split_once("```").unwrap().0).collect();
    let subject = format!("{}-value", topic.name());
    let first = register(&registry, &subject, "AVRO", schemas[0]).await;
    let text = |text: &str| Value::String(text.to_owned());
    topic.produce([record(first, schemas[0], vec![("id", Value::Int(1)), ("name", text("Anne"))])]).await;

    let text_of = |more: &str| {
        let job = placed(&job_of("format-registry"), &folder, ("customers", &topic), &brokers)
            .replace("'http://localhost:8081'", &format!("'{}{interface}'{more}", tls.uri()));
        format!("SET 'restart-strategy.type' = 'none';\nSET 'execution.checkpointing.interval' = '1 s';\n{job}")
    };
    let distrustful = folder.write("page.sql", &text_of(""));
    let told = folder.weir(run(&distrustful)).output(LIMIT).await.failed_with(3).stderr;
    assert!(told.contains("Check 'ssl.truststore.location' and 'ssl.keystore.location' of the format."), "{told}");
    let trusting = text_of(&format!(", 'avro-confluent.ssl.truststore.location' = '{}'", tls.authority().display()));
    let job = folder.write("page.sql", &trusting);
    folder.weir(run(&job)).output(LIMIT).await.succeeded();
    assert_eq!(answer(&folder, &job, "SELECT * FROM lake.db.customers").await, "1,Anne,NULL,NULL");

    let unbounded = folder.write("page.sql", &trusting.replace(" 'scan.bounded.mode' = 'latest-offset',", ""));
    let mut running = folder.weir(run(&unbounded)).start();
    let address = running.address(LIMIT).await;
    let some = |value| Value::Union(1, Box::new(value));
    let second = register(&registry, &subject, "AVRO", schemas[1]).await;
    let full = |id: i64, name: &str| {
        vec![("email", some(text("b@x"))), ("id", Value::Long(id)), ("full_name", text(name)), ("born", some(Value::Date(365)))]
    };
    topic
        .produce([
            record(second, schemas[1], full(2, "Bob")),
            framed(1_000_000_000, b"lost"),
            record(first, schemas[0], vec![("id", Value::Int(3)), ("name", text("Carl"))]),
        ])
        .await;
    committed(&address, 3).await;

    let third = register(&registry, &subject, "AVRO", &schemas[1].replace("\"long\"", "\"int\"")).await;
    servers.stop("registry");
    let mut shorter = full(4, "Dora");
    shorter[1].1 = Value::Int(4);
    topic.produce([record(third, &schemas[1].replace("\"long\"", "\"int\""), shorter), record(second, schemas[1], full(5, "Eve"))]).await;
    running.logged("schema registry cannot be reached, waiting", LIMIT).await;
    servers.start("registry");
    committed(&address, 5).await;
    running.terminate();
    running.wait(LIMIT).await.succeeded();
    let rows = "1,Anne,NULL,NULL\n2,Bob,b@x,1971-01-01\n3,Carl,NULL,NULL\n4,Dora,b@x,1971-01-01\n5,Eve,b@x,1971-01-01";
    assert_eq!(answer(&folder, &job, "SELECT * FROM lake.db.customers ORDER BY id").await, rows);
    let letters = answer(&folder, &job, "SELECT `partition`, `offset`, error FROM lake.db.errors").await;
    assert!(letters.starts_with("0,2,the registry does not know schema 1000000000: ") && letters.lines().count() == 1, "{letters}");
}

/// What the registry has at `path`.
async fn told(registry: &str, path: &str) -> serde_json::Value {
    reqwest::get(format!("{registry}{path}")).await.unwrap().error_for_status().unwrap().json().await.unwrap()
}

#[tokio::test]
async fn rows_are_written_with_schemas_that_a_registry_takes_and_are_found_and_read_again() {
    let servers = Servers::shared();
    let (redis, registry) = (servers.redis(), servers.registry());
    let (server, interface) = registry.split_at(registry.find("/apis").unwrap());
    let tls = TlsFront::for_known_clients_before(server).await;
    let mut keys = connection(&redis);
    let mut lake = Lake::new(200 << 20).await;
    for (format, language, last, value) in [
        ("avro-confluent", "AVRO", "ROW<price DECIMAL(10, 2), sold TIMESTAMP_LTZ(3)>", "ROW(CAST(1.50 AS DECIMAL(10, 2)), TO_TIMESTAMP_LTZ(5, 3))"),
        ("json-registry", "JSON", "ROW<price DECIMAL(10, 2), sold TIMESTAMP_LTZ(3)>", "ROW(CAST(1.50 AS DECIMAL(10, 2)), TO_TIMESTAMP_LTZ(5, 3))"),
        ("proto-registry", "PROTOBUF", "ROW<price DOUBLE, sold BIGINT>", "ROW(CAST(1.5 AS DOUBLE), CAST(5 AS BIGINT))"),
    ] {
        let prefix = prefix();
        let subject = prefix.trim_end_matches(':').to_owned();
        let of_format = |uri: &str, more: &str| {
            format!(
                "{}, 'command' = 'set', 'key.prefix' = '{prefix}', 'format' = '{format}', '{format}.url' = '{uri}{interface}',
                 '{format}.subject' = '{subject}', '{format}.ssl.truststore.location' = '{}'{more}",
                options(&redis),
                tls.authority().display()
            )
        };
        let shown = format!(", '{format}.ssl.keystore.location' = '{}'", tls.client().display());
        let table = |name: &str, columns: &str, with: &str| {
            format!("CREATE TEMPORARY TABLE {name} (id BIGINT, {columns}, PRIMARY KEY (id) NOT ENFORCED) WITH ({with})")
        };
        let columns = format!("name STRING, sizes ARRAY<INT>, last {last}");
        let rows = format!("SELECT CAST(id AS BIGINT), name, ARRAY[7, 8], {value} FROM (VALUES (1, 'Ann'), (2, 'Bob')) AS v (id, name)");

        let unregistered = format!("{shown}, '{format}.properties.auto.register.schemas' = 'false'");
        lake.run(&table("unregistered", &columns, &of_format(tls.uri(), &unregistered))).await;
        let refused = lake.refused(&format!("INSERT INTO unregistered {rows}")).await;
        assert!(refused.contains(&format!("subject '{subject}' does not have the schema")), "{format}: {refused}");

        lake.run(&table("first", &columns, &of_format(tls.uri(), &shown))).await;
        lake.run(&format!("INSERT INTO first {rows}")).await;
        lake.run(&format!("INSERT INTO unregistered {rows}")).await;
        let first = told(&registry, &format!("/subjects/{subject}/versions/latest")).await;
        assert_eq!(first["version"], 1, "{format}: one schema, whoever asked for it");
        assert_eq!(first.get("schemaType").and_then(|language| language.as_str()).unwrap_or("AVRO"), language);
        let written: Vec<u8> = redis::cmd("GET").arg(format!("{prefix}1")).query(&mut keys).unwrap();
        let id = u32::try_from(first["id"].as_u64().unwrap()).unwrap();
        assert_eq!(written[..5], [&[0][..], &id.to_be_bytes()].concat());

        // A column more at the end: another version, and what was written before is read with NULL for it.
        lake.run(&table("second", &format!("{columns}, email STRING"), &of_format(tls.uri(), &shown))).await;
        let more = rows.replace(" FROM (VALUES (1, 'Ann'), (2, 'Bob'))", ", 'c@x' FROM (VALUES (3, 'Carl'))");
        lake.run(&format!("INSERT INTO second {more}")).await;
        assert_eq!(told(&registry, &format!("/subjects/{subject}/versions/latest")).await["version"], 2, "{format}");
        let found = lake.ask("SELECT id, name, sizes[2], last.price, email FROM second ORDER BY id").await;
        let price = if language == "PROTOBUF" { "1.5" } else { "1.50" };
        assert_eq!(found, format!("1,Ann,8,{price},NULL\n2,Bob,8,{price},NULL\n3,Carl,8,{price},c@x"), "{format}");
        for name in ["first", "second", "unregistered"] {
            lake.run(&format!("DROP TEMPORARY TABLE {name}")).await;
        }
    }

    let subject = prefix().trim_end_matches(':').to_owned();
    let with = format!(
        "{}, 'command' = 'set', 'format' = 'avro-confluent', 'avro-confluent.url' = '{}{interface}', 'avro-confluent.subject' = '{subject}',
         'avro-confluent.ssl.truststore.location' = '{}'",
        options(&redis),
        tls.uri(),
        tls.authority().display()
    );
    lake.run(&format!("CREATE TEMPORARY TABLE stranger (id BIGINT, name STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ({with})")).await;
    let refused = lake.refused("INSERT INTO stranger VALUES (1, 'a')").await;
    assert!(refused.contains("ertificate") && refused.contains(&format!("subject '{subject}'")), "{refused}");
}
