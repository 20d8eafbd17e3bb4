"""Tables of many small files, as PyIceberg writes them: of each kind that a rewrite can meet."""

import datetime
import decimal
import uuid

import pyarrow
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import BucketTransform, DayTransform, HourTransform, IdentityTransform, TruncateTransform
from pyiceberg.types import (
    BinaryType, BooleanType, DateType, DecimalType, DoubleType, FixedType, FloatType, IntegerType, ListType, LongType, MapType, NestedField, StringType,
    StructType, TimestampType, TimestamptzType, TimeType, UUIDType,
)

START = datetime.datetime(2025, 12, 30, 22)


def scenes(catalog, arguments):
    """Makes the tables of the namespace given, each of several commits, and tells their names."""
    catalog.create_namespace_if_not_exists(arguments.table)
    for scene in (typed, evolved, parted):
        scene(catalog, f"{arguments.table}.{scene.__name__}")
    return {"tables": [".".join(name) for name in catalog.list_tables(arguments.table)]}


def add(table, rows):
    """Appends rows as the table's schema of now has them."""
    table.append(pyarrow.Table.from_pylist(rows, schema=table.schema().as_arrow()))


def typed(catalog, name):
    """Every type, with nulls, NaN and nested values, in eight commits."""
    inner = StructType(NestedField(31, "a", LongType()), NestedField(32, "b", StructType(NestedField(33, "c", IntegerType()))))
    item = StructType(NestedField(42, "k", StringType()), NestedField(43, "v", DoubleType()))
    kinds = (
        LongType(), BooleanType(), IntegerType(), FloatType(), DoubleType(), DecimalType(9, 2), DecimalType(38, 10), DateType(), TimeType(), TimestampType(),
        TimestamptzType(), StringType(), UUIDType(), FixedType(4), BinaryType(), inner, ListType(41, item, False), MapType(51, StringType(), 52, inner, False),
    )
    names = "id flag i f d d9 d38 day clock ts tz s u fix raw ev tags m".split()
    fields = [NestedField(number, name, kind) for number, (name, kind) in enumerate(zip(names, kinds, strict=True), 1)]
    table = catalog.create_table(name, Schema(*fields))

    def row(n):
        moment = START + datetime.timedelta(minutes=37 * n, microseconds=n)
        values = (
            n, n % 2 == 0, n - 50, n / 3, float("nan") if n % 13 == 0 else -n / 7, decimal.Decimal(n) / 4, decimal.Decimal(n) * 10**12, moment.date(), moment.time(),
            moment, moment.replace(tzinfo=datetime.UTC), f"word {n % 9} ☃" * (n % 4), uuid.UUID(int=n).bytes, bytes([n % 256] * 4), bytes([n % 256]) * (n % 5),
            {"a": n, "b": {"c": n * 2} if n % 3 else None}, [{"k": f"k{n % 4}", "v": n / 2}] * (n % 3), {f"p{one}": {"a": one, "b": None} for one in range(n % 3)},
        )
        return {name: None if (n + place) % 11 == 0 and place else value for place, (name, value) in enumerate(zip(names, values, strict=True))}

    for part in range(8):
        add(table, [row(n) for n in range(part * 40, part * 40 + 40)])


def evolved(catalog, name):
    """Columns added, renamed, promoted, dropped and added again, at the top and in nested ones, with commits between the steps."""
    inner = StructType(NestedField(5, "c", IntegerType()), NestedField(6, "d", StringType()))
    schema = Schema(NestedField(1, "id", LongType()), NestedField(2, "n", IntegerType()), NestedField(3, "gone", StringType()), NestedField(4, "ev", inner))
    table = catalog.create_table(name, schema)

    def three(first, make):
        for part in range(3):
            add(table, [make(n) for n in range(first + part * 20, first + part * 20 + 20)])

    three(0, lambda n: {"id": n, "n": n, "gone": "old", "ev": {"c": n, "d": "d"} if n % 4 else None})
    with table.update_schema(allow_incompatible_changes=True) as change:
        change.delete_column("gone").rename_column("n", "number").update_column("n", LongType()).add_column(("ev", "e"), StringType()).rename_column("ev.c", "c2")
    three(100, lambda n: {"id": n, "number": 2**40 + n, "ev": {"c2": n, "d": "d", "e": f"e{n}"}})
    with table.update_schema(allow_incompatible_changes=True) as change:
        change.add_column("gone", IntegerType()).delete_column("ev.d").add_column(("ev", "c"), StringType()).move_first("gone")
    three(200, lambda n: {"id": n, "number": n, "gone": n, "ev": {"c2": n, "e": "e", "c": "c"}})


def parted(catalog, name):
    """Partitions by four transforms at once, then by one of them."""
    schema = Schema(NestedField(1, "id", LongType()), NestedField(2, "ts", TimestampType()), NestedField(3, "s", StringType()), NestedField(4, "k", IntegerType()))
    fields = (PartitionField(4, 1000, IdentityTransform(), "k"), PartitionField(1, 1001, BucketTransform(2), "b"), PartitionField(2, 1002, DayTransform(), "d"), PartitionField(3, 1003, TruncateTransform(3), "t"))
    table = catalog.create_table(name, schema, partition_spec=PartitionSpec(*fields))

    def some(first):
        return [{"id": first + n, "ts": START + datetime.timedelta(hours=n % 4), "s": f"wor{n % 2}d" if n % 5 else None, "k": n % 2 if n % 7 else None} for n in range(40)]

    for part in range(6):
        add(table, some(part * 40))
    with table.update_spec() as spec:
        spec.remove_field("k").remove_field("b").remove_field("t").remove_field("d").add_field("ts", HourTransform(), "h")
    for part in range(6, 12):
        add(table, some(part * 40))
