//! One job file, every warehouse with every catalog.

use serde_json::json;

use crate::orders::{LIMIT, OrdersJob, holds_exactly, send, sqlite};
use crate::support::{Servers, Table, Topic, Warehouse, Workdir};

#[derive(Debug, Clone, Copy)]
enum Catalog {
    Sql,
    Rest,
    Hive,
    Hadoop,
}

async fn runs_on(catalog: Catalog, warehouse: Warehouse) {
    let servers = Servers::shared();
    let brokers = servers.kafka();
    let folder = Workdir::new();
    let topic = Topic::create(&brokers, "orders", 4, &[]).await;
    let mut job = OrdersJob::on_disk(&folder, &topic, &brokers);
    // REST server and metastore are shared: a database of one's own.
    let database = format!("shop_{}", uuid::Uuid::new_v4().simple());
    let name = format!("{database}.orders");
    let root = match warehouse {
        Warehouse::File => folder.uri("warehouse"),
        Warehouse::S3 => format!("s3://{}/{database}", servers.s3().bucket),
        Warehouse::Hdfs => format!("{}/{database}", servers.hdfs().uri),
    };
    let s3 = || {
        let s3 = servers.s3();
        format!(
            ", 's3.endpoint' = '{}', 's3.access-key-id' = '{}', 's3.secret-access-key' = '{}', 's3.region' = '{}', 's3.path-style-access' = 'true'",
            s3.endpoint, s3.access_key, s3.secret_key, s3.region
        )
    };
    let store = if warehouse == Warehouse::S3 { s3() } else { String::new() };
    let (options, table) = match catalog {
        Catalog::Sql => (
            format!("'catalog-type' = 'sql', 'uri' = '{}', 'warehouse' = '{root}'{store}", sqlite(&folder)),
            Table::of_sql(&name, "lake", &sqlite(&folder), &root),
        ),
        Catalog::Rest => {
            let rest = servers.rest(warehouse);
            (format!("'catalog-type' = 'rest', 'uri' = '{}'{store}", rest.uri), Table::of_rest(&name, &rest.uri))
        }
        Catalog::Hive => {
            let uri = servers.hive().uri;
            (format!("'catalog-type' = 'hive', 'uri' = '{uri}', 'warehouse' = '{root}'{store}"), Table::of_hive(&name, &uri))
        }
        Catalog::Hadoop => (format!("'catalog-type' = 'hadoop', 'warehouse' = '{root}'{store}"), Table::of_folder(&name, &root)),
    };
    let table = match warehouse {
        Warehouse::File => table,
        Warehouse::S3 => table.on_s3(&servers.s3()),
        Warehouse::Hdfs => table.on_hdfs(&servers.hdfs()),
    };
    job.catalog = options;
    if warehouse == Warehouse::Hdfs {
        job.checkpoints = format!("{root}/checkpoints");
    }
    let sent = send(&topic, 4, 0..3_000).await;
    let file = folder.write("orders.sql", &job.sql().replace("lake.shop", &format!("lake.{database}")));
    folder.weir(["run".as_ref(), file.as_os_str()]).output(LIMIT).await.succeeded();
    let found = holds_exactly(&table, &sent).await;
    let transforms: Vec<_> = found["partition_spec"].as_array().unwrap().iter().map(|field| field["transform"].clone()).collect();
    assert_eq!(transforms, [json!("identity"), json!("day")]);
    let query = format!("SELECT count(*) AS n, CAST(sum(amount) AS STRING) AS total FROM lake.{database}.orders");
    let arguments = ["sql".as_ref(), "--init".as_ref(), file.as_os_str(), "--format".as_ref(), "json".as_ref(), "-e".as_ref(), query.as_ref()];
    let answer = folder.weir::<&std::ffi::OsStr>(arguments).output(LIMIT).await.succeeded();
    let answer: serde_json::Value = serde_json::from_str(answer.stdout.trim()).unwrap();
    assert_eq!(answer["n"], 3_000);
    let cents: u64 = (0..3_000_u64).map(|id| id % 1000).sum();
    assert_eq!(answer["total"], format!("{}.{:02}", cents / 100, cents % 100));
    let target = format!("lake.{database}.orders");
    let arguments = ["verify".as_ref(), "--init".as_ref(), file.as_os_str(), target.as_ref()];
    folder.weir::<&std::ffi::OsStr>(arguments).output(LIMIT).await.succeeded();
}

macro_rules! runs_on {
    ($($name:ident: $catalog:ident, $warehouse:ident;)*) => { $(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            runs_on(Catalog::$catalog, Warehouse::$warehouse).await;
        }
    )* };
}

runs_on! {
    the_job_runs_on_a_disk_with_a_sql_catalog: Sql, File;
    the_job_runs_on_hdfs_with_a_sql_catalog: Sql, Hdfs;
    the_job_runs_on_s3_with_a_sql_catalog: Sql, S3;
    the_job_runs_on_a_disk_with_a_rest_catalog: Rest, File;
    the_job_runs_on_hdfs_with_a_rest_catalog: Rest, Hdfs;
    the_job_runs_on_s3_with_a_rest_catalog: Rest, S3;
    the_job_runs_on_a_disk_with_a_metastore: Hive, File;
    the_job_runs_on_hdfs_with_a_metastore: Hive, Hdfs;
    the_job_runs_on_a_disk_with_folders_alone: Hadoop, File;
    the_job_runs_on_hdfs_with_folders_alone: Hadoop, Hdfs;
    the_job_runs_on_s3_with_folders_alone: Hadoop, S3;
}
