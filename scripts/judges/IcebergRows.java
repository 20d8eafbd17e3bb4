import java.io.IOException;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.StringJoiner;
import java.util.TreeMap;
import java.util.UUID;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import org.apache.hadoop.conf.Configuration;
import org.apache.iceberg.AppendFiles;
import org.apache.iceberg.CatalogUtil;
import org.apache.iceberg.DataFile;
import org.apache.iceberg.FileScanTask;
import org.apache.iceberg.PartitionData;
import org.apache.iceberg.PartitionSpec;
import org.apache.iceberg.RowDelta;
import org.apache.iceberg.Schema;
import org.apache.iceberg.Snapshot;
import org.apache.iceberg.StructLike;
import org.apache.iceberg.Table;
import org.apache.iceberg.catalog.Catalog;
import org.apache.iceberg.catalog.Namespace;
import org.apache.iceberg.catalog.SupportsNamespaces;
import org.apache.iceberg.catalog.TableIdentifier;
import org.apache.iceberg.data.GenericRecord;
import org.apache.iceberg.data.IcebergGenerics;
import org.apache.iceberg.data.Record;
import org.apache.iceberg.data.parquet.GenericParquetWriter;
import org.apache.iceberg.deletes.EqualityDeleteWriter;
import org.apache.iceberg.deletes.PositionDelete;
import org.apache.iceberg.deletes.PositionDeleteWriter;
import org.apache.iceberg.io.CloseableIterable;
import org.apache.iceberg.io.DataWriter;
import org.apache.iceberg.io.OutputFile;
import org.apache.iceberg.parquet.Parquet;
import org.apache.iceberg.types.Type;
import org.apache.iceberg.types.Types;

/**
 * Iceberg's own classes as a writer of deletes and as the judge of tables that have them. Arguments: the properties of a catalog named
 * `lake` as `key=value`, and a JSON object with an array of steps for each table. Prints what the last step of each tells.
 *
 * <p>`{"create": "kind"}` makes a table of `id`, `kind` and `v`, partitioned by that column (or by none, if empty); `{"append": [from, to]}`
 * adds rows with these ids in one file for each partition; `{"delete_ids": [from, to]}` deletes by key, `{"upsert": [from, to]}` does both in
 * one snapshot, and `{"delete_places": [..]}` deletes rows at these places of every data file, the lowest first; `{"await": {}}` waits until
 * somebody else has committed; `{"rows": {}}` tells how many rows each snapshot has and their digest, which is that of `digest.py`, and
 * `{"rows": {"last": true}}` says so of the current one alone. Snapshots bear the number of their step as `churn.step`. In a table with the
 * columns that `steps.py` knows, rows are as it has them.
 */
@SuppressWarnings("deprecation")
public final class IcebergRows {
    private static final Schema SCHEMA = new Schema(
        Types.NestedField.optional(1, "id", Types.LongType.get()), Types.NestedField.optional(2, "kind", Types.StringType.get()),
        Types.NestedField.optional(3, "v", Types.DoubleType.get()));
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String STEP = "churn.step";

    private final Catalog catalog;
    private final TableIdentifier name;
    private int number;

    private IcebergRows(Catalog catalog, TableIdentifier name) {
        this.catalog = catalog;
        this.name = name;
    }

    private JsonNode step(String what, JsonNode with) throws Exception {
        switch (what) {
            case "create" -> create(with.asText());
            case "append" -> append(with.get(0).asLong(), with.get(1).asLong());
            case "delete_ids" -> deleteIds(with.get(0).asLong(), with.get(1).asLong(), false);
            case "upsert" -> deleteIds(with.get(0).asLong(), with.get(1).asLong(), true);
            case "delete_places" -> deletePlaces(with);
            case "await" -> awaitOthers();
            case "rows" -> { return rows(with.path("last").asBoolean()); }
            default -> throw new IllegalArgumentException("no step " + what);
        }
        Snapshot current = catalog.loadTable(name).currentSnapshot();
        return JSON.createObjectNode().put("snapshot", current == null ? null : current.snapshotId());
    }

    private void create(String partitionedBy) {
        if (catalog instanceof SupportsNamespaces namespaces && !namespaces.namespaceExists(name.namespace())) {
            namespaces.createNamespace(name.namespace());
        }
        PartitionSpec spec = partitionedBy.isEmpty() ? PartitionSpec.unpartitioned() : PartitionSpec.builderFor(SCHEMA).identity(partitionedBy).build();
        catalog.createTable(name, SCHEMA, spec, Map.of("format-version", "2"));
    }

    private static Record row(Schema schema, long id, boolean updated) {
        Record row = GenericRecord.create(schema);
        row.setField("id", id);
        if (schema.findField("p") != null) {
            Map<String, Object> order = Map.of("kind", "k" + id % 3, "v", updated ? -id : id * 7, "p", 99, "o", id);
            order.forEach(row::setField);
            return row;
        }
        row.setField("kind", id % 11 == 3 ? null : "kind-" + id % 3);
        row.setField("v", updated ? -1.0 * id : id % 17 == 5 ? Double.NaN : id / 4.0);
        return row;
    }

    private void append(long from, long to) throws IOException {
        Table table = catalog.loadTable(name);
        AppendFiles append = table.newAppend().set(STEP, String.valueOf(number));
        for (DataFile file : files(table, from, to, false)) {
            append.appendFile(file);
        }
        append.commit();
    }

    /** The partition that a row belongs to, or null. */
    private static PartitionData partition(Table table, Record row) {
        if (table.spec().isUnpartitioned()) {
            return null;
        }
        PartitionData partition = new PartitionData(table.spec().partitionType());
        partition.set(0, row.getField(table.spec().fields().get(0).name()));
        return partition;
    }

    private static Map<String, List<Record>> byPartition(Table table, long from, long to, boolean updated) {
        Map<String, List<Record>> rows = new TreeMap<>();
        for (long id = from; id < to; id++) {
            Record row = row(table.schema(), id, updated);
            rows.computeIfAbsent(String.valueOf(partition(table, row)), key -> new ArrayList<>()).add(row);
        }
        return rows;
    }

    private static OutputFile output(Table table, String kind) {
        return table.io().newOutputFile(table.locationProvider().newDataLocation(UUID.randomUUID() + "-" + kind + ".parquet"));
    }

    private static List<DataFile> files(Table table, long from, long to, boolean updated) throws IOException {
        List<DataFile> files = new ArrayList<>();
        for (List<Record> rows : byPartition(table, from, to, updated).values()) {
            DataWriter<Record> writer = Parquet.writeData(output(table, "rows")).schema(table.schema()).withSpec(table.spec())
                .withPartition(partition(table, rows.get(0))).createWriterFunc(GenericParquetWriter::create).build();
            try (writer) {
                rows.forEach(writer::write);
            }
            files.add(writer.toDataFile());
        }
        return files;
    }

    private void deleteIds(long from, long to, boolean addAgain) throws IOException {
        Table table = catalog.loadTable(name);
        RowDelta delta = table.newRowDelta().set(STEP, String.valueOf(number));
        for (List<Record> rows : byPartition(table, from, to, false).values()) {
            Schema key = table.schema().select("id");
            EqualityDeleteWriter<Record> writer = Parquet.writeDeletes(output(table, "keys")).withSpec(table.spec()).withPartition(partition(table, rows.get(0)))
                .rowSchema(key).equalityFieldIds(1).createWriterFunc(GenericParquetWriter::create).buildEqualityWriter();
            try (writer) {
                for (Record row : rows) {
                    Record one = GenericRecord.create(key);
                    one.setField("id", row.getField("id"));
                    writer.write(one);
                }
            }
            delta.addDeletes(writer.toDeleteFile());
        }
        if (addAgain) {
            files(table, from, to, true).forEach(delta::addRows);
        }
        delta.commit();
    }

    private void deletePlaces(JsonNode places) throws IOException {
        Table table = catalog.loadTable(name);
        RowDelta delta = table.newRowDelta().set(STEP, String.valueOf(number));
        try (CloseableIterable<FileScanTask> tasks = table.newScan().planFiles()) {
            for (FileScanTask task : tasks) {
                if (places.get(0).asLong() >= task.file().recordCount()) {
                    continue;
                }
                PositionDeleteWriter<Record> writer = Parquet.writeDeletes(output(table, "places")).withSpec(task.spec()).withPartition(task.file().partition())
                    .createWriterFunc(GenericParquetWriter::create).buildPositionWriter();
                PositionDelete<Record> delete = PositionDelete.create();
                try (writer) {
                    for (JsonNode place : places) {
                        if (place.asLong() < task.file().recordCount()) {
                            writer.write(delete.set(task.file().location(), place.asLong(), null));
                        }
                    }
                }
                delta.addDeletes(writer.toDeleteFile()).validateDataFilesExist(List.of(task.file().location()));
            }
        }
        delta.commit();
    }

    private void awaitOthers() throws InterruptedException {
        Table table = catalog.loadTable(name);
        long before = table.currentSnapshot().snapshotId();
        for (int tries = 0; tries < 600 && table.currentSnapshot().snapshotId() == before; tries++) {
            Thread.sleep(50);
            table.refresh();
        }
    }

    private ArrayNode rows(boolean last) throws Exception {
        Table table = catalog.loadTable(name);
        List<Snapshot> snapshots = new ArrayList<>();
        if (last) {
            snapshots.add(table.currentSnapshot());
        } else {
            table.snapshots().forEach(snapshots::add);
        }
        snapshots.sort(Comparator.comparingLong(Snapshot::sequenceNumber));
        ArrayNode told = JSON.createArrayNode();
        for (Snapshot snapshot : snapshots) {
            BigInteger sum = BigInteger.ZERO;
            long count = 0;
            try (CloseableIterable<Record> rows = IcebergGenerics.read(table).useSnapshot(snapshot.snapshotId()).build()) {
                for (Record row : rows) {
                    byte[] hash = MessageDigest.getInstance("SHA-256").digest(text(row, table.schema().asStruct()).getBytes(StandardCharsets.UTF_8));
                    sum = sum.add(new BigInteger(1, Arrays.copyOf(hash, 16)));
                    count++;
                }
            }
            ObjectNode reader = JSON.createObjectNode().put("rows", count).put("digest", String.format("%032x", sum.mod(BigInteger.ONE.shiftLeft(128))));
            told.add(JSON.createObjectNode().put("id", snapshot.snapshotId()).put("parent", snapshot.parentId()).put("operation", snapshot.operation())
                .set("readers", JSON.createObjectNode().set("java", reader)));
        }
        return told;
    }

    /** The one text of a value, as `digest.py` says. */
    private static String text(Object value, Type type) {
        if (value == null) {
            return "~";
        }
        if (value instanceof StructLike row) {
            StringJoiner fields = new StringJoiner(",", "{", "}");
            List<Types.NestedField> of = type.asStructType().fields();
            for (int place = 0; place < of.size(); place++) {
                fields.add(text(row.get(place, Object.class), of.get(place).type()));
            }
            return fields.toString();
        }
        if (value instanceof List<?> list) {
            StringJoiner elements = new StringJoiner(",", "[", "]");
            list.forEach(one -> elements.add(text(one, type.asListType().elementType())));
            return elements.toString();
        }
        if (value instanceof Map<?, ?> map) {
            List<String> pairs = new ArrayList<>();
            map.forEach((key, one) -> pairs.add(text(key, type.asMapType().keyType()) + "=" + text(one, type.asMapType().valueType())));
            return "<" + String.join(",", pairs.stream().sorted().toList()) + ">";
        }
        return primitive(value);
    }

    private static String primitive(Object value) {
        if (value instanceof Boolean truth) {
            return truth ? "t" : "f";
        }
        if (value instanceof Float || value instanceof Double) {
            return String.format("%016x", Double.doubleToLongBits(((Number) value).doubleValue()));
        }
        if (value instanceof BigDecimal number) {
            return number.toPlainString();
        }
        if (value instanceof LocalDateTime moment) {
            return String.valueOf(ChronoUnit.MICROS.between(LocalDateTime.ofEpochSecond(0, 0, ZoneOffset.UTC), moment));
        }
        if (value instanceof OffsetDateTime moment) {
            return String.valueOf(ChronoUnit.MICROS.between(Instant.EPOCH, moment));
        }
        if (value instanceof LocalTime time) {
            return String.valueOf(time.toNanoOfDay() / 1_000);
        }
        if (value instanceof UUID id) {
            return id.toString().replace("-", "");
        }
        if (value instanceof byte[] bytes) {
            return HexFormat.of().formatHex(bytes);
        }
        if (value instanceof ByteBuffer bytes) {
            byte[] copy = new byte[bytes.remaining()];
            bytes.duplicate().get(copy);
            return HexFormat.of().formatHex(copy);
        }
        if (value instanceof CharSequence text) {
            return text.toString().getBytes(StandardCharsets.UTF_8).length + ":" + text;
        }
        return value.toString();
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, String> properties = new HashMap<>();
        for (String argument : Arrays.copyOf(arguments, arguments.length - 1)) {
            properties.put(argument.substring(0, argument.indexOf('=')), argument.substring(argument.indexOf('=') + 1));
        }
        Catalog catalog = CatalogUtil.buildIcebergCatalog("lake", properties, new Configuration());
        ObjectNode told = JSON.createObjectNode();
        for (Map.Entry<String, JsonNode> of : JSON.readTree(arguments[arguments.length - 1]).properties()) {
            IcebergRows table = new IcebergRows(catalog, TableIdentifier.parse(of.getKey()));
            for (JsonNode step : of.getValue()) {
                Map.Entry<String, JsonNode> one = step.properties().iterator().next();
                told.set(of.getKey(), table.step(one.getKey(), one.getValue()));
                table.number++;
            }
        }
        System.out.println(told);
        System.exit(0);
    }
}
