"""Rewritten tables as DuckDB's own reader of Iceberg finds them; argument: the file with the task, whose catalog is a SQLite file."""

import pathlib
import sqlite3

import duckdb
import duckdb_extension_avro
import duckdb_extension_iceberg
import reading


def main():
    """Reads what the task names."""
    asked = reading.task()
    places = sqlite3.connect(asked["properties"]["uri"].removeprefix("jdbc:sqlite:"))
    known = {
        f"{namespace}.{name}": place.removeprefix("file://")
        for namespace, name, place in places.execute("SELECT table_namespace, table_name, metadata_location FROM iceberg_tables")
    }

    def rows(table, snapshot, where):
        # An error of its own ends a connection for good.
        with opened() as connection:
            version = f", snapshot_from_id = {snapshot}" if snapshot else ""
            found = connection.execute(f"SELECT * FROM iceberg_scan('{known[table]}'{version}){reading.condition(where)}")
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    reading.read(asked, rows)


def opened():
    """A connection that knows Iceberg."""
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET TimeZone = 'UTC'")
    for package in (duckdb_extension_avro, duckdb_extension_iceberg):
        # The package holds the file for its own version of DuckDB alone.
        (extension,) = pathlib.Path(package.__file__).parent.glob("extensions/*/*.duckdb_extension")
        connection.execute(f"LOAD '{extension}'")
    return connection


if __name__ == "__main__":
    main()
