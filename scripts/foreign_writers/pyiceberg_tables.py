"""Tables that PyIceberg writes and changes, some of them around Parquet files by DuckDB and by pyarrow alone."""

import datetime
import decimal
import pathlib
import sys
import uuid

import duckdb
import pyarrow
import pyarrow.parquet
from answers import Document
from pyiceberg.catalog import load_catalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import BucketTransform, DayTransform, IdentityTransform, MonthTransform, TruncateTransform
from pyiceberg.types import (
    BinaryType, BooleanType, DateType, DecimalType, DoubleType, FixedType, FloatType, IntegerType, ListType, LongType, MapType, NestedField,
    StringType, StructType, TimestampType, TimestamptzType, TimeType, UUIDType,
)

UTC = datetime.UTC


class Lake:
    """The catalog, and what is expected of its tables."""

    def __init__(self, folder):
        self.folder = folder
        warehouse = f"file://{folder}/warehouse"
        self.catalog = load_catalog("lake", type="sql", uri=f"sqlite:///{folder}/catalog.db", warehouse=warehouse)
        self.catalog.create_namespace("f")
        init = f"CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'sql', 'uri' = 'sqlite:{folder}/catalog.db', 'warehouse' = '{warehouse}')"
        self.document = Document(init)

    def table(self, name, schema, **options):
        """A new table."""
        return self.catalog.create_table(f"f.{name}", schema, **options)

    def same(self, table, columns="*", where=None, hint="", **scan):
        """Weir's rows must be those of a scan by PyIceberg."""
        name = table.name()[-1]
        rows = table.scan(row_filter=where or "True", selected_fields=tuple(columns.split(", ")), **scan).to_arrow()
        condition = f" WHERE {where}" if where else ""
        self.document.check(f"SELECT {columns} FROM lake.f.{name}{hint}{condition}", rows.to_pylist(maps_as_pydicts="strict"))

    def leaf(self, table, sql, pick):
        """Weir's answer must be what `pick` makes of each row of the whole table."""
        rows = table.scan().to_arrow().to_pylist(maps_as_pydicts="strict")
        self.document.check(sql, [shown for row in rows for shown in pick(row)])


def add(table, rows):
    """Appends rows as the table's schema of now has them."""
    table.append(pyarrow.Table.from_pylist(rows, schema=table.schema().as_arrow()))


def types(lake):
    """Every type, with nulls and the ends of their ranges, in each codec."""
    inner = StructType(NestedField(31, "a", LongType()), NestedField(32, "b", StructType(NestedField(33, "c", IntegerType()))))
    item = StructType(NestedField(42, "k", StringType()), NestedField(43, "v", DoubleType()))
    schema = Schema(
        NestedField(1, "id", LongType(), required=True), NestedField(2, "flag", BooleanType()), NestedField(3, "i", IntegerType()),
        NestedField(4, "f", FloatType()), NestedField(5, "d", DoubleType()), NestedField(6, "d9", DecimalType(9, 2)),
        NestedField(7, "d18", DecimalType(18, 4)), NestedField(8, "d38", DecimalType(38, 10)), NestedField(9, "day", DateType()),
        NestedField(10, "clock", TimeType()), NestedField(11, "ts", TimestampType()), NestedField(12, "tz", TimestamptzType()),
        NestedField(13, "s", StringType()), NestedField(14, "u", UUIDType()), NestedField(15, "fix", FixedType(4)),
        NestedField(16, "raw", BinaryType()), NestedField(17, "ev", inner), NestedField(18, "tags", ListType(41, item, False)),
        NestedField(19, "m", MapType(51, StringType(), 52, StructType(NestedField(53, "x", IntegerType())), False)),
    )
    filled = {
        "id": 1, "flag": True, "i": -(2**31), "f": 1.5, "d": -2.25, "d9": decimal.Decimal("1234567.89"), "d18": decimal.Decimal("-0.0001"),
        "d38": decimal.Decimal("12345678901234567890.5"), "day": datetime.date(1969, 12, 31), "clock": datetime.time(23, 59, 59, 999999),
        "ts": datetime.datetime(1969, 12, 31, 23, 59, 59, 1), "tz": datetime.datetime(2026, 1, 2, 3, 4, 5, 6, UTC), "s": "naïve ☃",
        "u": uuid.UUID(int=7).bytes, "fix": b"\0\1\2\xff", "raw": b"\xfe\0", "ev": {"a": 5, "b": {"c": None}}, "tags": [{"k": "x", "v": 1.0}, None],
        "m": {"p": {"x": 1}, "q": None},
    }
    sparse = {"id": 2, "tags": [], "m": {}, "ev": {"a": None, "b": None}}
    for codec in ("uncompressed", "snappy", "gzip", "lz4", "zstd", "brotli"):
        table = lake.table(f"types_{codec}", schema, properties={"write.parquet.compression-codec": codec})
        add(table, [filled, sparse, {"id": 3}])
        lake.same(table)
        lake.leaf(table, f"SELECT id, ev.b.c AS c FROM lake.f.types_{codec}", lambda row: [{"id": row["id"], "c": ((row["ev"] or {}).get("b") or {}).get("c")}])
    for where in ("i = -2147483648", "d9 > 1234567", "day < '1970-01-01'", "s = 'naïve ☃'", "flag = true", "s IS NULL"):
        rows = {"s IS NULL": [2, 3]}.get(where, [1])
        typed = where.replace("'1970-01-01'", "DATE '1970-01-01'")
        lake.document.check(f"SELECT id FROM lake.f.types_zstd WHERE {typed}", [{"id": one} for one in rows])


def evolved(lake):
    """Columns added, dropped, renamed, moved, promoted and added again, at every depth, with rows between the steps."""
    b = StructType(NestedField(6, "c", IntegerType()), NestedField(7, "d", StringType()))
    item = StructType(NestedField(9, "k", StringType()), NestedField(10, "v", FloatType()))
    value = StructType(NestedField(13, "x", IntegerType()), NestedField(14, "y", StringType()))
    schema = Schema(
        NestedField(1, "id", LongType()), NestedField(2, "n", IntegerType()), NestedField(3, "gone", StringType()),
        NestedField(4, "ev", StructType(NestedField(5, "b", b))), NestedField(8, "tags", ListType(15, item, False)),
        NestedField(11, "m", MapType(16, StringType(), 12, value, False)),
    )
    table = lake.table("evolved", schema)
    one = {"id": 1, "n": 10, "gone": "old", "ev": {"b": {"c": 1, "d": "d1"}}, "tags": [{"k": "k1", "v": 0.5}], "m": {"p": {"x": 1, "y": "y1"}}}
    add(table, [one, {**one, "id": 2, "ev": {"b": None}, "tags": None, "m": None}, {**one, "id": 3, "ev": None, "tags": [], "m": {}}])
    with table.update_schema(allow_incompatible_changes=True) as change:
        change.delete_column("gone").rename_column("n", "number").update_column("n", LongType())
        change.add_column(("ev", "b", "e"), StringType()).rename_column("ev.b.c", "c2").update_column("ev.b.c", LongType())
        change.add_column(("tags", "w"), IntegerType()).rename_column("tags.k", "key")
        change.add_column(("m", "z"), LongType()).update_column("tags.v", DoubleType())
    two = {
        "id": 4, "number": 2**40, "ev": {"b": {"c2": 2**41, "d": "d4", "e": "e4"}}, "tags": [{"key": "k4", "v": 4.0, "w": 4}],
        "m": {"p": {"x": 4, "y": "y4", "z": 4}},
    }
    add(table, [two])
    with table.update_schema(allow_incompatible_changes=True) as change:
        change.add_column("gone", IntegerType()).add_column(("ev", "b", "c"), StringType()).delete_column("ev.b.d").move_first("gone")
        change.move_after("ev.b.e", "ev.b.c2").delete_column("m.y").add_column("late", ListType(100, LongType(), False))
    three = {
        "id": 5, "number": 5, "gone": 55, "ev": {"b": {"c2": 5, "e": "e5", "c": "c5"}}, "tags": [{"key": "k5", "v": 5.0, "w": 5}],
        "m": {"p": {"x": 5, "z": 5}}, "late": [5],
    }
    add(table, [three])
    lake.same(table)
    for column in ("gone", "number", "ev", "tags", "m", "late"):
        lake.same(table, f"id, {column}")
    of = "FROM lake.f.evolved"

    def b_of(row):
        return (row["ev"] or {}).get("b") or {}

    for leaf in ("c", "c2", "e"):
        lake.leaf(table, f"SELECT id, ev.b.{leaf} AS leaf {of}", lambda row, leaf=leaf: [{"id": row["id"], "leaf": b_of(row).get(leaf)}])
    lake.leaf(table, f"SELECT id, tags[1].key AS k {of}", lambda row: [{"id": row["id"], "k": row["tags"][0]["key"] if row["tags"] else None}])
    lake.leaf(table, f"SELECT id, tags[1].w AS w {of}", lambda row: [{"id": row["id"], "w": row["tags"][0]["w"] if row["tags"] else None}])
    lake.leaf(table, f"SELECT id, m['p'].z AS z {of}", lambda row: [{"id": row["id"], "z": row["m"]["p"]["z"] if row["m"] else None}])
    lake.leaf(table, f"SELECT id {of} WHERE ev.b.c2 = 1", lambda row: [{"id": row["id"]}] if b_of(row).get("c2") == 1 else [])
    lake.leaf(table, f"SELECT id {of} WHERE ev.b.e IS NULL", lambda row: [{"id": row["id"]}] if b_of(row).get("e") is None else [])
    lake.leaf(table, f"SELECT id {of} WHERE gone IS NULL", lambda row: [{"id": row["id"]}] if row["gone"] is None else [])
    first = table.snapshots()[0].snapshot_id
    lake.same(table, hint=f" VERSION AS OF {first}", snapshot_id=first)
    lake.document.refuse("SELECT ev.b.d FROM lake.f.evolved", "d")


def parted(lake):
    """A partition spec that changes between the rows, with every transform that PyIceberg writes."""
    schema = Schema(
        NestedField(1, "id", LongType()), NestedField(2, "ts", TimestampType()), NestedField(3, "s", StringType()), NestedField(4, "k", IntegerType()),
        NestedField(5, "amount", DecimalType(9, 2)),
    )
    table = lake.table("parted", schema, partition_spec=PartitionSpec(PartitionField(4, 1000, IdentityTransform(), "k")))
    start = datetime.datetime(2025, 12, 30, 22)

    def some(first):
        return [
            {"id": first + n, "ts": start + datetime.timedelta(hours=5 * n), "s": f"word{n % 4}-{n}" if n % 5 else None, "k": n % 3 if n % 7 else None,
             "amount": decimal.Decimal(n) / 4}
            for n in range(30)
        ]

    add(table, some(0))
    for step, change in enumerate((
        lambda spec: spec.add_field("ts", DayTransform(), "day"),
        lambda spec: spec.remove_field("k").add_field("s", TruncateTransform(5), "word"),
        lambda spec: spec.remove_field("day").add_field("id", BucketTransform(4), "bucket").add_field("ts", MonthTransform(), "month"),
        lambda spec: spec.remove_field("word").remove_field("bucket").remove_field("month"),
    )):
        with table.update_spec() as spec:
            change(spec)
        add(table, some(100 * (step + 1)))
    with table.update_schema() as schema:
        schema.rename_column("k", "shop")
    lake.same(table)
    for where in ("shop = 1", "shop IS NULL", "id = 217", "id IN (3, 117, 404)", "s IS NULL", "amount > 7"):
        lake.same(table, "id, shop", where=where)
    for where, keep in (
        ("s LIKE 'word2%'", lambda row: (row["s"] or "").startswith("word2")),
        ("ts >= TIMESTAMP '2026-01-03 00:00:00'", lambda row: row["ts"] >= datetime.datetime(2026, 1, 3)),
        ("ts = TIMESTAMP '2025-12-31 03:00:00'", lambda row: row["ts"] == datetime.datetime(2025, 12, 31, 3)),
        ("shop <> 1", lambda row: row["shop"] not in (1, None)),
    ):
        lake.leaf(table, f"SELECT id FROM lake.f.parted WHERE {where}", lambda row, keep=keep: [{"id": row["id"]}] if keep(row) else [])


def changed(lake):
    """Rows deleted, overwritten and upserted by PyIceberg, with a tag and a branch on the way."""
    schema = Schema(NestedField(1, "id", LongType(), required=True), NestedField(2, "v", StringType()), identifier_field_ids=[1])
    table = lake.table("changed", schema)
    add(table, [{"id": n, "v": f"v{n}"} for n in range(100)])
    table.manage_snapshots().create_tag(table.current_snapshot().snapshot_id, "whole").commit()
    table.delete("id >= 90")
    table.overwrite(pyarrow.Table.from_pylist([{"id": 7, "v": "seven"}], schema=schema.as_arrow()), overwrite_filter="id = 7")
    table.upsert(pyarrow.Table.from_pylist([{"id": 8, "v": "eight"}, {"id": 200, "v": "new"}], schema=schema.as_arrow()))
    table.manage_snapshots().create_branch(table.current_snapshot().snapshot_id, "side").commit()
    table.append(pyarrow.Table.from_pylist([{"id": 300, "v": "aside"}], schema=schema.as_arrow()), branch="side")
    table.delete("v = 'v1'")
    lake.same(table)
    lake.document.check("SELECT count(*) AS n FROM lake.f.changed /*+ OPTIONS('tag' = 'whole') */", [{"n": 100}])
    lake.document.check("SELECT count(*) AS n FROM lake.f.changed /*+ OPTIONS('branch' = 'side') */", [{"n": 92}])
    lake.document.check("SELECT v FROM lake.f.changed WHERE id = 7", [{"v": "seven"}])


def first_format(lake):
    """A table of format 1, read as such and after its step to format 2."""
    schema = Schema(NestedField(1, "id", LongType()), NestedField(2, "day", DateType()))
    spec = PartitionSpec(PartitionField(2, 1000, DayTransform(), "d"))
    table = lake.table("first", schema, partition_spec=spec, properties={"format-version": "1"})
    rows = [{"id": n, "day": datetime.date(2026, 1, 1 + n % 3)} for n in range(12)]
    add(table, rows)
    stays = lake.table("stays_first", schema, partition_spec=spec, properties={"format-version": "1"})
    add(stays, rows)
    with table.transaction() as change:
        change.upgrade_table_version(2)
    add(table, [{"id": 100, "day": None}])
    for one in (table, stays):
        lake.same(one)
        lake.leaf(one, f"SELECT id FROM lake.f.{one.name()[-1]} WHERE day = DATE '2026-01-02'", lambda row: [{"id": row["id"]}] if row["day"] == datetime.date(2026, 1, 2) else [])
    lake.same(lake.table("empty", schema))


def adopted(lake):
    """Files without field ids, by DuckDB and by pyarrow, taken into a table by name; then columns are renamed and added."""
    folder = lake.folder / "adopted"
    folder.mkdir()
    shape = "id, ('w' || id) AS s, {'a': id * 2, 'b': {'c': id::INT}} AS ev, [{'k': 'x' || id, 'v': id / 2}] AS tags, MAP {'p': id::INT} AS m"

    def made(first, end):
        return f"SELECT {shape}, TIMESTAMP '2026-01-01' + INTERVAL (id) HOUR AS ts FROM range({first}, {end}) t(id)"

    connection = duckdb.connect()
    for number, options in enumerate(("COMPRESSION zstd", "COMPRESSION snappy, PARQUET_VERSION v2", "COMPRESSION gzip, ROW_GROUP_SIZE 2048")):
        first = 5000 * number
        connection.execute(f"COPY ({made(first, first + 5000)}) TO '{folder}/duck{number}.parquet' (FORMAT parquet, {options})")
    rows = connection.sql(made(15000, 15100)).to_arrow_table()
    worded = rows.set_column(1, "s", rows["s"].dictionary_encode())
    for name, data, options in (
        ("dictionary", worded, {"data_page_version": "2.0"}),
        ("delta", rows, {"use_dictionary": False, "column_encoding": {"id": "DELTA_BINARY_PACKED", "s": "DELTA_BYTE_ARRAY"}}),
        ("split", rows, {"use_dictionary": False, "use_byte_stream_split": ["tags.list.element.v"]}),
        ("large", rows.set_column(1, "s", rows["s"].cast(pyarrow.large_string())), {"store_schema": True}),
    ):
        pyarrow.parquet.write_table(data, folder / f"{name}.parquet", **options)
    schema = Schema(
        NestedField(1, "id", LongType()), NestedField(2, "s", StringType()),
        NestedField(3, "ev", StructType(NestedField(4, "a", LongType()), NestedField(5, "b", StructType(NestedField(6, "c", IntegerType()))))),
        NestedField(7, "tags", ListType(8, StructType(NestedField(9, "k", StringType()), NestedField(10, "v", DoubleType())), False)),
        NestedField(11, "m", MapType(12, StringType(), 13, IntegerType(), False)), NestedField(14, "ts", TimestampType()),
    )
    table = lake.table("adopted", schema)
    table.add_files([f"file://{path}" for path in sorted(folder.glob("*.parquet"))])
    old = f"VERSION AS OF {table.current_snapshot().snapshot_id}"
    total = "SELECT count(*) AS n, sum(id) AS i, sum(ev.b.c) AS c, sum(tags[1].v) AS v, sum(m['p']) AS p, min(ts) AS t, count(DISTINCT s) AS s FROM {}"
    files = f"(SELECT * REPLACE (s::VARCHAR AS s, ts::TIMESTAMP AS ts) FROM read_parquet('{folder}/*.parquet', union_by_name = true))"

    def summed(sql, of_duckdb):
        columns = connection.execute(of_duckdb)
        lake.document.check(sql, [dict(zip([column[0] for column in columns.description], row, strict=True)) for row in columns.fetchall()])

    summed(total.format(f"lake.f.adopted {old}"), total.format(files))
    summed(f"SELECT id, s, ts FROM lake.f.adopted {old} WHERE ev.b.c BETWEEN 4990 AND 5010", f"SELECT id, s, ts FROM {files} WHERE ev.b.c BETWEEN 4990 AND 5010")
    # Later names of the columns; the checks above read the version that had the old ones.
    with table.update_schema() as change:
        change.rename_column("s", "text").rename_column("ev.b.c", "deep").add_column(("ev", "b", "e"), StringType()).update_column("m.value", LongType())
    summed("SELECT text, ev.b.deep AS deep, ev.b.e AS e FROM lake.f.adopted WHERE id < 3", f"SELECT s AS text, ev.b.c AS deep, NULL AS e FROM {files} WHERE id < 3")
    summed("SELECT sum(m['p']) AS p FROM lake.f.adopted", f"SELECT sum(m['p']) AS p FROM {files}")


def main():
    """Writes the tables and prints what is in them."""
    sys.stdout.reconfigure(encoding="utf-8")
    lake = Lake(pathlib.Path(sys.argv[1]))
    for scene in (types, evolved, parted, changed, first_format, adopted):
        scene(lake)
    lake.document.print()


if __name__ == "__main__":
    main()
