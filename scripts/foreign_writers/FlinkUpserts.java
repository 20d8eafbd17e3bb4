import java.io.File;
import java.io.PrintStream;
import java.util.HashMap;
import java.util.Map;

import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.flink.table.api.TableEnvironment;

/**
 * A stream of Flink that upserts rows into a table while others write to it: each checkpoint makes a commit with equality deletes, and with
 * position deletes for keys that came twice in it. Argument: the file with the task: `properties` of the catalog, `table`, `count` of rows, how
 * many of them a second (`rate`), and the `first` of so many `keys`, a multiple of three, that they go round. The table is made with its key as
 * primary key and the table properties `options`. Prints the task when all rows are committed.
 */
public final class FlinkUpserts {
    private FlinkUpserts() {}

    public static void main(String[] arguments) throws Exception {
        PrintStream out = new PrintStream(System.out, true, "UTF-8");
        JsonNode task = new ObjectMapper().readTree(new File(arguments[0]));
        Map<String, String> properties = new HashMap<>();
        task.get("properties").fields().forEachRemaining(one -> properties.put(one.getKey(), one.getValue().asText()));
        TableEnvironment flink = FlinkSql.environment(false, 1, properties);
        String table = "lake." + task.get("table").asText();
        long count = task.get("count").asLong();
        FlinkSql.run(flink, "CREATE DATABASE IF NOT EXISTS " + table.substring(0, table.lastIndexOf('.')),
            "CREATE TABLE " + table + " (id BIGINT, kind STRING, v BIGINT, p INT, o BIGINT, PRIMARY KEY (id, kind) NOT ENFORCED) PARTITIONED BY (kind)"
                + " WITH ('format-version' = '2', " + task.get("options").asText() + ")",
            "CREATE TEMPORARY TABLE source (n BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '" + count + "', 'rows-per-second' = '"
                + task.get("rate").asLong() + "', 'fields.n.kind' = 'sequence', 'fields.n.start' = '0', 'fields.n.end' = '" + (count - 1) + "')");
        long keys = task.get("keys").asLong();
        FlinkSql.run(flink, "INSERT INTO " + table + " /*+ OPTIONS('upsert-enabled' = 'true') */ SELECT MOD(n, " + keys + ") + " + task.get("first").asLong()
            + ", 'k' || CAST(MOD(n, 3) AS STRING), n, 99, n FROM source");
        out.println(task);
        System.exit(0);
    }
}
