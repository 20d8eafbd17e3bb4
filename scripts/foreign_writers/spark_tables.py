"""Tables that Spark writes and changes, in a warehouse of folders."""

import pathlib
import sys

import spark_session
from answers import Document

SETTINGS = {
    "spark.sql.catalog.lake.type": "hadoop",
    "spark.sql.catalog.spark_catalog": "org.apache.iceberg.spark.SparkSessionCatalog", "spark.sql.catalog.spark_catalog.type": "hadoop",
    "spark.sql.parquet.outputTimestampType": "INT96",
}


class Lake:
    """The session, and what is expected of the tables."""

    def __init__(self, folder, jars):
        warehouse = f"file://{folder}/warehouse"
        of_catalogs = {f"spark.sql.catalog.{catalog}.warehouse": warehouse for catalog in ("lake", "spark_catalog")}
        self.session = spark_session.session(jars, {**SETTINGS, **of_catalogs, "spark.sql.warehouse.dir": f"{folder}/plain"})
        self.document = Document(f"CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'hadoop', 'warehouse' = '{warehouse}')")

    def run(self, *statements):
        """Runs statements by Spark."""
        for statement in statements:
            self.session.sql(statement)

    def rows(self, sql):
        """What Spark answers."""
        return spark_session.rows(self.session, sql)

    def same(self, sql, for_spark=None):
        """Weir and Spark must answer alike; `for_spark` is the query in Spark's words where they differ."""
        self.document.check(sql, self.rows(for_spark or sql))


def types(lake):
    """Every type that Spark has, in each codec and page version."""
    columns = """id BIGINT, flag BOOLEAN, i INT, f FLOAT, d DOUBLE, d9 DECIMAL(9,2), d38 DECIMAL(38,10), day DATE, ts TIMESTAMP_NTZ, tz TIMESTAMP,
        s STRING, raw BINARY, ev STRUCT<a: BIGINT, b: STRUCT<c: INT, d: STRING>>, tags ARRAY<STRUCT<k: STRING, v: DOUBLE>>, m MAP<STRING, STRUCT<x: INT, y: STRING>>"""
    filled = """(1, true, -2147483648, 1.5, -2.25, 1234567.89, 12345678901234567890.5, DATE '1969-12-31', TIMESTAMP_NTZ '1969-12-31 23:59:59.000001',
        TIMESTAMP '2026-01-02 03:04:05.000006Z', 'naïve', X'fe00', named_struct('a', 5L, 'b', named_struct('c', CAST(NULL AS INT), 'd', 'x')),
        array(named_struct('k', 'x', 'v', 1D), NULL), map('p', named_struct('x', 1, 'y', 'q'), 'r', NULL))"""
    empty = "(2" + ", NULL" * 11 + ", named_struct('a', NULL, 'b', NULL), array(), map())"
    for codec, more in (("zstd", ""), ("gzip", ", 'write.parquet.page-version' = 'v2'"), ("snappy", ""), ("lz4", ""), ("uncompressed", "")):
        name = f"lake.f.types_{codec}"
        lake.run(
            f"CREATE TABLE {name} ({columns}) USING iceberg TBLPROPERTIES ('write.parquet.compression-codec' = '{codec}'{more})",
            f"INSERT INTO {name} VALUES {filled}, {empty}, (3{', NULL' * 14})",
        )
        lake.same(f"SELECT * FROM {name}")
        lake.same(f"SELECT id, ev.b.c AS c, ev.b.d AS d FROM {name}")
        lake.same(f"SELECT id, m['p'].y AS y, tags[1].k AS k FROM {name}", f"SELECT id, m['p'].y AS y, try_element_at(tags, 1).k AS k FROM {name}")
    for where in ("i < 0", "d9 > 1234567", "day < DATE '1970-01-01'", "ev.b.d = 'x'", "ev.b.c IS NULL", "tags IS NULL", "raw IS NOT NULL"):
        lake.same(f"SELECT id FROM lake.f.types_zstd WHERE {where}")


def evolved(lake):
    """Columns that change at every depth between inserts."""
    name = "lake.f.evolved"
    lake.run(
        f"""CREATE TABLE {name} (id BIGINT, n INT, gone STRING, ev STRUCT<b: STRUCT<c: INT, d: STRING>>, tags ARRAY<STRUCT<k: STRING, v: FLOAT>>,
            m MAP<STRING, STRUCT<x: INT, y: STRING>>) USING iceberg""",
        f"""INSERT INTO {name} SELECT id, CAST(id AS INT), 'old', named_struct('b', named_struct('c', CAST(id AS INT), 'd', 'd')),
            array(named_struct('k', 'k', 'v', 0.5F)), map('p', named_struct('x', CAST(id AS INT), 'y', 'y')) FROM range(5)""",
        f"ALTER TABLE {name} DROP COLUMN gone",
        f"ALTER TABLE {name} RENAME COLUMN n TO number",
        f"ALTER TABLE {name} ALTER COLUMN number TYPE BIGINT",
        f"ALTER TABLE {name} ADD COLUMN ev.b.e STRING AFTER c",
        f"ALTER TABLE {name} RENAME COLUMN ev.b.c TO c2",
        f"ALTER TABLE {name} ALTER COLUMN ev.b.c2 TYPE BIGINT",
        f"ALTER TABLE {name} ADD COLUMN tags.element.w INT FIRST",
        f"ALTER TABLE {name} ALTER COLUMN tags.element.v TYPE DOUBLE",
        f"ALTER TABLE {name} ADD COLUMN m.value.z BIGINT FIRST",
        f"ALTER TABLE {name} ADD COLUMN gone INT FIRST",
        f"""INSERT INTO {name} SELECT CAST(id AS INT), id, id, named_struct('b', named_struct('c2', id, 'e', 'e', 'd', 'd2')),
            array(named_struct('w', CAST(id AS INT), 'k', 'k2', 'v', 1D)), map('p', named_struct('z', id, 'x', 1, 'y', 'y2')) FROM range(10, 15)""",
        f"ALTER TABLE {name} DROP COLUMN ev.b.d",
        f"ALTER TABLE {name} ADD COLUMN ev.b.c STRING",
        f"ALTER TABLE {name} DROP COLUMN m.value.y",
        f"""INSERT INTO {name} SELECT 1, id, id, named_struct('b', named_struct('c2', id, 'e', 'e', 'c', 'new')), NULL, NULL FROM range(20, 22)""",
    )
    lake.same(f"SELECT * FROM {name}")
    for leaf in ("ev.b.c", "ev.b.c2", "ev.b.e", "m['p'].z", "m['p'].x", "gone", "number"):
        lake.same(f"SELECT id, {leaf} AS leaf FROM {name}")
    for leaf in ("w", "k", "v"):
        lake.same(f"SELECT id, tags[1].{leaf} AS leaf FROM {name}", f"SELECT id, try_element_at(tags, 1).{leaf} AS leaf FROM {name}")
    for where in ("ev.b.c2 = 12", "ev.b.c IS NULL", "gone > 11", "ev.b.e = 'e' AND number < 12"):
        lake.same(f"SELECT id FROM {name} WHERE {where}")


def parted(lake):
    """A partition spec that changes, with every transform."""
    name = "lake.f.parted"
    rows = """SELECT id + {0}, TIMESTAMP_NTZ '2025-12-30 22:00:00' + make_dt_interval(0, id * 5), concat('word', id % 4, '-', id), CAST(id % 3 AS INT), CAST(id AS DECIMAL(9,2)) / 4
        FROM range(30)"""
    lake.run(f"CREATE TABLE {name} (id BIGINT, ts TIMESTAMP_NTZ, s STRING, k INT, amount DECIMAL(9,2)) USING iceberg PARTITIONED BY (k)")
    changes = (
        ["ADD PARTITION FIELD days(ts)"], ["DROP PARTITION FIELD k", "ADD PARTITION FIELD truncate(5, s) AS word"],
        ["REPLACE PARTITION FIELD days(ts) WITH hours(ts)", "ADD PARTITION FIELD bucket(4, id)", "ADD PARTITION FIELD bucket(3, amount) AS b_amount"],
        ["DROP PARTITION FIELD word", "REPLACE PARTITION FIELD hours(ts) WITH years(ts)", "ADD PARTITION FIELD truncate(10, amount) AS t_amount"],
    )
    lake.run(f"INSERT INTO {name} {rows.format(0)}")
    for step, alterations in enumerate(changes):
        lake.run(*(f"ALTER TABLE {name} {one}" for one in alterations), f"INSERT INTO {name} {rows.format(100 * (step + 1))}")
    lake.same(f"SELECT * FROM {name}")
    for where in (
        "k = 1", "id = 217", "id IN (3, 117, 404)", "s LIKE 'word2%'", "amount = 5.25", "amount >= 7", "ts >= TIMESTAMP '2026-01-03 00:00:00'",
        "ts = TIMESTAMP '2025-12-31 03:00:00'", "NOT (k = 1)", "k IS NULL",
    ):
        lake.same(f"SELECT id FROM {name} WHERE {where}", f"SELECT id FROM {name} WHERE {where.replace('TIMESTAMP ', 'TIMESTAMP_NTZ ')}")


def changed(lake):
    """Rows deleted, updated and merged in each way and format, then rewritten; with branches and tags."""
    for version, mode in ((2, "copy-on-write"), (2, "merge-on-read"), (3, "merge-on-read"), (3, "copy-on-write")):
        name = f"lake.f.changed_v{version}_{mode.replace('-', '_')}"
        modes = ", ".join(f"'write.{one}.mode' = '{mode}'" for one in ("delete", "update", "merge"))
        lake.run(
            f"""CREATE TABLE {name} (id BIGINT, v STRING, ev STRUCT<a: BIGINT>, p INT) USING iceberg PARTITIONED BY (p)
                TBLPROPERTIES ('format-version' = '{version}', {modes})""",
            f"INSERT INTO {name} SELECT id, concat('v', id), named_struct('a', id * 2), CAST(id % 3 AS INT) FROM range(1000)",
            f"ALTER TABLE {name} CREATE TAG whole",
            f"DELETE FROM {name} WHERE id % 10 = 3",
            f"UPDATE {name} SET v = 'updated', ev = named_struct('a', -id) WHERE id % 10 = 4",
            f"""MERGE INTO {name} t USING (SELECT id, 'merged' AS v FROM range(990, 1010)) s ON t.id = s.id
                WHEN MATCHED THEN UPDATE SET t.v = s.v WHEN NOT MATCHED THEN INSERT (id, v, ev, p) VALUES (s.id, s.v, NULL, 1)""",
            f"DELETE FROM {name} WHERE p = 2 AND id < 500",
            f"ALTER TABLE {name} CREATE BRANCH side",
            f"INSERT INTO {name}.branch_side VALUES (5000, 'aside', NULL, 0)",
            f"ALTER TABLE {name} ADD COLUMN late STRING",
        )
        lake.same(f"SELECT * FROM {name}")
        lake.same(f"SELECT v, count(*) AS n, sum(ev.a) AS a FROM {name} WHERE id < 995 AND v IN ('updated', 'merged') GROUP BY v")
        for ref in ("tag' = 'whole", "branch' = 'side"):
            of = ref.split("'")[-1]
            lake.same(f"SELECT count(*) AS n FROM {name} /*+ OPTIONS('{ref}') */", f"SELECT count(*) AS n FROM {name} VERSION AS OF '{of}'")
        lake.run(
            f"CALL lake.system.rewrite_data_files(table => '{name}', options => map('rewrite-all', 'true', 'target-file-size-bytes', '20000'))",
            f"DELETE FROM {name} WHERE id = 8",
            f"CALL lake.system.rewrite_position_delete_files(table => '{name}', options => map('rewrite-all', 'true'))",
            f"CALL lake.system.rewrite_manifests('{name}')",
        )
        lake.same(f"SELECT * FROM {name}")
        lake.same(f"SELECT ev.a AS a FROM {name} WHERE ev.a < -900")


def adopted(lake):
    """Plain Parquet files by Spark, with INT96 times and without field ids, taken into tables."""
    lake.run(
        """CREATE TABLE spark_catalog.default.plain USING parquet PARTITIONED BY (p) AS SELECT id, TIMESTAMP '2026-01-01 00:00:00Z' AS ts,
            named_struct('a', id, 'b', named_struct('c', CAST(id AS INT))) AS ev, array(named_struct('k', concat('x', id))) AS tags,
            map('p', id) AS m, CAST(id % 2 AS INT) AS p FROM range(100)""",
        """CREATE TABLE lake.f.adopted (id BIGINT, ts TIMESTAMP, ev STRUCT<a: BIGINT, b: STRUCT<c: INT>>, tags ARRAY<STRUCT<k: STRING>>, m MAP<STRING, BIGINT>,
            p INT) USING iceberg PARTITIONED BY (p)""",
    )
    place = lake.rows("DESCRIBE FORMATTED spark_catalog.default.plain")
    place = next(row["data_type"] for row in place if row["col_name"] == "Location")
    lake.run(
        f"CALL lake.system.add_files(table => 'lake.f.adopted', source_table => '`parquet`.`{place}`')",
        "ALTER TABLE lake.f.adopted RENAME COLUMN ev.b.c TO deep",
        "ALTER TABLE lake.f.adopted ADD COLUMN ev.b.e STRING",
        "INSERT INTO lake.f.adopted SELECT id, TIMESTAMP '2026-02-01 00:00:00Z', named_struct('a', id, 'b', named_struct('deep', 1, 'e', 'e')), NULL, NULL, 7 FROM range(200, 203)",
    )
    lake.same("SELECT * FROM lake.f.adopted")
    lake.same("SELECT id, ev.b.deep AS deep, ev.b.e AS e FROM lake.f.adopted WHERE p = 1")
    lake.same("SELECT id FROM lake.f.adopted WHERE ev.b.deep = 17")
    lake.same("SELECT id FROM lake.f.adopted WHERE ts < TIMESTAMP '2026-01-15 00:00:00' AND p = 0", "SELECT id FROM lake.f.adopted WHERE ts < TIMESTAMP '2026-01-15 00:00:00Z' AND p = 0")


def refused(lake):
    """What Weir does not read, it names."""
    for form in ("orc", "avro"):
        lake.run(
            f"CREATE TABLE lake.f.in_{form} (id BIGINT) USING iceberg TBLPROPERTIES ('write.format.default' = '{form}')",
            f"INSERT INTO lake.f.in_{form} VALUES (1)",
        )
        lake.document.refuse(f"SELECT * FROM lake.f.in_{form}", f"in_{form}", f".{form}")


def first_format(lake):
    """A table of format 1, and one that became 2 and then 3."""
    lake.run(
        "CREATE TABLE lake.f.first (id BIGINT, p INT) USING iceberg PARTITIONED BY (p) TBLPROPERTIES ('format-version' = '1')",
        "INSERT INTO lake.f.first SELECT id, CAST(id % 3 AS INT) FROM range(10)",
        "ALTER TABLE lake.f.first DROP PARTITION FIELD p",
        "INSERT INTO lake.f.first SELECT id, CAST(id % 3 AS INT) FROM range(10, 20)",
        "CREATE TABLE lake.f.grown (id BIGINT, p INT) USING iceberg PARTITIONED BY (p) TBLPROPERTIES ('format-version' = '1')",
    )
    for version in (2, 3):
        lake.run(
            "INSERT INTO lake.f.grown SELECT id, CAST(id % 3 AS INT) FROM range(10)",
            f"ALTER TABLE lake.f.grown SET TBLPROPERTIES ('format-version' = '{version}', 'write.delete.mode' = 'merge-on-read')",
            "DELETE FROM lake.f.grown WHERE id = 4",
        )
    for name in ("first", "grown"):
        lake.same(f"SELECT * FROM lake.f.{name}")
        lake.same(f"SELECT count(*) AS n, sum(id) AS s FROM lake.f.{name} WHERE p = 1")


def main():
    """Writes the tables and prints what is in them."""
    lake = Lake(pathlib.Path(sys.argv[1]), sys.argv[2])
    for scene in (types, evolved, parted, changed, adopted, first_format, refused):
        scene(lake)
    lake.document.print()


if __name__ == "__main__":
    main()
