"""What PyIceberg, which shares no code with Weir, finds in a table; printed as one JSON document.

`check` reads a table: row count, schema with field ids, partition spec, metrics of every data file as the manifests tell them, and, where
asked for, sums, rows, and proof that no row is there twice. `append` makes a table (if there is none) or adds rows to one, and `change`
carries out one step of another kind, as a foreign writer would; `expire` removes old snapshots, as another engine's upkeep would. The
other commands are those of the package `judges`. Catalog properties are PyIceberg's own, and `type=hadoop`; the `uri` of a SQL catalog may be written as in a job file.
"""

import argparse
import json
import pathlib
import sys

import pyarrow
import pyarrow.compute
from pyiceberg.catalog import load_catalog
from pyiceberg.conversions import from_bytes
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan
from pyiceberg.table import StaticTable
from pyiceberg.types import ListType, MapType, StringType, StructType

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))  # for webhdfs_io and the judges

from judges.churn import churn, replay  # noqa: E402 (the path is set above)
from judges.contents import contents  # noqa: E402
from judges.reach import reach  # noqa: E402
from judges.scenes import scenes  # noqa: E402


def main():
    """Runs the command that was asked for."""
    arguments = parser().parse_args()
    properties = dict(pair.split("=", 1) for pair in arguments.property)
    if "uri" in properties:
        properties["uri"] = for_sqlalchemy(properties["uri"])
    if arguments.hdfs_http:
        properties |= {"py-io-impl": "webhdfs_io.WebHdfsFileIO", "webhdfs.http": arguments.hdfs_http}
    catalog = Folders(properties) if properties.get("type") == "hadoop" else load_catalog(arguments.catalog, **properties)
    print(json.dumps(arguments.action(catalog, arguments), default=plain))


class Folders:
    """Tables that are folders in a warehouse, to be read only: PyIceberg has no catalog of them, but finds their current version."""

    def __init__(self, properties):
        self._properties = properties

    def load_table(self, name):
        """The table in the folder of that name."""
        return StaticTable.from_metadata(f"{self._properties['warehouse']}/{name.replace('.', '/')}", self._properties)


TABLE = {scenes: "the namespace", contents: "tables, with a comma between them"}


def parser():
    """The command line."""
    top = argparse.ArgumentParser(prog="scripts/reader", description=__doc__.splitlines()[0])
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for action in (check, append, change, expire, reach, contents, scenes, churn, replay):
        one = commands.add_parser(action.__name__, help=action.__doc__.splitlines()[0], description=action.__doc__.splitlines()[0])
        one.set_defaults(action=action)
        one.add_argument("table", help=TABLE.get(action, "the table, with its namespace"))
        one.add_argument("--catalog", default="lake", help="the catalog's name: rows of a SQL catalog carry it (default: %(default)s)")
        one.add_argument("--property", action="append", default=[], metavar="KEY=VALUE", help="a property of the catalog: type, uri, warehouse, s3.…")
        one.add_argument("--hdfs-http", metavar="URL", help="the NameNode's HTTP address, when the warehouse is on HDFS")
        if action is append:
            one.add_argument("rows", help="a file with one JSON object a line")
        elif action is change:
            one.add_argument("step", help="a JSON object with one entry: " + ", ".join(STEPS))
        elif action is churn:
            one.add_argument("--steps", type=int, required=True, help="how many")
            one.add_argument("--seed", type=int, required=True, help="which ones")
        elif action is replay:
            one.add_argument("told", help="a file with what `churn` has told")
            one.add_argument("--partitions", type=int, required=True, help="those of the job's topic")
        elif action is contents:
            one.add_argument("--where", action="append", default=[], metavar="CONDITION", help="count the rows that meet it")
            one.add_argument("--rewrites", action="store_true", help="only rewrites, and what they were made from")
            one.add_argument("--reader", action="append", choices=["pyiceberg", "duckdb"], help="only this reader")
        elif action is check:
            one.add_argument("--sum", action="append", default=[], metavar="COLUMN", help="add up a column")
            one.add_argument("--unique", metavar="COLUMN,…", help="look for rows that agree in all of these columns")
            one.add_argument("--ranges", metavar="PARTITION,OFFSET", help="for each value of the first, count, least and greatest of the second")
            one.add_argument("--rows", action="store_true", help="give the rows too")
            one.add_argument("--places", action="store_true", help="apply the partition transforms to every row and compare with its file's partition")
    return top


def for_sqlalchemy(uri):
    """The addresses of SQL databases as Weir's job files have them, in the form that PyIceberg wants."""
    if uri.startswith("sqlite:/"):
        return "sqlite:////" + uri.removeprefix("sqlite:").lstrip("/")
    if uri.startswith("postgres://"):
        return "postgresql+psycopg2://" + uri.removeprefix("postgres://")
    return uri


def check(catalog, arguments):
    """Tells what a table holds."""
    table = catalog.load_table(arguments.table)
    data = table.scan().to_arrow()
    found = {
        "rows": data.num_rows,
        "location": table.location(),
        "uuid": str(table.metadata.table_uuid),
        "format_version": table.format_version,
        "properties": dict(table.properties),
        "schema": [describe(field) for field in table.schema().fields],
        "partition_spec": [
            {"source_id": field.source_id, "field_id": field.field_id, "name": field.name, "transform": str(field.transform)}
            for field in table.spec().fields
        ],
        "snapshots": [{"id": one.snapshot_id, "summary": summary(one)} for one in sorted(table.snapshots(), key=lambda one: one.sequence_number or 0)],
        "files": files(table),
        "manifests": len(table.current_snapshot().manifests(table.io)) if table.current_snapshot() else 0,
        "sums": {name: str(pyarrow.compute.sum(data[name]).as_py()) for name in arguments.sum},
    }
    if arguments.unique:
        found["duplicates"] = duplicates(data, arguments.unique.split(","))
    if arguments.ranges:
        found["ranges"] = ranges(data, *arguments.ranges.split(","))
    if arguments.rows:
        found["data"] = data.to_pylist()
    if arguments.places:
        found["misplaced"] = misplaced(table)
    return found


def append(catalog, arguments):
    """Adds rows to a table as a foreign writer; makes the table if there is none."""
    lines = pathlib.Path(arguments.rows).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines if line]
    if catalog.table_exists(arguments.table):
        table = catalog.load_table(arguments.table)
        table.append(as_arrow(table, rows))
    else:
        data = pyarrow.Table.from_pylist(rows)
        catalog.create_namespace_if_not_exists(arguments.table.rpartition(".")[0])
        table = catalog.create_table(arguments.table, schema=data.schema)
        table.append(data)
    return {"snapshot": table.current_snapshot().snapshot_id, "rows": len(rows)}


STEPS = {
    "delete": lambda table, where: table.delete(where),
    "overwrite": lambda table, rows: table.overwrite(as_arrow(table, rows["rows"]), overwrite_filter=rows["where"]),
    "add_column": lambda table, name: evolve(table, lambda update: update.add_column(name, StringType())),
    "rename_column": lambda table, names: evolve(table, lambda update: update.rename_column(*names)),
    "set": lambda table, properties: table.transaction().set_properties(properties).commit_transaction(),
    "partition_by": lambda table, column: partition(table, column),
    "rollback_to": lambda table, snapshot: table.manage_snapshots().rollback_to_snapshot(snapshot).commit(),
}


def change(catalog, arguments):
    """Deletes or overwrites rows, or changes the schema, the partitioning, the properties or the current snapshot."""
    table = catalog.load_table(arguments.table)
    ((name, what),) = json.loads(arguments.step).items()
    STEPS[name](table, what)
    return {"snapshots": [one.snapshot_id for one in catalog.load_table(arguments.table).snapshots()]}


def evolve(table, step):
    """Changes the schema."""
    with table.update_schema() as update:
        step(update)


def partition(table, column):
    """Partitions new files by a column."""
    with table.update_spec() as update:
        update.add_identity(column)


def as_arrow(table, rows):
    """Rows in the types of the table's columns."""
    return pyarrow.Table.from_pylist(rows, schema=table.schema().as_arrow())


def expire(catalog, arguments):
    """Expires every snapshot but the current one."""
    table = catalog.load_table(arguments.table)
    current = table.current_snapshot().snapshot_id
    doomed = [one.snapshot_id for one in table.snapshots() if one.snapshot_id != current]
    table.maintenance.expire_snapshots().by_ids(doomed).commit()
    return {"expired": doomed, "left": [one.snapshot_id for one in catalog.load_table(arguments.table).snapshots()]}


def misplaced(table):
    """Rows whose partition, by PyIceberg's own transforms, is not that of the file that holds them."""
    wrong = []
    for task in table.scan().plan_files():
        rows = ArrowScan(table.metadata, table.io, table.schema(), AlwaysTrue()).to_table([task])
        for position, field in enumerate(table.spec().fields):
            source = table.schema().find_field(field.source_id)
            apply = field.transform.transform(source.field_type)
            expected = {apply(value) for value in internal(rows[source.name])}
            found = task.file.partition[position]
            if expected != {found}:
                wrong.append({"field": field.name, "expected": sorted(map(str, expected)), "found": str(found)})
    return wrong


def internal(column):
    """Values as transforms take them: dates as days and timestamps as microseconds since 1970."""
    if pyarrow.types.is_date(column.type):
        column = column.cast(pyarrow.int32())
    elif pyarrow.types.is_timestamp(column.type):
        column = column.cast(pyarrow.int64())
    return column.to_pylist()


def describe(field):
    """A field with its id, and those below it."""
    return {"id": field.field_id, "name": field.name, "required": field.required, "type": describe_type(field.field_type)}


def describe_type(kind):
    """A type: its name, or for nested ones an object."""
    if isinstance(kind, StructType):
        return {"struct": [describe(field) for field in kind.fields]}
    if isinstance(kind, ListType):
        return {"list": {"id": kind.element_id, "required": kind.element_required, "type": describe_type(kind.element_type)}}
    if isinstance(kind, MapType):
        value = {"id": kind.value_id, "required": kind.value_required, "type": describe_type(kind.value_type)}
        return {"map": {"key": {"id": kind.key_id, "type": describe_type(kind.key_type)}, "value": value}}
    return str(kind)


def files(table):
    """Every live file of the current snapshot with the metrics its manifest entry carries, by field id."""
    snapshot = table.current_snapshot()
    found = []
    for manifest in snapshot.manifests(table.io) if snapshot else []:
        for entry in manifest.fetch_manifest_entry(table.io):
            file = entry.data_file
            spec = table.specs()[file.spec_id]
            found.append({
                "path": file.file_path,
                "content": file.content.name,
                "format": file.file_format.name,
                "partition": {field.name: file.partition[position] for position, field in enumerate(spec.fields)},
                "sequence_number": entry.sequence_number,
                "snapshot": entry.snapshot_id,
                "records": file.record_count,
                "bytes": file.file_size_in_bytes,
                "value_counts": dict(file.value_counts or {}),
                "null_counts": dict(file.null_value_counts or {}),
                "nan_counts": dict(file.nan_value_counts or {}),
                "lower": bounds(table, file.lower_bounds),
                "upper": bounds(table, file.upper_bounds),
            })
    return found


def bounds(table, encoded):
    """Bounds by field id, decoded with the field's type."""
    return {key: from_bytes(table.schema().find_field(key).field_type, value) for key, value in (encoded or {}).items()}


def summary(snapshot):
    """A snapshot's operation and the other facts it carries."""
    return {"operation": snapshot.summary.operation.value, **snapshot.summary.additional_properties} if snapshot.summary else {}


def duplicates(data, columns):
    """Groups of rows that agree in all the columns: how many, and a few of them."""
    groups = data.group_by(columns).aggregate([([], "count_all")])
    repeated = groups.filter(pyarrow.compute.greater(groups["count_all"], 1))
    return {"groups": repeated.num_rows, "examples": repeated.slice(0, 10).to_pylist()}


def ranges(data, split, position):
    """For each split: how many rows, and its least and greatest position."""
    groups = data.group_by([split]).aggregate([(position, "count"), (position, "min"), (position, "max")])
    return {
        str(row[split]): {"rows": row[f"{position}_count"], "min": row[f"{position}_min"], "max": row[f"{position}_max"]} for row in groups.to_pylist()
    }


def plain(value):
    """What JSON has no form for, as text: decimals, times, bytes in hexadecimal."""
    return value.hex() if isinstance(value, bytes) else str(value)


if __name__ == "__main__":
    main()
