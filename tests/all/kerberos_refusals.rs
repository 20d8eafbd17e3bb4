//! What an administrator is told when a secured HDFS lets nobody in.

use std::path::Path;

use tokio::task::block_in_place;

use crate::kerberos::alias;
use crate::orders::LIMIT;
use crate::support::{Kdc, Servers, Workdir, until};

/// A ticket cache of alice's whose ticket has run out.
async fn outdated_cache(folder: &Workdir, kdc: &Kdc, keytab: &str) -> String {
    let (cache, conf) = (format!("FILE:{}", folder.path("outdated").display()), kdc.krb5_conf.display().to_string());
    folder.program("kinit", ["-k", "-t", keytab, "-c", &cache, "-l", "2s", "alice"]).env("KRB5_CONFIG", &conf).output(LIMIT).await.succeeded();
    until("the ticket has run out", LIMIT, async || {
        let looked = folder.program("klist", ["-s", "-c", &cache]).env("KRB5_CONFIG", &conf).output(LIMIT).await;
        (!looked.status.success()).then_some(())
    })
    .await;
    cache
}

/// A keytab with keys of `principal` that the KDC does not know.
async fn wrong_keys(folder: &Workdir, principal: &str) -> String {
    let keytab = folder.path("wrong.keytab").display().to_string();
    let words = format!("addent -password -p {principal} -k 1 -e aes256-cts-hmac-sha1-96\nnot-the-password\nwkt {keytab}\n");
    let words = folder.write("words", &words).display().to_string();
    folder.program("sh", ["-c", &format!("ktutil < {words}")]).output(LIMIT).await.succeeded();
    keytab
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_is_told_why_nobody_is_let_in() {
    let (hdfs, kdc) = block_in_place(|| (Servers::shared().hdfs_of("hdfs-kerberos"), Servers::shared().kdc()));
    let folder = Workdir::new();
    let (principal, keytab, conf) = (format!("alice@{}", kdc.realm), kdc.keytab("alice"), &hdfs.conf_ns1);
    let away = std::fs::read_to_string(&kdc.krb5_conf).unwrap().replace("kdc = 127.0.0.1:", "kdc = 127.0.0.2:");
    let (here, away) = (kdc.krb5_conf.clone(), folder.write("krb5.conf", &away));
    let outdated = outdated_cache(&folder, &kdc, &keytab).await;
    let wrong_keys = wrong_keys(&folder, &principal).await;
    let no_cache = format!("FILE:{}", folder.path("none").display());
    let stranger = format!("carol@{}", kdc.realm);
    let of = |principal: &str, secret: (&str, &str)| alias("aa", conf, &[("hadoop.kerberos.principal", principal), secret]);
    let by_keytab = of(&principal, ("hadoop.kerberos.keytab", &keytab));
    let simple = alias("aa", conf, &[("hadoop.security.authentication", "simple")]);
    let cases: [(&str, String, &Path, &[&str]); 8] = [
        (
            "no keytab",
            of(&principal, ("hadoop.kerberos.keytab", "/nowhere/of.keytab")),
            &here,
            &["'/nowhere/of.keytab' of 'alice@TEST.LOCAL'", "No such file"],
        ),
        ("a stranger", of(&stranger, ("hadoop.kerberos.keytab", &keytab)), &here, &["'carol@TEST.LOCAL'", &keytab, "klist -kt"]),
        ("no ticket", of(&principal, ("hadoop.kerberos.ticket-cache", &no_cache)), &here, &[&principal, &no_cache, "kinit"]),
        ("an old ticket", of(&principal, ("hadoop.kerberos.ticket-cache", &outdated)), &here, &[&principal, &outdated, "expired", "kinit"]),
        ("other keys", of(&principal, ("hadoop.kerberos.keytab", &wrong_keys)), &here, &[&principal, &wrong_keys, "have changed", "ktadd"]),
        ("no KDC", by_keytab, &away, &[&principal, "Cannot contact any KDC for realm 'TEST.LOCAL'", "KRB5_CONFIG"]),
        ("no identity", alias("aa", conf, &[]), &here, &["hadoop.kerberos.principal", "hadoop.kerberos.keytab"]),
        ("no Kerberos", simple, &here, &["if the cluster wants Kerberos", "'hadoop.security.authentication' = 'kerberos'"]),
    ];
    for (case, text, krb5, words) in cases {
        folder.write("weir.toml", &format!("[fs.request]\ndeadline = \"4 s\"\n{text}"));
        let launch = folder.weir(["fs", "ls", "aa://ns1/"]).env("KRB5_CONFIG", &krb5.display().to_string()).env("KRB5CCNAME", &no_cache);
        let refused = launch.output(LIMIT).await;
        assert!(!refused.status.success(), "{case}: {}", refused.stdout);
        for word in words {
            assert!(refused.stderr.contains(word), "{case}: no {word} in\n{}", refused.stderr);
        }
        assert!(!refused.stderr.contains("GssMajorCodes"), "{case}: {}", refused.stderr);
    }
}
