"""Runs queries in DuckDB over Parquet files: a JSON request on standard input, a line of JSON for each answer.

A request has `threads`, `tables` (name to files), `queries` and `runs`; an answer has `seconds`, one for each run, `types` and `rows`, whose
values are texts but for nulls and doubles.
"""

import json
import sys
import time

import duckdb


def text(value):
    return value if value is None or isinstance(value, float) else str(value)


def main():
    request = json.load(sys.stdin)
    connection = duckdb.connect(config={"threads": request["threads"]})
    for name, files in request["tables"].items():
        listed = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet([{listed}])")
    for query in request["queries"]:
        seconds = []
        for _ in range(request["runs"]):
            began = time.perf_counter()
            result = connection.execute(query)
            rows = result.fetchall()
            seconds.append(time.perf_counter() - began)
        types = [str(column[1]) for column in result.description]
        print(json.dumps({"seconds": seconds, "types": types, "rows": [[text(value) for value in row] for row in rows]}), flush=True)


if __name__ == "__main__":
    main()
