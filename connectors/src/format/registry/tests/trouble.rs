//! Registries that fail, that talk nonsense, or that will not answer, and options that cannot be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use weir_base::task::{Task, spawn};
use weir_base::{Classified, ErrorKind};

use super::{Server, VERSIONS, customer, customers, open, push};
use crate::format::registry::answers::Registered;
use crate::format::registry::avro;
use crate::format::registry::client::{Client, Server as Address, Settings};

/// A client of `urls` that does not wait long.
fn client(urls: &[&str]) -> Client {
    let urls = urls.iter().map(|url| Address::parse(url).expect("URL")).collect();
    Client::new(Settings { first_wait: Duration::from_millis(1), ..Settings::of(urls) }).expect("a client")
}

#[tokio::test]
async fn a_registry_that_is_away_is_waited_for_and_its_addresses_are_tried_in_turn() {
    let server = Server::start(|_, before| if before < 3 { (503, String::new()) } else { (200, r#"{"schema":"\"int\""}"#.to_owned()) }).await;
    let nobody = "127.0.0.1:1";
    let client = client(&[&format!("http://{nobody}"), &server.url]);
    let found = client.get::<Registered>(&["schemas", "ids", "1"]).await.expect("answered").expect("found");
    assert_eq!((found.text.as_str(), server.times_asked("/schemas/ids/1")), ("\"int\"", 4));
}

/// The `https` address of a server that answers each greeting with a fatal alert (RFC 8446, 6.2), and how often it was greeted.
async fn alerting(alert: u8) -> (String, Arc<AtomicUsize>, Task<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
    let url = format!("https://{}", listener.local_addr().expect("address"));
    let greeted: Arc<AtomicUsize> = Arc::default();
    let count = Arc::clone(&greeted);
    let task = spawn("a server that alerts", async move {
        loop {
            let (mut wire, _) = listener.accept().await.expect("connection");
            let mut head = [0; 5];
            wire.read_exact(&mut head).await.expect("a record");
            let mut greeting = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
            wire.read_exact(&mut greeting).await.expect("a greeting");
            wire.write_all(&[21, 3, 3, 0, 2, 2, alert]).await.expect("sent");
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    (url, greeted, task)
}

#[tokio::test]
async fn alerts_of_tls_about_trust_end_the_job_and_others_are_outages() {
    // Handshake failure; bad, unsupported, revoked, expired, unknown certificate; unknown CA; access denied; certificate required.
    for alert in [40, 42, 43, 44, 45, 46, 48, 49, 116] {
        let (url, _, _task) = alerting(alert).await;
        let asked = tokio::time::timeout(Duration::from_secs(60), client(&[&url]).get::<Registered>(&["schemas", "ids", "1"])).await;
        let error = asked.unwrap_or_else(|_| panic!("alert {alert} is taken for an outage")).expect_err("no trust");
        assert_eq!(error.kind(), ErrorKind::User, "{error}");
        assert!(error.to_string().contains("Check 'ssl.truststore.location' and 'ssl.keystore.location'"), "{error}");
    }
    // Internal error.
    let (url, greeted, _task) = alerting(80).await;
    let error = client(&[&url]).post::<Registered>(&["schemas"], "{}", 2).await.expect_err("no answer");
    assert_eq!((error.kind(), greeted.load(Ordering::SeqCst)), (ErrorKind::Transient, 2), "{error}");
}

#[tokio::test]
async fn what_is_no_registry_or_will_not_answer_ends_the_job_with_what_to_check() {
    for (status, body, parts) in [
        (200, "<html>welcome</html>".to_owned(), ["something that is no answer of a schema registry", "Check the 'url' of the format"]),
        (404, "no such page".to_owned(), ["status 404 without the words of a schema registry", "the path of the interface belongs to it"]),
        (200, " ".repeat(17 << 20), ["its answer has more than 16 MB", "Check the 'url'"]),
        (401, String::new(), ["status 401", "Check 'basic-auth.user-info' or 'bearer-auth.token'"]),
        (400, r#"{"error_code":1,"message":"no"}"#.to_owned(), ["status 400 (1 no)", "Check the 'url'"]),
    ] {
        let server = Server::start(move |_, _| (status, body.clone())).await;
        let error = client(&[&server.url]).get::<Registered>(&["schemas", "ids", "1"]).await.expect_err("no registry");
        assert_eq!(error.kind(), ErrorKind::User);
        for part in parts.into_iter().chain([server.url.as_str()]) {
            assert!(error.to_string().contains(part), "`{part}` is not in: {error}");
        }
    }
}

#[tokio::test]
async fn a_client_says_who_it_is_and_nobody_else_hears_it() {
    let server = Server::of(&[VERSIONS[0]]).await;
    let with_login = server.url.replace("http://", "http://me:hunter2@");
    for (options, header) in [
        (vec![("url", with_login.as_str())], "authorization: Basic bWU6aHVudGVyMg=="),
        (vec![("url", server.url.as_str()), ("basic-auth.user-info", "me:hunter2")], "authorization: Basic bWU6aHVudGVyMg=="),
        (vec![("url", server.url.as_str()), ("bearer-auth.token", "hunter2")], "authorization: Bearer hunter2"),
    ] {
        let format = open(avro(), &customers(), &options).expect("format");
        assert!(!format!("{format:?}").contains("hunter2"));
        push(&mut *format.decoder(&customers()), &customer(0, 1).0).await.expect("answered");
        let heads = std::mem::take(&mut *server.asked.lock().expect("log"));
        assert!(heads.iter().all(|head| head.contains(header)), "{heads:?}");
    }
}

#[test]
fn each_mistake_in_the_options_is_told_with_the_remedy() {
    let url = ("url", "http://registry:8081");
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[], "'f.url'"),
        (&[("url", "registry:8081")], "Invalid value for option 'f.url': it begins with neither http:// nor https://."),
        (&[url, ("basic-auth.user-info", "hunter2")], "Invalid value for option 'f.basic-auth.user-info': expected 'user:password'."),
        (&[url, ("basic-auth.credentials-source", "SASL_INHERIT")], "Expected one of: [URL, USER_INFO]."),
        (&[url, ("basic-auth.credentials-source", "USER_INFO")], "'f.basic-auth.user-info' is required with"),
        (
            &[url, ("basic-auth.user-info", "a:b"), ("bearer-auth.token", "c")],
            "'f.basic-auth.user-info' and 'f.bearer-auth.token' shouldn't be set together.",
        ),
        (&[url, ("ssl.truststore.location", "/nowhere/ca.pem")], "'/nowhere/ca.pem' cannot be read"),
        (&[url, ("ssl.keystore.location", "Cargo.toml")], "has no CERTIFICATE in PEM; Java's JKS and PKCS12 are not read."),
        (&[url, ("schema", "{")], "Invalid value for option 'f.schema': the schema does not match the table: it is no JSON"),
        (&[url, ("schema", VERSIONS[0])], "the schema does not match the table: it has no field for column 'email'."),
        (
            &[
                url,
                (
                    "schema",
                    r#"{"type":"record","name":"C","fields":[{"name":"id","type":"string"},{"name":"name","type":"string"},
                        {"name":"email","type":"string"},{"name":"points","type":"double"},{"name":"state","type":"string"}]}"#,
                ),
            ],
            "the schema does not match the table: column 'id': string cannot be read into Int64.",
        ),
    ];
    for (options, phrase) in cases {
        let told = open(avro(), &customers(), options).expect_err(phrase).to_string();
        assert!(told.contains(phrase) && !told.contains("hunter2"), "{phrase}\nnot in\n{told}");
    }
}
