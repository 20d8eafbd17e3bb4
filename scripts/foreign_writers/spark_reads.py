"""Rewritten tables as Spark reads them; arguments: the jars, and the file with the task."""

import pathlib
import sys

import reading
import spark_session


def main():
    """Reads what the task names."""
    asked = reading.task()
    spark = spark_session.on_lake(sys.argv[1], pathlib.Path(sys.argv[2]).parent, asked["properties"])

    def rows(table, snapshot, where):
        version = f" VERSION AS OF {snapshot}" if snapshot else ""
        return spark_session.rows(spark, f"SELECT * FROM lake.{table}{version}{reading.condition(where)}")

    reading.read(asked, rows)


if __name__ == "__main__":
    spark_session.briefly(main)
