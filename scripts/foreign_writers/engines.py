"""How each engine's programs are started."""

import contextlib
import json
import pathlib
import tempfile

from weir_servers import cache, java, python

HERE = pathlib.Path(__file__).resolve().parent

# What the JVM must open to Spark's and Flink's older libraries.
OPENED = ("java.lang", "java.nio", "java.net", "java.util", "java.util.concurrent", "sun.nio.ch")


def pyiceberg(folder):
    """PyIceberg, and Parquet files that DuckDB wrote."""
    return called([python.interpreter("reader"), "-B", HERE / "pyiceberg_tables.py", folder], "tables of PyIceberg")


def spark(folder):
    """Spark in one process, through its Python driver."""
    return called(of_spark("spark_tables.py", folder, jars_of_spark()), "tables of Spark")


def flink(folder):
    """Flink in one process; a small Java program runs the statements."""
    return with_flink("FlinkTables", folder, "tables of Flink")


WRITERS = {"pyiceberg": pyiceberg, "spark": spark, "flink": flink}

READERS = {
    "duckdb": lambda task: called([python.interpreter("duckdb"), "-B", HERE / "duckdb_reads.py", task], "DuckDB"),
    "spark": lambda task: called(of_spark("spark_reads.py", jars_of_spark(), task), "Spark"),
    "flink": lambda task: with_flink("FlinkReads", task, "Flink"),
}

CHANGERS = {
    "spark": lambda task: called(of_spark("spark_churn.py", jars_of_spark(), task), "Spark"),
    "spark-rewrite": lambda task: called(of_spark("spark_rewrite.py", jars_of_spark(), task), "Spark"),
    "flink": lambda task: with_flink("FlinkUpserts", task, "Flink"),
}


def of_spark(script, *arguments):
    """The command line of a program for Spark."""
    return [python.interpreter("spark"), "-B", HERE / script, *arguments]


def jars_of_spark():
    """Its class path."""
    return ":".join(str(jar) for jar in [*sorted(java.jars("spark").glob("*.jar")), sqlite()])


def sqlite():
    """The driver of SQLite catalogs, which is among the jars of the REST catalog."""
    (jar,) = java.jars("rest").glob("sqlite-jdbc-*.jar")
    return jar


def with_flink(main, argument, what):
    """What a program of Flink says."""
    opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED]
    with compiled() as folder:
        quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"
        classpath = ":".join(str(part) for part in (folder, java.jars("flink") / "*", sqlite()))
        return called(["java", "-Xmx1g", *java.FLAGS, *opened, quiet, "-cp", classpath, main, argument], what)


@contextlib.contextmanager
def compiled():
    """A folder with the classes of our programs for Flink."""
    with tempfile.TemporaryDirectory(prefix="weir-flink-") as folder:
        cache.call(["javac", "-cp", java.jars("flink") / "*", "-d", folder, *sorted(HERE.glob("*.java"))], "programs for Flink")
        yield folder


def called(command, what):
    """What a program printed; the document is its last object, since engines print before it, and after it at their end."""
    lines = cache.call(command, what).splitlines()
    return json.loads(next(line for line in reversed(lines) if line.startswith("{")))
