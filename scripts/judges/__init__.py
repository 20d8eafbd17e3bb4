"""What programs that share no code with Weir say of a table while and after it was rewritten.

`reach` compares the files below a table's location with those that its metadata names; `contents` reads every snapshot with PyIceberg and
with DuckDB and gives a digest of its rows, so that a rewrite that changes a row shows; `digest` says how rows are digested, which
`IcebergRows.java` does in the same way; `scenes` makes tables of many small files; `churn` changes a table while others write to it, and
tells what its rows must be in the end. `scripts/reader` is the way to call them.
"""
