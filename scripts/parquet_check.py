"""Reads Parquet files with pyarrow and with DuckDB, and holds what their footers say against what is in their pages.

`scripts/reader parquet FILE... [--probe COLUMN=NUMBER]` prints one JSON object a line for each file: rows and row groups, chunks with a column index and
an offset index, and for the number the row groups that statistics and bloom filters rule out. It fails if a statistic is wrong.
"""

import argparse
import json
import math
import sys

import duckdb
import pyarrow.compute
import pyarrow.parquet


def wrong(path, group, chunk, what):
    sys.exit(f"{path}: row group {group}, column {chunk.path_in_schema}: {what}")


def bounds(values):
    """Least and greatest value, as a writer has to tell them: NaN has no place in an order."""
    known = [value for value in values.to_pylist() if value is not None and not (isinstance(value, float) and math.isnan(value))]
    return (min(known), max(known)) if known else None


def by_pyarrow(path):
    file = pyarrow.parquet.ParquetFile(path, page_checksum_verification=True)
    indexed = chunks = 0
    for group in range(file.num_row_groups):
        told, rows = file.metadata.row_group(group), file.read_row_group(group)
        if rows.num_rows != told.num_rows:
            sys.exit(f"{path}: row group {group} has {rows.num_rows} rows and not {told.num_rows}")
        for leaf in range(told.num_columns):
            chunk = told.column(leaf)
            values, statistics = rows.column(chunk.path_in_schema), chunk.statistics
            chunks += 1
            indexed += chunk.has_column_index and chunk.has_offset_index
            if statistics is None:
                wrong(path, group, chunk, "no statistics")
            if statistics.null_count != values.null_count:
                wrong(path, group, chunk, f"{statistics.null_count} nulls are told, {values.null_count} found")
            found = bounds(values)
            if found and (statistics.min, statistics.max) != found:
                wrong(path, group, chunk, f"{(statistics.min, statistics.max)} are told, {found} found")
    return {"rows": file.metadata.num_rows, "row_groups": file.num_row_groups, "chunks": chunks, "indexed": indexed}


def by_duckdb(path, probe):
    connection = duckdb.connect()
    rows = connection.execute("SELECT count(*) FROM read_parquet(?)", [path]).fetchone()[0]
    if probe is None:
        return {"rows": rows}
    column, _, text = probe.partition("=")
    number = int(text)
    excluded = "SELECT count(*) FROM parquet_bloom_probe(?, ?, ?) WHERE bloom_filter_excludes"
    outside = "SELECT count(*) FROM parquet_metadata(?) WHERE path_in_schema = ? AND NOT ? BETWEEN stats_min::BIGINT AND stats_max::BIGINT"
    found = f'SELECT count(*) FROM read_parquet(?) WHERE "{column}" = ?'
    return {
        "rows": rows,
        "found": connection.execute(found, [path, number]).fetchone()[0],
        "out_by_bloom_filter": connection.execute(excluded, [path, column, number]).fetchone()[0],
        "out_by_statistics": connection.execute(outside, [path, column, number]).fetchone()[0],
    }


def main():
    parser = argparse.ArgumentParser(prog="reader parquet", description=__doc__)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--probe")
    arguments = parser.parse_args()
    for path in arguments.files:
        print(json.dumps({"pyarrow": by_pyarrow(path), "duckdb": by_duckdb(path, arguments.probe)}))


if __name__ == "__main__":
    main()
