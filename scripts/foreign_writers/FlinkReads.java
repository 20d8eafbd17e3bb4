import java.io.File;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;

import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.flink.table.api.TableEnvironment;

/** Rewritten tables as Flink reads them; argument: the file with the task, which `reading.py` describes. */
public final class FlinkReads {
    private FlinkReads() {}

    public static void main(String[] arguments) throws Exception {
        PrintStream out = new PrintStream(System.out, true, "UTF-8");
        JsonNode task = new ObjectMapper().readTree(new File(arguments[0]));
        Map<String, String> properties = new HashMap<>();
        task.get("properties").fields().forEachRemaining(one -> properties.put(one.getKey(), one.getValue().asText()));
        TableEnvironment flink = FlinkSql.environment(true, 1, properties);
        List<String> checks = new ArrayList<>();
        List<String> complaints = new ArrayList<>();
        for (JsonNode read : task.get("reads")) {
            List<String> conditions = new ArrayList<>(List.of(""));
            read.path("where").forEach(where -> conditions.add(" WHERE " + where.asText()));
            List<String> hints = new ArrayList<>();
            read.get("snapshots").forEach(snapshot -> hints.add(" /*+ OPTIONS('snapshot-id' = '" + snapshot.asLong() + "') */"));
            if (hints.isEmpty()) {
                hints.add("");
            }
            for (String condition : conditions) {
                List<List<String>> bags = new ArrayList<>();
                for (String hint : hints) {
                    String sql = "SELECT * FROM lake." + read.get("table").asText() + hint + condition;
                    List<String> rows = FlinkSql.rows(flink, sql);
                    checks.add(FlinkSql.check(sql, rows));
                    bags.add(rows.stream().sorted().toList());
                }
                if (new HashSet<>(bags).size() > 1) {
                    complaints.add(FlinkSql.json("the rows of " + read.get("table").asText() + condition + " differ between snapshots that must be alike"));
                }
            }
        }
        String init = FlinkSql.json(task.get("init").asText());
        out.println("{\"init\": " + init + ", \"checks\": [" + String.join(", ", checks) + "], \"complaints\": [" + String.join(", ", complaints) + "]}");
        System.exit(0);
    }
}
