SET 'pipeline.name' = 'orders';
SET 'execution.checkpointing.dir' = 'file:///data/checkpoints';
CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'sql', 'uri' = 'sqlite:/data/catalog.db', 'warehouse' = 'file:///data/warehouse');
CREATE DATABASE IF NOT EXISTS lake.db;
CREATE TABLE IF NOT EXISTS lake.db.order_lines (
  order_id BIGINT, placed_at TIMESTAMP_LTZ(6), customer STRING, line INT, article STRING, pieces INT, price DECIMAL(10, 2), at BIGINT);
CREATE TABLE orders (
  order_id BIGINT, placed_at TIMESTAMP_LTZ(3), customer STRING, line INT, article STRING, pieces INT, price DECIMAL(10, 2),
  at BIGINT METADATA FROM 'offset' VIRTUAL
) WITH (
  'connector' = 'kafka', 'topic' = 'orders', 'properties.bootstrap.servers' = 'localhost:9092',
  'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
  'format' = 'wasm', 'wasm.module' = '/data/company_format.wasm', 'wasm.fuel' = '20000000',
  'error.mode' = 'dead-letter', 'error.table' = 'lake.db.errors');
INSERT INTO lake.db.order_lines SELECT * FROM orders;
