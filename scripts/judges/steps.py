"""Steps by which an engine changes a table that others write to, chosen by chance, and what each makes of a bag of rows.

A step first takes the rows away whose id is in its `range`, or that are in its partition (`part`, if it has one), or changes them (`update`),
and then adds its `rows`. `compact` and `compact_deletes` change no row.
"""

from collections import Counter

COLUMNS = ("id", "kind", "v", "p", "o")
# Rows of steps: far from those of any order.
FIRST = 1_000_000
# Of the steps' rows.
PARTITION = 99
# The longest wait for somebody else's commit before the next step.
PATIENCE = 30


def chosen(chance, number, most, kinds):
    """A step; `most` says up to which id there may be orders."""
    kind = chance.choice(kinds) if number else "append"
    first = FIRST + 1_000 * number
    step = {"kind": kind, "range": [0, 0], "rows": []}
    if kind == "append":
        return {**step, "rows": [row(first + one, "a") for one in range(chance.randint(1, 40))]}
    if kind == "overwrite_part":
        part = chance.choice(["a", "k0", "k1", "k2"])
        return {**step, "part": part, "rows": [row(first + one, part) for one in range(chance.randint(1, 10))]}
    if kind.startswith("compact"):
        return step
    low = chance.choice([chance.randrange(max(most, 1)), FIRST + 1_000 * chance.randrange(number)])
    high = low + chance.randint(1, max(most // 4, 2))
    again = [row(one, "o") for one in sorted(chance.sample(range(low, high), min(high - low, 10)))] if kind == "overwrite" else []
    return {**step, "range": [low, high], "rows": again}


def row(number, kind):
    """A row of a step."""
    return [number, kind, -number, PARTITION, number]


def applied(rows, step):
    """The bag of rows after a step."""
    low, high = step["range"]
    meant = Counter({one: count for one, count in rows.items() if low <= one[0] < high or one[1] == step.get("part")})
    left = rows - meant
    if step["kind"] == "update":
        left.update({(number, kind, v + 1, *more): count for (number, kind, v, *more), count in meant.items()})
    left.update(tuple(one) for one in step["rows"])
    return left
