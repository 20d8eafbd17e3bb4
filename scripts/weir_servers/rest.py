"""An Iceberg REST catalog: Iceberg's own servlet before its JDBC catalog on SQLite, with the warehouse on disk, on S3 or on HDFS."""

import json
import pathlib
import urllib.request

from . import java
from .process import Program
from .server import Server, Site

MAIN = pathlib.Path(__file__).parent / "RestServer.java"


class Rest(Server):
    """The catalog with its warehouse in the run folder."""

    name = "rest"

    def fetch(self) -> None:
        java.jars("rest")

    def prepare(self, site: Site) -> None:
        (site.folder / "warehouse").mkdir(exist_ok=True)

    def programs(self, site: Site) -> list[Program]:
        properties = {
            "catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog",
            "uri": f"jdbc:sqlite:{site.folder / 'catalog.db'}",
            "jdbc.schema-version": "V1",
            "warehouse": self.warehouse(site),
            "io-impl": "org.apache.iceberg.hadoop.HadoopFileIO",
            **self.properties(site),
        }
        arguments = [f"{key}={value}" for key, value in properties.items()]
        classpath = [*self.configuration(site), java.jars("rest") / "*"]
        quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        return [Program("catalog", java.command(site, "256m", classpath, quiet, MAIN, "127.0.0.1", site.ports["port"], *arguments))]

    def ready(self, site: Site) -> bool:
        with urllib.request.urlopen(f"{self._uri(site)}/v1/config", timeout=10) as answer:
            return "defaults" in json.load(answer)

    def addresses(self, site: Site) -> dict[str, str]:
        return {"uri": self._uri(site), "warehouse": self.warehouse(site)}

    def warehouse(self, site: Site) -> str:
        """Where tables are put unless they say otherwise."""
        return f"file://{site.folder / 'warehouse'}"

    def properties(self, site: Site) -> dict[str, str]:
        """What the catalog must know to reach its warehouse."""
        return {}

    def configuration(self, site: Site) -> list:
        """Folders with configuration files, for the class path."""
        return []

    def _uri(self, site: Site) -> str:
        return f"http://127.0.0.1:{site.ports['port']}"


class RestOnS3(Rest):
    """The catalog with its warehouse on the S3 server of the run."""

    name = "rest-s3"
    needs = ("s3",)

    def warehouse(self, site: Site) -> str:
        return f"s3://{site.peers['s3']['bucket']}/rest"

    def properties(self, site: Site) -> dict[str, str]:
        s3 = site.peers["s3"]
        return {
            "io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
            "s3.endpoint": s3["endpoint"],
            "s3.path-style-access": "true",
            "s3.access-key-id": s3["access_key"],
            "s3.secret-access-key": s3["secret_key"],
            "client.region": s3["region"],
        }


class RestOnHdfs(Rest):
    """The catalog with its warehouse on the HDFS of the run."""

    name = "rest-hdfs"
    needs = ("hdfs",)

    def warehouse(self, site: Site) -> str:
        return f"{site.peers['hdfs']['uri']}/rest"

    def configuration(self, site: Site) -> list:
        return [site.peers["hdfs"]["conf"]]
