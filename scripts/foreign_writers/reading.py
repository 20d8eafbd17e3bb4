"""Tables that Weir has rewritten, as another engine reads them before and after.

A reader is given a task: `init`, the statement that makes the catalog known to Weir as `lake`; `properties` of that catalog in Iceberg's words;
and `reads`, for each of which it is told the `table`, a list of `snapshots` (none: the table as it is) that must have the same rows, and
conditions (`where`) to read it with. It prints the document that the package's docstring describes.
"""

import json
import pathlib
import sys

from answers import Document, shown


def task():
    """What this process was asked for: its last argument names a file."""
    return json.loads(pathlib.Path(sys.argv[-1]).read_text(encoding="utf-8"))


def read(asked, rows):
    """Reads everything with `rows(table, snapshot, where)`, and prints the document."""
    document = Document(asked["init"])
    for one in asked["reads"]:
        for where in [None, *one.get("where", [])]:
            what = f"{one['table']}{condition(where)}"
            try:
                found = {snapshot: rows(one["table"], snapshot, where) for snapshot in one["snapshots"] or [None]}
            except Exception as error:  # noqa: BLE001 (engines have many kinds)
                document.complain(f"{what} cannot be read: " + "\n".join(str(error).splitlines()[:5]))
                continue
            for snapshot, bag in found.items():
                hint = f" /*+ OPTIONS('snapshot-id' = '{snapshot}') */" if snapshot else ""
                document.check(f"SELECT * FROM lake.{one['table']}{hint}{condition(where)}", bag)
            if len({text(bag) for bag in found.values()}) > 1:
                counts = {snapshot: len(bag) for snapshot, bag in found.items()}
                document.complain(f"the rows of {what} differ between snapshots that must be alike: {counts}")
    document.print()


def condition(where):
    """The end of a query."""
    return f" WHERE {where}" if where else ""


def text(rows):
    """One text for rows in any order."""
    return "\n".join(sorted(json.dumps(shown(row), sort_keys=True) for row in rows))
