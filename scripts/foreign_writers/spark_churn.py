"""Spark changes a table that a job of Weir writes to and compacts, and compacts it itself; arguments: the jars, and the file with the task.

The task names `properties` of the catalog, `table`, and how many `steps` to take, chosen by `seed`. A step that lost a race is taken again. Tells
the steps, each with the snapshots that it made.
"""

import json
import pathlib
import random
import sys
import time

import reading
import spark_session

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # for the judges

from judges.steps import PATIENCE, chosen  # noqa: E402 (the path is set above)

KINDS = ("append", "delete", "delete", "update", "overwrite_part", "compact", "compact", "compact_deletes")
LOST = ("CommitFailedException", "ValidationException", "Cannot commit", "CommitStateUnknownException")


class Table:
    """The table, as Spark sees and changes it."""

    def __init__(self, spark, name):
        self.spark, self.short, self.name = spark, name, f"lake.{name}"
        self.application = spark.sparkContext.applicationId

    def loaded(self):
        """The table as it is now, in Iceberg's own classes: a name such as `t.snapshots` is not understood by every REST server."""
        table = self.spark._jvm.org.apache.iceberg.spark.Spark3Util.loadIcebergTable(self.spark._jsparkSession, self.name)
        table.refresh()
        return table

    def own(self):
        """The snapshots that this process has made, but for rewrites."""
        every = self.loaded().snapshots()
        return {one.snapshotId() for one in every if one.operation() != "replace" and one.summary().get("spark.app.id") == self.application}

    def head(self):
        """The current snapshot, and up to which id there may be orders."""
        snapshot = self.loaded().currentSnapshot()
        return snapshot.snapshotId(), int(snapshot.summary().get("total-records"))

    def statement(self, step):
        """The step in SQL."""
        low, high = step["range"]
        where = f"id >= {low} AND id < {high}"
        values = ", ".join(f"({number}, '{kind}', {v}, {p}, {o})" for number, kind, v, p, o in step["rows"])
        if step["kind"] == "overwrite_part":
            select = f"SELECT id, v, p, o FROM VALUES {values} AS rows(id, kind, v, p, o)"
            return f"INSERT OVERWRITE {self.name} PARTITION (kind = '{step['part']}') (id, v, p, o) {select}"
        return {
            "append": f"INSERT INTO {self.name} VALUES {values}",
            "delete": f"DELETE FROM {self.name} WHERE {where}",
            "update": f"UPDATE {self.name} SET v = v + 1 WHERE {where}",
            "compact": f"CALL lake.system.rewrite_data_files(table => '{self.short}', options => map('min-input-files', '2'))",
            "compact_deletes": f"CALL lake.system.rewrite_position_delete_files(table => '{self.short}', options => map('rewrite-all', 'true'))",
        }[step["kind"]]

    def take(self, step):
        """Carries a step out; how many tries it took."""
        before = self.own()
        modes = ", ".join(f"'write.{one}.mode' = '{step.get('mode')}'" for one in ("delete", "update"))
        for tries in range(1, 100):
            try:
                if "mode" in step:
                    self.spark.sql(f"ALTER TABLE {self.name} SET TBLPROPERTIES ({modes})")
                # Within a statement Spark must see one state of the table, and the newest from the next one on.
                self.spark.sql(f"REFRESH TABLE {self.name}")
                self.spark.sql(self.statement(step))
            except Exception as error:  # noqa: BLE001 (py4j and Spark have many kinds)
                if not any(name in str(error) for name in LOST):
                    raise RuntimeError(f"{self.statement(step)}: {str(error)[:2_000]}") from None
                if not self.own() - before:
                    continue
            step["snapshots"] = sorted(self.own() - before)
            return tries
        raise TimeoutError(f"step {step} lost every race")


def main():
    """Takes the steps."""
    asked = reading.task()
    table = Table(spark_session.on_lake(sys.argv[1], pathlib.Path(sys.argv[2]).parent, asked["properties"]), asked["table"])
    chance = random.Random(asked["seed"])
    steps = []
    for number in range(asked["steps"]):
        _, most = table.head()
        step = {"number": number, **chosen(chance, number, most, KINDS)}
        if step["kind"] in ("delete", "update"):
            step["mode"] = chance.choice(["copy-on-write", "merge-on-read"])
        begun = time.monotonic()
        step["tries"] = table.take(step)
        step["seconds"] = round(time.monotonic() - begun, 1)
        steps.append(step)
        own, _ = table.head()
        deadline = time.monotonic() + PATIENCE
        while table.head()[0] == own and time.monotonic() < deadline:
            time.sleep(0.2)
    print(json.dumps({"seed": asked["seed"], "steps": steps}))


if __name__ == "__main__":
    spark_session.briefly(main)
