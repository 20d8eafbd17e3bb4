"""How each engine's writer is started."""

import json
import pathlib

from weir_servers import cache, java, python

HERE = pathlib.Path(__file__).resolve().parent

# What the JVM must open to Spark's and Flink's older libraries.
OPENED = ("java.lang", "java.nio", "java.net", "java.util", "java.util.concurrent", "sun.nio.ch")


def pyiceberg(folder):
    """PyIceberg, and Parquet files that DuckDB wrote."""
    return called([python.interpreter("reader"), "-B", HERE / "pyiceberg_tables.py", folder], "tables of PyIceberg")


def spark(folder):
    """Spark in one process, through its Python driver."""
    jars = ":".join(str(jar) for jar in sorted(java.jars("spark").glob("*.jar")))
    return called([python.interpreter("spark"), "-B", HERE / "spark_tables.py", folder, jars], "tables of Spark")


def flink(folder):
    """Flink in one process; a small Java program runs the statements."""
    opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED]
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"
    command = ["java", "-Xmx1g", *java.FLAGS, *opened, quiet, "-cp", java.jars("flink") / "*", HERE / "FlinkTables.java", folder]
    return called(command, "tables of Flink")


ENGINES = {"pyiceberg": pyiceberg, "spark": spark, "flink": flink}


def called(command, what):
    """What a writer printed; the document is its last line, since engines print before it."""
    return json.loads(cache.call(command, what).splitlines()[-1])
