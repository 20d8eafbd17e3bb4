//! Kafka behind passwords and certificates: a job comes in, or says which option keeps it out; the password stays in the job file.

use crate::orders::{LIMIT, Setting, committed, holds_exactly, run, send, table_on_disk, verified};
use crate::support::{Kafka, Servers, Workdir};

const PARTITIONS: u64 = 2;

/// Options of a source, for a job file.
fn written(options: &[(&str, &str)]) -> String {
    options.iter().map(|(key, value)| format!(",\n  'properties.{key}' = '{value}'")).collect()
}

/// A topic, filled by the plain way, and a job that reads it by another.
async fn setting(servers: &Servers, brokers: &str, options: &[(&str, &str)]) -> Setting {
    let mut setting = Setting::on_disk(&servers.kafka(), PARTITIONS).await;
    brokers.clone_into(&mut setting.job.brokers);
    setting.job.source_options = written(options);
    setting
}

/// A bounded job that comes in with `options` reads everything.
async fn reads_through(brokers: &str, options: &[(&str, &str)]) {
    let Setting { folder, topic, job } = setting(Servers::shared(), brokers, options).await;
    let sent = send(&topic, PARTITIONS, 0..1_000).await;
    let file = job.write(&folder);
    let output = folder.weir(run(&file)).output(LIMIT).await.succeeded();
    assert!(!output.stderr.contains("OPT-"), "{}", output.stderr);
    holds_exactly(&table_on_disk(&folder), &sent).await;
    verified(&folder, &file).await;
}

fn scram_over_tls<'a>(kafka: &'a Kafka, ca: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.username", &kafka.username),
        ("sasl.password", &kafka.password),
        ("ssl.ca.location", ca),
    ]
}

#[tokio::test]
async fn a_job_reads_through_scram_and_tls_and_shows_its_password_nowhere() {
    let kafka = Servers::shared().kafka_ways();
    let ca = kafka.ca.display().to_string();
    let Setting { folder, topic, mut job } = setting(Servers::shared(), &kafka.sasl_ssl, &scram_over_tls(&kafka, &ca)).await;
    job.bounded = false;
    // What the client itself has to say is logged too.
    job.source_options.push_str(&written(&[("debug", "security,conf,broker")]));
    let sent = send(&topic, PARTITIONS, 0..1_000).await;
    let file = job.write(&folder);
    let mut running = folder.weir(["--log", "debug", "run", file.to_str().unwrap()]).start();
    let address = running.address(LIMIT).await;
    committed(&address, 1_000).await;
    for path in ["status", "metrics"] {
        let told = reqwest::get(format!("{address}/{path}")).await.unwrap().text().await.unwrap();
        assert!(told.contains("orders") && !told.contains(&kafka.password), "{told}");
    }
    // Stopped at once, so that its checkpoints are all there to be searched.
    running.kill().await;
    let shown = folder.weir(["explain".as_ref(), file.as_os_str()]).output(LIMIT).await.succeeded().stdout;
    assert!(shown.contains("kafka"), "{shown}");
    let shown = folder.weir(["sql", "--init", file.to_str().unwrap(), "-e", "SHOW CREATE TABLE orders"]).output(LIMIT).await.succeeded().stdout;
    assert!(shown.contains("properties.sasl.password") && shown.contains("******"), "{shown}");
    assert!(folder.path("checkpoints").is_dir());
    folder.shows_nowhere(&kafka.password);
    job.bounded = true;
    let file = job.write(&folder);
    folder.weir(run(&file)).output(LIMIT).await.succeeded();
    holds_exactly(&table_on_disk(&folder), &sent).await;
    verified(&folder, &file).await;
}

#[tokio::test]
async fn the_jaas_line_and_the_pem_truststore_of_the_java_client_are_understood() {
    let kafka = Servers::shared().kafka_ways();
    let ca = kafka.ca.display().to_string();
    let jaas = |class: &str| {
        let (user, password) = (&kafka.username, &kafka.password);
        format!("org.apache.kafka.common.security.{class} required username=\"{user}\" password=\"{password}\";")
    };
    let plain = jaas("plain.PlainLoginModule");
    let options = [("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanism", "PLAIN"), ("sasl.jaas.config", plain.as_str())];
    reads_through(&kafka.sasl_plaintext, &options).await;
    let scram = jaas("scram.ScramLoginModule");
    let options = [
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.jaas.config", scram.as_str()),
        ("ssl.truststore.type", "PEM"),
        ("ssl.truststore.location", &ca),
    ];
    reads_through(&kafka.sasl_ssl, &options).await;
}

#[tokio::test]
async fn a_client_certificate_is_shown_by_the_names_of_either_client() {
    let kafka = Servers::shared().kafka_ways();
    let (ca, client) = (kafka.ca.display().to_string(), kafka.client.display().to_string());
    let java = [
        ("security.protocol", "SSL"),
        ("ssl.truststore.location", ca.as_str()),
        ("ssl.keystore.type", "PEM"),
        ("ssl.keystore.location", client.as_str()),
    ];
    reads_through(&kafka.ssl, &java).await;
    let native =
        [("security.protocol", "SSL"), ("ssl.ca.location", ca.as_str()), ("ssl.certificate.location", &client), ("ssl.key.location", &client)];
    reads_through(&kafka.ssl, &native).await;
}

/// A job that `options` keep out ends with `status` and all of `wanted`, and its password stays in the job file.
async fn kept_out(brokers: &str, options: &[(&str, &str)], status: i32, wanted: &[&str]) {
    let Setting { folder, topic, mut job } = setting(Servers::shared(), brokers, options).await;
    job.settings = "SET 'restart-strategy.type' = 'none';".to_owned();
    send(&topic, PARTITIONS, 0..10).await;
    let file = job.write(&folder);
    let told = folder.weir(run(&file)).output(LIMIT).await.failed_with(status).stderr;
    for part in ["Table 'default_catalog.default_database.orders': "].iter().chain(wanted) {
        assert!(told.contains(part), "`{part}` is not in:\n{told}");
    }
    for (_, password) in options.iter().filter(|(key, _)| key.contains("password")) {
        folder.shows_nowhere(password);
    }
}

#[tokio::test]
async fn a_wrong_password_or_mechanism_ends_the_job_with_the_options_to_check() {
    let kafka = Servers::shared().kafka_ways();
    let ca = kafka.ca.display().to_string();
    let right = scram_over_tls(&kafka, &ca);
    let wrong = |key: &str, value: &'static str| right.map(|(name, old)| if name == key { (name, value) } else { (name, old) });
    let options = wrong("sasl.password", "not-her-password");
    kept_out(&kafka.sasl_ssl, &options, 3, &["invalid credentials", "Check 'properties.sasl.username' and 'properties.sasl.password'"]).await;
    let options = wrong("sasl.mechanism", "SCRAM-SHA-256");
    kept_out(&kafka.sasl_ssl, &options, 3, &["PLAIN,SCRAM-SHA-512", "Set 'properties.sasl.mechanism' to a mechanism that the brokers support."])
        .await;
    let options = [("security.protocol", "PLAINTEXT")];
    kept_out(&kafka.sasl_plaintext, &options, 4, &["'properties.security.protocol'"]).await;
}

#[tokio::test]
async fn a_wrong_certificate_ends_the_job_with_the_options_to_check() {
    let kafka = Servers::shared().kafka_ways();
    let folder = Workdir::new();
    let stranger = folder.path("stranger.pem").display().to_string();
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "stranger.key"];
    let make = ["req", "-x509", "-subj", "/CN=stranger", "-out", &stranger].into_iter().chain(key);
    folder.program("openssl", make).output(LIMIT).await.succeeded();
    let trusting = "Check 'properties.ssl.ca.location'";
    kept_out(&kafka.sasl_ssl, &scram_over_tls(&kafka, &stranger), 3, &["certificate", trusting]).await;
    kept_out(&kafka.sasl_ssl, &scram_over_tls(&kafka, "/nowhere/ca.pem"), 3, &[trusting]).await;
    let ca = kafka.ca.display().to_string();
    let nothing_shown = [("security.protocol", "SSL"), ("ssl.ca.location", ca.as_str())];
    kept_out(&kafka.ssl, &nothing_shown, 3, &["The brokers ask for a certificate that they trust: set 'properties.ssl.certificate.location'"]).await;
}

#[tokio::test]
async fn a_broker_behind_a_password_that_restarts_is_waited_for() {
    let servers = Servers::own();
    let kafka = servers.kafka_ways();
    let ca = kafka.ca.display().to_string();
    let Setting { folder, topic, mut job } = setting(&servers, &kafka.sasl_ssl, &scram_over_tls(&kafka, &ca)).await;
    job.bounded = false;
    job.settings = "SET 'restart-strategy.type' = 'none';".to_owned();
    let mut sent = send(&topic, PARTITIONS, 0..1_000).await;
    let mut running = folder.weir(run(&job.write(&folder))).start();
    let address = running.address(LIMIT).await;
    committed(&address, 1_000).await;
    servers.kill("kafka");
    running.logged("source cannot be reached, waiting", LIMIT).await;
    servers.start("kafka");
    sent.extend(send(&topic, PARTITIONS, 1_000..2_000).await);
    committed(&address, 2_000).await;
    running.terminate();
    running.wait(LIMIT).await.succeeded();
    holds_exactly(&table_on_disk(&folder), &sent).await;
}
