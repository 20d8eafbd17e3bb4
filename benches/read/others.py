"""Runs one query by DuckDB or PyIceberg as often as each line of the input says, and answers with the rows of the last time."""

import json
import os
import sys


def duckdb_query(task):
    """The whole statement, from its text to the last batch of Arrow arrays; or, inside, to the last vector of DuckDB's."""
    import duckdb

    connection = duckdb.connect(config={"threads": task["cores"]})
    connection.execute(f"CREATE VIEW {task['table']} AS SELECT * FROM read_parquet({task['files']})")
    if task["inside"]:
        return lambda: len(connection.execute("EXPLAIN ANALYZE " + task["sql"]).fetchall())
    return lambda: sum(batch.num_rows for batch in connection.sql(task["sql"]).to_arrow_reader(8192))


def pyiceberg_query(task):
    """A scan of the table as it is now, and what is to be done with its rows."""
    os.environ["PYICEBERG_MAX_WORKERS"] = str(task["cores"])
    import pyarrow
    import pyarrow.compute as compute
    from pyiceberg.catalog import load_catalog

    pyarrow.set_cpu_count(task["cores"])
    uri = task["uri"].replace("sqlite:", "sqlite:///", 1)
    catalog = load_catalog("lake", type="sql", uri=uri, warehouse=task["warehouse"])
    options = {}
    if task["fields"]:
        options["selected_fields"] = tuple(task["fields"].split(","))
    if task["filter"]:
        options["row_filter"] = task["filter"]
    then, _, argument = task["then"].partition(":")

    def run():
        scan = catalog.load_table(("bench", task["table"])).scan(**options)
        if then == "count":
            return 1 if scan.count() else 0
        if then == "top":
            rows = scan.to_arrow()
            return rows.take(compute.select_k_unstable(rows, 10, [(argument, "descending")])).num_rows
        batches = scan.to_arrow_batch_reader()
        if then == "first":
            column, field = argument.split(".")
            firsts = (compute.struct_field(compute.list_element(batch.column(column), 0), field) for batch in batches)
            return sum(len(values) for values in firsts)
        return sum(batch.num_rows for batch in batches)

    return run


def main():
    """Serves until the input ends."""
    task = json.loads(sys.argv[1])
    run = {"duckdb": duckdb_query, "pyiceberg": pyiceberg_query}[task["engine"]](task)
    for line in sys.stdin:
        for _ in range(int(line)):
            rows = run()
        print(rows, flush=True)


main()
