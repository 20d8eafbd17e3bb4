"""Spark in one process."""

import pathlib
import sys

from pyspark.sql import SparkSession

SETTINGS = {
    "spark.master": "local[1]", "spark.driver.memory": "1g", "spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1", "spark.sql.session.timeZone": "UTC",
    "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions", "spark.sql.defaultCatalog": "lake",
    "spark.sql.catalog.lake": "org.apache.iceberg.spark.SparkCatalog",
    # With it, a field added to the values of a map ends the query: Spark asks old files for a key that it has left out.
    "spark.sql.optimizer.nestedSchemaPruning.enabled": "false",
}


def session(jars, settings):
    """A session with these jars and more settings."""
    builder = SparkSession.builder.config("spark.driver.extraClassPath", jars)
    for key, value in {**SETTINGS, **settings}.items():
        builder = builder.config(key, value)
    made = builder.getOrCreate()
    made.sparkContext.setLogLevel("ERROR")
    return made


def on_lake(jars, folder, properties, more=None):
    """A session with more settings whose catalog `lake` has these properties; `folder` is for Spark's own files."""
    settings = {f"spark.sql.catalog.lake.{key}": value for key, value in properties.items()}
    plain = str(pathlib.Path(folder) / "plain")
    return session(jars, {**settings, **(more or {}), "spark.sql.warehouse.dir": plain})


def rows(spark, sql):
    """What Spark answers."""
    return [row.asDict(recursive=True) for row in spark.sql(sql).collect()]


def briefly(program):
    """Runs a program; of an error of the JVM only the beginning is told, where its cause is."""
    try:
        program()
    except Exception as error:  # noqa: BLE001 (py4j and Spark have many kinds)
        sys.exit("\n".join(str(error).splitlines()[:8]))
