-- Orders from Kafka into a partitioned Iceberg table, exactly once.
-- Change the three addresses and paths, then:  weir run examples/orders.sql
SET 'pipeline.name' = 'orders';
SET 'execution.checkpointing.interval' = '1 s';
SET 'execution.checkpointing.dir' = 'file:///tmp/weir/checkpoints';

CREATE TABLE orders (
  id BIGINT, user_id BIGINT, item_id BIGINT, category STRING, event_type STRING, amount DECIMAL(10, 2), ts TIMESTAMP(3),
  props ROW<ip STRING, ua STRING, ref ROW<site STRING, pos INT>>,
  p INT METADATA FROM 'partition' VIRTUAL,
  o BIGINT METADATA FROM 'offset' VIRTUAL
) WITH (
  'connector' = 'kafka',
  'topic' = 'orders',
  'properties.bootstrap.servers' = '127.0.0.1:9092',
  'scan.startup.mode' = 'earliest-offset',
  'format' = 'json'
);

CREATE CATALOG lake WITH (
  'type' = 'iceberg',
  'catalog-type' = 'sql',
  'uri' = 'sqlite:/tmp/weir/catalog.db',
  'warehouse' = 'file:///tmp/weir/warehouse'
);
CREATE DATABASE IF NOT EXISTS lake.shop;
CREATE TABLE IF NOT EXISTS lake.shop.orders (
  id BIGINT, user_id BIGINT, item_id BIGINT, category STRING, event_type STRING, amount DECIMAL(10, 2), ts TIMESTAMP(6),
  props ROW<ip STRING, ua STRING, ref ROW<site STRING, pos INT>>, p INT, o BIGINT
) PARTITIONED BY (event_type, days(ts)) WITH ('write.parquet.compression-codec' = 'zstd', 'distribution-mode' = 'none');

INSERT INTO lake.shop.orders SELECT * FROM orders;
