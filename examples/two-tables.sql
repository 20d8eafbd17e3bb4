-- One generated stream, read once, into two tables; ends by itself. Needs nothing but a disk:  weir run examples/two-tables.sql
SET 'pipeline.name' = 'two-tables';
SET 'execution.checkpointing.dir' = 'file:///tmp/weir-two-tables/checkpoints';

CREATE TABLE readings (
  sensor BIGINT, celsius DOUBLE, note STRING
) WITH (
  'connector' = 'datagen',
  'number-of-rows' = '100000',
  'rows-per-second' = '1000000',
  'fields.sensor.min' = '1', 'fields.sensor.max' = '50',
  'fields.celsius.min' = '-20', 'fields.celsius.max' = '45',
  'fields.note.length' = '12'
);

CREATE CATALOG lake WITH (
  'type' = 'iceberg', 'catalog-type' = 'sql',
  'uri' = 'sqlite:/tmp/weir-two-tables/catalog.db', 'warehouse' = 'file:///tmp/weir-two-tables/warehouse'
);
CREATE DATABASE IF NOT EXISTS lake.plant;
CREATE TABLE IF NOT EXISTS lake.plant.readings (sensor BIGINT, celsius DOUBLE, note STRING) PARTITIONED BY (bucket(4, sensor));
CREATE TABLE IF NOT EXISTS lake.plant.alarms (sensor BIGINT, fahrenheit DOUBLE);

EXECUTE STATEMENT SET BEGIN
  INSERT INTO lake.plant.readings SELECT * FROM readings;
  INSERT INTO lake.plant.alarms SELECT sensor, celsius * 1.8 + 32 FROM readings WHERE celsius > 40;
END;
