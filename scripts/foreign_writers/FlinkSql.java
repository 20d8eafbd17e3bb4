import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;

import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;
import org.apache.flink.types.Row;
import org.apache.flink.util.CloseableIterator;

/** Flink in one process: its environment with a catalog `lake`, and rows as JSON. */
final class FlinkSql {
    private FlinkSql() {}

    /** An environment whose catalog has these properties. */
    static TableEnvironment environment(boolean isBatch, int parallelism, Map<String, String> properties) {
        Configuration settings = new Configuration();
        settings.setString("parallelism.default", String.valueOf(parallelism));
        settings.setString("rest.address", "127.0.0.1");
        settings.setString("rest.port", "0");
        settings.setString("table.local-time-zone", "UTC");
        settings.setString("execution.checkpointing.interval", "500 ms");
        // On a machine that is busy with other work.
        settings.setString("heartbeat.timeout", "10 min");
        settings.setString("taskmanager.memory.network.max", "64mb");
        settings.setString("taskmanager.memory.managed.size", "128mb");
        EnvironmentSettings.Builder builder = EnvironmentSettings.newInstance().withConfiguration(settings);
        TableEnvironment made = TableEnvironment.create((isBatch ? builder.inBatchMode() : builder.inStreamingMode()).build());
        String options = properties.entrySet().stream().map(one -> ", '" + one.getKey() + "' = '" + one.getValue() + "'").collect(Collectors.joining());
        made.executeSql("CREATE CATALOG lake WITH ('type' = 'iceberg'" + options + ")");
        return made;
    }

    static void run(TableEnvironment in, String... statements) throws Exception {
        for (String statement : statements) {
            in.executeSql(statement).await();
        }
    }

    /** What Flink answers, each row as a JSON object. */
    static List<String> rows(TableEnvironment in, String sql) throws Exception {
        TableResult result = in.executeSql(sql);
        List<String> names = result.getResolvedSchema().getColumnNames();
        List<String> rows = new ArrayList<>();
        try (CloseableIterator<Row> found = result.collect()) {
            while (found.hasNext()) {
                Row row = found.next();
                Map<String, Object> fields = new TreeMap<>();
                for (int place = 0; place < names.size(); place++) {
                    fields.put(names.get(place), row.getField(place));
                }
                rows.add(json(fields));
            }
        }
        return rows;
    }

    /** Weir must answer `sql` with these rows. */
    static String check(String sql, List<String> rows) {
        return "{\"sql\": " + json(sql) + ", \"rows\": [" + String.join(", ", rows) + "]}";
    }

    static String json(Object value) {
        if (value == null || value instanceof Boolean || value instanceof Number) {
            boolean isNumber = !(value instanceof Double number && number.isNaN());
            return isNumber ? String.valueOf(value) : "null";
        }
        if (value instanceof Map<?, ?> map) {
            return map.entrySet().stream().map(one -> json(String.valueOf(one.getKey())) + ": " + json(one.getValue())).collect(Collectors.joining(", ", "{", "}"));
        }
        if (value instanceof Row row) {
            return row.getFieldNames(true).stream().map(name -> json(name) + ": " + json(row.getField(name))).collect(Collectors.joining(", ", "{", "}"));
        }
        if (value instanceof Object[] array) {
            return java.util.Arrays.stream(array).map(FlinkSql::json).collect(Collectors.joining(", ", "[", "]"));
        }
        if (value instanceof byte[] bytes) {
            return json(HexFormat.of().formatHex(bytes));
        }
        if (value instanceof LocalDateTime || value instanceof LocalDate || value instanceof Instant) {
            return "\"" + (value instanceof LocalDateTime time ? time.format(java.time.format.DateTimeFormatter.ISO_LOCAL_DATE_TIME) : value) + "\"";
        }
        return "\"" + value.toString().replace("\\", "\\\\").replace("\"", "\\\"") + "\"";
    }
}
