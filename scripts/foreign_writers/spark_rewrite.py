"""Spark compacts a table once, for a benchmark; arguments: the jars, and the file with the task.

The task names `properties` of the catalog, `table`, and `target`, the size in bytes of the files to write. Every file is rewritten. Tells the
seconds of CPU and by the clock that the procedure took, without the start of the session, and the peak memory of the JVM in bytes.
"""

import json
import os
import pathlib
import sys
import time

import reading
import spark_session


def seconds(process):
    """The seconds of CPU that a process has used."""
    user, system = (process / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def main():
    """Compacts, and tells what it took."""
    asked = reading.task()
    spark = spark_session.on_lake(sys.argv[1], pathlib.Path(sys.argv[2]).parent, asked["properties"], {"spark.driver.memory": "4g"})
    jvm = pathlib.Path("/proc") / str(spark.sparkContext._gateway.proc.pid)  # the launcher becomes the JVM
    options = f"map('rewrite-all', 'true', 'target-file-size-bytes', '{asked['target']}')"
    cpu, clock = seconds(jvm), time.monotonic()
    spark.sql(f"CALL lake.system.rewrite_data_files(table => '{asked['table']}', options => {options})").collect()
    cpu, clock = seconds(jvm) - cpu, time.monotonic() - clock
    lines = (jvm / "status").read_text(encoding="utf-8").splitlines()
    peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    print(json.dumps({"cpu": cpu, "clock": clock, "peak": peak}))


if __name__ == "__main__":
    spark_session.briefly(main)
