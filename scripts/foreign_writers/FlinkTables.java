import java.io.PrintStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

import org.apache.flink.table.api.TableEnvironment;

/**
 * Tables that Flink writes: batch inserts and overwrites, and upserts by a stream, which leave equality and position deletes. Prints the
 * document that the package's docstring describes.
 */
public final class FlinkTables {
    private static final String COLUMNS =
        "id BIGINT, flag BOOLEAN, i INT, f FLOAT, d DOUBLE, d9 DECIMAL(9,2), d38 DECIMAL(38,10), `day` DATE, ts TIMESTAMP(6), tz TIMESTAMP_LTZ(6), s STRING,"
            + " bin VARBINARY, ev ROW<a BIGINT, b ROW<c INT, d STRING>>, tags ARRAY<ROW<k STRING, v DOUBLE>>, m MAP<STRING, ROW<x INT>>";

    private final TableEnvironment batch;
    private final TableEnvironment streaming;
    private final List<String> checks = new ArrayList<>();

    private FlinkTables(String warehouse) {
        Map<String, String> properties = Map.of("catalog-type", "hadoop", "warehouse", warehouse);
        batch = FlinkSql.environment(true, 2, properties);
        streaming = FlinkSql.environment(false, 2, properties);
        batch.executeSql("CREATE DATABASE IF NOT EXISTS lake.f");
    }

    /** Weir and Flink must answer alike. */
    private void same(String sql) throws Exception {
        same(sql, sql);
    }

    private void same(String sql, String forFlink) throws Exception {
        checks.add(FlinkSql.check(sql, FlinkSql.rows(batch, forFlink)));
    }

    private void types() throws Exception {
        String filled = "(CAST(1 AS BIGINT), true, -2147483648, CAST(1.5 AS FLOAT), CAST(-2.25 AS DOUBLE), 1234567.89, CAST('12345678901234567890.5' AS DECIMAL(38,10)), DATE '1969-12-31',"
            + " TIMESTAMP '1969-12-31 23:59:59.000001', CAST(TIMESTAMP '2026-01-02 03:04:05.000006' AS TIMESTAMP_LTZ(6)), 'naïve', X'fe00',"
            + " CAST(ROW(5, ROW(CAST(NULL AS INT), 'x')) AS ROW<a BIGINT, b ROW<c INT, d STRING>>),"
            + " CAST(ARRAY[ROW('x', 1.0)] AS ARRAY<ROW<k STRING, v DOUBLE>>), CAST(MAP['p', ROW(1)] AS MAP<STRING, ROW<x INT>>))";
        String select = "SELECT CAST(n AS BIGINT)" + ", CAST(NULL AS BOOLEAN), CAST(NULL AS INT), CAST(NULL AS FLOAT), CAST(NULL AS DOUBLE), CAST(NULL AS DECIMAL(9,2)),"
            + " CAST(NULL AS DECIMAL(38,10)), CAST(NULL AS DATE), CAST(NULL AS TIMESTAMP(6)), CAST(NULL AS TIMESTAMP_LTZ(6)), CAST(NULL AS STRING), CAST(NULL AS VARBINARY),"
            + " CAST(NULL AS ROW<a BIGINT, b ROW<c INT, d STRING>>), CAST(NULL AS ARRAY<ROW<k STRING, v DOUBLE>>), CAST(NULL AS MAP<STRING, ROW<x INT>>)"
            + " FROM (VALUES (2), (3)) AS t(n)";
        for (String codec : List.of("zstd", "gzip", "snappy", "uncompressed")) {
            String name = "lake.f.types_" + codec;
            FlinkSql.run(batch, "CREATE TABLE " + name + " (" + COLUMNS + ") WITH ('write.parquet.compression-codec' = '" + codec + "')",
                "INSERT INTO " + name + " VALUES " + filled, "INSERT INTO " + name + " " + select);
            same("SELECT * FROM " + name);
            same("SELECT id, ev.b.d AS d FROM " + name);
            same("SELECT id, tags[1].k AS k, m['p'].x AS x FROM " + name);
        }
    }

    /** Keys that are written again and again by a stream: equality deletes over checkpoints, position deletes within one. */
    private void upserts() throws Exception {
        String table = "(id BIGINT, v STRING, ev ROW<a BIGINT, n INT>, p INT, PRIMARY KEY (id, p) NOT ENFORCED)";
        for (String name : List.of("lake.f.upserted", "lake.f.upserted_parts")) {
            String parts = name.endsWith("parts") ? " PARTITIONED BY (p)" : "";
            FlinkSql.run(batch, "CREATE TABLE " + name + " " + table + parts + " WITH ('format-version' = '2', 'write.upsert.enabled' = 'true')");
            for (int round = 0; round < 3; round++) {
                FlinkSql.run(streaming, "CREATE TEMPORARY TABLE source (id BIGINT, v INT) WITH ('connector' = 'datagen', 'number-of-rows' = '2000', 'rows-per-second' = '1000',"
                    + " 'fields.id.kind' = 'random', 'fields.id.min' = '0', 'fields.id.max' = '300', 'fields.v.min' = '0', 'fields.v.max' = '1000')",
                    "INSERT INTO " + name + " SELECT id, CAST(v AS STRING), ROW(id * 2, v), CAST(id AS INT) / 100 FROM source", "DROP TEMPORARY TABLE source");
            }
            same("SELECT * FROM " + name);
            same("SELECT p, count(*) AS n, sum(ev.n) AS s FROM " + name + " GROUP BY p");
            same("SELECT id FROM " + name + " WHERE ev.n > 500");
            same("SELECT ev.a AS a FROM " + name + " WHERE id BETWEEN 100 AND 120");
        }
    }

    private void overwritten() throws Exception {
        String name = "lake.f.overwritten";
        FlinkSql.run(batch, "CREATE TABLE " + name + " (id BIGINT, p STRING) PARTITIONED BY (p)",
            "INSERT INTO " + name + " VALUES (1, 'a'), (2, 'b'), (3, 'c')", "INSERT OVERWRITE " + name + " PARTITION (p = 'a') SELECT CAST(10 AS BIGINT)",
            "INSERT OVERWRITE " + name + " VALUES (20, 'b')", "ALTER TABLE " + name + " ADD late STRING", "INSERT INTO " + name + " VALUES (4, 'd', 'x')");
        same("SELECT * FROM " + name);
        same("SELECT id FROM " + name + " WHERE p = 'b'");
        same("SELECT id FROM " + name + " WHERE late IS NULL");
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream out = new PrintStream(System.out, true, "UTF-8");
        String warehouse = "file://" + Path.of(arguments[0], "warehouse");
        FlinkTables tables = new FlinkTables(warehouse);
        tables.types();
        tables.upserts();
        tables.overwritten();
        String init = "CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'hadoop', 'warehouse' = '" + warehouse + "')";
        out.println("{\"init\": " + FlinkSql.json(init) + ", \"checks\": [" + String.join(", ", tables.checks) + "]}");
        System.exit(0);
    }
}
