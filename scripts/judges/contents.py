"""The rows of snapshots as PyIceberg reads them, and as DuckDB does on the files that the manifests name.

DuckDB is given files and nothing else: which deletes apply is decided here by the rules of the format's specification (section "Scan
planning"), so that a reader of one's own stands beside PyIceberg's, which knows no equality deletes. Columns are found by field id.
"""

import duckdb
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.expressions.parser import parse
from pyiceberg.io.pyarrow import ArrowScan
from pyiceberg.manifest import DataFileContent
from pyiceberg.table.snapshots import Operation
from pyiceberg.types import (
    BinaryType, BooleanType, DateType, DecimalType, DoubleType, FixedType, FloatType, IntegerType, ListType, LongType, MapType, StringType, StructType,
    TimestampType, TimestamptzType, TimeType, UUIDType,
)

from . import digest

NAMES = {
    BooleanType: "BOOLEAN", IntegerType: "INTEGER", LongType: "BIGINT", FloatType: "FLOAT", DoubleType: "DOUBLE", DateType: "DATE", TimeType: "TIME",
    TimestampType: "TIMESTAMP", TimestamptzType: "TIMESTAMPTZ", StringType: "VARCHAR", UUIDType: "UUID", FixedType: "BLOB", BinaryType: "BLOB",
}


def contents(catalog, arguments):
    """Gives, for each snapshot, how many rows each reader finds, their digest, and how many rows meet each condition."""
    tables = {name: catalog.load_table(name) for name in arguments.table.split(",")}
    return {name: [told(table, one, arguments) for one in chosen(table, arguments)] for name, table in tables.items()}


def chosen(table, arguments):
    """The snapshots to read, oldest first."""
    every = sorted(table.snapshots(), key=lambda one: one.sequence_number or 0)
    if arguments.rewrites:
        rewrites = [one for one in every if one.summary.operation == Operation.REPLACE]
        wanted = {one.snapshot_id for one in rewrites} | {one.parent_snapshot_id for one in rewrites}
        return [one for one in every if one.snapshot_id in wanted]
    return every


def told(table, snapshot, arguments):
    """What the readers find in one snapshot."""
    readers = {"pyiceberg": pyiceberg, "duckdb": of_duckdb}
    return {
        "id": snapshot.snapshot_id,
        "parent": snapshot.parent_snapshot_id,
        "operation": snapshot.summary.operation.value,
        "readers": {name: readers[name](table, snapshot, arguments.where) for name in arguments.reader or readers},
    }


def pyiceberg(table, snapshot, conditions):
    """PyIceberg; nothing if the snapshot has deletes that it does not know."""
    if any(one.content == DataFileContent.EQUALITY_DELETES for one, _ in live(table, snapshot)):
        return None

    def rows(where):
        # The schema of now for every snapshot, so that those before and after a change of columns can be compared.
        tasks = table.scan(row_filter=where, snapshot_id=snapshot.snapshot_id).plan_files()
        return ArrowScan(table.metadata, table.io, table.schema(), where).to_table(tasks)

    return summed(rows(AlwaysTrue()), [rows(parse(where)).num_rows for where in conditions], table.schema())


def of_duckdb(table, snapshot, conditions):
    """DuckDB on the live files."""
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        prepare(connection, table, snapshot)
        found = connection.sql("SELECT * FROM rows").to_arrow_table()
        counts = [connection.execute(f"SELECT count(*) FROM rows WHERE {where}").fetchone()[0] for where in conditions]
        return summed(found, counts, table.schema())


def summed(rows, counts, schema):
    """Number, digest and counts of rows as an Arrow table."""
    return {"rows": rows.num_rows, "digest": digest.digest(rows.to_pylist(maps_as_pydicts=None), schema.as_struct()), "matches": counts}


def live(table, snapshot):
    """The live files of a snapshot, each with its data sequence number."""
    for manifest in snapshot.manifests(table.io):
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
            yield entry.data_file, entry.sequence_number


def prepare(connection, table, snapshot):
    """Makes the view `rows` of the rows that the deletes leave."""
    files = list(live(table, snapshot))
    specs = table.specs()
    of = {kind: [(file, number) for file, number in files if file.content == kind] for kind in DataFileContent}
    sequences = {local(file.file_path): (number, place(specs, file)) for file, number in of[DataFileContent.DATA]}
    rows = [(path, number, where) for path, (number, where) in sequences.items()]
    connection.execute("CREATE TABLE files (file VARCHAR, sequence BIGINT, place VARCHAR)")
    if rows:
        connection.executemany("INSERT INTO files VALUES (?, ?, ?)", rows)
    columns = ", ".join(f"{field.field_id}: {{name: {literal(field.name)}, type: {literal(type_name(field.field_type))}, default_value: NULL}}" for field in table.schema().fields)
    names = ", ".join(f'data."{field.name}"' for field in table.schema().fields)
    if not rows:
        empty = ", ".join(f'CAST(NULL AS {type_name(field.field_type)}) AS "{field.name}"' for field in table.schema().fields)
        connection.execute(f"CREATE VIEW rows AS SELECT {empty} LIMIT 0")
        return
    paths = "[" + ", ".join(literal(path) for path, _, _ in rows) + "]"
    source = f"read_parquet({paths}, schema = MAP {{{columns}}}, filename = 'file', file_row_number = true)"
    left = [*at_places(connection, of[DataFileContent.POSITION_DELETES], specs), *by_keys(of[DataFileContent.EQUALITY_DELETES], table, specs)]
    conditions = "".join(f" AND NOT EXISTS ({one})" for one in left)
    connection.execute(f"CREATE VIEW rows AS SELECT {names} FROM {source} AS data JOIN files USING (file) WHERE true{conditions}")


def at_places(connection, deletes, specs):
    """Position deletes apply to files of the same partition that are not newer."""
    if not deletes:
        return
    connection.execute("CREATE TABLE places (file VARCHAR, pos BIGINT, sequence BIGINT, place VARCHAR)")
    for file, number in deletes:
        found = connection.sql(f"SELECT file_path, pos FROM read_parquet({literal(local(file.file_path))})").fetchall()
        connection.executemany("INSERT INTO places VALUES (?, ?, ?, ?)", [(local(path), pos, number, place(specs, file)) for path, pos in found])
    yield "SELECT 1 FROM places d WHERE d.file = files.file AND d.pos = data.file_row_number AND files.sequence <= d.sequence AND d.place = files.place"


def by_keys(deletes, table, specs):
    """Equality deletes apply to older files of the same partition, or of any if their spec has none; nulls are equal here."""
    for file, number in deletes:
        names = [table.schema().find_column_name(key) for key in file.equality_ids]
        same = " AND ".join(f'd."{name}" IS NOT DISTINCT FROM data."{name}"' for name in names)
        near = "true" if specs[file.spec_id].is_unpartitioned() else f"files.place = {literal(place(specs, file))}"
        yield f"SELECT 1 FROM read_parquet({literal(local(file.file_path))}) d WHERE {same} AND files.sequence < {number} AND {near}"


def place(specs, file):
    """One text for a partition of one spec."""
    return f"{file.spec_id} " + repr([file.partition[position] for position, _ in enumerate(specs[file.spec_id].fields)])


def local(path):
    """A path that DuckDB reads."""
    return path.removeprefix("file:").replace("///", "/") if path.startswith("file:") else path


def literal(text):
    """A string in SQL."""
    return "'" + text.replace("'", "''") + "'"


def type_name(kind):
    """A type in DuckDB's words."""
    if isinstance(kind, StructType):
        return "STRUCT(" + ", ".join(f'"{field.name}" {type_name(field.field_type)}' for field in kind.fields) + ")"
    if isinstance(kind, ListType):
        return type_name(kind.element_type) + "[]"
    if isinstance(kind, MapType):
        return f"MAP({type_name(kind.key_type)}, {type_name(kind.value_type)})"
    if isinstance(kind, DecimalType):
        return f"DECIMAL({kind.precision}, {kind.scale})"
    return NAMES[type(kind)]
