"""Changes to a table that others write to, and what its rows must be in the end.

`churn` takes steps (see `steps.py`), each in a commit that bears its number; a step that lost a race is taken again on what the table has
become. `replay` follows the history of the branch from its first snapshot and applies to a bag of rows what each one stands for: the orders
of a job, told by the cuts in its summary, a step, or a rewrite, which changes nothing. The rows of the table must be that bag. Where a stream
of Flink has upserted rows of its own keys, each is there once in the end, as it came last.

Order `id` of a job is at offset `id // partitions` of partition `id % partitions`.
"""

import json
import pathlib
import random
import time
from collections import Counter

import duckdb
import pyarrow
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.manifest import DataFileContent
from sqlalchemy.exc import OperationalError

from . import digest
from .contents import live, prepare
from .steps import COLUMNS, PARTITION, PATIENCE, applied, chosen

STEP = "churn.step"
KINDS = ("append", "delete", "delete", "overwrite")


def churn(catalog, arguments):
    """Takes a number of steps, each after somebody else has committed, and tells them."""
    chance = random.Random(arguments.seed)
    steps = []
    for number in range(arguments.steps):
        table = catalog.load_table(arguments.table)
        most = int(table.current_snapshot().summary.additional_properties.get("total-records", 1_000))
        steps.append({"number": number, **chosen(chance, number, most, KINDS)})
        steps[-1]["tries"] = taken(catalog, arguments.table, steps[-1])
        own = catalog.load_table(arguments.table).metadata.last_sequence_number
        deadline = time.monotonic() + PATIENCE
        while catalog.load_table(arguments.table).metadata.last_sequence_number == own and time.monotonic() < deadline:
            time.sleep(0.05)
    return {"seed": arguments.seed, "steps": steps}


def taken(catalog, name, step):
    """Carries a step out; how many tries it took."""
    low, high = step["range"]
    mark = {STEP: str(step["number"])}
    for tries in range(1, 200):
        table = catalog.load_table(name)
        rows = pyarrow.Table.from_pylist([dict(zip(COLUMNS, one, strict=True)) for one in step["rows"]], schema=table.schema().as_arrow())
        which = f"id >= {low} and id < {high}"
        try:
            if step["kind"] == "append":
                table.append(rows, snapshot_properties=mark)
            elif step["kind"] == "delete":
                table.delete(which, snapshot_properties=mark)
            else:
                table.overwrite(rows, overwrite_filter=which, snapshot_properties=mark)
            return tries
        except (CommitFailedException, ValidationException, OperationalError):
            if any(number == str(step["number"]) for number in map(step_of, catalog.load_table(name).snapshots())):
                return tries
            time.sleep(0.05)
    raise TimeoutError(f"step {step} lost every race")


def step_of(snapshot):
    """The number of the step that a snapshot belongs to."""
    return snapshot.summary.additional_properties.get(STEP)


def replay(catalog, arguments):
    """Compares the table with what its history says, and tells how they differ."""
    table = catalog.load_table(arguments.table)
    told = json.loads(pathlib.Path(arguments.told).read_text(encoding="utf-8"))
    steps = {step["number"]: step for step in told.get("steps", [])}
    numbers = {snapshot: step["number"] for step in steps.values() for snapshot in step.get("snapshots", [])}
    rows, counts = replayed([facts(one, numbers) for one in ancestors(table)], steps, arguments.partitions)
    if upserts := told.get("upserts"):
        rows.update(upserted(**upserts))
    found = Counter(rows_of(table))
    expected = [dict(zip(COLUMNS, one, strict=True)) for one in rows.elements()]
    return {
        "rows": found.total(),
        "expected": rows.total(),
        "digest": digest.digest(expected, table.schema().as_struct()),
        "only_table": sorted((found - rows).elements())[:10],
        "only_model": sorted((rows - found).elements())[:10],
        "commits": dict(counts),
    }


def rows_of(table):
    """The rows as PyIceberg reads them, or, with deletes that it does not know, DuckDB."""
    snapshot = table.current_snapshot()
    if not any(one.content == DataFileContent.EQUALITY_DELETES for one, _ in live(table, snapshot)):
        return [tuple(one[name] for name in COLUMNS) for one in table.scan().to_arrow().to_pylist()]
    with duckdb.connect(config={"threads": 1}) as connection:
        prepare(connection, table, snapshot)
        return connection.sql(f"SELECT {', '.join(COLUMNS)} FROM rows").fetchall()


def upserted(first, keys, count):
    """What is left of rows 0 to `count` that went round so many keys."""
    for key in range(min(keys, count)):
        last = key + (count - 1 - key) // keys * keys
        yield first + key, f"k{key % 3}", last, PARTITION, last


def ancestors(table):
    """The snapshots of the branch, oldest first."""
    line = []
    snapshot = table.current_snapshot()
    while snapshot:
        line.append(snapshot)
        snapshot = table.snapshot_by_id(snapshot.parent_snapshot_id) if snapshot.parent_snapshot_id is not None else None
    return reversed(line)


def facts(snapshot, numbers):
    """What a snapshot stands for: its summary says it, or the number of a step."""
    said = snapshot.summary.additional_properties
    if STEP in said:
        return "step", int(said[STEP])
    if snapshot.snapshot_id in numbers:
        return "step", numbers[snapshot.snapshot_id]
    if "weir.cut.to" in said:
        return "orders", (json.loads(said.get("weir.cut.from") or "{}"), json.loads(said["weir.cut.to"]))
    if snapshot.summary.operation.value == "replace":
        return "rewrite" if said.get("engine-name") == "weir" else "rewrite by others", None
    if "flink.job-id" in said:
        return "upserts", None
    raise ValueError(f"nobody knows who made the snapshot {snapshot}")


def replayed(history, steps, partitions):
    """The bag of rows after the history, and how many commits there were of each kind."""
    rows, counts, done = Counter(), Counter(), set()
    for kind, what in history:
        counts[kind] += 1
        if kind == "orders":
            rows.update(orders(*what, partitions))
        elif kind == "step" and what not in done:
            # A step that deletes and adds makes two snapshots at once.
            done.add(what)
            rows = applied(rows, steps[what])
    return rows, counts


def orders(before, after, partitions):
    """The rows between two cuts."""
    for source, splits in after.items():
        for split, position in splits.items():
            partition = int(split.rpartition("/")[2])
            first = offset(before.get(source, {}).get(split, 0))
            for place in range(first, offset(position)):
                number = place * partitions + partition
                yield number, f"k{number % 3}", number * 7, partition, place


def offset(position):
    """The offset in a cut, where it may stand with the identity of its topic."""
    return position[0] if isinstance(position, list) else position
