"""Tables written by other engines, and what these engines say is in them.

A writer is a program of its own, in the environment of its engine. It is given an empty folder, writes tables there, and prints one JSON
document: `init`, the statement that makes its catalog known to Weir as `lake`; `checks`, a list of queries in Weir's SQL, each with the
rows (objects) that the engine itself finds; `refusals`, queries that Weir must refuse, with words that the message must have; and `complaints`, of what it finds wrong by itself.

`reading.py` and the readers beside it do the same for tables that Weir has rewritten. `spark_churn.py` and `FlinkUpserts.java` change a table
while a job of Weir writes to it, and tell what they have done.
"""
