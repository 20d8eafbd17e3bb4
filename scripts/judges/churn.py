"""Changes to a table that others write to, and what its rows must be in the end.

`churn` appends, deletes and overwrites, each step in a commit that bears its number; a step that lost a race is taken again on what the table
has become. `replay` follows the history of the branch from its first snapshot and applies to a bag of rows what each one stands for: the
orders of a job, told by the cuts in its summary, a step, or a rewrite, which changes nothing. The rows of the table must be that bag.

The table has the columns of `COLUMNS`; order `id` of a job is at offset `id // partitions` of partition `id % partitions`.
"""

import json
import pathlib
import random
import time
from collections import Counter

import pyarrow
from pyiceberg.exceptions import CommitFailedException, ValidationException
from sqlalchemy.exc import OperationalError

COLUMNS = ("id", "kind", "v", "p", "o")
STEP = "churn.step"
# Rows of steps: far from those of any order.
FIRST = 1_000_000
# Of the steps' rows.
PARTITION = 99
# The longest wait for somebody else's commit before the next step.
PATIENCE = 30


def churn(catalog, arguments):
    """Takes a number of steps, each after somebody else has committed, and tells them."""
    chance = random.Random(arguments.seed)
    steps = []
    for number in range(arguments.steps):
        table = catalog.load_table(arguments.table)
        steps.append({"number": number, **chosen(chance, number, table)})
        steps[-1]["tries"] = taken(catalog, arguments.table, steps[-1])
        own = catalog.load_table(arguments.table).metadata.last_sequence_number
        deadline = time.monotonic() + PATIENCE
        while catalog.load_table(arguments.table).metadata.last_sequence_number == own and time.monotonic() < deadline:
            time.sleep(0.05)
    return {"seed": arguments.seed, "steps": steps}


def chosen(chance, number, table):
    """A step: what is added, and the range of ids that goes before it."""
    kind = chance.choice(["append", "delete", "delete", "overwrite"]) if number else "append"
    first = FIRST + 1_000 * number
    if kind == "append":
        return {"kind": kind, "range": [0, 0], "rows": [row(first + one, "a") for one in range(chance.randint(1, 40))]}
    most = int(table.current_snapshot().summary.additional_properties.get("total-records", 1_000))
    low = chance.choice([chance.randrange(max(most, 1)), FIRST + 1_000 * chance.randrange(number)])
    high = low + chance.randint(1, max(most // 4, 2))
    again = [row(one, "o") for one in sorted(chance.sample(range(low, high), min(high - low, 10)))] if kind == "overwrite" else []
    return {"kind": kind, "range": [low, high], "rows": again}


def row(number, kind):
    """A row of a step."""
    return [number, kind, -number, PARTITION, number]


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
    steps = {str(step["number"]): step for step in json.loads(pathlib.Path(arguments.told).read_text(encoding="utf-8"))["steps"]}
    history = list(ancestors(table))
    rows, counts = replayed([facts(one) for one in history], steps, arguments.partitions)
    found = Counter(tuple(one[name] for name in COLUMNS) for one in table.scan().to_arrow().to_pylist())
    return {
        "rows": found.total(),
        "expected": rows.total(),
        "only_table": sorted((found - rows).elements())[:10],
        "only_model": sorted((rows - found).elements())[:10],
        "commits": dict(counts),
    }


def ancestors(table):
    """The snapshots of the branch, oldest first."""
    line = []
    snapshot = table.current_snapshot()
    while snapshot:
        line.append(snapshot)
        snapshot = table.snapshot_by_id(snapshot.parent_snapshot_id) if snapshot.parent_snapshot_id is not None else None
    return reversed(line)


def facts(snapshot):
    """What a snapshot's summary says that it stands for."""
    said = snapshot.summary.additional_properties
    if STEP in said:
        return "step", said[STEP]
    if "weir.cut.to" in said:
        return "orders", (json.loads(said.get("weir.cut.from") or "{}"), json.loads(said["weir.cut.to"]))
    if snapshot.summary.operation.value == "replace":
        return "rewrite", None
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
            low, high = steps[what]["range"]
            rows = Counter({one: count for one, count in rows.items() if not low <= one[0] < high})
            rows.update(tuple(one) for one in steps[what]["rows"])
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
