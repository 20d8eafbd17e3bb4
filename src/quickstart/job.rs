//! The job file of the quick start.

use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// A file by which a folder is known as an earlier quick start.
pub(crate) const MARK: &str = ".weir-quickstart";

/// Writes the job file into `folder` and gives its path.
pub(crate) fn write(folder: &Path, brokers: &str) -> Result<PathBuf, Failure> {
    let here = folder.display();
    let text = format!(
        "\
-- The main job: orders from Kafka into an Iceberg table. With your own Kafka and lake, change the servers, the catalog and the warehouse.
SET 'pipeline.name' = 'orders';
SET 'execution.checkpointing.interval' = '1 s';
SET 'execution.checkpointing.dir' = 'file://{here}/checkpoints';

CREATE TABLE orders (
  id BIGINT, user_id BIGINT, item_id BIGINT, category STRING, event_type STRING, amount DECIMAL(10, 2), ts TIMESTAMP(3),
  props ROW<ip STRING, ua STRING, ref ROW<site STRING, pos INT>>,
  p INT METADATA FROM 'partition' VIRTUAL, o BIGINT METADATA FROM 'offset' VIRTUAL
) WITH (
  'connector' = 'kafka', 'topic' = 'orders', 'properties.bootstrap.servers' = '{brokers}',
  'scan.startup.mode' = 'earliest-offset', 'format' = 'json'
);

CREATE CATALOG lake WITH (
  'type' = 'iceberg', 'catalog-type' = 'sql', 'uri' = 'sqlite:{here}/catalog.db', 'warehouse' = 'file://{here}/warehouse'
);
CREATE DATABASE IF NOT EXISTS lake.shop;
CREATE TABLE IF NOT EXISTS lake.shop.orders (
  id BIGINT, user_id BIGINT, item_id BIGINT, category STRING, event_type STRING, amount DECIMAL(10, 2), ts TIMESTAMP(6),
  props ROW<ip STRING, ua STRING, ref ROW<site STRING, pos INT>>, p INT, o BIGINT
) PARTITIONED BY (event_type, days(ts)) WITH ('write.parquet.compression-codec' = 'zstd', 'distribution-mode' = 'none');

INSERT INTO lake.shop.orders SELECT * FROM orders;
"
    );
    let file = folder.join("job.sql");
    let trouble = |error: std::io::Error| Failure::user(format!("'{}' cannot be written: {error}", file.display()));
    std::fs::write(folder.join(MARK), "").map_err(trouble)?;
    std::fs::write(&file, text).map_err(trouble)?;
    Ok(file)
}
