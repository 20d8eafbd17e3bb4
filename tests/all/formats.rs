//! The jobs of the book's pages about formats, as they stand there, on messages that the pages show.

use std::path::PathBuf;

use crate::orders::{LIMIT, answer, run};
use crate::support::{Row, Servers, Topic, Workdir};

/// The first SQL of a page of the book.
pub(crate) fn job_of(page: &str) -> String {
    let path = format!("{}/docs/src/{page}.md", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    text.split_once("```sql\n").unwrap().1.split_once("```").unwrap().0.to_owned()
}

/// Runs the job of a page on `messages`, in a folder and on a topic of its own.
async fn run_page(page: &str, topic: &str, messages: &[&[u8]]) -> (Workdir, PathBuf) {
    run_page_in(Workdir::new(), page, topic, messages).await
}

async fn run_page_in(folder: Workdir, page: &str, topic: &str, messages: &[&[u8]]) -> (Workdir, PathBuf) {
    run_page_on(folder, page, topic, messages.iter().map(|message| Row::new(0, *message)).collect()).await
}

/// Runs the job of a page on `rows`.
pub(crate) async fn run_page_on(folder: Workdir, page: &str, topic: &str, rows: Vec<Row>) -> (Workdir, PathBuf) {
    let brokers = Servers::shared().kafka();
    let topic_now = Topic::create(&brokers, topic, 1, &[]).await;
    topic_now.produce(rows).await;
    let text = placed(&job_of(page), &folder, (topic, &topic_now), &brokers);
    let file = folder.write("page.sql", &text);
    folder.weir(run(&file)).output(LIMIT).await.succeeded();
    (folder, file)
}

/// The text of a job whose files are in `folder`, and which reads another topic.
pub(crate) fn placed(job: &str, folder: &Workdir, (topic, topic_now): (&str, &Topic), brokers: &str) -> String {
    let root = folder.path("page.sql").parent().unwrap().display().to_string();
    job.replace(&format!("'topic' = '{topic}'"), &format!("'topic' = '{}'", topic_now.name()))
        .replace("localhost:9092", brokers)
        .replace("file:///data/", &format!("file://{root}/"))
        .replace("sqlite:/data/", &format!("sqlite:{root}/"))
        .replace("'/data/", &format!("'{root}/"))
}

#[tokio::test]
async fn the_job_of_the_page_on_json_runs() {
    let messages: [&[u8]; 2] = [
        br#"{"id":1,"at":"2026-01-31T12:00:00.5Z","tags":{"room":"a"},"place":{"site":"x","floor":2}}"#,
        br#"{"place":{"floor":"3"},"id":2,"more":[1,2]}"#,
    ];
    let (folder, job) = run_page("format-json", "readings", &messages).await;
    let found = answer(&folder, &job, "SELECT * FROM lake.db.readings ORDER BY id").await;
    assert_eq!(found, "1,2026-01-31 12:00:00.500Z,a,x,2\n2,NULL,NULL,NULL,3");
}

#[tokio::test]
async fn the_job_of_the_page_on_csv_runs() {
    let messages: [&[u8]; 2] = [br#"1;"lamp; ""old""";12.5;2026-01-31 12:00:00;38 40"#, b"2;n/a;n/a;n/a;n/a\r\n"];
    let (folder, job) = run_page("format-csv", "sales", &messages).await;
    let found = answer(&folder, &job, "SELECT * FROM lake.db.sales ORDER BY id").await;
    assert_eq!(found, "1,\"lamp; \"\"old\"\"\",12.50,2026-01-31 12:00:00,40\n2,NULL,NULL,NULL,NULL");
}

#[tokio::test]
async fn the_job_of_the_page_on_raw_messages_runs() {
    let (folder, job) = run_page("format-raw", "lines", &[b"gr\xfc\xdf", b"", b"b"]).await;
    assert_eq!(answer(&folder, &job, "SELECT * FROM lake.db.lines ORDER BY at").await, "0,grüß\n2,b");
}

#[tokio::test]
async fn the_job_of_the_page_on_avro_runs() {
    use apache_avro::types::Value;
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/src/format-avro.md")).unwrap();
    let schema = apache_avro::Schema::parse_str(page.split_once("```json\n").unwrap().1.split_once("```").unwrap().0).unwrap();
    let some = |value| Value::Union(1, Box::new(value));
    let record = |id, rest: [Value; 3]| {
        let fields = ["started_at", "fare", "stops"].into_iter().zip(rest).map(|(name, value)| (name.to_owned(), value));
        let fields = std::iter::once(("id".to_owned(), Value::Long(id))).chain(fields);
        apache_avro::to_avro_datum(&schema, Value::Record(fields.collect())).unwrap()
    };
    let null = || Value::Union(0, Box::new(Value::Null));
    let full = [
        some(Value::TimestampMillis(1_769_860_800_123)),
        some(Value::Decimal(1_250_i64.to_be_bytes().to_vec().into())),
        some(Value::Array(vec![some(Value::String("Ufer".to_owned())), null()])),
    ];
    let messages = [record(1, full), record(2, [null(), null(), null()])];
    let (folder, job) = run_page("format-avro", "trips", &messages.each_ref().map(Vec::as_slice)).await;
    let found = answer(&folder, &job, "SELECT * FROM lake.db.trips ORDER BY id").await;
    assert_eq!(found, "1,2026-01-31 12:00:00.123,12.50,Ufer\n2,NULL,NULL,NULL");
}

#[tokio::test]
async fn the_job_of_the_page_on_dead_letters_runs() {
    let (folder, job) = run_page("dead-letters", "orders", &[br#"{"id":1,"amount":2.5}"#, br#"{"id":"x"}"#]).await;
    assert_eq!(answer(&folder, &job, "SELECT * FROM lake.db.orders").await, "1,2.50");
    let letters = "SELECT `partition`, `offset`, `column`, error FROM lake.db.errors";
    assert_eq!(answer(&folder, &job, letters).await, "0,1,id,'x' is not a number");
}

#[tokio::test]
async fn the_job_of_the_page_on_change_logs_runs_and_one_that_is_blind_to_kinds_is_refused() {
    let (anne, marie) = (r#"{"id":1004,"name":"Anne","email":"a@x.org"}"#, r#"{"id":1004,"name":"Anne Marie","email":"a@x.org"}"#);
    let event = |before: &str, after: &str, op: &str| {
        format!(r#"{{"before":{before},"after":{after},"source":{{"db":"inventory"}},"op":"{op}","ts_ms":1}}"#).into_bytes()
    };
    let bob = r#"{"id":1005,"name":"Bob","email":null}"#;
    let events = [event("null", anne, "c"), event("null", bob, "r"), event(anne, marie, "u"), event(bob, "null", "d"), b"null".to_vec()];
    let (folder, job) = run_page("format-changes", "customers", &events.each_ref().map(Vec::as_slice)).await;
    let log = answer(&folder, &job, "SELECT at, kind, id, name, db FROM lake.db.customer_log ORDER BY at, kind DESC").await;
    let rows = ["0,+I,1004,Anne", "1,+I,1005,Bob", "2,-U,1004,Anne", "2,+U,1004,Anne Marie", "3,-D,1005,Bob"];
    assert_eq!(log, rows.map(|row| format!("{row},inventory")).join("\n"));
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/src/format-changes.md")).unwrap();
    let now = page.split("```sql\n").nth(2).unwrap().split_once("```").unwrap().0.to_owned();
    assert_eq!(answer(&folder, &job, &now).await, "1004,Anne Marie,a@x.org");

    let blind = std::fs::read_to_string(&job).unwrap().replace("SELECT id, name, email, at, _row_kind", "SELECT id, name, email, at, ''");
    let refused = folder.weir(run(&folder.write("blind.sql", &blind))).output(LIMIT).await.failed_with(2);
    for part in ["reads the changes of 'default_catalog.default_database.customers' and does not look at '_row_kind'", "WHERE _row_kind = '+I'"] {
        assert!(refused.stderr.contains(part), "`{part}` is not in:\n{}", refused.stderr);
    }
}

#[tokio::test]
async fn the_job_of_the_page_on_protobuf_runs() {
    use prost::Message;
    use prost_types::field_descriptor_proto::{Label, Type};
    use prost_types::{
        DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet, MessageOptions,
    };
    #[derive(Clone, PartialEq, Message)]
    struct Item {
        #[prost(string, tag = "1")]
        sku: String,
        #[prost(int32, tag = "2")]
        count: i32,
    }
    #[derive(Clone, PartialEq, Message)]
    struct Order {
        #[prost(int64, tag = "1")]
        id: i64,
        #[prost(int32, tag = "2")]
        state: i32,
        #[prost(message, repeated, tag = "3")]
        items: Vec<Item>,
        #[prost(map = "string, string", tag = "4")]
        tags: std::collections::HashMap<String, String>,
    }
    // What protoc makes of the page's shop.proto.
    let field = |name: &str, number, label: Label, ty: Type, type_name: &str| FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(label.into()),
        r#type: Some(ty.into()),
        type_name: (!type_name.is_empty()).then(|| type_name.to_owned()),
        ..FieldDescriptorProto::default()
    };
    let message = |name: &str, field| DescriptorProto { name: Some(name.to_owned()), field, ..DescriptorProto::default() };
    let one = Label::Optional;
    let item = message("Item", vec![field("sku", 1, one, Type::String, ""), field("count", 2, one, Type::Int32, "")]);
    let mut entry = message("TagsEntry", vec![field("key", 1, one, Type::String, ""), field("value", 2, one, Type::String, "")]);
    entry.options = Some(MessageOptions { map_entry: Some(true), ..MessageOptions::default() });
    let mut order = message(
        "Order",
        vec![
            field("id", 1, one, Type::Int64, ""),
            field("state", 2, one, Type::Enum, ".shop.State"),
            field("items", 3, Label::Repeated, Type::Message, ".shop.Item"),
            field("tags", 4, Label::Repeated, Type::Message, ".shop.Order.TagsEntry"),
        ],
    );
    order.nested_type.push(entry);
    let value = |name: &str, number| EnumValueDescriptorProto { name: Some(name.to_owned()), number: Some(number), options: None };
    let state =
        EnumDescriptorProto { name: Some("State".to_owned()), value: vec![value("NEW", 0), value("SENT", 1)], ..EnumDescriptorProto::default() };
    let file = FileDescriptorProto {
        package: Some("shop".to_owned()),
        syntax: Some("proto3".to_owned()),
        message_type: vec![item, order],
        enum_type: vec![state],
        ..FileDescriptorProto::default()
    };
    let folder = Workdir::new();
    std::fs::write(folder.path("shop.desc"), FileDescriptorSet { file: vec![file] }.encode_to_vec()).unwrap();

    let items = vec![Item { sku: "lamp".to_owned(), count: 2 }, Item::default()];
    let tags = [("site".to_owned(), "a".to_owned())].into();
    let messages = [Order { id: 1, state: 1, items, tags }.encode_to_vec(), Order { id: 2, ..Order::default() }.encode_to_vec()];
    let (folder, job) = run_page_in(folder, "format-protobuf", "orders", &messages.each_ref().map(Vec::as_slice)).await;
    assert_eq!(answer(&folder, &job, "SELECT * FROM lake.db.orders ORDER BY id").await, "1,SENT,lamp,a\n2,NEW,NULL,NULL");
}

/// The example is built as its README says; the job of the page is the example's.
#[tokio::test]
async fn a_companys_own_format_is_built_and_read_and_a_message_on_which_the_module_traps_or_never_ends_is_one_dead_letter() {
    let example = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/company-format"));
    assert_eq!(job_of("format-wasm"), std::fs::read_to_string(example.join("job.sql")).unwrap());
    let folder = Workdir::new();
    let module = folder.path("company_format.wasm").display().to_string();
    let built = folder.program(example.join("build").to_str().unwrap(), [&module]).output(LIMIT).await;
    assert!(built.status.success(), "scripts/setup test installs what the example is built with:\n{}", built.stderr);
    let mut samples: Vec<PathBuf> = std::fs::read_dir(example.join("samples")).unwrap().map(|entry| entry.unwrap().path()).collect();
    samples.sort();
    let samples: Vec<Vec<u8>> = samples.iter().map(|file| std::fs::read(file).unwrap()).collect();
    let (folder, job) = run_page_in(folder, "format-wasm", "orders", &samples.iter().map(Vec::as_slice).collect::<Vec<_>>()).await;
    let lines = answer(&folder, &job, "SELECT * FROM lake.db.order_lines ORDER BY order_id, line").await;
    let expected = "1001,2026-01-31 12:00:00.123Z,Müller & Söhne,1,lamp,2,12.50,0
1001,2026-01-31 12:00:00.123Z,Müller & Söhne,2,bulb E27,4,3.99,0
1003,NULL,NULL,1,chair,1,89.00,2
1008,2026-01-31 12:00:00.123Z,Ada,1,shelf,3,45.00,7";
    assert_eq!(lines, expected);
    let letters = answer(&folder, &job, "SELECT `offset`, `column`, error FROM lake.db.errors ORDER BY `offset`").await;
    let expected = "3,NULL,the checksum is wrong
4,NULL,\"the module has given up (a panic, or an instruction that must not be reached)\"
5,NULL,the module has not come to an end with 'wasm.fuel' = '20000000'
6,placed_at,4611686018427387904 milliseconds are past the year 9999";
    assert_eq!(letters, expected);
}

#[tokio::test]
async fn the_job_of_the_page_on_redis_runs() {
    let redis = Servers::shared().redis();
    let mut keys = redis::Client::open(format!("redis://:{}@127.0.0.1:{}", redis.password, redis.port)).unwrap().get_connection().unwrap();
    redis::cmd("SET").arg("user:7").arg(r#"{"name":"Ann","home":{"city":"Ulm"}}"#).exec(&mut keys).unwrap();
    let place = format!("'127.0.0.1', 'password' = '{}', 'port' = '{}'", redis.password, redis.port);
    let (folder, brokers) = (Workdir::new(), Servers::shared().kafka());
    let topic = Topic::create(&brokers, "orders", 1, &[]).await;
    let messages = [r#"{"id":1,"user_id":7,"amount":2.5}"#, r#"{"id":2,"user_id":8,"amount":3}"#];
    topic.produce(messages.map(|message| Row::new(0, message.as_bytes())).into_iter()).await;
    let job = placed(&job_of("redis").replace("'localhost', 'port' = '6379'", &place), &folder, ("orders", &topic), &brokers);
    let job = folder.write("page.sql", &job);
    folder.weir(run(&job)).output(LIMIT).await.succeeded();
    assert_eq!(answer(&folder, &job, "SELECT * FROM lake.db.orders ORDER BY id").await, "1,2.50,Ann,Ulm\n2,3.00,NULL,NULL");
    let last: String = redis::cmd("GET").arg("last:7").query(&mut keys).unwrap();
    assert_eq!(last, r#"{"id":1,"amount":2.5}"#);
}
